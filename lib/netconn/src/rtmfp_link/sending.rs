//! What a link sends, and what becomes of it.

use rtmfp::{SendFlowId, WriteError};
use rtmfp_base::{Message, ReceiptId, Tag, WriteOptions};
use rtmfp_media::TcMessage;
use rtmfp_media::control::UserControl;

use super::pictures::Pictures;
use super::{Control, FarControl, RtmfpLink, Use, spec};
use crate::link::{Cx, LinkError, Role};
use crate::meaning::Meaning;
use crate::policy::{Lane, Treatment};

/// The sending half of a NetStream.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// By [`Lane`].
    flows: [Flow; 3],
    /// A command was sent that the next message of this lane must not overtake.
    behind_command: [bool; 3],
    /// Something was sent on this lane that the end of the stream must not overtake.
    before_end: [bool; 3],
    pictures: Pictures,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Flow {
    #[default]
    None,
    Open(SendFlowId),
    /// The far end refused it: there must not be another one (RFC 7425 section 5.3.5.3).
    Refused,
}

/// What a queued message costs beside its bytes, in the account of the queue.
const RECORD: usize = 64;

impl RtmfpLink {
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, message: TcMessage) {
        if self.common.is_closed() {
            return;
        }
        let Some((meaning, accepts)) = self.common.send(&message) else { return };
        if accepts {
            self.on_accepted(cx);
        }
        let ready = self.peer_is_ready();
        if let Some(message) = self.common.hold_back(cx.now, message, meaning, ready) {
            self.put(cx, message, meaning);
        } else if self.queued(cx) > self.common.config.max_queued_bytes {
            self.fail(cx, LinkError::QueueFull { queued: self.common.gate.bytes() });
        }
        self.settle(cx);
    }

    /// Gives a message that means this to its flow.
    pub(super) fn put(&mut self, cx: &mut Cx<'_>, message: TcMessage, meaning: Meaning) {
        if message.stream_id == 0 {
            return self.put_control(cx, message, meaning);
        }
        let stream_id = message.stream_id;
        let Treatment { lane, deadlines, picture } = self.common.config.lifetimes.treat(cx.now, &message);
        let Some(flow) = self.flow(cx, stream_id, lane) else {
            self.common.stats.dropped_messages += 1;
            return;
        };
        self.keep_behind_commands(cx, stream_id, lane, flow, meaning);
        if let Meaning::Ends { stream, .. } = meaning {
            self.keep_end_behind(cx, flow, stream);
        }
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        if let Some(picture) = picture {
            let rest = self.common.config.lifetimes.of_previous_group(cx.now);
            for (receipt, old) in stream.pictures.begin(picture) {
                let new = old.min(rest);
                if new != old
                    && let Some(mut receipt) = endpoint.receipt(receipt)
                {
                    receipt.set_deadlines(cx.now, new.start_by, new.finish_by);
                }
            }
            if stream.pictures.is_orphan(picture) {
                self.common.stats.dropped_messages += 1;
                return;
            }
        }
        let cost = message.payload.len() + RECORD;
        let full = self.queued_bound + cost > self.common.config.max_queued_bytes
            && self.queued(cx) + cost > self.common.config.max_queued_bytes;
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        if full {
            if deadlines.are_never() {
                return self.fail(cx, LinkError::QueueFull { queued: self.queued_bound });
            }
            self.common.stats.dropped_messages += 1;
            if let Some(picture) = picture {
                stream.pictures.skipped(picture);
            }
            return;
        }
        let options = WriteOptions {
            start_by: deadlines.start_by,
            finish_by: deadlines.finish_by,
            notify: true,
            ..WriteOptions::default()
        };
        let Some(mut flow) = cx.endpoints.get(self.endpoint).and_then(|endpoint| endpoint.send_flow(flow))
        else {
            return;
        };
        match flow.write(cx.now, Message::new(&message.tc_head(), message.payload), &options) {
            Ok(receipt) => {
                self.queued_bound += cost;
                self.common.note_sent(stream_id);
                stream.before_end[lane as usize] = true;
                if let (Some(picture), Some(receipt)) = (picture, receipt) {
                    stream.pictures.sent(picture, receipt, deadlines);
                }
            }
            Err(_) => self.common.stats.dropped_messages += 1,
        }
    }

    fn put_control(&mut self, cx: &mut Cx<'_>, message: TcMessage, meaning: Meaning) {
        let deleted = match meaning {
            Meaning::Ends { stream: Some(stream), deletes: true } if self.common.role == Role::Client => {
                Some(stream)
            }
            _ => None,
        };
        let Control::Open(control) = self.control else { return };
        if let Meaning::Ends { stream, .. } = meaning {
            self.keep_end_behind(cx, control, stream);
        }
        let options = WriteOptions { notify: self.keeps_control(), ..WriteOptions::default() };
        let Some(mut flow) = cx.endpoints.get(self.endpoint).and_then(|e| e.send_flow(control)) else {
            return;
        };
        let written = flow.write(cx.now, Message::new(&message.tc_head(), message.payload), &options);
        let buffered = flow.buffered();
        self.control_left += usize::from(matches!(written, Ok(Some(_))));
        if written == Err(WriteError::Full) || buffered > self.common.config.max_queued_bytes {
            return self.fail(cx, LinkError::QueueFull { queued: buffered });
        }
        if let Some(stream) = deleted {
            self.close_stream(cx, stream);
        }
    }

    /// The flow of a lane, opened if there is none.
    fn flow(&mut self, cx: &mut Cx<'_>, stream_id: u32, lane: Lane) -> Option<SendFlowId> {
        let limit = self.common.config.max_streams;
        if !self.streams.contains_key(&stream_id) && self.streams.len() >= limit {
            self.fail(cx, LinkError::Streams { limit });
            return None;
        }
        let stream = self.streams.entry(stream_id).or_default();
        match stream.flows[lane as usize] {
            Flow::Open(flow) => return Some(flow),
            Flow::Refused => return None,
            Flow::None => {}
        }
        let FarControl::Open(far_control) = self.far_control else { return None };
        let tag = self.common.id.tag(Use::Stream(stream_id, lane).low());
        let opened = cx.endpoints.get(self.endpoint)?.recv_flow(far_control)?.open_return_flow(
            cx.now,
            spec(stream_id, lane.priority()),
            tag,
        );
        match opened {
            Ok(flow) => {
                stream.flows[lane as usize] = Flow::Open(flow);
                self.sending_flows += 1;
                Some(flow)
            }
            Err(error) => {
                self.fail(cx, error.into());
                None
            }
        }
    }

    /// Media must not overtake the command before it (`publish`, or the status that says that it begins): the first
    /// message after it waits by a flow synchronisation (RFC 7425 section 5.2).
    fn keep_behind_commands(
        &mut self,
        cx: &mut Cx<'_>,
        stream_id: u32,
        lane: Lane,
        flow: SendFlowId,
        meaning: Meaning,
    ) {
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        if lane == Lane::Data {
            if !matches!(meaning, Meaning::Other) {
                stream.behind_command = [false, true, true];
            }
            return;
        }
        if !core::mem::replace(&mut stream.behind_command[lane as usize], false) {
            return;
        }
        let Flow::Open(data) = stream.flows[Lane::Data as usize] else { return };
        self.synchronise_flows(cx, &[data, flow]);
    }

    /// The end of a stream, or of whatever streams there are, must not overtake what was sent before it on other flows: players
    /// behind servers that pass everything on as it comes would miss the last frames. Ours keep ends back by themselves.
    fn keep_end_behind(&mut self, cx: &mut Cx<'_>, end: SendFlowId, stream: Option<u32>) {
        // Programs of the installed base know nothing of synchronisations on their control flows.
        let session = self.session.and_then(|session| cx.endpoints.get(self.endpoint)?.session(session));
        let is_old = session.and_then(|session| session.info().keys).is_none_or(|keys| keys.basic);
        if is_old || self.keeps_control() {
            return;
        }
        let mut flows = Vec::new();
        for (_, stream) in self.streams.iter_mut().filter(|(id, _)| stream.is_none_or(|ends| ends == **id)) {
            for (lane, sent) in core::mem::take(&mut stream.before_end).into_iter().enumerate() {
                match stream.flows[lane] {
                    Flow::Open(flow) if sent && flow != end => flows.push(flow),
                    _ => {}
                }
            }
        }
        if !flows.is_empty() {
            flows.push(end);
            self.synchronise_flows(cx, &flows);
        }
    }

    /// Has the far end hold each of these flows until all have come so far.
    fn synchronise_flows(&mut self, cx: &mut Cx<'_>, flows: &[SendFlowId]) {
        self.next_sync = self.next_sync.wrapping_add(1);
        let sync = UserControl::FlowSync { id: self.next_sync, count: flows.len() as u32 }.message();
        let sync = Message::new(&sync.tc_head(), sync.payload);
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        for &flow in flows {
            if let Some(mut flow) = endpoint.send_flow(flow) {
                // One that was closed or is full: then nothing comes behind it either.
                let _ = flow.write(cx.now, sync.clone(), &WriteOptions::default());
            }
        }
    }

    /// Bytes that wait to be sent.
    fn queued(&mut self, cx: &mut Cx<'_>) -> usize {
        let mut queued = self.common.gate.bytes();
        if let Some(endpoint) = cx.endpoints.get(self.endpoint) {
            let flows = self.streams.values().flat_map(|stream| stream.flows);
            for flow in flows {
                if let Flow::Open(flow) = flow
                    && let Some(mut flow) = endpoint.send_flow(flow)
                {
                    queued += flow.buffered();
                }
            }
        }
        self.queued_bound = queued;
        queued
    }

    /// Closes the flows of a stream: what was sent still arrives.
    pub(super) fn close_stream(&mut self, cx: &mut Cx<'_>, stream_id: u32) {
        let Some(stream) = self.streams.remove(&stream_id) else { return };
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        for flow in stream.flows {
            if let Flow::Open(flow) = flow
                && let Some(flow) = endpoint.send_flow(flow)
            {
                flow.close(cx.now);
            }
        }
    }

    pub(super) fn close_streams(&mut self, cx: &mut Cx<'_>) {
        while let Some((&stream_id, _)) = self.streams.first_key_value() {
            self.close_stream(cx, stream_id);
        }
    }

    pub(super) fn on_write_ended(&mut self, cx: &mut Cx<'_>, receipt: ReceiptId, tag: Tag, delivered: bool) {
        let Use::Stream(stream_id, lane) = Use::of(tag) else {
            self.control_left -= 1;
            return;
        };
        self.common.note_done(stream_id);
        self.common.stats.dropped_messages += u64::from(!delivered);
        if lane != Lane::Video {
            return;
        }
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        let useless = stream.pictures.ended(receipt, delivered);
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        for (receipt, _) in useless {
            if let Some(receipt) = endpoint.receipt(receipt) {
                receipt.abandon(cx.now);
            }
        }
    }

    pub(super) fn on_exception(&mut self, cx: &mut Cx<'_>, flow: SendFlowId, tag: Tag, code: u64) {
        match Use::of(tag) {
            Use::Control => {
                self.control = Control::Gone;
                if !self.has_session(cx) {
                    self.broken = true;
                    return;
                }
                if self.far_control == FarControl::Awaited {
                    self.refused = Some(code);
                }
                // What it has sent may still come; the reason of a refusal, too: servers reject the flow first.
                self.begin_tail(cx);
            }
            Use::Stream(stream_id, lane) => {
                self.sending_flows -= 1;
                if let Some(stream) = self.streams.get_mut(&stream_id)
                    && stream.flows[lane as usize] == Flow::Open(flow)
                {
                    stream.flows[lane as usize] = Flow::Refused;
                }
            }
        }
    }

    pub(super) fn on_closed(&mut self, cx: &Cx<'_>, flow: SendFlowId, tag: Tag) {
        match Use::of(tag) {
            Use::Control => {
                self.control = Control::Gone;
                if self.common.finish_by.is_some() {
                    self.common.finish_by = Some(cx.now + self.common.config.tail_limit);
                }
            }
            Use::Stream(stream_id, lane) => {
                self.sending_flows -= 1;
                if let Some(stream) = self.streams.get_mut(&stream_id)
                    && stream.flows[lane as usize] == Flow::Open(flow)
                {
                    stream.flows[lane as usize] = Flow::None;
                }
            }
        }
    }
}
