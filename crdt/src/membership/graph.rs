//! The graph of operations: what follows what, and how everybody stands at each of its places.
//!
//! A place is a **narrow** of a set of operations where all others of the set precede or follow it. What was decided up
//! to a narrow stands for all that follows it; so what an operation's author was entitled to is decided from the last
//! narrow of its past on, mostly its only parent. Narrows form a tree (that of dominators), in which the last narrow of
//! what several operations follow is their nearest common ancestor. Each node of the tree has a second pointer far
//! towards the root, after Myers, "An applicative random-access stack" (1983), so that walks take logarithmic time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bits::Bits;
use super::decide::Decided;
use super::judge::{Basis, Sort};
use super::people::{Grant, Standing, State};
use super::{Action, Operation, Role, Void};
use crate::ids::{EntryHash, PrincipalId};

/// Decisions that are kept while operations are taken in: many follow the same ones that matter.
const KEPT: usize = 256;

/// An operation's place in the graph.
#[derive(Debug)]
pub(super) struct Node {
    pub op: Operation,
    /// The number of its author, and of whom it is about.
    pub author: usize,
    pub target: Option<usize>,
    /// The length of the longest way to the first operation.
    pub depth: u32,
    /// The last narrow of its past; its own place for the first operation.
    pub up: usize,
    /// Some narrow before that one.
    jump: usize,
    /// How many narrows its past has.
    level: usize,
    /// What it follows beyond `up`.
    pub local: Bits,
    /// The last place of its past, itself included, at which a removal or demotion met what its target did concurrently.
    rough: usize,
    /// What it rests on, or why it never counts.
    pub basis: Result<Basis, Void>,
    /// How everybody stands after it.
    pub after: Arc<State>,
}

/// What somebody knows.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The last narrow of it.
    pub up: usize,
    /// What is beyond that.
    pub local: Bits,
    /// The deepest end of it, where there are several.
    deepest: usize,
    /// What matters and is not in the past of that one.
    new: Bits,
    /// As of a node.
    rough: usize,
}

/// Who belongs to a group. Pure data: feed it with [`Membership::extend`], in any order, as often as you like.
#[derive(Debug)]
pub struct Membership {
    root: EntryHash,
    /// All operations that follow the first, in an order in which each comes after what it follows.
    pub(super) nodes: Vec<Node>,
    places: BTreeMap<EntryHash, usize>,
    /// Operations that do not follow the first.
    pub(super) detached: BTreeSet<EntryHash>,
    /// Operations of which a parent is not here, by that parent.
    pub(super) waiting: BTreeMap<EntryHash, Vec<Operation>>,
    /// Numbers of people.
    pub(super) people: BTreeMap<PrincipalId, usize>,
    /// What each did that may become void, by number.
    pub(super) by_author: Vec<Vec<usize>>,
    /// What may change anybody's standing.
    pub(super) effective: Bits,
    /// Departures.
    own: Bits,
    /// Removals and demotions by whom they are against, by number.
    pub(super) cuts_of: Vec<Vec<usize>>,
    /// Removals, demotions and what speaks for removals.
    cuts: Bits,
    /// What speaks for a removal.
    pub(super) seen: BTreeMap<usize, Vec<usize>>,
    /// The ends of the graph.
    heads: BTreeSet<usize>,
    /// All there is, and what it comes to.
    pub(super) end: (Past, Arc<State>),
    kept: BTreeMap<(usize, Bits), Arc<State>>,
}

impl Membership {
    /// The group that the operation `root` begins.
    #[must_use]
    pub fn new(root: EntryHash) -> Self {
        Self {
            root,
            nodes: Vec::new(),
            places: BTreeMap::new(),
            detached: BTreeSet::new(),
            waiting: BTreeMap::new(),
            people: BTreeMap::new(),
            by_author: Vec::new(),
            effective: Bits::default(),
            own: Bits::default(),
            cuts_of: Vec::new(),
            cuts: Bits::default(),
            seen: BTreeMap::new(),
            heads: BTreeSet::new(),
            end: (Past::default(), Arc::default()),
            kept: BTreeMap::new(),
        }
    }

    /// Takes operations in. What is known already changes nothing; what names a parent that is not here waits for it.
    /// Costs what is new, and once what lies after the last narrow of all.
    pub fn extend(&mut self, operations: impl IntoIterator<Item = Operation>) {
        let before = self.nodes.len();
        let mut queue: Vec<Operation> = operations.into_iter().collect();
        queue.reverse();
        while let Some(op) = queue.pop() {
            if self.places.contains_key(&op.id) || self.detached.contains(&op.id) {
                continue;
            }
            let mut parents = BTreeSet::new();
            let missing = op.parents.iter().find(|parent| match self.places.get(parent) {
                Some(place) => {
                    parents.insert(*place);
                    false
                }
                None => !self.detached.contains(parent),
            });
            if let Some(missing) = missing.copied() {
                let others = self.waiting.entry(missing).or_default();
                if others.iter().all(|o| o.id != op.id) {
                    others.push(op);
                }
                continue;
            }
            queue.extend(self.waiting.remove(&op.id).into_iter().flatten());
            if op.id == self.root && op.action == Action::Create && op.parents.is_empty() {
                self.begin(op);
            } else if parents.is_empty() {
                self.detached.insert(op.id);
            } else {
                self.place_after(op, &parents);
            }
        }
        if self.nodes.len() > before {
            let past = self.past(&self.heads.clone());
            let state = self.view(&past);
            self.end = (past, state);
            self.kept.clear();
        }
    }

    fn number(&mut self, who: PrincipalId) -> usize {
        let next = self.people.len();
        let number = *self.people.entry(who).or_insert(next);
        if self.by_author.len() <= number {
            self.by_author.resize_with(number + 1, Vec::new);
            self.cuts_of.resize_with(number + 1, Vec::new);
        }
        number
    }

    /// Takes in the first operation.
    fn begin(&mut self, op: Operation) {
        let author = self.number(op.author);
        let mut state = State::default();
        state.set(author, Standing::of(vec![Grant { at: 0, depth: 0, role: Role::Admin, adds: true }]));
        let basis = Basis {
            sort: Sort::Grant,
            needs: Role::Admin,
            seniority: (0, op.author),
            grants: Arc::default(),
            then: None,
        };
        self.places.insert(op.id, 0);
        self.heads.insert(0);
        self.nodes.push(Node {
            op,
            author,
            target: None,
            depth: 0,
            up: 0,
            jump: 0,
            level: 0,
            local: Bits::default(),
            rough: 0,
            basis: Ok(basis),
            after: Arc::new(state),
        });
    }

    /// Takes in an operation whose parents are here.
    fn place_after(&mut self, op: Operation, parents: &BTreeSet<usize>) {
        let place = self.nodes.len();
        let past = self.past(parents);
        let view = self.view(&past);
        let Past { up, local, rough, .. } = past;
        let (author, target) = (self.number(op.author), op.action.target().map(|who| self.number(who)));
        let depth = parents.iter().filter_map(|p| self.nodes.get(*p)).map(|n| n.depth + 1).max().unwrap_or(0);
        let in_past = |p: usize| p == up || local.contains(p) || self.follows(up, p);
        let basis = self.judge(&op, (author, target), &view, in_past);
        let (jump, level) = self.jump_from(up);
        let (id, spoken_for) = (op.id, op.action.removal().and_then(|r| self.place(&r)));
        let sort = basis.as_ref().ok().map(|b| b.sort);
        self.nodes.push(Node {
            op,
            author,
            target,
            depth,
            up,
            jump,
            level,
            local,
            rough,
            basis,
            after: Arc::clone(&view),
        });
        self.places.insert(id, place);
        for parent in parents {
            self.heads.remove(parent);
        }
        self.heads.insert(place);
        match sort {
            None => return,
            Some(Sort::Seen) => {
                self.cuts.insert(place);
                if let Some(of) = spoken_for {
                    self.seen.entry(of).or_default().push(place);
                }
                return;
            }
            Some(sort) => {
                if let Some(line) = self.by_author.get_mut(author) {
                    line.push(place);
                }
                if sort == Sort::Act {
                    return;
                }
                self.effective.insert(place);
                if sort == Sort::Own {
                    self.own.insert(place);
                }
                if sort.cuts() {
                    self.cuts.insert(place);
                    if let Some(line) = target.and_then(|who| self.cuts_of.get_mut(who)) {
                        line.push(place);
                    }
                }
            }
        }
        let after = self.decide_on(&view, place, &one(place)).state;
        if let Some(node) = self.nodes.get_mut(place) {
            node.after = Arc::new(after);
        }
    }

    /// The pointers of a node below `up`.
    fn jump_from(&self, up: usize) -> (usize, usize) {
        let level = |p: usize| self.nodes.get(p).map_or(0, |n| n.level);
        let far = self.nodes.get(up).map_or(0, |n| n.jump);
        let farther = self.nodes.get(far).map_or(0, |n| n.jump);
        let equal = level(up) - level(far) == level(far) - level(farther);
        (if equal { farther } else { up }, level(up) + 1)
    }

    /// The nearest common ancestor in the tree of narrows.
    fn meet(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            let (Some(x), Some(y)) = (self.nodes.get(a), self.nodes.get(b)) else { return 0 };
            if x.level > y.level {
                let far = self.nodes.get(x.jump).is_some_and(|n| n.level >= y.level);
                a = if far { x.jump } else { x.up };
            } else if y.level > x.level {
                let far = self.nodes.get(y.jump).is_some_and(|n| n.level >= x.level);
                b = if far { y.jump } else { y.up };
            } else if x.jump != y.jump {
                (a, b) = (x.jump, y.jump);
            } else {
                (a, b) = (x.up, y.up);
            }
        }
        a
    }

    /// What operations and all that they follow add up to.
    pub(super) fn past(&self, ends: &BTreeSet<usize>) -> Past {
        let (Some(first), Some(last)) = (ends.first(), ends.last()) else { return Past::default() };
        let rough = |ends: &BTreeSet<usize>| ends.iter().filter_map(|e| self.nodes.get(*e)).map(|n| n.rough).max();
        if first == last {
            return Past { up: *last, rough: rough(ends).unwrap_or(0), ..Past::default() };
        }
        let up = ends.iter().fold(*last, |a, b| self.meet(a, *b));
        let mut local = Bits::between(up + 1, last + 1);
        let mut apart = BTreeSet::new();
        // The newest first: whatever one end follows of another is in `local` before its turn comes.
        for end in ends.iter().rev() {
            if *end > up && !local.contains(*end) {
                apart.insert(*end);
            }
            self.gather(*end, up, &mut local);
        }
        if apart.len() < ends.len() {
            return self.past(&apart);
        }
        // The deepest end is the one that is likely to know most.
        let deepest = ends.iter().copied().max_by_key(|e| self.nodes.get(*e).map(|n| n.depth)).unwrap_or(*last);
        let mut known = Bits::between(up + 1, last + 1);
        self.gather(deepest, up, &mut known);
        local.trim();
        let new = local.both(&self.effective).without(&known);
        let mut past = Past { up, local, deepest, new, rough: rough(ends).unwrap_or(0) };
        past.rough = past.rough.max(self.meets(&past));
        past
    }

    /// Puts in an end and what it follows beyond the narrow `up`, as far as that is not there yet.
    fn gather(&self, end: usize, up: usize, into: &mut Bits) {
        let mut at = end;
        while at > up && !into.contains(at) {
            let Some(node) = self.nodes.get(at) else { break };
            into.insert(at);
            into.union(&node.local);
            at = node.up;
        }
    }

    /// The last place at which a removal or demotion meets what its target did concurrently, of which one is new.
    fn meets(&self, past: &Past) -> usize {
        let mut rough = 0;
        let since = |line: Option<&Vec<usize>>, of: usize| {
            let line = line.map(Vec::as_slice).unwrap_or_default();
            let from = line.partition_point(|p| *p <= past.up);
            let known = line.iter().skip(from).filter(|p| past.local.contains(**p) && self.effective.contains(**p));
            known.filter(|p| self.concurrent(**p, of)).map(|p| (*p).max(of)).max().unwrap_or(0)
        };
        for place in past.new.iter() {
            let Some(node) = self.nodes.get(place) else { continue };
            rough = rough.max(since(self.cuts_of.get(node.author), place));
            if self.basis(place).is_some_and(|b| b.sort.cuts()) {
                rough = rough.max(since(node.target.and_then(|who| self.by_author.get(who)), place));
            }
        }
        rough
    }

    /// How everybody stands by what is known.
    fn view(&mut self, past: &Past) -> Arc<State> {
        let Past { up, local, .. } = past;
        let effective = local.both(&self.effective);
        let Some(base) = self.nodes.get(*up).map(|n| &n.after) else { return Arc::default() };
        if effective.is_empty() {
            return Arc::clone(base);
        }
        if past.rough <= *up && base.dormant.is_empty() && local.both(&self.own).is_empty() {
            let Some(last) = self.nodes.get(past.deepest).map(|n| &n.after) else { return Arc::default() };
            if past.new.is_empty() {
                return Arc::clone(last);
            }
            return Arc::new(self.add_to(last, &past.new, (*up, local)));
        }
        // What speaks for removals matters only where there are any.
        let cuts = local.both(&self.cuts);
        let mut key = effective;
        if !cuts.both(&key).is_empty() {
            let mut all = Bits::between(up + 1, self.nodes.len());
            all.union(&key);
            all.union(&cuts);
            all.trim();
            key = all;
        }
        if let Some(state) = self.kept.get(&(*up, key.clone())) {
            return Arc::clone(state);
        }
        let state = Arc::new(self.decide(*up, local).state);
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.insert((*up, key), Arc::clone(&state));
        state
    }

    /// What is known beyond the narrow `up`, decided.
    pub(super) fn decide(&self, up: usize, known: &Bits) -> Decided {
        let base = self.nodes.get(up).map(|n| Arc::clone(&n.after)).unwrap_or_default();
        self.decide_on(&base, up + 1, known)
    }

    /// Whether what stands at one place follows what stands at another.
    pub(super) fn follows(&self, later: usize, earlier: usize) -> bool {
        let mut at = later;
        loop {
            if at <= earlier {
                return at == earlier && at != later;
            }
            let Some(node) = self.nodes.get(at) else { return false };
            if node.jump > earlier {
                at = node.jump;
            } else if node.up >= earlier {
                at = node.up;
            } else {
                return node.local.contains(earlier);
            }
        }
    }

    /// Whether neither of two follows the other.
    pub(super) fn concurrent(&self, a: usize, b: usize) -> bool {
        a != b && !self.follows(a, b) && !self.follows(b, a)
    }

    /// Places of the ends of the graph.
    pub(super) fn ends(&self) -> impl Iterator<Item = usize> + '_ {
        self.heads.iter().copied()
    }

    /// The place of an operation.
    pub(super) fn place(&self, id: &EntryHash) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(super) fn basis(&self, place: usize) -> Option<&Basis> {
        self.nodes.get(place)?.basis.as_ref().ok()
    }

    pub(super) fn id(&self, place: usize) -> EntryHash {
        self.nodes.get(place).map_or(self.root, |n| n.op.id)
    }
}

/// The set of one place.
fn one(place: usize) -> Bits {
    let mut bits = Bits::between(place, place + 1);
    bits.insert(place);
    bits
}
