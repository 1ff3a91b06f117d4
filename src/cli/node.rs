//! `cairn node`: headless until SIGINT or SIGTERM, saying what happens.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use cairn_actors::api::{ApiError, ConversationKind, Event, NodeOptions, PeerState};
use cairn_actors::limits::EVENTS;
use cairn_crdt::ids::SpaceId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::backend::{already, retry_in_use};
use super::error::Failure;
use super::start::{RunningNode, start_node};
use super::text::Out;
use super::{human, json};
use crate::local::client::Client;
use crate::local::server::{Server, serve_behind};
use crate::lock::ScreenLock;

/// Starts a node and its local socket.
///
/// # Errors
/// `in_use` where one runs on the folder already, `local_socket` where the socket can't be opened, and what the node
/// answers.
pub async fn up(options: NodeOptions, lock: &ScreenLock) -> Result<(RunningNode, Server), ApiError> {
    let data = options.data.clone();
    let node = retry_in_use(async || match Client::connect(&data).await? {
        Some(_) => Ok(Err(already(&data))),
        None => start_node(options.clone()).await.map(Ok),
    })
    .await??;
    match serve_behind(&data, node.handle.clone(), lock.clone()) {
        Ok(server) => Ok((node, server)),
        Err(e) => {
            node.stop().await;
            Err(ApiError::new("local_socket", e.to_string()))
        }
    }
}

/// Longest wait for what conversations there are, before a message is told without what kind its is.
const ANSWER: Duration = Duration::from_millis(100);

/// Runs a node until it is told to stop.
///
/// # Errors
/// As [`up`], and `stopped` where the node stopped by itself.
pub async fn run(options: NodeOptions, out: Out) -> Result<(), Failure> {
    let signals = Signals::new()?;
    let lock = ScreenLock::open(&options.data, options.key.clone());
    let (node, server) = up(options, &lock).await?;
    attend_behind(node, server, &lock, out, signals.wait()).await
}

/// Says what happens on a node until `told` resolves or the node stops.
///
/// # Errors
/// `stopped` where the node stopped by itself, without being asked.
pub async fn attend(
    node: RunningNode,
    server: Server,
    out: Out,
    told: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let open = ScreenLock::open(Path::new(""), None);
    attend_behind(node, server, &open, out, told).await
}

/// The same behind a lock: while it is locked nothing is said but that the node stops.
///
/// # Errors
/// As [`attend`].
pub async fn attend_behind(
    mut node: RunningNode,
    server: Server,
    lock: &ScreenLock,
    out: Out,
    told: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut events = node.handle.subscribe();
    let (json, style) = (out.json, out.style);
    let mut printer = Printer::new(out);
    let status = node.handle.status().await?;
    printer.print(if json { json::ready(&status) } else { human::ready(&status, style) }, json);
    for message in status.troubles.clone() {
        let notice = Event::Notice { code: "trouble".into(), message };
        if let Some(line) = line_of(&notice, &BTreeMap::new(), json) {
            printer.print(line, json);
        }
    }
    // Whoever came before this listened is told of now.
    for peer in node.handle.peers().await?.into_iter().filter(|p| p.state != PeerState::Offline) {
        if let Some(line) = line_of(&Event::Peer(Box::new(peer)), &BTreeMap::new(), json) {
            printer.print(line, json);
        }
    }
    let mut kinds: BTreeMap<SpaceId, ConversationKind> = BTreeMap::new();
    let mut told = std::pin::pin!(told);
    let (mut asked, mut missed) = (false, false);
    let by_itself = loop {
        let event = tokio::select! {
            () = &mut told => break false,
            () = node.wait() => break true,
            event = events.recv() => event,
        };
        match event {
            // A node that took in a backup or repaired itself is ready once more.
            Ok(event) if lock.is_locked() && event != Event::Stopping => missed = true,
            Ok(event) => {
                if std::mem::take(&mut missed) && json {
                    printer.print(json::lagged(), json);
                }
                match &event {
                    Event::Conversation(c) => drop(kinds.insert(c.id, c.kind)),
                    // Asked when it matters: a fresh node answers only once it is in a network.
                    Event::Message(m) if json && !kinds.contains_key(&m.conversation) => {
                        let all = tokio::time::timeout(ANSWER, node.handle.conversations()).await;
                        kinds.extend(all.into_iter().flatten().flatten().map(|c| (c.id, c.kind)));
                    }
                    _ => {}
                }
                asked |= event == Event::Stopping;
                if let Some(line) = line_of(&event, &kinds, json) {
                    printer.print(line, json);
                }
            }
            Err(RecvError::Lagged(_)) if json => printer.print(json::lagged(), json),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break true,
        }
    };
    server.close().await;
    if by_itself {
        while let Ok(event) = events.try_recv() {
            asked |= event == Event::Stopping;
        }
    } else {
        printer.print(line_of(&Event::Stopping, &kinds, json).unwrap_or_default(), json);
        node.stop().await;
    }
    printer.finish().await;
    if by_itself && !asked { Err(Failure::failed("stopped", "the node has stopped")) } else { Ok(()) }
}

fn line_of(event: &Event, kinds: &BTreeMap<SpaceId, ConversationKind>, json: bool) -> Option<String> {
    if json { Some(json::event(event, |id| kinds.get(id).copied())) } else { human::event(event) }
}

/// Prints on a thread of its own, so that a reader who does not read can't keep the node from stopping. Lines beyond
/// [`EVENTS`] are dropped, and that is said.
struct Printer {
    lines: SyncSender<String>,
    done: oneshot::Receiver<()>,
    dropped: bool,
}

/// How long a reader may take for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

impl Printer {
    fn new(mut out: Out) -> Self {
        let (lines, rx) = sync_channel::<String>(EVENTS);
        let (finished, done) = oneshot::channel();
        std::thread::spawn(move || {
            // Where nobody reads any more the node goes on, unheard.
            while let Ok(line) = rx.recv() {
                if out.line(&line).is_err() {
                    break;
                }
            }
            // Nobody need wait for it.
            let _ = finished.send(());
        });
        Self { lines, done, dropped: false }
    }

    /// Waits until all is printed, but not for ever.
    async fn finish(self) {
        drop(self.lines);
        let _ = tokio::time::timeout(LAST_LINES, self.done).await;
    }

    fn print(&mut self, line: String, json: bool) {
        if self.dropped && json && self.lines.try_send(json::lagged()).is_ok() {
            self.dropped = false;
        }
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped = true;
        }
    }
}

/// The signals that end a node. Taken before it starts, so that none is missed.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    async fn wait(self) {
        // A console without Ctrl-C can't end the node this way; it ends with its process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
