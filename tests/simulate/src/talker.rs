//! An application that does everything that one may do, at random: it opens flows of all kinds to others, answers
//! theirs, writes, gives up, stops reading, closes. What it sees has to agree with the ledger.

mod events;
mod receiving;
mod writing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rtmfp::{Endpoint, RecvFlowId, SendFlowId, SessionId};
use rtmfp_base::{ReceiptId, Time};
use rtmfp_netsim::Dice;
use rtmfp_redirect::Registrant;

use crate::ledger::{Ledger, Sending};

/// Where the nodes can be found now.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Their own addresses.
    pub(crate) own: Vec<Option<SocketAddr>>,
    /// Those of the NAT boxes that they are behind.
    pub(crate) public: Vec<Option<SocketAddr>>,
}

impl Book {
    /// Where a node may find another one. By the address of a box that both are behind it may work or not.
    fn addresses(&self, me: usize, other: usize) -> Vec<SocketAddr> {
        let hairpin = self.public[other].filter(|public| self.public[me] == Some(*public));
        self.own[other].into_iter().chain(hairpin).collect()
    }
}

/// How an application behaves: probabilities are those of a turn, unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// Those it opens flows to.
    pub(crate) targets: Vec<usize>,
    /// Flows to open at the start, at the most, and in all.
    pub(crate) first_flows: u64,
    pub(crate) flows: u64,
    /// Messages of a flow, at the most.
    pub(crate) messages: u64,
    /// The longest message.
    pub(crate) longest: u64,
    /// Time between turns, at the most.
    pub(crate) turn: Duration,
    pub(crate) open_later: f64,
    /// Of an offered flow to be answered by a return flow.
    pub(crate) answer: f64,
    /// Of a flow to be reliable.
    pub(crate) reliable: f64,
    /// Of a message to depend on another one.
    pub(crate) depend: f64,
    /// Of a message to be abandoned.
    pub(crate) abandon: f64,
    /// Of a message's deadlines to be changed.
    pub(crate) reconsider: f64,
    /// Of an offered flow to be refused, and of one that was accepted later.
    pub(crate) refuse: f64,
    pub(crate) refuse_later: f64,
    /// To stop reading a flow for a while.
    pub(crate) pause: f64,
    /// Of an offered flow to be read in the order of the network.
    pub(crate) network_order: f64,
    /// To close or abort a session.
    pub(crate) end_session: f64,
    /// To change a flow's priority, or its receiver's capacity.
    pub(crate) tweak: f64,
    /// To write more than the flow's capacity.
    pub(crate) pushy: f64,
}

/// A flow that this node sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    id: SendFlowId,
    reliable: bool,
    /// The longest message.
    longest: u64,
    to_write: u64,
    closing: bool,
}

/// A flow that this node receives.
#[derive(Debug)]
pub(super) struct Incoming {
    id: RecvFlowId,
    session: SessionId,
    /// Something is to be read.
    unread: bool,
    /// Not read before this.
    paused_until: Time,
    held: bool,
    /// What its receiver has room for, before it was changed.
    changed_capacity: bool,
}

/// A session that is open.
#[derive(Debug, Default)]
pub(super) struct Known {
    peer: usize,
    /// This end wants it to end.
    unwanted: bool,
    /// Flows that were cut off and not by the other end's application: the session has to end.
    cut: u64,
}

/// The application.
pub(crate) struct Talker {
    pub(crate) me: usize,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    book: Rc<RefCell<Book>>,
    manners: Manners,
    dice: Dice,
    next_turn: Time,
    opened: u64,
    quiet: bool,
    /// What the endpoint's receiving flows have room for.
    capacity: usize,
    max_message: usize,
    outgoing: BTreeMap<u32, Outgoing>,
    incoming: BTreeMap<u32, Incoming>,
    receipts: BTreeMap<ReceiptId, (u32, u32)>,
    /// Messages that are to end by a time.
    due: BTreeMap<(Time, u32, u32), ()>,
    due_of: BTreeMap<(u32, u32), Time>,
    sessions: BTreeMap<SessionId, Known>,
    /// What registers it with somebody who introduces it to others.
    registrant: Option<Registrant>,
    pub(crate) shut_down: bool,
}

impl Talker {
    pub(crate) fn new(
        me: usize,
        ledger: Rc<RefCell<Ledger>>,
        book: Rc<RefCell<Book>>,
        manners: Manners,
        config: &rtmfp::Config,
        dice: Dice,
    ) -> Self {
        Self {
            me,
            ledger,
            book,
            manners,
            dice,
            next_turn: Time::from_millis(1),
            opened: 0,
            quiet: false,
            capacity: config.receive_capacity,
            max_message: config.max_message,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            receipts: BTreeMap::new(),
            due: BTreeMap::new(),
            due_of: BTreeMap::new(),
            sessions: BTreeMap::new(),
            registrant: None,
            shut_down: false,
        }
    }

    /// Has it register.
    pub(crate) fn register(&mut self, registrant: Registrant) {
        self.registrant = Some(registrant);
    }

    pub(crate) fn is_registrant(&self) -> bool {
        self.registrant.is_some()
    }

    /// Receipts of writes that have not ended.
    pub(crate) fn open_receipts(&self) -> usize {
        self.receipts.len()
    }

    /// Begins nothing new, reads everything and closes all flows: what was written is still to be delivered.
    pub(crate) fn quieten(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.quiet = true;
        self.resume_all(now, endpoint);
        self.read_all(now, endpoint);
        let keys: Vec<u32> = self.outgoing.keys().copied().collect();
        for key in keys {
            self.close_flow(now, endpoint, key);
        }
    }

    /// Whether no flow is left.
    pub(crate) fn is_done(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty()
    }

    /// The program ends, orderly or not: what comes of its flows is nobody's fault.
    pub(crate) fn leaves(&mut self, now: Time, endpoint: &mut Endpoint) {
        if let Some(registrant) = &mut self.registrant {
            registrant.close(now, endpoint);
        }
        for session in self.sessions.values_mut() {
            session.unwanted = true;
        }
        self.shut_down = true;
        self.quiet = true;
    }

    /// The host is restarted: this application is no more.
    pub(crate) fn dies(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let me = self.me;
        for flow in &mut ledger.flows {
            if flow.from == me && matches!(flow.sending, Sending::Open | Sending::Closing) {
                flow.sending = Sending::Dead;
            }
            if flow.to == me && flow.receiving == crate::ledger::Receiving::Open {
                flow.receiving = crate::ledger::Receiving::Dead;
            }
        }
        ledger.nodes[me].unsteady = true;
    }

    /// What has to hold whenever the endpoint has been served.
    pub(crate) fn check(&self, now: Time, just_woken: bool) {
        if just_woken {
            return;
        }
        if let Some((&(at, key, number), ())) = self.due.first_key_value() {
            let late = now.since(at);
            assert!(
                late < Duration::from_millis(10),
                "node {}: message {number} of flow {key} should have ended {late:?} ago",
                self.me
            );
        }
    }

    fn turn(&mut self, now: Time, endpoint: &mut Endpoint) {
        let shortest = Duration::from_millis(2);
        self.next_turn = now + shortest + self.dice.up_to(self.manners.turn);
        self.resume_some(now, endpoint);
        self.read_all(now, endpoint);
        if self.quiet {
            return;
        }
        self.write_some(now, endpoint);
        if self.opened < self.manners.flows && self.dice.chance(self.manners.open_later) {
            self.open_flow(now, endpoint);
        }
        self.pause_some(now, endpoint);
        self.refuse_some(now, endpoint);
        self.tweak_some(now, endpoint);
        self.end_a_session(now, endpoint);
    }

    fn end_a_session(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.sessions.is_empty() || !self.dice.chance(self.manners.end_session) {
            return;
        }
        let nth = self.dice.below(self.sessions.len() as u64) as usize;
        let Some((&id, known)) = self.sessions.iter_mut().nth(nth) else { return };
        let Some(session) = endpoint.session(id) else { return };
        known.unwanted = true;
        let mut ledger = self.ledger.borrow_mut();
        ledger.log(now, format_args!("node {} ends its session {id}", self.me));
        if self.dice.chance(0.5) {
            ledger.did("session_closed");
            session.close(now);
        } else {
            ledger.did("session_aborted");
            session.abort(now);
        }
    }
}
