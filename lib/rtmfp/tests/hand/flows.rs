//! Flows between endpoints driven by hand, and what their packets say.

use std::time::Duration;

use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::wire::{Chunk, Chunks, DataFlags, Mode, PacketHeader};
use rtmfp::{Event, FlowSpec, Priority, RecvFlowId, SendFlowId, SessionId};
use rtmfp_base::{Message, ReceiptId, Tag, Time, WriteOptions};

use super::{B, Forger, Hands};

/// A chunk as a test wants to see it; a Next User Data chunk is told as the User Data chunk that it stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    Data { flow: u64, sequence: u64, forward: u64, flags: DataFlags, len: usize, options: bool },
    Ack { flow: u64, blocks: u64, cumulative: u64, ranges: Vec<(u64, u64)> },
    Exception { flow: u64, code: u64 },
    Probe { flow: u64 },
    Ecn { count: u8 },
    Other(u8),
}

/// What is in a datagram that the plain profile has sealed.
pub fn view(datagram: &[u8]) -> (PacketHeader, Vec<Seen>) {
    let (header, chunks) = PacketHeader::parse(&datagram[8..datagram.len() - 2]).expect("a packet");
    let mut previous = None;
    let mut all = Vec::new();
    for (kind, payload) in Chunks::new(chunks) {
        all.push(match Chunk::parse(kind, payload).expect("a chunk") {
            Chunk::UserData(data) => {
                let (flow, sequence, forward) = (data.flow_id, data.sequence, data.forward_sequence());
                previous = Some((flow, sequence, forward));
                let options = data.options.is_some();
                Seen::Data { flow, sequence, forward, flags: data.flags, len: data.data.len(), options }
            }
            Chunk::NextUserData(data) => {
                let (flow, before, forward) = previous.expect("a chunk before");
                let sequence = before + 1;
                previous = Some((flow, sequence, forward));
                let options = data.options.is_some();
                Seen::Data { flow, sequence, forward, flags: data.flags, len: data.data.len(), options }
            }
            Chunk::AckRanges(ack) | Chunk::AckBitmap(ack) => Seen::Ack {
                flow: ack.flow_id,
                blocks: ack.window_blocks,
                cumulative: ack.cumulative,
                ranges: ack.ranges().map(|range| (*range.start(), *range.end())).collect(),
            },
            Chunk::FlowException { flow_id, code } => Seen::Exception { flow: flow_id, code },
            Chunk::BufferProbe { flow_id } => Seen::Probe { flow: flow_id },
            Chunk::EcnReport { count } => Seen::Ecn { count },
            _ => Seen::Other(kind),
        });
    }
    (header, all)
}

pub fn has_data(seen: &[Seen]) -> bool {
    seen.iter().any(|chunk| matches!(chunk, Seen::Data { .. }))
}

pub fn has_ack(seen: &[Seen]) -> bool {
    seen.iter().any(|chunk| matches!(chunk, Seen::Ack { .. }))
}

pub fn spec(metadata: &'static [u8], priority: Priority) -> FlowSpec {
    FlowSpec { metadata: Bytes::from_static(metadata), priority }
}

impl Hands {
    /// Opens a flow from `a` to `b`.
    pub fn open(&mut self, metadata: &'static [u8], priority: Priority) -> SendFlowId {
        let flow = self.ends[0].open_flow(self.now, b"b", spec(metadata, priority), Tag(7)).expect("a flow");
        self.ends[0].send_flow(flow).expect("the flow").add_candidate(self.now, B);
        flow
    }

    pub fn write_with(&mut self, flow: SendFlowId, len: usize, options: &WriteOptions) -> Option<ReceiptId> {
        let message = Message::from(vec![3; len]);
        self.ends[0].send_flow(flow).expect("the flow").write(self.now, message, options).expect("room")
    }

    pub fn write(&mut self, flow: SendFlowId, len: usize) {
        self.write_with(flow, len, &WriteOptions::default());
    }

    pub fn close(&mut self, flow: SendFlowId) {
        self.ends[0].send_flow(flow).expect("the flow").close(self.now);
    }

    pub fn run_millis(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    /// The only session of an end.
    pub fn session(&self, end: usize) -> SessionId {
        match self.ends[end].open_sessions()[..] {
            [session] => session,
            ref other => panic!("{other:?}"),
        }
    }

    /// The flows that an end was offered.
    pub fn offered(&self, end: usize) -> Vec<RecvFlowId> {
        let offers = self.events[end].iter().filter_map(|event| match event {
            Event::FlowOffered { flow, .. } => Some(*flow),
            _ => None,
        });
        offers.collect()
    }

    /// Reads all that a flow of an end has.
    pub fn read_all(&mut self, end: usize, flow: RecvFlowId) -> Vec<Bytes> {
        let now = self.now;
        let read = || Some(self.ends[end].recv_flow(flow)?.read(now)?.bytes);
        core::iter::from_fn(read).collect()
    }

    /// The packets of open sessions that an end has sent: when, header and chunks.
    pub fn packets(&self, end: usize) -> Vec<(Time, PacketHeader, Vec<Seen>)> {
        let own = self.sent.iter().filter(|(_, from, _)| *from == end);
        let all = own.map(|(at, _, datagram)| {
            let (header, seen) = view(&datagram.bytes);
            (*at, header, seen)
        });
        all.filter(|(_, header, _)| header.mode != Mode::Startup).collect()
    }

    /// A peer that says what it likes in the name of `a`, with the keys of its open session to `b`.
    pub fn forger_of_a(&mut self) -> Forger {
        self.forger_of(0, "a", Mode::Initiator)
    }

    /// The same in the name of `b`.
    pub fn forger_of_b(&mut self) -> Forger {
        self.forger_of(1, "b", Mode::Responder)
    }

    fn forger_of(&mut self, end: usize, name: &str, mode: Mode) -> Forger {
        let session = self.session(end);
        let keys = self.ends[end].session(session).expect("a session").info().keys.expect("keys");
        let mut forger = Forger::new(name, self.addresses[end]);
        let near = |bytes: &mut [u8]| bytes.copy_from_slice(&keys.near_nonce);
        let work = forger.profile.respond(b"peer", &keys.far_nonce, &mut { near }).expect("work");
        forger.key = forger.profile.install(work().expect("keys").keys);
        forger.mode = mode;
        forger.far_id = self.far_ids[end].expect("a packet of the session");
        forger
    }
}
