//! A task with its connections, as a service.

use rtmfp_base::{Action, Batch, Input, NameId, Service, StreamId, Time};

use super::client::{Client, Event, Outbox};
use super::earlier;

/// The connections of a task. Each has its index for its number.
pub(super) struct Clients {
    pub(super) list: Vec<Client>,
    pub(super) out: Outbox,
}

impl Clients {
    fn get(&mut self, number: u64) -> Option<(&mut Client, &mut Outbox)> {
        Some((self.list.get_mut(usize::try_from(number).ok()?)?, &mut self.out))
    }

    /// Does something with a client, if there is one with this number.
    pub(super) fn with(&mut self, number: u64, call: impl FnOnce(&mut Client, &mut Outbox)) {
        if let Some((client, out)) = self.get(number) {
            call(client, out);
        }
    }

    pub(super) fn finish_all(&mut self, now: Time) {
        self.list.iter_mut().for_each(|client| client.finish(now, &mut self.out));
    }

    pub(super) fn abort_all(&mut self) {
        self.list.iter_mut().for_each(|client| client.abort(&mut self.out));
    }

    pub(super) fn all_ended(&self) -> bool {
        self.list.iter().all(Client::has_ended)
    }
}

/// What is done with connections.
pub(super) trait Task: 'static {
    /// Begins.
    fn start(&mut self, now: Time, clients: &mut Clients);

    /// Takes what happened to the connection with this number.
    fn handle(&mut self, now: Time, clients: &mut Clients, number: u64, event: Event);

    /// Does what is due.
    fn advance(&mut self, now: Time, clients: &mut Clients);

    /// When to call [`Task::advance`].
    fn next_timeout(&self) -> Option<Time>;

    /// Hands the result out when all is done. Not called again after it has answered.
    fn conclude(&mut self, now: Time, clients: &Clients) -> Option<Result<(), String>>;
}

/// A task as a service.
pub(super) struct Running<T> {
    task: T,
    clients: Clients,
    started: bool,
    finished: bool,
}

impl<T: Task> Running<T> {
    pub(super) fn boxed(task: T, clients: Vec<Client>) -> Box<dyn Service> {
        let clients = Clients { list: clients, out: Outbox::default() };
        Box::new(Self { task, clients, started: false, finished: false })
    }

    /// Hands events on and sees whether all is done.
    fn settle(&mut self, now: Time) {
        while let Some((number, event)) = self.clients.out.events.pop_front() {
            self.task.handle(now, &mut self.clients, number, event);
        }
        if !self.finished
            && let Some(result) = self.task.conclude(now, &self.clients)
        {
            self.finished = true;
            self.clients.out.actions.push_back(Action::Finished(result));
        }
    }
}

impl<T: Task> Service for Running<T> {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => {
                let Clients { list, out } = &mut self.clients;
                list.iter_mut().for_each(|client| client.handle_timeout(now, out));
                self.task.advance(now, &mut self.clients);
            }
            Input::Drain => self.clients.finish_all(now),
            Input::Stop => self.clients.abort_all(),
            Input::Resolved { name: NameId(number), .. } => {
                self.clients.with(number, |client, out| client.handle(now, input, out));
            }
            Input::Connected { stream, .. }
            | Input::Data { stream, .. }
            | Input::EndOfStream { stream }
            | Input::Closed { stream, .. } => {
                self.clients.with(stream.number(), |client, out| client.handle(now, input, out));
            }
            // Nothing else was asked for.
            _ => {}
        }
        self.settle(now);
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        if !self.started {
            self.started = true;
            self.task.start(now, &mut self.clients);
            self.settle(now);
        }
        self.clients.out.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, _batch: &mut Batch) {}

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        self.clients.with(stream.number(), |client, outbox| client.fill(now, limit, out, outbox));
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let clients = self.clients.list.iter_mut().map(Client::poll_timeout);
        clients.fold(self.task.next_timeout(), earlier)
    }
}
