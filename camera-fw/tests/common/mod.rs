//! A server to meet at, the camera as a process, and a viewer of its own kind.

#![allow(unreachable_pub, reason = "shared by the test files")]
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod evil_server;
pub mod relay;
pub mod room;
pub mod scene;
pub mod viewer;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_proto::seal::Code;
use signal_srv::{Config, Server};

/// Long enough for a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub async fn server() -> Server {
    Server::spawn(Config::default()).await.unwrap()
}

pub fn websocket_url(server: &Server) -> String {
    server.url().replacen("http", "ws", 1)
}

pub async fn stop(server: Server) {
    server.shutdown();
    tokio::time::timeout(PATIENCE, server.join()).await.unwrap().unwrap();
}

/// The program, ready for arguments, with nothing of the machine's own settings.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camera-fw"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAMERA_FW_")) {
        command.env_remove(name);
    }
    command.env_remove("STATE_DIRECTORY").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn output(arguments: &[&str], state_dir: &Path) -> Output {
    program().args(arguments).arg("--state-dir").arg(state_dir).output().unwrap()
}

/// The code of the camera that has this state directory.
pub fn code(state_dir: &Path) -> Code {
    let output = output(&["code", "--hex"], state_dir);
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// The camera as a running process, which shows the pattern unless it is told otherwise; killed when dropped.
pub struct Camera {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Camera {
    pub fn start(arguments: &[&str], state_dir: &Path) -> Self {
        let mut command = program();
        command.env("CAMERA_FW_SOURCE", "pattern");
        command.args(arguments).arg("--state-dir").arg(state_dir).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line of the log that has all these words, and returns it.
    pub fn wait_for(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {words:?} in:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// What it has logged until now.
    pub fn log(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// How many UDP sockets it has: none, unless it has a peer connection.
    pub fn udp_sockets(&self) -> usize {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        // Column 10 of both tables is the inode (proc_net_udp(5)).
        let tables = ["net/udp", "net/udp6"].map(|table| fs::read_to_string(proc.join(table)).unwrap_or_default());
        let inodes = tables.iter().flat_map(|table| table.lines().skip(1));
        let udp: HashSet<String> =
            inodes.filter_map(|line| Some(format!("socket:[{}]", line.split_whitespace().nth(9)?))).collect();
        let open = fs::read_dir(proc.join("fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        open.filter(|target| udp.contains(&*target.to_string_lossy())).count()
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Asks it to stop; its exit status, the time it took, and its whole log.
    pub fn stop(mut self) -> (ExitStatus, Duration, Vec<String>) {
        let began = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().unwrap();
        let took = began.elapsed();
        self.seen.extend(self.lines.iter());
        (status, took, std::mem::take(&mut self.seen))
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
