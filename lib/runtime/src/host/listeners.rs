//! The listening sockets of a host.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpListener;
use rtmfp_base::{Counters, Input, ListenerId, Visit};

use super::Host;
use crate::{Ready, RunLoop, SourceId, TimerId, clock, tcp};

/// How many connections of a listener are taken before other sources get their turn.
const ACCEPTS_A_TURN: usize = 32;
/// How long a listener rests when the system or the host has no room for another stream.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Listeners {
    listeners: HashMap<ListenerId, Listener>,
    pub(super) counters: ListenerCounters,
}

struct Listener {
    socket: TcpListener,
    source: SourceId,
    /// Set while it rests.
    pause: Option<TimerId>,
}

/// What happened at listeners.
#[derive(Debug, Default)]
pub(super) struct ListenerCounters {
    accepted: u64,
    errors: u64,
    pauses: u64,
}

impl Counters for ListenerCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("tcp_accepted", self.accepted);
        visit("tcp_accept_errors", self.errors);
        visit("tcp_accept_pauses", self.pauses);
    }
}

impl Listeners {
    pub(super) fn close(&mut self, run_loop: &mut RunLoop<Host>, id: ListenerId) {
        if let Some(mut listener) = self.listeners.remove(&id) {
            run_loop.deregister(&mut listener.socket, listener.source);
            if let Some(timer) = listener.pause {
                run_loop.cancel_timer(timer);
            }
        }
    }

    fn pause(&mut self, run_loop: &mut RunLoop<Host>, id: ListenerId) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        self.counters.pauses += 1;
        let source = listener.source;
        let timer = run_loop.set_timer(clock::now() + PAUSE, move |host: &mut Host, run_loop| {
            if let Some(listener) = host.listeners.listeners.get_mut(&id) {
                listener.pause = None;
                run_loop.again(source, Ready::READABLE);
            }
        });
        listener.pause = Some(timer);
    }
}

impl Host {
    pub(super) fn listen(&mut self, run_loop: &mut RunLoop<Self>, listener: ListenerId, address: SocketAddr) {
        self.listeners.close(run_loop, listener);
        let result = self.try_listen(run_loop, listener, address);
        let result = result.map_err(|error| format!("{address}: {error}"));
        self.feed(run_loop, Input::ListenReady { listener, result });
    }

    fn try_listen(
        &mut self,
        run_loop: &mut RunLoop<Self>,
        id: ListenerId,
        address: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let mut socket = tcp::listen(address, self.streams.options())?;
        let address = socket.local_addr()?;
        let source = run_loop.register(&mut socket, Interest::READABLE, move |host, run_loop, _| {
            host.accept(run_loop, id);
        })?;
        self.listeners.listeners.insert(id, Listener { socket, source, pause: None });
        Ok(address)
    }

    fn accept(&mut self, run_loop: &mut RunLoop<Self>, id: ListenerId) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = self.listeners.listeners.get(&id) else { return };
            if listener.pause.is_some() {
                return;
            }
            if !self.streams.has_room() {
                log::debug!("no room for another stream: accepting pauses");
                return self.listeners.pause(run_loop, id);
            }
            match listener.socket.accept() {
                Ok((socket, peer)) => match self.streams.add_accepted(run_loop, socket, peer) {
                    Ok(stream) => {
                        self.listeners.counters.accepted += 1;
                        self.feed(run_loop, Input::Accepted { listener: id, stream, peer });
                    }
                    Err(error) => self.accept_failed(&error),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.accept_failed(&error);
                    if tcp::is_exhausted(&error) {
                        return self.listeners.pause(run_loop, id);
                    }
                }
            }
        }
        if let Some(listener) = self.listeners.listeners.get(&id) {
            run_loop.again(listener.source, Ready::READABLE);
        }
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.listeners.counters.errors += 1;
        log::debug!("a connection could not be accepted: {error}");
    }
}
