use rtmfp_base::{Input, StreamId};

use super::Network;
use crate::conn::{ConnId, End, Finish, SentEnd, Side};
use crate::event::{Content, Event, Ordered, Segment, SegmentId};
use crate::path::Stage;
use crate::{Fault, HostId};

/// How the pieces of byte streams travel, and what they do where they arrive.
impl Network {
    /// Sends a segment to a side of a connection, if that is a host at all.
    pub(super) fn send_segment(&mut self, id: ConnId, to: Side, content: Content) {
        let Some(path) = self.conns.get(id).and_then(|conn| conn.path(to)) else { return };
        let segment = self.segments.insert(Segment { path, conn: id, to, content });
        self.segment_at(segment, Stage::Uplink);
    }

    /// Sends a segment on that a blockade or a move held up. A host that has given its stream up meanwhile no longer
    /// repeats what it sent.
    pub(super) fn segment_waited(&mut self, id: SegmentId, stage: Stage) {
        let Some(segment) = self.segments.get(id) else { return };
        let sender = self.conns.get(segment.conn).and_then(|conn| conn.end(segment.to.other()));
        if sender.is_some() || matches!(segment.content, Content::Reset | Content::Refused) {
            self.segment_at(id, stage);
        } else {
            self.segments.remove(id);
        }
    }

    pub(super) fn segment_arrived(&mut self, id: SegmentId) {
        let Some(segment) = self.segments.get(id) else { return };
        let (conn, to, Some(host)) = (segment.conn, segment.to, segment.path.to) else { return };
        if self.host(host).is_off() || !self.are_home(conn) {
            self.host_mut(host).parked.push(id);
            return;
        }
        let Some(segment) = self.segments.remove(id) else { return };
        let severed = self.conns.get(conn).is_some_and(|conn| conn.severed);
        if severed && !matches!(segment.content, Content::Reset) {
            // The acceptor gets it from an address that it does not know. The way back leads nowhere.
            if to == Side::Acceptor {
                self.send_segment(conn, Side::Opener, Content::Reset);
            }
            return;
        }
        let here = self.conns.get(conn).is_some_and(|conn| conn.end(to).is_some());
        match segment.content {
            Content::Syn => self.accept(conn),
            Content::Refused if here => self.fail(conn, to, "connection refused"),
            Content::Reset if here => self.fail(conn, to, RESET),
            Content::Ordered(number, ordered) if here => self.ordered_arrived(conn, to, number, ordered),
            Content::Ack { arrived, read, end } if here => self.acknowledged(conn, to, arrived, read, end),
            // This side has ended in order and the other one does so now.
            Content::Ordered(_, Ordered::End) if !here => {
                self.send_segment(conn, to.other(), Content::Ack { arrived: 0, read: 0, end: true });
            }
            Content::Ordered(..) | Content::KeepAlive if !here => {
                self.send_segment(conn, to.other(), Content::Reset)
            }
            _ => {}
        }
    }

    fn accept(&mut self, id: ConnId) {
        let (now, config) = (self.now, self.config.streams);
        let Some(conn) = self.conns.get(id) else { return };
        let (Some(host), [peer, address]) = (conn.host(Side::Acceptor), conn.addresses) else { return };
        let host = self.host_mut(host);
        let Some(listener) = host.listeners.find(address).filter(|_| host.runs() && host.has(address.ip()))
        else {
            self.send_segment(id, Side::Opener, Content::Refused);
            return;
        };
        let host_id = host.life.host;
        let stream = StreamId::accepted(host.streams.accepted);
        host.streams.accepted += 1;
        host.streams.by_id.insert(stream, (id, Side::Acceptor));
        let mut end = End::new(now, stream, true, &config);
        let number = end.sender.number();
        if let Some(conn) = self.conns.get_mut(id) {
            conn.set_end(Side::Acceptor, Some(end));
        }
        self.find_cut(id);
        self.send_segment(id, Side::Opener, Content::Ordered(number, Ordered::Accepted));
        self.tell(host_id, Input::Accepted { listener, stream, peer });
    }

    fn ordered_arrived(&mut self, id: ConnId, side: Side, number: u64, ordered: Ordered) {
        if let Some(end) = self.end_mut(id, side) {
            end.receiver.arrived(number, ordered);
        }
        while let Some(ordered) = self.end_mut(id, side).and_then(|end| end.receiver.next_in_order()) {
            match ordered {
                Ordered::Accepted => self.established(id),
                Ordered::Data(bytes) => self.data_arrived(id, side, bytes),
                Ordered::End => self.end_arrived(id, side),
            }
        }
    }

    fn established(&mut self, id: ConnId) {
        let now = self.now;
        let Some((host, end)) = self.host_and_end(id, Side::Opener) else { return };
        end.established = true;
        end.progress = now;
        let (stream, orphan, finish) = (end.stream, end.orphan, end.finish);
        let Some(peer) = self.conns.get(id).map(|conn| conn.addresses[1]) else { return };
        if !orphan {
            self.tell(host, Input::Connected { stream, peer });
        }
        if finish == Finish::Later && !orphan {
            self.flush(id, Side::Opener);
        }
        self.find_cut(id);
        self.go_on(id, Side::Opener);
    }

    fn data_arrived(&mut self, id: ConnId, side: Side, bytes: Vec<u8>) {
        let asleep = self.end_sleeps(id, side);
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        let arrived = bytes.len();
        if end.orphan {
            // Nobody will read it, as systems tell the peers of a program that has ended.
            self.remove_end(id, side);
            self.send_segment(id, side.other(), Content::Reset);
        } else if end.discards() {
            self.recycle(bytes);
            self.send_segment(id, side.other(), Content::Ack { arrived, read: arrived, end: false });
        } else if end.receiver.is_behind() || asleep {
            end.receiver.unread.push_back(bytes);
            self.send_segment(id, side.other(), Content::Ack { arrived, read: 0, end: false });
        } else {
            let stream = end.stream;
            self.deliver(host, Input::Data { stream, bytes: &bytes });
            self.recycle(bytes);
            self.send_segment(id, side.other(), Content::Ack { arrived, read: arrived, end: false });
        }
    }

    fn end_arrived(&mut self, id: ConnId, side: Side) {
        let asleep = self.end_sleeps(id, side);
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        end.receiver.ended = true;
        let (stream, finish) = (end.stream, end.finish);
        self.send_segment(id, side.other(), Content::Ack { arrived: 0, read: 0, end: true });
        if let Finish::Closing(_) = finish {
            self.close(id, side);
        } else if finish == Finish::No {
            let Some(end) = self.end_mut(id, side) else { return };
            if end.receiver.is_behind() || asleep {
                end.receiver.end_unread = true;
            } else {
                self.tell(host, Input::EndOfStream { stream });
            }
        }
    }

    /// Hands a service the next of what arrived while it did not read.
    pub(super) fn read(&mut self, id: ConnId, side: Side) {
        let (now, asleep) = (self.now, self.end_sleeps(id, side));
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        let stream = end.stream;
        if end.receiver.paused || asleep {
            return;
        }
        if let Some(bytes) = end.receiver.unread.pop_front() {
            let read = bytes.len();
            self.deliver(host, Input::Data { stream, bytes: &bytes });
            self.recycle(bytes);
            self.send_segment(id, side.other(), Content::Ack { arrived: 0, read, end: false });
            // One at a time: the service may pause again after any of them.
            self.queue.push(now, Event::Unread(id, side));
        } else if core::mem::take(&mut end.receiver.end_unread) {
            self.tell(host, Input::EndOfStream { stream });
        }
    }

    fn acknowledged(&mut self, id: ConnId, side: Side, arrived: usize, read: usize, end_arrived: bool) {
        let now = self.now;
        let Some(end) = self.end_mut(id, side) else { return };
        end.progress = now;
        end.sender.unacknowledged = end.sender.unacknowledged.saturating_sub(arrived);
        end.sender.credit += read;
        if end_arrived {
            end.sender.end = SentEnd::Acknowledged;
            if end.orphan {
                self.remove_end(id, side);
            }
        } else {
            self.go_on(id, side);
        }
    }

    /// Ends a stream that something went wrong with.
    pub(super) fn fail(&mut self, id: ConnId, side: Side, error: &str) {
        let Some((host, end)) = self.host_and_end(id, side) else { return };
        let (stream, orphan) = (end.stream, end.orphan);
        self.remove_end(id, side);
        if !orphan {
            self.tell(host, Input::Closed { stream, error: Some(error.to_owned()) });
        }
    }

    /// Resets a byte stream of a host, as a machine on the way may do: the services at both ends are told at
    /// once. `false`: there is no such stream.
    pub fn reset_stream(&mut self, host: HostId, stream: StreamId) -> bool {
        let Some((conn, side)) = self.stream(host, stream) else { return false };
        self.fault(Fault::StreamReset);
        self.fail(conn, side, RESET);
        self.fail(conn, side.other(), RESET);
        true
    }

    /// Whether the service that has this end sleeps.
    fn end_sleeps(&self, id: ConnId, side: Side) -> bool {
        let host = self.conns.get(id).and_then(|conn| conn.host(side));
        host.is_some_and(|host| self.is_asleep(host))
    }

    pub(super) fn end_mut(&mut self, id: ConnId, side: Side) -> Option<&mut End> {
        self.conns.get_mut(id)?.end_mut(side)
    }

    pub(super) fn host_and_end(&mut self, id: ConnId, side: Side) -> Option<(HostId, &mut End)> {
        let conn = self.conns.get_mut(id)?;
        Some((conn.host(side)?, conn.end_mut(side)?))
    }
}

/// What services are told of a stream that was reset.
const RESET: &str = "connection reset by peer";
