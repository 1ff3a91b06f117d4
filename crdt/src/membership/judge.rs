//! Whether an operation's author was entitled to it by what it follows.

use std::sync::Arc;

use super::people::{Grant, State};
use super::{Action, Membership, Operation, Role, Void};
use crate::ids::PrincipalId;

/// (depth of the grant, principal): the lower, the more senior.
pub(super) type Seniority = (u32, PrincipalId);

/// What an operation is, to those that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Takes somebody in, or raises a role.
    Grant,
    /// Removes somebody else.
    Removal,
    /// Lowers the role of somebody else.
    Demotion,
    /// Leaves, or lowers one's own role.
    Own,
    /// Speaks for a removal.
    Seen,
    /// Changes nobody's membership.
    Act,
}

impl Sort {
    /// Whether it takes something from somebody else.
    pub(super) fn cuts(self) -> bool {
        matches!(self, Self::Removal | Self::Demotion)
    }
}

/// What an operation that its author was entitled to rests on.
#[derive(Debug)]
pub(super) struct Basis {
    pub sort: Sort,
    pub needs: Role,
    pub seniority: Seniority,
    /// How its author stood.
    pub grants: Arc<[Grant]>,
    /// How everybody stood, for a removal.
    pub then: Option<Arc<State>>,
}

impl Membership {
    /// Judges an operation by how everybody stands in `view`, its past. `author` and `target` are numbers of people;
    /// `follows` says whether an operation is in its past.
    pub(super) fn judge(
        &self,
        op: &Operation,
        (author, target): (usize, Option<usize>),
        view: &Arc<State>,
        follows: impl Fn(usize) -> bool,
    ) -> Result<Basis, Void> {
        let Some(standing) = view.get(author) else { return Err(Void::NotAMember) };
        let (is, needs) = (standing.role, op.action.needs());
        if is < needs {
            return Err(Void::Role { is, needs });
        }
        let is_there = target.and_then(|who| view.role(who));
        let own = || {
            let waits = |place: &usize| self.nodes.get(*place).is_some_and(|n| n.author == author);
            if view.dormant.iter().any(waits) { Err(Void::AlreadyWaiting) } else { Ok(Sort::Own) }
        };
        let sort = match (&op.action, is_there) {
            (Action::Create, _) => return Err(Void::NotTheFirst),
            (Action::Add { .. }, Some(_)) => return Err(Void::AlreadyIn),
            (Action::Add { .. }, None) => Sort::Grant,
            (Action::Remove { who, .. }, _) if *who == op.author => return Err(Void::Oneself),
            (Action::Remove { .. } | Action::SetRole { .. }, None) => return Err(Void::NobodyThere),
            (Action::Remove { .. }, Some(_)) => Sort::Removal,
            (Action::SetRole { role, .. }, Some(was)) if was == *role => return Err(Void::SameRole),
            (Action::SetRole { role, .. }, Some(was)) if was < *role => Sort::Grant,
            (Action::SetRole { who, .. }, Some(_)) if *who == op.author => own()?,
            (Action::SetRole { .. }, Some(_)) => Sort::Demotion,
            (Action::Leave, _) => own()?,
            (Action::Seen { removal }, _) => {
                let place = self.place(removal).filter(|p| follows(*p));
                let removal = place.and_then(|p| self.nodes.get(p)).and_then(|n| n.basis.as_ref().ok());
                match removal {
                    Some(Basis { sort: Sort::Removal, .. }) => Sort::Seen,
                    _ => return Err(Void::NothingSeen),
                }
            }
            (Action::Act { .. }, _) => Sort::Act,
        };
        let then = (sort == Sort::Removal).then(|| Arc::clone(view));
        Ok(Basis { sort, needs, seniority: (standing.rank, op.author), grants: Arc::clone(&standing.grants), then })
    }
}
