//! The keys of a session (RFC 7425 sections 4.6.3 to 4.6.5).

use core::fmt::Write;
use core::ops::Range;

use rtmfp::crypto::{OpenError, Room};
use zeroize::Zeroizing;

use crate::Group;
use crate::backend::{BLOCK, Failure, Library};
use crate::fingerprint::Hex;
use crate::keying::{Agreed, Protection};
use crate::packet::{Layout, Mac, Receiver, ReplayWindow, Sender};

/// The keys of a session.
pub(crate) struct Session {
    /// How its packets are sealed.
    pub(crate) layout: Layout,
    /// What the far end only offered although the near end requires it.
    pub(crate) only_offered: Option<&'static str>,
    /// The group that its keys come from.
    pub(crate) group: Option<Group>,
    /// Neither end uses HMACs or sequence numbers: programs of the installed base can do neither.
    pub(crate) basic: bool,
    pub(crate) state: State,
}

/// Whether they are at work. What the library holds for keys is several times as long as they are, and whoever has a
/// cookie can have keys made: they are put to work when somebody shows that he has them, too.
pub(crate) enum State {
    /// No authentic packet has come.
    Idle(Box<Idle>),
    Working(Box<Working>),
}

/// Keys that nobody is known to have.
pub(crate) struct Idle {
    keys: Keys,
    receive: Protection,
    library: &'static dyn Library,
    /// For the key log, until the keys are taken into use.
    log_line: Option<Zeroizing<String>>,
}

/// Keys at work.
pub(crate) struct Working {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    near_nonce: Secret,
    far_nonce: Secret,
}

pub(crate) type Secret = Zeroizing<[u8; 32]>;

impl Session {
    /// The Default Session Key (RFC 7425 section 4.2).
    pub(crate) fn of_startup(library: &dyn Library) -> Result<Self, Failure> {
        const KEY: &[u8; BLOCK] = b"Adobe Systems 02";
        let working = Working {
            sender: Sender { cipher: library.encryptor(KEY)?, hmac: None },
            receiver: Receiver { cipher: library.decryptor(KEY)?, mac: None, window: None },
            near_nonce: Secret::default(),
            far_nonce: Secret::default(),
        };
        let layout = Layout { hmac_length: None, next: None };
        let state = State::Working(Box::new(working));
        Ok(Self { layout, only_offered: None, group: None, basic: false, state })
    }

    /// Keys that wait for the first authentic packet; `log` is the end of the session that writes them into the key
    /// log.
    pub(crate) fn new(
        keys: Keys,
        agreed: Agreed,
        group: Group,
        log: Option<&LogEntry<'_>>,
        library: &'static dyn Library,
    ) -> Self {
        let layout = Layout { hmac_length: agreed.send.hmac_length, next: agreed.send.sequence.then_some(0) };
        let log_line = log.map(|log| log.line(&keys, &agreed, group, library));
        Self {
            layout,
            only_offered: agreed.only_offered,
            group: Some(group),
            basic: [agreed.send, agreed.receive] == [Protection::default(); 2],
            state: State::Idle(Box::new(Idle { keys, receive: agreed.receive, library, log_line })),
        }
    }

    /// The line for the key log, once.
    pub(crate) fn take_log_line(&mut self) -> Option<Zeroizing<String>> {
        match &mut self.state {
            State::Idle(idle) => idle.log_line.take(),
            State::Working(_) => None,
        }
    }

    /// The near end's nonce and the far end's.
    pub(crate) fn nonces(&self) -> (&Secret, &Secret) {
        match &self.state {
            State::Idle(idle) => (&idle.keys.near_nonce, &idle.keys.far_nonce),
            State::Working(working) => (&working.near_nonce, &working.far_nonce),
        }
    }

    /// Whether received packets carry an HMAC, and whether they carry sequence numbers.
    pub(crate) fn demands(&self) -> (bool, bool) {
        match &self.state {
            State::Idle(idle) => (idle.receive.hmac_length.is_some(), idle.receive.sequence),
            State::Working(working) => (working.receiver.mac.is_some(), working.receiver.window.is_some()),
        }
    }

    /// Seals the packet at the beginning of the buffer in place. `None` when the room is none of this session's.
    pub(crate) fn seal(&mut self, buffer: &mut [u8], room: &Room, clear_len: usize) -> Option<()> {
        match &mut self.state {
            State::Working(working) => working.sender.seal(&self.layout, buffer, room, clear_len),
            // There is little to say to a far end that was not heard yet.
            State::Idle(idle) => idle.sender(&self.layout).ok()?.seal(&self.layout, buffer, room, clear_len),
        }
    }

    /// Opens a packet in place; answers where the clear packet is.
    pub(crate) fn open(&mut self, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let idle = match &mut self.state {
            State::Working(working) => return working.receiver.open(packet),
            State::Idle(idle) => idle,
        };
        // The library has no reason to fail; if it does, the packet is as good as lost.
        let lost = |_| OpenError::Malformed;
        let mut receiver = idle.receiver().map_err(lost)?;
        let clear = receiver.open(packet)?;
        let working = Working {
            sender: idle.sender(&self.layout).map_err(lost)?,
            receiver,
            near_nonce: idle.keys.near_nonce.clone(),
            far_nonce: idle.keys.far_nonce.clone(),
        };
        self.state = State::Working(Box::new(working));
        Ok(clear)
    }
}

impl Idle {
    fn sender(&self, layout: &Layout) -> Result<Sender, Failure> {
        let hmac = layout.hmac_length.map(|_| self.library.hmac(&self.keys.hmac_send[..]));
        Ok(Sender { cipher: self.library.encryptor(aes_key(&self.keys.encrypt))?, hmac })
    }

    fn receiver(&self) -> Result<Receiver, Failure> {
        let Protection { hmac_length, sequence } = self.receive;
        let hmac = || self.library.hmac(&self.keys.hmac_receive[..]);
        Ok(Receiver {
            cipher: self.library.decryptor(aes_key(&self.keys.decrypt))?,
            mac: hmac_length.map(|len| Mac { hmac: hmac(), len }),
            window: sequence.then(ReplayWindow::default),
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
    fn line(&self, keys: &Keys, agreed: &Agreed, group: Group, library: &dyn Library) -> Zeroizing<String> {
        // Long enough never to grow, which would leave a copy behind.
        let mut line = Zeroizing::new(String::with_capacity(1024));
        let _ = write!(
            line,
            "RTMFP {} session={} group={group} near-nonce={} far-nonce={} encrypt={} decrypt={}",
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
