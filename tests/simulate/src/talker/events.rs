//! What the endpoint tells, and whether it may tell that.

use rtmfp::driver::Application;
use rtmfp::{CloseReason, Endpoint, Event, RecvFlowId, SessionId};
use rtmfp_base::{ReceiptId, Tag, Time};

use rtmfp_redirect::{Registrant, RegistrantEvent, RegistrantState};

use super::{Incoming, Known, Talker};
use crate::introducer::is_introducer;
use crate::ledger::{Receiving, Sending};

fn key_of(tag: Tag) -> u32 {
    tag.0 as u32
}

impl Application for Talker {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        if let Some(registrant) = &mut self.registrant {
            registrant.start(now, endpoint);
        }
        if !self.quiet {
            self.open_first_flows(now, endpoint);
        }
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        let me = self.me;
        self.ledger.borrow().log(now, format_args!("node {me}: {event:?}"));
        if let Some(registrant) = &mut self.registrant
            && registrant.on_event(now, endpoint, &event)
        {
            return self.note_registration(now);
        }
        match event {
            Event::SessionOpened { session, initiator } => self.on_opened(endpoint, session, initiator),
            Event::SessionClosed { session, reason } => self.on_closed(now, session, reason),
            Event::FlowOffered { flow, session, metadata, associated } => {
                let associated = associated.map(|(_, tag)| key_of(tag));
                self.on_offer(now, endpoint, flow, session, &metadata, associated);
            }
            Event::Readable { flow, tag } => {
                let incoming = self.incoming.get_mut(&key_of(tag)).filter(|incoming| incoming.id == flow);
                let Some(incoming) = incoming else { panic!("node {me}: {flow} is readable after its end") };
                incoming.unread = true;
                self.read(now, endpoint, key_of(tag));
            }
            Event::FlowFinished { flow, tag } => {
                let incoming = self.forget_incoming(flow, tag);
                let mut ledger = self.ledger.borrow_mut();
                if incoming.unread {
                    // The session ended, and this end has missed its last chance to read.
                    ledger.did("left_unread");
                    ledger.flow(key_of(tag)).receiving = Receiving::Lost;
                } else {
                    ledger.finished(key_of(tag));
                }
            }
            Event::FlowLost { flow, tag } => {
                let incoming = self.forget_incoming(flow, tag);
                self.ledger.borrow_mut().flow(key_of(tag)).receiving = Receiving::Lost;
                if let Some(session) = self.sessions.get_mut(&incoming.session) {
                    session.cut += 1;
                }
            }
            Event::FlowBound { flow, tag, session } => {
                assert_eq!(self.outgoing[&key_of(tag)].id, flow);
                let peer = self.ledger.borrow().flows[key_of(tag) as usize].to;
                let known = self.sessions.get(&session);
                // The session's own event may come after it.
                assert!(
                    known.is_none_or(|known| known.peer == peer),
                    "node {me}: flow to {peer} got to {known:?}"
                );
            }
            Event::Writable { .. } => self.write_some(now, endpoint),
            Event::UnsentLow { .. } => {
                self.ledger.borrow_mut().did("unsent_low");
                self.write_some(now, endpoint);
            }
            Event::AddressChanged { .. } => self.ledger.borrow_mut().did("address_followed"),
            Event::FlowException { flow, tag, code } => self.on_exception(flow, tag, code),
            Event::FlowClosed { flow, tag } => {
                let outgoing = self.outgoing.remove(&key_of(tag)).expect("a flow closes once");
                assert_eq!(outgoing.id, flow);
                self.ledger.borrow_mut().closed(key_of(tag));
            }
            Event::WriteEnded { receipt, tag, delivered } => {
                self.on_write_ended(now, receipt, tag, delivered)
            }
            Event::ShutDown => {
                assert!(self.sessions.is_empty(), "node {me}: shut down before all sessions were closed");
            }
            _ => {}
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let own = if self.quiet { self.next_reading() } else { Some(self.next_turn) };
        let registrant = self.registrant.as_ref().and_then(Registrant::poll_timeout);
        [own, registrant].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        if let Some(registrant) = &mut self.registrant
            && registrant.poll_timeout().is_some_and(|at| at <= now)
        {
            registrant.handle_timeout(now, endpoint);
            return self.note_registration(now);
        }
        self.turn(now, endpoint);
    }
}

impl Talker {
    fn note_registration(&mut self, now: Time) {
        let Some(registrant) = &mut self.registrant else { return };
        let mut ledger = self.ledger.borrow_mut();
        while let Some(event) = registrant.poll_event() {
            ledger.log(now, format_args!("node {}: {event:?}", self.me));
            if let RegistrantEvent::State { state: RegistrantState::Registered, .. } = event {
                ledger.did("registered");
            }
        }
    }

    fn on_opened(&mut self, endpoint: &mut Endpoint, id: SessionId, initiator: bool) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.did(if initiator { "session_opened" } else { "session_accepted" });
        let Some(session) = endpoint.session(id) else { return };
        let epd = session.info().epd;
        if is_introducer(&epd) {
            return;
        }
        let peer = ledger.nodes.iter().position(|node| node.epds.contains(&epd));
        let Some(peer) = peer else { panic!("node {}: a session with a stranger, {epd:?}", self.me) };
        let known = Known { peer, ..Known::default() };
        assert!(self.sessions.insert(id, known).is_none(), "session {id} opens twice");
    }

    fn on_closed(&mut self, now: Time, id: SessionId, reason: CloseReason) {
        let known = self.sessions.remove(&id);
        let mut ledger = self.ledger.borrow_mut();
        ledger.did(name_of(reason));
        let Some(known) = known else {
            return; // It was never open.
        };
        let me = self.me;
        let left = self.incoming.values().filter(|flow| flow.session == id).count();
        assert_eq!(left, 0, "node {me}: session {id} is closed before its flows");
        let Known { peer, unwanted, cut } = known;
        let steady = !ledger.nodes[me].unsteady && !ledger.nodes[peer].unsteady;
        match reason {
            CloseReason::Near => assert!(unwanted || !steady, "node {me}: nobody wanted to close {id}"),
            CloseReason::Idle => assert_eq!(cut, 0, "node {me}: {id} was closed as idle, with flows"),
            CloseReason::Far => {
                let told = ledger.nodes[peer].closed.get(&me).is_some_and(|reasons| !reasons.is_empty());
                assert!(told || !steady, "node {me}: node {peer} did not close {id}");
            }
            CloseReason::Unresponsive => {
                let calm = ledger.calm_since.map(|since| now.since(since).as_secs());
                let told = ledger.nodes[peer].closed.contains_key(&me);
                // What went wrong before may be noticed as late as a ping is sent, and its answer is waited for.
                let fair = calm.is_none_or(|calm| calm < 60 + 125) || told || !steady;
                assert!(fair, "node {me}: node {peer} does not answer in {id}, {calm:?} s into the calm");
            }
            _ => {}
        }
        ledger.nodes[me].closed.entry(peer).or_default().push(reason);
    }

    fn on_offer(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        id: RecvFlowId,
        session: SessionId,
        metadata: &[u8],
        associated: Option<u32>,
    ) {
        let Some(key) = metadata.first_chunk().map(|key| u32::from_be_bytes(*key)) else {
            panic!("flow without its number: {metadata:?}")
        };
        let mut ledger = self.ledger.borrow_mut();
        let me = self.me;
        let flow = ledger.flow(key);
        assert!(flow.to == me, "flow {key} was opened to node {}, node {me} gets it", flow.to);
        assert_eq!(flow.receiving, Receiving::Unseen, "flow {key} is offered twice");
        assert_eq!(flow.answers, associated, "flow {key} answers another one");
        let from = flow.from;
        assert!(
            self.sessions.get(&session).is_none_or(|known| known.peer == from),
            "flow {key} comes from another node than {from}"
        );
        if self.dice.chance(self.manners.refuse) && !self.quiet {
            let code = self.dice.below(1000);
            ledger.flow(key).receiving = Receiving::Rejected(code);
            ledger.did("flow_refused");
            drop(ledger);
            return endpoint.reject(now, id, code);
        }
        ledger.flow(key).receiving = Receiving::Open;
        drop(ledger);
        let incoming = Incoming {
            id,
            session,
            unread: false,
            paused_until: Time::ZERO,
            held: false,
            changed_capacity: false,
        };
        self.incoming.insert(key, incoming);
        self.choose_order(now, endpoint, key, id);
        endpoint.accept(now, id, Tag(key.into()));
        if !self.quiet && self.dice.chance(self.manners.answer) {
            self.answer(now, endpoint, key, id);
        }
    }

    fn forget_incoming(&mut self, id: RecvFlowId, tag: Tag) -> Incoming {
        let Some(incoming) = self.incoming.remove(&key_of(tag)) else {
            panic!("node {}: flow {} ends twice", self.me, tag.0)
        };
        assert_eq!(incoming.id, id);
        incoming
    }

    fn on_exception(&mut self, id: rtmfp::SendFlowId, tag: Tag, code: u64) {
        let key = key_of(tag);
        let outgoing = self.outgoing.remove(&key).expect("a flow fails once");
        assert_eq!(outgoing.id, id);
        let mut ledger = self.ledger.borrow_mut();
        let flow = ledger.flow(key);
        if let Receiving::Rejected(told) = flow.receiving {
            assert!(code == told || code == 0, "flow {key} was refused with {told}, not {code}");
        } else {
            assert_eq!(code, 0, "flow {key}: nobody refused it");
        }
        flow.sending = Sending::Failed(code);
        ledger.did("flow_exception");
    }

    fn on_write_ended(&mut self, now: Time, receipt: ReceiptId, tag: Tag, delivered: bool) {
        let Some((key, number)) = self.receipts.remove(&receipt) else {
            panic!("node {}: {receipt} of flow {} ends twice", self.me, tag.0)
        };
        assert_eq!(key, key_of(tag));
        self.forget_due(key, number);
        let mut ledger = self.ledger.borrow_mut();
        ledger.ended(now, key, number, delivered);
        ledger.did(if delivered { "delivered" } else { "given_up" });
        ledger.note(u64::from(key) << 33 | u64::from(number) << 1 | u64::from(delivered));
    }
}

fn name_of(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Near => "closed_near",
        CloseReason::Far => "closed_far",
        CloseReason::Unresponsive => "closed_unresponsive",
        CloseReason::Idle => "closed_idle",
        CloseReason::OpenTimeout => "closed_open_timeout",
        CloseReason::Keying => "closed_keying",
        CloseReason::NeverUsed => "closed_never_used",
        CloseReason::Unreachable => "closed_unreachable",
        CloseReason::Duplicate => "closed_duplicate",
        CloseReason::Replaced => "closed_replaced",
        _ => "closed_otherwise",
    }
}
