//! The server of the local socket: answers for a [`Handle`]. Bounded in connections, in line length and in the time
//! that a client may take to accept a line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_actors::api::{ApiError, Event, PageAt};
use cairn_actors::handle::Handle;
use cairn_actors::limits::{
    LOCAL_CONNECTIONS, LOCAL_LINE_MAX, LOCAL_WAIT, LOCAL_WAITING, LOCAL_WRITE_TIMEOUT, PAGE_MAX,
};
use interprocess::local_socket::ListenerOptions;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::tokio::Listener as _;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinHandle, JoinSet};

use super::lines::{LineError, LineReader};
use super::place::{Place, places};
use super::protocol::{LocalReply, LocalRequest, decode, encode, fit, parts};
use super::resolve::{Resolved, resolve};
use crate::lock::{ScreenLock, refusal};

/// Why the local socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder can't be looked at.
    #[error("the data folder {0} can't be read: {1}")]
    Folder(PathBuf, io::Error),
    /// Something that is not a socket stands in its place.
    #[error("{0} is not a socket: move it away, the local socket belongs there")]
    NotASocket(PathBuf),
    /// No place would hold it.
    #[error("no place for the local socket: {0}")]
    NoPlace(io::Error),
}

/// A running server; stops when dropped.
#[derive(Debug)]
pub struct Server {
    place: Place,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Stops it and waits until the socket is gone.
    pub async fn close(mut self) {
        self.task.abort();
        // A cancelled task is what was asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `handle` on the local socket of `data`, on the runtime it is called from. The caller holds the lock of the
/// data folder: whatever socket lies there belongs to a node that is dead, and is replaced.
///
/// # Errors
/// [`ServeError`].
pub fn serve(data: &Path, handle: Handle) -> Result<Server, ServeError> {
    serve_behind(data, handle, ScreenLock::open(data, None))
}

/// The same behind a lock: while it is locked nothing is told but how the node is.
///
/// # Errors
/// [`ServeError`].
pub fn serve_behind(data: &Path, handle: Handle, lock: ScreenLock) -> Result<Server, ServeError> {
    let places = places(data, true).map_err(|e| ServeError::Folder(data.to_owned(), e))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no folder of this user could hold it");
    for place in places {
        clear_stale(&place)?;
        match listen(&place) {
            Ok(listener) => {
                tracing::debug!(path = %place.path().display(), "the local socket is open");
                let task = tokio::spawn(accept(listener, handle, lock));
                return Ok(Server { place, task });
            }
            Err(e) => {
                tracing::debug!(path = %place.path().display(), error = %e, "no local socket here");
                last = e;
            }
        }
    }
    Err(ServeError::NoPlace(last))
}

/// Removes the socket of a dead node.
#[cfg(unix)]
fn clear_stale(place: &Place) -> Result<(), ServeError> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(place.path()) {
        Ok(m) if m.file_type().is_socket() => {
            // What can't be removed makes `listen` fail, which tells why.
            let _ = std::fs::remove_file(place.path());
            Ok(())
        }
        Ok(_) => Err(ServeError::NotASocket(place.path().to_owned())),
        Err(_) => Ok(()),
    }
}

/// A named pipe goes with its node.
#[cfg(windows)]
fn clear_stale(_place: &Place) -> Result<(), ServeError> {
    Ok(())
}

#[cfg(unix)]
fn listen(place: &Place) -> io::Result<Listener> {
    use std::os::unix::fs::PermissionsExt;

    use interprocess::os::unix::local_socket::ListenerOptionsExt;
    let options = || Ok::<_, io::Error>(ListenerOptions::new().name(place.name()?));
    match options()?.mode(0o600).create_tokio() {
        // Some systems (macOS) take the mode only once the socket is there; its folder is owner-only meanwhile.
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            let listener = options()?.create_tokio()?;
            std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        }
        result => result,
    }
}

#[cfg(windows)]
fn listen(place: &Place) -> io::Result<Listener> {
    use interprocess::os::windows::local_socket::ListenerOptionsExt;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;
    // Full access for the owner and the system, none for anybody else, nothing inherited.
    let owner_only = SecurityDescriptor::deserialize(widestring::u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)"))?;
    ListenerOptions::new().name(place.name()?).security_descriptor(owner_only).create_tokio()
}

async fn accept(listener: Listener, handle: Handle, lock: ScreenLock) {
    let room = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match stream {
            Ok(stream) if connections.len() < LOCAL_CONNECTIONS.saturating_add(LOCAL_WAITING) => {
                let (handle, lock, room) = (handle.clone(), lock.clone(), Arc::clone(&room));
                connections.spawn(async move {
                    match tokio::time::timeout(LOCAL_WAIT, room.acquire()).await {
                        Ok(Ok(_permit)) => Connection::new(stream, handle, lock).run().await,
                        _ => refuse(stream).await,
                    }
                });
            }
            Ok(stream) => refuse(stream).await,
            Err(error) => {
                // Out of file descriptors, mostly: nothing tells when there are some again.
                tracing::warn!(%error, "a local connection could not be taken");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Tells one client too many that there is no room. A line of this size always fits an empty socket.
async fn refuse(mut stream: Stream) {
    let error = ApiError::new("busy", format!("{LOCAL_CONNECTIONS} programs are connected already"));
    if let Ok(line) = encode(&LocalReply::Error(error)) {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), stream.write_all(&line)).await;
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client went")]
    Gone,
    #[error("the node has stopped")]
    Stopped,
    #[error("the client took no line for {} seconds", LOCAL_WRITE_TIMEOUT.as_secs())]
    Slow,
    #[error(transparent)]
    Line(LineError),
}

struct Connection {
    lines: LineReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
    handle: Handle,
    lock: ScreenLock,
    events: Option<broadcast::Receiver<Event>>,
    /// Events were not told, since it was locked.
    missed: bool,
}

enum Next {
    Request(Result<LocalRequest, ApiError>),
    Event(Event),
}

impl Connection {
    fn new(stream: Stream, handle: Handle, lock: ScreenLock) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { lines: LineReader::new(reader, LOCAL_LINE_MAX), writer, handle, lock, events: None, missed: false }
    }

    async fn run(mut self) {
        let end = loop {
            let step = match self.next().await {
                Ok(Next::Request(Ok(request))) => self.answer(request).await,
                Ok(Next::Request(Err(error))) => self.send(&LocalReply::Error(error)).await,
                Ok(Next::Event(event)) => self.tell(event).await,
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                break end;
            }
        };
        match &end {
            End::Gone | End::Stopped => tracing::trace!(reason = %end, "a local connection ended"),
            End::Slow => tracing::warn!(reason = %end, "a local connection was dropped"),
            End::Line(error) => {
                tracing::warn!(reason = %error, "a local connection was dropped");
                let code = if matches!(error, LineError::TooLong(_)) { "line_too_long" } else { "io" };
                // The client may be gone by now.
                let _ = self.send(&LocalReply::Error(ApiError::new(code, error.to_string()))).await;
            }
        }
    }

    /// The next thing to do: a request, or an event where events were asked for.
    async fn next(&mut self) -> Result<Next, End> {
        tokio::select! {
            line = self.lines.next() => match line {
                Ok(Some(line)) => Ok(Next::Request(decode(line))),
                Ok(None) => Err(End::Gone),
                Err(LineError::Io(_)) => Err(End::Gone),
                Err(e) => Err(End::Line(e)),
            },
            event = next_event(&mut self.events) => event.map(Next::Event),
        }
    }

    async fn send(&mut self, reply: &LocalReply) -> Result<(), End> {
        let line = encode(reply).or_else(|e| encode(&LocalReply::Error(e))).map_err(|_| End::Gone)?;
        match tokio::time::timeout(LOCAL_WRITE_TIMEOUT, self.writer.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Slow),
        }
    }

    /// Tells what happened; while it is locked only that the node stops, and afterwards that there was something.
    async fn tell(&mut self, event: Event) -> Result<(), End> {
        if self.lock.is_locked() && event != Event::Stopping {
            self.missed = true;
            return Ok(());
        }
        if std::mem::take(&mut self.missed) {
            self.send(&LocalReply::Event(Box::new(Event::Lagged))).await?;
        }
        self.send(&LocalReply::Event(Box::new(event))).await
    }

    /// Answers what concerns the lock, and refuses what would show something behind it.
    fn at_the_lock(&self, request: &LocalRequest) -> Option<Result<LocalReply, ApiError>> {
        use LocalRequest as R;
        Some(match request {
            R::Lock => self.lock.lock().map(|()| LocalReply::Done),
            R::Challenge => Ok(LocalReply::Challenge(self.lock.challenge())),
            R::Unlock { proof } => self.lock.unlock_with(proof).map(|()| LocalReply::Done),
            // How the node is, and what shows nothing.
            R::Status | R::SettingsChanged | R::Check { .. } | R::Stop => return None,
            _ if self.lock.is_locked() => Err(refusal()),
            _ => return None,
        })
    }

    async fn answer(&mut self, request: LocalRequest) -> Result<(), End> {
        if let Some(reply) = self.at_the_lock(&request) {
            return self.send(&reply.unwrap_or_else(LocalReply::Error)).await;
        }
        if request == LocalRequest::Subscribe {
            self.events = Some(self.handle.subscribe());
            return self.send(&LocalReply::Done).await;
        }
        let replies = perform(&self.handle, request).await.unwrap_or_else(|e| vec![LocalReply::Error(e)]);
        for reply in &replies {
            self.send(reply).await?;
        }
        Ok(())
    }
}

async fn next_event(events: &mut Option<broadcast::Receiver<Event>>) -> Result<Event, End> {
    match events {
        None => std::future::pending().await,
        Some(events) => match events.recv().await {
            Ok(event) => Ok(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(Event::Lagged),
            Err(broadcast::error::RecvError::Closed) => Err(End::Stopped),
        },
    }
}

/// Performs one request; a list answers in several lines.
async fn perform(handle: &Handle, request: LocalRequest) -> Result<Vec<LocalReply>, ApiError> {
    use LocalRequest as R;
    let one = match request {
        R::Status => LocalReply::Status(Box::new(handle.status().await?)),
        R::SetName { name } => LocalReply::Status(Box::new(handle.set_name(&name).await?)),
        R::Peers => return Ok(parts(handle.peers().await?).into_iter().map(LocalReply::Peers).collect()),
        R::Conversations => {
            return Ok(parts(handle.conversations().await?).into_iter().map(LocalReply::Conversations).collect());
        }
        R::Resolve { name } => LocalReply::Resolved(resolve_with(handle, &name).await?),
        R::Say { conversation, body, id, reply_to } => {
            LocalReply::Said(handle.answer(conversation, &body, id, reply_to).await?)
        }
        R::Edit { conversation, id, body } => {
            LocalReply::Message(Box::new(handle.edit(conversation, id, &body).await?))
        }
        R::Delete { conversation, id } => LocalReply::Message(Box::new(handle.delete(conversation, id).await?)),
        R::React { conversation, id, emoji, on } => {
            LocalReply::Message(Box::new(handle.react(conversation, id, &emoji, on).await?))
        }
        R::Typing { conversation, on } => done(handle.typing(conversation, on).await?),
        R::SetPinned { conversation, pinned } => {
            LocalReply::Conversation(Box::new(handle.set_pinned(conversation, pinned).await?))
        }
        R::SetMuted { conversation, until } => {
            LocalReply::Conversation(Box::new(handle.set_muted(conversation, until).await?))
        }
        R::Versions { conversation, id } => {
            return Ok(parts(handle.versions(conversation, id).await?).into_iter().map(LocalReply::Versions).collect());
        }
        R::Page { conversation, at, limit } => {
            let at = PageAt::from(at);
            LocalReply::Page(fit(handle.page(conversation, at, limit.clamp(1, PAGE_MAX)).await?, &at))
        }
        R::Message { conversation, id } => LocalReply::Message(Box::new(handle.message(conversation, id).await?)),
        R::Receipts { conversation, id } => {
            let receipts = handle.receipts(conversation, id).await?;
            return Ok(parts(receipts).into_iter().map(LocalReply::Receipts).collect());
        }
        R::Members { conversation } => {
            return Ok(parts(handle.members(conversation).await?).into_iter().map(LocalReply::Members).collect());
        }
        R::Custody { conversation, document } => {
            LocalReply::Custody(Box::new(handle.custody(conversation, document).await?))
        }
        R::MarkRead { conversation, key } => done(handle.mark_read(conversation, key).await?),
        R::Retention { conversation } => LocalReply::Retention(Box::new(handle.retention(conversation).await?)),
        R::SetRetention { conversation, keep } => {
            LocalReply::Retention(Box::new(handle.set_retention(conversation, keep).await?))
        }
        R::Forget { conversation, before } => {
            LocalReply::Retention(Box::new(handle.forget(conversation, before).await?))
        }
        R::Group { command } => LocalReply::Group(Box::new(handle.group(command).await?)),
        R::Groups => return Ok(parts(handle.groups().await?).into_iter().map(LocalReply::Groups).collect()),
        R::Invitations => {
            return Ok(parts(handle.invitations().await?).into_iter().map(LocalReply::Invitations).collect());
        }
        R::GroupLog { group } => {
            return Ok(parts(handle.group_log(group).await?).into_iter().map(LocalReply::GroupLog).collect());
        }
        R::Networks => return Ok(parts(handle.networks().await?).into_iter().map(LocalReply::Networks).collect()),
        R::Briefings => return Ok(parts(handle.briefings().await?).into_iter().map(LocalReply::Briefings).collect()),
        R::BriefingSeen { id } => done(handle.briefing_seen(id).await?),
        R::JoinNetwork { id } => LocalReply::Network(handle.join_network(id).await?),
        R::KeepApart { id } => LocalReply::Network(handle.keep_apart(id).await?),
        R::NameNetwork { id, name } => LocalReply::Network(handle.name_network(id, &name).await?),
        R::SetPetname { device, name } => {
            LocalReply::Peer(Box::new(handle.set_petname(device, name.as_deref()).await?))
        }
        R::Safety { device } => LocalReply::Safety(Box::new(handle.safety(device).await?)),
        R::SetVerified { device, verified } => LocalReply::Peer(Box::new(handle.set_verified(device, verified).await?)),
        R::Scan { code, meant } => LocalReply::Peer(Box::new(handle.scan(&code, meant).await?)),
        R::SetAway { away } => done(handle.set_away(away).await?),
        R::SettingsChanged => done(handle.settings_changed().await?),
        R::Kill { actor } => done(handle.kill(&actor).await?),
        R::Check { all } => LocalReply::Checkup(Box::new(handle.check(all).await?)),
        R::Repair { all } => LocalReply::Checkup(Box::new(handle.repair(all).await?)),
        R::Compact => LocalReply::Compacted(handle.compact().await?),
        R::BackUp { file } => LocalReply::BackedUp(handle.back_up(&file).await?),
        R::Restore { file, replace } => LocalReply::Restored(handle.restore(&file, replace).await?),
        R::Stop => done(handle.stop().await?),
        // Answered by the connection, which holds the events and the lock.
        R::Subscribe | R::Lock | R::Challenge | R::Unlock { .. } => LocalReply::Done,
    };
    Ok(vec![one])
}

fn done((): ()) -> LocalReply {
    LocalReply::Done
}

async fn resolve_with(handle: &Handle, name: &super::resolve::ConvRef) -> Result<Resolved, ApiError> {
    use super::resolve::ConvRef;
    // Asked a thousand times a minute by scripts: only what it takes is read.
    if *name == ConvRef::Everyone
        && let Some(n) = handle.networks().await?.iter().find(|n| n.primary)
    {
        return Ok(Resolved::from(n));
    }
    let conversations = match name {
        ConvRef::Person(_) => Vec::new(),
        // A fresh device has an Everyone room as soon as it is in a network; the question waits for that.
        _ => handle.conversations().await?,
    };
    let conversations: Vec<Resolved> = conversations.iter().map(Resolved::from).collect();
    let peers = if *name == ConvRef::Everyone { Vec::new() } else { handle.peers().await? };
    resolve(name, &conversations, &peers)
}
