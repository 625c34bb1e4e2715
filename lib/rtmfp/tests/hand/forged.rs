//! An endpoint with a session to a peer that says what it likes.

use rtmfp::wire::{
    Chunk, DataFlags, Fragment, Mode, UserData, write_ack_ranges, write_option, write_startup_options,
};
use rtmfp::{Config, Endpoint, Event, Priority, RecvFlowId, SendFlowId};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};

use super::flows::{Seen, spec, view};
use super::{A, B, Forger, deliver, run_jobs, transmits};

/// The peer is the initiator, at [`A`]; the endpoint, at [`B`], takes every flow unless told otherwise and reads
/// nothing by itself.
pub struct Forged {
    pub forger: Forger,
    pub victim: Endpoint,
    pub now: Time,
    pub accepts: bool,
    pub events: Vec<Event>,
}

pub const WHOLE: DataFlags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };

impl Forged {
    pub fn new(config: Config) -> Self {
        let (mut forger, mut victim) = (Forger::new("f", A), super::super::common::endpoint("v", 1, config));
        victim.add_interface(InterfaceId(0), B);
        let now = Time::from_secs(1);
        forger.connect(now, &mut victim, b"v");
        let mut forged = Self { forger, victim, now, accepts: true, events: Vec::new() };
        forged.answers();
        forged.events.clear();
        forged
    }

    /// Brings a packet; answers what the victim sends at once.
    pub fn bring(&mut self, chunks: &[Chunk<'_>]) -> Vec<Vec<Seen>> {
        let packet = self.forger.packet(chunks);
        deliver(&mut self.victim, self.now, A, &packet);
        self.answers()
    }

    /// The same for the clear packet as it is.
    pub fn bring_clear(&mut self, clear: &[u8]) -> Vec<Vec<Seen>> {
        let (key, far_id) = (self.forger.key, self.forger.far_id);
        let packet = self.forger.seal_clear(key, far_id, clear);
        deliver(&mut self.victim, self.now, A, &packet);
        self.answers()
    }

    /// Acknowledges a flow of the victim; `flags` go into the packet's header.
    pub fn acknowledge(&mut self, flags: u8, flow: u64, blocks: u64, through: u64) -> Vec<Vec<Seen>> {
        let mut clear = vec![Mode::Initiator as u8 | flags];
        write_ack_ranges(flow, blocks, through, core::iter::empty(), 1000, &mut clear);
        self.bring_clear(&clear)
    }

    /// What the victim sends now.
    pub fn answers(&mut self) -> Vec<Vec<Seen>> {
        run_jobs(&mut self.victim, self.now);
        while let Some(event) = self.victim.poll_event(self.now) {
            if let Event::FlowOffered { flow, .. } = event
                && self.accepts
            {
                self.victim.accept(self.now, flow, Tag(0));
            }
            self.events.push(event);
        }
        transmits(&mut self.victim, self.now).iter().map(|(.., bytes)| view(bytes).1).collect()
    }

    /// Lets timers fire until then; answers what the victim sends meanwhile.
    pub fn wait_until(&mut self, until: Time) -> Vec<Vec<Seen>> {
        let mut sent = Vec::new();
        while let Some((at, _)) = self.victim.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.victim.handle_timeout(self.now);
            sent.extend(self.answers());
        }
        self.now = until;
        sent
    }

    /// The flows that were offered to the victim.
    pub fn offered(&self) -> Vec<RecvFlowId> {
        let offers = self.events.iter().filter_map(|event| match event {
            Event::FlowOffered { flow, .. } => Some(*flow),
            _ => None,
        });
        offers.collect()
    }

    /// Reads all that a flow has.
    pub fn read_all(&mut self, flow: RecvFlowId) -> Vec<Vec<u8>> {
        let now = self.now;
        let read = || Some(self.victim.recv_flow(flow)?.read(now)?.bytes.to_vec());
        core::iter::from_fn(read).collect()
    }

    /// Opens a flow of the victim to the peer.
    pub fn open(&mut self) -> SendFlowId {
        let session = self.victim.open_sessions()[0];
        let mut session = self.victim.session(session).expect("the session");
        session.open_flow(self.now, spec(b"from v", Priority::Bulk), Tag(9)).expect("a flow")
    }

    pub fn write(&mut self, flow: SendFlowId, len: usize) {
        let mut flow = self.victim.send_flow(flow).expect("the flow");
        flow.write(self.now, Message::from(vec![1; len]), &WriteOptions::default()).expect("room");
    }
}

/// A chunk of user data with the forward number right before its own.
pub fn data<'a>(flow_id: u64, sequence: u64, options: Option<&'a [u8]>, data: &'a [u8]) -> Chunk<'a> {
    data_with(WHOLE, flow_id, sequence, sequence - 1, options, data)
}

pub fn data_with<'a>(
    flags: DataFlags,
    flow_id: u64,
    sequence: u64,
    forward: u64,
    options: Option<&'a [u8]>,
    data: &'a [u8],
) -> Chunk<'a> {
    let fsn_offset = sequence - forward;
    Chunk::UserData(UserData { flags, flow_id, sequence, fsn_offset, options, data })
}

/// The options of a flow that is new.
pub fn options(association: Option<u64>) -> Vec<u8> {
    let mut options = Vec::new();
    write_startup_options(b"forged", association, &mut options);
    options
}

/// The same with one of another type.
pub fn options_and(kind: u64) -> Vec<u8> {
    let mut options = options(None);
    write_option(kind, b"?", &mut options);
    options
}
