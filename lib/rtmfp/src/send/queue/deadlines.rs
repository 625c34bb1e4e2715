//! When messages expire (RFC 7016 section 3.6.2.7).
//!
//! A heap holds one entry that counts for each message with a deadline. An entry that does not count any more (its
//! message has ended, or was given an earlier deadline) is dropped when it comes up, or with all others of its kind
//! when there are more of them than messages. So each change costs the logarithm of the queue's length, whatever
//! waits in front, and the queue is never searched.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use rtmfp_base::Time;

use super::{GARBAGE, Queue};

/// Deadlines with the numbers of their messages.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, u64)>>,
}

#[cfg(test)]
impl Deadlines {
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl Queue {
    /// Changes a message's deadlines to earlier or later ones.
    pub(crate) fn set_deadlines(&mut self, message: u64, start_by: Time, finish_by: Time) {
        if let Some(queued) = self.message_mut(message) {
            queued.options.start_by = start_by;
            queued.options.finish_by = finish_by;
            self.arm(message);
        }
    }

    /// The deadlines of a message that has not ended: to be begun, to be delivered.
    pub(crate) fn deadlines(&self, message: u64) -> Option<(Time, Time)> {
        let queued = self.message(message).filter(|queued| !queued.ended)?;
        Some((queued.options.start_by, queued.options.finish_by))
    }

    /// When the next message expires.
    pub(crate) fn next_expiry(&mut self) -> Time {
        while let Some(&Reverse((at, number))) = self.deadlines.heap.peek() {
            let due = self.message(number).filter(|queued| queued.armed == at && !queued.ended);
            match due.map(super::Queued::deadline) {
                Some(deadline) if deadline <= at => return at,
                // It has begun since, or was given more time.
                Some(_) => {
                    self.deadlines.heap.pop();
                    if let Some(queued) = self.message_mut(number) {
                        queued.armed = Time::MAX;
                    }
                    self.arm(number);
                }
                None => {
                    self.deadlines.heap.pop();
                }
            }
        }
        Time::MAX
    }

    /// Abandons what has expired.
    pub(crate) fn expire(&mut self, now: Time) {
        let mut any = false;
        while now > self.next_expiry() {
            let Some(Reverse((_, number))) = self.deadlines.heap.pop() else { break };
            if let Some(index) = self.index_of(number) {
                self.end(index, false);
                any = true;
            }
        }
        if any {
            self.trim_messages();
        }
    }

    /// Notes the deadline of a message, unless an earlier one of it is noted.
    pub(super) fn arm(&mut self, message: u64) {
        let Some(queued) = self.message_mut(message).filter(|queued| !queued.ended) else { return };
        let deadline = queued.deadline();
        if deadline >= queued.armed {
            return;
        }
        queued.armed = deadline;
        self.deadlines.heap.push(Reverse((deadline, message)));
        if self.deadlines.heap.len() > 2 * self.messages.len() + GARBAGE {
            let mut deadlines = core::mem::take(&mut self.deadlines);
            deadlines.heap.retain(|&Reverse((at, number))| {
                self.message(number).is_some_and(|queued| queued.armed == at && !queued.ended)
            });
            self.deadlines = deadlines;
        }
    }
}
