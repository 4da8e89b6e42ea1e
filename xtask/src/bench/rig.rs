//! Server, camera and page as a user would run them, for a bench to watch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::viewers::Viewers;
use crate::progress::Step;
use crate::run::{self, Interrupts, Program};
use crate::system::{self, Purpose};
use crate::test;
use crate::workspace;

/// What every bench streams with, unless it says otherwise.
pub(crate) const BITRATE_KBPS: u32 = 1000;
pub(crate) const SPEED: u8 = 10;
const CAMERA_LOG: &str = "camera-fw.log";
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Builds what the rig runs, and these examples of the camera's.
pub(crate) fn build(examples: &[&str]) -> Result<()> {
    system::prepare(Purpose::Test)?;
    test::install_node_modules()?;
    let step = Step::begin("Build server and camera");
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "signal-srv", "--package", "camera-fw", "--bins"]);
    for example in examples {
        build.args(["--example", example]);
    }
    run::to_the_end(&mut build)?;
    step.done();
    Ok(())
}

/// A folder for what a bench makes, empty.
pub(crate) fn state() -> Result<PathBuf> {
    let state = workspace::target().join("bench/run");
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("cannot clear {}", state.display()))?;
    }
    fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    Ok(state)
}

/// The running programs.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) viewers: Viewers,
    camera: Program,
    camera_log: PathBuf,
    server: Program,
}

impl Rig {
    /// Starts everything, with a code of its own: nobody else is in the room.
    pub(crate) fn start(source: &str) -> Result<Self> {
        let state = state()?;
        let interrupts = Interrupts::listen()?;
        let (server, url) = start_server(&state, &interrupts)?;
        let (camera, link) = start_camera(&state, &url, source, &interrupts)?;
        Ok(Self { viewers: Viewers::launch(&link)?, camera, camera_log: state.join(CAMERA_LOG), server })
    }

    /// The process id of the camera.
    pub(crate) fn camera(&self) -> u32 {
        self.camera.id()
    }

    /// How often the camera has said something like this.
    pub(crate) fn said(&self, text: &str) -> Result<usize> {
        let log = fs::read_to_string(&self.camera_log).context("cannot read the camera's log")?;
        Ok(log.lines().filter(|line| line.contains(text)).count())
    }

    /// Ends everything in order.
    pub(crate) fn stop(self) -> Result<()> {
        self.viewers.close()?;
        self.camera.stop()?;
        self.server.stop()?;
        Ok(())
    }
}

fn start_server(state: &Path, interrupts: &Interrupts) -> Result<(Program, String)> {
    let mut command = Command::new(workspace::target().join("release/signal-srv"));
    command.args(["--tls", "off", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state.join("server"));
    let mut server = Program::start("signal-srv", &command, &state.join("signal-srv.log"), interrupts)?;
    let line = server.wait_for("listening", READY_WITHIN, interrupts)?;
    let url = line.split("url=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let url = url.context("the server does not say where it listens")?.trim_matches('"').to_owned();
    Ok((server, url))
}

fn start_camera(state: &Path, url: &str, source: &str, interrupts: &Interrupts) -> Result<(Program, String)> {
    let program = workspace::target().join("release/camera-fw");
    let command = |subcommand: &str| {
        let mut command = Command::new(&program);
        command.arg(subcommand).args(["--server", &url.replacen("http", "ws", 1)]);
        command.arg("--state-dir").arg(state.join("camera"));
        command
    };
    let mut running = command("run");
    running.args(["--source", source]);
    for (key, value) in [
        ("WIDTH", 720),
        ("HEIGHT", 480),
        ("FPS", 30),
        ("BITRATE_KBPS", BITRATE_KBPS),
        ("SPEED", SPEED.into()),
        ("THREADS", 1),
    ] {
        running.env(format!("CAMERA_FW_{key}"), value.to_string());
    }
    let mut camera = Program::start("camera-fw", &running, &state.join(CAMERA_LOG), interrupts)?;
    camera.wait_for("joined", READY_WITHIN, interrupts)?;
    let link = run::output(command("code").arg("--link")).context("camera-fw does not print its link")?;
    Ok((camera, link.trim().to_owned()))
}
