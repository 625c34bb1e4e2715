//! What the programs do, sans-I/O.
#![forbid(unsafe_code)]

pub mod tools;
