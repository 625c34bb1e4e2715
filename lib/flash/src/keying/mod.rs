//! Key agreement (RFC 7425 sections 4.5 and 4.6).

mod component;
mod key_pair;
mod negotiation;

use std::sync::Arc;

use rtmfp::crypto::{
    InitiatorOffer, InitiatorSecret, KeyingError, Random, ResponderAnswer, SessionKeys, Work,
};

use self::component::{Component, Writer};
use self::key_pair::{DRAWS, Exponent, KeyPair};
use crate::backend::Library;
use crate::session::{Keys, LogEntry, Session};
use crate::{Backend, Certificate, CertificateParts, Group};

pub(crate) use self::component::RANDOMNESS;
pub use self::key_pair::StaticKeys;
pub(crate) use self::negotiation::{Agreed, HMAC_LENGTHS, Protection};
pub use self::negotiation::{Policy, Wish};

/// What the near end brings into each key agreement.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) backend: Backend,
    pub(crate) keys: NearKeys,
    pub(crate) policy: Policy,
    /// The near certificate is one static public key in group 2 and nothing else.
    pub(crate) is_plain: bool,
    /// Whether lines for the key log are wanted.
    pub(crate) log: bool,
}

#[derive(Debug)]
pub(crate) enum NearKeys {
    Ephemeral(Vec<Group>),
    Static(Arc<StaticKeys>),
}

impl NearKeys {
    /// The first group, by preference, that a condition holds for.
    fn group(&self, is_wanted: impl Fn(Group) -> bool) -> Option<Group> {
        match self {
            Self::Ephemeral(groups) => groups.iter().copied().find(|group| is_wanted(*group)),
            Self::Static(keys) => keys.groups().find(|group| is_wanted(*group)),
        }
    }
}

/// The near key pair of one key agreement, as far as it is known before the job.
enum Source {
    /// The static pair and the extra randomness to send with it.
    Static(Arc<KeyPair>, Box<[u8; RANDOMNESS]>),
    /// Exponents to choose one of.
    Ephemeral(Group, Vec<Exponent>),
    /// The same in group 2, for a static pair with a certificate of its own.
    Plain(Vec<Exponent>, Box<[u8; RANDOMNESS]>),
}

impl Source {
    /// `draws` is how many exponents there are to choose from.
    fn new(
        keys: &NearKeys,
        group: Group,
        draws: usize,
        random: &mut Random<'_>,
    ) -> Result<Self, KeyingError> {
        Ok(match keys {
            NearKeys::Static(keys) => {
                let pair = keys.pair(group).ok_or(KeyingError::NothingInCommon)?;
                let mut randomness = Box::new([0; RANDOMNESS]);
                random(&mut randomness[..]);
                Self::Static(pair, randomness)
            }
            NearKeys::Ephemeral(_) => {
                let exponents = core::iter::repeat_with(|| Exponent::draw(group, random));
                Self::Ephemeral(group, exponents.take(draws).collect())
            }
        })
    }

    fn plain(random: &mut Random<'_>) -> Self {
        let mut randomness = Box::new([0; RANDOMNESS]);
        random(&mut randomness[..]);
        let exponents = core::iter::repeat_with(|| Exponent::draw(Group::Modp1024, random));
        Self::Plain(exponents.take(DRAWS).collect(), randomness)
    }

    /// The pair; what the far end needs to know of it goes into the component.
    fn into_pair(
        self,
        component: &mut Writer,
        role: Role,
        backend: Backend,
    ) -> Result<Arc<KeyPair>, KeyingError> {
        match self {
            Self::Static(pair, randomness) => {
                if role == Role::Initiator {
                    component.group_select(pair.group);
                }
                component.extra_randomness(&randomness[..]);
                Ok(pair)
            }
            Self::Ephemeral(group, exponents) => {
                let pair = match <[Exponent; 1]>::try_from(exponents) {
                    Ok([exponent]) => KeyPair::new(group, exponent, backend)?,
                    Err(exponents) => KeyPair::of_full_length(group, exponents, backend)?,
                };
                component.ephemeral_key(group, &pair.public);
                Ok(Arc::new(pair))
            }
            Self::Plain(exponents, randomness) => {
                let pair = KeyPair::of_full_length(Group::Modp1024, exponents, backend)?;
                component.group_select(pair.group);
                component.extra_randomness(&randomness[..]);
                Ok(Arc::new(pair))
            }
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Role {
    Initiator,
    Responder,
}

/// What an initiator keeps. Nothing in it changes, so that a component that doesn't fit does no harm.
struct Initiator {
    pair: Arc<KeyPair>,
    component: Vec<u8>,
    /// The far end's static public key.
    far_static: Option<Vec<u8>>,
    backend: Backend,
    policy: Policy,
    log: bool,
}

/// Begins keying as initiator.
pub(crate) fn initiate(
    near: &Near,
    far_certificate: &[u8],
    random: &mut Random<'_>,
) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
    let far = Certificate::parse(far_certificate).map_err(|_| KeyingError::BadCertificate)?;
    let group = near.keys.group(|group| far.supports(group)).ok_or(KeyingError::NothingInCommon)?;
    initiate_in(group, near, &far, random)
}

/// Begins keying as initiator in group 2 where that is wanted and something else was tried first.
pub(crate) fn fall_back(
    near: &Near,
    far_certificate: &[u8],
    random: &mut Random<'_>,
) -> Option<Work<Result<InitiatorOffer, KeyingError>>> {
    let far = Certificate::parse(far_certificate).ok()?;
    let weakest = near.keys.group(|group| group == Group::Modp1024 && far.supports(group))?;
    let tried = near.keys.group(|group| far.supports(group))?;
    let wanted = near.policy.fall_back && tried != weakest;
    wanted.then(|| initiate_in(weakest, near, &far, random).ok()).flatten()
}

fn initiate_in(
    group: Group,
    near: &Near,
    far: &Certificate<'_>,
    random: &mut Random<'_>,
) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
    let far_static = far.static_key(group).map(<[u8]>::to_vec);
    if far_static.as_ref().is_some_and(|key| !group.accepts(key)) {
        return Err(KeyingError::BadPublicKey);
    }
    let is_plain = group == Group::Modp1024 && near.policy.fall_back && !near.is_plain;
    let source = match is_plain {
        true => Source::plain(random),
        false => Source::new(&near.keys, group, 1, random)?,
    };
    let (backend, policy, log) = (near.backend, near.policy, near.log);
    Ok(Box::new(move || {
        let mut writer = Writer::default();
        let pair = source.into_pair(&mut writer, Role::Initiator, backend)?;
        writer.hmac(policy.hmac.flags(), policy.hmac_length);
        writer.sequence(policy.sequence_numbers.flags());
        let component = writer.0;
        let certificate = is_plain.then(|| plain_certificate(&pair.public));
        let secret = Initiator { pair, component: component.clone(), far_static, backend, policy, log };
        Ok(InitiatorOffer { component, certificate, secret: Arc::new(secret) })
    }))
}

/// The certificate of Flash Player: a static public key in group 2.
pub(crate) fn plain_certificate(public_key: &[u8]) -> Vec<u8> {
    let static_keys = vec![(Group::Modp1024, public_key)];
    CertificateParts { static_keys, ..CertificateParts::default() }.encode()
}

/// Ends keying as initiator.
pub(crate) fn conclude(
    secret: &InitiatorSecret,
    responder_component: &[u8],
) -> Work<Result<SessionKeys, KeyingError>> {
    let initiator = Arc::clone(secret).downcast::<Initiator>();
    let responder_component = responder_component.to_vec();
    Box::new(move || {
        let initiator =
            initiator.map_err(|_| KeyingError::Backend("the secret is not this profile's".into()))?;
        initiator.conclude(&responder_component)
    })
}

impl Initiator {
    fn conclude(&self, responder_component: &[u8]) -> Result<SessionKeys, KeyingError> {
        let far = Component::parse(responder_component)?;
        let agreed = self.policy.meet(far.wishes)?;
        let far_public = match (&self.far_static, far.ephemeral_key) {
            (Some(key), _) => key,
            (None, Some((group, key))) if group == self.pair.group.id() => key,
            (None, Some(_)) => return Err(KeyingError::AnotherGroup),
            (None, None) => return Err(KeyingError::BadComponent("no public key")),
        };
        let secret = self.pair.agree(far_public, self.backend)?;
        let library = self.backend.library();
        let keys = Keys::derive(&secret, &self.component, responder_component, library);
        let log = LogEntry { end: "initiator", initiator_component: &self.component };
        Ok(session_keys(keys, agreed, self.pair.group, self.log.then_some(&log), library))
    }
}

/// Keying as responder.
pub(crate) fn respond(
    near: &Near,
    far_certificate: &[u8],
    initiator_component: &[u8],
    random: &mut Random<'_>,
) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError> {
    let far_certificate = Certificate::parse(far_certificate).map_err(|_| KeyingError::BadCertificate)?;
    let far = Component::parse(initiator_component)?;
    let agreed = near.policy.meet(far.wishes)?;
    let (id, ephemeral_key) = match (far_certificate.is_static(), far.group_select, far.ephemeral_key) {
        (true, Some(id), _) => (id, None),
        (true, None, _) => return Err(KeyingError::BadComponent("no group is selected")),
        (false, _, Some((id, key))) => (id, Some(key)),
        (false, _, None) => return Err(KeyingError::BadComponent("no public key")),
    };
    let group = near.keys.group(|group| group.id() == id).ok_or(KeyingError::NothingInCommon)?;
    let far_public = ephemeral_key
        .or_else(|| far_certificate.static_key(group))
        .ok_or(KeyingError::BadComponent("the certificate has no key in the selected group"))?;
    if !group.accepts(far_public) {
        return Err(KeyingError::BadPublicKey);
    }
    let draws = if agreed.least_answer { DRAWS } else { 1 };
    let responder = Responder {
        source: Source::new(&near.keys, group, draws, random)?,
        agreed,
        hmac_length: near.policy.hmac_length,
        far_public: far_public.to_vec(),
        initiator_component: initiator_component.to_vec(),
        backend: near.backend,
        log: near.log,
    };
    Ok(Box::new(move || responder.answer()))
}

/// What a responder's job needs.
struct Responder {
    source: Source,
    agreed: Agreed,
    hmac_length: u8,
    far_public: Vec<u8>,
    initiator_component: Vec<u8>,
    backend: Backend,
    log: bool,
}

impl Responder {
    fn answer(self) -> Result<ResponderAnswer, KeyingError> {
        let mut writer = Writer::default();
        if self.agreed.least_answer {
            writer.hmac(0, 0);
            writer.sequence(0);
        } else {
            writer.sequence(self.agreed.sequence.flags());
            writer.hmac(self.agreed.hmac.flags(), self.hmac_length);
        }
        let pair = self.source.into_pair(&mut writer, Role::Responder, self.backend)?;
        let component = writer.0;
        let secret = pair.agree(&self.far_public, self.backend)?;
        let library = self.backend.library();
        let keys = Keys::derive(&secret, &component, &self.initiator_component, library);
        let log = LogEntry { end: "responder", initiator_component: &self.initiator_component };
        let keys = session_keys(keys, self.agreed, pair.group, self.log.then_some(&log), library);
        Ok(ResponderAnswer { component, keys })
    }
}

fn session_keys(
    keys: Keys,
    agreed: Agreed,
    group: Group,
    log: Option<&LogEntry<'_>>,
    library: &'static dyn Library,
) -> SessionKeys {
    SessionKeys(Box::new(Session::new(keys, agreed, group, log, library)))
}
