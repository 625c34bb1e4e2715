//! AMF, FLV, media classification and the message vocabulary of RTMP: borrowed parsing with limits.
#![forbid(unsafe_code)]

pub mod amf0;
pub mod command;
pub mod control;
pub mod data;
pub mod message;

pub use message::TcMessage;
