//! A control log in memory: the graph of its entries and what they add up to. The same entries add up to the same,
//! in whatever order they come.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Fields, read};
use super::{EPOCH, Operation, PREKEY, RETENTION, RETIRE, SLACK_MS, may};
use crate::entry::{Entry, MAX_CONTROL_HEADS};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, Kind};
use crate::replica::Access;
use crate::spans::Spans;
use crate::verdict::{Judge, Outcome};

/// How long messages are kept, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// For how many milliseconds; `None`: for ever.
    pub keep: Option<u64>,
    /// Who said so.
    pub by: DeviceId,
    /// When.
    pub at: Hlc,
    /// Its entry.
    pub entry: EntryHash,
}

/// A retire that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Retire {
    at: Hlc,
    from: u64,
    upto: u64,
}

/// An operation about keys, with what [`crate::epochs::Epochs`] must know of its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOperation {
    /// The hash of its entry.
    pub id: EntryHash,
    /// Who signed it.
    pub by: DeviceId,
    /// When.
    pub at: Hlc,
    /// The ends of the graph that its author had seen.
    pub parents: Vec<EntryHash>,
    /// [`Operation::Prekey`] or [`Operation::Epoch`].
    pub operation: Operation,
}

/// The control log of a space.
#[derive(Debug)]
pub struct ControlLog {
    access: Access,
    judge: Judge,
    /// Entries that none here names as seen.
    heads: BTreeMap<EntryHash, Hlc>,
    /// Entries that others name as seen.
    seen: BTreeSet<EntryHash>,
    /// Settings that no other takes the place of.
    settings: BTreeMap<EntryHash, Setting>,
    /// Settings that others took the place of.
    replaced: BTreeSet<EntryHash>,
    retires: BTreeSet<Retire>,
    newer: u64,
}

impl ControlLog {
    /// An empty log of a space.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            access,
            judge: Judge::new(DocumentId::singleton(Kind::Control)),
            heads: BTreeMap::new(),
            seen: BTreeSet::new(),
            settings: BTreeMap::new(),
            replaced: BTreeSet::new(),
            retires: BTreeSet::new(),
            newer: 0,
        }
    }

    /// Judges and applies entries.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let outcomes = self.judge.apply(entries);
        for (entry, outcome) in entries.iter().zip(&outcomes) {
            let entry = entry.as_ref();
            match outcome {
                Outcome::Known | Outcome::Waiting | Outcome::Locked(_) => continue,
                Outcome::Valid { ops } => self.take(entry, &read(ops)),
                Outcome::Unsupported => self.newer = self.newer.saturating_add(1),
                Outcome::Void(_) | Outcome::Erased => {}
            }
            self.link(entry);
        }
        outcomes
    }

    /// Takes an entry into the graph.
    fn link(&mut self, entry: &Entry) {
        let header = entry.header();
        let prev = (header.seq > 1).then_some(header.prev);
        let parents: BTreeSet<EntryHash> = header.control_heads.iter().copied().chain(prev).collect();
        for parent in &parents {
            self.heads.remove(parent);
        }
        self.seen.extend(parents);
        if !self.seen.contains(&entry.hash()) {
            self.heads.insert(entry.hash(), header.hlc);
        }
    }

    fn take(&mut self, entry: &Entry, fields: &Fields) {
        let (by, at, hash) = (entry.header().log.device, entry.header().hlc, entry.hash());
        let Some(operation) = operation(fields) else {
            self.newer = self.newer.saturating_add(1);
            return;
        };
        if !may(&self.access, &by.principal(), &operation) {
            return;
        }
        match operation {
            Operation::Retention { keep } => {
                for old in &fields.over {
                    self.settings.remove(old);
                }
                self.replaced.extend(fields.over.iter().copied());
                if !self.replaced.contains(&hash) {
                    self.settings.insert(hash, Setting { keep, by, at, entry: hash });
                }
            }
            Operation::Retire { from, upto } => drop(self.retires.insert(Retire { at, from, upto })),
            // Who keeps keys asks for these by `key_operation`.
            Operation::Prekey(_) | Operation::Epoch { .. } => {}
        }
    }

    /// The setting that counts: of those that no other took the place of, the one with the highest (stamp, hash).
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        self.settings.values().max_by_key(|s| (s.at, s.entry)).copied()
    }

    /// The settings that a new one takes the place of.
    #[must_use]
    pub fn replaceable(&self) -> Vec<EntryHash> {
        newest(self.settings.values().map(|s| (s.at, s.entry)))
    }

    /// What is hidden: what retires that count at the time `now` (milliseconds since 1970) cover, as far as the setting
    /// that counts calls it too old at the stamp of the retire.
    #[must_use]
    pub fn retired(&self, now: u64) -> Spans {
        let Some(keep) = self.setting().and_then(|s| s.keep) else { return Spans::EMPTY };
        let counting = self.retires.iter().take_while(|r| r.at.ms() <= now.saturating_add(SLACK_MS));
        counting.map(|r| (r.from, r.upto.min(r.at.ms().saturating_sub(keep)))).collect()
    }

    /// When the next retire that is ahead of `now` begins to count, in milliseconds since 1970.
    #[must_use]
    pub fn next_retire(&self, now: u64) -> Option<u64> {
        let ahead = |r: &Retire| r.at.ms() > now.saturating_add(SLACK_MS);
        // They are ordered by stamp: those that count come first, and what is ahead at all is few.
        let next = self.retires.iter().rev().take_while(|r| ahead(r)).last()?;
        Some(next.at.ms().saturating_sub(SLACK_MS))
    }

    /// The ends of the graph, for the next entry's control heads.
    #[must_use]
    pub fn heads(&self) -> Vec<EntryHash> {
        newest(self.heads.iter().map(|(hash, at)| (*at, *hash)))
    }

    /// The operation about keys that an entry is, by the verdict on it ([`ControlLog::apply`]); `None` for any other, and
    /// where its author may not.
    #[must_use]
    pub fn key_operation(&self, entry: &Entry, outcome: &Outcome) -> Option<KeyOperation> {
        let Outcome::Valid { ops } = outcome else { return None };
        let operation = operation(&read(ops))?;
        let about_keys = matches!(operation, Operation::Prekey(_) | Operation::Epoch { .. });
        let header = entry.header();
        let by = header.log.device;
        if !about_keys || !may(&self.access, &by.principal(), &operation) {
            return None;
        }
        let mut parents = header.control_heads.clone();
        parents.extend((header.seq > 1).then_some(header.prev));
        parents.sort_unstable();
        parents.dedup();
        Some(KeyOperation { id: entry.hash(), by, at: header.hlc, parents, operation })
    }

    /// Operations that need a newer Cairn.
    #[must_use]
    pub fn needs_newer(&self) -> u64 {
        self.newer
    }
}

/// As many entries as one entry can name, the newest.
fn newest(entries: impl Iterator<Item = (Hlc, EntryHash)>) -> Vec<EntryHash> {
    let mut all: Vec<_> = entries.collect();
    all.sort_unstable();
    all.into_iter().rev().take(MAX_CONTROL_HEADS).map(|(_, hash)| hash).collect()
}

/// The operation of an entry that passed the rule; `None` for one that this build does not know.
fn operation(fields: &Fields) -> Option<Operation> {
    let number = |field: &str| fields.numbers.get(field).and_then(|n| u64::try_from(*n).ok());
    match fields.name.as_str() {
        RETENTION => Some(Operation::Retention { keep: number("keep").filter(|ms| *ms > 0) }),
        RETIRE => Some(Operation::Retire { from: number("from")?, upto: number("upto")? }),
        PREKEY => Some(Operation::Prekey(fields.prekey?)),
        EPOCH => Some(Operation::Epoch { epoch: fields.epoch?, shares: fields.shares.clone() }),
        _ => None,
    }
}
