//! One client that keeps to the protocol: a task that says what it is told to, and tells what it hears.

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use signal_proto::{ErrorCode, PeerId, RoomEvent, ServerMessage, decode_server};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::ledger::Heard;
use crate::client::{Client, PATIENCE, Socket, name};

/// What reaches the one who looks after a room.
#[derive(Debug)]
pub(super) enum Event {
    Heard {
        of: PeerId,
        heard: Heard,
    },
    /// Everything that it said before has been read by the server.
    Read,
    /// The server refused it.
    Refused(ErrorCode),
    /// Its connection has ended, in order or not.
    Ended(Result<()>),
}

#[derive(Debug)]
enum Command {
    Say(Bytes),
    /// To be told when all of that has been read.
    Check,
    Leave,
    /// Is simply not there any more; a reset tells the server, or nothing but the end of the stream does.
    Vanish {
        reset: bool,
    },
}

/// The handle of a member. Dropping it ends the client without a word.
#[derive(Debug)]
pub(super) struct MemberHandle {
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
}

/// Commands that may wait for one client, and more than there ever are.
const WAITING: usize = 256;

impl MemberHandle {
    /// From here on the client is a task's.
    pub(super) fn start(client: Client, events: mpsc::Sender<(PeerId, Event)>) -> Self {
        let (commands, waiting) = mpsc::channel(WAITING);
        let Client { socket, peer } = client;
        let task = tokio::spawn(async move {
            let ended = live(socket, peer, waiting, &events).await;
            // Nobody listens any more when the soak ends early.
            let _ = events.send((peer, Event::Ended(ended))).await;
        });
        Self { commands, task: task.abort_handle() }
    }

    pub(super) async fn say(&self, message: Bytes) -> Result<()> {
        self.command(Command::Say(message)).await
    }

    pub(super) async fn check(&self) -> Result<()> {
        self.command(Command::Check).await
    }

    pub(super) async fn leave(&self) -> Result<()> {
        self.command(Command::Leave).await
    }

    pub(super) async fn vanish(&self, reset: bool) -> Result<()> {
        self.command(Command::Vanish { reset }).await
    }

    async fn command(&self, command: Command) -> Result<()> {
        let sent =
            timeout(PATIENCE, self.commands.send(command)).await.context("a client does not take its commands")?;
        sent.map_err(|_| anyhow!("a client has ended that should be there"))
    }
}

impl Drop for MemberHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(
    mut socket: Socket,
    peer: PeerId,
    mut commands: mpsc::Receiver<Command>,
    events: &mpsc::Sender<(PeerId, Event)>,
) -> Result<()> {
    let mut leaving = false;
    loop {
        tokio::select! {
            command = commands.recv(), if !leaving => match command {
                Some(Command::Say(message)) => send(&mut socket, Message::Binary(message)).await?,
                Some(Command::Check) => send(&mut socket, Message::Ping(Bytes::new())).await?,
                Some(Command::Leave) => {
                    leaving = true;
                    send(&mut socket, Message::Close(None)).await?;
                }
                Some(Command::Vanish { reset }) => {
                    if reset {
                        socket.get_ref().get_ref().0.set_zero_linger().context("cannot ask for a reset")?;
                    }
                    return Ok(());
                }
                None => return Ok(()),
            },
            message = socket.next() => {
                let event = match message {
                    Some(Ok(Message::Binary(bytes))) => read(&bytes)?,
                    Some(Ok(Message::Pong(_))) => Event::Read,
                    Some(Ok(Message::Ping(_) | Message::Close(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Text(_))) => bail!("the server sent a text message"),
                    Some(Err(_)) | None if leaving => return Ok(()),
                    Some(Err(error)) => return Err(error).context("the connection broke"),
                    None => bail!("the server closed the connection"),
                };
                events.send((peer, event)).await.map_err(|_| anyhow!("nobody listens"))?;
            }
        }
    }
}

fn read(bytes: &[u8]) -> Result<Event> {
    let event = match decode_server(bytes).context("the server sent what is no message")? {
        ServerMessage::Room(RoomEvent::Join { peer, role }) => Event::Heard { of: peer, heard: Heard::Join(role) },
        ServerMessage::Room(RoomEvent::Leave { peer }) => Event::Heard { of: peer, heard: Heard::Leave },
        ServerMessage::Room(RoomEvent::Signal { peer, signal }) => {
            Event::Heard { of: peer, heard: Heard::Signal(signal.get().to_owned()) }
        }
        ServerMessage::Error { code, .. } => Event::Refused(code),
        other => bail!("{} to somebody who has joined", name(&other)),
    };
    Ok(event)
}

async fn send(socket: &mut Socket, message: Message) -> Result<()> {
    timeout(PATIENCE, socket.send(message)).await.context("the server does not read")?.context("cannot send")
}
