//! Between the model and the node: runs commands through the [`Handle`] on tokio, listens to its events, and sends
//! updates to whoever holds the model. It knows nothing of a window: `wake` is called after every update.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use cairn_actors::api::{ApiError, Event, KeyChange, Message};
use cairn_actors::handle::Handle;
use cairn_crdt::ids::DeviceId;
use cairn_crdt::safety::Code;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::intent::Command;
use super::model::key::{KeyFrom, Secret};
use super::model::verify::CodeFrom;
use super::model::{Preferences, Update};
use crate::lock::ScreenLock;
use crate::netkey;
use crate::qr::{self, Meaning};

/// Keeps the window's preferences; called off the thread that paints.
pub type SavePreferences = Arc<dyn Fn(Preferences) + Send + Sync>;
/// Called after every update: "paint again".
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The model's side of the controller.
pub struct Controller {
    commands: mpsc::UnboundedSender<Command>,
    updates: Receiver<Update>,
}

impl Controller {
    /// Starts the controller on a runtime and asks the node for everything.
    #[must_use]
    pub fn start(
        handle: Handle,
        lock: ScreenLock,
        runtime: &tokio::runtime::Handle,
        save: Option<SavePreferences>,
        wake: Wake,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (tx, updates) = channel();
        let link = Link { handle, lock, updates: tx, wake, save };
        // Subscribed before the first question, so that nothing falls between the answer and the events.
        runtime.spawn(listen(link.clone()));
        runtime.spawn(attend(link.clone()));
        runtime.spawn(obey(link, inbox));
        let this = Self { commands, updates };
        this.send(Command::Everything);
        this
    }

    /// Asks for a command to be run. Never waits; people type slower than the node answers, so the queue is short.
    pub fn send(&self, command: Command) {
        // Fails only when the runtime is gone, and then `Update::Stopped` has said so.
        let _ = self.commands.send(command);
    }

    /// The next update, if one is there.
    #[must_use]
    pub fn next(&self) -> Option<Update> {
        self.updates.try_recv().ok()
    }
}

#[derive(Clone)]
struct Link {
    handle: Handle,
    lock: ScreenLock,
    updates: Sender<Update>,
    wake: Wake,
    save: Option<SavePreferences>,
}

impl Link {
    fn tell(&self, update: Update) {
        if self.updates.send(update).is_ok() {
            (self.wake)();
        }
    }

    async fn run(&self, command: Command) {
        let h = &self.handle;
        let failed = match command {
            Command::Everything => return self.everything().await,
            Command::Say { conversation, body, reply_to } => {
                match h.answer(conversation, &body, None, reply_to).await {
                    Ok(said) => return self.tell(Update::Said(said)),
                    Err(error) => return self.tell(Update::NotSaid { conversation, body, error }),
                }
            }
            Command::Edit { conversation, id, body } => match h.edit(conversation, id, &body).await {
                Ok(m) => return self.changed(m),
                Err(e) => Some(e),
            },
            Command::Delete(conversation, id) => match h.delete(conversation, id).await {
                Ok(m) => return self.changed(m),
                Err(e) => Some(e),
            },
            Command::React { conversation, id, emoji, on } => match h.react(conversation, id, &emoji, on).await {
                Ok(m) => return self.changed(m),
                Err(e) => Some(e),
            },
            // Nobody misses it.
            Command::Typing(conversation, on) => return drop(h.typing(conversation, on).await),
            Command::SetPinned(id, pinned) => match h.set_pinned(id, pinned).await {
                Ok(_) => return self.conversations().await,
                Err(e) => Some(e),
            },
            Command::SetMuted(id, until) => match h.set_muted(id, until).await {
                Ok(c) => return self.tell(Update::Event(Box::new(Event::Conversation(Box::new(c))))),
                Err(e) => Some(e),
            },
            Command::Versions(conversation, id) => {
                let versions = h.versions(conversation, id).await.ok();
                return self.tell(Update::Versions(conversation, id, versions));
            }
            Command::Find(conversation, id) => match h.message(conversation, id).await {
                Ok(m) => return self.tell(Update::Found(conversation, m.key)),
                Err(e) => Some(e),
            },
            Command::Page(id, at, limit) => {
                let page = h.page(id, at, limit).await;
                return self.tell(Update::Page(id, at, page));
            }
            Command::Receipts(id, message) => {
                let list = h.receipts(id, message).await.ok();
                return self.tell(Update::Receipts(id, message, list));
            }
            Command::Members(id) => {
                let list = h.members(id).await.ok();
                return self.tell(Update::Members(id, list));
            }
            Command::Retention(id) => match h.retention(id).await {
                Ok(r) => return self.tell(Update::Event(Box::new(Event::Retention(Box::new(r))))),
                // It may have gone meanwhile; nothing is shown then.
                Err(_) => None,
            },
            Command::SetRetention(id, keep) => match h.set_retention(id, keep).await {
                Ok(r) => return self.tell(Update::Event(Box::new(Event::Retention(Box::new(r))))),
                Err(e) => Some(e),
            },
            Command::Forget(id) => match h.forget(id, None).await {
                Ok(r) => return self.tell(Update::Event(Box::new(Event::Retention(Box::new(r))))),
                Err(e) => Some(e),
            },
            Command::Custody(id) => {
                let custody = h.custody(id, None).await.ok().map(Box::new);
                return self.tell(Update::Custody(id, custody));
            }
            Command::MarkRead(id, key) => h.mark_read(id, key).await.err(),
            Command::SetName(name) => match h.set_name(&name).await {
                Ok(status) => return self.tell(Update::Status(Box::new(status))),
                Err(e) => Some(e),
            },
            Command::SetPetname(device, name) => match h.set_petname(device, name.as_deref()).await {
                Ok(peer) => return self.tell(Update::Event(Box::new(Event::Peer(Box::new(peer))))),
                Err(e) => Some(e),
            },
            Command::Safety(device) => match h.safety(device).await {
                Ok(safety) => return self.tell(Update::Safety(Box::new(safety))),
                Err(e) => Some(e),
            },
            Command::SetVerified(device, verified) => match h.set_verified(device, verified).await {
                Ok(peer) => return self.tell(Update::Event(Box::new(Event::Peer(Box::new(peer))))),
                Err(e) => Some(e),
            },
            Command::ReadCode(device, from) => {
                let result = self.read_code(device, from).await;
                return self.tell(Update::ReadCode(device, result));
            }
            Command::UseKey(from) => {
                let result = self.use_key(from).await;
                return self.tell(Update::KeyChanged(result));
            }
            Command::DropOldKeys => {
                let result = h.change_network_key(KeyChange::DropOld).await;
                return self.tell(Update::KeyChanged(result));
            }
            Command::RemoveKey => {
                let result = h.change_network_key(KeyChange::Remove).await;
                return self.tell(Update::KeyChanged(result));
            }
            Command::Key => {
                let text = h.network_key().await.map(|key| Secret(Zeroizing::new(key.to_string())));
                return self.tell(Update::Key(text));
            }
            Command::JoinNetwork(id) => match h.join_network(id).await {
                Ok(n) => return self.tell(Update::Event(Box::new(Event::Network(Box::new(n))))),
                Err(e) => Some(e),
            },
            Command::KeepApart(id) => match h.keep_apart(id).await {
                Ok(n) => return self.tell(Update::Event(Box::new(Event::Network(Box::new(n))))),
                Err(e) => Some(e),
            },
            Command::NameNetwork(id, name) => match h.name_network(id, &name).await {
                Ok(n) => return self.tell(Update::Event(Box::new(Event::Network(Box::new(n))))),
                Err(e) => Some(e),
            },
            Command::BriefingSeen(id) => h.briefing_seen(id).await.err(),
            Command::SetReadReceipts(told) => match h.set_read_receipts(told).await {
                Ok(status) => return self.tell(Update::Status(Box::new(status))),
                Err(e) => Some(e),
            },
            Command::SetAway(away) => h.set_away(away).await.err(),
            Command::Lock => self.lock.lock().err(),
            Command::Unlock(typed) => {
                let lock = self.lock.clone();
                // A guess takes its time.
                let tried = tokio::task::spawn_blocking(move || lock.unlock(&typed.0)).await;
                let tried = tried.unwrap_or_else(|e| Err(ApiError::new("internal", e.to_string())));
                return tried.err().map_or((), |e| self.tell(Update::NotUnlocked(e)));
            }
            Command::Save(preferences) => {
                if let Some(save) = self.save.clone() {
                    // A disk may be slow; a failed task would only lose a preference.
                    let _ = tokio::task::spawn_blocking(move || save(preferences)).await;
                }
                None
            }
            // The window's own.
            Command::Copy(_) | Command::Paste | Command::Quit => None,
        };
        if let Some(e) = failed {
            self.tell(if e.code == "stopped" { Update::Stopped } else { Update::Failed(e) });
        }
    }

    fn changed(&self, m: Message) {
        self.tell(Update::Event(Box::new(Event::Changed(Box::new(m)))));
    }

    /// Reads the code that a device shows, beside the tasks that talk to the node: a large photo takes a second or two.
    async fn read_code(&self, device: DeviceId, from: CodeFrom) -> Result<(), ApiError> {
        let code: Code = aside(move || read(from)).await?;
        let peer = self.handle.scan(&code.to_string(), Some(device)).await?;
        self.tell(Update::Event(Box::new(Event::Peer(Box::new(peer)))));
        Ok(())
    }

    /// Sets or changes the network's key.
    async fn use_key(&self, from: KeyFrom) -> Result<(), ApiError> {
        let (key, network) = aside(move || match from {
            KeyFrom::Typed(text) => netkey::of_text(&text.0),
            KeyFrom::Random => netkey::random(),
            KeyFrom::Code(from) => read(from).map(netkey::of_invite),
        })
        .await?;
        self.handle.change_network_key(KeyChange::Use(key, network)).await
    }

    async fn everything(&self) {
        let h = &self.handle;
        match h.status().await {
            Ok(s) => self.tell(Update::Status(Box::new(s))),
            Err(e) if e.code == "stopped" => return self.tell(Update::Stopped),
            Err(e) => self.tell(Update::Failed(e)),
        }
        match h.peers().await {
            Ok(list) => self.tell(Update::Peers(list)),
            Err(e) => self.tell(Update::Failed(e)),
        }
        match h.networks().await {
            Ok(list) => self.tell(Update::Networks(list)),
            Err(e) => self.tell(Update::Failed(e)),
        }
        match h.briefings().await {
            Ok(list) => self.tell(Update::Briefings(list)),
            Err(e) => self.tell(Update::Failed(e)),
        }
        self.conversations().await;
    }

    async fn conversations(&self) {
        match self.handle.conversations().await {
            Ok(list) => self.tell(Update::Conversations(list)),
            Err(e) => self.tell(Update::Failed(e)),
        }
    }
}

/// Does what takes long beside the tasks that talk to the node.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, ApiError> + Send + 'static) -> Result<T, ApiError> {
    let failed = |_| Err(ApiError::new("system", "this could not be finished"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// What a code says.
fn read<T: Meaning>(from: CodeFrom) -> Result<T, ApiError> {
    let code = match from {
        CodeFrom::File(path) => qr::code_in_file(&path),
        CodeFrom::Text(text) => qr::code_in(text.as_bytes()),
        CodeFrom::Pixels(width, height, rgba) => qr::code_in_pixels(width, height, rgba),
    };
    code.map_err(|e| ApiError::new(e.name(), e.to_string()))
}

/// Runs commands one after another, so that what was typed first is said first.
async fn obey(link: Link, mut inbox: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = inbox.recv().await {
        match command {
            // What is said keeps its order; reading must not wait for the disk.
            Command::Say { .. }
            | Command::Edit { .. }
            | Command::Delete(..)
            | Command::React { .. }
            | Command::SetName(_)
            | Command::SetPetname(..)
            | Command::SetVerified(..)
            | Command::NameNetwork(..) => {
                link.run(command).await;
            }
            other => {
                let link = link.clone();
                tokio::spawn(async move { link.run(other).await });
            }
        }
    }
}

/// Tells what the lock is and becomes.
async fn attend(link: Link) {
    let mut states = link.lock.watch();
    loop {
        let state = states.borrow_and_update().clone();
        link.tell(Update::Lock { sealed: link.lock.can_lock(), state });
        if states.changed().await.is_err() {
            return;
        }
    }
}

async fn listen(link: Link) {
    let mut events = link.handle.subscribe();
    loop {
        match events.recv().await {
            Ok(event) => link.tell(Update::Event(Box::new(event))),
            Err(RecvError::Lagged(_)) => link.tell(Update::Event(Box::new(Event::Lagged))),
            Err(RecvError::Closed) => return link.tell(Update::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;
    use cairn_actors::api::{DeliveryState, Said};
    use cairn_actors::handle::Request;
    use cairn_crdt::ids::MessageId;
    use std::time::Duration;
    use tokio::sync::broadcast;

    fn wait(c: &Controller, woken: &Receiver<()>, mut want: impl FnMut(&Update) -> bool) -> Update {
        loop {
            while let Some(u) = c.next() {
                if want(&u) {
                    return u;
                }
            }
            woken.recv_timeout(Duration::from_secs(10)).expect("no update");
        }
    }

    #[test]
    fn commands_reach_the_node_and_events_the_model() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (requests, mut inbox) = mpsc::channel(8);
        let (events, _) = broadcast::channel(8);
        // A node of four answers: what is tested is the way there and back.
        runtime.spawn(async move {
            while let Some(request) = inbox.recv().await {
                match request {
                    Request::Status(r) => drop(r.send(Ok(sample::status()))),
                    Request::Say { conversation, body, reply, .. } => {
                        let ok = Said {
                            id: MessageId([1; 16]),
                            conversation: Some(conversation),
                            state: DeliveryState::Queued,
                            ambiguous: Vec::new(),
                        };
                        let answer = if body == "no" { Err(ApiError::new("empty", "nothing")) } else { Ok(ok) };
                        drop(reply.send(answer));
                    }
                    _ => {}
                }
            }
        });
        let (tx, woken) = channel();
        let wake: Wake = Arc::new(move || tx.send(()).unwrap_or_default());
        let (saved_tx, saved) = channel();
        let lock = ScreenLock::open(std::path::Path::new("nowhere"), None);
        let save: SavePreferences = Arc::new(move |p| drop(saved_tx.send(p)));
        let c = Controller::start(Handle::new(requests, events.clone()), lock, runtime.handle(), Some(save), wake);
        wait(&c, &woken, |u| matches!(u, Update::Status(s) if s.name == "Linh Wagner"));
        events.send(Event::Notice { code: "x".into(), message: "y".into() }).unwrap();
        wait(&c, &woken, |u| matches!(u, Update::Event(e) if matches!(**e, Event::Notice { .. })));
        c.send(Command::Say { conversation: sample::everyone(), body: "hello".into(), reply_to: None });
        wait(&c, &woken, |u| matches!(u, Update::Said(_)));
        c.send(Command::Say { conversation: sample::everyone(), body: "no".into(), reply_to: None });
        wait(&c, &woken, |u| matches!(u, Update::NotSaid { body, .. } if body == "no"));
        // An answer that never comes because the node dropped the question.
        c.send(Command::SetAway(true));
        wait(&c, &woken, |u| matches!(u, Update::Stopped));
        c.send(Command::Save(Preferences { scale: 150, ..Preferences::default() }));
        assert_eq!(saved.recv_timeout(Duration::from_secs(10)).unwrap().scale, 150);
    }
}
