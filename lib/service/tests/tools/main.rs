//! The toolbox's services in virtual time, against a server that forwards.

mod hub;
#[path = "../relay/peer.rs"]
mod peer;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use hub::{Hub, Manner};
use rtmfp_base::Service;
use rtmfp_media::TcMessage;
use rtmfp_media::data::{Data, SET_DATA_FRAME};
use rtmfp_media::message::kind;
use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_service::tools::{
    Ending, Frames, MeasureOptions, Measurement, PlayOptions, Played, Published, Report, Source, Target,
    compare, measure, play, publish,
};

const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(5);

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn target(stream: &str) -> Target {
    let uri = format!("rtmp://server/live/{stream}").parse().unwrap();
    Target { uri, timeout: PATIENCE, seed: 1 }
}

fn frames(millis: u64) -> Source {
    Box::new(Frames::new(millis, 200).map(Ok))
}

/// Where a service puts its result.
struct Slot<T>(Rc<RefCell<Option<T>>>);

impl<T: 'static> Slot<T> {
    fn new() -> (Self, Report<T>) {
        let slot = Rc::new(RefCell::new(None));
        let to = Rc::clone(&slot);
        (Self(slot), Box::new(move |result| *to.borrow_mut() = Some(result)))
    }

    fn take(&self) -> T {
        self.0.borrow_mut().take().expect("a result")
    }
}

struct World {
    network: Network,
    server: HostId,
}

impl World {
    fn new(manner: Manner) -> Self {
        let mut network = Network::new(1);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        let server = network.add_host("server", &[ip(1)], Box::new(Hub::new((ip(1), 1935).into(), manner)));
        network.add_name("server", &[ip(1)]);
        Self { network, server }
    }

    /// Adds a service; more than a second later than the one before.
    fn add(&mut self, last: u8, service: Box<dyn Service>) -> HostId {
        let host = self.network.add_host("client", &[ip(last)], service);
        self.network.run_for(Duration::from_secs(1));
        host
    }

    /// What a service finished with.
    fn end(&mut self, host: HostId) -> Result<(), String> {
        assert!(self.network.run_while(2 * MINUTE, |network| network.finished(host).is_none()), "no end");
        self.network.finished(host).unwrap().clone()
    }

    fn published(&self) -> &[TcMessage] {
        &self.network.peek::<Hub>(self.server).published
    }
}

#[test]
fn a_stream_is_published_whole_in_real_time_and_its_metadata_is_to_be_kept() {
    let mut world = World::new(Manner::Friendly);
    let (slot, report) = Slot::<Vec<Published>>::new();
    let publisher = world.add(2, publish([(target("a"), frames(4000))], report));
    // One second has passed: about a quarter has come.
    let early = world.published().len();
    assert!((60..90).contains(&early), "{early}");
    assert_eq!(world.end(publisher), Ok(()));
    let sent: Vec<_> = Frames::new(4000, 200).collect();
    assert!(compare(&sent, world.published()).is_equal());
    let metadata = world.published().iter().find(|message| message.kind == kind::DATA).unwrap();
    let data = Data::parse(metadata.kind, &metadata.payload, &rtmfp_media::amf0::Limits::DEFAULT).unwrap();
    assert_eq!(data.name, SET_DATA_FRAME);
    let [published] = &slot.take()[..] else { panic!("one stream") };
    assert_eq!((published.video, published.audio, &published.error), (1 + 120, 1 + 188, &None));
    // Look-up, connection, handshake, three questions: in round trips of 20 ms.
    let started = published.started_after.unwrap().as_millis();
    assert!((80..200).contains(&started), "{started}");
}

#[test]
fn a_stream_can_be_published_in_the_plainest_form_of_rtmp() {
    let mut world = World::new(Manner::Friendly);
    let (_slot, report) = Slot::<Vec<Published>>::new();
    let target = Target { uri: "rtmp-simple://server/live/a".parse().unwrap(), ..target("a") };
    let publisher = world.add(2, publish([(target, frames(1000))], report));
    assert_eq!(world.end(publisher), Ok(()));
    assert!(compare(&Frames::new(1000, 200).collect::<Vec<_>>(), world.published()).is_equal());
}

#[test]
fn a_player_counts_what_comes_and_ends_with_the_stream() {
    let mut world = World::new(Manner::Friendly);
    let (slot, report) = Slot::<Played>::new();
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    let sink = Box::new(move |message: &TcMessage| {
        keep.borrow_mut().push(message.clone());
        Ok(())
    });
    let options = PlayOptions { target: target("a"), count: None, duration: None, sink };
    let player = world.add(3, play(options, report));
    let (_, published) = Slot::<Vec<Published>>::new();
    world.add(2, publish([(target("a"), frames(2000))], published));
    assert_eq!(world.end(player), Ok(()));
    let sent: Vec<_> = Frames::new(2000, 200).collect();
    assert!(compare(&sent, &kept.borrow()).is_equal());
    let played = slot.take();
    assert_eq!((played.video.count, played.audio.count), (61, 95));
    assert_eq!((played.video.first_timestamp, played.video.last_timestamp), (Some(0), Some(1966)));
    assert_eq!((played.data, played.ending), (1, Ending::EndOfStream));
}

#[test]
fn a_player_ends_by_count_by_time_and_by_silence() {
    let ends: [(Option<u64>, Option<u64>, Ending); 3] = [
        (Some(10), None, Ending::Count),
        (None, Some(1), Ending::Duration),
        (None, None, Ending::Failed("nothing came for 5 s".to_owned())),
    ];
    for (count, seconds, ending) in ends {
        let mut world = World::new(Manner::Friendly);
        let (slot, report) = Slot::<Played>::new();
        let duration = seconds.map(Duration::from_secs);
        let options = PlayOptions { target: target("a"), count, duration, sink: Box::new(|_| Ok(())) };
        let player = world.add(3, play(options, report));
        let is_silent = matches!(ending, Ending::Failed(_));
        if !is_silent {
            let (_, published) = Slot::<Vec<Published>>::new();
            world.add(2, publish([(target("a"), frames(3000))], published));
        }
        assert_eq!(world.end(player).is_err(), is_silent);
        let played = slot.take();
        assert_eq!(played.ending, ending);
        assert!(count.is_none_or(|count| played.audio.count + played.video.count == count), "{played:?}");
    }
}

#[test]
fn the_time_that_frames_take_is_that_of_the_network() {
    let mut world = World::new(Manner::Friendly);
    let (slot, report) = Slot::<Measurement>::new();
    let options =
        MeasureOptions { publish: target("a"), play: target("a"), source: frames(3000), patience: PATIENCE };
    let measuring = world.add(2, measure(options, report));
    assert_eq!(world.end(measuring), Ok(()));
    let measurement = slot.take();
    assert_eq!((measurement.video.sent, measurement.audio.sent), (90, 141));
    assert_eq!(measurement.all.count, 231);
    // There and back, 10 ms each.
    assert_eq!(measurement.all.median.as_millis(), 20);
    assert_eq!(measurement.all.max.as_millis(), 20);
}

#[test]
fn frames_that_do_not_come_back_are_missed() {
    let mut world = World::new(Manner::Losing);
    let (slot, report) = Slot::<Measurement>::new();
    let options =
        MeasureOptions { publish: target("a"), play: target("a"), source: frames(3000), patience: PATIENCE };
    let measuring = world.add(2, measure(options, report));
    // Every tenth audio or video message, the two configurations among them.
    assert_eq!(world.end(measuring), Err("23 of 231 frames did not come back".to_owned()));
    assert_eq!(slot.take().all.count, 208);
}

#[test]
fn a_server_that_refuses_or_says_nothing_is_named() {
    for (manner, said) in [
        (Manner::Refusing, "publish was refused: NetStream.Publish.BadName taken"),
        (Manner::Silent, "no complete RTMP handshake after 5s"),
    ] {
        let mut world = World::new(manner);
        let (slot, report) = Slot::<Vec<Published>>::new();
        let publisher = world.add(2, publish([(target("a"), frames(1000))], report));
        let error = world.end(publisher).unwrap_err();
        assert!(error.contains(said), "{error}");
        assert_eq!(slot.take()[0].error, Some(error));
    }
}

#[test]
fn one_stream_of_many_may_fail_and_the_others_go_on() {
    let mut world = World::new(Manner::Friendly);
    let (slot, report) = Slot::<Vec<Published>>::new();
    let broken: Source = Box::new([Err("cannot read a.flv".to_owned())].into_iter());
    let nowhere = Target { uri: "rtmp://nowhere/live/b".parse().unwrap(), ..target("b") };
    let streams = [(target("a"), frames(1000)), (nowhere, frames(1000)), (target("c"), broken)];
    let publisher = world.add(2, publish(streams, report));
    let error = world.end(publisher).unwrap_err();
    assert!(error.starts_with("2 of 3 streams failed, the first of them: cannot look up nowhere"), "{error}");
    let streams = slot.take();
    assert_eq!(streams[0].error, None);
    assert_eq!(streams[2].error.as_deref(), Some("cannot read a.flv"));
    assert!(compare(&Frames::new(1000, 200).collect::<Vec<_>>(), world.published()).is_equal());
}

#[test]
fn a_publisher_that_is_stopped_by_its_operator_says_so() {
    let mut world = World::new(Manner::Friendly);
    let (slot, report) = Slot::<Vec<Published>>::new();
    let publisher = world.add(2, publish([(target("a"), frames(60_000))], report));
    world.network.drain(publisher);
    assert_eq!(world.end(publisher), Err("stopped before its end".to_owned()));
    assert!(slot.take()[0].video > 20);
}
