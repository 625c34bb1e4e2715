//! RTMP connections (`rtmfp-rtmp`).

mod pair;

pub use pair::pair;

use rtmfp_base::Time;
use rtmfp_rtmp::{Config, Connection, Error, Event, Foreign, Role};

use crate::{Dice, Tape};

/// What a connection may take before it is trusted, and after.
const UNTRUSTED: usize = 256 << 10;
const TRUSTED: usize = 8 << 20;

/// A byte stream from a peer: its handshake, or what follows a good one. However it is cut, the messages are the
/// same, and the connection's memory stays within its bounds.
pub fn receive(data: &[u8]) {
    let mut tape = Tape::new(data);
    let choices = tape.u8();
    let role = if choices & 1 == 0 { Role::Server } else { Role::Client };
    let trusted_from = if choices & 2 == 0 { usize::MAX } else { usize::from(tape.u8() % 4) };
    let seed = tape.u8();
    let shakes_hands = choices & 4 == 0;
    let stream = tape.rest();
    let owner = || Owner::new(role, trusted_from, shakes_hands);
    let whole = owner().run(stream, usize::MAX, 0);
    let in_pieces = owner().run(stream, 1 + usize::from(seed % 40), seed.into());
    assert_eq!(in_pieces, whole);
}

/// Who owns the connection.
struct Owner {
    connection: Connection,
    trusted_from: usize,
    events: Vec<Event>,
    sent: usize,
    calls: usize,
}

impl Owner {
    fn new(role: Role, trusted_from: usize, shakes_hands: bool) -> Self {
        let connection = Connection::new(role, Config::default(), Time::ZERO, 1);
        let mut owner = Self { connection, trusted_from, events: Vec::new(), sent: 0, calls: 0 };
        if shakes_hands {
            let mut handshake = [0; 3073];
            handshake[0] = 3;
            owner.take(&handshake).expect("a good handshake");
        }
        owner
    }

    /// Hands the stream in, cut into pieces of up to `longest` bytes; answers what came of it.
    fn run(mut self, mut stream: &[u8], longest: usize, seed: u64) -> (Vec<Event>, Option<Error>) {
        let len = stream.len();
        let mut dice = Dice::new(seed);
        while !stream.is_empty() {
            let (piece, rest) = stream.split_at(stream.len().min(1 + dice.below(longest)));
            stream = rest;
            if let Err(error) = self.take(piece) {
                assert_eq!(self.connection.receive(Time::ZERO, &[1]), Err(error), "an error is final");
                assert!(!self.connection.is_open());
                // What another protocol is called depends on how much of it came at once.
                let error = match error {
                    Error::NotRtmp(_) => Error::NotRtmp(Foreign::Unknown),
                    other => other,
                };
                return (self.events, Some(error));
            }
            self.check();
            if dice.below(4) == 0 {
                self.send();
            }
        }
        self.send();
        // An acknowledgement for each call and an answer for each ping, which has seven bytes at least.
        assert!(self.sent <= 4096 + 3 * len + 32 * self.calls, "{} bytes for {len}", self.sent);
        (self.events, None)
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        loop {
            let before = piece.len();
            piece = self.connection.receive(Time::ZERO, piece)?;
            self.check();
            let events = self.events.len();
            while let Some(event) = self.connection.poll_event() {
                self.check();
                self.events.push(event);
                if self.events.len() > self.trusted_from {
                    self.connection.set_trusted();
                }
            }
            if piece.is_empty() {
                return Ok(());
            }
            assert!(piece.len() < before || self.events.len() > events, "no progress");
        }
    }

    fn check(&self) {
        let limit = if self.connection.is_trusted() { TRUSTED } else { UNTRUSTED };
        let memory = self.connection.memory();
        assert!(memory <= limit, "{memory} bytes are held");
    }

    fn send(&mut self) {
        let mut out = Vec::new();
        self.connection.fill(Time::ZERO, usize::MAX, &mut out);
        self.sent += out.len();
        self.calls += 1;
    }
}
