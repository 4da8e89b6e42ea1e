//! The server as a process of its own: what it is given, what it says, what it uses.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::client::{NAME, PATIENCE};

/// What the server reads.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
}

impl Files {
    /// An authority, and a first certificate of it, in `folder`.
    ///
    /// # Errors
    /// If they cannot be made or written.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().context("no key")?;
        let root = params.self_signed(&key).context("no authority")?;
        let files = Self { folder: folder.to_owned(), authority: Issuer::new(params, key) };
        write(&files.roots(), &root.pem())?;
        files.renew()?;
        Ok(files)
    }

    /// Whom clients trust.
    pub fn roots(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Where the server's log goes.
    pub fn log(&self) -> PathBuf {
        self.folder.join("signal-srv.log")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("signal-srv.toml")
    }

    /// Another certificate in the place of the one before.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn renew(&self) -> Result<()> {
        let key = KeyPair::generate().context("no key")?;
        let params = CertificateParams::new(vec![NAME.to_owned()]).context("no certificate")?;
        let certificate = params.signed_by(&key, &self.authority).context("no certificate")?;
        write(&self.folder.join("key.pem"), &key.serialize_pem())?;
        write(&self.folder.join("cert.pem"), &certificate.pem())
    }

    /// The certificate that is there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn certificate(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_file(self.folder.join("cert.pem")).context("cannot read the certificate")
    }

    /// What is no certificate in the place of the one before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn spoil(&self) -> Result<()> {
        write(&self.folder.join("cert.pem"), "-----BEGIN CERTIFICATE-----\nnonsense\n")
    }

    /// The configuration: what the soak has to know, and then these lines.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, more: &str) -> Result<()> {
        let (certificate, key) = (self.folder.join("cert.pem"), self.folder.join("key.pem"));
        let text = format!(
            "listen = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\ntls = \"files\"\ncert = {certificate:?}\nkey = {key:?}\n{more}"
        );
        write(&self.config(), &text)
    }
}

/// Whole or not at all: the server may read it at any time.
fn write(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).with_context(|| format!("cannot write {path:?}"))
}

/// What the log has said.
#[derive(Debug, Default)]
struct Said {
    url: Option<String>,
    metrics: Option<String>,
    /// Lines that must not be there.
    wrong: Vec<String>,
    last: Vec<String>,
    ended: bool,
}

/// The running program.
#[derive(Debug)]
pub struct Server {
    child: Mutex<Child>,
    id: u32,
    said: Arc<Mutex<Said>>,
    grown: watch::Receiver<()>,
    /// Where it listens.
    pub address: SocketAddr,
    metrics: SocketAddr,
}

impl Server {
    /// Starts `program` and waits until it listens. A line of the log with ` ERROR ` in it that contains none of `expected`
    /// is wrong.
    ///
    /// # Errors
    /// If it does not listen in time.
    pub async fn start(program: &Path, files: &Files, expected: &'static [&'static str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--config").arg(files.config()).args(["--log", "info,signal_srv::connection=warn"]).env_clear();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stderr.take().context("a pipe was asked for")?;
        let mut file = File::create(files.log()).context("cannot write the log")?;
        let said = Arc::new(Mutex::new(Said::default()));
        let (grow, mut grown) = watch::channel(());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A full disk must not stop the server.
                let _ = writeln!(file, "{line}");
                heard.lock().unwrap_or_else(PoisonError::into_inner).take_in(line, expected);
                let _ = grow.send(());
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            let _ = grow.send(());
        });
        let id = child.id();
        let mut server = Self {
            child: Mutex::new(child),
            id,
            said,
            grown: grown.clone(),
            address: ([0; 4], 0).into(),
            metrics: ([0; 4], 0).into(),
        };
        let listening = async {
            loop {
                if let (Some(url), Some(metrics)) = server.urls() {
                    return Ok((url, metrics));
                }
                ensure!(!server.said().ended, "the server ended:\n{}", server.last_lines());
                grown.changed().await.context("the log is gone")?;
            }
        };
        let (url, metrics) = timeout(PATIENCE, listening).await.context("the server does not listen")??;
        server.address = url.strip_prefix("https://").context("no TLS")?.parse().context("no address")?;
        let metrics = metrics.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
        server.metrics = metrics.context("no metrics")?.parse().context("no address")?;
        Ok(server)
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn urls(&self) -> (Option<String>, Option<String>) {
        let said = self.said();
        (said.url.clone(), said.metrics.clone())
    }

    /// The last lines of its log.
    pub fn last_lines(&self) -> String {
        self.said().last.join("\n")
    }

    /// That the log has nothing in it that must not be there, and the process is there.
    ///
    /// # Errors
    /// If not; the line is named.
    pub fn check(&self) -> Result<()> {
        if let Some(status) = self.child().try_wait().context("cannot ask after the server")? {
            bail!("the server ended: {status}\n{}", self.last_lines());
        }
        self.check_log()
    }

    fn check_log(&self) -> Result<()> {
        let said = self.said();
        ensure!(said.wrong.is_empty(), "the server's log says:\n{}", said.wrong.join("\n"));
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is not there any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id).context("process id out of range")?);
        kill(pid, signal).with_context(|| format!("cannot send {signal}"))
    }

    /// What it counts.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn metrics(&self) -> Result<Metrics> {
        let ask = async {
            let mut stream = TcpStream::connect(self.metrics).await?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, ask).await.context("no metrics in time")?.context("no metrics")?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "no metrics: {answer}");
        Ok(Metrics::read(&answer))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).context("the server is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is a number")?;
        Ok(kibibytes * 1024)
    }

    /// Open files, sockets among them.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.id)).context("the server is gone")?.count())
    }

    /// CPU time so far, user and system.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id)).context("the server is gone")?;
        // Fields 14 and 15 of proc_pid_stat(5); the name in field 2 may hold anything.
        let (_, fields) = stat.rsplit_once(") ").context("not the format of proc_pid_stat(5)")?;
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let rate = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Ok(Duration::from_secs_f64(ticks as f64 / rate as f64))
    }

    /// SIGTERM; how it ended, and how long that took.
    ///
    /// # Errors
    /// If it does not end in time, or its log has something in it that must not be there.
    pub async fn stop(self) -> Result<(ExitStatus, Duration)> {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM)?;
        let mut grown = self.grown.clone();
        let ended = async {
            loop {
                if let Some(status) = self.child().try_wait().context("cannot ask after the server")? {
                    return Ok::<_, anyhow::Error>(status);
                }
                // It says its last, or it ends without: nothing tells of that but asking.
                let _ = timeout(Duration::from_millis(20), grown.changed()).await;
            }
        };
        let status = timeout(PATIENCE, ended).await.context("the server does not stop")??;
        let took = begun.elapsed();
        // The log's last lines may still be in the pipe.
        let until = Instant::now() + PATIENCE;
        while !self.said().ended && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
        self.check_log()?;
        Ok((status, took))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already unless something else went wrong.
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Said {
    /// How many of the last lines are kept.
    const KEPT: usize = 30;

    fn take_in(&mut self, line: String, expected: &[&str]) {
        let after = |text: &str| Some(line.split_once(text)?.1.split_whitespace().next()?.to_owned());
        if self.url.is_none() {
            self.url = after("listening url=");
            self.metrics = self.metrics.take().or_else(|| after("metrics url="));
        }
        let is_error = line.contains(" ERROR ") && !expected.iter().any(|text| line.contains(text));
        if is_error || line.contains("panicked") {
            self.wrong.push(line.clone());
        }
        if self.last.len() == Self::KEPT {
            self.last.remove(0);
        }
        self.last.push(line);
    }
}

/// What the server counts, by name and labels, as in `leaves_total` or `joins_total{kind="pair"}`.
#[derive(Debug, Clone, Default)]
pub struct Metrics(HashMap<String, i64>);

impl Metrics {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.strip_prefix("signal_srv_")?.rsplit_once(' '));
        Self(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of all with this name, whatever their labels.
    pub fn sum(&self, name: &str) -> i64 {
        let is_meant = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| is_meant(key)).map(|(_, value)| value).sum()
    }

    /// The refusals that there were, by reason.
    pub fn refusals(&self) -> Vec<(String, i64)> {
        let reason = |key: &str| Some(key.strip_prefix("refusals_total{reason=\"")?.strip_suffix("\"}")?.to_owned());
        let mut all: Vec<_> = self.0.iter().filter_map(|(key, value)| Some((reason(key)?, *value))).collect();
        all.retain(|(_, value)| *value > 0);
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_with_and_without_labels() {
        let metrics = Metrics::read(
            "HTTP/1.1 200 OK\r\n\r\n# TYPE signal_srv_rooms gauge\nsignal_srv_rooms 3\nsignal_srv_joins_total{kind=\"pair\"} 2\n\
             signal_srv_joins_total{kind=\"viewer\"} 5\nsignal_srv_refusals_total{reason=\"ROOM_FULL\"} 1\n\
             signal_srv_refusals_total{reason=\"tls\"} 0\n# EOF\n",
        );
        assert_eq!((metrics.sum("rooms"), metrics.sum("joins_total"), metrics.sum("joins")), (3, 7, 0));
        assert_eq!(metrics.refusals(), [("ROOM_FULL".to_owned(), 1)]);
    }

    #[test]
    fn panics_and_errors_in_the_log_are_wrong_unless_expected() {
        let mut said = Said::default();
        for line in
            ["INFO metrics url=http://127.0.0.1:2/metrics", "INFO listening url=https://127.0.0.1:1 certificate=x"]
        {
            said.take_in(line.to_owned(), &[]);
        }
        assert_eq!(said.url.as_deref(), Some("https://127.0.0.1:1"));
        assert_eq!(said.metrics.as_deref(), Some("http://127.0.0.1:2/metrics"));
        said.take_in("T ERROR a: the new one is bad".to_owned(), &["is bad"]);
        assert_eq!(said.wrong, [""; 0]);
        said.take_in("T ERROR b".to_owned(), &["is bad"]);
        said.take_in("thread 'x' panicked at y".to_owned(), &[]);
        assert_eq!(said.wrong.len(), 2);
    }
}
