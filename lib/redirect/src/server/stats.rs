use rtmfp_base::{Counters, Visit};

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of a redirector, since its start.
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct ServerStats {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters for ServerStats {
            fn visit(&self, visit: &mut Visit<'_>) {
                $(visit(stringify!($name), self.$name);)+
            }
        }
    };
}

stats! {
    /// Registrants that came.
    clients,
    /// Those of them that were refused: their certificates do not accept URIs.
    refused_clients,
    /// Registrants refused because there are as many as allowed, or as many of their session.
    limited_clients,
    /// Registrants that had not authenticated and were closed to make room, because as many as allowed had not.
    limited_unauthenticated,
    /// The same, because as many as allowed from one prefix had not.
    limited_unauthenticated_per_prefix,
    /// Registrants that had not authenticated in time.
    late_clients,
    /// Registrants whose authentication was good.
    good_auth,
    /// Registrants whose authentication was bad or missing.
    bad_auth,
    /// Those of them in whose session as many attempts had been made as allowed.
    limited_attempts,
    /// Sessions closed at once because as many attempts from their prefix as allowed were wrong.
    limited_prefixes,
    /// Registrations, of those that came again too.
    registrations,
    /// Registrations that took the place of an older one with the same fingerprint.
    replaced,
    /// Times that a target began to drain.
    drained,
    /// Times that a target was taken for silent.
    silenced,
    /// Targets that left in order.
    left,
    /// Targets whose sessions were lost.
    lost,
    /// Registrants closed because they broke the protocol.
    malformed,
    /// Registrants closed, or not taken, because too many messages were sent in their session.
    limited_messages,
    /// Addresses ignored because a registrant named too many.
    limited_addresses,
    /// Addresses ignored because nothing can be sent there.
    unusable_addresses,
    /// User data ignored because it was too long or too much waits.
    limited_user_data,
    /// Hellos for others that were seen.
    hellos,
    /// Hellos that were not answered because too many came.
    limited_hellos,
    /// Hellos that ask for nobody who could be a target.
    ignored_hellos,
    /// Hellos for which there was no target and no address.
    unanswered_hellos,
    /// Hellos that ask for a fingerprint.
    fingerprint_hellos,
    /// Redirects sent.
    redirects,
    /// Redirects that were shortened.
    shortened_redirects,
    /// Hellos forwarded to targets.
    forwards,
    /// Redirects and forwarded hellos that the endpoint had no room for.
    failed_answers,
}
