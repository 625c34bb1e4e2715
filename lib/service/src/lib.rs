//! What the programs do, sans-I/O.
