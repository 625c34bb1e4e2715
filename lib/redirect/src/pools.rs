//! Which targets serve what: pools, by what clients ask for.

use std::collections::BTreeMap;

use rtmfp_flash::Epd;

/// A pool: targets that serve the same. There is always one more, for all that no other is for.
///
/// A client belongs to the pool with its host name and the longest prefix of its application; where no pool has its host
/// name, to one that is for any. Targets belong to the pools of the users by whose names they have authenticated.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PoolConfig {
    /// What it is called in status reports.
    pub name: String,
    /// The host name that clients ask for: that of their discriminator, else that of their URI. Capitals don't matter.
    /// `None`: any.
    pub host: Option<String>,
    /// The beginning of the application in their URI, whole segments of it: `live` and `live/one` are the beginning of
    /// `live/one/two`. Empty: any.
    pub application: String,
    /// The users who serve it.
    pub users: Vec<Vec<u8>>,
}

/// Segments of an application that are looked at: a client can't have the search take longer.
const MAX_SEGMENTS: usize = 16;

/// What a client asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted<'a> {
    pub(crate) fingerprint: Option<&'a [u8]>,
    /// The whole URI.
    pub(crate) uri: Option<&'a [u8]>,
    pub(crate) host: Option<&'a [u8]>,
    /// The path of the URI without the first slash.
    pub(crate) application: &'a [u8],
    query: &'a [u8],
}

impl<'a> Wanted<'a> {
    /// Reads an Endpoint Discriminator; `None` when it is malformed, or asks for neither a fingerprint nor a URI.
    pub(crate) fn parse(epd: &'a [u8]) -> Option<Self> {
        let epd = Epd::parse(epd).ok()?;
        let mut wanted = Self { fingerprint: epd.fingerprint, uri: epd.ancillary, ..Self::default() };
        if let Some(uri) = epd.ancillary {
            wanted.read_uri(uri);
        }
        wanted.host = epd.hostname.or(wanted.host);
        (wanted.fingerprint.is_some() || wanted.uri.is_some()).then_some(wanted)
    }

    /// `scheme://user@host:port/application?query`; only the application in some old clients.
    fn read_uri(&mut self, uri: &'a [u8]) {
        let uri = cut(uri, |byte| byte == b'#').0;
        let (uri, query) = cut(uri, |byte| byte == b'?');
        self.query = query;
        let authority = uri.windows(3).position(|bytes| bytes == b"://").and_then(|at| uri.get(at + 3..));
        let path = match authority {
            Some(rest) => {
                let (authority, path) = cut(rest, |byte| byte == b'/');
                let host = authority.rsplit(|&byte| byte == b'@').next().unwrap_or(authority);
                let host = match host.strip_prefix(b"[") {
                    Some(literal) => cut(literal, |byte| byte == b']').0,
                    None => cut(host, |byte| byte == b':').0,
                };
                self.host = (!host.is_empty()).then_some(host);
                path
            }
            None => uri,
        };
        self.application = trim_slashes(path);
    }

    /// The value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.query.split(|&byte| byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
    }
}

/// What comes before the first byte that is meant, and what behind it.
fn cut(bytes: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| is_end(byte)) {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

fn trim_slashes(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

/// Pools by number; 0 is the one for all that no other is for.
#[derive(Debug)]
pub(crate) struct Pools {
    by_what: BTreeMap<(Vec<u8>, Vec<u8>), usize>,
    by_user: BTreeMap<Vec<u8>, Vec<usize>>,
}

impl Pools {
    pub(crate) fn new(pools: &[PoolConfig]) -> Self {
        let (mut by_what, mut by_user) = (BTreeMap::new(), BTreeMap::<Vec<u8>, Vec<usize>>::new());
        for (number, pool) in (1..).zip(pools) {
            let host = pool.host.as_deref().unwrap_or_default().to_ascii_lowercase().into_bytes();
            let application = trim_slashes(pool.application.as_bytes()).to_vec();
            by_what.entry((host, application)).or_insert(number);
            for user in &pool.users {
                by_user.entry(user.clone()).or_default().push(number);
            }
        }
        Self { by_what, by_user }
    }

    /// The pools that targets of these users serve.
    pub(crate) fn of_users<'a>(&self, users: impl Iterator<Item = &'a [u8]>) -> Vec<usize> {
        let mut pools: Vec<usize> =
            users.filter_map(|user| self.by_user.get(user)).flatten().copied().collect();
        if pools.is_empty() {
            pools.push(0);
        }
        pools.sort_unstable();
        pools.dedup();
        pools
    }

    /// The pool for what a client asks for.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> usize {
        if self.by_what.is_empty() {
            return 0;
        }
        let host = wanted.host.unwrap_or_default().to_ascii_lowercase();
        let found = self.find_at(host.clone(), wanted.application);
        let found = found
            .or_else(|| if host.is_empty() { None } else { self.find_at(Vec::new(), wanted.application) });
        found.unwrap_or(0)
    }

    fn find_at(&self, host: Vec<u8>, application: &[u8]) -> Option<usize> {
        let slashes = application.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut ends: Vec<usize> = slashes.take(MAX_SEGMENTS).collect();
        if ends.len() < MAX_SEGMENTS {
            ends.push(application.len());
        }
        let mut key = (host, Vec::new());
        for end in ends.into_iter().rev().chain([0]) {
            key.1 = application.get(..end).unwrap_or_default().to_vec();
            if let Some(&pool) = self.by_what.get(&key) {
                return Some(pool);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(host: &str, application: &str, users: &[&str]) -> PoolConfig {
        PoolConfig {
            name: format!("{host}/{application}"),
            host: (!host.is_empty()).then(|| host.to_owned()),
            application: application.to_owned(),
            users: users.iter().map(|user| user.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn a_uri_says_host_application_and_parameters() {
        for (uri, host, application) in [
            ("rtmfp://Live.example:1935/app/one?key=7&x=1#f", Some("Live.example"), "app/one"),
            ("rtmfp://u:p@h/", Some("h"), ""),
            ("rtmfp://[2001:db8::1]:1935//app/", Some("2001:db8::1"), "app"),
            ("rtmfp:///app", None, "app"),
            ("live", None, "live"),
            ("", None, ""),
        ] {
            let epd = Epd::uri(uri).encode();
            let wanted = Wanted::parse(&epd).unwrap();
            assert_eq!(
                (wanted.host, wanted.application),
                (host.map(str::as_bytes), application.as_bytes()),
                "{uri}"
            );
        }
        let epd = Epd::uri("rtmfp://h/a?keys=1&key=7").encode();
        let wanted = Wanted::parse(&epd).unwrap();
        assert_eq!([wanted.parameter(b"key"), wanted.parameter(b"ke")], [Some(&b"7"[..]), None]);
    }

    #[test]
    fn what_follows_a_hash_sign_is_no_part_of_the_application_or_of_a_parameter() {
        let read = |uri: &str| {
            let epd = Epd::uri(uri).encode();
            let wanted = Wanted::parse(&epd).unwrap();
            (wanted.application.to_vec(), wanted.parameter(b"key").map(<[u8]>::to_vec))
        };
        assert_eq!(read("rtmfp://h/app#f"), (b"app".to_vec(), None));
        assert_eq!(read("rtmfp://h/app?key=7#f"), (b"app".to_vec(), Some(b"7".to_vec())));
        assert_eq!(read("rtmfp://h/app#f?key=7"), (b"app".to_vec(), None));
    }

    #[test]
    fn a_fingerprint_alone_asks_for_a_target() {
        let epd = Epd::fingerprint(&rtmfp_flash::Fingerprint([7; 32])).encode();
        assert_eq!(Wanted::parse(&epd).unwrap().fingerprint, Some(&[7; 32][..]));
    }

    #[test]
    fn a_discriminator_with_nothing_but_a_host_name_asks_for_no_target() {
        assert_eq!(Wanted::parse(&Epd::hostname("red").encode()), None);
        assert_eq!(Wanted::parse(&[5, 1]), None);
        let epd = Epd::hostname("a").with_uri("rtmfp://b/c").encode();
        assert_eq!(
            Wanted::parse(&epd).unwrap().host,
            Some(&b"a"[..]),
            "that of the discriminator goes first"
        );
    }

    #[test]
    fn the_host_goes_before_the_application_and_the_longest_prefix_wins() {
        let pools = Pools::new(&[
            pool("a.example", "", &["a"]),
            pool("a.example", "live", &["b"]),
            pool("", "live/news", &["c", "a"]),
            pool("", "/vod/", &[]),
        ]);
        let find = |uri: &str| pools.find(&Wanted::parse(&Epd::uri(uri).encode()).unwrap());
        assert_eq!(find("rtmfp://A.Example/live/news/1"), 2);
        assert_eq!(find("rtmfp://a.example/lively"), 1);
        assert_eq!(find("rtmfp://b.example/live/news/1"), 3);
        assert_eq!(find("rtmfp://b.example/live/newsroom"), 0);
        assert_eq!(find("live/news"), 3);
        assert_eq!(find("rtmfp://c/vod"), 4);
        assert_eq!(find(&format!("rtmfp://c/vod{}", "/x".repeat(500))), 4);
        let of = |users: &[&str]| pools.of_users(users.iter().map(|user| user.as_bytes()));
        assert_eq!(
            [of(&["a"]), of(&["b", "c"]), of(&["d"]), of(&[])],
            [vec![1, 3], vec![2, 3], vec![0], vec![0]]
        );
    }
    #[test]
    fn hosts_are_compared_without_regard_to_capitals_and_of_equal_pools_the_first_is_found() {
        let pools = Pools::new(&[
            pool("Live.Example", "a", &["u", "w"]),
            pool("live.example", "/a/", &["u"]),
            pool("", "b", &["u", "w"]),
        ]);
        let find = |uri: &str| pools.find(&Wanted::parse(&Epd::uri(uri).encode()).unwrap());
        assert_eq!([find("rtmfp://live.example/a"), find("rtmfp://LIVE.EXAMPLE/a/x")], [1, 1]);
        let users = ["w", "u"].into_iter().map(str::as_bytes);
        assert_eq!(pools.of_users(users), [1, 2, 3], "each once, in their order");
    }

    #[test]
    fn so_many_segments_of_an_application_are_looked_at_and_no_more() {
        let path = |segments: usize| vec!["x"; segments].join("/");
        let found = |segments: usize, asked: usize| {
            let pools = Pools::new(&[pool("", &path(segments), &[])]);
            pools.find(&Wanted::parse(&Epd::uri(&path(asked)).encode()).unwrap()) == 1
        };
        assert!(found(MAX_SEGMENTS, MAX_SEGMENTS) && found(MAX_SEGMENTS, 40) && found(3, 40));
        assert!(!found(MAX_SEGMENTS + 1, MAX_SEGMENTS + 1) && !found(MAX_SEGMENTS + 1, 40));
    }
}
