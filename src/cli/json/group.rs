//! The JSON lines of groups and of invitations into them.

use cairn_actors::api::{Badge, Group, GroupInvitation, GroupLine, GroupMember, GroupState, PeerState, Role};
use cairn_crdt::ids::{DeviceId, EpochId, SpaceId};
use serde::Serialize;

use super::{print, rfc3339};

#[derive(Serialize)]
struct MemberLine<'a> {
    id: DeviceId,
    name: &'a str,
    role: Role,
    accepted: bool,
    badge: Badge,
    state: PeerState,
}

/// A group as a line and as an event.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    id: SpaceId,
    name: &'a str,
    epoch: Option<EpochId>,
    members: Vec<MemberLine<'a>>,
    topic: &'a str,
    history: bool,
    state: GroupState,
    role: Option<Role>,
}

#[derive(Serialize)]
pub(super) struct InvitationLine<'a> {
    group: SpaceId,
    name: &'a str,
    role: Role,
    from: DeviceId,
    from_name: &'a str,
    badge: Badge,
    sent: String,
}

#[derive(Serialize)]
struct LogLine<'a> {
    at: String,
    by: DeviceId,
    by_name: &'a str,
    counts: bool,
    sentence: &'a str,
}

fn member(m: &GroupMember) -> MemberLine<'_> {
    MemberLine { id: m.id, name: &m.name, role: m.role, accepted: m.accepted, badge: m.badge, state: m.state }
}

pub(super) fn body(g: &Group) -> Line<'_> {
    Line {
        id: g.id,
        name: &g.name,
        epoch: g.epoch,
        members: g.members.iter().map(member).collect(),
        topic: &g.topic,
        history: g.history,
        state: g.state,
        role: g.role,
    }
}

pub(super) fn invitation_body(i: &GroupInvitation) -> InvitationLine<'_> {
    let (name, from_name) = (i.name.as_str(), i.from_name.as_str());
    InvitationLine {
        group: i.group,
        name,
        role: i.role,
        from: i.from,
        from_name,
        badge: i.badge,
        sent: rfc3339(i.sent),
    }
}

/// `group show`, and a line of `group list`.
#[must_use]
pub fn group(g: &Group) -> String {
    print(&body(g))
}

/// A line of `group invitations`.
#[must_use]
pub fn invitation(i: &GroupInvitation) -> String {
    print(&invitation_body(i))
}

/// A line of `group log`.
#[must_use]
pub fn group_line(l: &GroupLine) -> String {
    let (by_name, sentence) = (l.by_name.as_str(), l.sentence.as_str());
    print(&LogLine { at: rfc3339(l.at), by: l.by, by_name, counts: l.counts, sentence })
}
