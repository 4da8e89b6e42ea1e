//! Those who mean no good, from many addresses: what one address may do is the server's to limit.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clients::{Crowd, Plan, Shared};
use crate::dialect::Dialect;
use crate::link::{Link, Target};
use crate::tls;

/// The second byte of the attackers' addresses.
const NETWORK: u8 = 100;
/// What the socket of one who never reads takes in.
const SMALL_WINDOW: u32 = 4096;
/// How often those who never read are sent something, and how long they stay; the latter is longer than it takes a server
/// to notice.
const FEED: Duration = Duration::from_millis(50);
const STAY: Duration = Duration::from_secs(30);
const HUGE: u64 = 64 * 1024 * 1024;
/// Whoever is thrown out comes back.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[arg(long)]
    pub server: SocketAddr,
    #[arg(long)]
    pub tls: bool,
    #[arg(long, default_value = "roomcam")]
    pub dialect: Dialect,
    #[arg(long)]
    pub kind: Kind,
    #[arg(long)]
    pub count: usize,
    /// They go on for so long
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nobody attacks
    None,
    /// A byte a second: of the TLS handshake, of the HTTP request, of a WebSocket message, a third of them each
    Drip,
    /// Members of rooms send as fast as they can
    Flood,
    /// Members of rooms read nothing, and the other one sends them 20 messages a second
    NeverRead,
    /// Members of rooms send messages of 64 MiB, half of them in fragments
    Huge,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let Options { kind, count, .. } = options;
    let tls = options.tls.then(|| tls::connector(64)).transpose()?;
    let clients = if kind == Kind::NeverRead { 2 * count } else { count };
    let plan = Plan {
        target: Target { server: options.server, tls, receive_buffer: None },
        dialect: options.dialect,
        clients: clients.next_multiple_of(2),
        size: 2048,
        network: NETWORK,
    };
    let crowd = Crowd::new(plan);
    crowd.prepare();
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let shared = Rc::clone(&crowd.shared);
        tasks.spawn_local(async move {
            // All at once would be another attack.
            sleep(Duration::from_micros(1_000_000 / clients as u64 * client as u64)).await;
            loop {
                // That it fails is what the server is for.
                let _ = attack(kind, &shared, client).await;
                sleep(PAUSE).await;
            }
        });
    }
    sleep(Duration::from_secs(options.seconds)).await;
    Ok(())
}

async fn attack(kind: Kind, shared: &Rc<Shared>, client: usize) -> io::Result<()> {
    match kind {
        Kind::None => Ok(()),
        Kind::Drip => match client % 3 {
            0 => drip_hello(shared.target().server, shared.source(client)).await,
            1 => {
                let link = shared.target().reach(client, shared.source(client)).await?;
                drip(link, b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Filling: ").await
            }
            _ => {
                let path = shared.path(client);
                let link = shared.target().connect(client, shared.source(client), &path).await?;
                // A binary message of 2000 bytes.
                drip(link, &[0x82, 0x80 | 126, 0x07, 0xd0, 0, 0, 0, 0, b'{']).await
            }
        },
        Kind::Flood => {
            let (mut message, link) = (None, shared.enter(client, None).await?);
            let (mut reader, mut writer) = link.split();
            let mut taken = vec![0; 16 * 1024];
            let read = async { while reader.read(&mut taken).await.is_ok_and(|count| count > 0) {} };
            let write = async {
                let message = message.get_or_insert_with(|| shared.message(client));
                while writer.write_all(message.bytes()).await.is_ok() && writer.flush().await.is_ok() {}
            };
            tokio::select! { () = read => {}, () = write => {} }
            Ok(())
        }
        Kind::NeverRead if client.is_multiple_of(2) => {
            let _link = shared.enter(client, Some(SMALL_WINDOW)).await?;
            sleep(STAY).await;
            Ok(())
        }
        Kind::NeverRead => {
            let mut link = shared.enter(client, None).await?;
            let message = shared.message(client);
            loop {
                tokio::select! {
                    frame = link.next() => {
                        shared.hear(&mut link, &frame?).await?;
                        continue;
                    }
                    () = sleep(FEED) => {}
                }
                link.send(&message).await?;
            }
        }
        Kind::Huge => {
            let (_reader, mut writer) = shared.enter(client, None).await?.split();
            let (pieces, of) = if client % 4 < 2 { (1, HUGE) } else { (64, HUGE / 64) };
            let zeros = vec![0; 64 * 1024];
            for piece in 0..pieces {
                let opcode = if piece == 0 { shared.opcode() } else { 0 };
                let fin = if piece + 1 == pieces { 0x80 } else { 0 };
                let mut header = vec![fin | opcode, 0x80 | 127];
                header.extend(of.to_be_bytes());
                header.extend([0; 4]);
                writer.write_all(&header).await?;
                for _ in 0..of / zeros.len() as u64 {
                    writer.write_all(&zeros).await?;
                }
            }
            writer.flush().await?;
            sleep(STAY).await;
            Ok(())
        }
    }
}

/// A TLS ClientHello that does not come to its end.
async fn drip_hello(server: SocketAddr, source: Ipv4Addr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let mut stream = socket.connect(server).await?;
    let mut answer = [0; 64];
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain(std::iter::repeat(0)) {
        stream.write_all(&[byte]).await?;
        if let Ok(read) = timeout(PAUSE, stream.read(&mut answer)).await
            && read? == 0
        {
            return Ok(());
        }
    }
    Ok(())
}

async fn drip(link: Link, start: &[u8]) -> io::Result<()> {
    let (mut reader, mut writer) = link.split();
    let mut answer = [0; 1024];
    for byte in start.iter().copied().chain(std::iter::repeat(b'x')) {
        writer.write_all(&[byte]).await?;
        writer.flush().await?;
        if let Ok(read) = timeout(PAUSE, reader.read(&mut answer)).await
            && read? == 0
        {
            return Ok(());
        }
    }
    Ok(())
}
