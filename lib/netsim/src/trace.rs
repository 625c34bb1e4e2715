use core::fmt;
use core::net::{IpAddr, SocketAddr};

use rtmfp_base::{Input, StreamId, Time};

/// A running hash over everything that services were told: two runs with the same one went the same way.
///
/// It is not the standard library's, whose result may change from one version to the next.
#[derive(Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.0
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 ^= self.0 >> 32;
    }

    pub(crate) fn time(&mut self, time: Time) {
        self.word(time.as_micros());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
    }

    pub(crate) fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
        self.word(u64::from(address.port()));
    }

    /// An input, without the text of errors and the results of jobs.
    pub(crate) fn input(&mut self, input: &Input<'_>) {
        match input {
            Input::Timeout => self.word(1),
            Input::UdpReady { socket, result } => {
                self.word(2);
                self.word(u64::from(socket.0));
                self.bound(result);
            }
            Input::Datagram { meta, bytes } => {
                self.word(3);
                self.word(u64::from(meta.interface.0) << 8 | meta.ecn as u64);
                self.address(meta.from);
                self.bytes(bytes);
            }
            Input::PathError { socket, to, error: _ } => {
                self.word(4);
                self.word(u64::from(socket.0));
                self.address(*to);
            }
            Input::ListenReady { listener, result } => {
                self.word(5);
                self.word(u64::from(listener.0));
                self.bound(result);
            }
            Input::Accepted { listener, stream, peer } => {
                self.word(6);
                self.word(u64::from(listener.0));
                self.stream(*stream);
                self.address(*peer);
            }
            Input::Connected { stream, peer } => {
                self.word(7);
                self.stream(*stream);
                self.address(*peer);
            }
            Input::Data { stream, bytes } => {
                self.word(8);
                self.stream(*stream);
                self.bytes(bytes);
            }
            Input::EndOfStream { stream } => {
                self.word(9);
                self.stream(*stream);
            }
            Input::Closed { stream, error } => {
                self.word(10);
                self.stream(*stream);
                self.word(u64::from(error.is_some()));
            }
            Input::Resolved { name, result } => {
                self.word(11);
                self.word(name.0);
                for address in result.iter().flatten() {
                    self.address(*address);
                }
            }
            Input::JobDone(done) => {
                self.word(12);
                self.word(done.id.0);
            }
            Input::Drain => self.word(13),
            Input::Stop => self.word(14),
        }
    }

    fn bound(&mut self, result: &Result<SocketAddr, String>) {
        match result {
            Ok(address) => self.address(*address),
            Err(_) => self.word(0),
        }
    }

    fn stream(&mut self, stream: StreamId) {
        self.word(stream.number() << 1 | u64::from(stream.is_accepted()));
    }
}

/// An input for the log, in one line.
pub(crate) fn describe(input: &Input<'_>) -> String {
    match input {
        Input::Datagram { meta, bytes } => {
            format!("{} bytes from {} on {:?}, {:?}", bytes.len(), meta.from, meta.interface, meta.ecn)
        }
        Input::Data { stream, bytes } => format!("{} bytes on {stream:?}", bytes.len()),
        other => format!("{other:?}"),
    }
}

type Sink = Box<dyn FnMut(Time, &str)>;

/// Where the text log goes, if anywhere.
#[derive(Default)]
pub(crate) struct Log(Vec<Sink>);

impl Log {
    pub(crate) fn add(&mut self, sink: Sink) {
        self.0.push(sink);
    }

    /// Logs a line, which is made only if somebody wants it.
    pub(crate) fn line(&mut self, now: Time, line: impl FnOnce() -> String) {
        if self.0.is_empty() {
            return;
        }
        let line = line();
        for sink in &mut self.0 {
            sink(now, &line);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.0.len())
    }
}
