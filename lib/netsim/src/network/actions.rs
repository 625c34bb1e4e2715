use core::net::{IpAddr, SocketAddr};

use rtmfp_base::{Action, Batch, Input, Job};

use super::Network;
use crate::event::Event;
use crate::host::State;
use crate::{Fault, HostId};

impl Network {
    /// Does all that a host's service wants, in the order in which hosts promise to ask.
    pub(super) fn poll(&mut self, id: HostId) {
        if !self.host(id).runs() || self.is_asleep(id) {
            return;
        }
        let now = self.now_at(id);
        let mut transmit_due = true;
        loop {
            let mut acted = self.fill_streams(id);
            while let Some(action) = self.hosts[id.0 as usize].service.poll_action(now) {
                acted = true;
                self.worked(id);
                self.act(id, action);
                if !self.host(id).runs() {
                    return;
                }
            }
            if !acted {
                if !transmit_due {
                    break;
                }
                self.transmit(id);
            }
            // Whatever was done may have led to datagrams, and these to actions.
            transmit_due = acted;
        }
        self.ask_for_timeout(id);
    }

    /// Takes datagrams from a service until it has no more.
    fn transmit(&mut self, id: HostId) {
        // Taken out, because sending needs the network.
        let mut batch = core::mem::replace(&mut self.batch, Batch::new(0));
        let now = self.now_at(id);
        loop {
            batch.clear();
            self.hosts[id.0 as usize].service.poll_transmit(now, &mut batch);
            if batch.is_empty() {
                break;
            }
            self.worked(id);
            for (transmit, bytes) in batch.datagrams() {
                self.worked(id);
                self.send_datagram(id, transmit, bytes);
            }
        }
        self.batch = batch;
    }

    pub(super) fn ask_for_timeout(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        let deadline = host.service.poll_timeout().map(|at| host.clock.global(at).max(now));
        let deadline = deadline.filter(|at| !at.is_never());
        host.timer.deadline = deadline;
        if let Some(at) = deadline
            && host.timer.armed.is_none_or(|armed| at < armed)
        {
            host.timer.armed = Some(at);
            self.queue.push(at, Event::Timer(id));
        }
    }

    fn act(&mut self, id: HostId, action: Action) {
        self.log.line(self.now, || format!("{} does {action:?}", self.hosts[id.0 as usize].name));
        match action {
            Action::OpenUdp { socket, options } => {
                let result = self.bind_udp(id, socket, &options);
                self.queue_input(self.now, id, Input::UdpReady { socket, result });
            }
            Action::CloseUdp { socket } => {
                self.transmit(id);
                let host = self.host_mut(id);
                host.sockets.release(socket);
                host.receive_buffers.remove(&socket);
            }
            Action::Listen { listener, address } => {
                let result = self.listen(id, listener, address);
                self.queue_input(self.now, id, Input::ListenReady { listener, result });
            }
            Action::CloseListener { listener } => self.host_mut(id).listeners.release(listener),
            Action::Connect { stream, to, dscp: _ } => self.connect(id, stream, to),
            // Nothing here depends on it.
            Action::StreamDscp { .. } => {}
            Action::WantWrite { stream } => self.want_write(id, stream),
            Action::PauseRead { stream, paused } => self.pause_read(id, stream, paused),
            Action::EndWrite { stream } => self.end_write(id, stream),
            Action::Finish { stream } => self.finish(id, stream),
            Action::Abort { stream } => self.abort(id, stream),
            Action::Resolve { name, host, port } => {
                let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
                let (at, ips) = match literal {
                    Ok(ip) => (self.now, vec![ip]),
                    Err(_) => {
                        let known = self.names.get(&host.to_ascii_lowercase());
                        (self.now + self.config.name_delay, known.cloned().unwrap_or_default())
                    }
                };
                let result = if ips.is_empty() {
                    Err(format!("{host}: no such name"))
                } else {
                    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
                };
                self.queue_input(at, id, Input::Resolved { name, result });
            }
            Action::Run(job) => self.start_job(id, job),
            Action::Announce(line) => self.host_mut(id).announcements.push(line),
            Action::Finished(result) => {
                self.transmit(id);
                self.end_service(id, result);
            }
        }
    }

    fn start_job(&mut self, id: HostId, job: Job) {
        let now = self.now;
        let host = self.host_mut(id);
        let jobs = host.jobs;
        if host.dice.chance(jobs.lost) {
            self.log.line(now, || format!("{} loses {:?}", self.hosts[id.0 as usize].name, job.id));
            self.fault(Fault::JobLost);
            return;
        }
        let at = now + jobs.delay + host.dice.up_to(jobs.jitter);
        let overtakes = at < host.jobs_end;
        host.jobs_end = host.jobs_end.max(at);
        let life = host.life;
        self.faults.add(Fault::JobReordered, overtakes.into());
        self.faults.add(Fault::JobSlow, (at > now).into());
        self.queue.push(at, Event::Job(life, Box::new(job)));
    }

    /// What a system does when a program ends.
    fn end_service(&mut self, id: HostId, result: Result<(), String>) {
        self.log.line(self.now, || format!("{} ends: {result:?}", self.hosts[id.0 as usize].name));
        let host = self.host_mut(id);
        host.state = State::Finished(result);
        host.timer.deadline = None;
        host.sockets.clear();
        host.receive_buffers.clear();
        host.listeners.clear();
        host.streams.to_fill.clear();
        let streams = core::mem::take(&mut host.streams.by_id);
        for (conn, side) in streams.into_values() {
            self.orphan(conn, side);
        }
    }
}
