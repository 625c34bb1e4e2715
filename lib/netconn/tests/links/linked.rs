//! A service with one link.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use rtmfp::{Config, Endpoint, Event, SessionId};
use rtmfp_base::{Action, Batch, Input, Service, StreamId, Time};
use rtmfp_netconn::{Cx, EndpointId, Endpoints, Link, LinkConfig, LinkEvent, LinkId, RtmfpLink, TcMessage};
use rtmfp_plain::PlainProfile;

use crate::raw::URI;

pub(crate) struct Linked {
    pub(crate) endpoints: Endpoints,
    endpoint: EndpointId,
    to: Option<SocketAddr>,
    config: Arc<LinkConfig>,
    pub(crate) link: Option<Link>,
    pub(crate) session: Option<SessionId>,
    actions: VecDeque<Action>,
    /// What the link told, and when.
    pub(crate) events: Vec<(Time, LinkEvent)>,
}

const LINK: LinkId = LinkId(7);

impl Linked {
    /// A client of `to`, or a server.
    pub(crate) fn new(name: &[u8], address: SocketAddr, to: Option<SocketAddr>, link: LinkConfig) -> Self {
        let mut config = Config::default();
        link.untrusted.grant(&mut config.session);
        config.session.keepalive = link.keepalive;
        config.max_message = link.untrusted.message_bytes + 5;
        let endpoint = Endpoint::new(config, Box::new(PlainProfile::new(name)), [1; 32], Time::ZERO);
        let (mut endpoints, mut actions) = (Endpoints::new(), VecDeque::new());
        let endpoint = endpoints.add(endpoint);
        endpoints.open_socket(endpoint, address.into(), &mut actions);
        let config = Arc::new(link);
        Self { endpoints, endpoint, to, config, link: None, session: None, actions, events: Vec::new() }
    }

    /// Does something with the link.
    pub(crate) fn with(&mut self, now: Time, act: impl FnOnce(&mut Link, &mut Cx<'_>)) {
        let Self { endpoints, actions, link, .. } = self;
        act(link.as_mut().expect("a link"), &mut Cx { now, endpoints, actions });
        self.settle(now);
    }

    fn settle(&mut self, now: Time) {
        if let Some(link) = &mut self.link {
            self.events.extend(std::iter::from_fn(|| link.poll_event()).map(|event| (now, event)));
        }
    }

    pub(crate) fn messages(&self) -> Vec<TcMessage> {
        let message = |(_, event): &(Time, LinkEvent)| match event {
            LinkEvent::Message(message) => Some(message.clone()),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }

    /// Where in the order of events one came.
    pub(crate) fn position(&self, wanted: &LinkEvent) -> Option<usize> {
        self.events.iter().position(|(_, event)| event == wanted)
    }

    fn on_event(&mut self, now: Time, event: Event) {
        let Self { endpoints, actions, config, .. } = self;
        let mut cx = Cx { now, endpoints, actions };
        match (&mut self.link, event) {
            (Some(link), event) => link.endpoint_event(&mut cx, event),
            (link, Event::FlowOffered { flow, session, metadata, associated: None }) => {
                let config = Arc::clone(config);
                let accepted =
                    RtmfpLink::accept(&mut cx, LINK, self.endpoint, session, flow, &metadata, config);
                *link = accepted.map(|accepted| Link::Rtmfp(Box::new(accepted)));
                self.session = Some(session);
            }
            _ => {}
        }
        self.settle(now);
    }
}

impl Service for Linked {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        let Self { endpoints, actions, .. } = self;
        match input {
            Input::UdpReady { socket, result } => {
                endpoints.socket_ready(socket, result.expect("a socket"));
                if let Some(to) = self.to {
                    let mut cx = Cx { now, endpoints, actions };
                    let config = Arc::clone(&self.config);
                    let link = RtmfpLink::connect(&mut cx, LINK, self.endpoint, URI, config);
                    let mut link = link.expect("room for a link");
                    link.add_candidate(&mut cx, to);
                    self.link = Some(Link::Rtmfp(Box::new(link)));
                }
            }
            Input::Datagram { meta, bytes } => endpoints.datagram(now, &meta, bytes),
            Input::JobDone(done) => endpoints.job_done(now, done),
            Input::Timeout => {
                endpoints.handle_timeout(now, actions);
                if let Some(link) = &mut self.link
                    && link.poll_timeout().is_some_and(|at| at <= now)
                {
                    self.with(now, Link::handle_timeout);
                }
            }
            _ => {}
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        while let Some((_, event)) = self.endpoints.poll_event(now, &mut self.actions) {
            self.on_event(now, event);
        }
        self.actions.pop_front().or_else(|| self.endpoints.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.endpoints.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let link = self.link.as_mut().and_then(Link::poll_timeout);
        if self.endpoints.wants_poll() {
            return Some(Time::ZERO);
        }
        link.into_iter().chain(self.endpoints.poll_timeout()).min()
    }
}
