//! RTMP over a blocking socket: servers and players that behave as a test wants, also badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Command, Info};
use rtmfp_media::message::kind;
use rtmfp_rtmp::{Config, Connection, Event, Role, SendOptions};
use rtmfp_service::tools::{Frames, compare};

use super::{Nginx, SOON, now, read_flv, wait_until};

/// One end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    connection: Connection,
    unread: Vec<u8>,
    began: Instant,
}

impl Peer {
    pub(crate) fn new(role: Role, stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
        let mut connection = Connection::new(role, Config::default(), Time::ZERO, 1);
        connection.set_trusted();
        Self { stream, connection, unread: Vec::new(), began: now() }
    }

    /// A client of the server at `url`.
    pub(crate) fn connect(url: &str) -> Self {
        let address = url.strip_prefix("rtmp://").expect("an RTMP address");
        Self::new(Role::Client, TcpStream::connect(address).expect("the server takes connections"))
    }

    fn time(&self) -> Time {
        Time::ZERO + now().duration_since(self.began)
    }

    pub(crate) fn send(&mut self, message: TcMessage) {
        let time = self.time();
        self.connection.send(time, message, &SendOptions::default()).expect("the queue is not full");
        self.flush();
    }

    /// Sends bytes between two messages.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.flush();
        self.stream.write_all(bytes).ok();
    }

    fn flush(&mut self) {
        while self.connection.wants_write() {
            let mut bytes = Vec::new();
            let time = self.time();
            self.connection.fill(time, 1 << 16, &mut bytes);
            if self.stream.write_all(&bytes).is_err() {
                break;
            }
        }
    }

    /// The next message; none when the other end has closed or says nothing for long.
    pub(crate) fn receive(&mut self) -> Option<TcMessage> {
        loop {
            self.flush();
            while let Some(event) = self.connection.poll_event() {
                if let Event::Message(message) = event {
                    return Some(message);
                }
            }
            if self.unread.is_empty() {
                let mut bytes = [0; 1 << 14];
                let count = self.stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
                self.unread.extend_from_slice(&bytes[..count]);
            }
            let time = self.time();
            let rest = self.connection.receive(time, &self.unread).expect("the other end speaks RTMP").len();
            self.unread.drain(..self.unread.len() - rest);
        }
    }

    /// Waits for a command or an answer, and skips everything before it.
    pub(crate) fn wait_command(&mut self, wanted: &str) -> TcMessage {
        loop {
            let message = self.receive().unwrap_or_else(|| panic!("closed before {wanted}"));
            if name(&message).as_deref() == Some(wanted) {
                return message;
            }
        }
    }

    /// Connects and plays a stream.
    pub(crate) fn play(&mut self, app: &str, stream: &str) {
        self.create_stream(app);
        self.send(command::play(stream).message(1));
        self.wait_command("onStatus");
    }

    /// Connects and publishes a stream; the server has agreed.
    pub(crate) fn publish(&mut self, app: &str, stream: &str) {
        self.create_stream(app);
        self.send(command::publish(stream, "live").message(1));
        self.wait_command("onStatus");
    }

    fn create_stream(&mut self, app: &str) {
        self.send(command::connect(|object| _ = object.put("app", app)).message(0));
        self.wait_command("_result");
        self.send(command::create_stream(2.0).message(0));
        self.wait_command("_result");
    }
}

/// Publishers of the streams `live/NAME-NUMBER` that come one after the other, each when the server has agreed with the one
/// before: where they are sent to does not depend on how quick the machine is. They send nothing yet.
pub(crate) fn publishers_in_turn(url: &str, name: &str, count: usize) -> Vec<Peer> {
    let publisher = |number| {
        let mut publisher = Peer::connect(url);
        publisher.publish("live", &format!("{name}-{number}"));
        publisher
    };
    (0..count).map(publisher).collect()
}

/// A second of frames.
pub(crate) fn second_of_frames() -> Vec<TcMessage> {
    Frames::new(1000, 50).collect()
}

/// Has each of them send some frames.
pub(crate) fn send_all(publishers: &mut [Peer], frames: &[TcMessage]) {
    for publisher in publishers {
        for message in frames {
            publisher.send(TcMessage { stream_id: 1, ..message.clone() });
        }
    }
}

/// Has each of them send a second of frames, and waits until all of those are recorded.
pub(crate) fn send_and_find(publishers: &mut [Peer], nginx: &Nginx, name: &str) {
    let sent = second_of_frames();
    send_all(publishers, &sent);
    find_all(publishers.len(), nginx, name, &sent);
}

/// Waits until what each of so many publishers has sent is recorded.
pub(crate) fn find_all(publishers: usize, nginx: &Nginx, name: &str, sent: &[TcMessage]) {
    for number in 0..publishers {
        let recording = nginx.recording(&format!("{name}-{number}"));
        wait_until("nginx has it all", SOON, || {
            compare(sent, &read_flv(&recording)).is_equal().then_some(())
        });
    }
}

fn name(message: &TcMessage) -> Option<String> {
    let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).ok()?;
    Some(command.name.to_owned())
}

/// How a server or a player acknowledges what it receives, beside what is right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acks {
    /// As it should.
    Right,
    /// After each message, a step further than last time, whatever was received.
    Steps(u32),
    /// After each message, much more than was ever sent.
    Beyond,
}

impl Acks {
    /// What to send after the message with this number.
    pub(crate) fn after(self, number: u32) -> Option<[u8; 16]> {
        let count = match self {
            Self::Right => return None,
            Self::Steps(step) => number.wrapping_mul(step),
            Self::Beyond => 0x7000_0000_u32.wrapping_add(number),
        };
        // A message of type 3, in full, on a chunk stream that nothing else uses.
        let mut ack = [0x3c, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0];
        ack[12..].copy_from_slice(&count.to_be_bytes());
        Some(ack)
    }
}

/// A server that takes everything and keeps what is published, and gives players what it was made with.
pub(crate) struct Server {
    address: SocketAddr,
    published: Arc<Mutex<Vec<TcMessage>>>,
}

impl Server {
    pub(crate) fn start(acks: Acks, to_play: Vec<TcMessage>) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), acks, to_play)
    }

    pub(crate) fn start_at(address: SocketAddr, acks: Acks, to_play: Vec<TcMessage>) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let published = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&published);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (keep, to_play) = (Arc::clone(&keep), to_play.clone());
                thread::spawn(move || serve(Peer::new(Role::Server, stream), acks, &to_play, &keep));
            }
        });
        Self { address, published }
    }

    pub(crate) fn url(&self) -> String {
        format!("rtmp://{}", self.address)
    }

    /// What was published, of all streams.
    pub(crate) fn published(&self) -> Vec<TcMessage> {
        self.published.lock().expect("no panic while it is held").clone()
    }
}

fn serve(mut peer: Peer, acks: Acks, to_play: &[TcMessage], published: &Mutex<Vec<TcMessage>>) {
    let mut number = 0;
    while let Some(message) = peer.receive() {
        number += 1;
        if let Some(ack) = acks.after(number) {
            peer.send_raw(&ack);
        }
        if matches!(message.kind, kind::AUDIO | kind::VIDEO) {
            published.lock().expect("no panic while it is held").push(message);
            continue;
        }
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { continue };
        let status = |code| command::on_status(&Info::status(code, "")).message(message.stream_id);
        match command.name {
            "connect" => {
                let info = Info::status("NetConnection.Connect.Success", "");
                peer.send(command::result(command.transaction).value(Value::Null).info(&info).message(0));
            }
            "createStream" => {
                peer.send(command::result(command.transaction).value(Value::Null).value(1.0).message(0));
            }
            "publish" => peer.send(status("NetStream.Publish.Start")),
            "play" => {
                peer.send(status("NetStream.Play.Start"));
                for message in to_play {
                    peer.send(TcMessage { stream_id: 1, ..message.clone() });
                }
            }
            _ => {}
        }
    }
}
