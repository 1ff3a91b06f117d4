//! Who may write in a group, and up to where: what [`Membership`] says of its operations, as admission asks for it.
//!
//! - **The control log** takes entries of the founder and of whoever was ever added by somebody who was entitled to it by
//!   what he had seen. That never changes, so nothing of a control log is ever cut: what does not count in it does nothing,
//!   and others may have named it as seen.
//! - **All else** takes what members and admins write. What somebody wrote who was removed, or made a reader, counts up to
//!   where the removal says ([`crate::membership::Limits`]); what lies beyond leaves log, frontier and digest wherever the
//!   removal is held, and comes back if the removal proves void.
//! - A stranger's entry is not taken and is nobody's fault: the operation that adds its author may be on its way.

use std::collections::{BTreeMap, BTreeSet};

use crate::epochs::Entitled;
use crate::ids::{DeviceId, EntryHash, Incarnation, LogId, PrincipalId, SpaceId};
use crate::kinds::control::{Fresh, Origin};
use crate::membership::{Action, Membership, Operation, Role, Verdict, Void};

/// Who belongs to a group. Pure data, the same for the same operations in whatever order they come.
#[derive(Debug)]
pub struct Roster {
    origin: Origin,
    /// Whether those who come later get what was said before.
    history: bool,
    /// `None` until the first operation came.
    membership: Option<Membership>,
    /// Operations that came before the first.
    early: Vec<Operation>,
    verdicts: BTreeMap<EntryHash, Verdict>,
    members: BTreeMap<PrincipalId, Role>,
    /// Whose entries the control log takes.
    named: BTreeSet<PrincipalId>,
    /// Who has, or had, the right to write.
    writers: BTreeSet<PrincipalId>,
    /// Of whom something may be cut.
    cut: BTreeSet<PrincipalId>,
    /// By principal, the operations by which they came in, and those by which they went.
    accepts: BTreeMap<PrincipalId, Vec<EntryHash>>,
    goings: BTreeMap<PrincipalId, Vec<EntryHash>>,
    /// Removals that count, and who said to have seen each.
    cuts: BTreeMap<EntryHash, BTreeSet<PrincipalId>>,
    /// In the order in which they came in here: each after what it follows.
    order: Vec<EntryHash>,
}

impl Roster {
    /// A group of which only its origin is known.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            history: false,
            membership: None,
            early: Vec::new(),
            verdicts: BTreeMap::new(),
            members: BTreeMap::new(),
            named: BTreeSet::from([origin.founder.principal()]),
            writers: BTreeSet::new(),
            cut: BTreeSet::new(),
            accepts: BTreeMap::new(),
            goings: BTreeMap::new(),
            cuts: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// The group.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.origin.space()
    }

    /// What names the group.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether those who come later get what was said before.
    #[must_use]
    pub fn gives_history(&self) -> bool {
        self.history
    }

    /// Takes in what a control log judged, in any order.
    pub fn extend(&mut self, fresh: Fresh) {
        if fresh.operations.is_empty() {
            return;
        }
        for (who, id) in fresh.accepts {
            self.accepts.entry(who).or_default().push(id);
        }
        self.order.extend(fresh.operations.iter().map(|op| op.id));
        let ours = |(device, start, ..): &&(DeviceId, Incarnation, EntryHash, bool)| {
            (*device, *start) == (self.origin.founder, self.origin.start)
        };
        if self.membership.is_none()
            && let Some((.., root, history)) = fresh.begins.iter().find(ours)
        {
            self.membership = Some(Membership::new(*root));
            self.history = *history;
        }
        match &mut self.membership {
            Some(membership) => membership.extend(std::mem::take(&mut self.early).into_iter().chain(fresh.operations)),
            None => self.early.extend(fresh.operations),
        }
        self.decide();
    }

    fn decide(&mut self) {
        let Some(membership) = &self.membership else { return };
        self.verdicts = membership.verdicts();
        self.members = membership.members();
        let founder = self.origin.founder.principal();
        self.writers = BTreeSet::from([founder]);
        self.cut.clear();
        self.goings.clear();
        self.cuts.clear();
        let mut seen = Vec::new();
        for (id, verdict) in &self.verdicts {
            let Some(op) = membership.operation(id) else { continue };
            let counts = *verdict == Verdict::Counts;
            match &op.action {
                Action::Add { who, role } => {
                    if was_entitled(*verdict) {
                        self.named.insert(*who);
                    }
                    if counts && *role > Role::Reader {
                        self.writers.insert(*who);
                    }
                }
                Action::SetRole { who, role, .. } if counts => {
                    if *role > Role::Reader {
                        self.writers.insert(*who);
                    } else {
                        self.cut.insert(*who);
                    }
                }
                Action::Remove { who, .. } if counts => {
                    self.cut.insert(*who);
                    self.goings.entry(*who).or_default().push(*id);
                    self.cuts.entry(*id).or_default();
                }
                Action::Leave if counts => self.goings.entry(op.author).or_default().push(*id),
                Action::Seen { removal } if counts => seen.push((*removal, op.author)),
                _ => {}
            }
        }
        for (removal, by) in seen {
            if let Some(all) = self.cuts.get_mut(&removal) {
                all.insert(by);
            }
        }
    }

    /// Whether the group's first operation came.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.membership.as_ref().is_some_and(|m| !m.heads().is_empty())
    }

    /// Who belongs to it, and as what; those who have not come in yet among them.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<PrincipalId, Role> {
        &self.members
    }

    /// What somebody is; `None`: not a member.
    #[must_use]
    pub fn role(&self, who: &PrincipalId) -> Option<Role> {
        self.members.get(who).copied()
    }

    /// How often somebody was removed, or left.
    #[must_use]
    pub fn times_gone(&self, who: &PrincipalId) -> usize {
        self.goings.get(who).map_or(0, Vec::len)
    }

    /// Whether a member has come in, since the last time that he went.
    #[must_use]
    pub fn has_come_in(&self, who: &PrincipalId) -> bool {
        let Some(membership) = self.membership.as_ref().filter(|_| self.members.contains_key(who)) else {
            return false;
        };
        let goings = self.goings.get(who).map(Vec::as_slice).unwrap_or_default();
        if goings.is_empty() && *who == self.origin.founder.principal() {
            return true;
        }
        let accepts = self.accepts.get(who).into_iter().flatten();
        let mut accepts = accepts.filter(|id| self.verdicts.get(*id) == Some(&Verdict::Counts));
        accepts.any(|accept| goings.iter().all(|going| membership.comes_after(accept, going)))
    }

    /// Whether the control log takes entries of a device.
    #[must_use]
    pub fn is_named(&self, device: &DeviceId) -> bool {
        self.named.contains(&device.principal())
    }

    /// Whether of a device's logs something may be cut, so that it matters what their first entries had seen.
    #[must_use]
    pub fn is_cut(&self, device: &DeviceId) -> bool {
        self.cut.contains(&device.principal())
    }

    /// Up to which entry a log counts that is not the control log's; `None`: without end. `since`: the control heads of its
    /// first entry.
    #[must_use]
    pub fn limit(&self, log: &LogId, since: &[EntryHash]) -> Option<u64> {
        let who = log.device.principal();
        let Some(membership) = self.membership.as_ref().filter(|_| self.writers.contains(&who)) else { return Some(0) };
        if !self.cut.contains(&who) {
            return None;
        }
        membership.limits(&who).of(log, since)
    }

    /// The operations that do not count.
    #[must_use]
    pub fn void(&self) -> BTreeSet<EntryHash> {
        self.verdicts.iter().filter(|(_, v)| **v != Verdict::Counts).map(|(id, _)| *id).collect()
    }

    /// Removals that count, which `who` did not do and has not said to have seen, and of which he is not the target.
    #[must_use]
    pub fn unseen(&self, who: &PrincipalId) -> Vec<EntryHash> {
        let Some(membership) = &self.membership else { return Vec::new() };
        let others = |id: &EntryHash| {
            membership.operation(id).is_some_and(|op| op.author != *who && op.action.target() != Some(*who))
        };
        self.cuts.iter().filter(|(id, seen)| !seen.contains(who) && others(id)).map(|(id, _)| *id).collect()
    }

    /// The group's graph; `None` before its first operation came.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// All operations here, in the order in which they came in.
    #[must_use]
    pub fn operations(&self) -> &[EntryHash] {
        &self.order
    }
}

/// Whether an operation's author was entitled to it by what he had seen: that never changes.
fn was_entitled(verdict: Verdict) -> bool {
    let never = [Void::Detached, Void::NotTheFirst, Void::NotAMember, Void::AlreadyIn];
    match verdict {
        Verdict::Counts => true,
        Verdict::Void(Void::Role { .. }) => false,
        Verdict::Void(why) => !never.contains(&why),
    }
}

impl Entitled for Roster {
    fn now(&self) -> BTreeSet<PrincipalId> {
        self.members.keys().copied().collect()
    }

    fn then(&self, parents: &[EntryHash]) -> Option<BTreeSet<PrincipalId>> {
        Some(self.membership.as_ref()?.members_at(parents).ok()?.into_keys().collect())
    }

    fn counts(&self, operation: &EntryHash) -> bool {
        self.verdicts.get(operation) == Some(&Verdict::Counts)
    }
}

#[cfg(test)]
mod tests;
