//! A flow between two ends, what it carries, and what becomes of its writes.

use std::collections::BTreeMap;
use std::time::Duration;

use rtmfp::{Endpoint, Event, Priority, RecvFlowId, SendFlowId};
use rtmfp_base::ReceiptId;

use super::flows::{has_data, view};
use super::{DELAY, Fate, Hands};

/// Two ends with a flow whose first message, of one byte, was read.
pub fn flow_between(a: Endpoint, b: Endpoint) -> (Hands, SendFlowId, RecvFlowId) {
    let mut hands = Hands::new(a, b);
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 1);
    hands.run_millis(1000);
    let offered = hands.offered(1)[0];
    (hands, flow, offered)
}

/// The lengths of the messages that `b` has read.
pub fn lengths(hands: &Hands, flow: RecvFlowId) -> Vec<usize> {
    hands.received[1][&flow].iter().map(|message| message.bytes.len()).collect()
}

/// How writes with a receipt ended.
pub fn ended(hands: &Hands) -> BTreeMap<ReceiptId, bool> {
    let mut all = BTreeMap::new();
    for event in &hands.events[0] {
        if let Event::WriteEnded { receipt, delivered, .. } = event {
            assert_eq!(all.insert(*receipt, *delivered), None, "it ended twice");
        }
    }
    all
}

/// Loses all data that `a` sends; acknowledgements pass.
pub fn lose_data(hands: &mut Hands) {
    hands.network = Box::new(|end, datagram| {
        if end == 0 && has_data(&view(&datagram.bytes).1) { Fate::Lost } else { Fate::After(DELAY) }
    });
}

pub fn lose_nothing(hands: &mut Hands) {
    hands.network = Box::new(|_, _| Fate::After(DELAY));
}

/// Fills the window with a message, so that what is written next has to wait.
pub fn fill_window(hands: &mut Hands, flow: SendFlowId) {
    lose_data(hands);
    hands.write(flow, 20_000);
    hands.run(Duration::from_millis(1));
}
