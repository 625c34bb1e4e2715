use core::net::SocketAddr;
use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use rtmfp::driver::Driver;
use rtmfp::{Endpoint, Event, Shutdown};
use rtmfp_base::{
    Action, Arena, Batch, Id, IdKind, InterfaceId, JobDone, RecvMeta, SocketId, Time, UdpOptions,
};

/// Marks ids of endpoints.
#[derive(Debug)]
pub struct EndpointKind;
impl IdKind for EndpointKind {
    const PREFIX: &'static str = "e";
}

/// An endpoint among [`Endpoints`].
pub type EndpointId = Id<EndpointKind>;

/// How long an endpoint that is retired has to take leave of its peers.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Slot {
    driver: Driver,
    owner: u32,
    sockets: Vec<SocketId>,
    /// In which of the lists below it is.
    listed: Listed,
    /// The earliest entry in `timers`.
    armed: Time,
    retired: bool,
    /// It was retired and has nothing left but what it has to send.
    over: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    events: bool,
    jobs: bool,
    transmit: bool,
    timer: bool,
}

/// Many endpoints with their sockets. Those that have nothing to do cost no time.
#[derive(Debug, Default)]
pub struct Endpoints {
    slots: Arena<EndpointKind, Slot>,
    by_socket: HashMap<SocketId, EndpointId>,
    by_owner: HashMap<u32, EndpointId>,
    next_owner: u32,
    next_socket: u32,
    // Endpoints that were touched, and so may have something.
    events: VecDeque<EndpointId>,
    jobs: VecDeque<EndpointId>,
    transmit: VecDeque<EndpointId>,
    timer: Vec<EndpointId>,
    timers: BinaryHeap<Reverse<(Time, EndpointId)>>,
    /// In order of time: when to give up taking leave.
    retired: VecDeque<(Time, EndpointId)>,
}

impl Endpoints {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are, with those that take leave.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes an endpoint.
    pub fn add(&mut self, endpoint: Endpoint) -> EndpointId {
        while self.by_owner.contains_key(&self.next_owner) {
            self.next_owner = self.next_owner.wrapping_add(1);
        }
        let owner = self.next_owner;
        self.next_owner = self.next_owner.wrapping_add(1);
        let id = self.slots.insert(Slot {
            driver: Driver::new(endpoint, owner),
            owner,
            sockets: Vec::new(),
            listed: Listed::default(),
            armed: Time::MAX,
            retired: false,
            over: false,
        });
        self.by_owner.insert(owner, id);
        id
    }

    /// Asks for a socket for an endpoint.
    pub fn open_socket(
        &mut self,
        id: EndpointId,
        options: UdpOptions,
        actions: &mut VecDeque<Action>,
    ) -> Option<SocketId> {
        let slot = self.slots.get_mut(id)?;
        while self.by_socket.contains_key(&InterfaceId(self.next_socket)) {
            self.next_socket = self.next_socket.wrapping_add(1);
        }
        let socket = InterfaceId(self.next_socket);
        self.next_socket = self.next_socket.wrapping_add(1);
        slot.sockets.push(socket);
        self.by_socket.insert(socket, id);
        actions.push_back(Action::OpenUdp { socket, options });
        Some(socket)
    }

    /// Whose a socket is.
    pub fn owner_of(&self, socket: SocketId) -> Option<EndpointId> {
        self.by_socket.get(&socket).copied()
    }

    /// A socket is open: its endpoint may use it.
    pub fn socket_ready(&mut self, socket: SocketId, local: SocketAddr) -> Option<EndpointId> {
        let id = self.owner_of(socket)?;
        self.get(id)?.add_interface(socket, local);
        Some(id)
    }

    /// The network says that datagrams to an address do not arrive.
    pub fn path_error(&mut self, now: Time, socket: SocketId, to: SocketAddr, error: &str) {
        if let Some(endpoint) = self.owner_of(socket).and_then(|id| self.get(id)) {
            endpoint.handle_path_error(now, to, socket, error);
        }
    }

    /// An endpoint. Whatever is done to it, it will be asked what came of it.
    pub fn get(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.touch(id);
        self.slots.get_mut(id).map(|slot| &mut slot.driver.endpoint)
    }

    /// All of them, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.slots.iter().map(|(_, slot)| &slot.driver.endpoint)
    }

    /// Ends an endpoint in order, at most for a few seconds, and closes its sockets then. Its events don't matter any
    /// more.
    pub fn retire(&mut self, now: Time, id: EndpointId) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| !slot.retired) else { return };
        slot.retired = true;
        slot.driver.endpoint.shutdown(now, Shutdown::Orderly);
        self.retired.push_back((now + FAREWELL, id));
        self.touch(id);
    }

    /// Ends all endpoints at once. What they still have to say can be sent.
    pub fn abort_all(&mut self, now: Time) {
        for id in self.slots.ids() {
            if let Some(endpoint) = self.get(id) {
                endpoint.shutdown(now, Shutdown::Abrupt);
            }
        }
    }

    fn remove(&mut self, id: EndpointId, actions: &mut VecDeque<Action>) {
        let Some(slot) = self.slots.remove(id) else { return };
        self.by_owner.remove(&slot.owner);
        for socket in slot.sockets {
            self.by_socket.remove(&socket);
            actions.push_back(Action::CloseUdp { socket });
        }
    }

    fn touch(&mut self, id: EndpointId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let listed = core::mem::replace(
            &mut slot.listed,
            Listed { events: true, jobs: true, transmit: true, timer: true },
        );
        if !listed.events {
            self.events.push_back(id);
        }
        if !listed.jobs {
            self.jobs.push_back(id);
        }
        if !listed.transmit {
            self.transmit.push_back(id);
        }
        if !listed.timer {
            self.timer.push(id);
        }
    }

    /// Takes a datagram.
    pub fn datagram(&mut self, now: Time, meta: &RecvMeta, bytes: &mut [u8]) {
        let Some(id) = self.owner_of(meta.interface) else { return };
        if let Some(slot) = self.slots.get_mut(id) {
            slot.driver.datagram(now, meta, bytes);
        }
        self.touch(id);
    }

    /// Takes a job that has run.
    pub fn job_done(&mut self, now: Time, done: JobDone) {
        let Some(&id) = self.by_owner.get(&Driver::owner_of(done.id)) else { return };
        if let Some(slot) = self.slots.get_mut(id) {
            slot.driver.job_done(now, done);
        }
        self.touch(id);
    }

    /// What has happened at one of them.
    pub fn poll_event(&mut self, now: Time, actions: &mut VecDeque<Action>) -> Option<(EndpointId, Event)> {
        while let Some(&id) = self.events.front() {
            let Some(slot) = self.slots.get_mut(id) else {
                self.events.pop_front();
                continue;
            };
            if slot.over && !slot.driver.endpoint.wants_transmit() {
                self.remove(id, actions);
                continue;
            }
            match slot.driver.endpoint.poll_event(now) {
                Some(Event::ShutDown) if slot.retired => slot.over = true,
                Some(_) if slot.retired => {}
                Some(event) => return Some((id, event)),
                None => {
                    slot.listed.events = false;
                    self.events.pop_front();
                }
            }
        }
        None
    }

    /// The next job of one of them.
    pub fn poll_job(&mut self) -> Option<Action> {
        while let Some(&id) = self.jobs.front() {
            if let Some(slot) = self.slots.get_mut(id) {
                if let Some(action) = slot.driver.poll_job() {
                    return Some(action);
                }
                slot.listed.jobs = false;
            }
            self.jobs.pop_front();
        }
        None
    }

    /// Appends datagrams of one after the other, until the batch is full or nothing is left.
    pub fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        while !batch.is_full()
            && let Some(id) = self.transmit.pop_front()
        {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            slot.driver.endpoint.poll_transmit(now, batch);
            slot.listed.transmit = batch.is_full();
            if batch.is_full() {
                self.transmit.push_back(id);
            }
            // Sending sets timers, and may have let messages expire.
            self.list_after_transmit(id);
        }
    }

    fn list_after_transmit(&mut self, id: EndpointId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if !core::mem::replace(&mut slot.listed.events, true) {
            self.events.push_back(id);
        }
        if !core::mem::replace(&mut slot.listed.timer, true) {
            self.timer.push(id);
        }
    }

    /// Whether events may wait.
    pub fn wants_poll(&self) -> bool {
        !self.events.is_empty()
    }

    /// When to call [`Endpoints::handle_timeout`].
    pub fn poll_timeout(&mut self) -> Option<Time> {
        for id in core::mem::take(&mut self.timer) {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            slot.listed.timer = false;
            if let Some((at, _)) = slot.driver.endpoint.poll_timeout()
                && at < slot.armed
            {
                slot.armed = at;
                self.timers.push(Reverse((at, id)));
            }
        }
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.armed == at) else {
                self.timers.pop();
                continue;
            };
            // It may want to be called later by now.
            let next = slot.driver.endpoint.poll_timeout().map_or(Time::MAX, |(next, _)| next);
            if next <= at {
                break;
            }
            self.timers.pop();
            slot.armed = next;
            if !next.is_never() {
                self.timers.push(Reverse((next, id)));
            }
        }
        let next = self.timers.peek().map(|Reverse((at, _))| *at);
        let retired = self.retired.front().map(|(at, _)| *at);
        next.into_iter().chain(retired).min()
    }

    /// Serves the timers that are due.
    pub fn handle_timeout(&mut self, now: Time, actions: &mut VecDeque<Action>) {
        while let Some(&Reverse((at, id))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.armed == at) else { continue };
            slot.armed = Time::MAX;
            slot.driver.endpoint.handle_timeout(now);
            self.touch(id);
        }
        while let Some(&(at, id)) = self.retired.front()
            && at <= now
        {
            self.retired.pop_front();
            self.remove(id, actions);
        }
    }
}
