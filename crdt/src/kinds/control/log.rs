//! A control log in memory: the graph of its entries and what they add up to. The same entries add up to the same,
//! in whatever order they come.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{self, Fresh, GroupOperation, Invitation};
use super::register::Register;
use super::rule::{Fields, read};
use super::{EPOCH, Operation, PREKEY, RETENTION, RETIRE, SLACK_MS, may};
use crate::entry::{Entry, MAX_CONTROL_HEADS};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, Kind, SpaceId};
use crate::membership::{self, Action, Role};
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

/// What a group is called and about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its topic; may be empty.
    pub topic: String,
}

/// An invitation, as one side of a direct space said it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// Into what, and as what.
    pub invitation: Invitation,
    /// When.
    pub at: Hlc,
    /// Whether it holds: nobody declined it or took it back since.
    pub open: bool,
}

/// Invitations of one side that are kept; what comes beyond is passed over until others are answered.
pub const MAX_INVITED: usize = 16;

/// A retire that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Retire {
    at: Hlc,
    from: u64,
    upto: u64,
    id: EntryHash,
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
    settings: Register<Setting>,
    infos: Register<Info>,
    /// Operations of a group that do not count.
    void: BTreeSet<EntryHash>,
    /// Operations of a group that its roster has not taken yet.
    fresh: Fresh,
    /// By whom, into what.
    invited: BTreeMap<(DeviceId, SpaceId), Invited>,
    /// Answers and withdrawals, the latest of each side.
    closed: BTreeMap<(DeviceId, SpaceId), Hlc>,
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
            settings: Register::default(),
            infos: Register::default(),
            void: BTreeSet::new(),
            fresh: Fresh::default(),
            invited: BTreeMap::new(),
            closed: BTreeMap::new(),
            retires: BTreeSet::new(),
            newer: 0,
        }
    }

    /// Judges and applies entries.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let outcomes = self.judge.apply(entries);
        for (entry, outcome) in entries.iter().zip(&outcomes) {
            let entry = entry.as_ref();
            let action = match outcome {
                Outcome::Known | Outcome::Waiting | Outcome::Locked(_) => continue,
                Outcome::Valid { ops } => self.take(entry, &read(ops)),
                Outcome::Unsupported => {
                    self.newer = self.newer.saturating_add(1);
                    None
                }
                Outcome::Void(_) | Outcome::Erased => None,
            };
            self.link(entry);
            if self.access == Access::Group {
                // Whatever it is, others may name it as seen.
                let action = action.unwrap_or(Action::Act { needs: Role::Admin });
                self.fresh.operations.push(membership::Operation {
                    id: entry.hash(),
                    author: entry.header().log.device.principal(),
                    parents: parents(entry),
                    action,
                });
            }
        }
        self.settings.decide(&self.void);
        self.infos.decide(&self.void);
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

    /// Takes an operation; answers what it does in a group.
    fn take(&mut self, entry: &Entry, fields: &Fields) -> Option<Action> {
        let (by, at, hash) = (entry.header().log.device, entry.header().hlc, entry.hash());
        let Some(operation) = operation(fields) else {
            self.newer = self.newer.saturating_add(1);
            return None;
        };
        if !may(&self.access, &by.principal(), &operation) {
            return None;
        }
        let over = || fields.over.clone();
        Some(match operation {
            Operation::Retention { keep } => {
                self.settings.put(hash, at, over(), Setting { keep, by, at, entry: hash });
                Action::Act { needs: Role::Admin }
            }
            Operation::Retire { from, upto } => {
                self.retires.insert(Retire { at, from, upto, id: hash });
                Action::Act { needs: Role::Admin }
            }
            // Who keeps keys asks for these by `key_operation`. Whoever belongs here may hand one on.
            Operation::Prekey(_) | Operation::Epoch { .. } => Action::Act { needs: Role::Reader },
            Operation::Group(operation) => {
                let action = operation.action();
                match operation {
                    GroupOperation::Accept => self.fresh.accepts.push((by.principal(), hash)),
                    GroupOperation::Create { name, history } => {
                        if entry.header().seq == 1 {
                            self.fresh.begins.push((by, entry.header().log.incarnation, hash, history));
                        }
                        self.infos.put(hash, at, over(), Info { name, topic: String::new() });
                    }
                    GroupOperation::Info { name, topic } => self.infos.put(hash, at, over(), Info { name, topic }),
                    _ => {}
                }
                action
            }
            Operation::Invite(invitation) => {
                self.invite(by, at, invitation);
                return None;
            }
            Operation::Decline { group } | Operation::Withdraw { group } => {
                let latest = self.closed.entry((by, group)).or_default();
                *latest = at.max(*latest);
                if self.closed.len() > 4 * MAX_INVITED {
                    // Of what holds nothing back the oldest goes.
                    let of_open = |key: &(DeviceId, SpaceId)| self.invited.keys().any(|(_, g)| *g == key.1);
                    let idle = self.closed.iter().filter(|(k, _)| !of_open(k)).min_by_key(|(_, at)| **at);
                    if let Some(key) = idle.map(|(key, _)| *key) {
                        self.closed.remove(&key);
                    }
                }
                return None;
            }
        })
    }

    /// Takes an invitation: of each group the latest of a side, of a side [`MAX_INVITED`] groups.
    fn invite(&mut self, by: DeviceId, at: Hlc, invitation: Invitation) {
        let key = (by, invitation.origin.space());
        let known = self.invited.get(&key);
        if known.is_some_and(|known| known.at >= at) {
            return;
        }
        if known.is_none() {
            let of_side = |(key, _): &(&(DeviceId, SpaceId), &Invited)| key.0 == by;
            let mine = self.invited.iter().filter(of_side);
            if mine.clone().count() >= MAX_INVITED {
                let closed = |key: &(DeviceId, SpaceId), one: &Invited| self.closed_since(&key.1, one.at);
                let Some(done) = mine.filter(|(k, one)| closed(k, one)).map(|(k, _)| *k).next() else { return };
                self.invited.remove(&done);
            }
        }
        self.invited.insert(key, Invited { invitation, at, open: true });
    }

    fn closed_since(&self, group: &SpaceId, at: Hlc) -> bool {
        self.closed.iter().any(|((_, g), closed)| g == group && *closed > at)
    }

    /// The invitations here, by whom.
    pub fn invited(&self) -> impl Iterator<Item = (DeviceId, Invited)> + '_ {
        let open = |group: &SpaceId, at: Hlc| !self.closed_since(group, at);
        self.invited.iter().map(move |((by, group), one)| (*by, Invited { open: open(group, one.at), ..one.clone() }))
    }

    /// Whether somebody's last word on a group is that an invitation into it holds no more.
    #[must_use]
    pub fn has_closed(&self, who: &DeviceId, group: &SpaceId) -> bool {
        let mut invited = self.invited.iter().filter(|((_, g), _)| g == group);
        self.closed.get(&(*who, *group)).is_some_and(|at| invited.all(|(_, one)| one.at < *at))
    }

    /// When somebody said last that an invitation into a group holds no more, where no later one of his is here.
    #[must_use]
    pub fn closed_at(&self, who: &DeviceId, group: &SpaceId) -> Option<Hlc> {
        let again = self.invited.get(&(*who, *group)).map(|one| one.at);
        self.closed.get(&(*who, *group)).copied().filter(|at| again.is_none_or(|again| again < *at))
    }

    /// The least stamp with which an operation says more than what was said before it, whatever clocks say.
    #[must_use]
    pub fn not_before(&self, operation: &Operation) -> Hlc {
        let group = match operation {
            Operation::Invite(invitation) => invitation.origin.space(),
            Operation::Decline { group } | Operation::Withdraw { group } => *group,
            _ => return Hlc::default(),
        };
        let said = self.invited.iter().filter(|((_, g), _)| *g == group).map(|(_, one)| one.at);
        let closed = self.closed.iter().filter(|((_, g), _)| *g == group).map(|(_, at)| *at);
        said.chain(closed).max().map_or(Hlc::default(), Hlc::next)
    }

    /// The operations of a group that came since, for its roster.
    pub fn take_fresh(&mut self) -> Fresh {
        std::mem::take(&mut self.fresh)
    }

    /// Says which operations of a group do not count.
    pub fn set_void(&mut self, void: BTreeSet<EntryHash>) {
        if void != self.void {
            self.void = void;
            self.settings.decide(&self.void);
            self.infos.decide(&self.void);
        }
    }

    /// What a group is called and about; `None` before its first operation came.
    #[must_use]
    pub fn info(&self) -> Option<&Info> {
        self.infos.current()
    }

    /// What a new [`GroupOperation::Info`] takes the place of.
    #[must_use]
    pub fn replaceable_infos(&self) -> Vec<EntryHash> {
        self.infos.ends()
    }

    /// The setting that counts: of those that no other took the place of, the one with the highest (stamp, hash).
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        self.settings.current().copied()
    }

    /// The settings that a new one takes the place of.
    #[must_use]
    pub fn replaceable(&self) -> Vec<EntryHash> {
        self.settings.ends()
    }

    /// What is hidden: what retires that count at the time `now` (milliseconds since 1970) cover, as far as the setting
    /// that counts calls it too old at the stamp of the retire.
    #[must_use]
    pub fn retired(&self, now: u64) -> Spans {
        let Some(keep) = self.setting().and_then(|s| s.keep) else { return Spans::EMPTY };
        let counting = self.retires.iter().take_while(|r| r.at.ms() <= now.saturating_add(SLACK_MS));
        let counting = counting.filter(|r| !self.void.contains(&r.id));
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
        Some(KeyOperation { id: entry.hash(), by, at: header.hlc, parents: parents(entry), operation })
    }

    /// Operations that need a newer Cairn.
    #[must_use]
    pub fn needs_newer(&self) -> u64 {
        self.newer
    }
}

/// The ends of the graph that the author of an entry had seen, ascending.
fn parents(entry: &Entry) -> Vec<EntryHash> {
    let header = entry.header();
    let mut parents = header.control_heads.clone();
    parents.extend((header.seq > 1).then_some(header.prev));
    parents.sort_unstable();
    parents.dedup();
    parents
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
        group::INVITE => Invitation::of(fields).map(Operation::Invite),
        group::DECLINE => Some(Operation::Decline { group: group::group_of(fields)? }),
        group::WITHDRAW => Some(Operation::Withdraw { group: group::group_of(fields)? }),
        _ => GroupOperation::of(fields).map(Operation::Group),
    }
}
