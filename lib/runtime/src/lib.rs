//! The run loop: sockets, timers, workers, signals, and the host that runs a service for real.
