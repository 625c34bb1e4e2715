use core::time::Duration;

use rtmfp_base::Time;

use super::{MessageId, Queue};
use crate::SendOptions;
use crate::testing::message;

const NEVER: SendOptions =
    SendOptions { priority: 0, start_by: Time::MAX, finish_by: Time::MAX, group: None, notify: false };

fn at(priority: u8) -> SendOptions {
    SendOptions { priority, ..NEVER }
}

/// Takes all messages out in the order of sending.
fn drain(queue: &mut Queue) -> Vec<MessageId> {
    core::iter::from_fn(|| {
        let (id, _) = queue.choose(true, false)?;
        queue.remove(id)?;
        Some(id)
    })
    .collect()
}

#[test]
fn higher_priorities_go_first_and_equal_ones_in_the_order_they_came() {
    let mut queue = Queue::new(true);
    let video = queue.push(message(9, 0, 1, 10), at(1));
    let audio = queue.push(message(8, 0, 1, 10), at(5));
    let data = queue.push(message(18, 0, 1, 10), at(1));
    let command = queue.push(message(20, 0, 0, 10), at(200));
    let other_video = queue.push(message(9, 0, 2, 10), at(1));
    let next_video = queue.push(message(9, 0, 1, 10), at(1));
    assert_eq!(queue.bytes(), 60);
    assert_eq!(drain(&mut queue), [command, audio, video, data, other_video, next_video]);
    assert_eq!(queue.bytes(), 0);
    assert!(queue.is_empty());
}

#[test]
fn a_message_lends_its_priority_to_those_before_it_in_its_lane() {
    let mut queue = Queue::new(true);
    let first = queue.push(message(9, 0, 1, 10), at(1));
    let audio = queue.push(message(8, 0, 1, 10), at(3));
    let second = queue.push(message(9, 0, 1, 10), at(5));
    let third = queue.push(message(9, 0, 1, 10), at(1));
    assert_eq!(drain(&mut queue), [first, second, audio, third]);
}

#[test]
fn removing_from_the_middle_keeps_the_order_of_the_others() {
    for gone in 0..5 {
        let mut queue = Queue::new(true);
        let mut ids: Vec<_> = (0..5).map(|time| queue.push(message(9, time, 1, 10), at(2))).collect();
        let id = ids.remove(gone);
        assert!(queue.remove(id).is_some());
        assert!(queue.remove(id).is_none());
        assert_eq!(queue.bytes(), 40);
        ids.push(queue.push(message(9, 9, 1, 10), at(2)));
        assert_eq!(drain(&mut queue), ids, "without {gone}");
    }
}

#[test]
fn a_message_that_has_begun_can_be_preferred_or_be_the_only_choice() {
    let mut queue = Queue::new(true);
    let video = queue.push(message(9, 0, 1, 10), at(1));
    queue.advance(video, 4, 3);
    let audio = queue.push(message(8, 0, 1, 10), at(5));
    assert_eq!(queue.choose(true, false), Some((audio, None)));
    assert_eq!(queue.choose(true, true), Some((video, Some(3))));
    assert_eq!(queue.choose(false, false), Some((video, Some(3))));
    assert_eq!(queue.bytes(), 16);
    let removed = queue.remove(video).expect("it is there");
    assert_eq!((removed.chunk_stream, removed.queued.done), (Some(3), 4));
    assert_eq!(queue.bytes(), 10);
    assert_eq!(queue.choose(false, false), None);
}

#[test]
fn the_nearest_deadline_is_found_wherever_its_message_waits() {
    let mut queue = Queue::new(true);
    let times = [50, 20, 40, 10, 30].map(Time::from_millis);
    queue.push(message(9, 0, 1, 10), NEVER);
    let ids = times.map(|start_by| queue.push(message(9, 0, 1, 10), SendOptions { start_by, ..NEVER }));
    let mut seen = Vec::new();
    while let Some((deadline, id)) = queue.nearest_deadline() {
        queue.remove(id);
        seen.push((deadline, id));
    }
    assert_eq!(seen, [3, 1, 4, 2, 0].map(|index| (times[index], ids[index])));
    assert!(!queue.is_empty());
}

#[test]
fn beginning_leaves_the_deadline_to_finish() {
    let (soon, late) = (Time::from_millis(10), Time::from_millis(20));
    let options = SendOptions { start_by: soon, finish_by: late, ..NEVER };
    for (abandon_started, expected) in [(true, Some(late)), (false, None)] {
        let mut queue = Queue::new(abandon_started);
        let id = queue.push(message(9, 0, 1, 10), options);
        assert_eq!(queue.nearest_deadline(), Some((soon, id)));
        queue.advance(id, 4, 0);
        assert_eq!(queue.nearest_deadline().map(|(deadline, _)| deadline), expected);
    }
}

#[test]
fn deadlines_are_brought_forward_but_never_put_off() {
    let mut queue = Queue::new(true);
    let soon = Time::from_millis(10);
    let id = queue.push(message(9, 0, 1, 10), SendOptions { start_by: soon, ..NEVER });
    queue.hasten(id, Time::from_millis(20), Time::MAX);
    assert_eq!(queue.nearest_deadline(), Some((soon, id)));
    queue.hasten(id, Time::from_millis(20), Time::from_millis(5));
    assert_eq!(queue.nearest_deadline(), Some((Time::from_millis(5), id)));
}

#[test]
fn sent_messages_leave_no_growing_list_of_deadlines() {
    let mut queue = Queue::new(true);
    let mut now = Time::ZERO;
    for _ in 0..10_000 {
        now += Duration::from_millis(1);
        let options = SendOptions { start_by: now + Duration::from_secs(3600), ..NEVER };
        let id = queue.push(message(9, 0, 1, 10), options);
        queue.remove(id);
    }
    assert!(queue.memory() < 10_000, "{} bytes", queue.memory());
}
