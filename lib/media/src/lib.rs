//! AMF, FLV, media classification and the message vocabulary of RTMP: borrowed parsing with limits.
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod amf0;
pub mod classify;
pub mod command;
pub mod control;
pub mod data;
pub mod flv;
pub mod message;

pub use message::TcMessage;
