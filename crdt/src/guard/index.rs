//! The index of one document: for every operation of the accepted changes its object, place and kind, for every change
//! its causal past, and the element tree that gives sequences their order.
//!
//! Operations have dense numbers in the order accepted. In a change that is still being checked they have local
//! numbers instead, marked by [`LOCAL`], so that a checked change can be taken in later whatever came between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use automerge::{ActorId, ChangeHash};

use super::{Key, OpView};

/// Marks the number of an operation of the change being checked.
pub(super) const LOCAL: u32 = 1 << 31;
/// The root object, or the head of a sequence.
pub(super) const NONE: u32 = u32::MAX;

/// What kind of thing an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    List,
    Text,
    Value,
    Counter,
    Delete,
    Increment,
    Mark,
}

impl Kind {
    /// Whether it makes a value that others may overwrite.
    pub(super) fn stands(self) -> bool {
        matches!(self, Self::Map | Self::List | Self::Text | Self::Value | Self::Counter)
    }

    /// Whether it makes a sequence.
    pub(super) fn is_sequence(self) -> bool {
        matches!(self, Self::List | Self::Text)
    }
}

/// What is kept of an operation: 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    /// The operation that made the object it is in, or [`NONE`] for the root.
    pub obj: u32,
    /// In a map the key's number; in a sequence the element, for an insert the element inserted after.
    pub place: u32,
    /// For an insert, how many elements lie between it and the head, itself included.
    pub depth: u32,
    /// What it is.
    pub kind: Kind,
    /// Whether it inserts an element.
    pub insert: bool,
    /// For a new object, how deep it is nested; else 0.
    pub level: u8,
}

/// One change of an author.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The counter of its first operation.
    start: u32,
    /// How many operations it has.
    len: u32,
    /// The dense number of the first; [`NONE`] where the operations are not kept.
    first: u32,
}

impl Span {
    fn max_op(&self) -> u64 {
        u64::from(self.start) + u64::from(self.len) - 1
    }
}

#[derive(Debug)]
struct Author {
    actor: ActorId,
    changes: Vec<Span>,
    /// The last change's past: the greatest seq of each other author.
    clock: BTreeMap<u32, u32>,
    /// How the clock grew: own seq, other author, its seq; in order of own seq.
    log: Vec<(u32, u32, u32)>,
    /// The last change, if its operations are not kept: only the next one needs its hash.
    unseen: Option<ChangeHash>,
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    authors: Vec<Author>,
    by_actor: BTreeMap<ActorId, u32>,
    by_hash: BTreeMap<ChangeHash, (u32, u32)>,
    ops: Vec<Op>,
    /// First dense number, author and seq of each change with operations, ascending.
    spans: Vec<(u32, u32, u32)>,
    keys: Vec<Arc<str>>,
    by_key: BTreeMap<Arc<str>, u32>,
    /// An operation and one that overwrote it.
    over: BTreeSet<(u32, u32)>,
    /// Object, place and author: the author's last put or make there (inserts are left out: an element is its own).
    own: BTreeMap<(u32, u32, u32), u32>,
}

/// The causal past of a change being checked: what its author's last change had seen, and what is new.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// The author, if an earlier change of it is known.
    author: Option<u32>,
    /// The author's last seq.
    last: u32,
    fresh: BTreeMap<u32, u32>,
    /// The greatest operation counter of the dependencies, 0 without any.
    pub max_op: u64,
}

/// Why dependencies do not make a past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPast {
    /// A dependency is not known.
    Unknown,
    /// The author's own previous change is not in it.
    NotOwn,
}

impl Index {
    pub(super) fn author(&self, actor: &ActorId) -> Option<u32> {
        self.by_actor.get(actor).copied()
    }

    pub(super) fn actor(&self, author: u32) -> Option<&ActorId> {
        self.authors.get(author as usize).map(|a| &a.actor)
    }

    pub(super) fn knows(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The seq of an author's last change, 0 if there is none.
    pub(super) fn last_seq(&self, author: Option<u32>) -> u32 {
        author.and_then(|a| self.authors.get(a as usize)).map_or(0, |a| a.changes.len() as u32)
    }

    /// How many operations an author's changes hold.
    pub(super) fn ops_of(&self, author: u32) -> u64 {
        self.authors.get(author as usize).map_or(0, |a| a.changes.iter().map(|c| u64::from(c.len)).sum())
    }

    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    pub(super) fn op(&self, number: u32) -> Option<&Op> {
        self.ops.get(number as usize)
    }

    pub(super) fn key_number(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The dense number of an operation id and the seq of its change.
    pub(super) fn find(&self, author: u32, counter: u64) -> Option<(u32, u32)> {
        let counter = u32::try_from(counter).ok()?;
        let changes = &self.authors.get(author as usize)?.changes;
        let at = changes.partition_point(|c| c.start <= counter).checked_sub(1)?;
        let c = changes.get(at)?;
        let offset = counter.checked_sub(c.start)?;
        if c.first == NONE {
            return None;
        }
        (offset < c.len).then_some((c.first.checked_add(offset)?, at as u32 + 1))
    }

    /// Counter and author of a dense number, with the seq of its change.
    pub(super) fn id(&self, number: u32) -> Option<(u32, u32, u32)> {
        let at = self.spans.partition_point(|s| s.0 <= number).checked_sub(1)?;
        let &(first, author, seq) = self.spans.get(at)?;
        let c = self.authors.get(author as usize)?.changes.get(seq.checked_sub(1)? as usize)?;
        Some((c.start.checked_add(number.checked_sub(first)?)?, author, seq))
    }

    /// The past that dependencies make for an author's next change.
    pub(super) fn past(&self, author: Option<u32>, deps: &[ChangeHash]) -> Result<Past, BadPast> {
        let mut past = Past { author, last: self.last_seq(author), ..Past::default() };
        let mut own_seen = 0;
        for dep in deps {
            let &(who, seq) = self.by_hash.get(dep).ok_or(BadPast::Unknown)?;
            let other = self.authors.get(who as usize).ok_or(BadPast::Unknown)?;
            let span = other.changes.get(seq as usize - 1).ok_or(BadPast::Unknown)?;
            past.max_op = past.max_op.max(span.max_op());
            if Some(who) == author {
                own_seen = own_seen.max(seq);
                continue;
            }
            let seen = past.seq_of(self, who);
            if seen >= seq {
                continue;
            }
            // What it had seen when it was at `seen` is in the past already; walk what it has seen since. The author's
            // own last change can only be there: it was made after `seen`.
            let from = other.log.partition_point(|e| e.0 <= seen);
            for &(at, third, third_seq) in other.log.get(from..).unwrap_or_default() {
                if at > seq {
                    break;
                }
                if Some(third) == author {
                    own_seen = own_seen.max(third_seq);
                } else if past.seq_of(self, third) < third_seq {
                    past.fresh.insert(third, third_seq);
                }
            }
            past.fresh.insert(who, seq);
        }
        if own_seen == past.last { Ok(past) } else { Err(BadPast::NotOwn) }
    }

    /// An author's last put or make at a place, inserts left out.
    pub(super) fn own_at(&self, obj: u32, place: u32, author: u32) -> Option<u32> {
        self.own.get(&(obj, place, author)).copied()
    }

    /// Whether something in the past overwrote an operation.
    pub(super) fn overwritten(&self, number: u32, past: &Past) -> bool {
        self.over
            .range((number, 0)..=(number, u32::MAX))
            .any(|&(_, by)| self.id(by).is_some_and(|(_, author, seq)| past.holds(self, author, seq)))
    }

    /// The path of the object that operation `obj` made, root first.
    pub(super) fn path(&self, mut obj: u32) -> Vec<Key> {
        let mut path = Vec::with_capacity(4);
        while let Some(op) = self.op(obj) {
            // An element has no name; a key has one, unless the operation is in a sequence.
            let in_map = op.obj == NONE || self.op(op.obj).is_some_and(|o| o.kind == Kind::Map);
            path.push(match self.keys.get(op.place as usize) {
                Some(key) if in_map => Key::Map(String::from(&**key)),
                _ => Key::Element,
            });
            obj = op.obj;
        }
        path.reverse();
        path
    }

    /// Takes in a checked change.
    pub(super) fn accept(&mut self, next: &Rows, hash: ChangeHash, actor: &ActorId, views: &[OpView]) {
        let author = self.author_or_new(actor);
        let base = self.ops.len() as u32;
        let Some(me) = self.authors.get_mut(author as usize) else { return };
        if me.changes.len() as u32 != next.seq.saturating_sub(1) {
            return;
        }
        me.changes.push(Span { start: next.start, len: next.ops.len() as u32, first: base });
        if let Some(last) = me.unseen.take() {
            self.by_hash.remove(&last);
        }
        for (&who, &seq) in &next.past.fresh {
            me.clock.insert(who, seq);
            me.log.push((next.seq, who, seq));
        }
        self.by_hash.insert(hash, (author, next.seq));
        if !next.ops.is_empty() {
            self.spans.push((base, author, next.seq));
        }
        let global = |n: u32| if n != NONE && n & LOCAL != 0 { base + (n & !LOCAL) } else { n };
        for (number, (row, view)) in (base..).zip(next.ops.iter().zip(views)) {
            let obj = global(row.obj);
            let place = match view.path.last() {
                Some(Key::Map(key)) => self.intern(key),
                _ => global(row.place),
            };
            self.ops.push(Op { obj, place, ..*row });
            if row.kind.stands() && !row.insert {
                self.own.insert((obj, place, author), number);
            }
        }
        self.over.extend(next.over.iter().map(|&(what, by)| (global(what), global(by))));
    }

    /// Takes in a change on top of its author's last one alone, without its operations.
    pub(super) fn accept_unseen(&mut self, actor: &ActorId, hash: ChangeHash, ops: u32) {
        let author = self.author_or_new(actor);
        let Some(me) = self.authors.get_mut(author as usize) else { return };
        let start = me.changes.last().map_or(1, |c| c.start.saturating_add(c.len));
        me.changes.push(Span { start, len: ops, first: NONE });
        let seq = me.changes.len() as u32;
        if let Some(last) = me.unseen.replace(hash) {
            self.by_hash.remove(&last);
        }
        self.by_hash.insert(hash, (author, seq));
    }

    fn author_or_new(&mut self, actor: &ActorId) -> u32 {
        if let Some(&a) = self.by_actor.get(actor) {
            return a;
        }
        let a = self.authors.len() as u32;
        self.by_actor.insert(actor.clone(), a);
        self.authors.push(Author {
            actor: actor.clone(),
            changes: Vec::new(),
            clock: BTreeMap::new(),
            log: Vec::new(),
            unseen: None,
        });
        a
    }

    fn intern(&mut self, key: &str) -> u32 {
        if let Some(&n) = self.by_key.get(key) {
            return n;
        }
        let n = self.keys.len() as u32;
        let key: Arc<str> = Arc::from(key);
        self.keys.push(key.clone());
        self.by_key.insert(key, n);
        n
    }
}

impl Past {
    /// The greatest seq of an author in this past.
    fn seq_of(&self, index: &Index, who: u32) -> u32 {
        if let Some(&seq) = self.fresh.get(&who) {
            return seq;
        }
        let mine = self.author.and_then(|a| index.authors.get(a as usize));
        mine.and_then(|me| me.clock.get(&who)).copied().unwrap_or(0)
    }

    /// Whether an author's change is in this past.
    pub(super) fn holds(&self, index: &Index, who: u32, seq: u32) -> bool {
        if Some(who) == self.author { seq <= self.last } else { seq <= self.seq_of(index, who) }
    }
}

/// What checking a change found, for the index to take in.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub seq: u32,
    pub start: u32,
    pub past: Past,
    pub ops: Vec<Op>,
    /// What is overwritten, and by which operation.
    pub over: Vec<(u32, u32)>,
}
