//! A value that operations of a control log set, each naming those that it takes the place of: so whoever has seen a value
//! can always put another in its place, whatever the clocks say.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::MAX_CONTROL_HEADS;
use crate::hlc::Hlc;
use crate::ids::EntryHash;

#[derive(Debug)]
struct Put<T> {
    at: Hlc,
    over: BTreeSet<EntryHash>,
    value: T,
}

/// The value.
#[derive(Debug)]
pub(super) struct Register<T> {
    all: BTreeMap<EntryHash, Put<T>>,
    /// The one that counts.
    current: Option<EntryHash>,
    /// Those that no other takes the place of.
    ends: Vec<EntryHash>,
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), current: None, ends: Vec::new() }
    }
}

impl<T> Register<T> {
    /// An operation sets it.
    pub(super) fn put(&mut self, id: EntryHash, at: Hlc, over: BTreeSet<EntryHash>, value: T) {
        self.all.insert(id, Put { at, over, value });
    }

    /// Decides anew which one counts; the operations in `void` do not.
    pub(super) fn decide(&mut self, void: &BTreeSet<EntryHash>) {
        let counting = || self.all.iter().filter(|(id, _)| !void.contains(*id));
        let over: BTreeSet<EntryHash> = counting().flat_map(|(_, put)| put.over.iter().copied()).collect();
        let mut ends: Vec<_> = counting().filter(|(id, _)| !over.contains(*id)).map(|(id, p)| (p.at, *id)).collect();
        ends.sort_unstable();
        self.ends = ends.into_iter().rev().take(MAX_CONTROL_HEADS).map(|(_, id)| id).collect();
        self.current = self.ends.first().copied();
    }

    /// The one that counts: of those that no other takes the place of, the one with the highest (stamp, hash).
    pub(super) fn current(&self) -> Option<&T> {
        self.all.get(self.current.as_ref()?).map(|put| &put.value)
    }

    /// Those that a new one takes the place of.
    pub(super) fn ends(&self) -> Vec<EntryHash> {
        self.ends.clone()
    }
}
