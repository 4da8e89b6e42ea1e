//! `cargo xtask demo`: from a fresh clone to moving pictures with one command.
//!
//! ```text
//! build ▶ signal-srv ▶ `listening` ▶ camera-fw ▶ `joined` ▶ link, QR code ▶ Ctrl-C ▶ stop camera ▶ stop server
//! ```
//! What must outlive a run (the code, the certificate of `--lan`) is kept below `target/demo`.

use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::progress::{Step, strong};
use crate::run::{self, Interrupts, Program};
use crate::system::{self, Purpose};
use crate::workspace;

const PORT: u16 = 8192;
const PORTS_TRIED: u16 = 20;
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A camera if there is one, now or once one is plugged in, else the pattern.
const BEST: &str = "auto";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Serve the local network over TLS, for a phone
    #[arg(long)]
    lan: bool,
    /// `pattern`, a file in YUV4MPEG2 format, a V4L2 device, or a camera of libcamera; without it the best camera that is
    /// attached, else the pattern
    #[arg(long, value_name = "pattern|FILE.y4m|/dev/videoN|libcamera")]
    source: Option<String>,
}

/// Where the camera finds the server, and what both need for it.
struct Installation {
    state: PathBuf,
    programs: PathBuf,
    lan: bool,
    /// The address that people and the camera use.
    host: IpAddr,
}

impl Installation {
    fn server(&self, port: u16) -> Command {
        let listen = if self.lan { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let mut command = Command::new(self.programs.join("signal-srv"));
        command.args(["--tls", if self.lan { "self-signed" } else { "off" }]);
        command.args(["--listen", &format!("{listen}:{port}")]);
        command.arg("--state-dir").arg(self.server_state());
        command
    }

    fn camera(&self, subcommand: &str, port: u16) -> Command {
        let mut command = Command::new(self.programs.join("camera-fw"));
        command.arg(subcommand).arg("--state-dir").arg(self.state.join("camera"));
        let scheme = if self.lan { "wss" } else { "ws" };
        command.args(["--server", &format!("{scheme}://{}:{port}", self.host)]);
        if self.lan {
            command.arg("--ca").arg(self.server_state().join("cert.pem"));
        }
        command
    }

    fn server_state(&self) -> PathBuf {
        self.state.join("server")
    }

    fn log(&self, program: &str) -> PathBuf {
        self.state.join(format!("{program}.log"))
    }
}

/// Runs until Ctrl-C, or until one of the programs dies.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let source = arguments.source.as_deref().map(absolute_source).transpose()?;
    system::prepare(Purpose::Build)?;
    build()?;

    let state = workspace::target().join("demo");
    let host = if arguments.lan { lan_address()? } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let installation = Installation { programs: workspace::target().join("release"), lan: arguments.lan, host, state };
    fs::create_dir_all(installation.server_state())
        .with_context(|| format!("cannot make {}", installation.server_state().display()))?;

    let interrupts = Interrupts::listen()?;
    let step = Step::begin("Start the server");
    let port = free_port(arguments.lan)?;
    let command = installation.server(port);
    let mut server = Program::start("signal-srv", &command, &installation.log("signal-srv"), &interrupts)?;
    server.wait_for("listening", READY_WITHIN, &interrupts)?;
    step.done();

    let mut camera = start_camera(&installation, port, source.as_deref().unwrap_or(BEST), &interrupts)?;

    println!();
    run::to_the_end_silently(&mut installation.camera("code", port))?;
    if arguments.lan {
        println!("{}", certificate_advice(host, port));
    }
    println!(
        "Logs: {} and {}\n{}",
        installation.log("signal-srv").display(),
        installation.log("camera-fw").display(),
        strong("Streaming. Ctrl-C stops.")
    );
    let outcome = stream(&mut camera, &mut server, &interrupts);

    println!("\nStopping");
    camera.stop()?;
    server.stop()?;
    outcome
}

fn build() -> Result<()> {
    let step = Step::begin("Build server and camera (the first time takes some minutes)");
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "signal-srv", "--package", "camera-fw"]);
    if system::has_libcamera() {
        build.args(["--features", "camera-fw/libcamera"]);
    }
    run::to_the_end(&mut build)?;
    step.done();
    Ok(())
}

fn start_camera(installation: &Installation, port: u16, source: &str, interrupts: &Interrupts) -> Result<Program> {
    let step = Step::begin(format!("Start the camera: {source}"));
    let mut command = installation.camera("run", port);
    command.args(["--source", source]).env("CAMERA_FW_NO_CAMERA", "pattern");
    let mut camera = Program::start("camera-fw", &command, &installation.log("camera-fw"), interrupts)?;
    camera.wait_for("joined", READY_WITHIN, interrupts)?;
    step.done();
    let log = fs::read_to_string(installation.log("camera-fw")).unwrap_or_default();
    match opened_source(&log) {
        Some(opened) => println!("Streaming from {opened}"),
        None => println!("There is no picture yet: {}", camera.last_lines().trim()),
    }
    Ok(camera)
}

fn stream(camera: &mut Program, server: &mut Program, interrupts: &Interrupts) -> Result<ExitCode> {
    loop {
        if interrupts.arrived(Duration::from_millis(300))? {
            return Ok(ExitCode::SUCCESS);
        }
        for (name, program) in [("camera-fw", &mut *camera), ("signal-srv", &mut *server)] {
            if let Some(status) = program.exited()? {
                println!("\n{name} ended ({status}); its last lines:\n{}", program.last_lines());
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}

/// The camera runs in another folder than the person who typed the path.
fn absolute_source(source: &str) -> Result<String> {
    if matches!(source, BEST | "pattern" | "libcamera") || source.starts_with("libcamera:") {
        return Ok(source.to_owned());
    }
    let path = Path::new(source);
    ensure!(path.exists(), "--source {source}: there is no such file or device");
    let here = env::current_dir().context("cannot tell the current folder")?;
    Ok(here.join(path).to_str().context("--source: the path is not UTF-8")?.to_owned())
}

/// The source that the camera's log says it has opened.
fn opened_source(log: &str) -> Option<&str> {
    let line = log.lines().rev().find(|line| line.contains("source opened"))?;
    line.split_once(" source=")?.1.split_whitespace().next()
}

fn free_port(lan: bool) -> Result<u16> {
    let address = if lan { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    for port in PORT..=PORT + PORTS_TRIED {
        match TcpListener::bind(SocketAddr::from((address, port))) {
            Ok(_) => return Ok(port),
            Err(error) => println!("Port {port} cannot be used ({error}), so the next one is tried"),
        }
    }
    bail!("no port from {PORT} to {} is free; stop what uses them and try again", PORT + PORTS_TRIED)
}

/// The address under which other machines reach this one.
fn lan_address() -> Result<IpAddr> {
    // Nothing is sent: connecting a datagram socket only asks the routing table which address would be ours.
    let routed = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()));
    if let Ok(address) = routed
        && !address.ip().is_loopback()
        && !address.ip().is_unspecified()
    {
        return Ok(address.ip());
    }
    // Without a default route: the first interface that has an address.
    nix::ifaddrs::getifaddrs()
        .context("cannot list the network interfaces")?
        .filter_map(|interface| interface.address.and_then(|address| address.as_sockaddr_in().map(|ip| ip.ip())))
        .find(|address| !address.is_loopback() && !address.is_link_local())
        .map(IpAddr::V4)
        .context("this machine has no address in a network; without --lan the demo needs none")
}

fn certificate_advice(host: IpAddr, port: u16) -> String {
    format!(
        "The browser will warn before it shows the page: the certificate of https://{host}:{port} was made by this\n\
         server and no authority vouches for it. On your own network, and if you have just started this demo, that is\n\
         what you expect to see. To go on:\n\
         \x20 Chrome, Edge     «Your connection is not private»          ▶ Advanced ▶ Proceed to {host} (unsafe)\n\
         \x20 Firefox          «Warning: Potential Security Risk Ahead»  ▶ Advanced… ▶ Accept the Risk and Continue\n\
         \x20 Safari           «This Connection Is Not Private»          ▶ Show Details ▶ visit this website\n\
         The picture itself goes from camera to browser, encrypted by WebRTC, in any case.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_read_from_the_log() {
        let log = "INFO camera_fw: starting\nINFO pipeline: source opened source=/dev/video2 size=720x480 format=YUYV\nINFO joined\n";
        assert_eq!(opened_source(log), Some("/dev/video2"));
        assert_eq!(opened_source("INFO joined\n"), None);
    }

    #[test]
    fn a_relative_file_becomes_absolute_and_a_missing_one_is_an_error() {
        assert_eq!(absolute_source("pattern").expect("the pattern is always there"), "pattern");
        let file = absolute_source("Cargo.toml").expect("tests run in the folder of the crate");
        assert!(Path::new(&file).is_absolute());
        assert!(absolute_source("no-such.y4m").is_err());
    }

    #[test]
    fn the_warning_names_the_address_and_every_button() {
        let text = certificate_advice(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7)), 8192);
        assert!(text.contains("https://192.168.1.7:8192") && text.contains("Accept the Risk and Continue"));
    }
}
