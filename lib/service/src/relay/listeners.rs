use core::net::SocketAddr;

use log::debug;
use rtmfp::Endpoint;
use rtmfp_base::{Action, ListenerId, Time};
use rtmfp_netconn::EndpointId;

use super::doors::Doors;
use super::shared::Shared;
use super::{Listen, Protocol, RelayConfig};

/// Where a relay listens.
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// The ports beside them.
    pub(super) doors: Doors,
    opened: bool,
    closed: bool,
}

#[derive(Debug)]
struct Listener {
    listen: Listen,
    /// Of an RTMFP listener, once it is opened.
    endpoint: Option<EndpointId>,
}

impl Listeners {
    pub(super) fn new(config: &RelayConfig) -> Self {
        let all = config.listen.iter().map(|&listen| Listener { listen, endpoint: None }).collect();
        Self { all, doors: Doors::new(config), opened: false, closed: false }
    }

    /// Opens all of them, the first time.
    ///
    /// # Errors
    /// When one has no cryptography profile.
    pub(super) fn open(&mut self, shared: &mut Shared, now: Time) -> Result<(), String> {
        if core::mem::replace(&mut self.opened, true) {
            return Ok(());
        }
        for (number, listener) in self.all.iter_mut().enumerate() {
            let mut address = listener.listen.address;
            match listener.listen.protocol {
                Protocol::Rtmp | Protocol::RtmpSimple => {
                    let listener = ListenerId(number as u32);
                    shared.actions.push_back(Action::Listen { listener, address });
                }
                Protocol::Rtmfp => {
                    let profile = shared.profiles.listener(&listener.listen);
                    let profile =
                        profile.map_err(|error| format!("cannot listen on {}: {error}", listener.listen))?;
                    let endpoint = Endpoint::new(shared.endpoint_config(false), profile, shared.seed(), now);
                    let endpoint = shared.endpoints.add(endpoint);
                    if let Some(own) = &shared.config.worker {
                        address.set_port(own.ports.get(number).copied().unwrap_or(0));
                    }
                    shared.endpoints.open_socket(endpoint, address.into(), &mut shared.actions);
                    listener.endpoint = Some(endpoint);
                }
            }
        }
        Ok(())
    }

    pub(super) fn of_endpoint(&self, endpoint: EndpointId) -> Option<Listen> {
        self.all.iter().find(|listener| listener.endpoint == Some(endpoint)).map(|listener| listener.listen)
    }

    /// The number of the listener that an endpoint belongs to.
    pub(super) fn number_of_endpoint(&self, endpoint: EndpointId) -> Option<usize> {
        self.all.iter().position(|listener| listener.endpoint == Some(endpoint))
    }

    pub(super) fn of_listener(&self, listener: ListenerId) -> Option<Listen> {
        self.all.get(listener.0 as usize).map(|listener| listener.listen)
    }

    pub(super) fn udp_ready(&mut self, shared: &mut Shared, endpoint: EndpointId, local: SocketAddr) {
        if let Some(number) = self.number_of_endpoint(endpoint) {
            self.ready(shared, number, local);
        }
    }

    pub(super) fn tcp_ready(&mut self, shared: &mut Shared, listener: ListenerId, local: SocketAddr) {
        self.ready(shared, listener.0 as usize, local);
    }

    /// Tells where one of them is: a worker its front, anybody else people.
    fn ready(&mut self, shared: &mut Shared, number: usize, local: SocketAddr) {
        let Some(listener) = self.all.get(number) else { return };
        let listen = Listen { address: local, ..listener.listen };
        shared.own.add(listen);
        match &shared.config.worker {
            Some(own) => {
                debug!("worker {}: {listen}", own.worker.number());
                own.worker.set_port(number, local.port());
            }
            None => {
                // Who reads the announcement finds all open.
                self.doors.watch(&mut shared.actions, listen);
                shared.actions.push_back(listen.announcement());
            }
        }
    }

    /// Takes no new clients.
    pub(super) fn close(&mut self, shared: &mut Shared) {
        if core::mem::replace(&mut self.closed, true) {
            return;
        }
        self.doors.close(&mut shared.actions);
        for (number, listener) in self.all.iter().enumerate() {
            match listener.endpoint {
                Some(endpoint) => {
                    if let Some(endpoint) = shared.endpoints.get(endpoint) {
                        endpoint.set_accepting(false);
                    }
                }
                None => {
                    let listener = ListenerId(number as u32);
                    shared.actions.push_back(Action::CloseListener { listener });
                }
            }
        }
    }

    /// Ends their endpoints.
    pub(super) fn retire(&mut self, shared: &mut Shared, now: Time) {
        for listener in &mut self.all {
            if let Some(endpoint) = listener.endpoint.take() {
                shared.endpoints.retire(now, endpoint);
            }
        }
    }
}
