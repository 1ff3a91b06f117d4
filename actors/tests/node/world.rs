//! A simulated world: nodes with in-memory links and stores, one switch, one paused clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::{Conversation, ConversationKind, Event, Message, PageAt};
use cairn_actors::env::Env;
use cairn_actors::handle::Handle;
use cairn_actors::link::memory::{Attached, Switch};
use cairn_actors::netkeys;
use cairn_actors::node::{Node, Parts};
use cairn_actors::settings::Settings;
use cairn_actors::start::discovery_args;
use cairn_actors::storage::WriterMode;
use cairn_actors::store::{MemoryStore, Seal};
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, Incarnation, SpaceId};
use cairn_crdt::known::Known;
use tokio::sync::oneshot;

/// Saturday 2026-11-21, 08:00 UTC.
pub const EPOCH_MS: u64 = 1_795_248_000_000;

pub struct Sim {
    pub id: DeviceId,
    pub store: MemoryStore,
    pub at: Attached,
    pub node: Node,
    /// Resolves when the node has ended, however it did: a sender that nobody uses went with it.
    pub ended: oneshot::Receiver<()>,
    seed: u16,
    clock: Clock,
    keys: Option<PathBuf>,
}

/// How a node's clock is wrong: by how many milliseconds at its start, and by how many parts per million it drifts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    pub off: i64,
    pub ppm: i32,
}

impl Sim {
    pub async fn start(lan: &Switch, seed: u16) -> Self {
        Self::start_with(lan, seed, Clock::default()).await
    }

    /// A node whose clock is wrong.
    pub async fn start_with(lan: &Switch, seed: u16, clock: Clock) -> Self {
        Self::start_on(lan, seed, clock, MemoryStore::new(), None).await
    }

    /// A node of another build of Cairn.
    pub async fn start_knowing(lan: &Switch, seed: u16, known: Known) -> Self {
        Self::start_build(lan, seed, Clock::default(), MemoryStore::new(), None, (known, None)).await
    }

    /// A node whose network key is in a file; where there is none, its network is open.
    pub async fn start_keyed(lan: &Switch, seed: u16, keys: &Path) -> Self {
        let build = (Known::this_build(), Some(keys.to_owned()));
        Self::start_build(lan, seed, Clock::default(), MemoryStore::new(), None, build).await
    }

    pub async fn start_on(lan: &Switch, seed: u16, clock: Clock, store: MemoryStore, before: Option<Attached>) -> Self {
        Self::start_build(lan, seed, clock, store, before, (Known::this_build(), None)).await
    }

    async fn start_build(
        lan: &Switch,
        seed: u16,
        clock: Clock,
        store: MemoryStore,
        before: Option<Attached>,
        (known, keys): (Known, Option<PathBuf>),
    ) -> Self {
        let key = key_of(seed);
        let at = match before {
            Some(old) => lan.attach_at(key.id(), old.addr),
            None => lan.attach(key.id()),
        };
        let build = (seed, clock, known);
        Self::start_as(lan, build, store, at, None, (Settings::default(), WriterMode::Inline, keys)).await
    }

    /// A node whose writer has a thread of its own, as it has on a real disk. For tests on the real clock.
    pub async fn start_threaded(lan: &Switch, seed: u16) -> Self {
        let build = (seed, Clock::default(), Known::this_build());
        let at = lan.attach(key_of(seed).id());
        Self::start_as(lan, build, MemoryStore::new(), at, None, (Settings::default(), WriterMode::Thread, None)).await
    }

    /// A node with settings of its own; `before`: what it was before.
    pub async fn start_set(lan: &Switch, seed: u16, settings: Settings, before: Option<Crashed>) -> Self {
        let build = (seed, Clock::default(), Known::this_build());
        let (store, at) = match before {
            Some(old) => (old.store, lan.attach_at(key_of(seed).id(), old.at.addr)),
            None => (MemoryStore::new(), lan.attach(key_of(seed).id())),
        };
        Self::start_as(lan, build, store, at, None, (settings, WriterMode::Inline, None)).await
    }

    /// A new start, or one that goes on from a snapshot.
    async fn start_as(
        lan: &Switch,
        (seed, clock, known): (u16, Clock, Known),
        store: MemoryStore,
        at: Attached,
        resumed: Option<Incarnation>,
        (settings, writer, keys): (Settings, WriterMode, Option<PathBuf>),
    ) -> Self {
        let key = key_of(seed);
        let (io, epoch) = (at.beacons.clone(), tokio::time::Instant::now());
        let (keep, ended) = oneshot::channel::<()>();
        let nonce = u64::from(seed) << 32 | u64::from(u32::from(at.addr.port())) ^ rand_start();
        let parts = Parts {
            given_back: None,
            env: Env::drifting(
                (EPOCH_MS + lan.elapsed().as_millis() as u64).saturating_add_signed(clock.off),
                clock.ppm,
                nonce,
            ),
            known,
            key: key.clone(),
            resumed,
            store: Arc::new(store.clone()),
            seal: Seal::NONE,
            first: Vec::new(),
            writer,
            transport: at.transport.clone(),
            settings: (settings, None),
            keys: (
                keys.as_deref().map(|file| netkeys::load(file, &Seal::NONE).unwrap()).unwrap_or_default(),
                keys.clone(),
            ),
            name: format!("node {seed}"),
            data: "memory".into(),
            discovery: Box::new(move |w| discovery_args(w, io.clone(), epoch, vec![], true)),
            discovering: true,
            keep: Box::new(keep),
            troubles: vec![],
        };
        let node = Node::start(parts).await.unwrap();
        Self { id: key.id(), store, at, node, ended, seed, clock, keys }
    }

    /// Ends the node without a goodbye and starts it again on what was committed.
    pub async fn crash_and_restart(self, lan: &Switch) -> Self {
        self.crash(lan).start_again(lan, Known::this_build()).await
    }

    /// Ends the node without a goodbye.
    pub fn crash(self, lan: &Switch) -> Crashed {
        lan.kill(self.at.addr);
        let store = self.store.crash();
        Crashed { store, at: self.at.clone(), seed: self.seed, clock: self.clock, keys: self.keys.clone() }
    }

    /// Ends the node without a goodbye and starts it again on what a backup holds.
    pub async fn restore(self, lan: &Switch, backup: MemoryStore) -> Self {
        lan.kill(self.at.addr);
        let (at, seed, clock) = (self.at.clone(), self.seed, self.clock);
        drop(self);
        Self::start_on(lan, seed, clock, backup, Some(at)).await
    }

    /// Starts a backup of this node on another machine, while this one goes on.
    pub async fn twin(&self, lan: &Switch, backup: MemoryStore) -> Self {
        Self::start_on(lan, self.seed, self.clock, backup, None).await
    }

    /// The start that this node writes as.
    pub async fn incarnation(&self) -> Incarnation {
        self.handle().status().await.unwrap().incarnation
    }

    /// Sets this node back to a snapshot of itself, as a virtual machine is: the same start goes on from there.
    pub async fn set_back(self, lan: &Switch, snapshot: MemoryStore) -> Self {
        let (id, addr, seed, clock, start) = (self.id, self.at.addr, self.seed, self.clock, self.incarnation().await);
        lan.kill(addr);
        drop(self);
        let build = (seed, clock, Known::this_build());
        Self::start_as(
            lan,
            build,
            snapshot,
            lan.attach_at(id, addr),
            Some(start),
            (Settings::default(), WriterMode::Inline, None),
        )
        .await
    }

    /// Lets a snapshot of this node go on as the same start on another machine, while this one goes on too.
    pub async fn resume_beside(&self, lan: &Switch, snapshot: MemoryStore) -> Self {
        let start = self.incarnation().await;
        let build = (self.seed, self.clock, Known::this_build());
        Self::start_as(
            lan,
            build,
            snapshot,
            lan.attach(self.id),
            Some(start),
            (Settings::default(), WriterMode::Inline, None),
        )
        .await
    }

    /// How its clock is wrong.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub fn handle(&self) -> &Handle {
        &self.node.handle
    }

    pub async fn everyone(&self) -> SpaceId {
        let all = wait_for(self, |c| c.iter().any(|c| c.kind == ConversationKind::Everyone)).await;
        all.first().unwrap().id
    }

    pub async fn say(&self, text: &str) {
        let everyone = self.everyone().await;
        self.handle().say(everyone, text, None).await.unwrap();
    }

    pub async fn messages(&self, conversation: SpaceId) -> Vec<Message> {
        let page = self.handle().page(conversation, PageAt::Newest, 2_000).await.unwrap();
        assert!(!page.older);
        page.messages
    }

    pub async fn bodies(&self) -> Vec<String> {
        let everyone = self.everyone().await;
        self.messages(everyone).await.into_iter().map(|m| m.body).collect()
    }

    pub async fn online(&self) -> u32 {
        self.handle().status().await.unwrap().peers_online
    }
}

/// What a node that crashed leaves behind.
pub struct Crashed {
    pub store: MemoryStore,
    at: Attached,
    seed: u16,
    clock: Clock,
    keys: Option<PathBuf>,
}

impl Crashed {
    /// Starts it again on what was committed, with another clock.
    pub async fn start_with_clock(self, lan: &Switch, clock: Clock) -> Sim {
        Sim::start_build(lan, self.seed, clock, self.store, Some(self.at), (Known::this_build(), self.keys)).await
    }

    /// Starts it again on what was committed, as a build of Cairn; meanwhile its clock has gone on.
    pub async fn start_again(self, lan: &Switch, known: Known) -> Sim {
        Sim::start_build(lan, self.seed, self.clock, self.store, Some(self.at), (known, self.keys)).await
    }
}

/// The key of a node.
pub fn key_of(seed: u16) -> DeviceKey {
    let [high, low] = seed.to_be_bytes();
    let mut bytes = [low; 32];
    bytes[0] ^= high;
    DeviceKey::from_seed(&bytes)
}

/// Starts in one run differ from each other, and are the same in the next run: each run has its own thread.
fn rand_start() -> u64 {
    thread_local!(static STARTS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
    STARTS.set(STARTS.get() + 1);
    STARTS.get()
}

async fn wait_for(sim: &Sim, ok: impl Fn(&[Conversation]) -> bool) -> Vec<Conversation> {
    let mut events = sim.handle().subscribe();
    loop {
        let all = sim.handle().conversations().await.unwrap();
        if ok(&all) {
            return all;
        }
        let _: Result<Event, _> = events.recv().await;
    }
}

/// A long time: in full with `CAIRN_FULL=1`, else a tenth of it, since an hour of six nodes takes half a minute.
pub fn long(time: Duration) -> Duration {
    if std::env::var("CAIRN_FULL").is_ok_and(|v| v == "1") { time } else { time / 10 }
}

/// Waits, in the clock's time, until `ok` holds; returns how long that took.
pub async fn until<F: AsyncFnMut() -> bool>(limit: Duration, what: &str, mut ok: F) -> Duration {
    let start = tokio::time::Instant::now();
    loop {
        if ok().await {
            return start.elapsed();
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn all_online(nodes: &[Sim], n: u32) {
    until(Duration::from_secs(60), "all see all", async || {
        for s in nodes {
            if s.online().await != n {
                return false;
            }
        }
        true
    })
    .await;
}

pub async fn all_equal(nodes: &[Sim], count: usize, limit: Duration) -> Duration {
    until(limit, "all hold the same", async || {
        let first = nodes[0].bodies().await;
        if first.len() != count {
            return false;
        }
        for s in &nodes[1..] {
            if s.bodies().await != first {
                return false;
            }
        }
        true
    })
    .await
}
