//! The operations of a control log that are about groups: who belongs to one and what it is called, and invitations, which
//! lie in the direct space of the two.

use std::collections::BTreeMap;

use automerge::legacy::ObjectId;
use serde::{Deserialize, Serialize};

use super::rule::Fields;
use crate::author::{AuthorError, NewOps};
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, LogId, PrincipalId, SpaceId};
use crate::membership::{self, Action, Cut, Role};

/// Longest name of a group in bytes.
pub const MAX_GROUP_NAME: usize = 64;
/// Longest topic in bytes.
pub const MAX_TOPIC: usize = 256;
/// Most logs that one cut lists: the newest. Each takes some 70 bytes of what one control entry may hold.
pub const MAX_CUT: usize = 1_500;

/// The name of [`super::Operation::Invite`].
pub(crate) const INVITE: &str = "invite";
/// The name of [`super::Operation::Decline`].
pub(crate) const DECLINE: &str = "decline";
/// The name of [`super::Operation::Withdraw`].
pub(crate) const WITHDRAW: &str = "withdraw";
/// The name of [`GroupOperation::Info`].
pub(crate) const INFO: &str = "info";

/// What names a group: who began it, under which start, and a number that the founder chose by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The founder's device.
    pub founder: DeviceId,
    /// The start of it; the group's first operation is the first entry of its control log.
    pub start: Incarnation,
    /// 16 random bytes.
    pub nonce: [u8; 16],
}

impl Origin {
    /// The group.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        SpaceId::group(&self.founder, &self.start, &self.nonce)
    }
}

/// An invitation into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Which.
    pub origin: Origin,
    /// What it is called, 1 to [`MAX_GROUP_NAME`] bytes.
    pub name: String,
    /// As what.
    pub role: Role,
}

/// An operation of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupOperation {
    /// Begins it.
    Create {
        /// What it is called, 1 to [`MAX_GROUP_NAME`] bytes without control characters.
        name: String,
        /// Whether those who come later get what was said before.
        history: bool,
    },
    /// Takes somebody in, who comes in by [`GroupOperation::Accept`].
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
        /// Up to where their logs count, at most [`MAX_CUT`] of them.
        cut: Cut,
    },
    /// Gives a member another role.
    SetRole {
        /// Whom.
        who: PrincipalId,
        /// Which.
        role: Role,
        /// Up to where their logs count; only with [`Role::Reader`].
        cut: Cut,
    },
    /// Its author leaves.
    Leave,
    /// Its author, who was added, has come in.
    Accept,
    /// Its author's node has taken in a removal or demotion.
    Seen {
        /// Which.
        removal: EntryHash,
    },
    /// What the group is called and about.
    Info {
        /// Its name.
        name: String,
        /// Its topic, at most [`MAX_TOPIC`] bytes; may be empty.
        topic: String,
    },
}

/// What a control log tells a group's roster: what was judged since it was asked last.
#[derive(Debug, Default)]
pub struct Fresh {
    /// Every entry, whatever it is.
    pub operations: Vec<membership::Operation>,
    /// Operations by which their authors came in.
    pub accepts: Vec<(PrincipalId, EntryHash)>,
    /// First entries of logs that begin a group: whose, which, and whether it gives its history.
    pub begins: Vec<(DeviceId, Incarnation, EntryHash, bool)>,
}

/// The word of a role on the wire.
fn word(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Member => "member",
        Role::Admin => "admin",
    }
}

fn role(word: &str) -> Option<Role> {
    match word {
        "reader" => Some(Role::Reader),
        "member" => Some(Role::Member),
        "admin" => Some(Role::Admin),
        _ => None,
    }
}

/// Whether a text can be the name of a group.
#[must_use]
pub fn is_group_name(name: &str) -> bool {
    (1..=MAX_GROUP_NAME).contains(&name.len()) && name.trim() == name && !name.chars().any(char::is_control)
}

/// Whether a text can be the topic of a group.
#[must_use]
pub fn is_topic(topic: &str) -> bool {
    topic.len() <= MAX_TOPIC && !topic.chars().any(char::is_control)
}

impl GroupOperation {
    /// Its name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::SetRole { .. } => "role",
            Self::Leave => "leave",
            Self::Accept => "accept",
            Self::Seen { .. } => "seen",
            Self::Info { .. } => INFO,
        }
    }

    /// What it does to the membership.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Create { .. } => Action::Create,
            Self::Add { who, role } => Action::Add { who: *who, role: *role },
            Self::Remove { who, cut } => Action::Remove { who: *who, cut: cut.clone() },
            Self::SetRole { who, role, cut } => Action::SetRole { who: *who, role: *role, cut: cut.clone() },
            Self::Leave => Action::Leave,
            Self::Accept => Action::Act { needs: Role::Reader },
            Self::Seen { removal } => Action::Seen { removal: *removal },
            Self::Info { .. } => Action::Act { needs: Role::Admin },
        }
    }

    pub(super) fn write(&self, ops: &mut NewOps, map: &ObjectId) -> Result<(), AuthorError> {
        match self {
            Self::Create { name, history } => {
                ops.put(map, "name", name.as_str());
                ops.put(map, "history", i64::from(*history));
            }
            Self::Add { who, role } => {
                ops.put(map, "who", who.0.to_vec());
                ops.put(map, "role", word(*role));
            }
            Self::Remove { who, cut } => {
                ops.put(map, "who", who.0.to_vec());
                write_cut(ops, map, cut)?;
            }
            Self::SetRole { who, role, cut } => {
                ops.put(map, "who", who.0.to_vec());
                ops.put(map, "role", word(*role));
                write_cut(ops, map, cut)?;
            }
            Self::Leave | Self::Accept => {}
            Self::Seen { removal } => ops.put(map, "removal", removal.0.to_vec()),
            Self::Info { name, topic } => {
                ops.put(map, "name", name.as_str());
                ops.put(map, "topic", topic.as_str());
            }
        }
        Ok(())
    }

    /// The operation of fields that passed the rule.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let name = || fields.texts.get("name").filter(|name| is_group_name(name)).cloned();
        let who = || fields.bytes.get("who").and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok()).map(PrincipalId);
        let role = || fields.texts.get("role").and_then(|word| role(word));
        let cut = |who: &PrincipalId| -> Cut {
            let device = who.founder();
            let log = |(document, incarnation): &(DocumentId, Incarnation)| LogId {
                document: *document,
                device,
                incarnation: *incarnation,
            };
            fields.cut.iter().map(|(at, seq)| (log(at), *seq)).collect()
        };
        Some(match fields.name.as_str() {
            "create" => Self::Create { name: name()?, history: fields.numbers.get("history") == Some(&1) },
            "add" => Self::Add { who: who()?, role: role()? },
            "remove" => {
                let who = who()?;
                Self::Remove { who, cut: cut(&who) }
            }
            "role" => {
                let who = who()?;
                Self::SetRole { who, role: role()?, cut: cut(&who) }
            }
            "leave" => Self::Leave,
            "accept" => Self::Accept,
            "seen" => {
                let removal = fields.bytes.get("removal").and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok())?;
                Self::Seen { removal: EntryHash(removal) }
            }
            INFO => {
                let topic = fields.texts.get("topic").filter(|topic| is_topic(topic)).cloned()?;
                Self::Info { name: name()?, topic }
            }
            _ => return None,
        })
    }

    /// Whether a name is that of one of these operations.
    pub(super) fn is(name: &str) -> bool {
        matches!(name, "create" | "add" | "remove" | "role" | "leave" | "accept" | "seen" | INFO)
    }
}

fn write_cut(ops: &mut NewOps, map: &ObjectId, cut: &Cut) -> Result<(), AuthorError> {
    if cut.len() > MAX_CUT {
        return Err(AuthorError::Rule("the cut lists too many logs"));
    }
    if !cut.is_empty() {
        let list = ops.make_map(map, "cut");
        for (log, seq) in cut {
            let seq = i64::try_from(*seq).map_err(|_| AuthorError::Rule("the number is too large"))?;
            ops.put(&list, &format!("{}.{}", log.document, log.incarnation), seq);
        }
    }
    Ok(())
}

/// The log that a key of a cut names, in its canonical text form.
pub(super) fn cut_key(key: &str) -> Option<(DocumentId, Incarnation)> {
    let (document, incarnation) = key.split_once('.')?;
    let named = (document.parse::<DocumentId>().ok()?, incarnation.parse::<Incarnation>().ok()?);
    (format!("{}.{}", named.0, named.1) == key).then_some(named)
}

impl Invitation {
    pub(super) fn write(&self, ops: &mut NewOps, map: &ObjectId) {
        ops.put(map, "founder", self.origin.founder.0.to_vec());
        ops.put(map, "start", self.origin.start.0.to_vec());
        ops.put(map, "nonce", self.origin.nonce.to_vec());
        ops.put(map, "name", self.name.as_str());
        ops.put(map, "role", word(self.role));
    }

    /// The invitation of fields that passed the rule.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let founder = <[u8; 32]>::try_from(fields.bytes.get("founder")?.as_slice()).ok()?;
        let bytes = |field: &str| <[u8; 16]>::try_from(fields.bytes.get(field)?.as_slice()).ok();
        let origin = Origin { founder: DeviceId(founder), start: Incarnation(bytes("start")?), nonce: bytes("nonce")? };
        let name = fields.texts.get("name").filter(|name| is_group_name(name)).cloned()?;
        Some(Self { origin, name, role: role(fields.texts.get("role")?)? })
    }
}

/// The group that an answer or a withdrawal is about.
pub(super) fn group_of(fields: &Fields) -> Option<SpaceId> {
    <[u8; 32]>::try_from(fields.bytes.get("group")?.as_slice()).ok().map(SpaceId)
}

/// Entries of cuts as they are read.
pub(super) type CutFields = BTreeMap<(DocumentId, Incarnation), u64>;
