//! An open session of a strict peer: what it takes, and what it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rtmfp_base::Time;
use rtmfp_media::TcMessage;

use super::code::{Cipher, Reader, chunk};
use super::flows::{Flow, Writer};

/// Whom a session is one of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// librtmfp, which is the initiator.
    Client,
    /// MonaServer, the responder.
    Server,
}

/// What came of a packet.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message of a flow.
    Message(u64, TcMessage),
    /// A hello that the far end sends on.
    Hello { epd: Vec<u8>, from: SocketAddr, tag: Vec<u8> },
    /// The far end closed the session.
    Closed,
}

pub(crate) struct Session {
    side: Side,
    far_id: u32,
    send: Cipher,
    receive: Cipher,
    pub(crate) flows: BTreeMap<u64, Flow>,
    pub(crate) writers: BTreeMap<u64, Writer>,
    next_writer: u64,
    /// The NetStreams that there are, and the NetConnection, 0.
    pub(crate) streams: BTreeSet<u32>,
    /// The far end's latest timestamp, and when it came; told once.
    far_time: Option<(u16, Time)>,
    echo: bool,
    round_trip: Option<Duration>,
    out: VecDeque<Vec<u8>>,
    /// Replies to pings of this end.
    pub(crate) pings_answered: u64,
    pub(crate) closed: bool,
}

/// A timestamp: 4 ms each.
pub(crate) fn stamp(now: Time) -> u16 {
    (now.as_micros() / 4000) as u16
}

impl Session {
    /// With the keys of the packets that it sends and receives.
    pub(crate) fn new(side: Side, far_id: u32, send: &[u8; 16], receive: &[u8; 16]) -> Self {
        Self {
            side,
            far_id,
            send: Cipher::new(send),
            receive: Cipher::new(receive),
            flows: BTreeMap::new(),
            writers: BTreeMap::new(),
            next_writer: 2,
            streams: BTreeSet::from([0]),
            far_time: None,
            echo: false,
            round_trip: None,
            out: VecDeque::new(),
            pings_answered: 0,
            closed: false,
        }
    }

    /// Opens a flow for a stream, in answer to one of the far end's.
    pub(crate) fn open(&mut self, stream: u32, answers: Option<u64>) -> u64 {
        let id = self.next_writer;
        self.next_writer += 1;
        self.writers.insert(id, Writer::new(id, stream, answers));
        id
    }

    /// Writes messages to a flow. All but audio and video have the time 0.
    pub(crate) fn write<'a>(&mut self, writer: u64, messages: impl IntoIterator<Item = &'a TcMessage>) {
        let bytes = |message: &TcMessage| {
            let time = if matches!(message.kind, 8 | 9) { message.timestamp } else { 0 };
            [&[message.kind][..], &time.to_be_bytes(), &message.payload].concat()
        };
        let messages: Vec<_> = messages.into_iter().map(bytes).collect();
        self.writers.get_mut(&writer).expect("a flow of this end").write(&messages);
    }

    /// A packet for this session; `None` when it has not its key.
    pub(crate) fn receive(&mut self, now: Time, datagram: &[u8]) -> Option<Vec<Heard>> {
        let clear = self.receive.open(datagram)?;
        let mut heard = Vec::new();
        if self.closed {
            return Some(heard);
        }
        let mut packet = Reader(&clear);
        self.header(now, &mut packet);
        let mut previous = None;
        while let Some(&kind) = packet.0.first() {
            // MonaServer takes zeros for padding as well.
            if kind == 0xff || kind == 0 && self.side == Side::Server {
                break;
            }
            packet.u8();
            let len = packet.u16();
            let content = packet.take(len.into());
            let rest = packet.0.iter().filter(|byte| **byte != 0xff).count();
            assert!(
                kind != 0x7f || rest == 0,
                "something behind a fragment of a packet, at which reading ends"
            );
            self.chunk(now, kind, content, &mut previous, &mut heard);
        }
        if let Some((id, _)) = previous {
            self.acknowledge(id);
        }
        Some(heard)
    }

    fn header(&mut self, now: Time, packet: &mut Reader<'_>) {
        let flags = packet.u8();
        let (plain, echoing) = if self.side == Side::Client { (0x0a, 0x0e) } else { (0x09, 0x0d) };
        assert!(flags & 0x08 != 0, "L3: a packet with flags {flags:02x} has no timestamp");
        let low = flags & 0x0f;
        assert!(low == plain || low == echoing, "L3: a packet with flags {flags:02x}");
        let time = packet.u16();
        if self.far_time.is_none_or(|(last, _)| last != time) {
            self.far_time = Some((time, now));
            self.echo = true;
        }
        if low == echoing {
            let ticks = stamp(now).wrapping_sub(packet.u16());
            if ticks < 0x8000 {
                let sample = Duration::from_millis(4 * u64::from(ticks));
                self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 7 + sample) / 8));
            }
        }
    }

    fn chunk(
        &mut self,
        now: Time,
        kind: u8,
        content: &[u8],
        previous: &mut Option<(u64, u64)>,
        heard: &mut Vec<Heard>,
    ) {
        if kind != 0x11
            && let Some((id, _)) = previous.take()
        {
            self.acknowledge(id);
        }
        let mut reader = Reader(content);
        match kind {
            0x01 => self.out.push_back(chunk(0x41, b"")),
            0x41 => self.pings_answered += 1,
            0x0c | 0x4c => {
                if kind == 0x0c {
                    self.out.push_back(chunk(0x4c, b""));
                }
                self.closed = true;
                heard.push(Heard::Closed);
            }
            0x5e => {
                let id = reader.vlu();
                if let Some(writer) = self.writers.get_mut(&id) {
                    writer.reject();
                }
            }
            0x50 | 0x51 => self.on_ack(now, kind, reader),
            0x10 => {
                let flags = reader.u8();
                let (id, stage, offset) = (reader.vlu(), reader.vlu(), reader.vlu());
                assert!(offset <= stage, "flow {id}: a Forward Sequence Number below 0");
                if flags & 0x80 != 0 {
                    self.options(id, &mut reader);
                }
                *previous = Some((id, stage));
                self.data(id, stage, flags, reader.0, heard);
            }
            0x11 => {
                let (id, stage) = previous.as_mut().expect("a chunk 11 without a chunk 10 before it");
                let flags = reader.u8();
                assert!(flags & 0x80 == 0, "flow {id}: options in a chunk 11, which are taken for data");
                *stage += 1;
                let (id, stage) = (*id, *stage);
                self.data(id, stage, flags, reader.0, heard);
            }
            0x0f => heard.push(forwarded(reader)),
            // Unknown to both, so that the rest of the packet is dropped; but a probe has no rest.
            0x7f => {}
            0x18 => panic!("a Buffer Probe, at which the session is closed"),
            _ => panic!("a chunk {kind:02x}, at which the rest of the packet is dropped"),
        }
    }

    /// Metadata and association, at their places.
    fn options(&mut self, id: u64, reader: &mut Reader<'_>) {
        let len = reader.u8();
        let signature = reader.take(len.into());
        assert_eq!(signature.get(..4), Some(&b"\0TC\x04"[..]), "flow {id}: metadata {signature:02x?}");
        let stream = Reader(&signature[4..]).vlu() as u32;
        assert!(self.streams.contains(&stream), "flow {id} is of stream {stream}, which there is not");
        let len = reader.u8();
        if len > 0 {
            let mut option = Reader(reader.take(len.into()));
            assert_eq!(option.u8(), 0x0a, "flow {id}: the second option");
            let answers = option.vlu();
            assert!(
                self.writers.contains_key(&answers),
                "flow {id} answers flow {answers}, which there is not"
            );
            assert_eq!(reader.u8(), 0, "flow {id}: a third option");
        } else {
            assert_eq!(self.side, Side::Server, "flow {id} of a server answers no flow");
        }
        self.flows.entry(id).or_insert_with(|| Flow::new(stream));
    }

    fn data(&mut self, id: u64, stage: u64, flags: u8, data: &[u8], heard: &mut Vec<Heard>) {
        let flow = self.flows.get_mut(&id).unwrap_or_else(|| panic!("flow {id} begins without its metadata"));
        flow.take(stage, flags, data);
        for message in flow.messages() {
            let mut reader = Reader(&message);
            let kind = reader.u8();
            let timestamp = reader.u32();
            let payload = Bytes::copy_from_slice(reader.0);
            let message = TcMessage { kind, timestamp, stream_id: flow.stream, payload };
            check_message(self.side, &message);
            heard.push(Heard::Message(id, message));
        }
    }

    fn on_ack(&mut self, now: Time, kind: u8, mut reader: Reader<'_>) {
        let (id, room, cumulative) = (reader.vlu(), reader.vlu(), reader.vlu());
        let lost = match kind {
            _ if reader.0.is_empty() => 0,
            0x51 => reader.vlu() + 1,
            _ => 1,
        };
        let rto = self.rto();
        let Some(writer) = self.writers.get_mut(&id) else { return };
        assert!(room > 0 || writer.closed, "flow {id}: no room, at which the session is closed");
        writer.acknowledge(now, cumulative, lost, rto);
    }

    fn acknowledge(&mut self, id: u64) {
        if let Some(flow) = self.flows.get(&id) {
            let ack = flow.ack(id);
            self.out.push_back(ack);
        }
    }

    fn rto(&self) -> Duration {
        self.round_trip.map_or(Duration::from_secs(1), |time| time * 2 + Duration::from_millis(200))
    }

    pub(crate) fn ping(&mut self) {
        self.out.push_back(chunk(0x01, b""));
    }

    /// Closes the session at once, as librtmfp does.
    pub(crate) fn abort(&mut self) {
        self.out.push_back(chunk(0x4c, b""));
        self.closed = true;
    }

    /// Everything that was written has been acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.writers.values().all(Writer::is_idle)
    }

    /// The datagrams to be sent now.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<Vec<u8>> {
        let rto = self.rto();
        let mut chunks: Vec<_> = self.out.drain(..).collect();
        if !self.closed {
            self.writers.values_mut().for_each(|writer| writer.poll(now, rto, &mut chunks));
        }
        chunks.into_iter().map(|chunks| self.seal(now, &chunks)).collect()
    }

    /// Both put "time critical" flags into all packets, each its own.
    fn seal(&mut self, now: Time, chunks: &[u8]) -> Vec<u8> {
        let flags = if self.side == Side::Client { 0x89 } else { 0x4a };
        let mut clear = vec![flags];
        clear.extend(stamp(now).to_be_bytes());
        if let Some((time, at)) = self.far_time
            && core::mem::take(&mut self.echo)
        {
            clear[0] |= 0x04;
            clear.extend(time.wrapping_add(stamp(Time::ZERO + now.since(at))).to_be_bytes());
        }
        clear.extend_from_slice(chunks);
        self.send.seal(self.far_id, &clear)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        if !self.out.is_empty() {
            return Some(Time::ZERO);
        }
        let timeouts = self.writers.values().filter_map(Writer::poll_timeout);
        timeouts.min().filter(|_| !self.closed)
    }
}

/// What the two know; anything else makes them reject the flow.
fn check_message(side: Side, message: &TcMessage) {
    assert!(matches!(message.kind, 4 | 8 | 9 | 15 | 17 | 18 | 20), "a message of type {}", message.kind);
    if message.kind == 4 && side == Side::Client && message.stream_id != 0 {
        let event = Reader(&message.payload).u16();
        let known = [0x00, 0x01, 0x1f, 0x20, 0x22];
        assert!(
            known.contains(&event),
            "event {event} in stream {}, of which the flow is rejected",
            message.stream_id
        );
    }
}

/// A forwarded hello: for whom it is, where it was seen to come from, and its tag.
fn forwarded(mut reader: Reader<'_>) -> Heard {
    let epd = reader.field().to_vec();
    let (origin, from) = reader.address();
    assert_eq!(origin, 2, "L6: the origin of the address {from} in a forwarded hello");
    Heard::Hello { epd, from, tag: reader.0.to_vec() }
}
