//! The relay on simulated networks, between RTMP clients and an RTMP server.

mod churn;
mod clip;
mod doors;
mod encoder;
mod failures;
mod limits;
mod machine;
mod old_programs;
mod peer;
mod play;
mod publish;
mod registration;
mod server;
mod simple;
mod slow;
mod strangers;
mod workers;
mod world;
