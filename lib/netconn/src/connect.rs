//! The messages of a connection's beginning and end that a program between two links reads and writes itself.

use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::message::CONTROL_STREAM;

use crate::meaning::{FIRST_ARGUMENT, HEAD, OBJECT, readable, stream_argument};

/// What a client asks for by `connect`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectRequest {
    /// To be answered with the same number.
    pub transaction: f64,
    /// Where the client believes to be connecting to; empty if it doesn't say.
    pub tc_url: String,
    /// The application; empty if it doesn't say.
    pub app: String,
}

impl ConnectRequest {
    /// Reads a message; `None` if it is something else.
    pub fn parse(message: &TcMessage) -> Option<Self> {
        let head = &*readable(message, HEAD);
        let command = Command::parse(head.kind, &head.payload, &Limits::DEFAULT).ok()?;
        if command.name != "connect" || message.stream_id != CONTROL_STREAM {
            return None;
        }
        let message = &*readable(message, OBJECT);
        let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
        let object = command.object();
        let text = |key| {
            let value = object.and_then(|object| object.get(key));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Some(Self { transaction: command.transaction, tc_url: text("tcUrl"), app: text("app") })
    }
}

/// What a client does with a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamUse {
    /// It asks for one.
    Create,
    /// It publishes under a name.
    Publish(String),
    /// It plays what is published under a name.
    Play(String),
    /// It gives one back; `None`: one that there cannot be.
    Delete(Option<u32>),
}

impl StreamUse {
    /// Reads a message; `None` if it says something else. Of what says something else only the beginning is read.
    pub fn parse(message: &TcMessage) -> Option<Self> {
        let head = &*readable(message, HEAD);
        let command = Command::parse(head.kind, &head.payload, &Limits::DEFAULT).ok()?;
        match command.name {
            "createStream" => return Some(Self::Create),
            "publish" | "play" | "deleteStream" => {}
            _ => return None,
        }
        let message = &*readable(message, FIRST_ARGUMENT);
        let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
        let name = || command.argument(0).and_then(Value::as_str).map(str::to_owned);
        match command.name {
            "publish" => name().map(Self::Publish),
            "play" => name().map(Self::Play),
            _ => Some(Self::Delete(stream_argument(&command))),
        }
    }
}

/// The answer to a `connect` that has failed.
pub fn connection_failed(transaction: f64, description: &str) -> TcMessage {
    let info = Info::error("NetConnection.Connect.Failed", description);
    command::error(transaction, &info).message(CONTROL_STREAM)
}

/// What a client is told when its connection ends.
pub fn connection_closed(description: &str) -> TcMessage {
    let info = Info::status("NetConnection.Connect.Closed", description);
    command::on_status(&info).message(CONTROL_STREAM)
}

/// What a client is told when its connection is ended because the server is.
pub fn connection_shut_down(description: &str) -> TcMessage {
    let info = Info::error("NetConnection.Connect.AppShutdown", description);
    command::on_status(&info).message(CONTROL_STREAM)
}

/// A URI without what is between its scheme and its host that only the two ends of a connection should know (user
/// information, RFC 3986 section 3.2.1), and without fragment: what an Endpoint Discriminator may show to others.
pub fn public_uri(uri: &str) -> String {
    let uri = uri.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = uri.split_once("//") else { return uri.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}//{host}{path}")
}

#[cfg(test)]
mod tests {
    use rtmfp_media::command;

    use super::*;

    #[test]
    fn a_connect_is_read_and_nothing_else_is_taken_for_one() {
        let message = command::connect(|object| _ = object.put("app", "live").put("tcUrl", "rtmp://h/live"));
        let request = ConnectRequest::parse(&message.message(0));
        let wanted = ConnectRequest { transaction: 1.0, tc_url: "rtmp://h/live".into(), app: "live".into() };
        assert_eq!(request, Some(wanted));
        assert_eq!(ConnectRequest::parse(&command::connect(|_| {}).message(1)), None);
        assert_eq!(ConnectRequest::parse(&command::create_stream(2.0).message(0)), None);
    }

    #[test]
    fn a_public_uri_shows_no_user_information() {
        for (uri, public) in [
            ("rtmfp://host/app", "rtmfp://host/app"),
            ("rtmfp://user:token@host:1935/app?k=v#stream", "rtmfp://host:1935/app?k=v"),
            ("rtmfp://a@b@host", "rtmfp://host"),
            ("rtmfp://host/app@1", "rtmfp://host/app@1"),
            ("rtmfp:", "rtmfp:"),
            ("", ""),
        ] {
            assert_eq!(public_uri(uri), public);
        }
    }
}
