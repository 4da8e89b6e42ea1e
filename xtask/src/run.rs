//! Child processes that end with us.
//!
//! A long-running [`Program`] lives in a process group of its own, so that Ctrl-C in the terminal reaches
//! only us and we stop everything in order: SIGTERM, five seconds, SIGKILL. Should we die without a
//! chance to do so, the kernel tells it (`setpriv --pdeathsig`, part of util-linux).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::system;

/// How long a program may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How many of a program's last lines are kept to be shown when it fails.
const LINES_KEPT: usize = 400;

/// SIGINT, SIGTERM and SIGHUP as something to ask for, instead of sudden death.
#[derive(Debug)]
pub(crate) struct Interrupts {
    set: SigSet,
    arrivals: SignalFd,
}

impl Interrupts {
    /// From here on these signals wait until [`Interrupts::arrived`] asks. To be called by the main
    /// thread before it makes others: they inherit its mask.
    pub(crate) fn listen() -> Result<Self> {
        let set = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        set.thread_block().context("cannot block signals")?;
        let arrivals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("cannot listen for signals")?;
        Ok(Self { set, arrivals })
    }

    /// Waits at most this long; true as soon as a signal came.
    pub(crate) fn arrived(&self, wait: Duration) -> Result<bool> {
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let mut watched = [PollFd::new(self.arrivals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for signals"),
        }
        Ok(self.arrivals.read_signal().context("cannot read a signal")?.is_some())
    }

    /// Starts a child that has these signals unblocked, as every program expects.
    fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.set.thread_unblock().context("cannot unblock signals")?;
        let child = command.spawn();
        self.set.thread_block().context("cannot block signals")?;
        child.with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // From here on they end us again, and what we start.
        let _ = self.set.thread_unblock();
    }
}

/// A program that runs beside us and whose log we read.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Log {
    lines: Mutex<VecDeque<String>>,
    grown: Condvar,
    file: Mutex<File>,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, output: impl Read) {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            // A full disk must not stop the stream.
            let _ = writeln!(self.file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
            if line.contains("ERROR ") {
                println!("{line}");
            }
            let mut lines = self.lines();
            if lines.len() == LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
            self.grown.notify_all();
        }
    }
}

impl Program {
    /// Starts `command`; what it says goes to the file `log`, errors also to the terminal.
    pub(crate) fn start(name: &'static str, command: &Command, log: &Path, interrupts: &Interrupts) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = ending_with_us(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = interrupts.spawn(&mut command)?;
        let log = Arc::new(Log { lines: Mutex::default(), grown: Condvar::new(), file: Mutex::new(file) });
        let mut readers = Vec::new();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
            child.stderr.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
        ];
        for output in outputs.into_iter().flatten() {
            let log = Arc::clone(&log);
            readers.push(thread::spawn(move || log.take_in(output)));
        }
        Ok(Self { name, child, log, readers })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its log that contains `text`, and gives that line.
    pub(crate) fn wait_for(&mut self, text: &str, within: Duration, interrupts: &Interrupts) -> Result<String> {
        self.wait_until(text, |line| line.contains(text), within, interrupts)
    }

    /// Waits for a line of its log that is as wanted, and gives that line.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        wanted: impl Fn(&str) -> bool,
        within: Duration,
        interrupts: &Interrupts,
    ) -> Result<String> {
        let until = Instant::now() + within;
        loop {
            let found = {
                let lines = self.log.lines();
                let lines = match self.log.grown.wait_timeout(lines, Duration::from_millis(50)) {
                    Ok((lines, _)) => lines,
                    Err(poisoned) => poisoned.into_inner().0,
                };
                lines.iter().find(|line| wanted(line)).cloned()
            };
            if let Some(line) = found {
                return Ok(line);
            }
            if let Some(status) = self.exited()? {
                bail!("{} ended ({status}) before it was ready; its last lines:\n{}", self.name, self.last_lines());
            }
            if interrupts.arrived(Duration::ZERO)? {
                bail!("interrupted");
            }
            if Instant::now() > until {
                bail!(
                    "{} did not log `{what}` within {} s; its last lines:\n{}",
                    self.name,
                    within.as_secs(),
                    self.last_lines()
                );
            }
        }
    }

    /// How it ended, if it did.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("cannot ask after {}", self.name))?;
        if status.is_some() {
            for reader in self.readers.drain(..) {
                // A reader that panicked has no more lines for us.
                let _ = reader.join();
            }
        }
        Ok(status)
    }

    /// Its last lines, indented, to be shown to a person.
    pub(crate) fn last_lines(&self) -> String {
        let lines = self.log.lines();
        let shown: Vec<_> = lines.iter().rev().take(12).map(|line| format!("    {line}")).collect();
        shown.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// SIGTERM, and SIGKILL if that is not enough. Tells how it ended.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("process id out of range")?);
        match kill(pid, Signal::SIGTERM) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot stop {}", self.name)),
        }
        let until = Instant::now() + STOP_WITHIN;
        while Instant::now() < until {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} did not stop within {} s and is killed", self.name, STOP_WITHIN.as_secs());
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // On the way out because of another error, which is the one to report.
        let _ = self.end();
    }
}

/// The same command, but the kernel sends it SIGTERM when we die, where `setpriv` can ask for that.
pub(crate) fn ending_with_us(command: &Command) -> Command {
    let mut wrapped = if system::program("setpriv").is_some() {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program());
        wrapped
    } else {
        Command::new(command.get_program())
    };
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// Runs a command to its end with our own terminal; shows what it runs; an error when it fails.
pub(crate) fn to_the_end(command: &mut Command) -> Result<()> {
    println!("  $ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", program_of(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// The same without showing what runs: its output is what people want to see.
pub(crate) fn to_the_end_silently(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", program_of(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", program_of(command));
    }
    Ok(())
}

/// Runs a command to its end; its standard output is shown and also handed over line by line.
pub(crate) fn to_the_end_reading(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<()> {
    println!("  $ {}", shown(command));
    let mut child = ending_with_us(command)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program_of(command)))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read the output")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            each_line(&line);
        }
    }
    let status = child.wait().context("cannot wait for it")?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// What a command prints, without a trace of it in the terminal; none if it fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// True if a command ends well; what it prints is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn program_of(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned()
}

fn shown(command: &Command) -> String {
    let mut words = vec![program_of(command)];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_types_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(shown(&command), "cargo test --workspace");
    }

    #[test]
    fn wrapping_keeps_arguments_environment_and_folder() {
        let mut command = Command::new("env");
        command.args(["-u", "X"]).env("A", "b").env_remove("C").current_dir("/");
        let wrapped = ending_with_us(&command);
        let arguments: Vec<_> = wrapped.get_args().collect();
        assert!(arguments.ends_with(&["-u".as_ref(), "X".as_ref()]));
        assert_eq!(wrapped.get_envs().count(), 2);
        assert_eq!(wrapped.get_current_dir(), Some(Path::new("/")));
    }

    #[test]
    fn what_fails_is_an_error_and_what_it_printed_is_read() {
        let mut lines = Vec::new();
        let outcome = to_the_end_reading(Command::new("sh").args(["-c", "echo one; echo two; exit 3"]), |line| {
            lines.push(line.to_owned());
        });
        assert!(outcome.is_err());
        assert_eq!(lines, ["one", "two"]);
    }
}
