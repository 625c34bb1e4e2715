//! Byte streams over loopback.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::{GUARD, Out, own_address, start};
use rtmfp_base::{Action, Input, StreamId};
use rtmfp_runtime::{Config, Handle, TcpOptions};

/// A service that listens and echoes, and what `more` does about inputs.
fn echo(
    config: Config,
    mut more: impl FnMut(&mut Out, &Input<'_>) + Send + 'static,
) -> (Handle, SocketAddr, Receiver<String>) {
    let (ready, is_ready) = channel();
    let (seen, has_seen) = channel();
    let handle = start(config, move |out| {
        out.listen();
        move |out: &mut Out, _, input: Input<'_>| {
            more(out, &input);
            match input {
                Input::ListenReady { result, .. } => ready.send(result.unwrap()).unwrap(),
                Input::Data { stream, bytes } => out.echo(stream, bytes),
                Input::EndOfStream { stream } => out.act(Action::Finish { stream }),
                Input::Closed { error, .. } => {
                    let _ = seen.send(format!("{error:?}"));
                }
                Input::Stop => out.finished(),
                _ => {}
            }
        }
    });
    let address = is_ready.recv_timeout(GUARD).unwrap();
    (handle, address, has_seen)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.set_write_timeout(Some(GUARD)).unwrap();
    stream
}

fn counter(report: &rtmfp_runtime::Report, name: &str) -> u64 {
    report.counters.iter().find(|(other, _)| *other == name).unwrap().1
}

#[test]
fn a_stream_whose_writing_has_ended_is_read_on_until_it_is_finished() {
    let (ready, is_ready) = channel();
    let (seen, has_seen) = channel();
    let handle = start(Config::default(), move |out| {
        out.listen();
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::ListenReady { result, .. } => ready.send(result.unwrap()).unwrap(),
            Input::Accepted { stream, .. } => {
                out.write(stream, &[7; 100_000]);
                out.act(Action::EndWrite { stream });
            }
            Input::Data { bytes, .. } => seen.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap(),
            Input::EndOfStream { stream } => {
                seen.send("end".to_owned()).unwrap();
                out.act(Action::Finish { stream });
            }
            Input::Closed { error, .. } => seen.send(format!("{error:?}")).unwrap(),
            Input::Stop => out.finished(),
            _ => {}
        }
    });
    let mut stream = connect(is_ready.recv_timeout(GUARD).unwrap());
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert!(read == [7; 100_000]);
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).unwrap();
        assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), word);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), "end");
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), "None");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn ten_megabytes_come_back_whole_to_a_slow_reader() {
    const LEN: usize = 10_000_000;
    let (handle, address, closed) = echo(Config::default(), |_, _| {});
    let mut reader = connect(address);
    let mut writer = reader.try_clone().unwrap();
    let byte = |i: usize| (i * 7 + i / 251) as u8;
    let writing = thread::spawn(move || {
        let bytes: Vec<u8> = (0..LEN).map(byte).collect();
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // Small reads: the service has to wait for them all the time.
    let mut buffer = [0; 1000];
    let mut got = 0;
    loop {
        let len = reader.read(&mut buffer).unwrap();
        if len == 0 {
            break;
        }
        for (i, &value) in buffer[..len].iter().enumerate() {
            assert_eq!(value, byte(got + i), "at {}", got + i);
        }
        got += len;
    }
    assert_eq!(got, LEN);
    writing.join().unwrap();
    assert_eq!(closed.recv_timeout(GUARD).unwrap(), "None");
    handle.stop();
    let report = handle.join().unwrap();
    assert_eq!(counter(&report, "tcp_read_bytes"), LEN as u64);
    assert_eq!(counter(&report, "tcp_written_bytes"), LEN as u64);
    assert_eq!(counter(&report, "tcp_ended"), 1);
}

#[test]
fn two_hundred_connections_are_served_together() {
    let (handle, address, closed) = echo(Config::default(), |_, _| {});
    let mut streams: Vec<_> = (0..200).map(|_| connect(address)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(i as u32).to_be_bytes()).unwrap();
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(u32::from_be_bytes(bytes), i as u32);
    }
    drop(streams);
    for _ in 0..200 {
        assert_eq!(closed.recv_timeout(GUARD).unwrap(), "None");
    }
    handle.stop();
    assert_eq!(counter(&handle.join().unwrap(), "tcp_accepted"), 200);
}

#[test]
fn a_stream_that_floods_does_not_starve_another() {
    let (handle, address, _closed) = echo(Config::default(), |_, _| {});
    let mut flood = connect(address);
    let mut drain = flood.try_clone().unwrap();
    let flooding = thread::spawn(move || while flood.write(&[0; 65_536]).is_ok() {});
    let draining = thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while drain.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    let mut other = connect(address);
    for i in 0..200_u32 {
        other.write_all(&i.to_be_bytes()).unwrap();
        let mut bytes = [0; 4];
        other.read_exact(&mut bytes).unwrap();
        assert_eq!(u32::from_be_bytes(bytes), i);
    }
    handle.stop();
    handle.join().unwrap();
    flooding.join().unwrap();
    draining.join().unwrap();
}

#[test]
fn finishing_sends_what_is_left_and_waits_for_the_other_end() {
    // The service is to wait for the other end, not to give it up.
    let tcp = TcpOptions { close_timeout: 10 * GUARD, ..TcpOptions::default() };
    let (handle, address, closed) = echo(Config { tcp, ..Config::default() }, |out, input| {
        if let Input::Accepted { stream, .. } = input {
            out.write(*stream, &vec![7; 3_000_000]);
            out.act(Action::Finish { stream: *stream });
        }
    });
    let mut stream = connect(address);
    // What comes after the service has finished is nobody's, and no reason for a reset.
    stream.write_all(&[1; 100_000]).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 3_000_000);
    assert!(closed.try_recv().is_err());
    drop(stream);
    assert_eq!(closed.recv_timeout(GUARD).unwrap(), "None");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn a_finished_stream_does_not_wait_for_ever_for_the_other_end() {
    let tcp = TcpOptions { close_timeout: Duration::from_millis(1), ..TcpOptions::default() };
    let (handle, address, closed) = echo(Config { tcp, ..Config::default() }, |out, input| {
        if let Input::Accepted { stream, .. } = input {
            out.act(Action::Finish { stream: *stream });
        }
    });
    let _stays_open = connect(address);
    assert_eq!(closed.recv_timeout(GUARD).unwrap(), "None");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn a_peer_that_reads_nothing_cannot_hold_a_finished_stream() {
    let tcp = TcpOptions { flush_timeout: Duration::from_millis(50), ..TcpOptions::default() };
    let (handle, address, closed) = echo(Config { tcp, ..Config::default() }, |out, input| {
        if let Input::Accepted { stream, .. } = input {
            out.write(*stream, &vec![7; 30_000_000]);
            out.act(Action::Finish { stream: *stream });
        }
    });
    let _reads_nothing = connect(address);
    let error = closed.recv_timeout(GUARD).unwrap();
    assert!(error.contains("did not take all"), "{error}");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn aborting_resets_the_stream_and_nothing_more_is_heard_of_it() {
    let (handle, address, closed) = echo(Config::default(), |out, input| {
        if let Input::Data { stream, .. } = input {
            out.act(Action::Abort { stream: *stream });
        }
    });
    let mut stream = connect(address);
    stream.write_all(b"x").unwrap();
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    handle.stop();
    handle.join().unwrap();
    assert!(closed.recv_timeout(GUARD).is_err());
}

#[test]
fn a_reset_is_noticed_while_reading_is_paused() {
    let (handle, address, closed) = echo(Config::default(), |out, input| {
        if let Input::Accepted { stream, .. } = input {
            out.act(Action::PauseRead { stream: *stream, paused: true });
            out.write(*stream, b"go");
        }
    });
    let mut stream = connect(address);
    stream.read_exact(&mut [0; 1]).unwrap();
    // Closing with unread bytes resets.
    drop(stream);
    let error = closed.recv_timeout(GUARD).unwrap();
    assert!(error.contains("reset"), "{error}");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn what_was_sent_before_a_reset_is_read_before_it_is_told() {
    // Reading pauses until the other end is gone; then writing fails first (true) or not (false).
    for write_fails_first in [false, true] {
        let (got, has_got) = channel();
        let mut first = None;
        let (handle, address, closed) = echo(Config::default(), move |out, input| match input {
            Input::Accepted { stream, .. } => match first {
                None => {
                    first = Some(*stream);
                    out.act(Action::PauseRead { stream: *stream, paused: true });
                    out.write(*stream, b"unread");
                }
                Some(first) => {
                    if write_fails_first {
                        out.write(first, b"too late");
                    }
                    out.act(Action::PauseRead { stream: first, paused: false });
                }
            },
            Input::Data { stream, bytes } if first == Some(*stream) => got.send(bytes.to_vec()).unwrap(),
            _ => {}
        });
        let mut stream = connect(address);
        stream.read_exact(&mut [0; 1]).unwrap();
        stream.write_all(&[7; 30_000]).unwrap();
        // Closing with unread bytes resets.
        drop(stream);
        let _second = connect(address);
        let error = closed.recv_timeout(GUARD).unwrap();
        assert_ne!(error, "None");
        let bytes: usize = has_got.try_iter().map(|bytes| bytes.len()).sum();
        assert_eq!(bytes, 30_000);
        handle.stop();
        handle.join().unwrap();
    }
}

#[test]
fn connecting_works_or_says_why_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let closed = own_address();
    let (seen, has_seen) = channel();
    let handle = start(Config::default(), move |out| {
        for (number, to) in [(1, open), (2, closed)] {
            out.act(Action::Connect { stream: StreamId::opened(number), to, dscp: 46 });
        }
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::Connected { stream, peer } => {
                assert_eq!((stream.number(), peer), (1, open));
                out.write(stream, b"hello");
                out.act(Action::StreamDscp { stream, dscp: 10 });
                out.act(Action::Finish { stream });
            }
            Input::Closed { stream, error } => {
                seen.send((stream.number(), error)).unwrap();
            }
            Input::Stop => out.finished(),
            _ => {}
        }
    });
    let (number, error) = has_seen.recv_timeout(GUARD).unwrap();
    assert_eq!(number, 2);
    assert!(error.clone().is_some_and(|error| error.contains("refused")), "{error:?}");
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    drop(stream);
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), (1, None));
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn the_other_end_may_stop_sending_and_still_receive() {
    let (handle, address, closed) = echo(Config::default(), |out, input| {
        if let Input::EndOfStream { stream } = input {
            out.write(*stream, b"still here");
        }
    });
    let mut stream = connect(address);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
    assert_eq!(closed.recv_timeout(GUARD).unwrap(), "None");
    handle.stop();
    handle.join().unwrap();
}

#[test]
fn accepting_pauses_at_the_limit_and_goes_on_when_there_is_room() {
    let tcp = TcpOptions { max_streams: 3, ..TcpOptions::default() };
    let (handle, address, _closed) = echo(Config { tcp, ..Config::default() }, |_, _| {});
    let mut streams: Vec<_> = (0..6).map(|_| connect(address)).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
    }
    // The first three are served; the others as soon as these are gone.
    while !streams.is_empty() {
        streams[0].read_exact(&mut [0; 1]).unwrap();
        streams.remove(0);
    }
    handle.stop();
    let report = handle.join().unwrap();
    assert_eq!(counter(&report, "tcp_accepted"), 6);
    assert!(counter(&report, "tcp_accept_pauses") > 0);
}
