//! What others say: statements judged and held against each other, their frontiers rebuilt, floors that wait for entries.

use super::contradiction::Contradiction;
use super::note::{Line, MAX_CHANGES, MAX_NODES, MAX_TOLD, Note, Told};
use super::{Fetch, Known, Ledger, MAX_STATEMENTS, Output, RESTATE, WAITING};
use crate::frontier::{Assembly, End, MAX_ENDS, MAX_NODE, NodeHash, Tree};
use crate::ids::{DeviceId, LogId};
use crate::replica::Replica;
use crate::statement::{Signed, Statement, StatementError};

/// Ticks that a frontier may be unknown before its nodes are asked for: most come right by themselves.
const PATIENCE: u32 = 4;
/// Ticks that a peer has to send nodes.
const FETCH_TICKS: u32 = 20;
/// How often the patience doubles while nodes are asked for in vain.
const VAIN: u32 = 3;
/// Changes kept for a frontier whose base is unknown.
const PENDING: usize = MAX_CHANGES * 8;

impl Ledger {
    /// A note arrived.
    pub fn received(&mut self, peer: DeviceId, note: Note) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match note {
            // Both sides send a digest, and one of them answers: the lower, or whoever has nothing to compare.
            Note::Digest(d) if d != self.digest() && (self.me < peer || self.all.is_empty()) => {
                let all = self.vector();
                self.out.push(Output::Send(vec![peer], Note::Vector { ask: true, all }));
            }
            Note::Digest(_) => {}
            Note::Vector { ask, all } => self.compare_vector(peer, ask, &all),
            Note::Told(told) => {
                for t in told {
                    if let Err(why) = self.told(peer, t) {
                        self.out.push(Output::Refused(peer, why));
                    }
                }
            }
            Note::AskNodes(hashes) => {
                let found = hashes.iter().filter_map(|h| self.pool.node(h)).filter(|n| n.len() <= MAX_NODE);
                let nodes = found.take(MAX_NODES).collect();
                self.out.push(Output::Send(vec![peer], Note::Nodes(nodes)));
            }
            Note::Nodes(nodes) => self.nodes(peer, &nodes),
            Note::Contradiction(pair) => {
                if let Err(why) = self.take_contradiction(peer, *pair) {
                    self.out.push(Output::Refused(peer, why));
                }
            }
        }
    }

    /// Tells a peer what it lacks by its vector. Of one count two different statements may be known: then both sides
    /// tell theirs, as a start that was brought back counts over again what an earlier one said.
    fn compare_vector(&mut self, peer: DeviceId, ask: bool, theirs: &[Line]) {
        let line = |d: &DeviceId| theirs.binary_search_by(|t| t.device.cmp(d)).ok().and_then(|i| theirs.get(i));
        let counter = |k: &Known| k.signed.statement.counter;
        let news = |k: &Known, t: &Line| t.counter < counter(k) || (t.counter == counter(k) && t.print != k.print());
        let newer: Vec<_> = self.all.iter().filter(|(d, k)| line(d).is_none_or(|t| news(k, t))).collect();
        let told: Vec<_> = newer.iter().map(|(_, k)| Told { signed: k.signed, changes: Vec::new() }).collect();
        let pairs: Vec<_> = newer.iter().flat_map(|(_, k)| k.pairs.values()).copied().collect();
        for part in told.chunks(MAX_TOLD) {
            self.out.push(Output::Send(vec![peer], Note::Told(part.to_vec())));
        }
        for pair in pairs {
            self.out.push(Output::Send(vec![peer], Note::Contradiction(Box::new(pair))));
        }
        let same = |k: &Known, t: &Line| counter(k) == t.counter && k.print() == t.print;
        let lacks = |t: &Line| self.all.get(&t.device).is_none_or(|k| counter(k) <= t.counter && !same(k, t));
        if ask && theirs.iter().any(lacks) {
            let all = self.vector();
            self.out.push(Output::Send(vec![peer], Note::Vector { ask: false, all }));
        }
    }

    /// Judges a statement and takes it.
    fn told(&mut self, peer: DeviceId, told: Told) -> Result<(), StatementError> {
        let Told { signed, changes } = told;
        let new = signed.statement;
        if !self.admits(&new.device) {
            return Err(StatementError::NotAMember);
        }
        let known = self.all.get(&new.device);
        let pair = known.filter(|k| !k.knows(&new.incarnation)).and_then(|k| Contradiction::of(&k.signed, &signed));
        let news = known.is_none_or(|k| self.is_news(k, &new));
        if !news && pair.is_none() {
            return Err(StatementError::Old);
        }
        if !signed.verify(&self.space) {
            return Err(StatementError::BadSignature);
        }
        if let Some(pair) = pair {
            self.contradicted(None, pair);
        }
        if new.device == self.me && news {
            self.elsewhere(&new);
        } else if news {
            self.accept(peer, signed, changes)?;
        }
        Ok(())
    }

    /// Whether a statement counts over what is known of its device or, where that is ours, says what we must know.
    fn is_news(&self, known: &Known, new: &Statement) -> bool {
        let old = &known.signed.statement;
        if new.device != self.me {
            return new.counter > old.counter || (new.counter == old.counter && new.hash() < known.hash);
        }
        // What an earlier start of our own promised binds this one too, though this one has counted on past it
        // meanwhile; and where both counted as far, only counting on makes all know the same.
        let bound = old.incarnation != new.incarnation && old.floor < new.floor;
        let as_far = new.counter == old.counter && new.hash() != known.hash;
        new.counter > self.counter || bound || as_far
    }

    /// Takes a statement of another device that counts over what is known of it.
    fn accept(&mut self, peer: DeviceId, signed: Signed, changes: Vec<End>) -> Result<(), StatementError> {
        let new = signed.statement;
        if let Some(k) = self.all.get(&new.device)
            && k.signed.statement.floor > new.floor
            && self.peers.contains_key(&new.device)
        {
            // A start that was brought back from before a promise does not know of it; nobody else will say.
            let told = Told { signed: k.signed, changes: Vec::new() };
            self.out.push(Output::Send(vec![new.device], Note::Told(vec![told])));
        }
        self.make_room(&new.device)?;
        self.arrivals += 1;
        let arrived = self.arrivals;
        let k = self.all.entry(new.device).or_insert_with(|| Known::new(signed, peer, arrived));
        (k.signed, k.hash, k.from, k.unsaved, k.arrived, k.vain) = (signed, new.hash(), peer, true, arrived, 0);
        k.fresh.get_or_insert_default().extend_from_slice(&changes);
        k.pending.extend(changes);
        if k.pending.len() > PENDING {
            k.pending.clear();
        }
        k.unknown = Some(0);
        self.resolve(&new.device);
        self.out.push(Output::News(new.device));
        Ok(())
    }

    /// A peer shows that a start contradicts itself.
    fn take_contradiction(&mut self, peer: DeviceId, pair: Contradiction) -> Result<(), StatementError> {
        let (device, start, counts) = (pair.device(), pair.start(), *pair.counts());
        if !self.admits(&device) {
            return Err(StatementError::NotAMember);
        }
        if self.all.get(&device).is_some_and(|k| k.knows(&start)) {
            return Ok(());
        }
        if !pair.verify(&self.space) {
            return Err(StatementError::BadSignature);
        }
        let news = self.all.get(&device).is_none_or(|k| self.is_news(k, &counts.statement));
        if device == self.me && news {
            self.elsewhere(&counts.statement);
        } else if news {
            self.accept(peer, counts, Vec::new())?;
        }
        self.contradicted(Some(peer), pair);
        Ok(())
    }

    /// A pair that is proof: keeps it and tells everybody, but those who have it from whoever brought it.
    fn contradicted(&mut self, from: Option<DeviceId>, pair: Contradiction) {
        // Of our own device with no statement yet it is told again once there is one.
        let Some(k) = self.all.get_mut(&pair.device()) else { return };
        k.pairs.insert(pair.start(), pair);
        let seen = from.and_then(|f| self.peers.get(&f));
        let knows = |p: &DeviceId| Some(*p) == from || seen.is_some_and(|s| s.contains(p));
        let to: Vec<_> = self.peers.keys().filter(|p| !knows(p)).copied().collect();
        if !to.is_empty() {
            self.out.push(Output::Send(to, Note::Contradiction(Box::new(pair))));
        }
        self.out.push(Output::Contradicted(Box::new(pair)));
    }

    /// Our own device has stated more than we know: counts on from there, once in a while.
    fn elsewhere(&mut self, new: &Statement) {
        self.counter = self.counter.max(new.counter);
        if self.restated == 0 {
            (self.restate, self.restated) = (true, RESTATE);
        }
        self.out.push(Output::Elsewhere(new.floor, new.incarnation));
    }

    /// Beyond the bound the device that nobody needs and that spoke longest ago goes.
    fn make_room(&mut self, device: &DeviceId) -> Result<(), StatementError> {
        if self.all.contains_key(device) || self.all.len() < MAX_STATEMENTS {
            return Ok(());
        }
        let spare = |d: &DeviceId| *d != self.me && !self.writers.contains(d) && !self.peers.contains_key(d);
        let oldest = self.all.iter().filter(|(d, _)| spare(d)).min_by_key(|(_, k)| k.arrived).map(|(d, _)| *d);
        let oldest = oldest.ok_or(StatementError::TooMany)?;
        self.all.remove(&oldest);
        Ok(())
    }

    /// Tries to rebuild the frontier of a device's latest statement.
    fn resolve(&mut self, device: &DeviceId) {
        let Some(k) = self.all.get_mut(device) else { return };
        let root = k.signed.statement.root;
        let tree = self.pool.tree(&root).or_else(|| {
            let told = (!k.pending.is_empty() && !self.crowded).then(|| k.tree.with(&mut self.pool, &k.pending));
            told.filter(|t| t.root() == root && t.len() <= MAX_ENDS)
        });
        if let Some(tree) = tree {
            self.resolved(device, tree);
        }
    }

    fn resolved(&mut self, device: &DeviceId, tree: Tree) {
        let floors = self.has_floors();
        let Some(k) = self.all.get_mut(device) else { return };
        k.tree = tree;
        k.pending.clear();
        k.unknown = None;
        k.unsaved = true;
        let floor = k.signed.statement.floor;
        if floors && floor > k.safe {
            let own = k.tree.ends().into_iter().filter(|e| e.log.device == *device);
            let tips: Vec<(LogId, u64)> = own.map(|e| (e.log, e.seq)).collect();
            if k.waiting.len() >= WAITING {
                // The first comes true soonest and the last says most.
                k.waiting.remove(1);
            }
            k.waiting.push((floor, tips));
        }
        self.out.push(Output::News(*device));
    }

    /// Looks again at frontiers that were unknown and at floors whose entries were missing.
    pub(super) fn look_again(&mut self, replica: &Replica) {
        let unknown: Vec<_> = self.all.iter().filter(|(_, k)| k.unknown.is_some()).map(|(d, _)| *d).collect();
        for device in unknown {
            self.resolve(&device);
            if let Some(ticks) = self.all.get_mut(&device).and_then(|k| k.unknown.as_mut()) {
                *ticks = ticks.saturating_add(1);
            }
        }
        for (device, k) in self.all.iter_mut().filter(|(_, k)| !k.waiting.is_empty()) {
            let before = k.safe;
            k.waiting.retain(|(floor, tips)| {
                let here = tips.iter().all(|(log, seq)| replica.durable(log).seq >= *seq);
                if here {
                    k.safe = k.safe.max(*floor);
                }
                !here
            });
            if k.safe > before {
                k.unsaved = true;
                self.out.push(Output::News(*device));
            }
        }
    }

    // --- Frontiers node by node

    /// Asks for the nodes of a frontier that stayed unknown, one device at a time.
    pub(super) fn fetch_nodes(&mut self) {
        if let Some(f) = &mut self.fetch {
            f.ticks = f.ticks.saturating_add(1);
            if f.ticks > FETCH_TICKS {
                self.give_up();
            }
        }
        if self.fetch.is_some() || self.peers.is_empty() || self.crowded {
            return;
        }
        let late = |k: &Known| k.unknown.is_some_and(|t| t >= PATIENCE << k.vain.min(VAIN));
        let next = self.all.iter().filter(|(_, k)| late(k)).min_by_key(|(_, k)| (k.vain, k.arrived));
        let Some((device, from, vain)) = next.map(|(d, k)| (*d, k.from, k.vain)) else { return };
        let first = Some(from).filter(|p| vain == 0 && self.peers.contains_key(p));
        let turn = (vain as usize).checked_rem(self.peers.len()).unwrap_or(0);
        let Some(peer) = first.or_else(|| self.peers.keys().nth(turn).copied()) else { return };
        let Some(k) = self.all.get_mut(&device) else { return };
        k.pending.clear();
        let assembly = Assembly::new(k.signed.statement.root, &self.pool);
        self.fetch = Some(Fetch { device, peer, assembly, ticks: 0 });
        self.ask_nodes();
    }

    fn ask_nodes(&mut self) {
        let Some(f) = &self.fetch else { return };
        let missing: Vec<NodeHash> = f.assembly.missing(MAX_NODES);
        if !missing.is_empty() {
            self.out.push(Output::Send(vec![f.peer], Note::AskNodes(missing)));
            return;
        }
        let (device, done) = (f.device, f.assembly.finish(&mut self.pool));
        match done {
            Some(Ok(tree)) => {
                self.fetch = None;
                if let Some(k) = self.all.get_mut(&device) {
                    if k.signed.statement.root == tree.root() {
                        self.resolved(&device, tree);
                    } else {
                        // It said more meanwhile, and what changed since was told.
                        k.tree = tree;
                        self.resolve(&device);
                    }
                }
            }
            _ => self.give_up(),
        }
    }

    fn nodes(&mut self, peer: DeviceId, nodes: &[Vec<u8>]) {
        let Some(f) = self.fetch.as_mut().filter(|f| f.peer == peer) else { return };
        let taken = nodes.iter().filter(|n| f.assembly.take(n, &self.pool).is_ok()).count();
        if taken == 0 {
            self.give_up();
        } else {
            f.ticks = 0;
            self.ask_nodes();
        }
    }

    fn give_up(&mut self) {
        let device = self.fetch.take().map(|f| f.device);
        if let Some(k) = device.and_then(|d| self.all.get_mut(&d)) {
            k.vain = k.vain.saturating_add(1);
            k.unknown = k.unknown.map(|_| 0);
        }
    }

    /// Reads back what was stored: a statement and, if it was known with it, the root of a frontier. `None` where it is
    /// damaged or not signed for this space.
    #[must_use]
    pub fn stored(&self, bytes: &[u8]) -> Option<(Signed, Option<NodeHash>)> {
        let mut r = crate::codec::Reader::new(bytes);
        let signed = Signed::read(&mut r).ok()?;
        let root = if r.remaining() == 0 { None } else { Some(r.array().ok()?) };
        (r.remaining() == 0 && signed.verify(&self.space)).then_some((signed, root))
    }

    /// Puts a frontier together from nodes that were stored.
    pub fn rebuild<'a>(&mut self, root: NodeHash, node: impl Fn(&NodeHash) -> Option<&'a [u8]>) -> Option<Tree> {
        let mut assembly = Assembly::new(root, &self.pool);
        loop {
            let missing = assembly.missing(MAX_NODES);
            if missing.is_empty() {
                return assembly.finish(&mut self.pool)?.ok();
            }
            for hash in missing {
                assembly.take(node(&hash)?, &self.pool).ok()?;
            }
        }
    }
}
