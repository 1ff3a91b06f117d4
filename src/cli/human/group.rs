//! Groups on a terminal.

use cairn_actors::api::{Group, GroupInvitation, GroupLine, GroupState, Role};

use crate::cli::text::{Style, plain};
use crate::cli::time::rfc3339;

fn role(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Member => "member",
        Role::Admin => "admin",
    }
}

fn state(g: &Group) -> &'static str {
    match g.state {
        GroupState::Joined => "",
        GroupState::Joining => "  waits for a member to be here",
        GroupState::Out => "  you are not in it any more",
        GroupState::Declined => "  declined",
    }
}

/// A line of `group list`.
#[must_use]
pub fn group_line(g: &Group) -> String {
    format!("{}  {} members{}", plain(&g.name), g.members.len(), state(g))
}

/// `group show`, and what became of a group.
#[must_use]
pub fn group(g: &Group, style: Style) -> Vec<String> {
    let mut lines = vec![format!("{}{}", style.bold(&plain(&g.name)), state(g))];
    if !g.topic.is_empty() {
        lines.push(plain(&g.topic));
    }
    for m in &g.members {
        let waits = if m.accepted { "" } else { "  invited" };
        lines.push(format!("  {}  {}{waits}  {}", role(m.role), plain(&m.name), super::badge(m.badge)));
    }
    if g.state == GroupState::Joined {
        let what = if g.history { "all that was said before" } else { "what is said from their invitation on" };
        lines.push(style.dim(&format!("Those who come later read {what}.")));
    }
    lines
}

/// A line of `group invitations`.
#[must_use]
pub fn invitation(i: &GroupInvitation, style: Style) -> String {
    let name = plain(&i.name);
    let take = style.dim(&format!("`cairn group accept id:{}`", i.group));
    format!("{} invites you into {} as {}  {take}", plain(&i.from_name), style.bold(&name), role(i.role))
}

/// A line of `group log`.
#[must_use]
pub fn group_log(l: &GroupLine, style: Style) -> String {
    let sentence = plain(&l.sentence);
    let sentence = if l.counts { sentence } else { style.yellow(&sentence) };
    format!("{}  {sentence}", rfc3339(l.at))
}
