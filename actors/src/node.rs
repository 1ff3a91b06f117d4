//! A node: starts the tree, restarts what dies, answers what concerns the node as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::Incarnation;
use cairn_crdt::known::Known;
use cairn_crdt::netkey::Ring;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::api::{ApiError, Compacted, Event, Status};
use crate::documents::DocumentsMsg;
use crate::env::Env;
use crate::handle::{Care, Handle, Request};
use crate::keys::Keys;
use crate::link::Transport;
use crate::lives::{Life, Order, Orders, Remake, live};
use crate::presence::PresenceMsg;
use crate::proto::session::{Control, clean_name};
use crate::quota::Quota;
use crate::sessions::SessionsMsg;
use crate::settings::Settings;
use crate::storage::WriterMode;
use crate::store::{Seal, Store, StoreError, Write};
use crate::tree::{Child, Restarts, Spec};

/// Requests that may wait.
const REQUESTS: usize = 1_024;
/// A part that could not start again is tried again after this long.
const RETRY: std::time::Duration = std::time::Duration::from_millis(200);
/// Longest wait for goodbyes and the last commits when stopping.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(3);

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// The settings file.
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    /// The file of the network's key.
    #[error(transparent)]
    NetworkKey(#[from] crate::netkeys::KeyFileError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network.
    #[error("no port could be opened: {0}")]
    Transport(String),
    /// A name that is not one.
    #[error("a name has 1 to 64 bytes and at least one character that can be seen")]
    BadName,
    /// Randomness or threads.
    #[error("{0}")]
    System(String),
}

/// What a node is made of; [`crate::start::start`] fills it for real use, simulations by hand.
pub struct Parts {
    /// Clock and randomness.
    pub env: Env,
    /// What the build understands.
    pub known: Known,
    /// The device's key.
    pub key: DeviceKey,
    /// The start to go on as, where a simulation resumes one from a snapshot; else a new one.
    pub resumed: Option<Incarnation>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the data folder is sealed with.
    pub seal: Seal,
    /// What is to be kept before anything is signed.
    pub first: Vec<Write>,
    /// How the writer runs.
    pub writer: WriterMode,
    /// The transport.
    pub transport: Arc<dyn Transport>,
    /// The settings, and the file they belong to.
    pub settings: (Settings, Option<PathBuf>),
    /// The keys of the network, and the file they belong to.
    pub keys: (Ring, Option<PathBuf>),
    /// The name shown until a person chooses one.
    pub name: String,
    /// The data folder, for show.
    pub data: PathBuf,
    /// Makes discovery's arguments.
    pub discovery: crate::tree::MakeDiscovery,
    /// Whether discovery sends and hears beacons.
    pub discovering: bool,
    /// What is wrong from the start, a sentence each.
    pub troubles: Vec<String>,
    /// Room that the store gave back before the start.
    pub given_back: Option<Compacted>,
    /// Kept until the node has stopped (the lock of the data folder).
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

/// A running node. It ends without a goodbye when the last handle is dropped; [`Handle::stop`] says one.
#[derive(Debug)]
pub struct Node {
    /// The door.
    pub handle: Handle,
    ended: watch::Receiver<Option<Result<(), String>>>,
}

impl Node {
    /// Waits until the node has stopped.
    ///
    /// # Errors
    /// A sentence if it stopped because a part of it failed again and again.
    pub async fn wait(mut self) -> Result<(), String> {
        loop {
            if let Some(result) = self.ended.borrow_and_update().clone() {
                return result;
            }
            if self.ended.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Starts a node of parts, which stops where a renewal is due.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        Self::start_renewable(parts, None).await
    }

    /// Starts a node of parts; `remake` makes those of its next life.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_renewable(parts: Parts, remake: Option<Remake>) -> Result<Self, StartError> {
        let orders = Orders::new(remake.is_some());
        let first = Life::begin(parts, None, &orders).await?;
        let (tx, rx) = mpsc::channel(REQUESTS);
        let handle = Handle::new(tx, first.wiring.events.clone());
        let (root_tx, root) = watch::channel(Some(first.root.clone()));
        let (ended_tx, ended) = watch::channel(None);
        tokio::spawn(forward(rx, root));
        tokio::spawn(async move {
            let why = live(first, remake, &orders, &root_tx).await;
            let _ = ended_tx.send(Some(why.map_or(Ok(()), Err)));
        });
        Ok(Self { handle, ended })
    }
}

/// Passes requests on, no more at once than may wait: mailboxes have no bound of their own. Between two lives they wait.
async fn forward(mut rx: mpsc::Receiver<Request>, mut root: watch::Receiver<Option<ActorRef<RootMsg>>>) {
    let places = Arc::new(Semaphore::new(REQUESTS));
    while let Some(request) = rx.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let mut request = RootMsg::Request(Box::new(request), place);
        loop {
            let Ok(here) = root.wait_for(Option::is_some).await.map(|root| root.clone()) else { return };
            match here.map(|root| root.send_message(request)) {
                Some(Err(MessagingErr::SendErr(back))) => request = back,
                _ => break,
            }
            // It is just ending: the next one takes it, or nobody.
            if root.changed().await.is_err() {
                return;
            }
        }
    }
    // Nobody holds a door any more: what is left would go on for nobody, and for good.
    if let Ok(Some(root)) = root.wait_for(Option::is_some).await.map(|root| root.clone()) {
        root.kill();
    }
}

/// A message to the root.
pub(crate) enum RootMsg {
    Request(Box<Request>, OwnedSemaphorePermit),
    Restart(Child),
    /// Look whether an old network key has ended.
    KeysDue,
    /// This life ends so that another one begins.
    Renew(Order),
}

pub(crate) struct Root;

pub(crate) struct RootArgs {
    pub spec: Spec,
    pub settings: (Settings, Option<PathBuf>),
    pub keys_file: Option<PathBuf>,
    /// Why the node gave up, if it did.
    pub failure: Arc<Mutex<Option<String>>>,
    pub orders: Orders,
}

pub(crate) struct RootState {
    spec: Spec,
    settings: Settings,
    settings_file: Option<PathBuf>,
    keys: Keys,
    children: BTreeMap<Child, ActorCell>,
    restarts: BTreeMap<Child, Restarts>,
    /// Why the node gave up, if it did.
    failure: Arc<Mutex<Option<String>>>,
    orders: Orders,
    /// One check, backup or restore at once.
    caring: Arc<Semaphore>,
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(&self, me: ActorRef<RootMsg>, args: RootArgs) -> Result<RootState, ActorProcessingErr> {
        let RootArgs { spec, settings: (settings, settings_file), keys_file, failure, orders } = args;
        let keys = Keys::begin(keys_file, &spec.wiring, &me);
        let mut children = BTreeMap::new();
        for child in Child::ALL {
            children.insert(child, spec.start(child, me.get_cell()).await?);
        }
        spec.wiring.emit(Event::Ready(Box::new(spec.wiring.status())));
        let (restarts, caring) = (BTreeMap::new(), Arc::new(Semaphore::new(1)));
        Ok(RootState { spec, settings, settings_file, keys, children, restarts, failure, orders, caring })
    }

    async fn handle(&self, me: ActorRef<RootMsg>, msg: RootMsg, s: &mut RootState) -> Result<(), ActorProcessingErr> {
        match msg {
            RootMsg::Request(request, place) => s.answer(&me, *request, place).await,
            RootMsg::Restart(child) => s.restart(&me, child).await,
            RootMsg::KeysDue => s.keys.look(&s.spec.wiring, &me),
            RootMsg::Renew(order) => {
                s.orders.give(order);
                s.stop(&me).await;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RootMsg>,
        event: SupervisionEvent,
        s: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (id, why) = match event {
            SupervisionEvent::ActorTerminated(cell, _, why) => (cell.get_id(), why.unwrap_or_else(|| "stopped".into())),
            SupervisionEvent::ActorFailed(cell, why) => (cell.get_id(), why.to_string()),
            _ => return Ok(()),
        };
        if let Some(child) = s.child(id) {
            tracing::error!(child = child.name(), %why, "a part of the node died and is started again");
            s.children.remove(&child);
            for other in child.takes_along() {
                if let Some(cell) = s.children.remove(other) {
                    cell.kill();
                }
            }
            s.restart(&me, child).await;
            for other in child.takes_along() {
                s.restart(&me, *other).await;
            }
        }
        Ok(())
    }
}

impl RootState {
    fn child(&self, id: ActorId) -> Option<Child> {
        self.children.iter().find(|(_, cell)| cell.get_id() == id).map(|(child, _)| *child)
    }

    async fn restart(&mut self, me: &ActorRef<RootMsg>, child: Child) {
        if self.children.contains_key(&child) {
            return;
        }
        let allowed = self.restarts.entry(child).or_default().allow(self.spec.wiring.env.mono());
        if !allowed {
            let why = format!("the part {:?} of this node failed again and again; it stops here", child.name());
            self.spec.wiring.notice("gave_up", why.clone());
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            me.stop(None);
            return;
        }
        match self.spec.start(child, me.get_cell()).await {
            Ok(cell) => {
                self.children.insert(child, cell);
                self.spec.wiring.notice("restarted", format!("A part of Cairn ({}) was started again.", child.name()));
            }
            Err(e) => {
                tracing::error!(child = child.name(), "it could not start again: {e}");
                drop(me.send_after(RETRY, move || RootMsg::Restart(child)));
            }
        }
    }

    async fn answer(&mut self, me: &ActorRef<RootMsg>, request: Request, place: OwnedSemaphorePermit) {
        let wiring = self.spec.wiring.clone();
        match request {
            Request::Status(reply) => drop(reply.send(Ok(wiring.status()))),
            Request::Peers(reply) => drop(reply.send(Ok(wiring.people.peers()))),
            Request::SetName(name, reply) => drop(reply.send(self.set_name(&name))),
            Request::SetAway(away, reply) => {
                wiring.away.store(away, Ordering::Relaxed);
                wiring.presence.cast(PresenceMsg::SayNow);
                let _ = reply.send(Ok(()));
            }
            Request::SetReadReceipts(told, reply) => drop(reply.send(self.set_read_receipts(told))),
            Request::SettingsChanged(reply) => {
                let read = self.keys.reload(&wiring, me).and_then(|()| self.reload());
                let _ = reply.send(read);
            }
            Request::ChangeKey(change, reply) => drop(reply.send(self.keys.change(change, &wiring, me))),
            Request::Key(reply) => {
                let ring = wiring.keys();
                let _ = reply.send(Ok(ring.key().cloned().zip(ring.network())));
            }
            Request::Kill(name, reply) => drop(reply.send(self.kill(&name))),
            Request::Care(care) => self.care(me, care, place),
            Request::Stop(reply) => {
                self.spec.wiring.emit(Event::Stopping);
                self.spec.wiring.people.stopping();
                self.stop(me).await;
                let _ = reply.send(Ok(()));
            }
            other => {
                // While documents are being restarted the reply is dropped, and the caller hears that.
                wiring.documents.cast(DocumentsMsg::Request(Box::new(other), place));
            }
        }
    }

    fn set_name(&mut self, name: &str) -> Result<Status, ApiError> {
        let name = clean_name(name).ok_or_else(|| ApiError::new("bad_name", StartError::BadName.to_string()))?;
        let mut settings = self.settings_now()?;
        settings.name = Some(name.clone());
        settings.named = true;
        self.keep(settings)?;
        self.renamed(name, true);
        Ok(self.spec.wiring.status())
    }

    fn renamed(&self, name: String, named: bool) {
        let wiring = &self.spec.wiring;
        {
            let mut about = wiring.about.write().unwrap_or_else(PoisonError::into_inner);
            about.name.clone_from(&name);
            about.named = named;
        }
        wiring.people.own_name(&wiring.name(), named);
        wiring.sessions.cast(SessionsMsg::TellAll(Control::Name(name)));
        wiring.documents.cast(DocumentsMsg::Renamed);
        wiring.emit(Event::Status(Box::new(wiring.status())));
    }

    fn set_read_receipts(&mut self, told: bool) -> Result<Status, ApiError> {
        let mut settings = self.settings_now()?;
        settings.read_receipts = told;
        self.keep(settings)?;
        self.take_read_receipts();
        Ok(self.spec.wiring.status())
    }

    /// The next statements say how far the person has read, or no longer do.
    fn take_read_receipts(&self) {
        let (wiring, told) = (&self.spec.wiring, self.settings.read_receipts);
        if wiring.read_receipts.swap(told, Ordering::Relaxed) != told {
            wiring.emit(Event::Status(Box::new(wiring.status())));
        }
    }

    /// Read anew: the window may have kept its look in the same file meanwhile.
    fn settings_now(&self) -> Result<Settings, ApiError> {
        match &self.settings_file {
            Some(path) => Settings::load(path).map_err(|e| ApiError::new("bad_settings", e.to_string())),
            None => Ok(self.settings.clone()),
        }
    }

    fn keep(&mut self, settings: Settings) -> Result<(), ApiError> {
        if let Some(path) = &self.settings_file {
            settings.save(path).map_err(|e| ApiError::new("settings_not_saved", e.to_string()))?;
        }
        self.settings = settings;
        Ok(())
    }

    fn reload(&mut self) -> Result<(), ApiError> {
        let Some(path) = &self.settings_file else { return Ok(()) };
        let settings = Settings::load(path).map_err(|e| ApiError::new("bad_settings", e.to_string()))?;
        if let Some(name) = settings.name.as_deref().and_then(clean_name)
            && name != self.spec.wiring.name()
        {
            self.renamed(name, settings.named);
        }
        if self.spec.wiring.set_quota(Quota::of(&settings)) {
            self.spec.wiring.documents.cast(DocumentsMsg::Weigh);
        }
        self.settings = settings;
        self.take_read_receipts();
        Ok(())
    }

    fn kill(&self, name: &str) -> Result<(), ApiError> {
        if name == "session" {
            self.spec.wiring.sessions.cast(SessionsMsg::KillOne);
            return Ok(());
        }
        let child = Child::ALL.into_iter().find(|c| c.name() == name);
        let cell = child.and_then(|c| self.children.get(&c));
        cell.map(|c| c.kill()).ok_or_else(|| {
            let names = Child::ALL.map(Child::name).join(", ");
            ApiError::new("no_such_actor", format!("no actor is called {name:?}; there are {names} and session"))
        })
    }

    /// Backups and checks read beside the actors; what changes the store ends this life.
    fn care(&self, me: &ActorRef<RootMsg>, care: Care, place: OwnedSemaphorePermit) {
        let Ok(turn) = self.caring.clone().try_acquire_owned() else {
            return care
                .refuse(ApiError::new("busy", "a check, backup or restore is under way: try again when it is done"));
        };
        if care.renews() && !self.orders.renewable() {
            return care.refuse(ApiError::new("not_here", "this node has no data folder to do that on"));
        }
        let (wiring, me) = (self.spec.wiring.clone(), me.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(order) = crate::care::perform(care, &wiring, (turn, place)) {
                // A node that is stopping has told so by dropping the order.
                let _ = me.send_message(RootMsg::Renew(order));
            }
        });
    }

    /// Says goodbye, waits for the commits under way, stops.
    async fn stop(&mut self, me: &ActorRef<RootMsg>) {
        let wiring = self.spec.wiring.clone();
        if let Some(cell) = self.children.remove(&Child::Discovery) {
            // Its last words are a goodbye beacon.
            let _ = cell.stop_and_wait(None, Some(STOP_WITHIN)).await;
        }
        wiring.sessions.cast(SessionsMsg::TellAll(Control::Goodbye));
        wiring.transport.shutdown("goodbye").await;
        let (tx, rx) = tokio::sync::oneshot::channel();
        if let Some(c) = wiring.committer() {
            // The writer answers in order: when it answers this, everything before is durable.
            c.commit(
                wiring.people.changes(),
                Box::new(move |_| {
                    let _ = tx.send(());
                }),
            );
            let _ = tokio::time::timeout(STOP_WITHIN, rx).await;
        }
        self.children.clear();
        me.stop(None);
    }
}
