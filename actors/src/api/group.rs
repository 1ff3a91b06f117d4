//! Groups and invitations into them.

use cairn_crdt::ids::{DeviceId, EpochId, SpaceId};
use serde::{Deserialize, Serialize};

use super::{Badge, PeerState};

/// What a member of a group may do, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Member,
    /// Says who belongs to the group, too.
    Admin,
}

impl From<cairn_crdt::membership::Role> for Role {
    fn from(role: cairn_crdt::membership::Role) -> Self {
        use cairn_crdt::membership::Role as R;
        match role {
            R::Reader => Self::Reader,
            R::Member => Self::Member,
            R::Admin => Self::Admin,
        }
    }
}

impl From<Role> for cairn_crdt::membership::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Reader => Self::Reader,
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
        }
    }
}

/// How this device stands to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupState {
    /// It is in.
    Joined,
    /// The invitation was accepted, and no member was met since.
    Joining,
    /// It left, or was removed; what came before stays readable here.
    Out,
    /// The invitation was declined.
    Declined,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its space.
    pub id: SpaceId,
    /// What it is called.
    pub name: String,
    /// What it is about; may be empty.
    pub topic: String,
    /// The key that what is written now is sealed with; `None`: whoever writes next makes one.
    pub epoch: Option<EpochId>,
    /// Whether those who come later get what was said before.
    pub history: bool,
    /// How this device stands to it.
    pub state: GroupState,
    /// What this device may do; `None`: it does not belong to it.
    pub role: Option<Role>,
    /// Everybody, oneself among them: admins first, then by name.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Who.
    pub id: DeviceId,
    /// As shown.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they have come in; else they are invited.
    pub accepted: bool,
    /// How well they are known.
    pub badge: Badge,
    /// Whether they are here.
    pub state: PeerState,
}

/// An invitation into a group that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInvitation {
    /// Into which group.
    pub group: SpaceId,
    /// What it is called.
    pub name: String,
    /// As what.
    pub role: Role,
    /// Who invites.
    pub from: DeviceId,
    /// As shown.
    pub from_name: String,
    /// How well they are known.
    pub badge: Badge,
    /// When, by their stamp.
    pub sent: u64,
}

/// What somebody did to who belongs to a group, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLine {
    /// When, by its author's stamp.
    pub at: u64,
    /// Who.
    pub by: DeviceId,
    /// As shown.
    pub by_name: String,
    /// Whether it counts.
    pub counts: bool,
    /// The same in words.
    pub sentence: String,
}

/// Something to be done with a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum GroupCommand {
    /// Begins one.
    Create {
        /// What it is called: 1 to 64 bytes.
        name: String,
        /// Whether those who come later get what was said before.
        history: bool,
    },
    /// Invites somebody, who may be away. Again: sends the invitation again.
    Invite {
        /// Into which.
        group: SpaceId,
        /// Whom.
        who: DeviceId,
        /// As what.
        role: Role,
    },
    /// Comes in where an invitation waits.
    Accept {
        /// Into which.
        group: SpaceId,
    },
    /// Does not.
    Decline {
        /// Into which.
        group: SpaceId,
    },
    /// Removes a member, or takes an invitation back.
    Remove {
        /// From which.
        group: SpaceId,
        /// Whom.
        who: DeviceId,
    },
    /// Gives a member another role.
    SetRole {
        /// In which.
        group: SpaceId,
        /// Whom.
        who: DeviceId,
        /// Which.
        role: Role,
    },
    /// Leaves.
    Leave {
        /// Which.
        group: SpaceId,
    },
    /// Names it, and says what it is about; what is left out stays.
    Describe {
        /// Which.
        group: SpaceId,
        /// Its name.
        #[serde(default)]
        name: Option<String>,
        /// Its topic.
        #[serde(default)]
        topic: Option<String>,
    },
}
