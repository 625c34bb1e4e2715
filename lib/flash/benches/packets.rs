//! Sealing and opening of packets by each backend, with the number of allocations (none is expected; those of
//! OpenSSL itself are not counted), and key agreement.
//!
//! `cargo bench -p rtmfp-flash --features rustcrypto`

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use rtmfp::crypto::{KeyId, Profile, Sealing};
use rtmfp_flash::{FlashConfig, FlashProfile, Group, KeySource, Policy};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Lengths of clear packets: an acknowledgement, and a full packet.
const LENGTHS: [usize; 2] = [64, 1200];
const BATCH: usize = 16;

/// How packets are protected.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// HMAC of 16 bytes and sequence numbers: the default.
    Hmac,
    /// The checksum alone, as with old peers.
    Checksum,
}

const CASES: [(Mode, usize); 4] = [
    (Mode::Hmac, LENGTHS[0]),
    (Mode::Hmac, LENGTHS[1]),
    (Mode::Checksum, LENGTHS[0]),
    (Mode::Checksum, LENGTHS[1]),
];

fn main() {
    divan::main();
}

#[divan::bench(args = CASES)]
fn seal(bencher: Bencher<'_, '_>, (mode, len): (Mode, usize)) {
    let ((mut sender, key), _) = pair(mode);
    let mut buffer = vec![0x5a; 2 * len + 100];
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let room = sender.reserve(key, len);
        sender.seal(&mut buffer, &mut [Sealing { key, room, clear_len: len, start: 0 }]);
    });
}

#[divan::bench(args = CASES)]
fn seal_batch_of_16(bencher: Bencher<'_, '_>, (mode, len): (Mode, usize)) {
    let ((mut sender, key), _) = pair(mode);
    let mut buffer = vec![0x5a; BATCH * (len + 100)];
    let mut packets = Vec::with_capacity(BATCH);
    bencher.counter(BytesCount::new(BATCH * len)).counter(ItemsCount::new(BATCH)).bench_local(|| {
        packets.clear();
        let mut start = 0;
        for _ in 0..BATCH {
            let room = sender.reserve(key, len);
            packets.push(Sealing { key, room, clear_len: len, start });
            start += room.sealed_len;
        }
        sender.seal(&mut buffer, &mut packets);
    });
}

#[divan::bench(args = CASES)]
fn open(bencher: Bencher<'_, '_>, (mode, len): (Mode, usize)) {
    let ((mut sender, at_sender), (mut receiver, at_receiver)) = pair(mode);
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(|| {
            let room = sender.reserve(at_sender, len);
            let mut packet = vec![0x5a; room.sealed_len];
            sender.seal(&mut packet, &mut [Sealing { key: at_sender, room, clear_len: len, start: 0 }]);
            packet
        })
        .bench_local_refs(|packet| receiver.open(at_receiver, packet).is_ok());
}

/// Both ends of a session.
fn pair(mode: Mode) -> ((FlashProfile, KeyId), (FlashProfile, KeyId)) {
    let profile = |seed: u8| {
        let mut config = FlashConfig::server();
        config.keys = KeySource::Ephemeral { groups: vec![Group::Modp1024] };
        if let Mode::Checksum = mode {
            config.policy = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
        }
        FlashProfile::new(config, &mut |bytes: &mut [u8]| bytes.fill(seed)).expect("a sound configuration")
    };
    let (mut client, mut server) = (profile(1), profile(2));
    let mut random = |bytes: &mut [u8]| bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
    let offer =
        client.initiate(server.certificate(), &mut random).expect("a common group")().expect("an offer");
    let answer = server.respond(client.certificate(), &offer.component, &mut random);
    let answer = answer.expect("a good component")().expect("an answer");
    let keys = client.conclude(&offer.secret, &answer.component)().expect("keys");
    let (at_client, at_server) = (client.install(keys), server.install(answer.keys));
    ((client, at_client), (server, at_server))
}
