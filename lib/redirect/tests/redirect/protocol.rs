//! What a registrant says and in which order, and what it takes from a redirector.

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::HostId;
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::wire::METADATA;
use rtmfp_redirect::{RegistrantConfig, RegistrantEvent, RegistrantState};

use crate::world::{SECOND, World, at, ip, quick, redirector_name, users};

/// Writes down what it is told, opens two flows in return, and says something by each.
#[derive(Default)]
struct Recorder {
    messages: Vec<Vec<u8>>,
    nonce: Vec<u8>,
    refused: usize,
}

impl Application for Recorder {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, session, metadata, .. } => {
                assert_eq!(metadata, METADATA);
                let keys = endpoint.session(session).expect("an open one").info().keys.expect("keys");
                self.nonce = keys.near_nonce.to_vec();
                endpoint.accept(now, flow, Tag(0));
                for say in [&b"\x10first"[..], b"\x10second"] {
                    let spec =
                        FlowSpec { metadata: Bytes::from_static(METADATA), priority: Priority::Routine };
                    let mut flow = endpoint.recv_flow(flow).expect("the flow");
                    let back = flow.open_return_flow(now, spec, Tag(0)).expect("room");
                    for message in [&b""[..], b"\x77unknown", b"\x0d\x00", say] {
                        let mut back = endpoint.send_flow(back).expect("the flow");
                        back.write(now, Message::from(message.to_vec()), &WriteOptions::default())
                            .expect("room");
                    }
                }
            }
            Event::Readable { flow, .. } => {
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    self.messages.push(message.bytes.to_vec());
                }
            }
            Event::FlowException { .. } => self.refused += 1,
            _ => {}
        }
    }
}

fn add_recorder(world: &mut World) -> HostId {
    let profile = Box::new(PlainProfile::new(redirector_name(1)));
    let endpoint = Endpoint::new(Config::default(), profile, [9; 32], Time::ZERO);
    let node = Node::new(endpoint, &[at(1)], Recorder::default());
    world.network.add_host("recorder", &[ip(1)], Box::new(node))
}

#[test]
fn it_authenticates_then_tells_its_settings_then_its_load() {
    let mut world = World::new(1);
    let recorder = add_recorder(&mut world);
    let config = RegistrantConfig { users: users(&[("b", "2"), ("a", "1")]), ..quick() };
    let target = world.target(10, &[1], config);
    world.with(target, |registrant, now, endpoint| {
        registrant.set_load(now, endpoint, 300);
        registrant.set_additional_addresses(now, endpoint, &["192.0.2.5:1936".parse().unwrap()]);
    });
    world.run(SECOND);
    let app = &world.network.peek::<Node<Recorder>>(recorder).application;
    let profile = PlainProfile::new("x");
    let auth = |password: &[u8], user: &[u8]| {
        let code = rtmfp::crypto::Profile::keyed_hash(&profile, password, &[&app.nonce]);
        [&[0x1d], &code[..], user].concat()
    };
    let settings = vec![0x05, 0x01, 0x0d, 0x08, 0x0a, 0x01, 192, 0, 2, 5, 0x07, 0x90];
    assert!(!app.nonce.is_empty());
    assert_eq!(app.messages, [auth(b"1", b"a"), auth(b"2", b"b"), settings, vec![0x0f, 0x82, 0x2c]]);
}

#[test]
fn one_that_wants_no_clients_says_so_instead_of_its_settings_and_one_that_is_paused_says_neither() {
    for (active, paused, expected) in [
        (false, false, &[&[0x00][..], &[0x0f, 0x00]][..]),
        (false, true, &[&[0x00], &[0x0f, 0x00]]),
        (true, true, &[&[0x0f, 0x00]]),
    ] {
        let mut world = World::new(1);
        let recorder = add_recorder(&mut world);
        let target = world.target(10, &[1], quick());
        world.with(target, |registrant, now, endpoint| {
            registrant.set_active(now, endpoint, active);
            registrant.set_paused(now, endpoint, paused);
        });
        world.run(SECOND);
        assert_eq!(world.network.peek::<Node<Recorder>>(recorder).application.messages, expected);
    }
}

#[test]
fn changes_are_told_once_and_at_once_each_with_all_settings() {
    let mut world = World::new(1);
    let recorder = add_recorder(&mut world);
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    world.network.service::<Node<Recorder>>(recorder).application.messages.clear();
    world.with(target, |registrant, now, endpoint| {
        registrant.set_additional_addresses(now, endpoint, &["192.0.2.5:1936".parse().unwrap()]);
        registrant.set_advertise_reflexive(now, endpoint, false);
        registrant.set_advertise_reflexive(now, endpoint, false);
        registrant.set_load(now, endpoint, 7);
        registrant.set_load(now, endpoint, 7);
        registrant.set_active(now, endpoint, false);
        registrant.set_active(now, endpoint, false);
        registrant.set_paused(now, endpoint, false);
        registrant.set_active(now, endpoint, true);
    });
    world.run(SECOND);
    let both = vec![0x05, 0x01, 0x0d, 0x08, 0x0a, 0x01, 192, 0, 2, 5, 0x07, 0x90];
    let one = vec![0x05, 0x08, 0x0a, 0x01, 192, 0, 2, 5, 0x07, 0x90];
    let app = &world.network.peek::<Node<Recorder>>(recorder).application;
    assert_eq!(app.messages, [both, one.clone(), vec![0x0f, 7], vec![0x00], one]);
}

#[test]
fn it_takes_one_flow_in_return_and_ignores_what_it_does_not_understand() {
    let mut world = World::new(1);
    let recorder = add_recorder(&mut world);
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let said = world.app(target).events.iter().filter_map(|event| match event {
        RegistrantEvent::UserData { data, .. } => Some(data.to_vec()),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    assert!(said == [b"first".to_vec()] || said == [b"second".to_vec()], "{said:?}");
    assert_eq!(world.network.peek::<Node<Recorder>>(recorder).application.refused, 1);
    assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Registered));
}
