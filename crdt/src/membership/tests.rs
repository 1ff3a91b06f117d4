//! The rules by example, and the fast decision against one that is written down as the rules say it.

mod examples;
mod histories;
mod naive;

use std::collections::BTreeMap;

use super::{Action, Cut, Operation, Role};
use crate::ids::{EntryHash, PrincipalId};

/// Principals A, B, C … by number, in ascending order of their ids.
pub(super) fn p(n: u8) -> PrincipalId {
    PrincipalId([n + 1; 32])
}

/// The id of the n-th operation; scrambled, so that ids do not come in the order of writing.
pub(super) fn id(n: usize) -> EntryHash {
    EntryHash(*blake3::hash(&n.to_be_bytes()).as_bytes())
}

pub(super) fn op(n: usize, author: u8, parents: &[usize], action: Action) -> Operation {
    Operation { id: id(n), author: p(author), parents: parents.iter().map(|n| id(*n)).collect(), action }
}

pub(super) fn add(who: u8, role: Role) -> Action {
    Action::Add { who: p(who), role }
}

pub(super) fn remove(who: u8) -> Action {
    Action::Remove { who: p(who), cut: Cut::new() }
}

pub(super) fn set(who: u8, role: Role) -> Action {
    Action::SetRole { who: p(who), role, cut: Cut::new() }
}

pub(super) fn seen(n: usize) -> Action {
    Action::Seen { removal: id(n) }
}

/// Members by their number.
pub(super) fn by_number(members: &BTreeMap<PrincipalId, Role>) -> Vec<(u8, Role)> {
    members.iter().map(|(who, role)| (who.0.first().map_or(0, |b| b - 1), *role)).collect()
}
