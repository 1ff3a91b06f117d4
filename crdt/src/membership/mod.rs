//! Who belongs to a group, and as what: a pure function of the group's signed control operations and of the order in
//! which their authors saw each other's. The same operations give the same result, whatever order they arrive in.
//!
//! Every operation names its parents, the ends of the graph that its author had seen. What an operation follows is its
//! **past**; two operations of which neither follows the other are **concurrent**. A **cut** is a removal of somebody
//! else, or a lowering of somebody else's role (a demotion). The rules:
//!
//! 1. An operation counts only if its author was entitled to it by its past.
//! 2. Cuts are decided in the order of seniority: the depth in the graph of the grant that makes their author an admin,
//!    then the author's id; so the founder comes first. Those of one author go by depth, then by hash.
//! 3. Once a removal counts, what its target did without knowing it is void: whatever is not in its past and does not
//!    rest on a later return. A demotion does so to what took the lost role. So is what rests on void grants alone; merely
//!    having seen something void is no reason. Cuts that were decided before stay.
//! 4. So of a mutual removal the senior one counts. But a removal that more than half of the members of its time have
//!    followed with `seen`, its author among them and at least two more besides its target, goes before each concurrent
//!    cut that none of these had seen (unless that one goes before it by the same rule).
//! 5. A removal ends every grant of its target that does not follow it, so it beats a concurrent add; a demotion lowers
//!    every one, so it beats a concurrent raise. Of several grants the highest role holds; a raise is worth nothing
//!    without an add that it follows.
//! 6. A removal, and a demotion to reader, says up to where each log of its target counts ([`Limits`]).
//! 7. Leaving and lowering one's own role are decided last, by depth and then seniority. They wait while no admin would be
//!    left. A cut that would leave no admin is void.
//!
//! Where all of what somebody had seen precedes or follows one operation, what was decided up to there stands for all
//! that follows it: a group does not decide again what everybody has agreed on.
//!
//! **Cost.** An operation with one parent costs O(log n) and what it changes, and nothing is decided again for what came
//! before. One that brings branches together costs what is new to the deepest of them; where a cut meets what its target
//! did concurrently, or somebody leaves, in the stretch since they parted, it costs the whole stretch. So whoever goes on
//! writing as of long ago, and gets others to name each of it as seen, makes every one of theirs cost up to the whole
//! history: never more, but n operations are n² steps then. Who feeds this bounds that: operations of one author are taken
//! at most a few a second, and ends of the graph that do not count need not be named as seen.

mod ask;
mod bits;
mod decide;
mod graph;
mod judge;
mod people;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use crate::ids::{EntryHash, LogId, PrincipalId};

pub use ask::Limits;
pub use graph::Membership;

/// What a member may do, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Member,
    /// Says who belongs to the group, too.
    Admin,
}

/// The last entry of each log of a principal that still counts; of logs that are not listed none does.
pub type Cut = BTreeMap<LogId, u64>;

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begins the group; its author is the founder. Only the group's first operation can.
    Create,
    /// Takes somebody in.
    Add {
        /// Whom.
        who: PrincipalId,
        /// As what.
        role: Role,
    },
    /// Removes somebody else.
    Remove {
        /// Whom.
        who: PrincipalId,
        /// Up to where their logs count.
        cut: Cut,
    },
    /// Gives a member another role.
    SetRole {
        /// Whom.
        who: PrincipalId,
        /// Which.
        role: Role,
        /// Up to where their logs count; of use with [`Role::Reader`] alone.
        cut: Cut,
    },
    /// Leaves the group.
    Leave,
    /// Says that its author's node has taken in a removal or demotion.
    Seen {
        /// Which.
        removal: EntryHash,
    },
    /// Anything else that changes nobody's membership.
    Act {
        /// The role that it takes.
        needs: Role,
    },
}

/// A signed operation of a control log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The hash of its entry.
    pub id: EntryHash,
    /// Who signed it.
    pub author: PrincipalId,
    /// The ends of the graph that its author had seen; empty for the first operation.
    pub parents: Vec<EntryHash>,
    /// What it does.
    pub action: Action,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Counts,
    /// It does not count.
    Void(Void),
}

/// Why an operation does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Void {
    /// It does not follow the group's first operation.
    Detached,
    /// Only the first operation begins a group.
    NotTheFirst,
    /// Its author was no member, by what it follows.
    NotAMember,
    /// Its author's role did not reach, by what it follows.
    Role {
        /// What the author was.
        is: Role,
        /// What it takes.
        needs: Role,
    },
    /// It adds a member.
    AlreadyIn,
    /// It removes or changes somebody who was no member.
    NobodyThere,
    /// It gives a role that its target has.
    SameRole,
    /// Nobody removes himself: one leaves.
    Oneself,
    /// It says to have seen what it does not follow, or what is no removal.
    NothingSeen,
    /// It is no removal or demotion, and its author was removed or demoted at the same time.
    AuthorCut {
        /// By which.
        by: EntryHash,
    },
    /// It follows a removal or demotion of its author that did not seem to count then.
    AuthorGone {
        /// Which.
        by: EntryHash,
    },
    /// It is a removal or demotion, and a senior admin removed or demoted its author at the same time.
    Outranked {
        /// By which.
        by: EntryHash,
    },
    /// It is a removal or demotion, and enough members had taken in a removal of its author without it.
    Outvoted {
        /// By which.
        by: EntryHash,
    },
    /// It takes in or raises somebody whom a concurrent removal or demotion meets.
    TargetCut {
        /// By which.
        by: EntryHash,
    },
    /// Its author was a member, or had the role, by this grant, which is void.
    GrantVoid {
        /// Which.
        grant: EntryHash,
    },
    /// Its author waits already for another admin, to be able to go.
    AlreadyWaiting,
    /// No admin would be left. It counts as soon as there is another.
    LastAdmin,
    /// It is a removal or demotion by somebody who is removed himself, and no admin would be left.
    NobodyLeft,
}

/// Control heads that name an operation which is not here (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control operation {0} is not here yet")]
pub struct Unknown(pub EntryHash);

impl Action {
    /// Whom it is about, beside its author.
    pub(crate) fn target(&self) -> Option<PrincipalId> {
        match self {
            Self::Add { who, .. } | Self::Remove { who, .. } | Self::SetRole { who, .. } => Some(*who),
            Self::Create | Self::Leave | Self::Seen { .. } | Self::Act { .. } => None,
        }
    }

    /// The removal that it speaks for.
    pub(crate) fn removal(&self) -> Option<EntryHash> {
        match self {
            Self::Seen { removal } => Some(*removal),
            _ => None,
        }
    }

    /// The role that it takes.
    pub(crate) fn needs(&self) -> Role {
        match self {
            Self::Add { .. } | Self::Remove { .. } | Self::SetRole { .. } | Self::Create => Role::Admin,
            Self::Act { needs } => *needs,
            Self::Leave | Self::Seen { .. } => Role::Reader,
        }
    }
}
