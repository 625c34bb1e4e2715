//! Sealing and opening of packets by each backend, with the number of allocations (none is expected; OpenSSL's own
//! are not counted), and key agreement.
//!
//! `cargo bench -p rtmfp-flash --features rustcrypto`

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod backends {
    use divan::Bencher;
    use divan::counter::{BytesCount, ItemsCount};
    use rtmfp::crypto::{KeyId, Profile, Sealing};
    use rtmfp_flash::{Backend, FlashConfig, FlashProfile, Group, KeySource, Policy};

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

    fn cases() -> Vec<(Backend, Mode, usize)> {
        let modes = [Mode::Hmac, Mode::Checksum].into_iter().flat_map(|mode| LENGTHS.map(|len| (mode, len)));
        modes.flat_map(|(mode, len)| Backend::ALL.iter().map(move |backend| (*backend, mode, len))).collect()
    }

    #[divan::bench(args = cases())]
    fn seal(bencher: Bencher<'_, '_>, (backend, mode, len): (Backend, Mode, usize)) {
        let ((mut sender, key), _) = pair(backend, mode);
        let mut buffer = vec![0x5a; 2 * len + 100];
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            let room = sender.reserve(key, len);
            sender.seal(&mut buffer, &mut [Sealing { key, room, clear_len: len, start: 0 }]);
        });
    }

    #[divan::bench(args = cases())]
    fn seal_batch_of_16(bencher: Bencher<'_, '_>, (backend, mode, len): (Backend, Mode, usize)) {
        let ((mut sender, key), _) = pair(backend, mode);
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

    #[divan::bench(args = cases())]
    fn open(bencher: Bencher<'_, '_>, (backend, mode, len): (Backend, Mode, usize)) {
        let ((mut sender, at_sender), (mut receiver, at_receiver)) = pair(backend, mode);
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

    fn groups() -> Vec<(Backend, Group)> {
        let groups = [Group::Modp1024, Group::Modp2048, Group::Modp4096];
        groups.into_iter().flat_map(|group| Backend::ALL.iter().map(move |by| (*by, group))).collect()
    }

    /// A responder's job: two exponentiations.
    #[divan::bench(args = groups(), sample_size = 1, sample_count = 20)]
    fn respond(bencher: Bencher<'_, '_>, (backend, group): (Backend, Group)) {
        let (client, server) =
            (profile(1, backend, Mode::Hmac, group), profile(2, backend, Mode::Hmac, group));
        let offer = client.initiate(server.certificate(), &mut random).expect("a common group")();
        let offer = offer.expect("an offer");
        bencher
            .with_inputs(|| {
                server.respond(client.certificate(), &offer.component, &mut random).expect("a good component")
            })
            .bench_local_values(|work| work().is_ok());
    }

    fn profile(seed: u8, backend: Backend, mode: Mode, group: Group) -> FlashProfile {
        let mut config = FlashConfig::server();
        config.backend = backend;
        config.keys = KeySource::Ephemeral { groups: vec![group] };
        if let Mode::Checksum = mode {
            config.policy = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
        }
        FlashProfile::new(config, &mut |bytes: &mut [u8]| bytes.fill(seed)).expect("a sound configuration")
    }

    fn random(bytes: &mut [u8]) {
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
    }

    /// Both ends of a session.
    fn pair(backend: Backend, mode: Mode) -> ((FlashProfile, KeyId), (FlashProfile, KeyId)) {
        let [mut client, mut server] = [1, 2].map(|seed| profile(seed, backend, mode, Group::Modp1024));
        let offer =
            client.initiate(server.certificate(), &mut random).expect("a common group")().expect("an offer");
        let answer = server.respond(client.certificate(), &offer.component, &mut random);
        let answer = answer.expect("a good component")().expect("an answer");
        let keys = client.conclude(&offer.secret, &answer.component)().expect("keys");
        let (at_client, at_server) = (client.install(keys), server.install(answer.keys));
        ((client, at_client), (server, at_server))
    }
}
