//! Sends each message back, on a flow in return of the one that it came by.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use log::info;
use rtmfp::driver::{Application, Node};
use rtmfp::{Endpoint, Event, FlowSpec, MAX_METADATA, Priority, RecvFlowId, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};

/// What the server is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Addresses to listen on.
    #[arg(required = true)]
    listen: Vec<SocketAddr>,
    /// The host name in the certificate.
    #[arg(long, default_value = "echo")]
    name: String,
    /// Let only those in who ask for the host name.
    #[arg(long)]
    name_only: bool,
}

pub(crate) fn run(options: Options, lenient: bool) -> Result<(), String> {
    let endpoint = crate::endpoint(Some(&options.name), !options.name_only, lenient)?;
    crate::host(Box::new(Node::new(endpoint, &options.listen, Server::default())))
}

/// The flows of all clients. Both flows of a pair carry the same tag, so that each event leads to the pair.
#[derive(Debug, Default)]
struct Server {
    pairs: HashMap<Tag, Pair>,
    next: u64,
    echoed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    from: RecvFlowId,
    back: SendFlowId,
}

impl Server {
    fn offered(&mut self, now: Time, endpoint: &mut Endpoint, flow: RecvFlowId, metadata: &[u8]) {
        let tag = Tag(self.next);
        self.next += 1;
        endpoint.accept(now, flow, tag);
        let mut answer = metadata.to_vec();
        answer.extend_from_slice(b" return");
        answer.truncate(MAX_METADATA);
        let spec = FlowSpec { metadata: Bytes::from(answer), priority: Priority::Routine };
        let back = endpoint.recv_flow(flow).map(|mut from| from.open_return_flow(now, spec, tag));
        match back {
            Some(Ok(back)) => {
                self.pairs.insert(tag, Pair { from: flow, back });
            }
            // No more flows in this session: the far end is told by a rejection.
            _ => endpoint.reject(now, flow, 0),
        }
    }

    /// Echoes until nothing is left to read or the way back is full. What is not read fills the receive buffer, whose
    /// room is what the client may send: a slow way back slows the client down.
    fn echo(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        let Some(&Pair { from, back }) = self.pairs.get(&tag) else { return };
        while endpoint.send_flow(back).is_some_and(|mut back| back.is_writable()) {
            let Some(message) = endpoint.recv_flow(from).and_then(|mut from| from.read(now)) else { break };
            let Some(mut back) = endpoint.send_flow(back) else { break };
            // `Bytes` are shared, not copied.
            if back.write(now, Message::from(message.bytes), &WriteOptions::default()).is_ok() {
                self.echoed += 1;
            }
        }
    }

    /// No more comes from the client: what was echoed is still delivered.
    fn finished(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        if let Some(pair) = self.pairs.remove(&tag)
            && let Some(back) = endpoint.send_flow(pair.back)
        {
            back.close(now);
        }
    }

    /// The client wants no answers: then there is nothing to do for it.
    fn refused(&mut self, now: Time, endpoint: &mut Endpoint, tag: Tag) {
        if let Some(pair) = self.pairs.remove(&tag) {
            endpoint.reject(now, pair.from, 0);
        }
    }
}

impl Application for Server {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::SessionOpened { session, .. } => {
                if let Some(info) = endpoint.session(session).map(|session| session.info()) {
                    info!("session with {}", info.far_address);
                }
            }
            Event::SessionClosed { reason, .. } => {
                info!("a session ended: {reason}; {} messages echoed so far", self.echoed);
            }
            // Flows in return of ours are not expected.
            Event::FlowOffered { flow, metadata, associated: None, .. } => {
                self.offered(now, endpoint, flow, &metadata);
            }
            Event::Readable { tag, .. } | Event::Writable { tag, .. } => self.echo(now, endpoint, tag),
            Event::FlowFinished { tag, .. } | Event::FlowLost { tag, .. } => {
                self.finished(now, endpoint, tag);
            }
            Event::FlowException { tag, .. } => self.refused(now, endpoint, tag),
            other => info!("{other:?}"),
        }
    }
}
