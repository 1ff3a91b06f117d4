//! How groups and invitations into them are shown.

use std::collections::{BTreeMap, BTreeSet};

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, EntryHash, Kind, PrincipalId, SpaceId};
use cairn_crdt::kinds::control::Invited;
use cairn_crdt::membership::{Action, Verdict};

use crate::api::{ApiError, Badge, Group, GroupInvitation, GroupLine, GroupMember, GroupState, PeerState, Role};
use crate::limits::{BATCH_BYTES, INVITATIONS};
use crate::space::Space;
use crate::store::StoreError;
use crate::wiring::Wiring;

/// Lines of a group's log that are shown, the last.
const LINES: usize = 500;

pub(super) fn not_a_member(name: &str) -> ApiError {
    ApiError::new("not_a_member", format!("you are not in the group {name}"))
}

/// Why nothing can be said in a group.
pub(crate) fn no_writing(sp: &Space) -> ApiError {
    let name = sp.group_name();
    match state(sp) {
        GroupState::Joined => ApiError::new("read_only", format!("you read in the group {name} and do not write")),
        GroupState::Joining => {
            let sentence = format!("no member of {name} was met since you accepted: say it when one is here");
            ApiError::new("not_joined", sentence)
        }
        GroupState::Out | GroupState::Declined => not_a_member(name),
    }
}

fn state(sp: &Space) -> GroupState {
    match () {
        () if sp.is_told_out() => GroupState::Out,
        () if sp.am_in() => GroupState::Joined,
        () if sp.wants_in() => GroupState::Joining,
        () => GroupState::Out,
    }
}

/// A group as shown.
pub(crate) fn shown(sp: &Space, wiring: &Wiring) -> Group {
    let me = wiring.me.principal();
    let roster = sp.roster();
    let members = roster.map(|roster| roster.members()).into_iter().flatten();
    let mut members: Vec<GroupMember> = members
        .map(|(who, role)| {
            let id = who.founder();
            let mine = id == wiring.me;
            let peer = wiring.people.peer(&id).filter(|_| !mine);
            GroupMember {
                id,
                name: wiring.name_of(&id),
                role: (*role).into(),
                accepted: roster.is_some_and(|roster| roster.has_come_in(who)),
                badge: if mine { Badge::Verified } else { wiring.people.badge(&id) },
                state: match peer {
                    _ if mine => PeerState::Online,
                    Some(peer) => peer.state,
                    None => PeerState::Offline,
                },
            }
        })
        .collect();
    members.sort_by_cached_key(|m| (std::cmp::Reverse(m.role), m.name.to_lowercase(), m.id));
    Group {
        id: sp.id,
        name: sp.group_name().to_owned(),
        topic: sp.topic().to_owned(),
        epoch: sp.epoch(Hlc::from_ms(wiring.mesh_ms())).filter(|_| sp.am_in()),
        history: roster.is_some_and(|roster| roster.gives_history()),
        state: state(sp),
        role: roster.and_then(|roster| roster.role(&me)).map(Role::from),
        members,
    }
}

/// Invitations of these spaces that wait for an answer, the oldest first, [`INVITATIONS`] of them.
pub(crate) fn invitations<'a, I: Iterator<Item = &'a Space>>(
    spaces: impl Fn() -> I,
    wiring: &Wiring,
) -> Vec<GroupInvitation> {
    let inside: BTreeSet<SpaceId> = spaces().filter(|sp| sp.wants_in() && !sp.is_told_out()).map(|sp| sp.id).collect();
    let mut all: Vec<_> = spaces()
        .flat_map(|sp| sp.invited().collect::<Vec<_>>())
        .filter(|(by, one)| *by != wiring.me && one.open && !inside.contains(&one.invitation.origin.space()))
        .map(|(by, one)| told(by, &one, wiring))
        .collect();
    all.sort_by_key(|one| (one.sent, one.group, one.from));
    all.truncate(INVITATIONS);
    all
}

fn told(by: DeviceId, one: &Invited, wiring: &Wiring) -> GroupInvitation {
    GroupInvitation {
        group: one.invitation.origin.space(),
        name: one.invitation.name.clone(),
        role: one.invitation.role.into(),
        from: by,
        from_name: wiring.name_of(&by),
        badge: wiring.people.badge(&by),
        sent: one.at.ms(),
    }
}

/// What was done to who belongs to a group, oldest first, the last [`LINES`].
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub(crate) fn lines(sp: &Space, wiring: &Wiring) -> Result<Vec<GroupLine>, StoreError> {
    let Some(membership) = sp.roster().and_then(|roster| roster.membership()) else { return Ok(Vec::new()) };
    let mut stamps: BTreeMap<EntryHash, Hlc> = BTreeMap::new();
    for (log, _) in sp.sync.replica().frontier(&DocumentId::singleton(Kind::Control)) {
        let mut from = 1;
        loop {
            let batch = wiring.store.entries(&sp.id, &log, from, BATCH_BYTES)?;
            let Some(last) = batch.last() else { break };
            from = last.entry.header().seq.saturating_add(1);
            stamps.extend(batch.iter().map(|s| (s.entry.hash(), s.entry.header().hlc)));
        }
    }
    let name = |who: &PrincipalId| wiring.name_of(&who.founder());
    let mut lines = Vec::new();
    for (id, at) in &stamps {
        let Some(op) = membership.operation(id) else { continue };
        if matches!(op.action, Action::Act { .. } | Action::Seen { .. }) {
            continue;
        }
        if let Some((verdict, sentence)) = membership.verdict(id).zip(membership.explain(id, &name)) {
            let by = op.author.founder();
            let counts = verdict == Verdict::Counts;
            lines.push((*at, *id, GroupLine { at: at.ms(), by, by_name: name(&op.author), counts, sentence }));
        }
    }
    lines.sort_by_key(|(at, id, _)| (*at, *id));
    let skip = lines.len().saturating_sub(LINES);
    Ok(lines.into_iter().skip(skip).map(|(_, _, line)| line).collect())
}
