//! Links over RTMFP against a peer whose flows are in the test's hands.

mod client;
mod linked;
mod raw;
mod rtmp;
mod server;
