//! What may be asked of a membership.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Sort;
use super::people::State;
use super::{Action, Cut, Membership, Operation, Role, Unknown, Verdict, Void};
use crate::ids::{EntryHash, LogId, PrincipalId};

/// Up to where the logs of a principal count.
#[derive(Debug)]
pub struct Limits<'a> {
    graph: &'a Membership,
    /// Removals, and demotions to reader, that count.
    cuts: Vec<(usize, &'a Cut)>,
    /// Grants that let write and count.
    grants: Vec<usize>,
}

impl Limits<'_> {
    /// Up to which entry a log counts; `None`: without end. `since` are the control heads that the log's first entry
    /// names: a grant among what they follow lifts the cuts of removals before it, which is why whoever comes back writes
    /// in a new incarnation. Of several cuts the furthest holds.
    #[must_use]
    pub fn of(&self, log: &LogId, since: &[EntryHash]) -> Option<u64> {
        let since: Vec<usize> = since.iter().filter_map(|h| self.graph.place(h)).collect();
        let known = |place: usize| since.iter().any(|s| *s == place || self.graph.follows(*s, place));
        let lifted = |cut: usize| self.grants.iter().any(|g| self.graph.follows(*g, cut) && known(*g));
        let holds = self.cuts.iter().filter(|(place, _)| !lifted(*place));
        holds.map(|(_, cut)| cut.get(log).copied().unwrap_or(0)).max()
    }
}

/// Verdicts of places that are asked for in descending order.
struct Verdicts<'a> {
    graph: &'a Membership,
    /// The node of the tree of narrows up to which places were looked at, and what is void below it.
    at: usize,
    void: Option<BTreeMap<usize, Void>>,
    /// What is void beyond the last narrow.
    last: Option<BTreeMap<usize, Void>>,
}

impl<'a> Verdicts<'a> {
    fn new(graph: &'a Membership) -> Self {
        Self { graph, at: graph.end.0.up, void: None, last: None }
    }

    fn of(&mut self, place: usize) -> Verdict {
        let Some(node) = self.graph.nodes.get(place) else { return Verdict::Void(Void::Detached) };
        if let Err(void) = &node.basis {
            return Verdict::Void(*void);
        }
        let (end, state) = &self.graph.end;
        let void = if place > end.up {
            self.last.get_or_insert_with(|| self.graph.decide(end.up, &end.local).void).get(&place).copied()
        } else {
            while place < self.at {
                let Some(narrow) = self.graph.nodes.get(self.at) else { break };
                if place > narrow.up {
                    self.void.get_or_insert_with(|| self.graph.decide(narrow.up, &narrow.local).void);
                    break;
                }
                self.at = narrow.up;
                self.void = None;
            }
            // What all the rest follows or precedes counts, unless it waited for an admin.
            let narrow = place == self.at && node.basis.as_ref().is_ok_and(|b| b.sort == Sort::Own);
            if narrow { Some(Void::LastAdmin) } else { self.void.as_ref().and_then(|v| v.get(&place)).copied() }
        };
        match void {
            // What waited for an admin counts once it waits no more.
            Some(Void::LastAdmin) if !state.dormant.contains(&place) => Verdict::Counts,
            Some(void) => Verdict::Void(void),
            None => Verdict::Counts,
        }
    }
}

impl Membership {
    /// All members and what they are.
    #[must_use]
    pub fn members(&self) -> BTreeMap<PrincipalId, Role> {
        self.people.iter().filter_map(|(who, n)| Some((*who, self.end.1.role(*n)?))).collect()
    }

    /// What a principal is; `None`: not a member.
    #[must_use]
    pub fn role(&self, who: &PrincipalId) -> Option<Role> {
        self.end.1.role(*self.people.get(who)?)
    }

    /// What a principal was, by the operations that `heads` name and all that they follow.
    ///
    /// # Errors
    /// [`Unknown`] where one of them is not here, or waits for what is not here.
    pub fn role_at(&self, heads: &[EntryHash], who: &PrincipalId) -> Result<Option<Role>, Unknown> {
        let Some(state) = self.state_at(heads)? else { return Ok(None) };
        Ok(self.people.get(who).and_then(|who| state.role(*who)))
    }

    /// All members and what they were, by the operations that `heads` name and all that they follow.
    ///
    /// # Errors
    /// [`Unknown`] where one of them is not here, or waits for what is not here.
    pub fn members_at(&self, heads: &[EntryHash]) -> Result<BTreeMap<PrincipalId, Role>, Unknown> {
        let Some(state) = self.state_at(heads)? else { return Ok(BTreeMap::new()) };
        Ok(self.people.iter().filter_map(|(who, n)| Some((*who, state.role(*n)?))).collect())
    }

    /// How everybody stood; `None` where the heads name nothing that follows the first operation.
    fn state_at(&self, heads: &[EntryHash]) -> Result<Option<State>, Unknown> {
        let mut places = BTreeSet::new();
        for head in heads {
            match self.place(head) {
                Some(place) => drop(places.insert(place)),
                None if self.detached.contains(head) => {}
                None => return Err(Unknown(*head)),
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let past = self.past(&places);
        Ok(Some(self.decide(past.up, &past.local).state))
    }

    /// What became of an operation; `None` where it is not here, or waits for what is not here.
    #[must_use]
    pub fn verdict(&self, id: &EntryHash) -> Option<Verdict> {
        if self.detached.contains(id) {
            return Some(Verdict::Void(Void::Detached));
        }
        self.place(id).map(|place| Verdicts::new(self).of(place))
    }

    /// What became of each operation that is here and follows the first; quicker than asking for one after the other.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<EntryHash, Verdict> {
        let mut verdicts = Verdicts::new(self);
        (0..self.nodes.len()).rev().map(|place| (self.id(place), verdicts.of(place))).collect()
    }

    /// Whether the author of an operation had seen another.
    #[must_use]
    pub fn comes_after(&self, later: &EntryHash, earlier: &EntryHash) -> bool {
        self.place(later).zip(self.place(earlier)).is_some_and(|(later, earlier)| self.follows(later, earlier))
    }

    /// An operation that is here.
    #[must_use]
    pub fn operation(&self, id: &EntryHash) -> Option<&Operation> {
        self.place(id).and_then(|p| self.nodes.get(p)).map(|n| &n.op)
    }

    /// The ends of the graph: what an operation that is written now follows.
    #[must_use]
    pub fn heads(&self) -> Vec<EntryHash> {
        self.ends().map(|place| self.id(place)).collect()
    }

    /// Operations that others name as parents and that are not here.
    #[must_use]
    pub fn missing(&self) -> Vec<EntryHash> {
        self.waiting.keys().copied().collect()
    }

    /// Up to where the logs of a principal count.
    #[must_use]
    pub fn limits(&self, who: &PrincipalId) -> Limits<'_> {
        let mut limits = Limits { graph: self, cuts: Vec::new(), grants: Vec::new() };
        let Some(target) = self.people.get(who) else { return limits };
        let mut verdicts = Verdicts::new(self);
        for (place, node) in self.nodes.iter().enumerate().rev().filter(|(_, n)| n.target == Some(*target)) {
            let counts = verdicts.of(place) == Verdict::Counts;
            match &node.op.action {
                Action::Remove { cut, .. } | Action::SetRole { cut, role: Role::Reader, .. } if counts => {
                    limits.cuts.push((place, cut));
                }
                Action::Add { role, .. } | Action::SetRole { role, .. } if counts && *role > Role::Reader => {
                    limits.grants.push(place);
                }
                _ => {}
            }
        }
        limits
    }
}
