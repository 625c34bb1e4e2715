//! nginx with its RTMP module, as a server that records.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use super::{Process, SOON, Scratch, command, wait_until};

/// A server of its own, unprivileged, in a folder of its own.
pub(crate) struct Nginx {
    process: Process,
    folder: Scratch,
    port: u16,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start() {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    /// None when somebody else took the port.
    fn try_start() -> Option<Self> {
        let nginx = command("nginx", "nginx");
        let module = module(&nginx);
        let folder = Scratch::new();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("a bound socket has an address").port();
        drop(free);
        let root = folder.path("");
        let root = root.display();
        let is_root = nix::unistd::geteuid().is_root();
        let user = if is_root { "user root;" } else { "" };
        fs::create_dir_all(folder.path("recorded")).expect("a folder for recordings");
        let config = format!(
            "load_module {module};
             {user}
             daemon off;
             master_process off;
             pid {root}nginx.pid;
             error_log {root}error.log warn;
             events {{ worker_connections 1024; }}
             rtmp {{
                 access_log off;
                 server {{
                     listen 127.0.0.1:{port};
                     chunk_size 4096;
                     application live {{
                         live on;
                         record all;
                         record_path {root}recorded;
                         record_suffix .flv;
                     }}
                 }}
             }}
            "
        );
        fs::write(folder.path("nginx.conf"), config).expect("nginx's configuration");
        let mut start = Command::new(nginx.get_program());
        start.arg("-p").arg(folder.path("")).arg("-c").arg(folder.path("nginx.conf"));
        start.arg("-e").arg(folder.path("error.log"));
        let mut process = Process::start(start);
        let connects = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let is_up = wait_until("nginx starts", SOON, || {
            if !process.is_running() { Some(false) } else { connects().then_some(true) }
        });
        is_up.then_some(Self { process, folder, port })
    }

    /// Where it can be reached.
    pub(crate) fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}", self.port)
    }

    /// What it recorded of a stream.
    pub(crate) fn recording(&self, stream: &str) -> PathBuf {
        self.folder.path("recorded").join(format!("{stream}.flv"))
    }
}

/// Where the RTMP module is.
fn module(nginx: &Command) -> String {
    let version = Command::new(nginx.get_program()).arg("-V").output().expect("nginx runs");
    let version = String::from_utf8_lossy(&version.stderr).into_owned();
    let folder = version.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    let module = format!("{}/ngx_rtmp_module.so", folder.unwrap_or("/usr/lib/nginx/modules"));
    assert!(
        fs::exists(&module).is_ok_and(|exists| exists),
        "{module} is missing: install the package libnginx-mod-rtmp, or run scripts/test, which does"
    );
    module
}
