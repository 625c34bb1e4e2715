use super::*;

fn takes(clients: u64, bitrate: u64) -> Option<Figures> {
    Some(Figures { clients, bitrate })
}

#[test]
fn the_worker_with_the_fewest_clients_is_chosen_of_those_that_take_any() {
    assert_eq!(least(&[takes(3, 0), takes(2, 0), takes(9, 0)]), Some(1));
    assert_eq!(least(&[takes(3, 0), None, takes(9, 0)]), Some(0));
    assert_eq!(least(&[takes(0, 0), takes(0, 0)]), Some(0));
    assert_eq!(least(&[None, None]), None);
}

#[test]
fn what_clients_send_counts_where_their_numbers_are_alike() {
    assert_eq!(least(&[takes(10, 9_000_000), takes(10, 1_000_000)]), Some(1));
    assert_eq!(least(&[takes(11, 50_000_000), takes(10, 70_000_000)]), Some(0));
    assert_eq!(least(&[takes(10, 50_000_000), takes(60, 50_000_000)]), Some(0));
}

#[test]
fn workers_are_advertised_with_their_own_ports_or_the_ports_from_one_on() {
    let ip = IpAddr::from([192, 0, 2, 1]);
    let own = Advertise { ip, port: None };
    let from = Advertise { ip, port: Some(u16::MAX - 1) };
    assert_eq!(own.of_worker(3, 4000), Some((ip, 4000).into()));
    assert_eq!(from.of_worker(1, 4000), Some((ip, u16::MAX).into()));
    assert_eq!(from.of_worker(2, 4000), None);
}

#[test]
fn bytes_count_half_as_much_as_clients() {
    assert_eq!(least(&[takes(10, 60), takes(13, 40)]), Some(0));
    assert_eq!(least(&[takes(10, 60), takes(11, 40)]), Some(1));
}

const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1));
const SOME: Time = Time::from_secs(10);

/// A front of two workers that listens there by these protocols, and their table.
fn front(listen: &[(Protocol, SocketAddr)], advertise: Vec<Advertise>) -> (Front, Workers) {
    let listen: Vec<Listen> =
        listen.iter().map(|&(protocol, address)| Listen { protocol, address, legacy: true }).collect();
    let to = crate::relay::Destination {
        protocol: Protocol::Rtmp,
        host: "server".to_owned(),
        port: 7,
        legacy: false,
    };
    let workers = Workers::new(2, listen.len());
    let config = RelayConfig::new(listen, to, [1; 32]);
    let profile = Box::new(rtmfp_plain::PlainProfile::new("front"));
    (Front::new(&config, advertise, workers.clone(), profile), workers)
}

/// The workers have their ports, and take clients.
fn begin(front: &mut Front, workers: &Workers) -> Vec<Action> {
    for number in 0..2 {
        let worker = workers.worker(number);
        (0..front.listen.len()).for_each(|listener| worker.set_port(listener, 4000 + number as u16));
        worker.set_load(SOME, &Default::default());
    }
    core::iter::from_fn(|| front.poll_action(SOME)).collect()
}

fn rtmfp(ip: IpAddr) -> [(Protocol, SocketAddr); 1] {
    [(Protocol::Rtmfp, (ip, 1935).into())]
}

#[test]
fn it_looks_for_the_workers_until_all_are_there_and_then_opens_its_addresses_once() {
    let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
    assert!(front.poll_action(Time::ZERO).is_none());
    assert_eq!(front.poll_timeout(), Some(Time::ZERO + LOOK));
    let opened = begin(&mut front, &workers);
    assert!(matches!(opened[..], [Action::OpenUdp { .. }]), "{opened:?}");
    assert!(front.poll_action(SOME + LOOK).is_none());
}

#[test]
fn it_announces_where_it_listens_and_watches_the_ports_beside() {
    let listens = [(Protocol::Rtmfp, (HERE, 0).into()), (Protocol::Rtmp, (HERE, 1936).into())];
    let (mut front, workers) = front(&listens, Vec::new());
    let text = |actions: &[Action]| actions.iter().map(|action| format!("{action:?}\n")).collect::<String>();
    let begun = text(&begin(&mut front, &workers));
    assert!(begun.contains("listening on rtmp://10.0.0.1:1936\""), "{begun}");
    assert!(begun.contains(&format!("{:?}", InterfaceId(u32::MAX))), "UDP beside TCP: {begun}");
    front.on_udp_ready(InterfaceId(0), Ok((HERE, 5000).into()));
    let open: Vec<_> = core::iter::from_fn(|| front.poll_action(SOME)).collect();
    let open = text(&open);
    assert!(open.contains("listening on rtmfp://10.0.0.1:5000\""), "without a setting: {open}");
    assert!(open.contains("Listen {") && !open.contains("10.0.0.1:0"), "TCP beside UDP: {open}");
    // Ports beside that cannot be had are done without; others are not.
    front.on_udp_ready(InterfaceId(u32::MAX), Err("in use".to_owned()));
    assert!(front.poll_action(SOME).is_none());
    front.on_udp_ready(InterfaceId(0), Err("in use".to_owned()));
    assert!(matches!(front.poll_action(SOME), Some(Action::Finished(Err(_)))));
    front.handle(SOME, Input::Stop);
    assert!(front.poll_action(SOME).is_none(), "it finishes once");
}

#[test]
fn clients_find_a_worker_where_they_came_and_where_it_is_advertised_in_their_family() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let ports = |ip, port| Advertise { ip, port };
    let advertise = vec![
        ports(HERE, None),
        ports(ip("192.0.2.1"), Some(9000)),
        ports(ip("192.0.2.1"), Some(9000)),
        ports(ip("2001:db8::1"), None),
    ];
    let unspecified = ip("0.0.0.0");
    let addresses = |bound, src_ip, from: &str| -> Vec<String> {
        let (mut front, workers) = front(&rtmfp(bound), advertise.clone());
        begin(&mut front, &workers);
        let via = Via { interface: InterfaceId(0), src_ip };
        let found = front.addresses(1, SocketAddr::new(ip(from), 1), via);
        found.into_iter().map(|address| address.addr.to_string()).collect()
    };
    let by_ipv4 = ["10.0.0.1:4001", "192.0.2.1:9001"];
    assert_eq!(addresses(HERE, None, "198.51.100.1"), by_ipv4);
    assert_eq!(addresses(unspecified, Some(HERE), "198.51.100.1"), by_ipv4);
    assert_eq!(addresses(unspecified, None, "198.51.100.1"), by_ipv4);
    assert_eq!(addresses(unspecified, None, "2001:db8::7"), ["[2001:db8::1]:4001"]);
    let many = (0..20).map(|last| ports(IpAddr::from([192, 0, 2, last]), None)).collect();
    let (mut front, workers) = front(&rtmfp(HERE), many);
    begin(&mut front, &workers);
    let via = Via::from(InterfaceId(0));
    assert_eq!(front.addresses(0, (HERE, 1).into(), via).len(), MOST_ADDRESSES);
    let unknown = Via::from(InterfaceId(5));
    assert_eq!(front.addresses(0, (HERE, 1).into(), unknown), []);
}

#[test]
fn a_client_counts_at_its_worker_before_it_comes_and_for_a_while_only() {
    let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
    begin(&mut front, &workers);
    front.on_udp_ready(InterfaceId(0), Ok((HERE, 1935).into()));
    let hello = |front: &mut Front, now| {
        front.on_hello(now, (HERE, 9).into(), b"tag", Some(InterfaceId(0).into()), 64);
    };
    (0..6).for_each(|_| hello(&mut front, SOME));
    assert_eq!(front.handed_to, [3, 3]);
    workers.worker(0).set_clients(1);
    hello(&mut front, SOME);
    assert_eq!(front.handed_to, [3, 4]);
    let just_before = SOME + HANDED_FOR - Duration::from_micros(1);
    front.choose(just_before);
    assert_eq!((front.handed.len(), &front.handed_to[..]), (7, &[3, 4][..]));
    assert_eq!(front.choose(SOME + HANDED_FOR), Some(1), "the other one has a client");
    assert_eq!((front.handed.len(), &front.handed_to[..]), (0, &[0, 0][..]));
    // In bounded memory.
    front.handed = vec![(Time::MAX, 0); MOST_HANDED].into();
    front.handed_to = vec![MOST_HANDED as u64, 0];
    hello(&mut front, SOME);
    assert_eq!(front.handed.len(), MOST_HANDED);
    assert_eq!((front.counters.hellos, front.counters.redirects, front.counters.unanswered), (8, 8, 0));
}

#[test]
fn nobody_is_answered_while_no_worker_takes_clients_or_none_is_to_be_found() {
    let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
    begin(&mut front, &workers);
    front.on_udp_ready(InterfaceId(0), Ok((HERE, 1935).into()));
    front.on_hello(SOME, (HERE, 9).into(), b"tag", Some(InterfaceId(5).into()), 64);
    front.on_hello(SOME, (HERE, 9).into(), b"tag", None, 64);
    (0..2).for_each(|number| workers.worker(number).leave());
    front.on_hello(SOME, (HERE, 9).into(), b"tag", Some(InterfaceId(0).into()), 64);
    assert_eq!((front.counters.hellos, front.counters.redirects, front.counters.unanswered), (3, 0, 3));
    assert!(front.handed.is_empty());
}

#[test]
fn what_is_advertised_besides_has_no_place_in_the_answer_to_a_short_hello() {
    let advertise = (0..20).map(|last| Advertise { ip: [192, 0, 2, last].into(), port: None }).collect();
    let (mut front, workers) = front(&rtmfp(HERE), advertise);
    begin(&mut front, &workers);
    front.on_udp_ready(InterfaceId(0), Ok((HERE, 1935).into()));
    let mut answer = |len| {
        front.on_hello(SOME, (HERE, 9).into(), b"tag", Some(InterfaceId(0).into()), len);
        let mut batch = Batch::new(1 << 16);
        front.poll_transmit(SOME, &mut batch);
        assert_eq!(batch.transmits.len(), 1, "{len}");
        batch.buffer.len()
    };
    let whole = answer(1000);
    assert!(answer(60) <= 180 && answer(25) <= 75 && answer(1) < whole, "{whole}");
}

#[test]
fn nobody_is_sent_to_workers_that_have_as_many_clients_as_may_be_before_they_have_measured_it() {
    let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
    begin(&mut front, &workers);
    front.max_clients = 2;
    let enter = |host| workers.worker(0).admission().enter([192, 0, 2, host].into(), 9, 9);
    enter(1);
    assert_eq!(front.choose(SOME), Some(0));
    enter(2);
    assert_eq!(front.choose(SOME), None);
    workers.worker(0).admission().leave([192, 0, 2, 1].into());
    assert_eq!(front.choose(SOME), Some(0));
}
