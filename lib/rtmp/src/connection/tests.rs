use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rtmfp_base::{Counters, Time};
use rtmfp_media::TcMessage;

use crate::testing::{control, fill, format0, format3, message, open, receive};
use crate::{Config, Connection, Error, Event, MessageId, Role, SendOptions};

#[test]
fn one_message_is_taken_at_a_time() {
    let mut server = open(Role::Server, Config::default());
    let bytes = [format0(4, 1, 0, 8, 1), format3(4), format3(4)].concat();
    let rest = server.receive(Time::ZERO, &bytes).expect("valid chunks");
    assert_eq!(rest.len(), 2);
    assert_eq!(server.poll_event(), Some(Event::Message(message(8, 1, 1, 0))));
    assert_eq!(server.poll_event(), None);
}

#[test]
fn an_aggregate_is_handed_out_in_its_parts_before_more_is_taken() {
    let part = |kind: u8, time: u8, body: &[u8]| {
        let head = [kind, 0, 0, body.len() as u8, 0, 0, time, 0, 0, 0, 0];
        [&head[..], body, &[0, 0, 0, 11 + body.len() as u8]].concat()
    };
    let mut payload = [part(8, 10, &[1]), part(9, 30, &[2, 3])].concat();
    payload.extend([8, 0, 0]); // and the beginning of one more
    let mut bytes = format0(4, 1000, payload.len() as u32, 22, 1);
    bytes.extend(payload);
    bytes.extend(format0(4, 5000, 0, 8, 1));

    let mut server = open(Role::Server, Config::default());
    let rest = server.receive(Time::ZERO, &bytes).expect("valid chunks");
    assert_eq!(rest.len(), 12);
    assert_eq!(server.receive(Time::ZERO, rest), Ok(rest), "nothing is taken meanwhile");
    let events: Vec<_> = core::iter::from_fn(|| server.poll_event()).collect();
    let message = |kind, timestamp, payload: &'static [u8]| {
        Event::Message(TcMessage { kind, timestamp, stream_id: 1, payload: payload.into() })
    };
    assert_eq!(events, [message(8, 1000, &[1]), message(9, 1020, &[2, 3])]);
    assert_eq!(receive(&mut server, rest), Ok(vec![message(8, 5000, &[])]));
    let counters: HashMap<_, _> = server.to_list().into_iter().collect();
    assert_eq!((counters["messages_received"], counters["aggregates_damaged"]), (3, 1));
}

#[test]
fn an_error_is_final_and_silences_the_connection() {
    let mut server = open(Role::Server, Config::default());
    server.send(Time::ZERO, message(20, 0, 0, 50), &SendOptions::default()).expect("there is room");
    let error = Error::ChunkSize { size: 0 };
    assert_eq!(server.receive(Time::ZERO, &control(1, &[0; 4])), Err(error));
    assert_eq!(server.receive(Time::ZERO, &[]), Err(error));
    assert!(!server.is_open());
    assert!(!server.wants_write());
    assert_eq!(fill(&mut server, Time::ZERO, 100), []);
}

#[test]
fn what_is_sent_before_the_connection_is_open_waits() {
    let mut client = Connection::new(Role::Client, Config::default(), Time::ZERO, 1);
    client.send(Time::ZERO, message(20, 0, 0, 50), &SendOptions::default()).expect("there is room");
    assert_eq!(fill(&mut client, Time::ZERO, 9999).len(), 1537);
    assert!(!client.wants_write());
    let mut peer = vec![0; 3073];
    peer[0] = 3;
    receive(&mut client, &peer).expect("a handshake");
    assert_eq!(fill(&mut client, Time::ZERO, 9999).len(), 1536 + 16 + 16 + 62);
}

/// Sends `chunks` until the connection refuses, and returns the error and the most memory that it took.
fn bombard(server: &mut Connection, chunks: impl Iterator<Item = Vec<u8>>) -> (Option<Error>, usize) {
    let mut most = 0;
    for chunk in chunks {
        let result = receive(server, &chunk);
        most = most.max(server.memory());
        if let Err(error) = result {
            return (Some(error), most);
        }
    }
    (None, most)
}

#[test]
fn chunk_bombs_stay_within_the_memory_that_is_granted() {
    let (untrusted, trusted) = (256 << 10, 8 << 20);
    for (trust, granted, longest) in [(false, untrusted, 64_u32 << 10), (true, trusted, 6 << 20)] {
        let server = || {
            let mut server = open(Role::Server, Config::default());
            if trust {
                server.set_trusted();
            }
            server
        };
        for count in [300, 65_599] {
            // 16 MiB announced, and the most that is allowed; one chunk, or all but the last byte of each.
            for (length, size) in [(0xff_ffff, 128), (longest, 128), (longest, longest - 1)] {
                let mut server = server();
                receive(&mut server, &control(1, &size.to_be_bytes())).expect("any chunk size is accepted");
                let bomb = (0..count).map(|stream| {
                    let mut bytes = format0(3 + stream % 65_597, 0, length, 9, 1);
                    bytes.resize(bytes.len() + size as usize, 0);
                    bytes
                });
                let (error, most) = bombard(&mut server, bomb);
                assert!(error.is_some(), "{count} times {length} bytes");
                assert!(most <= granted, "{most} bytes of {granted} for {error:?}");
            }
        }
        // All allowed chunk streams grow together.
        let mut server = server();
        let rounds = (0..200_000).map(|step| {
            let stream = 3 + step % 60;
            let mut bytes = if step < 60 { format0(stream, 0, longest, 9, 1) } else { format3(stream) };
            bytes.resize(bytes.len() + 128, 0);
            bytes
        });
        let (error, most) = bombard(&mut server, rounds);
        assert!(matches!(error, Some(Error::PartialMessages { .. })), "{error:?}");
        assert!(most <= granted, "{most} bytes of {granted}");
    }
}

#[test]
fn trust_raises_the_limits_for_the_next_message() {
    let mut server = open(Role::Server, Config::default());
    let large = message(9, 0, 1, 100_000);
    let mut bytes = control(1, &[0, 0xff, 0xff, 0xff]);
    bytes.extend(format0(4, 0, 100_000, 9, 1));
    bytes.extend(&large.payload);
    let length = Error::MessageLength { kind: 9, length: 100_000, limit: 65_536 };
    assert_eq!(receive(&mut server, &bytes), Err(length));

    let mut server = open(Role::Server, Config::default());
    server.set_trusted();
    assert!(server.is_trusted());
    assert_eq!(receive(&mut server, &bytes), Ok(vec![Event::Message(large)]));
}

#[test]
fn an_idle_connection_is_small() {
    let server = Connection::new(Role::Server, Config::default(), Time::ZERO, 1);
    assert!(server.memory() < 1500, "{} bytes when new", server.memory());
    let server = open(Role::Server, Config::default());
    assert!(server.memory() < 2000, "{} bytes when open", server.memory());
}

#[test]
fn counters_tell_what_happened() {
    let mut server = open(Role::Server, Config::default());
    let options = SendOptions { start_by: Time::from_secs(1), ..SendOptions::default() };
    server.send(Time::ZERO, message(9, 0, 1, 50), &options).expect("there is room");
    fill(&mut server, Time::from_secs(1), 100);
    receive(&mut server, &control(4, &[0, 6, 0, 0, 0, 0])).expect("valid chunks");
    let counters: HashMap<_, _> = server.to_list().into_iter().collect();
    assert_eq!(counters["messages_expired"], 1);
    assert_eq!(counters["pings_answered"], 1);
    assert_eq!(counters["received_bytes"], 3073 + 18);
    assert_eq!(counters["sent_bytes"], 3073 + 16 + 16 + 17);
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        message: TcMessage,
        options: SendOptions,
    },
    /// One fill, handed to the peer in pieces.
    Move {
        limit: usize,
        piece: usize,
    },
    Wait {
        millis: u64,
    },
    Abandon {
        which: usize,
    },
    AbandonGroup {
        stream_id: u32,
        group: u64,
    },
    Hasten {
        stream_id: u32,
        group: u64,
        millis: u64,
    },
}

fn step(expiring: bool) -> impl Strategy<Value = Step> {
    let timestamp = prop_oneof![3 => 0..5000_u32, 1 => 0xff_fff0..0x100_000f_u32, 1 => any::<u32>()];
    let length = prop_oneof![1 => Just(0_usize), 4 => 0..300_usize, 2 => 0..20_000_usize];
    let kind = prop::sample::select(vec![4_u8, 8, 9, 18, 20]);
    let deadline = prop_oneof![Just(None), (0..50_u64).prop_map(Some)];
    let deadlines = (deadline.clone(), deadline, prop::option::of(0..4_u64));
    let send = (kind, timestamp, 0..4_u32, length, 0..8_u8, deadlines).prop_map(
        move |(kind, timestamp, stream_id, length, priority, (start, finish, group))| {
            let time = |millis: Option<u64>| millis.filter(|_| expiring).map_or(Time::MAX, Time::from_millis);
            let options = SendOptions {
                priority,
                start_by: time(start),
                finish_by: time(finish),
                group: group.filter(|_| expiring),
                notify: true,
            };
            Step::Send { message: message(kind, timestamp, stream_id, length), options }
        },
    );
    let transfer = (1..6000_usize, 1..3000_usize).prop_map(|(limit, piece)| Step::Move { limit, piece });
    let weight = u32::from(expiring);
    prop_oneof![
        6 => send,
        6 => transfer,
        weight => (0..10_u64).prop_map(|millis| Step::Wait { millis }),
        weight => any::<usize>().prop_map(|which| Step::Abandon { which }),
        weight => (0..4_u32, 0..4_u64).prop_map(|(stream_id, group)| Step::AbandonGroup { stream_id, group }),
        weight => (0..4_u32, 0..4_u64, 0..50_u64)
            .prop_map(|(stream_id, group, millis)| Step::Hasten { stream_id, group, millis }),
    ]
}

/// A server that sends, a client that receives, and what became of the messages.
struct Run {
    server: Connection,
    client: Connection,
    now: Time,
    sent: Vec<(MessageId, TcMessage)>,
    received: Vec<TcMessage>,
    ends: HashMap<MessageId, bool>,
}

impl Run {
    fn new(config: Config) -> Self {
        let mut server = open(Role::Server, config.clone());
        let mut client = open(Role::Client, Config { answer_pings: false, ..config });
        client.set_trusted();
        server.set_trusted();
        // The announcement of the chunk size was read away by `open`.
        receive(&mut client, &control(1, &server.config.chunk_size.clamp(128, 65_536).to_be_bytes()))
            .expect("a valid chunk size");
        let (sent, received, ends) = (Vec::new(), Vec::new(), HashMap::new());
        Self { server, client, now: Time::ZERO, sent, received, ends }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { message, options } => {
                let id = self.server.send(self.now, message.clone(), &options).expect("there is room");
                self.sent.push((id, message));
            }
            Step::Move { limit, piece } => {
                let bytes = fill(&mut self.server, self.now, limit);
                for piece in bytes.chunks(piece) {
                    for event in receive(&mut self.client, piece).expect("the writer writes valid chunks") {
                        let Event::Message(message) = event else { panic!("{event:?}") };
                        self.received.push(message);
                    }
                }
            }
            Step::Wait { millis } => {
                self.now += core::time::Duration::from_millis(millis);
                self.server.handle_timeout(self.now).expect("it is open");
                assert!(self.server.poll_timeout().is_none_or(|next| next > self.now));
            }
            Step::Abandon { which } if !self.sent.is_empty() => {
                self.server.abandon(self.sent[which % self.sent.len()].0);
            }
            Step::Abandon { .. } => {}
            Step::AbandonGroup { stream_id, group } => self.server.abandon_group(stream_id, 9, group),
            Step::Hasten { stream_id, group, millis } => {
                let by = Time::from_millis(millis);
                self.server.hasten_group(stream_id, 9, group, by, by);
            }
        }
        while let Some(event) = self.server.poll_event() {
            let (id, sent) = match event {
                Event::Sent(id) => (id, true),
                Event::Dropped { id, .. } => (id, false),
                _ => panic!("{event:?}"),
            };
            assert_eq!(self.ends.insert(id, sent), None, "{id} ended twice");
        }
    }

    /// Sends all that is left, then checks that each lane delivered in order exactly what was reported as sent.
    fn finish(mut self) -> usize {
        while self.server.wants_write() {
            self.step(Step::Move { limit: 5000, piece: 1000 });
        }
        assert_eq!(self.server.queued_bytes(), 0);
        assert_eq!(self.ends.len(), self.sent.len(), "each message ends");
        let lanes = |messages: Vec<TcMessage>| {
            let mut lanes: HashMap<(u32, u8), Vec<TcMessage>> = HashMap::new();
            for message in messages {
                lanes.entry((message.stream_id, message.kind)).or_default().push(message);
            }
            lanes
        };
        let delivered = self.sent.into_iter().filter(|(id, _)| self.ends[id]).map(|(_, message)| message);
        let delivered: Vec<_> = delivered.collect();
        let count = delivered.len();
        assert_eq!(lanes(self.received), lanes(delivered));
        count
    }
}

fn configs() -> impl Strategy<Value = Config> {
    let sizes = prop::sample::select(vec![128, 200, 4096, 65_536]);
    (sizes, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(chunk_size, compress_headers, interleave, abandon_started)| Config {
            chunk_size,
            compress_headers,
            interleave,
            abandon_started,
            ..Config::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_messages_arrive_in_the_order_of_their_type_and_stream(
        config in configs(),
        steps in prop::collection::vec(step(false), 1..60),
    ) {
        let mut run = Run::new(config);
        for step in steps {
            run.step(step);
        }
        let sent = run.sent.len();
        prop_assert_eq!(run.finish(), sent);
    }

    #[test]
    fn what_is_not_dropped_arrives_in_order_and_every_message_ends_once(
        config in configs(),
        steps in prop::collection::vec(step(true), 1..120),
    ) {
        let mut run = Run::new(config);
        for step in steps {
            run.step(step);
        }
        run.finish();
    }

    #[test]
    fn arbitrary_bytes_never_panic_before_or_after_the_handshake(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        opened in any::<bool>(),
    ) {
        let mut server = if opened {
            open(Role::Server, Config::default())
        } else {
            Connection::new(Role::Server, Config::default(), Time::ZERO, 1)
        };
        let _outcome = receive(&mut server, &bytes);
        fill(&mut server, Time::ZERO, 10_000);
        prop_assert!(server.memory() < 256 << 10);
    }
}
