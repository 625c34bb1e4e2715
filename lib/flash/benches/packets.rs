//! Sealing and opening of packets.
fn main() {}
