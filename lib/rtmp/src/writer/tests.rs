use core::time::Duration;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;

use crate::testing::{Decoder, control, fill, format0, format1, format2, format3, message, open};
use crate::{Config, Connection, Event, Role, SendError, SendOptions};

const ANY: SendOptions =
    SendOptions { priority: 0, start_by: Time::MAX, finish_by: Time::MAX, group: None, notify: true };
const T0: Time = Time::ZERO;

/// An open connection with small chunks, and a decoder that knows.
fn small_chunks(config: Config) -> (Connection, Decoder) {
    let mut decoder = Decoder::new();
    decoder.0.set_chunk_size(128);
    (open(Role::Server, Config { chunk_size: 128, ..config }), decoder)
}

fn send(connection: &mut Connection, message: &TcMessage, options: SendOptions) -> crate::MessageId {
    connection.send(T0, message.clone(), &options).expect("there is room")
}

fn events(connection: &mut Connection) -> Vec<Event> {
    core::iter::from_fn(|| connection.poll_event()).collect()
}

/// All bytes for one message after another, each sent before the next comes.
fn bytes_of(connection: &mut Connection, messages: &[TcMessage]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        send(connection, message, ANY);
        connection.fill(T0, usize::MAX, &mut out);
    }
    out
}

#[test]
fn headers_shrink_as_far_as_the_message_before_allows() {
    let (mut server, _) = small_chunks(Config::default());
    let sent = [
        message(8, 1000, 1, 3),
        message(8, 1020, 1, 3), // same length: but never format 3 after format 0
        message(8, 1040, 1, 3),
        message(8, 1060, 1, 4),
        message(8, 1080, 1, 4),
        message(8, 1080, 1, 4),
        message(8, 1079, 1, 4), // back in time
        message(8, 1079, 1, 4),
        message(8, 0x1000_0000, 1, 4), // too far for a plain difference
    ];
    let expected = [
        format0(3, 1000, 3, 8, 1),
        format2(3, 20),
        format3(3),
        format1(3, 20, 4, 8),
        format3(3),
        format2(3, 0),
        format0(3, 1079, 4, 8, 1),
        format2(3, 0),
        format0(3, 0x1000_0000, 4, 8, 1),
    ];
    for (message, header) in sent.iter().zip(expected) {
        let bytes = bytes_of(&mut server, core::slice::from_ref(message));
        assert_eq!(bytes, [header, message.payload.to_vec()].concat(), "{message:?}");
    }
}

#[test]
fn each_type_on_each_stream_keeps_its_chunk_stream() {
    let (mut server, _) = small_chunks(Config::default());
    let kinds = [(20, 0), (8, 1), (9, 1), (18, 1), (9, 2)];
    for round in 0..3 {
        for (place, (kind, stream_id)) in kinds.into_iter().enumerate() {
            let bytes = bytes_of(&mut server, &[message(kind, round * 10, stream_id, 1)]);
            let format = [0, 2, 3][round as usize];
            assert_eq!(bytes[0], format << 6 | (3 + place as u8));
        }
    }
}

#[test]
fn no_more_than_24_chunk_streams_are_used() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let sent: Vec<_> = (1..100).map(|stream_id| message(9, 0, stream_id, 1)).collect();
    let bytes = bytes_of(&mut server, &sent);
    assert_eq!(decoder.read(&bytes), Ok(sent));
    let highest = bytes.chunks(13).map(|chunk| chunk[0]).max();
    assert_eq!(highest, Some(26), "full headers on chunk streams 3 to 26");
}

#[test]
fn extended_timestamps_come_with_every_continuation() {
    let (mut server, _) = small_chunks(Config::default());
    let timestamp = 0xff_ffff;
    let sent = message(9, timestamp, 1, 300);
    let mut expected = format0(3, timestamp, 300, 9, 1);
    for (index, part) in sent.payload.chunks(128).enumerate() {
        if index > 0 {
            expected.extend(format3(3));
            expected.extend(timestamp.to_be_bytes());
        }
        expected.extend(part);
    }
    assert_eq!(bytes_of(&mut server, &[sent]), expected);
    // The next one is a small difference, without any.
    let next = message(9, timestamp + 40, 1, 200);
    let expected =
        [format1(3, 40, 200, 9), next.payload[..128].to_vec(), format3(3), next.payload[128..].to_vec()];
    assert_eq!(bytes_of(&mut server, &[next]), expected.concat());
}

#[test]
fn the_simple_dialect_has_full_headers_and_whole_messages() {
    let mut server = open(Role::Server, Config::simple());
    let mut decoder = Decoder::new();
    decoder.0.set_chunk_size(65_536);
    let video = message(9, 10, 1, 200_000);
    let id = send(&mut server, &video, SendOptions { finish_by: Time::from_secs(1), ..ANY });
    let mut bytes = fill(&mut server, T0, 2048);
    let audio = message(8, 11, 1, 10);
    send(&mut server, &audio, SendOptions { priority: 7, ..ANY });
    assert!(!server.abandon(id), "it has begun");
    bytes.extend(fill(&mut server, Time::from_secs(2), usize::MAX));
    assert_eq!(decoder.read(&bytes), Ok(vec![video, audio]));
    assert_eq!(bytes_of(&mut server, &[message(8, 12, 1, 0)]), format0(4, 12, 0, 8, 1));
}

#[test]
fn user_control_goes_on_chunk_stream_2_in_its_turn() {
    let (mut server, _) = small_chunks(Config::default());
    let (begin, status) = (message(4, 0, 0, 6), message(20, 0, 1, 10));
    send(&mut server, &begin, ANY);
    send(&mut server, &status, ANY);
    let expected =
        [format0(2, 0, 6, 4, 0), begin.payload.to_vec(), format0(3, 0, 10, 20, 1), status.payload.to_vec()];
    assert_eq!(fill(&mut server, T0, usize::MAX), expected.concat());
}

#[test]
fn audio_passes_a_video_frame_at_the_next_chunk() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let (video, audio) = (message(9, 0, 1, 1000), message(8, 0, 1, 50));
    send(&mut server, &video, SendOptions { priority: 1, ..ANY });
    let mut bytes = fill(&mut server, T0, 50);
    assert_eq!(bytes.len(), 50);
    send(&mut server, &audio, SendOptions { priority: 2, ..ANY });
    bytes.extend(fill(&mut server, T0, 12 + 128 - 50 + 12 + 50));
    assert_eq!(decoder.read(&bytes), Ok(vec![audio]));
    assert_eq!(decoder.read(&fill(&mut server, T0, usize::MAX)), Ok(vec![video]));
}

#[test]
fn fill_keeps_to_its_limit_but_for_a_header() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let sent: Vec<_> = (0..20).map(|time| message(9, time * 5000, 1, 77 * time as usize)).collect();
    for message in &sent {
        send(&mut server, message, ANY);
    }
    let total: usize = sent.iter().map(|message| message.payload.len()).sum();
    assert_eq!(server.queued_bytes(), total);
    let mut received = Vec::new();
    while server.wants_write() {
        let bytes = fill(&mut server, T0, 10);
        assert!((1..10 + 18).contains(&bytes.len()), "{} bytes", bytes.len());
        received.extend(decoder.read(&bytes).expect("valid chunks"));
    }
    assert_eq!(received, sent);
    assert_eq!(server.queued_bytes(), 0);
    assert_eq!(fill(&mut server, T0, 10), []);
}

#[test]
fn sent_is_told_when_the_last_byte_is_handed_out() {
    let (mut server, _) = small_chunks(Config::default());
    let id = send(&mut server, &message(9, 0, 1, 100), ANY);
    fill(&mut server, T0, 12 + 99);
    assert_eq!(events(&mut server), []);
    fill(&mut server, T0, 1);
    assert_eq!(events(&mut server), [Event::Sent(id)]);
    let empty = send(&mut server, &message(9, 0, 1, 0), ANY);
    fill(&mut server, T0, 1);
    assert_eq!(events(&mut server), [Event::Sent(empty)]);
    send(&mut server, &message(9, 0, 1, 5), SendOptions { notify: false, ..ANY });
    fill(&mut server, T0, 100);
    assert_eq!(events(&mut server), []);
}

#[test]
fn messages_without_deadline_do_not_shield_expired_ones_behind_them() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let deadline = Time::from_secs(1);
    let expiring = SendOptions { start_by: deadline, ..ANY };
    let kept = [message(9, 0, 1, 500), message(9, 2, 1, 10)];
    send(&mut server, &kept[0], ANY);
    let id = send(&mut server, &message(9, 1, 1, 10), expiring);
    send(&mut server, &kept[1], ANY);
    assert_eq!(server.poll_timeout(), Some(deadline));
    assert_eq!(server.handle_timeout(deadline - Duration::from_micros(1)), Ok(()));
    assert_eq!(events(&mut server), []);
    assert_eq!(server.handle_timeout(deadline), Ok(()));
    assert_eq!(events(&mut server), [Event::Dropped { id, begun: false }]);
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(decoder.read(&fill(&mut server, T0, usize::MAX)), Ok(kept.to_vec()));
}

#[test]
fn a_message_that_expires_in_its_middle_is_aborted_after_the_chunk() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let options = SendOptions { finish_by: Time::from_secs(1), ..ANY };
    let video = message(9, 5000, 1, 1000);
    let id = send(&mut server, &video, options);
    let mut bytes = fill(&mut server, T0, 12 + 128 + 1 + 28);
    bytes.extend(fill(&mut server, Time::from_secs(1), usize::MAX));
    let expected = [
        format0(3, 5000, 1000, 9, 1),
        video.payload[..128].to_vec(),
        format3(3),
        video.payload[128..256].to_vec(),
        control(2, &[0, 0, 0, 3]),
    ];
    assert_eq!(bytes, expected.concat());
    assert_eq!(events(&mut server), [Event::Dropped { id, begun: true }]);
    // The next one does not build on what the peer may have forgotten.
    let next = message(9, 5040, 1, 5);
    let more = bytes_of(&mut server, core::slice::from_ref(&next));
    assert_eq!(more, [format0(3, 5040, 5, 9, 1), next.payload.to_vec()].concat());
    assert_eq!(decoder.read(&[bytes, more].concat()).expect("valid chunks").last(), Some(&next));
}

#[test]
fn a_message_that_has_begun_is_finished_where_aborts_are_off() {
    let config = Config { abandon_started: false, ..Config::default() };
    let (mut server, mut decoder) = small_chunks(config);
    let late = Time::from_secs(1);
    let options = SendOptions { start_by: late, finish_by: late, group: Some(1), ..ANY };
    let sent = [message(9, 0, 1, 1000), message(9, 1, 1, 1000)];
    let ids = [send(&mut server, &sent[0], options), send(&mut server, &sent[1], options)];
    let mut bytes = fill(&mut server, T0, 50);
    assert!(!server.abandon(ids[0]));
    bytes.extend(fill(&mut server, late, usize::MAX));
    assert_eq!(decoder.read(&bytes), Ok(vec![sent[0].clone()]));
    assert_eq!(events(&mut server), [Event::Dropped { id: ids[1], begun: false }, Event::Sent(ids[0])]);
}

#[test]
fn a_group_that_loses_a_message_loses_all_later_ones() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let group = |group| SendOptions { group: Some(group), ..ANY };
    let kept = [message(9, 0, 1, 5), message(9, 2, 1, 5), message(9, 5, 1, 5), message(8, 0, 1, 5)];
    send(&mut server, &kept[0], group(1));
    let lost = [1, 3, 4].map(|time| {
        if time == 3 {
            send(&mut server, &kept[1], ANY);
        }
        send(&mut server, &message(9, time, 1, 5), group(1))
    });
    send(&mut server, &kept[2], group(2));
    send(&mut server, &kept[3], ANY);
    assert!(server.abandon(lost[0]));
    assert!(!server.abandon(lost[0]));
    assert_eq!(events(&mut server), lost.map(|id| Event::Dropped { id, begun: false }));
    let late = send(&mut server, &message(9, 6, 1, 5), group(1));
    assert_eq!(events(&mut server), [Event::Dropped { id: late, begun: false }]);
    assert_eq!(decoder.read(&fill(&mut server, T0, usize::MAX)), Ok(kept.to_vec()));
}

#[test]
fn a_whole_group_can_be_hastened_or_abandoned() {
    let (mut server, mut decoder) = small_chunks(Config::default());
    let options = |group| SendOptions { group: Some(group), start_by: Time::from_secs(2), ..ANY };
    let old: Vec<_> = (0..3).map(|time| send(&mut server, &message(9, time, 1, 5), options(1))).collect();
    let new = [message(9, 10, 1, 5), message(9, 11, 1, 5)];
    let ids = [send(&mut server, &new[0], options(2)), send(&mut server, &new[1], options(2))];

    let soon = Time::from_millis(100);
    server.hasten_group(1, 9, 1, soon, soon);
    server.hasten_group(1, 8, 2, T0, T0);
    assert_eq!(server.poll_timeout(), Some(soon));
    assert_eq!(server.handle_timeout(soon), Ok(()));
    let dropped = |ids: &[_]| ids.iter().map(|&id| Event::Dropped { id, begun: false }).collect::<Vec<_>>();
    assert_eq!(events(&mut server), dropped(&old));

    let bytes = fill(&mut server, soon, 12 + 5);
    assert_eq!(decoder.read(&bytes), Ok(vec![new[0].clone()]));
    server.abandon_group(1, 9, 2);
    assert_eq!(events(&mut server), [&[Event::Sent(ids[0])], &dropped(&ids[1..])[..]].concat());
    assert!(!server.wants_write());
    let late = send(&mut server, &message(9, 12, 1, 5), options(2));
    assert_eq!(events(&mut server), dropped(&[late]));
}

#[test]
fn a_full_queue_drops_what_has_a_deadline_and_refuses_the_rest() {
    let config = Config { max_queued_bytes: 10_000, ..Config::default() };
    let (mut server, _) = small_chunks(config);
    let expiring = |secs| SendOptions { start_by: Time::from_secs(secs), ..ANY };
    let large = message(9, 0, 1, 2000);
    let ids = [3, 2, 4].map(|secs| send(&mut server, &large, expiring(secs)));
    let command = message(20, 0, 0, 5000);
    send(&mut server, &command, ANY);
    let dropped = |id| Event::Dropped { id, begun: false };
    assert_eq!(events(&mut server), [dropped(ids[1])], "the nearest deadline goes first");
    let refused = server.send(T0, command.clone(), &ANY);
    assert!(matches!(refused, Err(SendError::QueueFull { limit: 10_000, .. })), "{refused:?}");
    assert_eq!(events(&mut server), [dropped(ids[0]), dropped(ids[2])]);
    let late = send(&mut server, &message(9, 0, 1, 6000), expiring(5));
    assert_eq!(events(&mut server), [dropped(late)], "dropped at once, which is no error");
    // Messages without payload fill the queue too.
    let taken = (0..1000).take_while(|_| server.send(T0, message(8, 0, 1, 0), &ANY).is_ok()).count();
    assert!((5..50).contains(&taken), "{taken}");
}

#[test]
fn what_the_chunk_layer_sends_itself_and_what_is_too_long_is_refused() {
    let (mut server, _) = small_chunks(Config::default());
    for kind in [1, 2, 3, 5, 6] {
        let refused = server.send(T0, message(kind, 0, 0, 4), &ANY);
        assert_eq!(refused, Err(SendError::ChunkLayer { kind }));
    }
    let refused = server.send(T0, message(9, 0, 1, 0x100_0000), &ANY);
    assert_eq!(refused, Err(SendError::TooLong { length: 0x100_0000 }));
}
