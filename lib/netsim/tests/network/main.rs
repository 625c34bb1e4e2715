//! What the simulator promises, shown with small services.

mod captures;
mod clocks;
mod datagrams;
mod faults;
mod hosts;
mod impair_streams;
mod impair_udp;
mod links;
mod nat_streams;
mod nats;
mod runs;
mod services;
mod sleep;
mod streams;
