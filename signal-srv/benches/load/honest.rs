//! How honest clients fare while others attack: rooms that signal all the time, and newcomers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::attack;
use crate::clients::{Crowd, Plan};
use crate::link::Target;
use crate::measure::percentile;
use crate::{process, tls};

/// Rooms of honest clients, each of which signals twice a second.
const ROOMS: usize = 100;
const SIGNALS: u64 = 200;
/// Rooms that are joined anew, every so often, and left again.
const NEWCOMERS: Duration = Duration::from_millis(100);
const STAY: Duration = Duration::from_secs(1);
/// Who is not in by then counts as turned away.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long the attack goes on before anything is measured.
const BEGINNING: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    attack: attack::Options,
    /// The server's process
    #[arg(long)]
    pid: u32,
}

#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub attackers: usize,
    pub join_p50_ms: Option<f64>,
    pub join_p99_ms: Option<f64>,
    pub relay_p50_ms: Option<f64>,
    pub relay_p99_ms: Option<f64>,
    /// Connections that ended, newcomers that were turned away, signals that did not arrive.
    pub lost: u64,
    pub growth_bytes_each: Option<f64>,
    pub busy_percent: f64,
    pub reasons: BTreeMap<String, u64>,
}

pub async fn run(options: Options) -> anyhow::Result<Figures> {
    let attack = &options.attack;
    let target = Target {
        server: attack.server,
        tls: attack.tls.then(|| tls::connector(64)).transpose()?,
        receive_buffer: None,
    };
    let plan =
        |clients, network| Plan { target: target.clone(), dialect: attack.dialect, clients, size: 2048, network };
    let mut members = Crowd::new(plan(2 * ROOMS, 1));
    ensure!(members.join(16).await, "not everybody was let in: {:?}", members.shared.reasons.borrow());
    let rooms_joined = (attack.seconds * 1000) / NEWCOMERS.as_millis() as u64 + 1;
    let newcomers = Crowd::new(plan(2 * usize::try_from(rooms_joined)?, 2));
    newcomers.prepare();
    // All have signaled once: their memory is not the attackers' work.
    (0..2 * ROOMS).for_each(|client| members.signal(client));
    sleep(Duration::from_secs(2)).await;
    members.calm().await;
    let base = process::memory(options.pid)?;

    let mut attackers = Attackers::start(attack)?;
    sleep(BEGINNING).await;
    *members.shared.times.borrow_mut() = Some(Vec::new());
    let joins = Rc::new(RefCell::new(Vec::new()));
    let refused = Rc::new(RefCell::new(BTreeMap::<String, u64>::new()));
    let (begun, before) = (Instant::now(), process::cpu(options.pid)?);
    let mut signals = interval(Duration::from_millis(1000 / SIGNALS));
    let mut comings = interval(NEWCOMERS);
    signals.set_missed_tick_behavior(MissedTickBehavior::Burst);
    comings.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut room, mut coming, mut most) = (0, 0, base);
    let mut tasks = JoinSet::new();
    let end = begun + Duration::from_secs(attack.seconds).saturating_sub(BEGINNING);
    while Instant::now() < end {
        tokio::select! {
            _ = signals.tick() => {
                members.signal(2 * room);
                room = (room + 1) % ROOMS;
                continue;
            }
            _ = comings.tick() => {}
        }
        most = most.max(process::memory(options.pid)?);
        for client in [2 * coming, 2 * coming + 1] {
            let (shared, joins, refused) = (Rc::clone(&newcomers.shared), Rc::clone(&joins), Rc::clone(&refused));
            tasks.spawn_local(async move {
                let begun = Instant::now();
                let entered = timeout(PATIENCE, shared.enter(client, None)).await;
                let time = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let reason = match entered {
                    Ok(Ok(link)) => {
                        joins.borrow_mut().push(time);
                        sleep(STAY).await;
                        drop(link);
                        return;
                    }
                    Ok(Err(error)) => format!("newcomer: {error}"),
                    Err(_) => "newcomer: no answer".to_owned(),
                };
                *refused.borrow_mut().entry(reason).or_default() += 1;
            });
        }
        coming += 1;
    }
    let busy = (process::cpu(options.pid)? - before) / begun.elapsed().as_secs_f64();
    ensure!(attackers.end()?, "the attackers ended before their time");
    while tasks.join_next().await.is_some() {}
    members.calm().await;
    let shared = &members.shared;
    let mut times = shared.times.borrow_mut().take().unwrap_or_default();
    times.sort_unstable();
    joins.borrow_mut().sort_unstable();
    let mut reasons = shared.reasons.borrow().clone();
    reasons.extend(refused.borrow().clone());
    let turned_away: u64 = refused.borrow().values().sum();
    let missing = shared.sent.get().saturating_sub(shared.arrived.get());
    let millis = |times: &[u64], part| percentile(times, part).map(|micros| micros / 1000.0);
    let joins = joins.borrow();
    Ok(Figures {
        attackers: attack.count,
        join_p50_ms: millis(&joins, 0.5),
        join_p99_ms: millis(&joins, 0.99),
        relay_p50_ms: millis(&times, 0.5),
        relay_p99_ms: millis(&times, 0.99),
        lost: shared.lost.get() + turned_away + missing,
        growth_bytes_each: (attack.count > 0).then(|| (most - base) / attack.count as f64),
        busy_percent: busy * 100.0,
        reasons,
    })
}

/// The attackers, in a process of their own, which has what we leave of the processor that both of us are on (SCHED_IDLE in
/// sched(7)): it is the server that is to make honest clients wait, not the attackers' own work.
struct Attackers(Option<Child>);

impl Attackers {
    fn start(options: &attack::Options) -> anyhow::Result<Self> {
        if options.kind == attack::Kind::None {
            return Ok(Self(None));
        }
        let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
        let kind = name(options.kind.to_possible_value()).context("a kind without a name")?;
        let dialect = name(options.dialect.to_possible_value()).context("a dialect without a name")?;
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(std::env::current_exe()?).arg("attackers");
        command.args(["--server", &options.server.to_string(), "--dialect", &dialect, "--kind", &kind]);
        command.args(["--count", &options.count.to_string(), "--seconds", &(options.seconds + 5).to_string()]);
        if options.tls {
            command.arg("--tls");
        }
        Ok(Self(Some(command.stdin(Stdio::null()).spawn().context("cannot start the attackers")?)))
    }

    /// True if they had not ended before.
    fn end(&mut self) -> anyhow::Result<bool> {
        let Some(mut child) = self.0.take() else { return Ok(true) };
        let alive = child.try_wait()?.is_none();
        child.kill()?;
        child.wait()?;
        Ok(alive)
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // On the way out because of another error, which is the one to report.
        let _ = self.end();
    }
}
