use std::time::Duration;

use rtmfp_media::message::kind;

use crate::clip::{Clip, of};
use crate::encoder::{End, TAIL, Task};
use crate::server::Session;
use crate::world::Chain;

/// Whether all of a clip has arrived, and nothing else of these types.
fn assert_intact(session: &Session, clip: &Clip) {
    let received = session.messages();
    for kind in [kind::DATA, kind::VIDEO, kind::AUDIO] {
        let (got, sent) = (of(&received, kind), clip.of(kind));
        assert_eq!(got.len(), sent.len(), "messages of type {kind}");
        assert!(got == sent, "messages of type {kind} differ");
    }
    assert!(
        session.received.iter().all(|(_, message)| message.kind != kind::USER_CONTROL),
        "flow syncs are not for RTMP"
    );
    assert_eq!(session.position("setPeerInfo"), None);
}

fn publish(protocols: &[&str], end: End) {
    let clip = Clip::new(600);
    let mut chain = Chain::new(1, protocols, Chain::friendly());
    let client = chain.add_client(Task::Publish(clip.clone(), end));
    chain.network.run_for(Duration::from_secs(20) + TAIL);
    println!("{:?} {:?}", chain.client(client).codes(), chain.client(client).closed);
    let session = chain.server().all().next().expect("the publisher was relayed");
    assert_intact(session, &clip);
    let last_media = session.received.iter().rposition(|(_, message)| message.kind != kind::COMMAND);
    if end == End::Delete {
        assert!(session.position("deleteStream") > last_media, "deleteStream overtook media");
        assert!(session.position("FCUnpublish") > last_media, "FCUnpublish overtook media");
    }
    assert!(session.end_of_stream.is_some(), "the end has to arrive as well");
    for relay in 0..chain.relays.len() {
        assert_eq!(chain.relay(relay).client_count(), 0, "relay {relay} keeps a client");
    }
}

#[test]
fn a_clip_arrives_over_two_relays_with_rtmfp_between_them() {
    publish(&["rtmp", "rtmfp", "rtmp"], End::Delete);
}
