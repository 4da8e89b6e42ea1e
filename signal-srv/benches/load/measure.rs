//! The figures of one server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;

use crate::clients::{Crowd, Plan};
use crate::dialect::Dialect;
use crate::link::Target;
use crate::{process, tls};

/// Joins that are under way at once, unless everybody comes back at once.
const AT_ONCE: usize = 32;
/// What a server may still be doing after a step.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Options {
    #[arg(long)]
    server: SocketAddr,
    /// The server's process
    #[arg(long)]
    pid: u32,
    #[arg(long)]
    tls: bool,
    #[arg(long, default_value = "roomcam")]
    dialect: Dialect,
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Bytes of a signal
    #[arg(long, default_value_t = 2048)]
    size: usize,
    /// Signals a second, for the time that each takes
    #[arg(long, default_value_t = 2000)]
    rate: u64,
    /// Rooms that talk at once when the server is saturated
    #[arg(long, default_value_t = 256)]
    window: usize,
    /// Signals that a client sends in a row then, as trickled candidates are
    #[arg(long, default_value_t = 8)]
    burst: u64,
    /// Length of a measurement in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Steps to take; everybody joins in any case
    #[arg(long, value_delimiter = ',', default_value = "memory,idle,relay,storm")]
    only: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Memory,
    Idle,
    Relay,
    Storm,
}

/// What was found; none of what was not looked at.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub clients: usize,
    pub base_bytes: f64,
    pub join_cpu_us: f64,
    pub join_wall_s: f64,
    pub idle_bytes_each: Option<f64>,
    pub idle_cpu_percent: Option<f64>,
    pub signaled_bytes_each: Option<f64>,
    pub rate: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub steady_cpu_us: Option<f64>,
    /// Clients send one signal at a time.
    pub single: Option<Saturated>,
    /// Clients send some in a row.
    pub burst: Option<Saturated>,
    pub storm_s: Option<f64>,
    pub storm_cpu_us: Option<f64>,
    pub storm_refused: Option<u64>,
    pub after_storm_bytes_each: Option<f64>,
    /// Connections that ended although nobody wanted it.
    pub lost: u64,
    /// Signals that did not arrive.
    pub missing: i64,
    /// Signals that did not come after the one before.
    pub disorder: u64,
    pub reasons: BTreeMap<String, u64>,
}

/// Rooms signal as fast as they can.
#[derive(Debug, Serialize)]
pub struct Saturated {
    pub cpu_us: f64,
    pub rate: f64,
    pub busy_percent: f64,
    /// Of the generator: where it is as busy as it can be, the server is not.
    pub generator_busy_percent: f64,
}

pub async fn run(options: Options) -> anyhow::Result<Figures> {
    let tls = options.tls.then(|| tls::connector(options.clients)).transpose()?;
    let mut crowd = Crowd::new(Plan {
        target: Target { server: options.server, tls, receive_buffer: None },
        dialect: options.dialect,
        clients: options.clients / 2 * 2,
        size: options.size,
        network: 1,
    });
    let mut run = Run { pid: options.pid, clients: (options.clients / 2 * 2) as f64, figures: Figures::default() };
    let wants = |step| options.only.contains(&step);
    run.figures.clients = options.clients / 2 * 2;
    run.join(&mut crowd).await?;
    if wants(Step::Memory) {
        run.figures.idle_bytes_each = Some(run.memory_each()?);
    }
    if wants(Step::Idle) {
        run.idle(options.seconds).await?;
    }
    if wants(Step::Memory) || wants(Step::Relay) {
        run.each_once(&crowd).await?;
    }
    if wants(Step::Relay) {
        run.steady(&crowd, options.rate, options.seconds).await?;
        run.saturated(&crowd, &options).await?;
    }
    let shared = std::rc::Rc::clone(&crowd.shared);
    run.figures.missing = shared.sent.get() as i64 - shared.arrived.get() as i64;
    run.figures.lost = shared.lost.get();
    if wants(Step::Storm) {
        run.storm(&mut crowd).await?;
    }
    run.figures.disorder = shared.disorder.get();
    run.figures.reasons = shared.reasons.borrow().clone();
    Ok(run.figures)
}

struct Run {
    pid: u32,
    clients: f64,
    figures: Figures,
}

impl Run {
    fn memory_each(&self) -> anyhow::Result<f64> {
        Ok((process::memory(self.pid)? - self.figures.base_bytes) / self.clients)
    }

    async fn join(&mut self, crowd: &mut Crowd) -> anyhow::Result<()> {
        self.figures.base_bytes = process::memory(self.pid)?;
        let (begun, before) = (Instant::now(), process::cpu(self.pid)?);
        let all = crowd.join(AT_ONCE).await;
        self.figures.join_wall_s = begun.elapsed().as_secs_f64();
        sleep(SETTLE).await;
        self.figures.join_cpu_us = 1e6 * (process::cpu(self.pid)? - before) / self.clients;
        let shared = &crowd.shared;
        ensure!(all, "not everybody was let in: {:?}", shared.reasons.borrow());
        eprintln!("joined in {:.1} s", self.figures.join_wall_s);
        Ok(())
    }

    async fn idle(&mut self, seconds: u64) -> anyhow::Result<()> {
        // So long that everybody is pinged once at least.
        let time = Duration::from_secs(seconds.max(30));
        let before = process::cpu(self.pid)?;
        sleep(time).await;
        let used = process::cpu(self.pid)? - before;
        self.figures.idle_cpu_percent = Some(used / time.as_secs_f64() * 100.0);
        Ok(())
    }

    /// Each client signals once.
    async fn each_once(&mut self, crowd: &Crowd) -> anyhow::Result<()> {
        for seat in 0..2 {
            for room in 0..crowd.rooms() {
                crowd.signal(2 * room + seat);
                if room % 100 == 0 {
                    sleep(Duration::from_millis(2)).await;
                }
            }
            crowd.calm().await;
        }
        sleep(SETTLE).await;
        self.figures.signaled_bytes_each = Some(self.memory_each()?);
        Ok(())
    }

    /// A signal at a time, in one room after the other.
    async fn steady(&mut self, crowd: &Crowd, rate: u64, seconds: u64) -> anyhow::Result<()> {
        let (sender, mut ticks) = unbounded_channel();
        let (begun, before) = (Instant::now(), process::cpu(self.pid)?);
        // The runtime's timers have milliseconds.
        let pacer = std::thread::spawn(move || {
            for tick in 0..rate * seconds {
                let due = Duration::from_secs_f64(tick as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        *crowd.shared.times.borrow_mut() = Some(Vec::new());
        let mut room = 0;
        while ticks.recv().await.is_some() {
            crowd.signal(2 * room);
            room = (room + 1) % crowd.rooms();
        }
        let took = begun.elapsed();
        pacer.join().ok().context("the pace was lost")?;
        crowd.calm().await;
        let used = process::cpu(self.pid)? - before;
        let mut times = crowd.shared.times.borrow_mut().take().unwrap_or_default();
        times.sort_unstable();
        self.figures.rate = Some(times.len() as f64 / took.as_secs_f64());
        self.figures.steady_cpu_us = Some(1e6 * used / times.len() as f64);
        self.figures.p50_us = percentile(&times, 0.50);
        self.figures.p99_us = percentile(&times, 0.99);
        Ok(())
    }

    async fn saturated(&mut self, crowd: &Crowd, options: &Options) -> anyhow::Result<()> {
        self.figures.single = Some(self.saturated_by(crowd, options, 1).await?);
        self.figures.burst = Some(self.saturated_by(crowd, options, options.burst).await?);
        Ok(())
    }

    async fn saturated_by(&self, crowd: &Crowd, options: &Options, burst: u64) -> anyhow::Result<Saturated> {
        crowd.saturate(options.window, burst);
        sleep(Duration::from_secs(2)).await;
        let ours = || process::cpu(std::process::id());
        let (begun, arrived) = (Instant::now(), crowd.shared.arrived.get());
        let (before, ours_before) = (process::cpu(self.pid)?, ours()?);
        sleep(Duration::from_secs(options.seconds)).await;
        let (took, used, ours) =
            (begun.elapsed().as_secs_f64(), process::cpu(self.pid)? - before, ours()? - ours_before);
        let relayed = (crowd.shared.arrived.get() - arrived) as f64;
        crowd.calm().await;
        Ok(Saturated {
            cpu_us: 1e6 * used / relayed,
            rate: relayed / took,
            busy_percent: used / took * 100.0,
            generator_busy_percent: ours / took * 100.0,
        })
    }

    /// All connections break, all clients come back at once.
    async fn storm(&mut self, crowd: &mut Crowd) -> anyhow::Result<()> {
        let refused = crowd.shared.refused.get();
        let before = process::cpu(self.pid)?;
        crowd.vanish().await;
        let begun = Instant::now();
        let all = crowd.join(usize::MAX >> 4).await;
        self.figures.storm_s = Some(begun.elapsed().as_secs_f64());
        sleep(SETTLE).await;
        self.figures.storm_cpu_us = Some(1e6 * (process::cpu(self.pid)? - before) / self.clients);
        self.figures.storm_refused = Some(crowd.shared.refused.get() - refused);
        self.figures.after_storm_bytes_each = Some(self.memory_each()?);
        if !all {
            eprintln!("not everybody came back");
        }
        Ok(())
    }
}

/// In microseconds, of sorted nanoseconds.
pub fn percentile(sorted: &[u64], part: f64) -> Option<f64> {
    let at = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).map(|time| *time as f64 / 1000.0)
}
