use bytes::Bytes;
use core::time::Duration;
use rtmfp::{Endpoint, Event, FlowSpec, Priority, ReceiveOrder, RecvFlowId, SendFlowId};
use rtmfp_base::{Message, ReceiptId, Tag, Time, WriteOptions};

use crate::Tape;

/// The near application. It does what it is told, and keeps account of what the endpoint owes it: each sending flow,
/// write and receiving flow ends once, messages come in order.
#[derive(Default)]
pub(super) struct Application {
    sending: Vec<Sending>,
    receiving: Vec<Receiving>,
    writes: Vec<(ReceiptId, Option<bool>)>,
    /// What to do with offers.
    answer: u8,
    /// Whether to read as soon as there is something to read.
    pub(super) idle_reader: bool,
    pub(super) closed: u32,
}

struct Sending {
    id: SendFlowId,
    ended: bool,
}

struct Receiving {
    id: RecvFlowId,
    /// No more events are owed.
    ended: bool,
    any_order: bool,
    last: u64,
}

const PRIORITIES: [Priority; 4] =
    [Priority::Background, Priority::Routine, Priority::Priority, Priority::FlashOverride];

/// Bytes that a session's flows may hold: the default limit, and what a single fragment may reach over it.
const RECEIVE_LIMIT: usize = 192 * 1024 + 16 * 1024;

impl Application {
    pub(super) fn on_event(&mut self, endpoint: &mut Endpoint, now: Time, event: Event) {
        match event {
            Event::FlowOffered { flow, .. } => self.answer(endpoint, now, flow),
            Event::Readable { flow, tag } => {
                assert_eq!(self.receiver(tag).id, flow);
                assert!(!self.receiver(tag).ended);
                if !self.idle_reader {
                    self.read(endpoint, now, tag.0 as usize);
                }
            }
            Event::FlowFinished { flow, tag } | Event::FlowLost { flow, tag } => {
                let receiver = self.receiver(tag);
                assert_eq!(receiver.id, flow);
                assert!(!core::mem::replace(&mut receiver.ended, true), "a receiving flow ends once");
            }
            Event::FlowException { flow, tag, .. } | Event::FlowClosed { flow, tag } => {
                let sender = &mut self.sending[tag.0 as usize];
                assert_eq!(sender.id, flow);
                assert!(!core::mem::replace(&mut sender.ended, true), "a sending flow ends once");
            }
            Event::WriteEnded { receipt, delivered, .. } => {
                let written = self.writes.iter_mut().find(|(id, end)| *id == receipt && end.is_none());
                written.expect("a write ends once").1 = Some(delivered);
            }
            Event::SessionClosed { .. } => self.closed += 1,
            _ => {}
        }
    }

    fn receiver(&mut self, tag: Tag) -> &mut Receiving {
        &mut self.receiving[tag.0 as usize]
    }

    fn answer(&mut self, endpoint: &mut Endpoint, now: Time, flow: RecvFlowId) {
        match self.answer % 4 {
            2 => endpoint.reject(now, flow, 5),
            3 => {}
            answer => {
                let tag = Tag(self.receiving.len() as u64);
                self.receiving.push(Receiving { id: flow, ended: false, any_order: false, last: 0 });
                endpoint.accept(now, flow, tag);
                if answer == 1
                    && let Some(mut flow) = endpoint.recv_flow(flow)
                {
                    let tag = Tag(self.sending.len() as u64);
                    if let Ok(id) = flow.open_return_flow(now, spec(1, Priority::Routine), tag) {
                        self.sending.push(Sending { id, ended: false });
                    }
                }
            }
        }
    }

    /// One act of the application.
    pub(super) fn act(&mut self, endpoint: &mut Endpoint, now: Time, tape: &mut Tape<'_>) {
        match tape.u8() % 12 {
            0 | 1 => self.open(endpoint, now, tape),
            2..=4 => self.write(endpoint, now, tape),
            5 => {
                if let Some(flow) = self.some_sender(tape).and_then(|id| endpoint.send_flow(id)) {
                    flow.close(now);
                }
            }
            6 => self.answer = tape.u8(),
            7 => {
                self.idle_reader = tape.flag();
                self.read_all(endpoint, now);
            }
            8 => self.set_receiver(endpoint, now, tape),
            9 => self.change_write(endpoint, now, tape),
            10 => {
                let (priority, capacity) = (tape.pick(&PRIORITIES), tape.u16().into());
                if let Some(mut flow) = self.some_sender(tape).and_then(|id| endpoint.send_flow(id)) {
                    flow.set_priority(now, priority);
                    flow.set_capacity(now, capacity);
                }
            }
            _ => {
                let how = tape.u8();
                let Some(&session) = endpoint.open_sessions().first() else { return };
                let Some(mut session) = endpoint.session(session) else { return };
                match how {
                    0xf0..0xf8 => session.close(now),
                    0xf8.. => session.abort(now),
                    _ => session.configure(now, |config| {
                        config.keepalive = Duration::from_secs((how & 7).into());
                        config.dscp = how;
                    }),
                }
            }
        }
    }

    fn some_sender(&self, tape: &mut Tape<'_>) -> Option<SendFlowId> {
        let index = usize::from(tape.u8()) % self.sending.len().max(1);
        self.sending.get(index).map(|sender| sender.id)
    }

    fn open(&mut self, endpoint: &mut Endpoint, now: Time, tape: &mut Tape<'_>) {
        let spec = spec(usize::from(tape.u8()), tape.pick(&PRIORITIES));
        let tag = Tag(self.sending.len() as u64);
        let Some(&session) = endpoint.open_sessions().first() else { return };
        let Some(mut session) = endpoint.session(session) else { return };
        if let Ok(id) = session.open_flow(now, spec, tag) {
            self.sending.push(Sending { id, ended: false });
        }
    }

    fn write(&mut self, endpoint: &mut Endpoint, now: Time, tape: &mut Tape<'_>) {
        let (shape, len) = (tape.u8(), usize::from(tape.u8()));
        let len = if shape & 1 == 0 { len } else { len * 64 };
        let soon = |set, tape: &mut Tape<'_>| {
            if set { now + Duration::from_millis(u64::from(tape.u8()) * 4) } else { Time::MAX }
        };
        let options = WriteOptions {
            start_by: soon(shape & 2 != 0, tape),
            finish_by: soon(shape & 4 != 0, tape),
            best_effort: shape & 8 != 0,
            notify: shape & 16 == 0,
            parent: self.writes.last().map(|write| write.0).filter(|_| shape & 12 == 12),
        };
        let Some(mut flow) = self.some_sender(tape).and_then(|id| endpoint.send_flow(id)) else { return };
        let times = 1 + usize::from(shape >> 5);
        for _ in 0..times {
            if let Ok(Some(receipt)) = flow.write(now, Message::from(vec![0xda; len]), &options) {
                self.writes.push((receipt, None));
            }
        }
        assert!(flow.unsent() <= flow.buffered());
        assert!(flow.buffered() <= 300 * 1024, "more is queued than allowed");
    }

    fn change_write(&self, endpoint: &mut Endpoint, now: Time, tape: &mut Tape<'_>) {
        let index = usize::from(tape.u8()) % self.writes.len().max(1);
        let Some(&(id, end)) = self.writes.get(index) else { return };
        let Some(mut receipt) = endpoint.receipt(id) else { return };
        assert_eq!(end, None, "a receipt of what has ended");
        let _ = receipt.is_started();
        if tape.flag() {
            receipt.abandon(now);
        } else {
            let by = now + Duration::from_millis(u64::from(tape.u8()));
            receipt.set_deadlines(now, by, by);
        }
    }

    fn set_receiver(&mut self, endpoint: &mut Endpoint, now: Time, tape: &mut Tape<'_>) {
        let index = usize::from(tape.u8()) % self.receiving.len().max(1);
        let Some(receiver) = self.receiving.get_mut(index) else { return };
        let Some(mut flow) = endpoint.recv_flow(receiver.id) else { return };
        match tape.u8() % 5 {
            0 => {
                receiver.any_order = true;
                flow.set_order(now, ReceiveOrder::Network);
            }
            1 => flow.set_order(now, ReceiveOrder::Sequence),
            2 => flow.set_hold(now, tape.flag()),
            3 => flow.set_capacity(now, tape.u16().into(), tape.u16().into()),
            _ => {
                // Nothing follows this.
                receiver.ended = true;
                flow.reject(now, 9);
            }
        }
    }

    /// Reads all that there is; it was within the session's limit.
    pub(super) fn read_all(&mut self, endpoint: &mut Endpoint, now: Time) {
        let total: usize = (0..self.receiving.len()).map(|index| self.read(endpoint, now, index)).sum();
        assert!(total <= RECEIVE_LIMIT, "{total} bytes were held");
    }

    fn read(&mut self, endpoint: &mut Endpoint, now: Time, index: usize) -> usize {
        let receiver = &mut self.receiving[index];
        let mut total = 0;
        while let Some(message) = endpoint.recv_flow(receiver.id).and_then(|mut flow| flow.read(now)) {
            total += message.bytes.len();
            assert!(message.sequence > receiver.last || receiver.any_order, "out of order, or twice");
            receiver.last = receiver.last.max(message.sequence + (message.fragments - 1));
        }
        total
    }

    /// Closes all flows and takes what comes.
    pub(super) fn finish(&mut self, endpoint: &mut Endpoint, now: Time) {
        self.idle_reader = false;
        for sender in &self.sending {
            if let Some(flow) = endpoint.send_flow(sender.id) {
                flow.close(now);
            }
        }
        for receiver in &mut self.receiving {
            if let Some(mut flow) = endpoint.recv_flow(receiver.id) {
                flow.set_hold(now, false);
            }
        }
        self.read_all(endpoint, now);
    }

    /// Nothing is owed any more.
    pub(super) fn check_ended(&self) {
        assert!(self.sending.iter().all(|sender| sender.ended), "a sending flow did not end");
        assert!(self.receiving.iter().all(|receiver| receiver.ended), "a receiving flow did not end");
        assert!(self.writes.iter().all(|(_, end)| end.is_some()), "a write did not end");
    }
}

fn spec(metadata: usize, priority: Priority) -> FlowSpec {
    FlowSpec { metadata: Bytes::from(vec![0x3e; metadata]), priority }
}
