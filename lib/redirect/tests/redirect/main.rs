//! Redirectors, those who register with them and clients, on simulated networks.

mod answers;
mod authentication;
mod hygiene;
mod pools;
mod protocol;
mod reconnecting;
mod redirects;
mod registration;
mod world;
