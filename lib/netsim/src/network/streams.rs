use core::net::SocketAddr;

use rtmfp_base::{Input, ListenerId, StreamId};

use super::Network;
use crate::conn::{Conn, ConnId, End, Expiry, Finish, Home, SentEnd, Side};
use crate::event::{Content, Event, Segment};
use crate::link::Link;
use crate::path::{Path, Place, Stage};
use crate::{Fault, HostId};

/// What services do with byte streams.
impl Network {
    /// # Panics
    /// When the listener is open.
    pub(super) fn listen(
        &mut self,
        id: HostId,
        listener: ListenerId,
        address: SocketAddr,
    ) -> Result<SocketAddr, String> {
        let host = self.host_mut(id);
        assert!(host.listeners.address(listener).is_none(), "{}: {listener:?} is open already", host.name);
        if !host.may_bind(address.ip()) {
            return Err("cannot assign requested address".to_owned());
        }
        host.listeners.bind(listener, address)
    }

    /// # Panics
    /// When the stream is open.
    pub(super) fn connect(&mut self, id: HostId, stream: StreamId, to: SocketAddr) {
        let (now, config) = (self.now, self.config.streams);
        // Nobody listens in NAT boxes, nor is let in by one.
        let way = self.path(id, to).filter(|path| path.to.is_some());
        let host = self.host_mut(id);
        assert!(!host.streams.by_id.contains_key(&stream), "{}: {stream:?} is open already", host.name);
        let site = host.site;
        let local = host.source_for(to.ip()).zip(host.listeners.free_port());
        let outer = local.and_then(|(ip, port)| match way.and_then(|way| way.out) {
            None => Some(SocketAddr::new(ip, port)),
            Some(nat) => self.nat_box_mut(nat).map_stream(ip, port),
        });
        let (Some((ip, _)), Some(outer)) = (local, outer) else {
            let error = Some("network is unreachable".to_owned());
            self.queue_input(now, id, Input::Closed { stream, error });
            return;
        };
        let end = End::new(now, stream, false, &config);
        let conn = self.conns.insert(Conn::new(Home { host: id, site, ip }, way, [outer, to], end));
        self.host_mut(id).streams.by_id.insert(stream, (conn, Side::Opener));
        self.send_segment(conn, Side::Acceptor, Content::Syn);
        self.arm_check(conn, Side::Opener);
    }

    pub(super) fn want_write(&mut self, id: HostId, stream: StreamId) {
        let Some((conn, side)) = self.stream(id, stream) else { return };
        if let Some(end) = self.end_mut(conn, side) {
            end.sender.wanted = true;
        }
        self.host_mut(id).streams.to_fill.push((conn, side));
    }

    pub(super) fn pause_read(&mut self, id: HostId, stream: StreamId, paused: bool) {
        let Some((conn, side)) = self.stream(id, stream) else { return };
        let Some(end) = self.end_mut(conn, side) else { return };
        if core::mem::replace(&mut end.receiver.paused, paused) && !paused {
            self.queue.push(self.now, Event::Unread(conn, side));
        }
    }

    pub(super) fn end_write(&mut self, id: HostId, stream: StreamId) {
        let Some((conn, side)) = self.stream(id, stream) else { return };
        if let Some(end) = self.end_mut(conn, side) {
            end.sender.end_wanted = true;
        }
        self.want_write(id, stream);
    }

    pub(super) fn finish(&mut self, id: HostId, stream: StreamId) {
        let Some((conn, side)) = self.stream(id, stream) else { return };
        let Some(end) = self.end_mut(conn, side) else { return };
        if end.finish != Finish::No {
            return;
        }
        end.finish = Finish::Later;
        if end.established {
            self.flush(conn, side);
        }
    }

    /// Begins to finish: what the service still has is taken, what arrives is dropped.
    pub(super) fn flush(&mut self, id: ConnId, side: Side) {
        let until = self.now + self.config.streams.flush_timeout;
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        end.finish = Finish::Flushing(until);
        end.sender.wanted = true;
        end.receiver.paused = false;
        end.receiver.end_unread = false;
        let read = end.receiver.unread.drain(..).map(|bytes| bytes.len()).sum();
        self.host_mut(host).streams.to_fill.push((id, side));
        self.send_segment(id, side.other(), Content::Ack { arrived: 0, read, end: false });
        self.arm_check(id, side);
    }

    pub(super) fn abort(&mut self, id: HostId, stream: StreamId) {
        let Some((conn, side)) = self.stream(id, stream) else { return };
        self.send_segment(conn, side.other(), Content::Reset);
        self.remove_end(conn, side);
    }

    /// Leaves a stream to the system: it sends what it has, then the end.
    pub(super) fn orphan(&mut self, id: ConnId, side: Side) {
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        end.orphan = true;
        end.sender.wanted = false;
        if end.finish == Finish::No {
            end.finish = Finish::Later;
        }
        let stream = end.stream;
        match end.sender.end {
            SentEnd::No => end.sender.end = SentEnd::Due,
            SentEnd::Due | SentEnd::Sent => {}
            SentEnd::Acknowledged => self.remove_end(id, side),
        }
        self.host_mut(host).streams.by_id.remove(&stream);
        self.pump(id, side);
    }

    /// Ends a stream in order.
    pub(super) fn close(&mut self, id: ConnId, side: Side) {
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        let stream = end.stream;
        if !end.orphan {
            self.orphan(id, side);
            self.tell(host, Input::Closed { stream, error: None });
        }
    }

    /// Does what the deadline of an end asks for.
    pub(super) fn expire(&mut self, id: ConnId, side: Side) {
        let (now, config) = (self.now, self.config.streams);
        let Some(end) = self.end_mut(id, side) else { return };
        end.check = None;
        match end.deadline(&config).filter(|(at, _)| *at <= now) {
            Some((_, why @ (Expiry::Connecting | Expiry::Dead))) => {
                self.fault(Fault::StreamTimedOut);
                let what = if why == Expiry::Dead { "connection" } else { "connecting" };
                self.fail(id, side, &format!("{what} timed out"));
            }
            Some((_, Expiry::Flushing)) => {
                self.send_segment(id, side.other(), Content::Reset);
                self.fail(id, side, "the other end did not take all before the stream was closed");
            }
            Some((_, Expiry::Closing)) => self.close(id, side),
            None => self.arm_check(id, side),
        }
    }

    /// Notes for all connections whether anything can pass.
    pub(super) fn find_cuts(&mut self) {
        for id in self.conns.ids() {
            self.find_cut(id);
        }
    }

    pub(super) fn find_cut(&mut self, id: ConnId) {
        let now = self.now;
        let Some(conn) = self.conns.get(id) else { return };
        let (Some(there), Some(back)) = (conn.path(Side::Acceptor), conn.path(Side::Opener)) else { return };
        let severed = conn.severed;
        let blocked = |path: Path| {
            let link = path.between().and_then(|route| self.links.find(Place::Between(route)));
            link.is_some_and(Link::is_blocked)
        };
        let off = [there, back].into_iter().filter_map(|path| path.to).any(|host| self.host(host).is_off());
        let cut = off || blocked(there) || blocked(back) || !self.are_home(id);
        for side in [Side::Opener, Side::Acceptor] {
            // The opener of a severed connection is told when it sends.
            let cut = cut || (severed && side == Side::Acceptor);
            let Some(end) = self.end_mut(id, side) else { continue };
            end.cut = cut.then(|| end.cut.unwrap_or(now));
            self.arm_check(id, side);
        }
    }

    /// Whether both hosts of a connection still have the addresses that it was opened with.
    pub(super) fn are_home(&self, id: ConnId) -> bool {
        let homes = self.conns.get(id).and_then(|conn| conn.homes());
        homes.into_iter().flatten().all(|home| {
            let host = self.host(home.host);
            host.site == home.site && host.has(home.ip)
        })
    }

    /// Has the other side ask a side of a connection after a while whether it still knows it.
    pub(super) fn probe_later(&mut self, id: ConnId, to: Side) {
        let config = self.config.streams;
        let Some(path) = self.conns.get(id).and_then(|conn| conn.path(to)) else { return };
        if config.keep_alive {
            let segment = Segment { path, conn: id, to, content: Content::KeepAlive };
            let segment = self.segments.insert(segment);
            self.queue.push(self.now + config.dead_after / 3, Event::Segment(segment, Stage::Uplink));
        }
    }

    /// Calls the service for the streams that can take bytes. Whether there were any.
    pub(super) fn fill_streams(&mut self, id: HostId) -> bool {
        let streams = core::mem::take(&mut self.host_mut(id).streams.to_fill);
        let any = !streams.is_empty();
        for (conn, side) in streams {
            self.fill(id, conn, side);
        }
        any
    }

    /// Sends what a stream's buffer holds, and has the service asked for more if there is room.
    pub(super) fn go_on(&mut self, id: ConnId, side: Side) {
        self.pump(id, side);
        let config = self.config.streams;
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        if end.sender.wanted && end.established && end.sender.room(&config) > 0 {
            self.host_mut(host).streams.to_fill.push((id, side));
            self.touch(host);
        }
    }

    /// Forgets an end, and the connection with its last one.
    pub(super) fn remove_end(&mut self, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let (host, end) = (conn.host(side), conn.set_end(side, None));
        if conn.is_gone()
            && let Some((nat, port)) = self.conns.remove(id).and_then(|conn| conn.mapping())
        {
            self.nat_box_mut(nat).release_stream(port);
        }
        if let (Some(host), Some(end)) = (host, end)
            && !end.orphan
        {
            self.host_mut(host).streams.by_id.remove(&end.stream);
        }
    }

    /// Forgets all ends on a host.
    pub(super) fn drop_ends(&mut self, host: HostId) {
        for id in self.conns.ids() {
            for side in [Side::Opener, Side::Acceptor] {
                if self.conns.get(id).and_then(|conn| conn.host(side)) == Some(host) {
                    self.remove_end(id, side);
                }
            }
        }
    }

    pub(super) fn stream(&self, id: HostId, stream: StreamId) -> Option<(ConnId, Side)> {
        self.host(id).streams.by_id.get(&stream).copied()
    }

    fn fill(&mut self, host: HostId, id: ConnId, side: Side) {
        let (now, config) = (self.now_at(host), self.config.streams);
        loop {
            let Some(end) = self.end_mut(id, side) else { return };
            let (stream, room) = (end.stream, end.sender.room(&config));
            if !end.sender.wanted || !end.established || room == 0 {
                return;
            }
            let mut buffer = self.buffer();
            self.worked(host);
            self.host_mut(host).service.fill_stream(now, stream, room, &mut buffer);
            if let Some(end) = self.end_mut(id, side) {
                end.sender.wanted = !buffer.is_empty();
                end.sender.queue.extend(&buffer);
            }
            self.recycle(buffer);
            self.shut_down(id, side);
            self.pump(id, side);
        }
    }

    /// Has the end follow if the service gave all of a stream that is being finished, or has its writing ended.
    fn shut_down(&mut self, id: ConnId, side: Side) {
        let until = self.now + self.config.streams.close_timeout;
        let Some(end) = self.end_mut(id, side) else { return };
        let finishing = matches!(end.finish, Finish::Flushing(_));
        if end.sender.wanted || !(finishing || end.sender.end_wanted) {
            return;
        }
        if end.sender.end == SentEnd::No {
            end.sender.end = SentEnd::Due;
        }
        if !finishing {
            return;
        }
        end.finish = Finish::Closing(until);
        if end.receiver.ended {
            self.close(id, side);
        }
    }

    /// Puts on the wire what the receiver has room for.
    fn pump(&mut self, id: ConnId, side: Side) {
        let (now, config) = (self.now, self.config.streams);
        loop {
            let Some(end) = self.conns.get_mut(id).and_then(|conn| conn.end_mut(side)) else { return };
            let buffers = &mut self.buffers;
            let next = end.next_to_send(now, &config, || buffers.pop().unwrap_or_default());
            let Some((number, ordered)) = next else { break };
            self.send_segment(id, side.other(), Content::Ordered(number, ordered));
        }
        self.arm_check(id, side);
    }

    fn arm_check(&mut self, id: ConnId, side: Side) {
        let config = self.config.streams;
        let Some(end) = self.end_mut(id, side) else { return };
        if let Some((deadline, _)) = end.deadline(&config)
            && end.check.is_none_or(|check| deadline < check)
        {
            end.check = Some(deadline);
            self.queue.push(deadline, Event::Check(id, side));
        }
    }
}
