//! What the simulator promises, shown with small services.

mod datagrams;
mod hosts;
mod links;
mod runs;
mod services;
mod streams;
