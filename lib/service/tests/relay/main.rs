//! The relay on simulated networks, between RTMP clients and an RTMP server.

mod churn;
mod clip;
mod doors;
mod draining;
mod encoder;
mod failures;
mod journal;
mod limits;
mod machine;
mod old_programs;
mod own;
mod peer;
mod play;
mod publish;
mod refused;
mod registration;
mod server;
mod simple;
mod slow;
mod strangers;
mod workers;
mod world;
