//! A Redis of the test's own, nodes that share it, and a way between them that can be cut.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};
use signal_srv::config::Cluster;
use signal_srv::{Config, Limits, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Client, PATIENCE, within};

/// Long enough for a busy machine, short enough for a test of what comes after.
pub const LEASE: Duration = Duration::from_secs(4);
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// The program itself, on a socket in a folder of its own.
#[derive(Debug)]
pub struct Redis {
    dir: TempDir,
    options: Vec<String>,
    child: Child,
    log: Receiver<String>,
}

/// Debian's `redis-tools` has the server, too: every program of Redis is that one under another name.
fn redis_server() -> Command {
    let path = std::env::var_os("PATH").unwrap();
    let find = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if let Some(server) = ["redis-server", "valkey-server"].iter().find_map(|name| find(name)) {
        return Command::new(server);
    }
    let [redis, valkey] = ["redis-check-rdb", "valkey-check-rdb"].map(find);
    let mut command =
        Command::new(redis.or(valkey).expect("there is no Redis: install redis-tools (cargo xtask test does)"));
    command.arg0("redis-server");
    command
}

impl Redis {
    /// One that keeps nothing.
    pub fn start() -> Self {
        Self::start_with(&["--appendonly", "no"])
    }

    /// One that keeps everything.
    pub fn start_with_memory() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    pub fn start_with(options: &[&str]) -> Self {
        Self::try_start_with(options).unwrap_or_else(|log| panic!("Redis does not start:\n{log}"))
    }

    /// What it said, if it does not start.
    pub fn try_start_with(options: &[&str]) -> Result<Self, String> {
        let dir = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let (child, log) = Self::spawn(dir.path(), &options);
        let redis = Self { dir, options, child, log };
        redis.listening()?;
        Ok(redis)
    }

    fn spawn(dir: &Path, options: &[String]) -> (Child, Receiver<String>) {
        let mut command = redis_server();
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(dir.join("redis.sock")).arg("--dir").arg(dir);
        command.args(options).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        (child, log)
    }

    fn listening(&self) -> Result<(), String> {
        let mut seen = String::new();
        // The last thing that it says before it takes connections.
        while !seen.to_lowercase().contains("ready to accept connections") {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else { return Err(seen) };
            seen.push_str(&line);
            seen.push('\n');
        }
        Ok(())
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        url(&self.socket())
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // A socket without anybody behind it looks the same to whoever connects.
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it again, with what it has kept.
    pub fn restart(&mut self) {
        (self.child, self.log) = Self::spawn(self.dir.path(), &self.options);
        self.listening().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// What it answers to this command.
    pub fn ask(&self, command: &[&str]) -> redis::Value {
        self.ask_bytes(&command.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
    }

    /// The same; an error is no value.
    pub fn ask_bytes(&self, command: &[&[u8]]) -> redis::Value {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        let mut call = redis::Cmd::new();
        for part in command {
            call.arg(*part);
        }
        call.query(&mut connection).unwrap_or(redis::Value::Nil)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn url(socket: &Path) -> String {
    format!("redis+unix://{}", socket.display())
}

pub fn config(url: &str) -> Config {
    let limits = Limits { cluster_lease: LEASE, cluster_timeout: TIMEOUT, ..super::unhurried() };
    let cluster = Some(Cluster { address: url.parse().unwrap(), authority: None });
    Config { limits, cluster, ..Config::default() }
}

/// A node that is a part of the cluster.
pub async fn node(url: &str) -> Server {
    let server = Server::spawn(config(url)).await.unwrap();
    until_ready(&server, true).await;
    server
}

pub async fn nodes<const N: usize>(url: &str) -> [Server; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(node(url).await);
    }
    nodes.try_into().unwrap()
}

pub async fn until_ready(server: &Server, ready: bool) {
    until_ready_at(&server.address().to_string(), ready).await;
}

pub async fn until_ready_at(address: &str, ready: bool) {
    within(async {
        while get(address, "/readyz").await.starts_with("HTTP/1.1 200") != ready {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The answer to a request, as it comes.
pub async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// What is sent to join a role room.
pub fn as_role(room: &str, role: &str) -> Value {
    json!({"room": room, "role": role})
}

/// Tries to join, and gives what the server answers.
pub async fn try_join(server: &Server, data: Value) -> (Client, Value) {
    let mut client = Client::connect(server).await;
    client.send(&json!({"type": "JOIN_OR_CREATE", "data": data})).await;
    let answer = client.next().await;
    (client, answer)
}

/// A join is refused with this code.
pub async fn refused(server: &Server, data: Value, code: &str, close: u16) {
    let mut client = Client::connect(server).await;
    client.send(&json!({"type": "JOIN_OR_CREATE", "data": data})).await;
    client.expect_refusal(code, close).await;
}

/// The way of one node to Redis.
#[derive(Debug)]
pub struct Gate {
    dir: TempDir,
    state: Arc<watch::Sender<Way>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Every connection breaks, every new one as well.
    Cut,
    /// Nothing gets through, and nobody is told.
    Silent,
}

impl Gate {
    pub fn to(redis: &Redis) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("gate.sock")).unwrap();
        let state = Arc::new(watch::Sender::new(Way::Open));
        let (target, ways) = (redis.socket(), Arc::clone(&state));
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut way) = (target.clone(), ways.subscribe());
                tokio::spawn(async move {
                    if *way.borrow_and_update() == Way::Cut {
                        return;
                    }
                    let Ok(mut far) = UnixStream::connect(target).await else { return };
                    loop {
                        let now = *way.borrow_and_update();
                        let passing = async {
                            match now {
                                Way::Open => drop(copy_bidirectional(&mut near, &mut far).await),
                                Way::Cut => {}
                                Way::Silent => std::future::pending().await,
                            }
                        };
                        tokio::select! {
                            () = passing => return,
                            changed = way.changed() => if changed.is_err() { return },
                        }
                    }
                });
            }
        });
        Self { dir, state, accepting }
    }

    pub fn url(&self) -> String {
        url(&self.dir.path().join("gate.sock"))
    }

    pub fn set(&self, way: Way) {
        self.state.send_replace(way);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A file beside Redis.
pub fn write(path: &Path, content: &str) {
    std::fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
}
