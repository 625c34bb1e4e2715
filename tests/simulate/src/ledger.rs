//! The truth about all flows of a trial: what was written, what arrived, and how it ended. Every node enters what it
//! does, and what it sees is compared with what the others entered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;
use rtmfp::{CloseReason, ReceiveOrder};
use rtmfp_base::{Message, Time};

/// Where the sending end of a flow is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sending {
    Open,
    Closing,
    /// The endpoint told that all has ended well.
    Closed,
    /// The endpoint told that it is over, with this code.
    Failed(u64),
    /// The host was restarted.
    Dead,
}

/// Where the receiving end of a flow is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Receiving {
    Unseen,
    Open,
    /// By the application, with this code.
    Rejected(u64),
    Lost,
    Finished,
    Dead,
}

/// One message of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) len: u32,
    /// Whether it was delivered, as the sender was told.
    pub(crate) ended: Option<bool>,
    /// When it was told that.
    ended_at: Time,
    pub(crate) received: bool,
    /// It was abandoned before anything of it was sent: nobody may ever see it.
    pub(crate) never_sent: bool,
    /// The message that it depends on: number and flow.
    pub(crate) parent: Option<(u32, u32)>,
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The flow that it is in return of.
    pub(crate) answers: Option<u32>,
    /// Nothing of it is ever given up by the application or by deadlines.
    pub(crate) reliable: bool,
    pub(crate) messages: Vec<Written>,
    /// How many messages have not ended.
    pub(crate) open_writes: usize,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) order: ReceiveOrder,
    /// The number of the message to be read next at the earliest, in order of sequence.
    pub(crate) next: usize,
}

/// What is known of a node by all others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The Endpoint Discriminator that selects it, behind those of its former lives.
    pub(crate) epds: Vec<Bytes>,
    /// Something happened to the host that sessions need not survive.
    pub(crate) unsteady: bool,
    /// It has small limits and may refuse what it does not like.
    pub(crate) tight: bool,
    /// Ends of sessions that it told: with whom and why.
    pub(crate) closed: BTreeMap<usize, Vec<CloseReason>>,
}

impl Known {
    /// The Endpoint Discriminator that selects it now.
    pub(crate) fn epd(&self) -> Bytes {
        self.epds.last().cloned().unwrap_or_default()
    }
}

/// What applications did, and how often.
pub(crate) type Deeds = BTreeMap<&'static str, u64>;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) flows: Vec<Flow>,
    pub(crate) nodes: Vec<Known>,
    pub(crate) deeds: Deeds,
    /// Since when the network is perfect and nobody does anything new.
    pub(crate) calm_since: Option<Time>,
    /// A hash over all that applications saw.
    pub(crate) digest: u64,
    /// Bytes of messages that were read.
    pub(crate) bytes: u64,
    pub(crate) logs: bool,
}

impl Ledger {
    pub(crate) fn log(&self, now: Time, line: fmt::Arguments<'_>) {
        if self.logs {
            eprintln!("{now} -- {line}");
        }
    }

    pub(crate) fn did(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }

    pub(crate) fn note(&mut self, word: u64) {
        self.digest = (self.digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    pub(crate) fn add_flow(&mut self, from: usize, to: usize, answers: Option<u32>, reliable: bool) -> u32 {
        self.flows.push(Flow {
            from,
            to,
            answers,
            reliable,
            messages: Vec::new(),
            open_writes: 0,
            sending: Sending::Open,
            receiving: Receiving::Unseen,
            order: ReceiveOrder::Sequence,
            next: 0,
        });
        (self.flows.len() - 1) as u32
    }

    pub(crate) fn flow(&mut self, key: u32) -> &mut Flow {
        &mut self.flows[key as usize]
    }

    /// A message that is to be written next.
    pub(crate) fn next_message(&self, key: u32, len: usize) -> Message {
        content(key, self.flows[key as usize].messages.len() as u32, len)
    }

    /// It was taken.
    pub(crate) fn written(&mut self, key: u32, len: usize, parent: Option<(u32, u32)>) -> u32 {
        let flow = self.flow(key);
        let len = len as u32;
        flow.messages.push(Written {
            len,
            ended: None,
            ended_at: Time::ZERO,
            received: false,
            never_sent: false,
            parent,
        });
        flow.open_writes += 1;
        (flow.messages.len() - 1) as u32
    }

    /// The sender was told the end of a write.
    pub(crate) fn ended(&mut self, now: Time, key: u32, number: u32, delivered: bool) {
        let flow = self.flow(key);
        // A refused flow is over for its writer, who hears of its writes later.
        assert!(flow.sending != Sending::Closed, "flow {key}: a write ends after its flow");
        let message = &mut flow.messages[number as usize];
        assert_eq!(message.ended, None, "flow {key}: message {number} ends twice");
        message.ended = Some(delivered);
        message.ended_at = now;
        flow.open_writes -= 1;
        let parent = message.parent;
        if delivered {
            assert!(!message.never_sent, "flow {key}: message {number} was delivered without being sent");
            assert!(
                flow.receiving != Receiving::Unseen,
                "flow {key}: message {number} was delivered to nobody"
            );
            assert!(
                message.received || flow.receiving != Receiving::Finished,
                "flow {key}: message {number} was delivered, says the sender; the receiver is through without it"
            );
            if let Some((above, parent)) = parent {
                // What gives one up may come together with what acknowledges the other.
                let above_message = &self.flow(above).messages[parent as usize];
                let given_up = above_message.ended == Some(false) && above_message.ended_at < now;
                assert!(
                    !given_up,
                    "flow {key}: message {number} was delivered, {parent} of flow {above} that it depends on given up"
                );
            }
        }
    }

    /// The receiver got a message.
    pub(crate) fn received(&mut self, key: u32, bytes: &[u8]) -> u32 {
        self.bytes += bytes.len() as u64;
        let flow = &mut self.flows[key as usize];
        assert_eq!(flow.receiving, Receiving::Open, "flow {key}: a message after the flow's end");
        let number = if flow.reliable && flow.order == ReceiveOrder::Sequence {
            flow.next
        } else {
            assert!(bytes.len() >= 4, "flow {key}: no message is so short: {bytes:?}");
            u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        };
        let Some(message) = flow.messages.get_mut(number) else {
            panic!("flow {key}: message {number} was never written");
        };
        let expected = content(key, number as u32, message.len as usize);
        let (head, body) = bytes.split_at(expected.head().len().min(bytes.len()));
        assert!(
            head == expected.head() && body == &expected.body()[..],
            "flow {key}: message {number} of {} bytes has another content, and {} bytes",
            message.len,
            bytes.len()
        );
        assert!(!message.received, "flow {key}: message {number} comes twice");
        assert!(
            !message.never_sent,
            "flow {key}: message {number} comes, though it was given up before it was sent"
        );
        message.received = true;
        if flow.order == ReceiveOrder::Sequence {
            assert!(number >= flow.next, "flow {key}: message {number} comes after {}", flow.next - 1);
            flow.next = number + 1;
        }
        self.note(u64::from(key) << 32 | number as u64);
        number as u32
    }

    /// The sender was told that all of a flow has ended well.
    pub(crate) fn closed(&mut self, key: u32) {
        let flow = self.flow(key);
        assert_eq!(flow.sending, Sending::Closing, "flow {key}: closed");
        assert_eq!(flow.open_writes, 0, "flow {key} is closed before all its writes have ended");
        flow.sending = Sending::Closed;
        for (number, message) in flow.messages.iter().enumerate() {
            assert!(
                !flow.reliable || message.ended == Some(true),
                "flow {key}: message {number} was given up"
            );
        }
    }

    /// The receiver was told that a flow has come to its end.
    pub(crate) fn finished(&mut self, key: u32) {
        let flow = self.flow(key);
        assert_eq!(flow.receiving, Receiving::Open, "flow {key}: finished");
        assert!(
            !matches!(flow.sending, Sending::Open),
            "flow {key}: the receiver is through before the sender has closed"
        );
        flow.receiving = Receiving::Finished;
        for (number, message) in flow.messages.iter().enumerate() {
            let owed = flow.reliable || message.ended == Some(true);
            assert!(!owed || message.received, "flow {key}: message {number} is missing at the end");
        }
    }

    /// What has to hold of every flow when all is over.
    pub(crate) fn check_the_end(&self) {
        for (key, flow) in self.flows.iter().enumerate() {
            let (sending, receiving) = (flow.sending, flow.receiving);
            let stuck = matches!(sending, Sending::Open | Sending::Closing) || receiving == Receiving::Open;
            let left = flow.messages.iter().filter(|message| !message.received).count();
            assert!(
                !stuck,
                "flow {key} of node {} to {} is stuck: {sending:?}, {receiving:?}, {left} messages of {} not received",
                flow.from,
                flow.to,
                flow.messages.len()
            );
            if sending != Sending::Dead {
                assert_eq!(flow.open_writes, 0, "flow {key}: not every write has ended");
            }
            let excused = self.nodes[flow.from].unsteady || self.nodes[flow.to].unsteady;
            if sending == Sending::Closed && !excused {
                let delivered = flow.messages.iter().any(|message| message.ended == Some(true));
                assert!(
                    !delivered
                        || matches!(
                            receiving,
                            Receiving::Finished | Receiving::Rejected(_) | Receiving::Lost
                        ),
                    "flow {key}: closed here, {receiving:?} there"
                );
            }
        }
    }
}

/// The bytes of a message: its number and flow in front, then a piece of what all share.
pub(crate) fn content(key: u32, number: u32, len: usize) -> Message {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&number.to_be_bytes());
    head[4..].copy_from_slice(&key.to_be_bytes());
    if len < head.len() {
        return Message::new(&head[..len], Bytes::new());
    }
    let start = (u64::from(key) << 32 | u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let start = start as usize;
    Message::new(&head, pool().slice(start..start + len - head.len()))
}

/// The longest message that there is.
pub(crate) const MAX_MESSAGE: usize = 1 << 20;

fn pool() -> &'static Bytes {
    static POOL: OnceLock<Bytes> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut state = 0x1234_5678_9abc_def1u64;
        let words = (MAX_MESSAGE + 65_536) / 8;
        let word = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        core::iter::repeat_with(word).take(words).flatten().collect::<Vec<u8>>().into()
    })
}
