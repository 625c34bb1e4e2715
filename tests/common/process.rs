//! Programs that run beside a test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{SOON, now, wait_until};

/// A running program. It is killed when the value goes away.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// What a program says on standard error and standard output.
#[derive(Default)]
struct Output {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    /// Lines as they come.
    lines: Vec<String>,
    /// Pipes that have not ended.
    open: usize,
}

impl Output {
    /// It is good even if a test has panicked beside it.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(self: Arc<Self>, from: impl Read + Send + 'static) {
        self.said().open += 1;
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                self.said().lines.push(line);
                self.changed.notify_all();
            }
            self.said().open -= 1;
            self.changed.notify_all();
        });
    }

    /// Waits until `done` finds what it is after. None when it does not in time.
    fn wait<T>(&self, limit: Duration, mut done: impl FnMut(&Said) -> Option<T>) -> Option<T> {
        let deadline = now() + limit;
        let mut said = self.said();
        loop {
            if let Some(found) = done(&said) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            said = self.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_is(command)
    }

    /// The same, of a command that says itself where its output goes. What goes to a pipe arrives here.
    pub(crate) fn start_as_is(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Output::default());
        if let Some(stdout) = child.stdout.take() {
            Arc::clone(&output).collect(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            Arc::clone(&output).collect(stderr);
        }
        Self { name, child, output }
    }

    /// Waits for a line with this text, and returns it.
    ///
    /// # Panics
    /// When none comes in time.
    pub(crate) fn wait_line(&self, text: &str) -> String {
        let line = |said: &Said| said.lines.iter().find(|line| line.contains(text)).cloned();
        let found = self.output.wait(SOON, line);
        found.unwrap_or_else(|| {
            panic!("{} does not say {text:?} but {:#?}", self.name, self.output.said().lines)
        })
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.output.said().lines.join("\n")
    }

    /// What a relay or a redirector tells of itself at SIGUSR1: all of it, an empty line is its end.
    pub(crate) fn report(&self) -> String {
        let begin = self.output.said().lines.len();
        self.signal(Signal::SIGUSR1);
        let whole = |said: &Said| {
            let lines = &said.lines[begin..];
            let end = lines.iter().position(String::is_empty)?;
            Some(lines[..end].join("\n"))
        };
        let found = self.output.wait(SOON, whole);
        found.unwrap_or_else(|| panic!("{} tells nothing of itself but {}", self.name, self.said()))
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("the process is there");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end, and until all that it said has arrived here.
    ///
    /// # Panics
    /// When it does not end in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        let what = format!("{} ends", self.name);
        let status = wait_until(&what, limit, || child.try_wait().expect("it is our child"));
        // The last lines may still be in the pipes.
        let read = self.output.wait(SOON, |said| (said.open == 0).then_some(()));
        assert!(read.is_some(), "{} has ended, but somebody keeps its output open", self.name);
        status
    }

    /// Waits for its end, which must be a good one.
    ///
    /// # Panics
    /// When it is not, or does not come in time.
    pub(crate) fn succeed(&mut self, limit: Duration) {
        let status = self.wait(limit);
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.said());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} said:\n{}", self.name, self.said());
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A relay that listens on one address.
pub(crate) struct Relay {
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) url: String,
}

impl Relay {
    /// Starts a relay and waits until it listens. `listen` is a protocol; any free port of the loopback is taken. It
    /// leaves no frame out for being late: the machine may be busy.
    pub(crate) fn start(listen: &str, to: &str, options: &[&str]) -> Self {
        let patient = ["-V", "inf", "-A", "inf", "-F", "inf", "-e", "inf"];
        Self::start_plain(listen, to, &[&patient, options].concat())
    }

    /// The same, with the default lifetimes of frames.
    pub(crate) fn start_plain(listen: &str, to: &str, options: &[&str]) -> Self {
        let listen = format!("{listen}://127.0.0.1:0");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-relay"));
        command.args(["--listen", &listen, "--to", to]).args(options).env_remove("RUST_LOG");
        let process = Process::start(command);
        let line = process.wait_line("listening on ");
        let url = line.strip_prefix("listening on ").expect("a line of its own").to_owned();
        Self { process, url }
    }
}
