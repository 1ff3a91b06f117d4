//! What the actors of a node share: who they are, where the others are, and the few things that outlive a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::known::Known;
use cairn_crdt::netkey::{KeyTag, NetworkKey, Ring};
use ractor::{ActorRef, Message};
use tokio::sync::broadcast;

use crate::api::{CatchUp, Compacted, Compaction, Event, HeldBack, InterfaceInfo, LinkState, NetworkKeyState, Status};
use crate::discovery::DiscoveryMsg;
use crate::documents::DocumentsMsg;
use crate::endpoint::EndpointMsg;
use crate::env::Env;
use crate::limits::{EVENTS, OFFENDER_INTERVAL, OFFENDERS_TOLD};
use crate::link::Transport;
use crate::people::People;
use crate::presence::PresenceMsg;
use crate::proto::agreed::{Clocks, Quorum};
use crate::proto::clock::MeshTime;
use crate::quota::Quota;
use crate::secrets::Prekeys;
use crate::sessions::SessionsMsg;
use crate::settings::Settings;
use crate::storage::{Committer, StorageMsg};
use crate::store::{Seal, Store, Table, Write};

/// Where an actor is now. A message to an actor that is being restarted is dropped: whoever restarts asks for what it
/// needs, so nothing rests on such a message.
#[derive(Debug)]
pub struct Slot<M>(RwLock<Option<ActorRef<M>>>);

impl<M: Message> Default for Slot<M> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<M: Message> Slot<M> {
    /// Sends a message; `false` if nobody is there.
    pub fn cast(&self, msg: M) -> bool {
        let slot = self.0.read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().is_some_and(|a| a.send_message(msg).is_ok())
    }

    /// Puts an actor here.
    pub fn set(&self, actor: ActorRef<M>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// The actor here.
    #[must_use]
    pub fn get(&self) -> Option<ActorRef<M>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Mesh time, as presence measures it.
#[derive(Debug, Default)]
pub struct Mesh {
    offset_ms: AtomicI64,
    agreed: AtomicBool,
    /// What was measured; it outlives a restart of presence.
    pub machine: Mutex<MeshTime>,
}

impl Mesh {
    /// Mesh time minus our clock in milliseconds, and whether anybody else has a vote in it.
    pub fn set(&self, offset_ms: i64, agreed: bool) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
        self.agreed.store(agreed, Ordering::Relaxed);
    }

    /// Mesh time minus our clock in milliseconds.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Whether anybody else has a vote in it.
    #[must_use]
    pub fn agreed(&self) -> bool {
        self.agreed.load(Ordering::Relaxed)
    }
}

/// What a person is told of this node beyond its peers.
#[derive(Debug, Clone)]
pub struct Me {
    /// Display name.
    pub name: String,
    /// Chosen or confirmed by a person.
    pub named: bool,
    /// Interfaces in use.
    pub interfaces: Vec<InterfaceInfo>,
    /// Whether discovery is on; without it no interface is listed and `alone` is all that can be said.
    pub discovery: bool,
    /// The data folder.
    pub data: std::path::PathBuf,
}

/// What the actors of a node share.
pub struct Wiring {
    /// Clock and randomness.
    pub env: Env,
    /// The device's key.
    pub key: DeviceKey,
    /// The device.
    pub me: DeviceId,
    /// This start, as others know it from beacons and sessions.
    pub incarnation: Incarnation,
    /// The start whose logs are written now: another one once this one turned out to run elsewhere too.
    pen: RwLock<Incarnation>,
    /// Reads, and the writer's target.
    pub store: Arc<dyn Store>,
    /// What the data folder is sealed with.
    pub seal: Seal,
    /// Makes and takes links.
    pub transport: Arc<dyn Transport>,
    /// What happened.
    pub events: broadcast::Sender<Event>,
    /// Devices known.
    pub people: People,
    /// What a person is told.
    pub about: RwLock<Me>,
    /// What is wrong, by a stable code.
    pub troubles: Mutex<BTreeMap<&'static str, String>>,
    /// Who offended, and when the person was told.
    pub offenders: Mutex<BTreeMap<DeviceId, Duration>>,
    /// What other clocks showed; it outlives a restart of presence.
    pub clocks: Mutex<Clocks>,
    /// What this build understands; tests run others.
    pub known: Known,
    /// Entries here that need a newer Cairn.
    pub newer: AtomicU64,
    /// Conversations that are catching up.
    pub catching_up: Mutex<Vec<CatchUp>>,
    /// When the store last gave room back by itself.
    pub compaction: Mutex<Option<Compaction>>,
    /// What others may make this device keep.
    quota: RwLock<Quota>,
    /// The keys that others seal to.
    pub prekeys: Prekeys,
    /// What others write that is not kept here for now.
    pub held_back: Mutex<Vec<HeldBack>>,
    /// Entries that came and were not kept because of that.
    pub dropped: AtomicU64,
    /// The person is away.
    pub away: AtomicBool,
    /// Others are told how far the person has read.
    pub read_receipts: AtomicBool,
    /// Mesh time.
    pub mesh: Mesh,
    /// The networks that this device is in.
    pub networks: RwLock<BTreeSet<NetworkId>>,
    /// The keys of its network.
    keys: RwLock<Ring>,
    /// Devices with other keys of which a person was told.
    refused: Mutex<BTreeSet<DeviceId>>,
    /// How late this node does things, in milliseconds.
    pub lag: AtomicU64,
    /// Numbers sessions.
    pub serial: AtomicU64,
    /// Kept as long as the node (the lock of the data folder).
    pub keep: Mutex<Option<Box<dyn std::any::Any + Send + Sync>>>,
    /// The way to the writer.
    pub committer: RwLock<Option<Committer>>,
    /// The storage actor.
    pub storage: Slot<StorageMsg>,
    /// The documents actor.
    pub documents: Slot<DocumentsMsg>,
    /// The sessions' supervisor.
    pub sessions: Slot<SessionsMsg>,
    /// The presence actor.
    pub presence: Slot<PresenceMsg>,
    /// The endpoint actor.
    pub endpoint: Slot<EndpointMsg>,
    /// The discovery actor.
    pub discovery: Slot<DiscoveryMsg>,
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wiring({})", self.me.short())
    }
}

impl Wiring {
    /// Wiring without actors yet.
    #[must_use]
    pub fn new(
        env: Env,
        key: DeviceKey,
        incarnation: Incarnation,
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        people: People,
        about: Me,
    ) -> Self {
        people.own_name(&about.name, about.named);
        let me = key.id();
        Self {
            env,
            me,
            key,
            incarnation,
            pen: RwLock::new(incarnation),
            store,
            seal: Seal::NONE,
            transport,
            events: broadcast::channel(EVENTS).0,
            people,
            about: RwLock::new(about),
            troubles: Mutex::default(),
            offenders: Mutex::default(),
            clocks: Mutex::default(),
            known: Known::this_build(),
            newer: AtomicU64::new(0),
            catching_up: Mutex::default(),
            compaction: Mutex::default(),
            quota: RwLock::new(Quota::of(&Settings::default())),
            prekeys: Prekeys::new(me),
            held_back: Mutex::default(),
            dropped: AtomicU64::new(0),
            away: AtomicBool::new(false),
            read_receipts: AtomicBool::new(true),
            mesh: Mesh::default(),
            networks: RwLock::default(),
            keys: RwLock::default(),
            refused: Mutex::default(),
            lag: AtomicU64::new(0),
            serial: AtomicU64::new(1),
            keep: Mutex::default(),
            committer: RwLock::default(),
            storage: Slot::default(),
            documents: Slot::default(),
            sessions: Slot::default(),
            presence: Slot::default(),
            endpoint: Slot::default(),
            discovery: Slot::default(),
        }
    }

    /// How late this node does things: the machine has no moment to spare.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_millis(self.lag.load(Ordering::Relaxed))
    }

    /// Tells subscribers; nobody may be listening.
    pub fn emit(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Something a person should know.
    pub fn notice(&self, code: &str, message: impl Into<String>) {
        self.emit(Event::Notice { code: code.into(), message: message.into() });
    }

    /// Something that a person should know of a device that did what it may not: told once a minute for each, and of
    /// few devices at all, so that nobody can flood a person with what was refused.
    pub fn notice_about(&self, device: &DeviceId, code: &str, message: impl Into<String>) {
        let now = self.env.mono();
        let mut told = self.offenders.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now < at.saturating_add(OFFENDER_INTERVAL));
        if told.len() < OFFENDERS_TOLD && !told.contains_key(device) {
            told.insert(*device, now);
            drop(told);
            self.notice(code, message);
        }
    }

    /// A device has another network key, or one of the two has none. Its person or ours should know where it is known
    /// here or we dialled it, once until our keys change; of strangers that knock the log tells.
    pub fn other_key(&self, device: &DeviceId, dialled: bool) {
        if !dialled && self.people.record(device).is_none() {
            return;
        }
        let mut told = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < OFFENDERS_TOLD && told.insert(*device) {
            drop(told);
            let open = self.keys().is_open();
            let what = if open { "a network key, and this device has none" } else { "another network key, or none" };
            let name = self.name_of(device);
            self.notice("network_key", format!("{name} has {what}: they reach each other once both have the same."));
        }
    }

    /// Something is wrong, or no longer; tells subscribers if that is new.
    pub fn trouble(&self, code: &'static str, sentence: Option<String>) {
        let changed = {
            let mut t = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
            match sentence {
                Some(s) => t.insert(code, s.clone()).as_ref() != Some(&s),
                None => t.remove(code).is_some(),
            }
        };
        if changed {
            self.emit(Event::Status(Box::new(self.status())));
        }
    }

    /// The store gave room back by itself; tells subscribers.
    pub fn compacted(&self, room: Compacted) {
        let at = self.env.now_ms();
        *self.compaction.lock().unwrap_or_else(PoisonError::into_inner) = Some(Compaction { at, room });
        self.emit(Event::Status(Box::new(self.status())));
    }

    /// What others may make this device keep, in bytes.
    #[must_use]
    pub fn quota(&self) -> Quota {
        *self.quota.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it; answers whether it is another than before.
    pub fn set_quota(&self, quota: Quota) -> bool {
        std::mem::replace(&mut *self.quota.write().unwrap_or_else(PoisonError::into_inner), quota) != quota
    }

    /// The way to the writer, while there is one.
    #[must_use]
    pub fn committer(&self) -> Option<Committer> {
        self.committer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The start whose logs are written now.
    #[must_use]
    pub fn pen(&self) -> Incarnation {
        *self.pen.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on logs of a new start are written; answers what keeps that this device had it.
    #[must_use]
    pub fn renew_pen(&self) -> Write {
        let new = Incarnation(self.env.random());
        *self.pen.write().unwrap_or_else(PoisonError::into_inner) = new;
        started(&new, &self.env)
    }

    /// Our display name.
    #[must_use]
    pub fn name(&self) -> String {
        self.about.read().unwrap_or_else(PoisonError::into_inner).name.clone()
    }

    /// A device's name as shown here.
    #[must_use]
    pub fn name_of(&self, device: &DeviceId) -> String {
        if *device == self.me { self.name() } else { self.people.name(device) }
    }

    /// Mesh time in milliseconds since 1970: what most clocks here agree on, and what everything is stamped with.
    #[must_use]
    pub fn mesh_ms(&self) -> u64 {
        self.env.now_ms().saturating_add_signed(self.mesh.offset_ms())
    }

    /// The networks that this device is in.
    #[must_use]
    pub fn networks(&self) -> BTreeSet<NetworkId> {
        self.networks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys of our network.
    #[must_use]
    pub fn keys(&self) -> Ring {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets them; answers whether they are others than before.
    pub fn set_keys(&self, keys: Ring) -> bool {
        let mut here = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let other = *here != keys;
        *here = keys;
        drop(here);
        if other {
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        other
    }

    /// The keys of our network that are accepted now, the present one first; none: it is open.
    #[must_use]
    pub fn accepted_keys(&self) -> Vec<NetworkKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).accepted(self.env.now_ms())
    }

    /// Whether a link that was proved with this key, or with none, may be a session now.
    #[must_use]
    pub fn accepts(&self, proved: Option<KeyTag>) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).accepts(proved, self.env.now_ms())
    }

    /// The time in milliseconds since 1970, if enough others agree on it.
    #[must_use]
    pub fn agreed_ms(&self, quorum: Quorum) -> Option<u64> {
        let clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.agreed(quorum, self.env.now_ms(), self.env.mono())
    }

    /// The next number of a session.
    #[must_use]
    pub fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The node at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        let about = self.about.read().unwrap_or_else(PoisonError::into_inner).clone();
        let peers = self.people.here().len();
        Status {
            id: self.me,
            name: about.name,
            code: self.me.code(),
            incarnation: self.pen(),
            port: self.transport.port(),
            peers_online: u32::try_from(peers).unwrap_or(u32::MAX),
            link: if peers > 0 {
                LinkState::Online
            } else if about.interfaces.is_empty() && about.discovery {
                LinkState::NoNetwork
            } else {
                LinkState::Alone
            },
            interfaces: about.interfaces,
            data: about.data,
            version: env!("CARGO_PKG_VERSION").into(),
            named: about.named,
            clock_offset_ms: self.mesh.offset_ms(),
            needs_newer: self.newer.load(Ordering::Relaxed),
            read_receipts: self.read_receipts.load(Ordering::Relaxed),
            catching_up: self.catching_up.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            compacted: *self.compaction.lock().unwrap_or_else(PoisonError::into_inner),
            held_back: self.held_back.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            held_back_entries: self.dropped.load(Ordering::Relaxed),
            network_key: NetworkKeyState::of(&self.keys(), self.env.now_ms()),
            troubles: self.troubles.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect(),
        }
    }
}

/// What keeps, before anything is signed, that this device had a start, and when.
#[must_use]
pub fn started(incarnation: &Incarnation, env: &Env) -> Write {
    let key = [&b"incarnation/"[..], &incarnation.0].concat();
    Write::Put(Table::Meta, key, env.now_ms().to_be_bytes().to_vec())
}
