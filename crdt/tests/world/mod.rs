//! Random documents of honest editors, and hostile changes made from theirs: shared by the tests of the guard and its
//! fuzz targets. Every decision comes from a [`Choices`], so that a seed or a fuzzer's bytes repeat a run exactly.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod edit;
pub mod mutate;
pub mod raw;

use std::collections::BTreeSet;

use automerge::{ActorId, Automerge, Change, ChangeHash, ReadDoc, hydrate};
use cairn_crdt::guard::{Checked, Facts, Guard, Refusal};

/// Where decisions come from.
pub trait Choices {
    /// A number below `n`; 0 if `n` is 0.
    fn below(&mut self, n: usize) -> usize;

    /// Whether something that happens once in `n` happens.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n.saturating_sub(1)
    }

    /// Whether decisions have run out (a fuzzer's bytes end).
    fn spent(&self) -> bool {
        false
    }
}

impl Choices for rand_chacha::ChaCha8Rng {
    fn below(&mut self, n: usize) -> usize {
        use rand::Rng;
        if n == 0 { 0 } else { (self.next_u64() % n as u64) as usize }
    }
}

/// Decisions read from bytes.
pub struct Tape<'a>(pub &'a [u8]);

impl Choices for Tape<'_> {
    fn below(&mut self, n: usize) -> usize {
        let width = if n <= 256 { 1 } else { 2 };
        let mut value = 0usize;
        for _ in 0..width {
            let Some((&b, rest)) = self.0.split_first() else { break };
            self.0 = rest;
            value = (value << 8) | usize::from(b);
        }
        if n == 0 { 0 } else { value % n }
    }

    fn spent(&self) -> bool {
        self.0.is_empty()
    }
}

/// One replica: a document and the guard before it.
#[derive(Debug)]
pub struct Peer {
    pub doc: Automerge,
    pub guard: Guard,
    pub have: BTreeSet<ChangeHash>,
}

/// Replicas of one document, and every change that was made, in an order in which it could be.
#[derive(Debug, Default)]
pub struct World {
    pub peers: Vec<Peer>,
    pub log: Vec<Vec<u8>>,
    pub refused: usize,
}

/// A 32-byte actor, as logs have them.
pub fn actor(n: usize) -> ActorId {
    let mut bytes = [0u8; 32];
    // Spread over the order of actors, unlike the order of their numbers.
    bytes[0] = (n as u8).wrapping_mul(151);
    bytes[31] = n as u8;
    ActorId::from(bytes)
}

/// An empty document of an actor.
pub fn document(actor: ActorId) -> Automerge {
    Automerge::new().with_actor(actor)
}

/// The facts that an entry would state for a change.
pub fn check(guard: &Guard, raw: &[u8]) -> Result<Checked, Refusal> {
    guard.check_own(raw, &mut |_| true)
}

impl World {
    pub fn new(peers: usize) -> Self {
        let peers =
            (0..peers).map(|n| Peer { doc: document(actor(n)), guard: Guard::new(), have: BTreeSet::new() }).collect();
        Self { peers, ..Self::default() }
    }

    /// A peer edits: up to six operations in one change, which its own guard must let pass.
    pub fn edit(&mut self, who: usize, c: &mut dyn Choices) -> Option<Change> {
        let peer = &mut self.peers[who];
        if !edit::commit(&mut peer.doc, who, c) {
            return None;
        }
        let change = peer.doc.get_last_local_change().unwrap();
        let checked = check(&peer.guard, change.raw_bytes())
            .unwrap_or_else(|e| panic!("an honest change was refused: {e}\n{:#?}", change.decode()));
        assert_eq!(checked.ops.len(), change.len());
        peer.guard.accept(&checked);
        peer.have.insert(change.hash());
        self.log.push(change.raw_bytes().to_vec());
        Some(change)
    }

    /// A peer takes in what it lacks, up to a point in the log: checked one by one, applied in one batch.
    pub fn deliver(&mut self, who: usize, upto: usize) {
        let peer = &mut self.peers[who];
        let mut batch = Vec::new();
        for raw in self.log.iter().take(upto) {
            let change = Change::try_from(&raw[..]).unwrap();
            if peer.have.contains(&change.hash()) || !change.deps().iter().all(|d| peer.have.contains(d)) {
                continue;
            }
            let facts = Facts { actor: change.actor_id().to_bytes(), seq: change.seq(), deps: change.deps() };
            let checked = peer.guard.check(&facts, raw, &mut |_| true);
            let checked =
                checked.unwrap_or_else(|e| panic!("another replica accepted it: {e}\n{:#?}", change.decode()));
            peer.guard.accept(&checked);
            peer.have.insert(change.hash());
            batch.push(checked.change);
        }
        peer.doc.apply_changes(batch).unwrap();
    }

    /// Up to `replicas` of them take in everything; they, a copy loaded from a save and one that applied change by
    /// change must show the same.
    pub fn settle(&mut self, replicas: usize) -> String {
        let replicas = replicas.min(self.peers.len());
        for who in 0..replicas {
            self.deliver(who, self.log.len());
        }
        let first = content(&self.peers[0].doc);
        for peer in &self.peers[..replicas] {
            assert_eq!(content(&peer.doc), first, "replicas differ");
            assert_eq!(peer.have.len(), self.log.len());
        }
        let loaded = reload(&self.peers[0].doc);
        assert_eq!(content(&loaded), first, "a loaded copy differs");
        let mut single = document(actor(250));
        for raw in &self.log {
            single.apply_changes([Change::try_from(&raw[..]).unwrap()]).unwrap();
        }
        assert_eq!(content(&single), first, "applying one by one differs");
        first
    }
}

/// What a document shows, as text: keys in order, and equal where a number is not one.
pub fn content(doc: &Automerge) -> String {
    let mut out = String::new();
    show(&doc.hydrate(None), &mut out);
    out
}

fn show(value: &hydrate::Value, out: &mut String) {
    use std::fmt::Write;
    match value {
        hydrate::Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, v) in entries {
                write!(out, "{{{key:?}!{}", v.conflict).unwrap();
                show(&v.value, out);
                out.push('}');
            }
        }
        hydrate::Value::List(list) => {
            for v in list.iter() {
                write!(out, "[!{}", v.conflict).unwrap();
                show(&v.value, out);
                out.push(']');
            }
        }
        other => write!(out, "{other:?}").unwrap(),
    }
}

/// Saves and loads.
pub fn reload(doc: &Automerge) -> Automerge {
    Automerge::load(&doc.save()).expect("a saved document loads")
}

/// Runs a world of honest editors; none of their changes may be refused.
pub fn honest(c: &mut dyn Choices, steps: usize, replicas: usize) -> usize {
    let peers = 2 + c.below(19);
    let mut world = World::new(peers);
    for _ in 0..steps {
        if c.spent() {
            break;
        }
        let who = c.below(peers);
        if c.once_in(3) {
            let upto = world.log.len() - c.below(3).min(world.log.len());
            world.deliver(who, upto);
        } else {
            world.edit(who, c);
        }
    }
    world.settle(replicas);
    world.log.len()
}

/// Runs a world in which hostile changes are made from honest ones. Those that the guard lets pass are applied: nothing
/// may panic, the document must load from its save, and honest editors must be able to go on. Returns how many were
/// tried and how many passed.
pub fn hostile(c: &mut dyn Choices, steps: usize, mutants: usize) -> (usize, usize) {
    let peers = 2 + c.below(4);
    let mut world = World::new(peers);
    let (mut tried, mut passed) = (0, 0);
    for _ in 0..steps {
        if c.spent() {
            break;
        }
        let who = c.below(peers);
        match c.below(4) {
            0 => world.deliver(who, world.log.len()),
            1 | 2 => {
                world.edit(who, c);
            }
            _ => {
                let mut draft = world.peers[who].doc.clone();
                if !edit::commit(&mut draft, who, c) {
                    continue;
                }
                let change = draft.get_last_local_change().unwrap();
                for _ in 0..=c.below(mutants) {
                    tried += 1;
                    let Some(raw) = mutate::mutant(&change, &world.log, c) else { continue };
                    let Ok(checked) = check(&world.peers[who].guard, &raw) else { continue };
                    passed += 1;
                    survive(&world.peers[who], &checked, c);
                    if c.once_in(4) {
                        let peer = &mut world.peers[who];
                        if checked.change.actor_id() != peer.doc.get_actor() {
                            continue;
                        }
                        peer.guard.accept(&checked);
                        peer.have.insert(checked.change.hash());
                        peer.doc.apply_changes([checked.change.clone()]).unwrap();
                        world.log.push(raw);
                        break;
                    }
                }
            }
        }
    }
    world.settle(3);
    (tried, passed)
}

/// A document stays usable after a change that passed: it loads from its save and takes later honest commits.
pub fn survive(peer: &Peer, checked: &Checked, c: &mut dyn Choices) {
    let mut doc = peer.doc.clone();
    doc.apply_changes([checked.change.clone()]).unwrap();
    assert!(doc.get_change_by_hash(&checked.change.hash()).is_some(), "it was not applied");
    if c.once_in(2) {
        assert_eq!(content(&reload(&doc)), content(&doc), "a loaded copy differs");
    }
    let mut later = doc.with_actor(actor(249));
    edit::commit(&mut later, 249, c);
    edit::commit(&mut later, 249, c);
    assert_eq!(content(&reload(&later)), content(&later), "a later commit broke it");
}
