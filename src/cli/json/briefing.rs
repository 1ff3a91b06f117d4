//! The JSON of a briefing: a line of `briefing`, and the event of `node`.

use cairn_actors::api::{Absent, Briefing, Cause, ConversationKind, Line, Side, Wrote, Wrotes};
use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};
use serde::Serialize;

use super::print;
use crate::cli::time::rfc3339;

#[derive(Serialize)]
struct BriefingLine<'a> {
    id: u64,
    cause: Cause,
    since: String,
    began: String,
    updated: String,
    #[serde(rename = "final")]
    is_final: bool,
    seen: bool,
    sides: Vec<SideLine<'a>>,
    missing: Vec<MissingLine<'a>>,
    not_back: Vec<AbsentLine<'a>>,
    met: Vec<MetLine>,
}

#[derive(Serialize)]
struct SideLine<'a> {
    here: bool,
    members: Vec<MemberLine<'a>>,
    messages: u64,
    changes: u64,
    conversations: Vec<WroteLine<'a>>,
}

#[derive(Serialize)]
struct MemberLine<'a> {
    id: DeviceId,
    name: &'a str,
    heard: Option<String>,
    back: Option<String>,
}

#[derive(Serialize)]
struct WroteLine<'a> {
    conversation: SpaceId,
    kind: ConversationKind,
    title: &'a str,
    messages: u64,
    changes: u64,
    first: String,
    last: String,
    authors: Vec<AuthorLine<'a>>,
    first_message: Option<MessageId>,
    lines: Vec<MessageLine<'a>>,
}

#[derive(Serialize)]
struct AuthorLine<'a> {
    id: DeviceId,
    name: &'a str,
    messages: u64,
    changes: u64,
    first: String,
    last: String,
}

#[derive(Serialize)]
struct MessageLine<'a> {
    id: MessageId,
    author: DeviceId,
    author_name: &'a str,
    sent: String,
    text: &'a str,
}

#[derive(Serialize)]
struct MissingLine<'a> {
    conversation: SpaceId,
    title: &'a str,
    from: DeviceId,
    from_name: &'a str,
    entries: Option<u64>,
    owed: Option<u64>,
}

#[derive(Serialize)]
struct AbsentLine<'a> {
    id: DeviceId,
    name: &'a str,
    last_seen: String,
    last_wrote: Option<String>,
}

#[derive(Serialize)]
struct MetLine {
    conversation: SpaceId,
    places: u64,
}

fn side_of(s: &Side) -> SideLine<'_> {
    let member = |m: &'_ cairn_actors::api::SideMember| (m.heard.map(rfc3339), m.back.map(rfc3339));
    SideLine {
        here: s.here,
        members: s
            .members
            .iter()
            .map(|m| {
                let (heard, back) = member(m);
                MemberLine { id: m.id, name: &m.name, heard, back }
            })
            .collect(),
        messages: s.messages,
        changes: s.changes,
        conversations: s.conversations.iter().map(wrote_of).collect(),
    }
}

fn wrote_of(w: &Wrote) -> WroteLine<'_> {
    WroteLine {
        conversation: w.conversation,
        kind: w.kind,
        title: &w.title,
        messages: w.messages,
        changes: w.changes,
        first: rfc3339(w.first),
        last: rfc3339(w.last),
        authors: w.authors.iter().map(author_of).collect(),
        first_message: w.lines.first().map(|l| l.id),
        lines: w.lines.iter().map(line_of).collect(),
    }
}

fn author_of(a: &Wrotes) -> AuthorLine<'_> {
    let (first, last) = (rfc3339(a.first), rfc3339(a.last));
    AuthorLine { id: a.id, name: &a.name, messages: a.messages, changes: a.changes, first, last }
}

fn line_of(l: &Line) -> MessageLine<'_> {
    MessageLine { id: l.id, author: l.author, author_name: &l.author_name, sent: rfc3339(l.sent), text: &l.text }
}

fn absent_of(a: &Absent) -> AbsentLine<'_> {
    AbsentLine { id: a.id, name: &a.name, last_seen: rfc3339(a.last_seen), last_wrote: a.last_wrote.map(rfc3339) }
}

pub(super) fn body(b: &Briefing) -> impl Serialize + '_ {
    BriefingLine {
        id: b.id,
        cause: b.cause,
        since: rfc3339(b.since),
        began: rfc3339(b.began),
        updated: rfc3339(b.updated),
        is_final: b.is_final,
        seen: b.seen,
        sides: b.sides.iter().map(side_of).collect(),
        missing: b
            .missing
            .iter()
            .map(|m| MissingLine {
                conversation: m.conversation,
                title: &m.title,
                from: m.from,
                from_name: &m.from_name,
                entries: m.entries,
                owed: m.owed,
            })
            .collect(),
        not_back: b.not_back.iter().map(absent_of).collect(),
        met: b.met.iter().map(|m| MetLine { conversation: m.conversation, places: m.places }).collect(),
    }
}

/// A line of `briefing`.
#[must_use]
pub fn briefing(b: &Briefing) -> String {
    print(&body(b))
}
