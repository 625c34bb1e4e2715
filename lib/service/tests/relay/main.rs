//! The relay on simulated networks, between RTMP clients and an RTMP server.

mod churn;
mod clip;
mod encoder;
mod failures;
mod limits;
mod peer;
mod play;
mod publish;
mod server;
mod slow;
mod strangers;
mod world;
