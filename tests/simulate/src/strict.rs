//! Peers of the installed base, played by hand: a client as librtmfp is one and a server as MonaServer 2 is one. They
//! take exactly what these take, byte for byte, and fail loudly where these refuse, hang or close the session. Nothing
//! of what is under test is in them but the AMF 0 parser: they have a packet code, keying and flows of their own.
//!
//! What these two check was read in their sources and seen on the wire; the rules that follow from it are numbered:
//!
//! | rule | |
//! |---|---|
//! | L1 | the cookie in an RHello has 64 bytes, the tag 16 |
//! | L2 | the responder's component is `031a0000 021e00 81020d02` and a public key of 128 bytes, when the initiator only offers |
//! | L3 | each packet has a timestamp |
//! | L4 | such a session has neither HMACs nor sequence numbers |
//! | L5 | commands may hold values of AMF 3 |
//! | L6 | addresses in Redirects have an origin other than 0, that in a forwarded hello has 2 |
//! | L7 | the ancillary data of an Endpoint Discriminator may be a path alone |
//! | L8 | a server that names groups 2, 5 and 14 may know group 2 only |
//! | L9 | the initiator's component, also that of a client that looks for another, has 76 bytes, `021d02 410e.. 031a.... 021e..`, its certificate 132 |

pub(crate) mod client;
pub(crate) mod code;
pub(crate) mod flows;
pub(crate) mod server;
pub(crate) mod session;
#[cfg(test)]
mod tests;
