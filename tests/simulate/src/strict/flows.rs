//! Flows as librtmfp and MonaServer have them: both are made alike.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rtmfp_base::Time;

use super::code::{chunk, put_field, put_vlu};

const OPTIONS: u8 = 0x80;
const HAS_BEFORE: u8 = 0x20;
const HAS_AFTER: u8 = 0x10;
const ABANDON: u8 = 0x02;
const END: u8 = 0x01;

/// What they put into a clear packet at the most, headers included.
const PACKET: usize = 1170;
/// How many packets are sent before something is acknowledged.
const BURST: usize = 6;

/// A packet of a flow: its last fragment, and the clear bytes, which stay the same when it is sent again.
#[derive(Debug)]
struct Packet {
    last: u64,
    chunks: Vec<u8>,
}

/// A flow that is sent.
#[derive(Debug)]
pub(crate) struct Writer {
    id: u64,
    signature: Vec<u8>,
    /// The far end's flow that it is a return flow of.
    answers: Option<u64>,
    stage: u64,
    acked: u64,
    waiting: VecDeque<Packet>,
    sent: VecDeque<Packet>,
    sendable: usize,
    lost: u64,
    repeat: Option<(Time, Duration)>,
    pub(crate) closed: bool,
}

impl Writer {
    pub(crate) fn new(id: u64, stream: u32, answers: Option<u64>) -> Self {
        let mut signature = b"\0TC\x04".to_vec();
        put_vlu(stream.into(), &mut signature);
        Self {
            id,
            signature,
            answers,
            stage: 0,
            acked: 0,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            sendable: BURST,
            lost: 0,
            repeat: None,
            closed: false,
        }
    }

    /// Queues messages, in as few packets as they fit into.
    pub(crate) fn write(&mut self, messages: &[Vec<u8>]) {
        let mut packet: Option<Packet> = None;
        for message in messages {
            let mut rest = &message[..];
            let mut before = 0;
            loop {
                // A fragment of less than 16 bytes goes into a packet of its own.
                if packet.as_ref().is_some_and(|packet| packet.chunks.len() + 4 + 16 > PACKET) {
                    self.waiting.extend(packet.take());
                }
                self.stage += 1;
                let head = if packet.is_none() { self.head() } else { Vec::new() };
                let used = packet.as_ref().map_or(0, |packet| packet.chunks.len());
                let (now, after) = rest.split_at(rest.len().min(PACKET - used - 4 - head.len()));
                rest = after;
                let options = if !head.is_empty() && self.acked == 0 { OPTIONS } else { 0 };
                let more = if rest.is_empty() { 0 } else { HAS_AFTER };
                let kind = if head.is_empty() { 0x11 } else { 0x10 };
                let content = [&[options | before | more][..], &head, now].concat();
                before = HAS_BEFORE;
                let packet = packet.get_or_insert_with(|| Packet { last: 0, chunks: Vec::new() });
                packet.chunks.extend(chunk(kind, &content));
                packet.last = self.stage;
                if rest.is_empty() {
                    break;
                }
            }
        }
        self.waiting.extend(packet);
    }

    /// What comes behind the flags of the first fragment in a packet.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        put_vlu(self.id, &mut head);
        put_vlu(self.stage, &mut head);
        put_vlu(self.stage - self.acked, &mut head);
        if self.acked == 0 {
            put_field(&self.signature, &mut head);
            if let Some(flow) = self.answers {
                let mut option = vec![0x0a];
                put_vlu(flow, &mut option);
                put_field(&option, &mut head);
            }
            head.push(0);
        }
        head
    }

    /// The flow ends after what was written.
    pub(crate) fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.stage += 1;
            let options = if self.acked == 0 { OPTIONS } else { 0 };
            let chunks = chunk(0x10, &[&[options | ABANDON | END][..], &self.head()].concat());
            self.waiting.push_back(Packet { last: self.stage, chunks });
        }
    }

    /// The far end rejects the flow.
    pub(crate) fn reject(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.sent.clear();
        self.repeat = None;
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    pub(crate) fn acknowledge(&mut self, now: Time, cumulative: u64, lost: u64, rto: Duration) {
        assert!(cumulative <= self.stage, "flow {} is acknowledged beyond what was written", self.id);
        if cumulative > self.acked {
            self.acked = cumulative;
            self.lost = 0;
            self.sendable = BURST;
            self.repeat = Some((now + rto, rto));
            while self.sent.front().is_some_and(|packet| packet.last <= cumulative) {
                self.sent.pop_front();
            }
        } else if lost > self.lost {
            self.lost = lost;
            self.sendable = self.sendable.max(1);
            self.repeat = self.repeat.map(|(_, delay)| (now, delay));
        }
    }

    /// What is to be sent now, as clear chunks.
    pub(crate) fn poll(&mut self, now: Time, rto: Duration, out: &mut Vec<Vec<u8>>) {
        if let Some((at, delay)) = self.repeat
            && at <= now
        {
            let longer = delay.mul_f64(core::f64::consts::SQRT_2).min(Duration::from_secs(10));
            self.repeat = Some((now + longer, longer));
            out.extend(self.sent.iter().take(BURST).map(|packet| packet.chunks.clone()));
        }
        while self.sendable > 0
            && let Some(packet) = self.waiting.pop_front()
        {
            self.sendable -= 1;
            out.push(packet.chunks.clone());
            self.sent.push_back(packet);
        }
        self.repeat = self.repeat.or(Some((now + rto, rto))).filter(|_| !self.sent.is_empty());
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.repeat.map(|(at, _)| at)
    }
}

/// A flow that is received. It knows no Forward Sequence Number: what is missing and abandoned has to be said by a
/// fragment that says so.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) stream: u32,
    stage: u64,
    end: Option<u64>,
    ahead: BTreeMap<u64, (u8, Vec<u8>)>,
    message: Option<Vec<u8>>,
    ready: Vec<Vec<u8>>,
}

impl Flow {
    pub(crate) fn new(stream: u32) -> Self {
        Self { stream, stage: 0, end: None, ahead: BTreeMap::new(), message: None, ready: Vec::new() }
    }

    /// A fragment; the flags are those of the chunk.
    pub(crate) fn take(&mut self, stage: u64, flags: u8, data: &[u8]) {
        match self.end {
            Some(end) if self.ahead.is_empty() && self.stage >= end => return,
            Some(end) if stage > end => return,
            None if flags & END != 0 => self.end = Some(stage),
            _ => {}
        }
        if stage <= self.stage {
            return;
        }
        if flags & ABANDON != 0 {
            self.ahead = self.ahead.split_off(&(stage + 1));
            self.message = None;
            self.stage = stage;
        } else if stage > self.stage + 1 {
            self.ahead.entry(stage).or_insert_with(|| (flags, data.to_vec()));
            return;
        } else {
            self.append(stage, flags, data);
        }
        while let Some(next) = self.ahead.first_entry()
            && *next.key() == self.stage + 1
        {
            let (stage, (flags, data)) = next.remove_entry();
            self.append(stage, flags, &data);
        }
    }

    fn append(&mut self, stage: u64, flags: u8, data: &[u8]) {
        self.stage = stage;
        match &mut self.message {
            Some(message) => message.extend_from_slice(data),
            // Its beginning was abandoned.
            None if flags & HAS_BEFORE != 0 => return,
            None => self.message = Some(data.to_vec()),
        }
        if flags & HAS_AFTER == 0 {
            self.ready.extend(self.message.take().filter(|message| !message.is_empty()));
        }
    }

    pub(crate) fn messages(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.ready)
    }

    /// The acknowledgement of a flow, with as much room as there can be.
    pub(crate) fn ack(&self, id: u64) -> Vec<u8> {
        let mut content = Vec::new();
        put_vlu(id, &mut content);
        put_vlu(0xff7f, &mut content);
        put_vlu(self.stage, &mut content);
        let mut before = self.stage;
        let mut stages = self.ahead.keys().copied().peekable();
        while let Some(first) = stages.next() {
            let mut last = first;
            while stages.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            put_vlu(first - before - 2, &mut content);
            put_vlu(last - first, &mut content);
            before = last;
        }
        chunk(0x51, &content)
    }
}
