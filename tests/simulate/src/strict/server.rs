//! A server as MonaServer 2 is one.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rtmfp_base::{Action, Batch, Input, InterfaceId, Service, StreamId, Time, UdpOptions};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::control::UserControl;
use rtmfp_netsim::Dice;

use super::client::startup::{check_offer, only_chunk};
use super::client::transmit;
use super::code::{self, Cipher, Pair, Reader, chunk, put_field};
use super::session::{Heard, Session, Side, stamp};
use crate::clip::Clip;

/// Somebody who began a handshake.
#[derive(Default)]
struct Handshake {
    tag: Vec<u8>,
    id: u32,
    hello: Vec<u8>,
}

/// A session, and what came in it.
struct Guest {
    session: Session,
    far: SocketAddr,
    /// The flows that are sent, by stream.
    writers: BTreeMap<u32, u64>,
    last_stream: u32,
    playing: Option<(Time, u32, usize)>,
}

pub(crate) struct StrictServer {
    dice: Dice,
    startup: Cipher,
    certificate: Vec<u8>,
    handshakes: BTreeMap<SocketAddr, Handshake>,
    /// By the number that each begins with: all are good for ever.
    cookies: BTreeMap<u32, Vec<u8>>,
    /// What keyings with a cookie were answered, which is repeated.
    answers: BTreeMap<u32, Vec<u8>>,
    guests: BTreeMap<u32, Guest>,
    last_id: u32,
    clip: Clip,
    actions: VecDeque<Action>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    /// All commands' names, in order.
    pub(crate) commands: Vec<String>,
    /// What was published.
    pub(crate) published: Vec<TcMessage>,
    /// Keyings that were not in group 2.
    pub(crate) not_understood: u64,
    pub(crate) sessions: u64,
}

const SOCKET: InterfaceId = InterfaceId(0);
/// Larger datagrams are dropped.
const LONGEST: usize = 2 * 1192;

impl StrictServer {
    pub(crate) fn new(mut dice: Dice, address: SocketAddr, clip: Clip) -> Self {
        let open = Action::OpenUdp { socket: SOCKET, options: UdpOptions::from(address) };
        // Groups 2, 5 and 14.
        let groups = [2, 0x15, 2, 2, 0x15, 5, 2, 0x15, 14];
        let certificate = [&[1, 0x0a, 0x41, 0x0e][..], &code::random::<64>(&mut dice), &groups].concat();
        Self {
            dice,
            startup: Cipher::of_startup(),
            certificate,
            handshakes: BTreeMap::new(),
            cookies: BTreeMap::new(),
            answers: BTreeMap::new(),
            guests: BTreeMap::new(),
            last_id: 0,
            clip,
            actions: [open].into(),
            out: VecDeque::new(),
            commands: Vec::new(),
            published: Vec::new(),
            not_understood: 0,
            sessions: 0,
        }
    }

    fn reply(&mut self, now: Time, to: SocketAddr, session: u32, kind: u8, content: &[u8]) -> Vec<u8> {
        let clear = [&[0x0b][..], &stamp(now).to_be_bytes(), &chunk(kind, content)].concat();
        let bytes = self.startup.seal(session, &clear);
        self.out.push_back((to, bytes.clone()));
        bytes
    }

    fn on_startup(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let clear = self.startup.open(datagram).expect("a packet with the default key");
        let (kind, content) = only_chunk(&clear);
        match kind {
            0x30 => self.on_hello(now, from, content),
            0x38 => self.on_keying(now, from, content),
            _ => panic!("a handshake of kind {kind:02x}"),
        }
    }

    fn on_hello(&mut self, now: Time, from: SocketAddr, mut content: Reader<'_>) {
        let mut epd = Reader(content.field());
        let mut ancillary = Reader(epd.field());
        assert!(
            epd.0.is_empty(),
            "a discriminator with a second option, which is taken for a part of the URL"
        );
        assert_eq!(ancillary.u8(), 0x0a, "the kind of a discriminator");
        let tag = content.0;
        assert_eq!(tag.len(), 16, "the length of the tag");
        let handshake = self.handshakes.entry(from).or_default();
        if !self.answers.contains_key(&handshake.id) && handshake.tag == tag {
            return self.out.push_back((from, handshake.hello.clone()));
        }
        self.last_id += 1;
        let id = self.last_id;
        let cookie = [&id.to_be_bytes()[..], &code::random::<60>(&mut self.dice)].concat();
        let hello = [&[16][..], tag, &[64], &cookie, &self.certificate].concat();
        self.cookies.insert(id, cookie);
        let hello = self.reply(now, from, 0, 0x70, &hello);
        self.handshakes.insert(from, Handshake { tag: tag.to_vec(), id, hello });
    }

    fn on_keying(&mut self, now: Time, from: SocketAddr, mut content: Reader<'_>) {
        let far_id = content.u32();
        assert_eq!(content.vlu(), 64, "the length of the cookie");
        let cookie = content.take(64);
        let id = Reader(cookie).u32();
        assert_eq!(self.cookies.get(&id).map(Vec::as_slice), Some(cookie), "the cookie");
        if let Some(answer) = self.answers.get(&id) {
            return self.out.push_back((from, answer.clone()));
        }
        // It takes the first key for one in group 2, whichever it is, and what follows for the component.
        let offer = content;
        let key = Reader(content.field()).field();
        let component = content.field();
        let pair = Pair::draw_long(&mut self.dice);
        let Some(secret) = key.get(2..).filter(|key| key.len() == 128).and_then(|key| pair.agree(key)) else {
            self.not_understood += 1;
            return;
        };
        if !component.starts_with(&[2, 0x1d, 2]) {
            self.not_understood += 1;
            return;
        }
        check_offer(offer);
        let answer = [&b"\x03\x1a\x00\x00\x02\x1e\x00\x81\x02\x0d\x02"[..], &pair.public].concat();
        let (receive, send) = code::keys(&secret, component, &answer);
        let mut content = id.to_be_bytes().to_vec();
        put_field(&answer, &mut content);
        content.push(0x58);
        let answer = self.reply(now, from, far_id, 0x78, &content);
        self.answers.insert(id, answer);
        let session = Session::new(Side::Server, far_id, &send, &receive);
        self.sessions += 1;
        let guest = Guest { session, far: from, writers: BTreeMap::new(), last_stream: 0, playing: None };
        self.guests.insert(id, guest);
    }

    fn on_message(&mut self, now: Time, id: u32, flow: u64, message: TcMessage) {
        if matches!(message.kind, 8 | 9 | 15 | 18) {
            assert_ne!(message.stream_id, 0, "media outside of streams");
            return self.published.push(message);
        }
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { return };
        self.commands.push(command.name.to_owned());
        let Some(guest) = self.guests.get_mut(&id) else { return };
        let stream = message.stream_id;
        // The flows of streams answer flow 2, whichever the connection's is.
        let answers = if stream == 0 { flow } else { 2 };
        let session = &mut guest.session;
        let writer = *guest.writers.entry(stream).or_insert_with(|| session.open(stream, Some(answers)));
        let transaction = command.transaction;
        match command.name {
            "connect" => {
                assert_eq!(flow, 2, "the connection's flow, which the flows of streams are to answer");
                let info = Info::status("NetConnection.Connect.Success", "Connection succeeded");
                let result = command::result(transaction).value(Value::Null).info(&info);
                let keepalive = UserControl::SetKeepalive { server: 15_000, peer: 10_000 };
                session.write(writer, [&keepalive.message(), &result.message(0)]);
            }
            "createStream" => {
                guest.last_stream += 1;
                session.streams.insert(guest.last_stream);
                let number = f64::from(guest.last_stream);
                let result = command::result(transaction).value(Value::Null).value(number);
                session.write(writer, [&result.message(0)]);
            }
            "publish" => {
                let info = Info::status("NetStream.Publish.Start", "live is now published");
                session.write(writer, [&command::on_status(&info).message(stream)]);
            }
            "play" => {
                let begin = UserControl::StreamBegin(stream).message();
                let reset = Info::status("NetStream.Play.Reset", "Playing and resetting live");
                let start = Info::status("NetStream.Play.Start", "Started playing live");
                let [reset, start] = [reset, start].map(|info| command::on_status(&info).message(stream));
                session.write(writer, [&reset, &begin, &start]);
                guest.playing = Some((now, stream, 0));
            }
            _ => {}
        }
    }

    fn go_on(&mut self, now: Time) {
        for guest in self.guests.values_mut() {
            let Some((began, stream, next)) = &mut guest.playing else { continue };
            let writer = guest.writers[stream];
            while let Some(message) = self.clip.0.get(*next)
                && *began + Clip::time(message) <= now
                && !guest.session.closed
            {
                guest.session.write(writer, [message]);
                *next += 1;
            }
        }
    }
}

impl Service for StrictServer {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Datagram { meta, bytes } => {
                assert!(bytes.len() <= LONGEST, "a datagram of {} bytes", bytes.len());
                let id = code::session_of(bytes).expect("a datagram of 12 bytes at least");
                if id == 0 {
                    self.on_startup(now, meta.from, bytes);
                } else if let Some(guest) = self.guests.get_mut(&id) {
                    guest.far = meta.from;
                    let heard = guest.session.receive(now, bytes);
                    let heard = heard.expect("L4: a packet in checksum mode without a sequence number");
                    for heard in heard {
                        if let Heard::Message(flow, message) = heard {
                            self.on_message(now, id, flow, message);
                        }
                    }
                }
            }
            Input::UdpReady { result, .. } => drop(result.expect("a socket")),
            _ => {}
        }
        self.go_on(now);
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        for guest in self.guests.values_mut() {
            let far = guest.far;
            self.out.extend(guest.session.poll(now).into_iter().map(|bytes| (far, bytes)));
        }
        transmit(&mut self.out, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let clip = &self.clip;
        let next = |guest: &Guest| {
            let media =
                guest.playing.and_then(|(began, _, next)| Some(began + Clip::time(clip.0.get(next)?)));
            [guest.session.poll_timeout(), media.filter(|_| !guest.session.closed)]
                .into_iter()
                .flatten()
                .min()
        };
        self.guests.values().filter_map(next).min()
    }
}
