//! What programs of Flash's time send and expect.

use std::collections::VecDeque;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Input, Service, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Builder, Command};
use rtmfp_media::data;
use rtmfp_media::message::kind;
use rtmfp_netsim::HostId;
use rtmfp_rtmp::Role;
use rtmfp_service::RelayConfig;

use crate::clip::Clip;
use crate::encoder::{Client, End, TC_URL, Task};
use crate::journal;
use crate::limits::counter;
use crate::peer::Peer;
use crate::server::{Manner, Server};
use crate::world::{Chain, FIRST_RELAY, SERVER, at, ip};

/// A client that says its piece at once and listens.
pub(crate) struct Script {
    messages: Vec<TcMessage>,
    peer: Option<Peer>,
    actions: VecDeque<Action>,
    pub(crate) received: Vec<TcMessage>,
    closed: bool,
}

impl Script {
    /// Has more to say.
    pub(crate) fn say(&mut self, now: Time, messages: Vec<TcMessage>) {
        let peer = self.peer.as_mut().expect("it is connected");
        messages.into_iter().for_each(|message| peer.send(now, message));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

const STREAM: StreamId = StreamId::opened(1);

impl Service for Script {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Connected { stream, .. } => {
                let mut peer = Peer::new(Role::Client, stream, now);
                self.messages.drain(..).for_each(|message| peer.send(now, message));
                self.peer = Some(peer);
            }
            Input::Data { bytes, .. } => {
                let messages = self.peer.as_mut().map(|peer| peer.receive(now, bytes));
                self.received.extend(messages.unwrap_or_default());
            }
            Input::EndOfStream { stream } => self.actions.push_back(Action::Finish { stream }),
            Input::Closed { .. } => {
                self.peer = None;
                self.closed = true;
            }
            _ => {}
        }
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        if let Some(peer) = &mut self.peer {
            peer.settle(&mut self.actions);
        }
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, _stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        if let Some(peer) = &mut self.peer {
            peer.fill(now, limit, out);
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

pub(crate) fn add_script(chain: &mut Chain, messages: Vec<TcMessage>) -> HostId {
    let actions = [Action::Connect { stream: STREAM, to: at(FIRST_RELAY), dscp: 0 }].into();
    let script = Script { messages, peer: None, actions, received: Vec::new(), closed: false };
    chain.network.add_host("script", &[ip(1)], Box::new(script))
}

pub(crate) fn connect(object_encoding: f64) -> TcMessage {
    let members = |o: &mut rtmfp_media::amf0::ObjectWriter<'_>| {
        o.put("app", "app").put("objectEncoding", object_encoding).put("tcUrl", TC_URL);
    };
    command::connect(members).message(0)
}

/// A message of the extended kind with values in AMF3 at its end.
fn extended(kind: u8, stream_id: u32, amf0: &[u8], amf3: &[u8]) -> TcMessage {
    TcMessage { kind, timestamp: 0, stream_id, payload: [b"\0", amf0, amf3].concat().into() }
}

/// What librtmfp sends to publish, with its arguments in AMF3, and data of a Flash client.
fn legacy_publisher() -> Vec<TcMessage> {
    let publish = Builder::new("publish", 0.0).value(Value::Null).payload();
    let frame = data::payload(data::SET_DATA_FRAME, |w| _ = w.put(data::ON_META_DATA));
    vec![
        connect(3.0),
        command::create_stream(2.0).extended_message(0),
        extended(kind::COMMAND_EXTENDED, 1, &publish, b"\x11\x06\x03s\x11\x06\x09live"),
        extended(kind::DATA_EXTENDED, 1, &frame, b"\x11\x09\x01\x0bwidth\x04\x85\x00\x01"),
    ]
}

/// The object encoding in the answer to the connect.
fn granted(chain: &Chain, client: HostId) -> Option<f64> {
    let received = &chain.network.peek::<Script>(client).received;
    let answer = received.iter().find_map(|message| {
        let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
        (command.name == "_result" && command.transaction == 1.0)
            .then(|| command.argument(0)?.as_object()?.get("objectEncoding")?.as_number())
    });
    answer.expect("the connect is answered")
}

#[test]
fn commands_and_data_in_amf3_over_rtmfp_come_to_an_rtmp_server_in_amf0() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    let client = add_script(&mut chain, legacy_publisher());
    chain.network.run_for(Duration::from_secs(3));

    let got = chain.server().all().next().expect("a session").messages();
    let frame = data::payload(data::SET_DATA_FRAME, |w| {
        w.put(data::ON_META_DATA).value().ecma_array(|o| _ = o.put("width", 640.0));
    });
    let data = TcMessage { kind: kind::DATA, timestamp: 0, stream_id: 1, payload: frame };
    let wanted = [
        connect(0.0),
        command::create_stream(2.0).message(0),
        command::publish("s", "live").message(1),
        data,
    ];
    for message in wanted {
        assert!(got.contains(&message), "{message:?}: {got:?}");
    }
    assert_eq!(counter(&chain, 1, "messages_converted_from_amf3"), 3);
    assert_eq!(granted(&chain, client), Some(3.0));
}

/// A message of a shared object of Flash's, in AMF3.
fn shared_object() -> TcMessage {
    extended(kind::SHARED_OBJECT_EXTENDED, 0, b"\0\x01o\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0", b"")
}

/// A call with an object of a class that writes itself.
fn external() -> TcMessage {
    let call = Builder::new("call", 0.0).value(Value::Null).payload();
    extended(kind::COMMAND_EXTENDED, 0, &call, b"\x11\x0a\x07\x07Foo\x01")
}

#[test]
fn between_rtmp_and_rtmp_all_passes_byte_for_byte_and_the_server_answers_for_its_encoding() {
    let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
    let said = [legacy_publisher(), vec![shared_object(), external()]].concat();
    let client = add_script(&mut chain, said.clone());
    chain.network.run_for(Duration::from_secs(3));
    let got = chain.server().all().next().expect("a session").messages();
    assert_eq!(got.len(), said.len());
    said.iter().for_each(|message| assert!(got.contains(message), "{message:?}: {got:?}"));
    assert_eq!(granted(&chain, client), None, "it has not said any");
    for counts in ["messages_converted_from_amf3", "messages_not_converted_from_amf3"] {
        assert_eq!(counter(&chain, 0, counts), 0);
    }
}

#[test]
fn what_cannot_be_converted_goes_on_as_it_is_and_each_client_is_warned_of_once() {
    journal::begin();
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    let said = vec![connect(3.0), shared_object(), external(), shared_object()];
    add_script(&mut chain, said);
    chain.network.run_for(Duration::from_secs(3));
    let got = chain.server().all().next().expect("a session").messages();
    assert_eq!(got.iter().filter(|message| **message == shared_object()).count(), 2);
    assert!(got.contains(&external()));
    assert_eq!(counter(&chain, 1, "messages_not_converted_from_amf3"), 3);
    let warnings = journal::warnings();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("client 1 from 10.0.0.100:") && warnings[0].contains("shared objects"));
}

#[test]
fn an_rtmp_client_gets_what_an_rtmfp_destination_sends_in_amf3_as_amf0() {
    let call = Builder::new("call", 0.0).value(Value::Null).payload();
    let call = extended(kind::COMMAND_EXTENDED, 0, &call, b"\x11\x06\x03s");
    // The first relay reads no AMF3, and so passes it; the server sends it back.
    let unread = |relay: usize, config: &mut RelayConfig| {
        if relay == 1 {
            config.amf3.total_bytes = 0;
        }
    };
    let server = Server::new(at(SERVER), Manner::Echoing);
    let mut chain = Chain::with(1, &["rtmp", "rtmfp", "rtmp"], server, unread);
    let client = add_script(&mut chain, vec![connect(0.0), call.clone()]);
    chain.network.run_for(Duration::from_secs(3));
    let got = chain.server().all().next().expect("a session").messages();
    assert!(got.contains(&call), "{got:?}");
    let received = &chain.network.peek::<Script>(client).received;
    let plain = Builder::new("call", 0.0).value(Value::Null).value("s").message(0);
    assert!(received.contains(&plain), "{received:?}");
}

#[test]
fn messages_that_need_no_change_pass_as_they_are() {
    let payload = [&command::publish("s", "live").payload()[..], b"\x02\0\x01\x11"].concat();
    let publish = TcMessage { kind: kind::COMMAND, timestamp: 5, stream_id: 1, payload: payload.into() };
    let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
    add_script(&mut chain, vec![connect(0.0), command::create_stream(2.0).message(0), publish.clone()]);
    chain.network.run_for(Duration::from_secs(1));
    let got = chain.server().all().next().expect("a session").messages();
    assert!(got.contains(&connect(0.0)) && got.contains(&publish));
    assert_eq!(counter(&chain, 0, "messages_converted_from_amf3"), 0);
}

/// The names and transactions of the commands that a client got, and when.
fn commands(client: &Client) -> Vec<(Time, String, f64)> {
    let read = |(at, message): &(Time, TcMessage)| {
        let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
        Some((*at, command.name.to_owned(), command.transaction))
    };
    client.received.iter().filter_map(read).collect()
}

/// When a client got such a command. It may not get two.
fn only(client: &Client, name: &str, transaction: f64) -> Option<Time> {
    let commands = commands(client);
    let mut all = commands.iter().filter(|command| command.1 == name && command.2 == transaction);
    let first = all.next();
    assert_eq!(all.next(), None, "{name} twice: {commands:?}");
    first.map(|command| command.0)
}

/// An encoder that sends `releaseStream` (2) and `FCPublish` (3) before it publishes.
fn encoder(protocols: &[&str], manner: Manner) -> (Chain, HostId) {
    let mut chain = Chain::new(1, protocols, Server::new(at(SERVER), manner));
    let client = chain.add_client(Task::Publish(Clip::new(30), End::Stay));
    chain.network.run_for(Duration::from_secs(10));
    assert!(chain.client(client).has_code("NetStream.Publish.Start"));
    (chain, client)
}

#[test]
fn what_the_destination_does_not_answer_is_answered_here_in_time_and_once() {
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"]] {
        let server = Server::new(at(SERVER), Manner::Ignorant);
        let mut chain = Chain::new(1, protocols, server);
        let ask =
            |name, transaction| Builder::new(name, transaction).value(Value::Null).value("s").message(0);
        let messages = vec![connect(0.0), ask("releaseStream", 2.0), ask("FCPublish", 3.0)];
        let client = add_script(&mut chain, messages);
        let counts = |chain: &Chain| {
            let received = &chain.network.peek::<Script>(client).received;
            let names = received.iter().filter_map(|message| {
                let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
                Some((command.name.to_owned(), command.transaction))
            });
            let names: Vec<_> = names.collect();
            [("_result", 2.0), ("_result", 3.0), ("onFCPublish", 0.0)]
                .map(|(name, number)| names.iter().filter(|got| got.0 == name && got.1 == number).count())
        };
        chain.network.run_for(Duration::from_millis(1900));
        assert_eq!(counts(&chain), [0; 3]);
        chain.network.run_for(Duration::from_secs(4));
        assert_eq!(counts(&chain), [1; 3]);
        assert_eq!(counter(&chain, 0, "commands_answered_here"), 2);
    }
}

#[test]
fn an_encoder_that_did_not_wait_for_answers_gets_none_late() {
    let (chain, client) = encoder(&["rtmp", "rtmp"], Manner::Ignorant);
    let client = chain.client(client);
    for (name, transaction) in [("_result", 2.0), ("_result", 3.0), ("onFCPublish", 0.0)] {
        assert_eq!(only(client, name, transaction), None, "{name} {transaction}");
    }
}

#[test]
fn errors_of_the_destination_become_what_the_encoder_expects() {
    let (chain, client) = encoder(&["rtmp", "rtmp"], Manner::Strict);
    let client = chain.client(client);
    for (name, transaction) in [("_result", 2.0), ("_result", 3.0), ("onFCPublish", 0.0)] {
        let at = only(client, name, transaction).unwrap_or_else(|| panic!("{name} {transaction}"));
        assert!(at < Time::from_secs(1), "{name} at {at}");
    }
    assert_eq!(only(client, "_error", 2.0), None);
    assert_eq!(only(client, "_error", 3.0), None);
}

#[test]
fn what_the_destination_answers_is_left_to_it() {
    let (chain, client) = encoder(&["rtmp", "rtmp"], Manner::Friendly);
    let client = chain.client(client);
    assert!(only(client, "_result", 2.0).is_some() && only(client, "_result", 3.0).is_some());
    assert_eq!(only(client, "onFCPublish", 0.0), None);
    assert_eq!(counter(&chain, 0, "commands_answered_here"), 0);
}
