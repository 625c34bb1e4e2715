//! AMF, FLV, media classification and the message vocabulary of RTMP: borrowed parsing with limits.
#![forbid(unsafe_code)]

pub mod amf0;
pub mod message;

pub use message::TcMessage;
