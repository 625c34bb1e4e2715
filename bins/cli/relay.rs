//! The options of `rtmfp-relay`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};
use rtmfp_flash::Group;

use crate::{
    ByteCount, Dscp, FleetOptions, Groups, Lifetime, ListenUrl, MaxGroup, RegistrationOptions, Seconds,
    ToUrl, Verbosity, WorkerOptions,
};

#[path = "relay/unused.rs"]
mod unused;

/// Carry live streams between RTMP and RTMFP
///
/// Takes clients on one protocol and connects each of them to one destination on the same or the other protocol.
/// What clients say passes through: connect, publish, play, metadata, audio and video.
///
/// Usually there are two relays: one beside the encoder, from RTMP to RTMFP, and one beside the media server, from
/// RTMFP to RTMP. Between them the stream is encrypted, lost packets are sent again while that makes sense, audio
/// goes before video, and what is too late is left out instead of delaying everything after it.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rtmfp-relay",
    version,
    disable_version_flag = true,
    max_term_width = 100,
    after_long_help = AFTER_HELP
)]
pub struct Relay {
    /// Listen here: rtmp://IP:PORT or rtmfp://IP:PORT; may be given several times
    ///
    /// The IP is an address of this machine, or 0.0.0.0 for all that are IPv4, or [::] for all that
    /// are IPv6. IPv6 addresses are in brackets.
    /// Port 0 takes any free port; without :PORT it is 1935, TCP for rtmp and UDP for rtmfp. When the port is open
    /// a line "listening on URL" goes to standard error. Behind rtmfp://IP:PORT may stand ?legacy=1 (see --legacy).
    /// rtmp-simple:// is rtmp:// sent in its plainest form, for programs with bugs.
    #[arg(long, value_name = "URL", required = true, env = "RTMFP_RELAY_LISTEN", value_delimiter = ',')]
    pub listen: Vec<ListenUrl>,

    /// Connect each client to this destination: rtmp://HOST[:PORT] or rtmfp://HOST[:PORT]
    ///
    /// HOST is a name or an address, IPv6 in brackets. All addresses of a name are tried. The application and the
    /// stream are chosen by each client, they do not belong here. Behind rtmfp://HOST:PORT may stand ?legacy=1 (see
    /// --legacy). rtmp-simple:// is rtmp:// sent in its plainest form, for servers with bugs.
    #[arg(long, value_name = "URL", env = "RTMFP_RELAY_TO")]
    pub to: ToUrl,

    /// Leave the ports alone that only tell of clients who come to the wrong one
    ///
    /// Otherwise TCP connections to the port of an rtmfp:// listener, and datagrams to that of an rtmp:// one, are told
    /// of in the log and go no further. Ports that another program has are left alone in any case.
    #[arg(long)]
    pub no_wrong_port_watch: bool,

    /// How long to let streams run on after the first SIGTERM or SIGINT; inf: to their end
    ///
    /// What is left then is ended in order: clients and the destination are told, so that encoders go elsewhere. Clients
    /// without a stream, and those whose streams have carried nothing for 30 seconds, are ended without that wait.
    #[arg(long, value_name = "SECONDS", default_value = "inf")]
    pub drain_timeout: Lifetime,

    /// How much is logged.
    #[command(flatten)]
    pub verbosity: Verbosity,

    /// Print the version
    #[arg(long, action = ArgAction::Version, display_order = 901)]
    version: Option<bool>,

    /// How media is treated.
    #[command(flatten)]
    pub media: Media,

    /// How RTMFP sessions are protected.
    #[command(flatten)]
    pub security: Security,

    /// What clients may use.
    #[command(flatten)]
    pub limits: Limits,

    /// How many run loops share the work.
    #[command(flatten)]
    pub workers: WorkerOptions,

    /// Which redirectors it registers with.
    #[command(flatten)]
    pub registration: RegistrationOptions,

    /// What redirectors, and the relay's own workers, are told.
    #[command(flatten)]
    pub fleet: FleetOptions,
}

/// How media is treated.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Media")]
pub struct Media {
    /// Leave a video frame out when it could not be begun within this time; inf: never
    #[arg(short = 'V', long, value_name = "SECONDS", default_value = "2")]
    pub video_lifetime: Lifetime,

    /// Leave an audio frame out when it could not be begun within this time; inf: never
    #[arg(short = 'A', long, value_name = "SECONDS", default_value = "2.2")]
    pub audio_lifetime: Lifetime,

    /// How much longer a frame that was begun may take to arrive
    #[arg(short = 'F', long, value_name = "SECONDS", default_value = "0.1")]
    pub finish_margin: Lifetime,

    /// How much longer what is left of a group of pictures may take once the next key frame is there; inf: as long as
    /// without it
    #[arg(short = 'e', long, value_name = "SECONDS", default_value = "0.1")]
    pub previous_group_margin: Lifetime,

    /// Mark outgoing packets for networks that tell traffic apart: 0 to 63, or a name such as AF41, EF, CS5
    #[arg(short = 'T', long, value_name = "CODE", default_value = "0")]
    pub dscp: Dscp,
}

/// How RTMFP sessions are protected.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "RTMFP sessions")]
pub struct Security {
    /// Get along with old programs: Flash Player, AIR, librtmfp, MonaServer and their kind
    ///
    /// Sessions with them may lack HMACs and sequence numbers and agree on keys in group 2, so others may forge and
    /// replay packets, and who has much to compute with may read them. Implies -H and -S. Programs that can do better
    /// get better all the same. For one listener or one destination alone write ?legacy=1 behind its address, as in
    /// rtmfp://0.0.0.0:1935?legacy=1, and ?legacy=0 to leave one out.
    #[arg(long)]
    pub legacy: bool,

    /// Accept far ends that cannot protect packets by HMAC (Flash Player and its kind)
    #[arg(short = 'H', long)]
    pub allow_no_hmac: bool,

    /// Accept far ends that cannot number their packets against replay (Flash Player and its kind)
    #[arg(short = 'S', long)]
    pub allow_no_sequence_numbers: bool,

    /// Use new keys for each outgoing session, not a pair that is made once at the start
    ///
    /// Costs about twice the time for a new session. Recorded sessions stay secret when this machine's memory is
    /// read later.
    #[arg(short = 'x', long)]
    pub ephemeral: bool,

    /// Use one pair of keys, made at the start, for all sessions that listeners accept
    ///
    /// By default each session has new keys. With static keys nobody else can use the listener's certificate while
    /// the program runs, and a new session costs half the time.
    #[arg(long)]
    pub static_keys: bool,

    /// Diffie-Hellman groups to offer, strongest first, of 16 (4096 bits), 14 (2048), 5 (1536) and 2 (1024)
    ///
    /// Two ends use the first that both know. Group 2 is all that Flash Player knows; without it old programs
    /// cannot connect.
    #[arg(long, value_name = "LIST", default_value = DEFAULT_GROUPS)]
    pub dh_groups: Groups,

    /// The strongest Diffie-Hellman group to use towards the destination, of those of --dh-groups
    ///
    /// For destinations that name a group which they cannot compute. With --legacy the relay finds that out by itself,
    /// at the price of some seconds for each client.
    #[arg(long, value_name = "GROUP")]
    pub max_dh_group: Option<MaxGroup>,

    /// Threads for public-key work; 0 does it between packets, on the only thread
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub crypto_threads: u16,

    /// Append the keys of all sessions to this file, by which captures of them can be read: for debugging only
    #[arg(long, value_name = "FILE", env = "RTMFP_KEYLOGFILE")]
    pub key_log_file: Option<PathBuf>,
}

/// All but group 5, which nobody needs.
const DEFAULT_GROUPS: &str = "16,14,2";

impl Security {
    /// The groups to offer towards the destination; none is what [`Relay::check`] complains of.
    pub fn outgoing_groups(&self) -> Vec<Group> {
        let most = self.max_dh_group.map(|most| most.0);
        self.dh_groups.0.iter().copied().filter(|group| most.is_none_or(|most| *group <= most)).collect()
    }
}

/// What clients may use.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Clients at a time; more are turned away
    #[arg(long, value_name = "N", default_value_t = Self::MAX_CLIENTS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_clients: u32,

    /// Clients at a time from one IP address; more are turned away
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_clients_per_address: u32,

    /// The longest message, in bytes (K and M: KiB and MiB)
    #[arg(long, value_name = "BYTES", default_value = "6M")]
    pub max_message: ByteCount,

    /// Memory for what a client has sent in part, once its connect was accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value = "8M")]
    pub max_memory: ByteCount,

    /// Memory for what a client has sent in part, before its connect was accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value = "192K")]
    pub max_memory_before_connect: ByteCount,

    /// Close a client that sends more bytes of commands, data and shared objects a second, or four times as many at once
    #[arg(long, value_name = "BYTES", default_value = "2M")]
    pub max_commands: ByteCount,

    /// Close a client whose handshake takes longer
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub handshake_timeout: Seconds,

    /// Close a client that has sent no connect so long after its handshake
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub connect_timeout: Seconds,
}

impl Limits {
    /// As many clients at a time where nobody has said how many.
    pub const MAX_CLIENTS: u32 = 10_000;
}

// Each paragraph is one line: the manual page fills its lines itself.
const AFTER_HELP: &str = "\
Signals: at the first SIGTERM or SIGINT no new clients are taken, clients that carry nothing are sent away, running \
streams go on to their end or to that of --drain-timeout, then the program exits. At the second it exits at once. At \
SIGUSR1 it prints its figures on standard error, of several workers also those of each; an empty line ends them. At SIGHUP \
it reads the file of --redirector-user-file again, for the next attempt to register; without such a file it ends at once.

Exit codes: 0 ended as asked, 1 could not do its work, 2 the command line makes no sense.

Example: an encoder sends over a bad network to a media server at server.example. Both relays run without privileges.

Beside the encoder: rtmfp-relay --listen rtmp://127.0.0.1:1935 --to rtmfp://server.example

Beside the media server: rtmfp-relay --listen rtmfp://0.0.0.0:1935 --to rtmp://127.0.0.1:1935";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(arguments: &str) -> Result<Relay, String> {
        let words = core::iter::once("rtmfp-relay").chain(arguments.split_whitespace());
        Relay::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Relay::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let relay = parse("--listen rtmp://127.0.0.1 --to rtmfp://server.example").unwrap();
        assert_eq!(relay.listen[0].to_string(), "rtmp://127.0.0.1:1935");
        assert_eq!(relay.to.to_string(), "rtmfp://server.example:1935");
        assert_eq!(relay.media.video_lifetime.to_string(), "2");
        assert_eq!(relay.media.audio_lifetime.to_string(), "2.2");
        assert_eq!(relay.media.finish_margin.to_string(), "0.1");
        assert_eq!(relay.media.previous_group_margin.to_string(), "0.1");
        assert_eq!(relay.security.dh_groups.to_string(), "16,14,2");
        assert_eq!(relay.security.max_dh_group, None);
        assert_eq!(relay.security.crypto_threads, 1);
        assert_eq!(relay.drain_timeout.to_string(), "inf");
        assert_eq!(relay.limits.max_commands.0, 2 << 20);
        assert_eq!(relay.limits.max_message.0, 6 << 20);
        assert_eq!(relay.limits.max_memory.0, 8 << 20);
        assert_eq!(relay.limits.max_memory_before_connect.0, 192 << 10);
        assert_eq!(relay.verbosity.level(), "warn");
    }

    #[test]
    fn short_options_are_those_that_operators_know() {
        let relay = parse(
            "--listen rtmp://127.0.0.1:0,rtmfp://[::1]:0 --listen rtmp://127.0.0.2 --to rtmp://a \
             -V 1 -A 3 -F 0.2 -T EF -HSx --dh-groups 14,2 -vv",
        )
        .unwrap();
        assert_eq!(relay.listen.len(), 3);
        assert_eq!(relay.media.dscp, Dscp(46));
        assert!(relay.security.allow_no_hmac && relay.security.allow_no_sequence_numbers);
        assert!(relay.security.ephemeral && !relay.security.static_keys && !relay.security.legacy);
        assert_eq!(relay.verbosity.level(), "debug");
    }

    #[test]
    fn errors_name_the_option_and_what_to_do() {
        let error = parse("--listen rtmp://localhost:1935 --to rtmp://a").unwrap_err();
        assert!(error.contains("--listen <URL>") && error.contains("rtmp://127.0.0.1:PORT"), "{error}");
        let error = parse("--listen rtmp://127.0.0.1").unwrap_err();
        assert!(error.contains("--to <URL>"), "{error}");
        let error = parse("--listen rtmp://127.0.0.1 --to rtmp://a --crypto-threads 65").unwrap_err();
        assert!(error.contains("0..=64"), "{error}");
    }
}
