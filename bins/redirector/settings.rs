//! The command line as settings of the library.

use rtmfp_cli::{
    HashKeyChoice, PolicyChoice, PoolSpec, RatePerSecond, Redirector, RedirectorLimits, SelectionOptions,
};
use rtmfp_redirect::selection::{Policy, SelectionConfig};
use rtmfp_redirect::{HashKey, PoolConfig, Rate, RedirectLimits, ServerConfig, ServerLimits, Users};

pub(crate) fn server(options: &Redirector) -> ServerConfig {
    let Redirector { access, selection, sessions, limits, .. } = options;
    ServerConfig {
        selection: SelectionConfig {
            policy: policy(selection.policy),
            client_load: selection.client_load,
            ..SelectionConfig::default()
        },
        targets: selection.targets.map(|targets| targets as usize),
        key: key(&selection.hash_key),
        pools: pools(selection),
        static_addresses: selection.static_addresses.iter().map(|address| address.0).collect(),
        same_family: selection.same_family,
        forward_any_family: selection.forward_any_family,
        shuffle_interval: selection.shuffle_interval.0,
        bad_auth_delay: access.bad_auth_delay.0,
        full_load: selection.full_load,
        keepalive: sessions.keepalive.0,
        silent_after: sessions.silent_after.0,
        retransmit_limit: sessions.retransmit_limit.0,
        limits: ServerLimits {
            clients: limits.max_servers as usize,
            unauthenticated: limits.max_unauthenticated as usize,
            unauthenticated_per_prefix: limits.max_unauthenticated_per_prefix.map(|most| most as usize),
            authenticate: limits.auth_timeout.0,
            addresses: limits.max_addresses as usize,
            redirects: redirect_limits(limits),
            ..ServerLimits::default()
        },
        ..ServerConfig::default()
    }
}

pub(crate) fn redirect_limits(limits: &RedirectorLimits) -> RedirectLimits {
    RedirectLimits {
        total: rate(limits.max_redirects),
        again: rate(limits.max_redirects),
        prefix: rate(limits.max_redirects_per_prefix),
        bytes: limits.max_redirect_bytes as usize,
        ..RedirectLimits::default()
    }
}

const fn rate(RatePerSecond { per_second, burst }: RatePerSecond) -> Rate {
    Rate::new(burst, per_second)
}

const fn policy(choice: PolicyChoice) -> Policy {
    match choice {
        PolicyChoice::LeastLoad => Policy::LeastLoad,
        PolicyChoice::Weighted => Policy::Weighted,
        PolicyChoice::RoundRobin => Policy::RoundRobin,
        PolicyChoice::Hash => Policy::Hash,
    }
}

fn key(choice: &HashKeyChoice) -> HashKey {
    match choice {
        HashKeyChoice::Application => HashKey::Application,
        HashKeyChoice::Uri => HashKey::Uri,
        HashKeyChoice::Parameter(name) => HashKey::Parameter(name.clone()),
    }
}

pub(crate) fn pools(selection: &SelectionOptions) -> Vec<PoolConfig> {
    let pool = |PoolSpec { name, host, application, users }: PoolSpec| PoolConfig {
        name,
        host,
        application,
        users: users.into_iter().map(String::into_bytes).collect(),
    };
    selection.pools.iter().cloned().map(pool).collect()
}

/// Warns of users of pools as whom nobody can register.
pub(crate) fn warn_of_pools(pools: &[PoolConfig], users: &Users) {
    for (pool, user) in unknown_users(pools, users) {
        log::warn!("--pool {pool}: there is no user {user}: check the users file, or the pool");
    }
}

/// The users of pools that there are none of, after the pools' names.
fn unknown_users<'a>(pools: &'a [PoolConfig], users: &Users) -> Vec<(&'a str, String)> {
    let all = pools.iter().flat_map(|pool| pool.users.iter().map(|user| (pool.name.as_str(), user)));
    let unknown = all.filter(|(_, user)| !users.contains(user));
    unknown.map(|(pool, user)| (pool, user.escape_ascii().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_pools_that_are_none_are_found() {
        let pool = |name: &str, users: &[&str]| PoolConfig {
            name: name.to_owned(),
            users: users.iter().map(|user| user.as_bytes().to_vec()).collect(),
            ..PoolConfig::default()
        };
        let pools = [pool("live", &["a", "b"]), pool("vod", &["c"])];
        let users = |list: &[(&str, &str)]| -> Users { list.iter().copied().collect() };
        let found = unknown_users(&pools, &users(&[("b", "1")]));
        assert_eq!(found, [("live", "a".to_owned()), ("vod", "c".to_owned())]);
        assert_eq!(unknown_users(&pools, &users(&[("a", "1"), ("b", "1"), ("c", "1")])), []);
    }
}
