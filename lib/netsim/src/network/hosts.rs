use core::net::IpAddr;

use rtmfp_base::{Input, Service, Time};

use super::Network;
use crate::clock::Clock;
use crate::conn::Side;
use crate::event::{Event, Life};
use crate::host::{Host, Sleep, State, Streams, Timer, Waiting, Work};
use crate::links::{DiceOf, dice};
use crate::path::{NatId, Node, Stage};
use crate::ports::Ports;
use crate::{Fault, HostId, JobModel};

/// Hosts, and what becomes of them.
impl Network {
    /// Adds a host to the public network, that runs a service. It is polled for the first time when the
    /// network runs next.
    ///
    /// # Panics
    /// When somebody has one of the addresses.
    pub fn add_host(&mut self, name: &str, ips: &[IpAddr], service: Box<dyn Service>) -> HostId {
        self.add_host_at(None, name, ips, service)
    }

    pub(super) fn add_host_at(
        &mut self,
        site: Option<NatId>,
        name: &str,
        ips: &[IpAddr],
        service: Box<dyn Service>,
    ) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts"));
        self.hosts.push(Host {
            name: name.to_owned(),
            life: Life { host: id, number: 0 },
            ips: Vec::new(),
            site,
            service,
            state: State::Running,
            sleep: Sleep::default(),
            clock: Clock::new(),
            timer: Timer::default(),
            touched: false,
            work: Work::default(),
            sockets: Ports::new(),
            receive_buffers: Default::default(),
            listeners: Ports::new(),
            streams: Streams::default(),
            jobs: self.config.jobs,
            jobs_end: Time::ZERO,
            dice: dice(self.seed, DiceOf::Host, id.0, 0),
            parked: Vec::new(),
            announcements: Vec::new(),
        });
        self.put(id, site, ips);
        self.touch(id);
        id
    }

    /// Gives a host other addresses in the network that it is in. Sockets bound to a wildcard address go on
    /// with the new ones; those bound to an old one get nothing any more. Byte streams of an old address
    /// stand still, go on if the host gets it again, and die if that takes long.
    ///
    /// # Panics
    /// When somebody in that network has one of the addresses.
    pub fn set_addresses(&mut self, host: HostId, ips: &[IpAddr]) {
        self.move_host(host, self.host(host).site, ips);
    }

    /// Moves a host to the network behind a NAT box, or to the public one, with other addresses or the same;
    /// otherwise as [`Network::set_addresses`].
    ///
    /// # Panics
    /// When somebody in that network has one of the addresses.
    pub fn move_host(&mut self, host: HostId, to: Option<NatId>, ips: &[IpAddr]) {
        self.log.line(self.now, || format!("{} moves to {ips:?}", self.hosts[host.0 as usize].name));
        self.fault(Fault::Moved);
        self.put(host, to, ips);
        for host in 0..self.hosts.len() {
            for segment in core::mem::take(&mut self.hosts[host].parked) {
                self.segment_waited(segment, Stage::Arrived);
            }
        }
        self.find_cuts();
    }

    fn put(&mut self, id: HostId, site: Option<NatId>, ips: &[IpAddr]) {
        self.by_ip.retain(|_, owner| *owner != Node::Host(id));
        for ip in ips {
            self.take_address(site, *ip, id.into());
        }
        let host = self.host_mut(id);
        host.site = site;
        host.ips = ips.to_vec();
    }

    /// Switches a host off. It answers nothing any more, and the peers of its byte streams are not told: they
    /// hold streams that are half open until [`StreamConfig::dead_after`](crate::StreamConfig::dead_after).
    pub fn vanish(&mut self, host: HostId) {
        self.log.line(self.now, || format!("{} vanishes", self.hosts[host.0 as usize].name));
        self.fault(Fault::Vanished);
        self.switch_off(host);
    }

    /// Switches a host on again, with its addresses and a new service that knows nothing of the old one; one
    /// that was running is switched off first. Peers that send, or probe, on streams of its former life learn
    /// that these are gone.
    pub fn restart(&mut self, id: HostId, service: Box<dyn Service>) {
        self.log.line(self.now, || format!("{} restarts", self.hosts[id.0 as usize].name));
        self.fault(Fault::Restarted);
        self.switch_off(id);
        let host = self.host_mut(id);
        host.service = service;
        host.state = State::Running;
        let parked = core::mem::take(&mut host.parked);
        self.touch(id);
        self.find_cuts();
        self.probe(id);
        for segment in parked {
            self.queue.push(self.now, Event::Segment(segment, Stage::Arrived));
        }
    }

    fn switch_off(&mut self, id: HostId) {
        self.drop_ends(id);
        let host = self.host_mut(id);
        host.state = State::Vanished;
        host.life.number += 1;
        host.sleep = Sleep::default();
        host.timer = Timer::default();
        host.jobs_end = Time::ZERO;
        host.sockets.clear();
        host.receive_buffers.clear();
        host.listeners.clear();
        host.streams.by_id.clear();
        host.streams.to_fill.clear();
        self.find_cuts();
    }

    /// Stops a host's program, as `SIGSTOP` does, until [`Network::wake`]. Its system goes on: datagrams wait
    /// in the [receive buffers](crate::Config::udp_receive_buffer) of their sockets, bytes of streams in those
    /// of the streams; streams are accepted, acknowledged and closed. The program gets all that late, in the
    /// order in which it came but for the bytes of streams, which come last; and at most one timeout.
    pub fn sleep(&mut self, host: HostId) {
        if self.host(host).runs() && !self.host(host).sleep.asleep {
            self.log.line(self.now, || format!("{} falls asleep", self.hosts[host.0 as usize].name));
            self.fault(Fault::Slept);
            self.host_mut(host).sleep.asleep = true;
        }
    }

    /// Lets a host's program that [sleeps](Network::sleep) go on.
    pub fn wake(&mut self, id: HostId) {
        let Sleep { asleep: true, inbox } = core::mem::take(&mut self.host_mut(id).sleep) else { return };
        self.log.line(self.now, || format!("{} wakes up", self.hosts[id.0 as usize].name));
        for waiting in inbox {
            match waiting {
                Waiting::Input(input) => self.deliver(id, input),
                Waiting::Datagram(meta, mut bytes) => {
                    self.deliver(id, Input::Datagram { meta, bytes: &mut bytes });
                    self.recycle(bytes);
                }
            }
        }
        for (conn, side) in self.hosts[id.0 as usize].streams.by_id.values() {
            self.queue.push(self.now, Event::Unread(*conn, *side));
        }
        self.touch(id);
    }

    /// Whether a host's program [sleeps](Network::sleep).
    pub fn is_asleep(&self, host: HostId) -> bool {
        self.host(host).sleep.asleep
    }

    /// Has a host's clock run `pace` times as fast as the network's from now on; 1 is what it did at first.
    /// Its service gets the time, and is called at the times it asks for, by this clock. Links, jobs, names
    /// and the system's part in byte streams keep the network's time.
    ///
    /// # Panics
    /// When the pace is not between a thousandth and a thousand.
    pub fn set_clock_pace(&mut self, host: HostId, pace: f64) {
        let now = self.now;
        self.log.line(now, || format!("{}'s clock has pace {pace}", self.hosts[host.0 as usize].name));
        self.fault(Fault::ClockPaced);
        self.host_mut(host).clock.set_pace(now, pace);
        if self.host(host).timer.deadline.is_some() {
            self.ask_for_timeout(host);
        }
    }

    /// What a host's clock shows: the time for calls to its service.
    pub fn now_at(&self, host: HostId) -> Time {
        self.host(host).clock.local(self.now)
    }

    /// Sets what becomes of a host's jobs.
    pub fn set_jobs(&mut self, host: HostId, jobs: JobModel) {
        self.host_mut(host).jobs = jobs;
    }

    /// Has the peers of a host that has restarted ask whether it still knows their streams.
    fn probe(&mut self, host: HostId) {
        for id in self.conns.ids() {
            for side in [Side::Opener, Side::Acceptor] {
                let Some(conn) = self.conns.get(id) else { continue };
                if conn.host(side) == Some(host) && conn.end(side).is_none() {
                    self.probe_later(id, side);
                }
            }
        }
    }
}
