//! Handshakes and packets with fixed secrets, byte for byte as other implementations make them.
//!
//! The values lie in `*.txt` next to this file: `name = hexadecimal digits`, one for each line. A name that ends
//! with `-hash` stands for the SHA-256 hash of a long value.
#![cfg(any(feature = "openssl", feature = "rustcrypto"))]

mod handshakes;
mod startup;
mod transcripts;

use rtmfp::crypto::{KeyId, Profile, Sealing};
use sha2::{Digest, Sha256};

/// The values of a file.
struct Vectors(&'static str);

impl Vectors {
    fn find(&self, name: &str) -> Option<Vec<u8>> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(" = "));
        lines.find(|(found, _)| *found == name).map(|(_, value)| unhex(value))
    }

    fn get(&self, name: &str) -> Vec<u8> {
        self.find(name).unwrap_or_else(|| panic!("no value {name}"))
    }

    /// Checks a value against the one of that name, or against the one of its hash; panics when there is neither.
    fn check(&self, name: &str, value: &[u8]) {
        match self.find(name) {
            Some(expected) => assert_eq!(hex(value), hex(&expected), "{name}"),
            None => {
                let expected = self.get(&format!("{name}-hash"));
                assert_eq!(hex(&Sha256::digest(value)), hex(&expected), "hash of {name}");
            }
        }
    }

    /// As [`check`](Self::check), for values that not all files have.
    fn check_if_known(&self, name: &str, value: &[u8]) {
        if self.find(name).or_else(|| self.find(&format!("{name}-hash"))).is_some() {
            self.check(name, value);
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands out given bytes in place of random ones.
fn feed(mut bytes: Vec<u8>) -> impl FnMut(&mut [u8]) {
    move |wanted| {
        let rest = bytes.split_off(wanted.len());
        wanted.copy_from_slice(&bytes);
        bytes = rest;
    }
}

/// Seals a clear packet and puts the scrambled session id before it (RFC 7016 section 2.2.1).
fn datagram(profile: &mut dyn Profile, key: KeyId, session: [u8; 4], clear: &[u8]) -> Vec<u8> {
    let room = profile.reserve(key, clear.len());
    let mut packet = vec![0xee; room.sealed_len];
    packet[room.front..room.front + clear.len()].copy_from_slice(clear);
    profile.seal(&mut packet, &mut [Sealing { key, room, clear_len: clear.len(), start: 0 }]);
    [&scrambled(session, &packet)[..], &packet].concat()
}

fn scrambled(session: [u8; 4], packet: &[u8]) -> [u8; 4] {
    core::array::from_fn(|at| session[at] ^ packet[at] ^ packet[at + 4])
}

/// Opens a datagram for a session; answers the clear packet without its padding.
fn open(profile: &mut dyn Profile, key: KeyId, session: [u8; 4], datagram: &[u8]) -> Vec<u8> {
    let mut packet = datagram[4..].to_vec();
    assert_eq!(scrambled(session, &packet), datagram[..4], "session id");
    let clear = profile.open(key, &mut packet).unwrap();
    let clear = &packet[clear];
    let padding = clear.iter().rev().take_while(|byte| **byte == 0xff).count();
    clear[..clear.len() - padding].to_vec()
}
