//! The keys of a session (RFC 7425 sections 4.6.3 to 4.6.5).

use core::fmt::Write;

use zeroize::Zeroizing;

use crate::backend::{BLOCK, Failure, Library};
use crate::fingerprint::Hex;
use crate::keying::{Agreed, Protection};
use crate::packet::{Mac, Receiver, ReplayWindow, Sender};

/// Keys in use.
pub(crate) struct Session {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) near_nonce: Secret,
    pub(crate) far_nonce: Secret,
    /// For the key log, until the keys are taken into use.
    pub(crate) log_line: Option<Zeroizing<String>>,
}

pub(crate) type Secret = Zeroizing<[u8; 32]>;

impl Session {
    /// The Default Session Key (RFC 7425 section 4.2).
    pub(crate) fn of_startup(library: &dyn Library) -> Result<Self, Failure> {
        const KEY: &[u8; BLOCK] = b"Adobe Systems 02";
        Ok(Self {
            sender: Sender { cipher: library.encryptor(KEY)?, mac: None, next: None },
            receiver: Receiver { cipher: library.decryptor(KEY)?, mac: None, window: None },
            near_nonce: Secret::default(),
            far_nonce: Secret::default(),
            log_line: None,
        })
    }

    /// Puts the keys to work; `log` is the end of the session that writes them into the key log.
    pub(crate) fn new(
        keys: &Keys,
        agreed: &Agreed,
        log: Option<&LogEntry<'_>>,
        library: &dyn Library,
    ) -> Result<Self, Failure> {
        let mac = |key: &Secret, protection: Protection| {
            protection.hmac_length.map(|len| Mac { hmac: library.hmac(&key[..]), len })
        };
        Ok(Self {
            sender: Sender {
                cipher: library.encryptor(aes_key(&keys.encrypt))?,
                mac: mac(&keys.hmac_send, agreed.send),
                next: agreed.send.sequence.then_some(0),
            },
            receiver: Receiver {
                cipher: library.decryptor(aes_key(&keys.decrypt))?,
                mac: mac(&keys.hmac_receive, agreed.receive),
                window: agreed.receive.sequence.then(ReplayWindow::default),
            },
            near_nonce: keys.near_nonce.clone(),
            far_nonce: keys.far_nonce.clone(),
            log_line: log.map(|log| log.line(keys, agreed, library)),
        })
    }
}

fn aes_key(material: &Secret) -> &[u8; BLOCK] {
    let (key, _) = material.split_first_chunk().expect("32 bytes have a first block");
    key
}

/// All that is derived from the shared secret.
pub(crate) struct Keys {
    pub(crate) encrypt: Secret,
    pub(crate) decrypt: Secret,
    pub(crate) hmac_send: Secret,
    pub(crate) hmac_receive: Secret,
    pub(crate) near_nonce: Secret,
    pub(crate) far_nonce: Secret,
}

impl Keys {
    /// Derives the keys from the shared secret and the two keying components, as they were sent.
    pub(crate) fn derive(
        secret: &[u8],
        near_component: &[u8],
        far_component: &[u8],
        library: &dyn Library,
    ) -> Self {
        let secret = library.hmac(secret);
        let keyed = |message: &[u8]| Secret::new(secret.of(&[message]));
        let salt = |key: &[u8], message: &[u8]| Secret::new(library.hmac_once(key, &[message]));
        let encrypt = keyed(&salt(far_component, near_component)[..]);
        let decrypt = keyed(&salt(near_component, far_component)[..]);
        Self {
            hmac_send: keyed(&encrypt[..]),
            hmac_receive: keyed(&decrypt[..]),
            near_nonce: keyed(near_component),
            far_nonce: keyed(far_component),
            encrypt,
            decrypt,
        }
    }
}

/// What a line of the key log says besides the keys.
pub(crate) struct LogEntry<'a> {
    pub(crate) end: &'static str,
    pub(crate) initiator_component: &'a [u8],
}

impl LogEntry<'_> {
    /// The line; its format is documented at [`KeyLog`](crate::KeyLog).
    fn line(&self, keys: &Keys, agreed: &Agreed, library: &dyn Library) -> Zeroizing<String> {
        // Long enough never to grow, which would leave a copy behind.
        let mut line = Zeroizing::new(String::with_capacity(1024));
        let _ = write!(
            line,
            "RTMFP {} session={} near-nonce={} far-nonce={} encrypt={} decrypt={}",
            self.end,
            Hex(&library.sha256(self.initiator_component)),
            Hex(&keys.near_nonce[..]),
            Hex(&keys.far_nonce[..]),
            Hex(aes_key(&keys.encrypt)),
            Hex(aes_key(&keys.decrypt)),
        );
        for (direction, key, protection) in
            [("send", &keys.hmac_send, agreed.send), ("receive", &keys.hmac_receive, agreed.receive)]
        {
            let _ = match protection.hmac_length {
                Some(len) => write!(line, " hmac-{direction}={len}:{}", Hex(&key[..])),
                None => write!(line, " hmac-{direction}=none"),
            };
            let sequence = if protection.sequence { "yes" } else { "no" };
            let _ = write!(line, " sequence-{direction}={sequence}");
        }
        line
    }
}

#[cfg(test)]
mod tests;
