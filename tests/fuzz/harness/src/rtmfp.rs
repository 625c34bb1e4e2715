//! RTMFP endpoints (`rtmfp::Endpoint`) with a far end that sends what it likes.

mod application;
mod far;
mod fragments;
mod session;
mod startup;

pub use fragments::{fragments, fragments_counted};
pub use session::session;
pub use startup::startup;

use core::net::SocketAddr;

use rtmfp::{Config, Endpoint, Limits, SessionConfig};
use rtmfp_base::{Batch, Ecn, InterfaceId, JobDone, RecvMeta, Time};
use rtmfp_plain::PlainProfile;

/// Where both ends are.
const INTERFACE: InterfaceId = InterfaceId(0);

fn near_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 1935))
}

fn far_meta(port: u16) -> RecvMeta {
    let from = SocketAddr::from(([198, 51, 100, 2], port));
    RecvMeta { interface: INTERFACE, from, dst_ip: None, ecn: Ecn::NotEct }
}

/// An endpoint with the certificate `near`, limits that are reached soon, and patience that ends soon.
fn endpoint() -> Endpoint {
    let config = Config {
        session: SessionConfig {
            keepalive: core::time::Duration::from_secs(5),
            retransmit_limit: core::time::Duration::from_secs(15),
            idle_limit: core::time::Duration::from_secs(20),
            ..SessionConfig::default()
        },
        limits: Limits {
            sessions: 16,
            handshakes: 4,
            receive_flows: 8,
            send_flows: 8,
            ranges: 16,
            send_queue: 256 * 1024,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut endpoint = Endpoint::new(config, Box::new(PlainProfile::new("near")), [7; 32], Time::ZERO);
    endpoint.add_interface(INTERFACE, near_address());
    endpoint
}

/// Does all jobs at once.
fn run_jobs(endpoint: &mut Endpoint, now: Time) {
    while let Some(job) = endpoint.poll_job() {
        let done: JobDone = job.run();
        endpoint.complete_job(now, done);
    }
}

/// All that the endpoint wants to send now, datagram by datagram.
fn transmissions(endpoint: &mut Endpoint, now: Time) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    loop {
        let mut batch = Batch::default();
        endpoint.poll_transmit(now, &mut batch);
        if batch.is_empty() {
            return datagrams;
        }
        for transmit in batch.transmits {
            let bytes = &batch.buffer[transmit.bytes];
            let size = transmit.segment_size.unwrap_or(bytes.len());
            datagrams.extend(bytes.chunks(size).map(<[u8]>::to_vec));
        }
        assert!(datagrams.len() <= 4096, "one input makes for too much output");
    }
}

/// Serves the timers that are due.
fn serve_timers(endpoint: &mut Endpoint, now: Time) {
    let mut turns = 0;
    while endpoint.poll_timeout().is_some_and(|(at, _)| at <= now) {
        endpoint.handle_timeout(now);
        turns += 1;
        assert!(turns < 1000, "a timer does not stop: {:?}", endpoint.poll_timeout());
    }
}
