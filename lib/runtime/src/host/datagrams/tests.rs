use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mio::event::Source;
use mio::{Registry, Token};
use rtmfp_base::{Ecn, InterfaceId};

use super::*;

/// A socket that does what the test says: each send takes the next answer, and works when there is none.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    answers: VecDeque<io::Result<usize>>,
    sent: Vec<Vec<u8>>,
    arriving: VecDeque<io::Result<Vec<u8>>>,
}

impl Scripted {
    fn answer(&self, answers: impl IntoIterator<Item = io::Result<usize>>) {
        self.0.lock().unwrap().answers.extend(answers);
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.lock().unwrap().sent)
    }
}

impl UdpIo for Scripted {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }

    fn recv(&mut self, _: &mut RecvBuffers, deliver: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let arriving = self.0.lock().unwrap().arriving.pop_front();
        let mut bytes = arriving.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        deliver(Received {
            from: ([127, 0, 0, 1], 2).into(),
            dst_ip: None,
            ecn: Ecn::NotEct,
            bytes: &mut bytes,
        });
        Ok(1)
    }

    fn send(&mut self, _: &Transmit, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.0.lock().unwrap();
        let len = shared.answers.pop_front().unwrap_or(Ok(bytes.len()))?;
        shared.sent.push(bytes[..len].to_vec());
        Ok(len)
    }

    fn path_error(&mut self) -> Option<PathError> {
        None
    }
}

impl Source for Scripted {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

fn would_block() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

fn sockets<const N: usize>() -> (Datagrams, [Scripted; N]) {
    let mut datagrams = Datagrams::new(None);
    let scripted = std::array::from_fn(|_| Scripted::default());
    for (number, socket) in scripted.iter().enumerate() {
        let slot = Slot { io: Box::new(socket.clone()), source: None, backlog: Backlog::default() };
        datagrams.sockets.insert(InterfaceId(number as u32), slot);
    }
    (datagrams, scripted)
}

/// A batch of runs, each of some datagrams of ten bytes from one socket.
fn batch(runs: &[(u32, usize, u8)]) -> Batch {
    let mut batch = Batch::new(usize::MAX);
    for &(socket, datagrams, fill) in runs {
        let start = batch.buffer.len();
        batch.buffer.resize(start + datagrams * 10, fill);
        batch.transmits.push(Transmit {
            interface: InterfaceId(socket),
            to: ([127, 0, 0, 1], 9).into(),
            src_ip: None,
            ecn: Ecn::NotEct,
            dscp: 0,
            dont_fragment: false,
            bytes: start..batch.buffer.len(),
            segment_size: (datagrams > 1).then_some(10),
        });
    }
    batch
}

fn counts(datagrams: &Datagrams) -> BTreeMap<&'static str, u64> {
    datagrams.counters.to_list().into_iter().filter(|(_, value)| *value > 0).collect()
}

#[test]
fn a_blocked_socket_keeps_the_rest_in_order_and_others_go_on() {
    let (mut datagrams, [a, b]) = sockets();
    a.answer([Ok(20), would_block()]);
    datagrams.send(&batch(&[(0, 5, 1), (1, 1, 2), (0, 2, 3), (1, 1, 4)]));
    assert_eq!(a.sent(), [vec![1; 20]]);
    assert_eq!(b.sent(), [vec![2; 10], vec![4; 10]]);
    assert!(!datagrams.all_blocked());

    a.answer([Ok(10), would_block()]);
    assert!(!datagrams.flush(InterfaceId(0)));
    assert_eq!(a.sent(), [vec![1; 10]]);
    b.answer([would_block()]);
    datagrams.send(&batch(&[(1, 1, 5)]));
    assert!(datagrams.all_blocked());

    assert!(datagrams.flush(InterfaceId(0)));
    assert_eq!(a.sent(), [vec![1; 20], vec![3; 20]]);
    assert!(!datagrams.all_blocked());
    assert!(datagrams.flush(InterfaceId(1)));
    assert_eq!(b.sent(), [vec![5; 10]]);
    // Nothing waits any more, so becoming writable is no news.
    assert!(!datagrams.flush(InterfaceId(1)));
    let expected = [("udp_blocked", 2), ("udp_sends", 7), ("udp_sent_bytes", 100)];
    assert_eq!(counts(&datagrams), expected.into());
}

#[test]
fn what_a_blocked_socket_may_keep_is_limited() {
    let (mut datagrams, [a, _b]) = sockets();
    a.answer([would_block()]);
    let runs = vec![(0, 6_000, 1); 6];
    datagrams.send(&batch(&runs));
    assert_eq!(counts(&datagrams)["udp_backlog_dropped_bytes"], 2 * 60_000);
    assert!(datagrams.flush(InterfaceId(0)));
    assert_eq!(a.sent().len(), 4);
}

#[test]
fn sends_that_fail_are_dropped_and_counted_by_reason() {
    let (mut datagrams, [a]) = sockets();
    let errors = [
        Errno::EMSGSIZE,
        Errno::ENOBUFS,
        Errno::EPERM,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::EINVAL,
    ];
    a.answer(errors.map(|error| Err(error.into())));
    datagrams.send(&batch(&[(0, 3, 1); 7]));
    assert_eq!(a.sent(), [vec![1; 30]]);
    datagrams.send(&batch(&[(5, 1, 1)]));
    let expected = [
        ("udp_sends", 1),
        ("udp_sent_bytes", 30),
        ("udp_dropped_too_long", 1),
        ("udp_dropped_no_buffer", 1),
        ("udp_dropped_not_permitted", 1),
        ("udp_dropped_unreachable", 2),
        ("udp_dropped_other", 1),
        ("udp_dropped_no_socket", 1),
    ];
    assert_eq!(counts(&datagrams), expected.into());
}

#[test]
fn receiving_stops_at_its_budget_and_at_errors() {
    let (mut datagrams, [a]) = sockets();
    let mut arriving: VecDeque<_> = (0..600_u32).map(|i| Ok(i.to_be_bytes().to_vec())).collect();
    arriving.insert(550, Err(Errno::ENOMEM.into()));
    a.0.lock().unwrap().arriving = arriving;
    let mut seen = Vec::new();
    for (more, reached) in [(true, 256), (true, 512), (false, 550), (false, 600)] {
        let result = datagrams.receive(InterfaceId(0), &mut |received| seen.push(received.bytes.to_vec()));
        assert_eq!((result, seen.len()), (more, reached));
    }
    assert!(seen.iter().zip(0_u32..).all(|(bytes, i)| *bytes == i.to_be_bytes()));
    assert_eq!(counts(&datagrams)["udp_receive_errors"], 1);
}
