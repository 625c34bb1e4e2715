use rtmfp::crypto::KeyingError;

/// What an end wants for HMACs, or for session sequence numbers (RFC 7425 sections 4.6.4 and 4.6.6).
///
/// Each end always offers to send on request; so packets of an end carry the thing if and only if that end always
/// sends it, or the other one requires it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Wish {
    /// Send it, whether the far end asks for it or not.
    pub send_always: bool,
    /// Ask the far end to send it, and refuse a far end that doesn't offer it.
    pub require: bool,
}

impl Wish {
    /// In both directions.
    pub const REQUIRED: Self = Self { send_always: true, require: true };
    /// Only if the far end wants it.
    pub const OFFERED: Self = Self { send_always: false, require: false };

    /// The flags to send.
    pub(crate) fn flags(self) -> u8 {
        let always = if self.send_always { WILL_SEND_ALWAYS } else { 0 };
        let request = if self.require { REQUEST } else { 0 };
        always | WILL_SEND_ON_REQUEST | request
    }

    /// What becomes of the wish when the far end's flags are known: `send_always` now says whether it is sent,
    /// `require` whether it is received. `None` when the far end can't send what is required.
    pub(crate) fn meet(self, far_flags: u8) -> Option<Self> {
        if self.require && far_flags & (WILL_SEND_ALWAYS | WILL_SEND_ON_REQUEST) == 0 {
            return None;
        }
        Some(Self {
            send_always: self.send_always || far_flags & REQUEST != 0,
            require: self.require || far_flags & WILL_SEND_ALWAYS != 0,
        })
    }
}

const WILL_SEND_ALWAYS: u8 = 0x04;
const WILL_SEND_ON_REQUEST: u8 = 0x02;
const REQUEST: u8 = 0x01;

/// How packets are to be protected. The default requires HMACs and sequence numbers in both directions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Policy {
    /// HMACs. Without them a checksum inside the encryption protects packets, which is weak.
    pub hmac: Wish,
    /// How many bytes of an HMAC the near end sends: 4 to 32, 16 by default.
    pub hmac_length: u8,
    /// Session sequence numbers. Without them packets can be replayed.
    pub sequence_numbers: Wish,
    /// Where the near end neither requires nor always sends HMACs and sequence numbers: answer an initiator that only
    /// offers them with the least that is legal, which is not even an offer, in one certain order, and with a public key
    /// of full length. Programs made with librtmfp offer them, can't do them, and understand no other answer. Nothing
    /// changes for initiators that send or ask for either, and for the others nothing but the bytes. Default: yes.
    pub least_answer: bool,
    /// As initiator, agree on keys in group 2 as Flash Player does, with a certificate that is one static public key and
    /// nothing else: where the two ends have no better group, and where a responder leaves the keying in a better one
    /// unanswered. Servers of the installed base name groups that they can't compute in, and read no other
    /// certificate. The key is made for the session, unless the near end's certificate is such a one.
    pub fall_back: bool,
}

impl Policy {
    /// Offers HMACs instead of requiring them.
    #[must_use]
    pub fn allow_no_hmac(self) -> Self {
        Self { hmac: Wish::OFFERED, ..self }
    }

    /// Offers sequence numbers instead of requiring them.
    #[must_use]
    pub fn allow_no_sequence_numbers(self) -> Self {
        Self { sequence_numbers: Wish::OFFERED, ..self }
    }

    /// For peers of the installed base of Flash: requires neither, and falls back to group 2.
    pub fn legacy() -> Self {
        Self { fall_back: true, ..Self::default().allow_no_hmac().allow_no_sequence_numbers() }
    }

    /// Both wishes with the far end's flags taken into account.
    pub(crate) fn meet(&self, far: FarWishes) -> Result<Agreed, KeyingError> {
        let (near_hmac, near_sequence) = (self.hmac, self.sequence_numbers);
        let (hmac, sequence) = match (near_hmac.meet(far.hmac_flags), near_sequence.meet(far.sequence_flags))
        {
            (Some(hmac), Some(sequence)) => (hmac, sequence),
            (hmac, sequence) => {
                let lacking = named(hmac.is_none(), sequence.is_none()).unwrap_or(HMAC);
                return Err(KeyingError::Policy(lacking));
            }
        };
        let only_offers = |near: Wish, flags: u8| near.require && flags & (WILL_SEND_ALWAYS | REQUEST) == 0;
        let receive_length = match u8::try_from(far.hmac_length) {
            Ok(length) if hmac.require && HMAC_LENGTHS.contains(&length) => Some(length),
            _ if hmac.require => return Err(KeyingError::BadComponent("length of the HMAC")),
            _ => None,
        };
        Ok(Agreed {
            hmac,
            sequence,
            send: Protection {
                hmac_length: hmac.send_always.then_some(self.hmac_length),
                sequence: sequence.send_always,
            },
            receive: Protection { hmac_length: receive_length, sequence: sequence.require },
            only_offered: named(
                only_offers(near_hmac, far.hmac_flags),
                only_offers(near_sequence, far.sequence_flags),
            ),
            least_answer: self.least_answer
                && [hmac, sequence] == [Wish::OFFERED; 2]
                && (far.hmac_flags | far.sequence_flags) & (WILL_SEND_ALWAYS | REQUEST) == 0,
        })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hmac: Wish::REQUIRED,
            hmac_length: 16,
            sequence_numbers: Wish::REQUIRED,
            least_answer: true,
            fall_back: false,
        }
    }
}

const HMAC: &str = "HMAC";

/// What there is of the two, in words.
const fn named(hmac: bool, sequence_numbers: bool) -> Option<&'static str> {
    match (hmac, sequence_numbers) {
        (true, true) => Some("HMAC and sequence numbers"),
        (true, false) => Some(HMAC),
        (false, true) => Some("sequence numbers"),
        (false, false) => None,
    }
}

/// The lengths that an HMAC may have.
pub(crate) const HMAC_LENGTHS: core::ops::RangeInclusive<u8> = 4..=32;

/// What the far end's component says of HMACs and sequence numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FarWishes {
    pub(crate) hmac_flags: u8,
    pub(crate) hmac_length: u64,
    pub(crate) sequence_flags: u8,
}

/// What the two ends agreed on, as the near end sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Agreed {
    /// The near wish for HMACs, that a responder answers.
    pub(crate) hmac: Wish,
    /// The near wish for sequence numbers, that a responder answers.
    pub(crate) sequence: Wish,
    pub(crate) send: Protection,
    pub(crate) receive: Protection,
    /// What the far end only offers although the near end requires it.
    pub(crate) only_offered: Option<&'static str>,
    /// A responder is to give the least answer.
    pub(crate) least_answer: bool,
}

/// How the packets of one direction are protected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Protection {
    /// Length of the HMAC; `None` for the checksum.
    pub(crate) hmac_length: Option<u8>,
    pub(crate) sequence: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Wish; 4] = [
        Wish::OFFERED,
        Wish { send_always: true, require: false },
        Wish { send_always: false, require: true },
        Wish::REQUIRED,
    ];

    #[test]
    fn outcomes_are_those_of_the_table() {
        // For each wish of the client and, in it, of the server: the server's answer, and whether the client's and
        // the server's packets carry it.
        let table = [
            [(0x02, 0, 0), (0x06, 0, 1), (0x03, 1, 0), (0x07, 1, 1)],
            [(0x03, 1, 0), (0x07, 1, 1), (0x03, 1, 0), (0x07, 1, 1)],
            [(0x06, 0, 1), (0x06, 0, 1), (0x07, 1, 1), (0x07, 1, 1)],
            [(0x07, 1, 1); 4],
        ];
        for (client, row) in ALL.into_iter().zip(table) {
            for (server, (answer, by_client, by_server)) in ALL.into_iter().zip(row) {
                let at_server = server.meet(client.flags()).unwrap();
                assert_eq!(at_server.flags(), answer, "{client:?} {server:?}");
                assert_eq!(at_server.send_always, by_server == 1);
                assert_eq!(at_server.require, by_client == 1);
                let at_client = client.meet(answer).unwrap();
                assert_eq!(at_client.send_always, by_client == 1);
                assert_eq!(at_client.require, by_server == 1);
            }
        }
    }

    #[test]
    fn what_is_required_must_be_offered() {
        assert_eq!(Wish::REQUIRED.meet(0x00), None);
        assert_eq!(Wish::REQUIRED.meet(0x01), None);
        assert_eq!(Wish::REQUIRED.meet(0xf8), None, "reserved bits");
        assert_eq!(Wish::OFFERED.meet(0x00), Some(Wish::OFFERED));
        let far = FarWishes { hmac_flags: 0x02, hmac_length: 16, sequence_flags: 0x00 };
        assert_eq!(Policy::default().meet(far), Err(KeyingError::Policy("sequence numbers")));
        assert!(Policy::default().allow_no_sequence_numbers().meet(far).is_ok());
        let far = FarWishes { hmac_flags: 0x00, hmac_length: 0, sequence_flags: 0x02 };
        assert_eq!(Policy::default().meet(far), Err(KeyingError::Policy("HMAC")));
        assert!(Policy::default().allow_no_hmac().meet(far).is_ok());
    }

    #[test]
    fn all_that_is_lacking_and_all_that_is_only_offered_is_named() {
        let far = |hmac_flags, sequence_flags| FarWishes { hmac_flags, hmac_length: 16, sequence_flags };
        let both = "HMAC and sequence numbers";
        assert_eq!(Policy::default().meet(far(0, 0)), Err(KeyingError::Policy(both)));
        let only_offered = |policy: Policy, far| policy.meet(far).unwrap().only_offered;
        let required = Policy::default();
        assert_eq!(only_offered(required, far(2, 2)), Some(both));
        assert_eq!(only_offered(required, far(2, 3)), Some("HMAC"));
        assert_eq!(only_offered(required, far(6, 2)), Some("sequence numbers"));
        assert_eq!(only_offered(required, far(3, 6)), None);
        assert_eq!(only_offered(required.allow_no_hmac(), far(2, 2)), Some("sequence numbers"));
    }

    #[test]
    fn the_length_counts_when_hmacs_are_received() {
        for (hmac_length, good) in [(0, false), (3, false), (4, true), (32, true), (33, false), (260, false)]
        {
            let mut far = FarWishes { hmac_flags: 0x06, hmac_length, sequence_flags: 0x02 };
            let agreed = Policy::default().meet(far);
            assert_eq!(agreed.is_ok(), good, "{hmac_length}");
            if let Ok(agreed) = agreed {
                assert_eq!(agreed.receive.hmac_length, Some(hmac_length as u8));
                assert_eq!(agreed.send.hmac_length, Some(16));
            }
            far.hmac_flags = 0x03;
            let agreed = Policy::legacy().meet(far).unwrap();
            assert_eq!(agreed.receive.hmac_length, None, "not received, so the length does not matter");
            assert_eq!(agreed.send.hmac_length, Some(16));
        }
    }

    #[test]
    fn the_least_answer_is_for_initiators_that_neither_send_nor_ask() {
        for hmac_flags in 0..8 {
            for sequence_flags in 0..8 {
                let far = FarWishes { hmac_flags, hmac_length: 16, sequence_flags };
                let least = (hmac_flags | sequence_flags) & 0x05 == 0;
                let neither_required = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
                for policy in [Policy::legacy(), neither_required] {
                    assert_eq!(policy.meet(far).unwrap().least_answer, least);
                }
                for stricter in [
                    Policy::default(),
                    Policy::default().allow_no_hmac(),
                    Policy::default().allow_no_sequence_numbers(),
                    Policy { least_answer: false, ..Policy::legacy() },
                    Policy { hmac: Wish::REQUIRED, ..Policy::legacy() },
                    Policy {
                        sequence_numbers: Wish { send_always: true, require: false },
                        ..Policy::legacy()
                    },
                ] {
                    assert!(!stricter.meet(far).is_ok_and(|agreed| agreed.least_answer));
                }
            }
        }
    }
}
