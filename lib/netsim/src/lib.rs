//! A deterministic network for tests: links, byte streams, hosts, virtual time.
