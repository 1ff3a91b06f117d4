//! The control log of a space: signed operations about the space itself. How long messages are kept, which keys seal them,
//! in a group who belongs to it, and in a direct space who invites the other into which group.
//!
//! Schema. The root holds maps keyed `{incarnation}.{number}`, the incarnation in its text form and the number as six
//! digits, from 000000 on without gaps; an incarnation writes only at keys of its own, one map an entry, and nothing is
//! ever overwritten. So an operation is known by the hash of its entry.
//! ```text
//! {incarnation}.{number} -> {
//!     op: str   what it does, always the first field
//!     at: int   the entry's HLC, always the second
//!     …         what the operation needs
//! }
//! op "retention"   keep: int         messages are kept for so many milliseconds; 0: for ever
//!                  over: {hash: true} the settings that its author knew and that it takes the place of; at most 64
//! op "retire"      from, upto: int   what is about a time in here, in milliseconds since 1970, may go
//! op "prekey"      prekey: bytes     a prekey of the author's device, signed ([`crate::seal::Prekey`])
//! op "epoch"       epoch: bytes      the id of an epoch of the space's keys
//!                  shares: {device: bytes}  its secret, sealed to these devices ([`crate::seal::Share`]); 1 to 512
//! op "create"      name: str, history: int   begins a group; 1: who comes later gets what was said before, 0: not
//! op "add"         who: bytes, role: str     a member: "reader", "member" or "admin"
//! op "remove"      who: bytes, cut: {document.incarnation: int}  the last entry of each log that counts
//! op "role"        who: bytes, role: str, cut as above
//! op "leave"       nothing more
//! op "accept"      nothing more; its author has come in
//! op "seen"        removal: bytes            the entry of a removal, or of a demotion, that its author took in
//! op "info"        name: str, topic: str, over as above
//! op "invite"      founder, start, nonce: bytes, name: str, role: str   in a direct space: come into this group
//! op "decline"     group: bytes              in a direct space: the answer to it is no
//! op "withdraw"    group: bytes              in a direct space: the invitation holds no more
//! ```
//! An operation that this build does not know is kept and passed on like any other; fields that it does not know are
//! let through within bounds.
//!
//! The entries form a graph: each names the ends of the graph that its author had seen (`control_heads`) beside the
//! author's previous entry. What follows an operation in it was written by somebody who knew it.
//!
//! **Retention.** Either side of a direct space may set it. Of the settings that no other takes the place of, the one with
//! the highest (stamp, hash) counts, so that whoever has seen a setting can always put another in its place, whatever
//! the clocks say. A `retire` alone hides nothing: it says, signed, that its author's clock was past a time, and what the
//! setting that counts calls too old *at the stamp of the retire* is hidden ([`ControlLog::retired`]). So who sets a
//! longer time brings back what has not been erased yet, and a retire by a clock that is ahead does nothing before it
//! would have been right.

pub mod group;
mod log;
mod register;
pub(crate) mod rule;

pub use group::{Fresh, GroupOperation, Invitation, Origin};
pub use log::{ControlLog, Info, Invited, KeyOperation, MAX_INVITED, Setting};

use std::collections::BTreeMap;

use crate::author::{Author, AuthorError};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, EpochId, PrincipalId, SpaceId};
use crate::period::{DAY_MS, HOUR_MS, Unit};
use crate::replica::Access;
use crate::seal::{Prekey, Share};

/// The shortest time that messages can be kept for, in milliseconds.
pub const MIN_KEEP_MS: u64 = DAY_MS;
/// The longest one short of for ever: ten years of 366 days.
pub const MAX_KEEP_MS: u64 = 10 * 366 * DAY_MS;
/// How far a retire may be ahead of the time here and count: as far as clocks of machines that agree may be apart.
pub const SLACK_MS: u64 = HOUR_MS;

/// Shares of one [`Operation::Epoch`] at most; an epoch for more devices is several operations that name the same epoch.
/// So one stays at some 75 kB, far below what one entry and one change of a control log may hold.
pub const MAX_SHARES: usize = 512;

/// The name of [`Operation::Retention`].
pub(crate) const RETENTION: &str = "retention";
/// The name of [`Operation::Retire`].
pub(crate) const RETIRE: &str = "retire";
/// The name of [`Operation::Prekey`].
pub(crate) const PREKEY: &str = "prekey";
/// The name of [`Operation::Epoch`].
pub(crate) const EPOCH: &str = "epoch";

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Messages are kept for so many milliseconds, a multiple of an hour from [`MIN_KEEP_MS`] to [`MAX_KEEP_MS`];
    /// `None`: for ever.
    Retention {
        /// How long.
        keep: Option<u64>,
    },
    /// What is about this time may go; both are multiples of an hour in milliseconds since 1970.
    Retire {
        /// From.
        from: u64,
        /// Up to, not included; at least [`MIN_KEEP_MS`] before the stamp.
        upto: u64,
    },
    /// The author's device publishes a prekey.
    Prekey(Prekey),
    /// The secret of an epoch goes to devices: a new one, or one that its author holds, sealed again.
    Epoch {
        /// Which.
        epoch: EpochId,
        /// For whom; 1 to [`MAX_SHARES`].
        shares: BTreeMap<DeviceId, Share>,
    },
    /// Who belongs to a group, and what it is called.
    Group(GroupOperation),
    /// The other side of a direct space is invited into a group.
    Invite(Invitation),
    /// The author does not come into a group.
    Decline {
        /// Which.
        group: SpaceId,
    },
    /// The author's invitation into a group holds no more.
    Withdraw {
        /// Which.
        group: SpaceId,
    },
}

/// Who may do what: either side of a direct space all that is about retention, keys and invitations; in a commons nobody
/// anything, since each device decides for itself how long it keeps what everybody said, and nothing is sealed; in one's
/// own space oneself. In a group the graph of its operations decides ([`crate::roster::Roster`]), and here only what has no
/// place there is refused.
#[must_use]
pub fn may(access: &Access, who: &PrincipalId, operation: &Operation) -> bool {
    let of_group = matches!(operation, Operation::Group(_));
    let of_pair = matches!(operation, Operation::Invite(_) | Operation::Decline { .. } | Operation::Withdraw { .. });
    match access {
        Access::Commons => false,
        Access::Direct(a, b) => !of_group && (who == a || who == b),
        Access::Own(a) => !of_group && !of_pair && who == a,
        Access::Group => !of_pair,
    }
}

/// Whether a time to keep messages for is within the bounds: see [`Operation::Retention`].
#[must_use]
pub fn is_keep(ms: u64) -> bool {
    (MIN_KEEP_MS..=MAX_KEEP_MS).contains(&ms) && ms.is_multiple_of(HOUR_MS)
}

/// How long the segments of a conversation are whose messages are kept for so long: at most about a quarter of it.
#[must_use]
pub fn unit_for(keep: Option<u64>) -> Unit {
    match keep {
        Some(ms) if ms < 4 * DAY_MS => Unit::Hour,
        Some(ms) if ms < 28 * DAY_MS => Unit::Day,
        _ => Unit::Week,
    }
}

/// Writes an operation on top of what is known. Returns the payload of the next entry, whose stamp must be `hlc` and
/// whose control heads are [`ControlLog::heads`].
///
/// # Errors
/// [`AuthorError`]; nothing is written then.
pub fn write(author: &mut Author, hlc: Hlc, operation: &Operation, log: &ControlLog) -> Result<Vec<u8>, AuthorError> {
    let int = |n: u64| i64::try_from(n).map_err(|_| AuthorError::Rule("the number is too large"));
    let number = u32::try_from(author.seq()).map_err(|_| AuthorError::Rule(rule::FULL))?;
    let key = super::chat::block_key(&author.log().incarnation, number);
    let mut ops = author.new_ops();
    let map = ops.make_map(&automerge::legacy::ObjectId::Root, &key);
    let name = match operation {
        Operation::Retention { .. } => RETENTION,
        Operation::Retire { .. } => RETIRE,
        Operation::Prekey(_) => PREKEY,
        Operation::Epoch { .. } => EPOCH,
        Operation::Group(operation) => operation.name(),
        Operation::Invite(_) => group::INVITE,
        Operation::Decline { .. } => group::DECLINE,
        Operation::Withdraw { .. } => group::WITHDRAW,
    };
    ops.put(&map, "op", name);
    ops.put(&map, "at", int(hlc.0)?);
    match operation {
        Operation::Retention { keep } => {
            ops.put(&map, "keep", int(keep.unwrap_or(0))?);
            write_over(&mut ops, &map, &log.replaceable());
        }
        Operation::Retire { from, upto } => {
            ops.put(&map, "from", int(*from)?);
            ops.put(&map, "upto", int(*upto)?);
        }
        Operation::Prekey(prekey) => ops.put(&map, "prekey", prekey.encode()),
        Operation::Epoch { epoch, shares } => {
            ops.put(&map, "epoch", epoch.0.to_vec());
            let list = ops.make_map(&map, "shares");
            shares.iter().for_each(|(device, share)| ops.put(&list, &device.to_string(), share.encode()));
        }
        Operation::Group(operation) => {
            operation.write(&mut ops, &map)?;
            if matches!(operation, GroupOperation::Info { .. }) {
                write_over(&mut ops, &map, &log.replaceable_infos());
            }
        }
        Operation::Invite(invitation) => invitation.write(&mut ops, &map),
        Operation::Decline { group } | Operation::Withdraw { group } => ops.put(&map, "group", group.0.to_vec()),
    }
    author.commit_new(hlc, ops)
}

/// What an operation takes the place of.
fn write_over(ops: &mut crate::author::NewOps, map: &automerge::legacy::ObjectId, over: &[crate::ids::EntryHash]) {
    if !over.is_empty() {
        let list = ops.make_map(map, "over");
        over.iter().for_each(|hash| ops.put(&list, &hash.to_string(), true));
    }
}
