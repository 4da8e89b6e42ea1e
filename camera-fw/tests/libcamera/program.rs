//! The program itself with a camera of libcamera.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SOON: Duration = Duration::from_secs(60);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camera-fw"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn end(&mut self, signal: Signal) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
        (self.0.wait().unwrap(), asked.elapsed())
    }
}

#[test]
fn the_program_streams_from_libcamera_and_stops_in_order() {
    let _alone = super::alone();
    let state = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["run", "--source", "libcamera", "--server", "ws://127.0.0.1:9", "--state-dir"]).arg(state.path());
    let mut running = Running(command.spawn().unwrap());
    let (said, lines) = channel();
    let output = running.0.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(said.send(line)));
    });
    let begun = Instant::now();
    let mut log = String::new();
    while !log.contains("camera started") {
        log +=
            &lines.recv_timeout(SOON.saturating_sub(begun.elapsed())).unwrap_or_else(|_| panic!("it only says {log}"));
        log.push('\n');
    }
    assert!(log.contains("libcamera:Bars") && log.contains("720x480"), "{log}");
    let (status, took) = running.end(Signal::SIGTERM);
    reader.join().unwrap();
    log.extend(lines);
    assert!(status.success(), "{status}: {log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[test]
fn the_program_lists_the_cameras_of_libcamera() {
    let _alone = super::alone();
    let output = program().arg("devices").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", output.status);
    for expected in ["libcamera:Bars", "Colour bars", "libcamera:Lines", "NV12"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn a_camera_that_is_not_there_is_awaited_and_said() {
    let _alone = super::alone();
    let state = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .args(["run", "--source", "libcamera:Left", "--server", "ws://127.0.0.1:9", "--state-dir"])
        .arg(state.path());
    let mut running = Running(command.spawn().unwrap());
    let output = BufReader::new(running.0.stderr.take().unwrap());
    let found = output.lines().map_while(Result::ok).any(|line| line.contains("there is no camera libcamera:Left"));
    assert!(found);
    assert!(running.end(Signal::SIGTERM).0.success());
}
