//! `group`: who talks in which group, invitations, roles.

use cairn_actors::api::{ApiError, Group, GroupCommand, GroupInvitation, GroupState};
use cairn_crdt::ids::{DeviceId, SpaceId};

use super::args::{GroupVerb, HistoryFor};
use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::{human, json};
use crate::local::resolve::ConvRef;

/// Does what `group` was asked.
///
/// # Errors
/// `no_such_group`, `no_such_invitation`, `ambiguous`, and what the backend answers.
pub async fn group(backend: &mut impl Backend, out: &mut Out, verb: &GroupVerb) -> Result<(), Failure> {
    let command = match verb {
        GroupVerb::List => {
            let groups = backend.groups().await?;
            let lines = groups.iter().filter(|g| g.state != GroupState::Out);
            return if out.json { out.lines(lines.map(json::group)) } else { out.lines(lines.map(human::group_line)) };
        }
        GroupVerb::Invitations => {
            let (all, style) = (backend.invitations().await?, out.style);
            return if out.json {
                out.lines(all.iter().map(json::invitation))
            } else {
                out.lines(all.iter().map(|i| human::invitation(i, style)))
            };
        }
        GroupVerb::Show { name } => {
            let group = find(backend, name).await?;
            return show(out, &group);
        }
        GroupVerb::Log { name } => {
            let group = find(backend, name).await?;
            let (lines, style) = (backend.group_log(group.id).await?, out.style);
            return if out.json {
                out.lines(lines.iter().map(json::group_line))
            } else {
                out.lines(lines.iter().map(|l| human::group_log(l, style)))
            };
        }
        GroupVerb::Create { name, history } => {
            GroupCommand::Create { name: name.clone(), history: *history == HistoryFor::All }
        }
        GroupVerb::Invite { name, who, role } => {
            let group = find(backend, name).await?.id;
            GroupCommand::Invite { group, who: person(backend, who).await?, role: (*role).into() }
        }
        GroupVerb::Accept { name } => GroupCommand::Accept { group: invited(backend, name).await? },
        GroupVerb::Decline { name } => GroupCommand::Decline { group: invited(backend, name).await? },
        GroupVerb::Remove { name, who } => {
            let group = find(backend, name).await?;
            GroupCommand::Remove { group: group.id, who: member(backend, &group, who).await? }
        }
        GroupVerb::Role { name, who, role } => {
            let group = find(backend, name).await?;
            let who = member(backend, &group, who).await?;
            GroupCommand::SetRole { group: group.id, who, role: (*role).into() }
        }
        GroupVerb::Leave { name } => GroupCommand::Leave { group: find(backend, name).await?.id },
        GroupVerb::Rename { name, new } => {
            let group = find(backend, name).await?.id;
            GroupCommand::Describe { group, name: Some(new.clone()), topic: None }
        }
        GroupVerb::Topic { name, topic } => {
            let group = find(backend, name).await?.id;
            GroupCommand::Describe { group, name: None, topic: Some(topic.clone()) }
        }
    };
    let group = backend.group(command).await?;
    show(out, &group)
}

fn show(out: &mut Out, group: &Group) -> Result<(), Failure> {
    if out.json { out.line(&json::group(group)) } else { out.lines(human::group(group, out.style)) }
}

/// What a person typed for a group: its id, or its name without what may stand before it.
fn named(text: &str) -> Result<SpaceId, &str> {
    if let Some(id) = text.strip_prefix("id:").and_then(|id| id.parse().ok()) {
        return Ok(id);
    }
    Err(text.strip_prefix('#').or_else(|| text.strip_prefix("group:")).unwrap_or(text).trim())
}

/// The one of these that a text names: by id, by the same name, or by one that differs in capitals alone.
fn pick<'a, T>(all: &'a [T], text: &str, of: impl Fn(&T) -> (SpaceId, &str)) -> Result<Option<&'a T>, ApiError> {
    let name = match named(text) {
        Ok(id) => return Ok(all.iter().find(|one| of(one).0 == id)),
        Err(name) => name,
    };
    let same: Vec<&T> = all.iter().filter(|one| of(one).1 == name).collect();
    let like = || all.iter().filter(|one| of(one).1.to_lowercase() == name.to_lowercase()).collect::<Vec<_>>();
    let found = if same.is_empty() { like() } else { same };
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [first, rest @ ..] if rest.iter().all(|one| of(one).0 == of(first).0) => Ok(Some(first)),
        several => {
            let candidates = several.iter().map(|one| format!("{} (id:{})", of(one).1, of(one).0)).collect();
            let error = ApiError::new("ambiguous", format!("{name} could be any of {}", several.len()));
            Err(ApiError { candidates, ..error })
        }
    }
}

async fn find(backend: &mut impl Backend, text: &str) -> Result<Group, ApiError> {
    let all = backend.groups().await?;
    // Those of which this device is out give way.
    let (mut out, inside): (Vec<Group>, Vec<Group>) = all.into_iter().partition(|g| g.state == GroupState::Out);
    let of = |g: &Group| g.id;
    if let Some(group) = pick(&inside, text, |g| (of(g), g.name.as_str()))? {
        return Ok(group.clone());
    }
    out.dedup_by_key(|g| g.id);
    let group = pick(&out, text, |g| (of(g), g.name.as_str()))?;
    group.cloned().ok_or_else(|| ApiError::new("no_such_group", format!("there is no group {text} here")))
}

async fn invited(backend: &mut impl Backend, text: &str) -> Result<SpaceId, ApiError> {
    let all = backend.invitations().await?;
    let one = pick(&all, text, |i: &GroupInvitation| (i.group, i.name.as_str()))?;
    let none = || ApiError::new("no_such_invitation", format!("no invitation into {text} waits for an answer"));
    one.map(|i| i.group).ok_or_else(none)
}

async fn person(backend: &mut impl Backend, who: &ConvRef) -> Result<DeviceId, ApiError> {
    let place = backend.resolve(who).await?;
    let room = || ApiError::new("not_a_person", format!("{} is no person: name one with @name", place.title));
    place.peer.ok_or_else(room)
}

/// A member as a person names them: one of the group where only one of it bears that name.
async fn member(backend: &mut impl Backend, group: &Group, who: &ConvRef) -> Result<DeviceId, ApiError> {
    if let ConvRef::Person(name) = who {
        let mut same = group.members.iter().filter(|m| m.name == *name);
        if let (Some(one), None) = (same.next(), same.next()) {
            return Ok(one.id);
        }
    }
    person(backend, who).await
}
