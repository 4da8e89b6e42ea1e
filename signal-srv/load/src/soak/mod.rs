//! The soak: everything that happens to a server on the open internet, at once and for long, while clients that keep to the
//! protocol look whether they notice anything.
//!
//! ```text
//! start ▶ tour: each kind of trouble once ▶ lull ▶ │ a minute of all of it ▶ lull │ … ▶ SIGTERM, with clients inside
//! ```
//! - `honest.rs`: rooms of clients that keep to the protocol, and `ledger.rs`: what each of them has to hear, exactly
//! - `mischief.rs`: what one of them does when it stops keeping to the protocol
//! - `stranger.rs`, `crowd.rs`, `operator.rs`: what else reaches a server
//!
//! In a lull nobody is there, and the server has to look like one to which nobody has ever come: joins are leaves, no room,
//! no connection, no descriptor is left, and its memory is what it was in the first lull.

mod crowd;
mod frame;
mod ground;
mod honest;
mod ledger;
mod member;
mod mischief;
mod operator;
mod report;
mod stranger;
mod tally;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use futures_util::future::try_join_all;
use signal_proto::{ErrorCode, Join};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use crowd::chatter;
pub use report::Report;

use self::ground::{Firewall, Ground, LIMITS, fresh_room};
use self::mischief::Mischief;
use self::report::Lull;
use self::stranger::Stranger;
use self::tally::Tally;
use crate::client::{Door, PATIENCE};
use crate::server::{Files, Server};

/// What is soaked, and how.
#[derive(Debug)]
pub struct Options {
    /// The server.
    pub server: PathBuf,
    /// How long it is troubled, lulls not counted.
    pub lasts: Duration,
    /// The same seed makes the same choices; what comes of them is also the scheduler's.
    pub seed: u64,
    /// This program, for clients in processes of their own.
    pub crowd: Option<PathBuf>,
    /// Whether the network is ours alone, so that packets may be dropped.
    pub owns_network: bool,
    /// Where certificates, configuration and log go.
    pub folder: PathBuf,
    /// Whether it says how far it is.
    pub says: bool,
}

/// Rooms of each kind.
const ROOMS: usize = 8;
/// Strangers at once.
const STRANGERS: usize = 6;
/// Clients of a storm.
const STORM: usize = 200;
/// From one lull to the next, at most.
const SPELL: Duration = Duration::from_secs(60);
/// Clients that are there at the end.
const LAST: u8 = 20;

/// Memory may grow so much from the first lull to the last ones: what the allocator does not give back at once.
const GROWTH_BYTES: u64 = 4 << 20;

type Actor = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Runs it.
///
/// # Errors
/// With the first thing that is not as it has to be.
pub async fn run(options: &Options) -> Result<Report> {
    let mut rng = Rng::with_seed(options.seed);
    let files = Arc::new(Files::new(&options.folder)?);
    files.configure(&format!("[limits]\n{LIMITS}"))?;
    let server = Arc::new(Server::start(&options.server, &files, operator::EXPECTED_ERRORS).await?);
    let door = Door::new(server.address, &files.roots())?;
    server.metrics().await?;
    let descriptors = server.descriptors()?;
    let tally = Arc::new(Tally::default());
    let firewall = options.owns_network.then(Firewall::new).transpose()?;
    let mut report = Report::new(options.seed, &server)?;

    let begun = Instant::now();
    let mut spell = (options.lasts / 3).min(SPELL / 2);
    while begun.elapsed() < options.lasts {
        let is_tour = report.lulls.is_empty();
        // Each spell has all addresses for itself.
        firewall.map(Firewall::heal).transpose()?;
        let mut ground = Ground::new(door.clone(), &files, &server, &tally, spell);
        ground.firewall = firewall;
        let ground = Arc::new(ground);
        play(actors(&ground, &mut rng, is_tour, options.crowd.as_deref()), &ground).await?;
        report.lulls.push(lull(&server, descriptors, begun).await?);
        if options.says {
            println!("{}", report.progress(&tally));
        }
        spell = options.lasts.saturating_sub(begun.elapsed()).clamp(Duration::from_secs(5), SPELL);
    }
    report.finish(&server, &tally).await?;
    let growth = report.growth();
    ensure!(
        growth <= GROWTH_BYTES,
        "memory has grown by {growth} bytes from the first lull to the last ones: {report}"
    );
    let ground = Ground::new(door, &files, &server, &tally, PATIENCE);
    drop(server);
    report.stop = Some(stop(ground, &mut rng).await.context("at the end")?);
    Ok(report)
}

/// Everybody who takes part in one spell; in the first one each kind of trouble comes at least once.
fn actors(ground: &Arc<Ground>, rng: &mut Rng, is_tour: bool, program: Option<&Path>) -> Vec<Actor> {
    let mut actors: Vec<Actor> = Vec::new();
    let mut each: Vec<_> = Mischief::ALL.into();
    each.extend(ground.firewall.map(|_| Mischief::CutOff));
    rng.shuffle(&mut each);
    for number in 0..ROOMS * 2 {
        let tour = if is_tour { each.iter().skip(number).step_by(ROOMS * 2).copied().collect() } else { Vec::new() };
        actors.push(Box::pin(honest::run(Arc::clone(ground), rng.fork(), number % 2 == 0, tour)));
    }
    for number in 0..STRANGERS {
        let (ground, rng) = (Arc::clone(ground), rng.fork());
        let tour: Vec<_> =
            if is_tour { Stranger::ALL.iter().skip(number).step_by(STRANGERS).copied().collect() } else { Vec::new() };
        actors.push(Box::pin(async move { stranger::run(&ground, rng, &tour).await }));
    }
    let (operated, operators) = (Arc::clone(ground), rng.fork());
    actors.push(Box::pin(async move { operator::run(&operated, operators).await }));
    let (stormed, mut storms) = (Arc::clone(ground), rng.fork());
    actors.push(Box::pin(async move {
        loop {
            crowd::storm(&stormed, storms.fork(), STORM).await?;
            ground::pause(&mut storms, 5000..15_000).await;
            if stormed.is_over() {
                return Ok(());
            }
        }
    }));
    if let Some(program) = program.map(Path::to_owned) {
        let (ground, mut rng) = (Arc::clone(ground), rng.fork());
        actors.push(Box::pin(async move {
            while !ground.is_over() {
                crowd::doomed(&ground, rng.fork(), &program).await?;
            }
            Ok(())
        }));
    }
    actors
}

/// Until all have left. The first thing that is wrong ends it for everybody.
async fn play(actors: Vec<Actor>, ground: &Ground) -> Result<()> {
    let mut tasks = JoinSet::from_iter(actors);
    while let Some(ended) = tasks.join_next().await {
        let outcome = ended.context("a part of the soak panicked").flatten();
        if let Err(error) = outcome.and_then(|()| ground.server.check()) {
            ground.stop();
            return Err(error);
        }
    }
    Ok(())
}

/// Waits until nobody is there any more, and looks at what is left.
async fn lull(server: &Server, descriptors: usize, begun: Instant) -> Result<Lull> {
    let until = Instant::now() + PATIENCE * 2;
    loop {
        let metrics = server.metrics().await?;
        let open = ["streams", "websockets", "rooms"].map(|name| metrics.sum(name));
        let open_files = server.descriptors()?;
        // The one in which the metrics were asked for may not be closed yet.
        if open == [0; 3] && open_files <= descriptors {
            let (joins, leaves) = (metrics.sum("joins_total"), metrics.sum("leaves_total"));
            ensure!(joins == leaves, "{joins} have joined, {leaves} have left");
            server.check()?;
            return Ok(Lull { at: begun.elapsed(), joins, resident: server.resident()? });
        }
        ensure!(
            Instant::now() < until,
            "nobody is there, but the server has {} connections, {} WebSockets, {} rooms, {open_files} descriptors where it \
             had {descriptors}",
            open[0],
            open[1],
            open[2]
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// SIGTERM with clients inside: each is told, and the program ends well. How long it took is the answer.
async fn stop(ground: Ground, rng: &mut Rng) -> Result<Duration> {
    let mut clients = Vec::new();
    for _ in 0..LAST {
        let mut client = ground.client(ground.address()).await?;
        let joined = client.join(Join::Pair { room: fresh_room(rng) }).await?;
        ensure!(joined.is_ok(), "not let in");
        clients.push(client);
    }
    let told = try_join_all(clients.iter_mut().map(|client| async {
        let end = client.end().await?;
        let right = (Some(ErrorCode::ShuttingDown), Some(1001));
        ensure!(end == right, "a client is dismissed with {end:?}");
        Ok(())
    }));
    let server = Arc::into_inner(ground.server).context("somebody still uses the server")?;
    let (stopped, told) = tokio::join!(server.stop(), told);
    told?;
    let (status, took) = stopped?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(took)
}
