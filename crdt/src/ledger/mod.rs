//! The ledger of a space: the latest statement of every device, and the arithmetic over them. Sans-IO: notes and commits
//! go in, notes come out.
//!
//! 1. A device states, at most every half second, what it holds; what changed since its last statement travels beside
//!    it. A receiver applies that to the frontier it knows of the device and believes it once the root is right. It
//!    needs nothing where somebody else (itself, mostly) holds just the same, and asks for nodes where all else fails.
//! 2. At the next tick a statement goes on to those peers that neither its device nor whoever brought it can see, so
//!    that a device learns of one that it never met. A session begins with a hash over the statements known.
//! 3. A device speaks for itself alone: what is not signed by it or is older than what is known is refused. Only what is
//!    signed badly is its messenger's fault.
//! 4. Two statements of one start that contradict each other are proof that it lies or runs twice ([`contradiction`]).
//!    Whoever sees both puts them together and tells everybody; of the two the same one counts everywhere. What is
//!    compared covers what statements say and whose contradictions are known, so all end with the same.

pub mod contradiction;
pub mod note;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::frontier::{Assembly, End, Pool, Tree, place};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Incarnation, LogId, SpaceId, domain_hash};
use crate::kinds::order::OrderKey;
use crate::replica::{Access, Replica};
use crate::statement::{Signed, Statement, StatementError};
use contradiction::{CONTRADICTIONS, Contradiction};
use note::{Line, MAX_CHANGES, MAX_TOLD, MAX_VECTOR, Note, Told};

/// Most devices whose statements are kept in a space.
pub const MAX_STATEMENTS: usize = 4_096;
/// Floors of one device that wait for its entries to come.
const WAITING: usize = 4;
/// Ticks in which our own device's statements from elsewhere make us state ours again once.
const RESTATE: u32 = 20;

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a note to each of these; one that is behind may go without, since the next comparison mends it.
    Send(Vec<DeviceId>, Note),
    /// What a device holds, has read or has promised is known better than before.
    News(DeviceId),
    /// Something was not taken. [`StatementError::BadSignature`] is the fault of this peer, the rest of nobody here.
    Refused(DeviceId, StatementError),
    /// Others know a later statement of our own device than this node does: it was restored from a backup, or runs
    /// elsewhere too. Nothing may be written below this floor, which that start of it stated.
    Elsewhere(Hlc, Incarnation),
    /// A start of a device contradicts itself: to be stored, and people told.
    Contradicted(Box<Contradiction>),
}

/// What is known of one device.
#[derive(Debug)]
struct Known {
    signed: Signed,
    /// A hash of what it says.
    hash: [u8; 32],
    /// Starts of it that contradict themselves, at most [`CONTRADICTIONS`].
    pairs: BTreeMap<Incarnation, Contradiction>,
    /// Its frontier, as of the last statement whose root could be rebuilt.
    tree: Tree,
    /// Changes told since then.
    pending: Vec<End>,
    /// Ticks for which the frontier of the latest statement has been unknown.
    unknown: Option<u32>,
    /// Times that its nodes were asked for in vain.
    vain: u32,
    /// Who brought it.
    from: DeviceId,
    /// Not passed on yet, with the changes since it was.
    fresh: Option<Vec<End>>,
    unsaved: bool,
    /// Came before this many others.
    arrived: u64,
    /// The greatest floor stated while all entries of the device below it were here.
    safe: Hlc,
    /// Floors stated, each with the tips of the device's own logs that go with it.
    waiting: Vec<(Hlc, Vec<(LogId, u64)>)>,
}

impl Known {
    fn new(signed: Signed, from: DeviceId, arrived: u64) -> Self {
        Self {
            signed,
            hash: signed.statement.hash(),
            pairs: BTreeMap::new(),
            tree: Tree::default(),
            pending: Vec::new(),
            unknown: None,
            vain: 0,
            from,
            fresh: None,
            unsaved: false,
            arrived,
            safe: Hlc(0),
            waiting: Vec::new(),
        }
    }

    /// Whether another pair of this start says nothing new: of who has contradicted itself often enough any does.
    fn knows(&self, start: &Incarnation) -> bool {
        self.pairs.len() >= CONTRADICTIONS || self.pairs.contains_key(start)
    }

    /// What is known, in short. Of who has contradicted itself often enough it does not matter in which starts.
    fn print(&self) -> [u8; 32] {
        if self.pairs.is_empty() {
            return self.hash;
        }
        let named = self.pairs.len() < CONTRADICTIONS;
        let starts: Vec<u8> = self.pairs.keys().filter(|_| named).flat_map(|start| start.0).collect();
        domain_hash("cairn 2026 statement and contradictions", &[&self.hash, &starts])
    }
}

/// A statement of our own on its way to the disk.
#[derive(Debug)]
struct Draft {
    tree: Tree,
    changes: BTreeMap<LogId, End>,
}

/// Nodes that are being asked for.
#[derive(Debug)]
struct Fetch {
    device: DeviceId,
    peer: DeviceId,
    assembly: Assembly,
    ticks: u32,
}

/// A row to store: who, what it said, its safe floor, its frontier.
pub type Row = (DeviceId, Signed, Hlc, Tree);

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    space: SpaceId,
    me: DeviceId,
    access: Access,
    /// Whose statements are taken in a group.
    members: BTreeSet<DeviceId>,
    pool: Pool,
    mine: Tree,
    /// Ends of ours that changed since our last statement.
    changes: BTreeMap<LogId, End>,
    draft: Option<Draft>,
    counter: u64,
    restate: bool,
    restated: u32,
    all: BTreeMap<DeviceId, Known>,
    /// Devices with entries here: they keep their place in the ledger.
    writers: BTreeSet<DeviceId>,
    arrivals: u64,
    /// Connected peers, and the devices that each has sessions with.
    peers: BTreeMap<DeviceId, Arc<BTreeSet<DeviceId>>>,
    fetch: Option<Fetch>,
    /// So many nodes are in use that somebody makes them up.
    crowded: bool,
    out: Vec<Output>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(space: SpaceId, me: DeviceId, access: Access) -> Self {
        Self {
            space,
            me,
            access,
            members: BTreeSet::new(),
            pool: Pool::default(),
            mine: Tree::default(),
            changes: BTreeMap::new(),
            draft: None,
            counter: 0,
            restate: false,
            restated: 0,
            all: BTreeMap::new(),
            writers: BTreeSet::new(),
            arrivals: 0,
            peers: BTreeMap::new(),
            fetch: None,
            crowded: false,
            out: Vec::new(),
        }
    }

    /// Sets whose statements are taken in a group.
    pub fn set_members(&mut self, members: BTreeSet<DeviceId>) {
        self.members = members;
    }

    /// Whether statements of a device are taken.
    fn admits(&self, device: &DeviceId) -> bool {
        match self.access {
            Access::Group => self.members.contains(device),
            access => access.admits(device),
        }
    }

    /// Whether floors are stated here and messages become final: where two belong for ever.
    #[must_use]
    pub fn has_floors(&self) -> bool {
        !matches!(self.access, Access::Commons | Access::Group)
    }

    /// Takes a statement from the store, with its safe floor and the last frontier that was known with it.
    pub fn restore(&mut self, signed: Signed, safe: Hlc, tree: Option<Tree>) {
        let device = signed.statement.device;
        if device == self.me {
            self.counter = self.counter.max(signed.statement.counter);
        }
        self.arrivals += 1;
        let unknown = tree.as_ref().is_none_or(|t| t.root() != signed.statement.root).then_some(0);
        let pairs = self.all.remove(&device).map(|k| k.pairs).unwrap_or_default();
        let known = Known::new(signed, device, self.arrivals);
        self.all.insert(device, Known { unknown, tree: tree.unwrap_or_default(), safe, pairs, ..known });
    }

    /// Takes a contradiction from the store, after the statements.
    pub fn restore_contradiction(&mut self, pair: Contradiction) {
        if !self.all.contains_key(&pair.device()) {
            self.restore(*pair.counts(), Hlc(0), None);
        }
        if let Some(k) = self.all.get_mut(&pair.device()).filter(|k| !k.knows(&pair.start())) {
            k.pairs.insert(pair.start(), pair);
        }
    }

    /// The contradictions that are known.
    pub fn contradictions(&self) -> impl Iterator<Item = &Contradiction> {
        self.all.values().flat_map(|k| k.pairs.values())
    }

    /// The nodes of every frontier here.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// What is to be done since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    // --- Our own statement

    /// Logs whose durable ends changed here; an end of zero entries: the log is gone.
    pub fn update(&mut self, ends: &[End]) {
        let mine = self.mine.with(&mut self.pool, ends);
        if mine != self.mine {
            self.mine = mine;
            self.changes.extend(ends.iter().map(|e| (e.log, *e)));
            self.writers.extend(ends.iter().map(|e| e.log.device));
        }
    }

    /// What we hold.
    #[must_use]
    pub fn mine(&self) -> &Tree {
        &self.mine
    }

    /// A statement to sign and store, if there is something to say: what we hold or have read changed, others know a
    /// later one of our device, or `anyway`. Then [`Self::stated`] or [`Self::not_stated`] must follow. Nothing is
    /// said of an empty space. A floor never goes back.
    pub fn draft(
        &mut self,
        incarnation: Incarnation,
        at: Hlc,
        floor: Hlc,
        read: Option<OrderKey>,
        anyway: bool,
    ) -> Option<Statement> {
        let root = self.mine.root();
        let last = self.all.get(&self.me).map(|k| &k.signed.statement);
        let new = last.is_none_or(|l| l.root != root || l.read != read);
        if self.draft.is_some() || self.mine.is_empty() || !(new || self.restate || anyway) {
            return None;
        }
        let floor = if self.has_floors() { floor.max(last.map_or(Hlc(0), |l| l.floor)) } else { Hlc(0) };
        self.restate = false;
        self.counter = self.counter.saturating_add(1);
        self.draft = Some(Draft { tree: self.mine.clone(), changes: std::mem::take(&mut self.changes) });
        Some(Statement { device: self.me, incarnation, counter: self.counter, at, floor, root, read })
    }

    /// Our statement is durable: it goes to everybody.
    pub fn stated(&mut self, signed: Signed) {
        let Some(draft) = self.draft.take() else { return };
        let safe = self.all.get(&self.me).map_or(Hlc(0), |k| k.safe).max(signed.statement.floor);
        self.restore(signed, safe, Some(draft.tree));
        self.out.push(Output::News(self.me));
        let to: Vec<_> = self.peers.keys().copied().collect();
        if !to.is_empty() {
            let changes = short(draft.changes.into_values().collect());
            self.out.push(Output::Send(to, Note::Told(vec![Told { signed, changes }])));
        }
    }

    /// Our statement could not be stored: the next one says it all.
    pub fn not_stated(&mut self) {
        if let Some(mut draft) = self.draft.take() {
            draft.changes.append(&mut self.changes);
            self.changes = draft.changes;
            self.restate = true;
        }
    }

    // --- Peers

    /// A session opened.
    pub fn opened(&mut self, peer: DeviceId) {
        self.peers.insert(peer, Arc::default());
        // It may have the nodes that nobody had.
        self.all.values_mut().for_each(|k| k.vain = 0);
        self.compare(peer);
    }

    /// A session closed.
    pub fn closed(&mut self, peer: DeviceId) {
        self.peers.remove(&peer);
        if self.fetch.as_ref().is_some_and(|f| f.peer == peer) {
            self.fetch = None;
        }
    }

    /// The devices that a peer has sessions with.
    pub fn neighbours(&mut self, peer: DeviceId, neighbours: impl Into<Arc<BTreeSet<DeviceId>>>) {
        if let Some(n) = self.peers.get_mut(&peer) {
            *n = neighbours.into();
        }
    }

    /// Time to compare with everybody.
    pub fn compare_all(&mut self) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.compare(peer);
        }
    }

    /// A peer that may have missed something has room again.
    pub fn compare(&mut self, peer: DeviceId) {
        if !self.all.is_empty() {
            let digest = self.digest();
            self.out.push(Output::Send(vec![peer], Note::Digest(digest)));
        }
    }

    fn digest(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(self.all.len() * 64);
        for (device, k) in &self.all {
            bytes.extend_from_slice(&device.0);
            bytes.extend_from_slice(&k.print());
        }
        domain_hash("cairn 2026 statements known", &[&bytes])
    }

    fn vector(&self) -> Vec<Line> {
        let line = |(d, k): (&DeviceId, &Known)| {
            let counter = k.signed.statement.counter;
            Line { device: *d, counter, print: k.print() }
        };
        self.all.iter().map(line).take(MAX_VECTOR).collect()
    }

    /// Half a second has passed: passes on what is new, looks again for frontiers and entries that were missing.
    pub fn tick(&mut self, replica: &Replica) {
        self.restated = self.restated.saturating_sub(1);
        self.crowded = self.pool.crowded();
        self.pass_on();
        self.look_again(replica);
        self.fetch_nodes();
    }

    /// New statements go to those peers that neither their device nor whoever brought them can see.
    fn pass_on(&mut self) {
        let mut for_peers: BTreeMap<Vec<DeviceId>, Vec<Told>> = BTreeMap::new();
        for (device, k) in &mut self.all {
            let Some(changes) = k.fresh.take() else { continue };
            let sees = |who: &DeviceId, p: &DeviceId| self.peers.get(who).is_some_and(|n| n.contains(p));
            let to: Vec<_> = self
                .peers
                .keys()
                .filter(|p| *p != device && **p != k.from && !sees(device, p) && !sees(&k.from, p))
                .copied()
                .collect();
            if !to.is_empty() {
                for_peers.entry(to).or_default().push(Told { signed: k.signed, changes: short(changes) });
            }
        }
        for (to, told) in for_peers {
            for part in told.chunks(MAX_TOLD) {
                self.out.push(Output::Send(to.clone(), Note::Told(part.to_vec())));
            }
        }
    }

    // --- The arithmetic

    /// Whether a device is known to hold a log up to there.
    #[must_use]
    pub fn holds(&self, device: &DeviceId, log: &LogId, seq: u64) -> bool {
        self.held(device, log) >= seq
    }

    /// The devices other than this one that are known to hold a log up to there.
    pub fn holders(&self, log: &LogId, seq: u64) -> impl Iterator<Item = DeviceId> {
        let (at, log) = (place(log), *log);
        let others = self.all.iter().filter(|(d, _)| **d != self.me);
        others.filter(move |(_, k)| k.tree.seq_at(at, &log) >= seq).map(|(d, _)| *d)
    }

    /// How far a device is known to hold a log.
    #[must_use]
    pub fn held(&self, device: &DeviceId, log: &LogId) -> u64 {
        if *device == self.me { self.mine.seq(log) } else { self.tree(device).map_or(0, |t| t.seq(log)) }
    }

    /// Whether a device says that it holds a log up to there and that its person has read up to a place. What it holds
    /// may be of an earlier statement than how far it has read, never of a later one: an entry that arrives below the
    /// place is not read because of it.
    #[must_use]
    pub fn has_read(&self, device: &DeviceId, log: &LogId, seq: u64, at: &OrderKey) -> bool {
        let read = self.statement(device).and_then(|s| s.read);
        read.is_some_and(|r| r >= *at) && self.holds(device, log, seq)
    }

    /// What a device is known to hold, if it ever said so.
    #[must_use]
    pub fn tree(&self, device: &DeviceId) -> Option<&Tree> {
        self.all.get(device).map(|k| &k.tree)
    }

    /// The latest statement of a device.
    #[must_use]
    pub fn statement(&self, device: &DeviceId) -> Option<&Statement> {
        self.all.get(device).map(|k| &k.signed.statement)
    }

    /// The latest statements of all devices.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.all.values().map(|k| &k.signed.statement)
    }

    /// The floor of a device below which we hold all that it wrote; zero before it stated one.
    #[must_use]
    pub fn safe(&self, device: &DeviceId) -> Hlc {
        self.all.get(device).map_or(Hlc(0), |k| k.safe)
    }

    /// What the store does not have yet; it counts as stored now.
    #[must_use]
    pub fn unsaved(&mut self) -> Vec<Row> {
        let row = |(d, k): (&DeviceId, &mut Known)| {
            std::mem::take(&mut k.unsaved).then(|| (*d, k.signed, k.safe, k.tree.clone()))
        };
        self.all.iter_mut().filter_map(row).collect()
    }

    /// Every frontier here, for whoever keeps their nodes.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.all.values().map(|k| &k.tree)
    }
}

/// Changes as they may travel: none where they would be too many.
fn short(changes: Vec<End>) -> Vec<End> {
    if changes.len() > MAX_CHANGES { Vec::new() } else { changes }
}

#[cfg(test)]
mod tests;
