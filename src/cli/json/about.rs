//! What belongs to a message beside its text, as JSON.

use cairn_actors::api::{Message, Version};
use cairn_crdt::ids::{DeviceId, MessageId};
use serde::Serialize;

use crate::cli::time::rfc3339;

/// Somebody whom a message mentions.
#[derive(Serialize)]
struct MentionLine<'a> {
    id: DeviceId,
    /// As the text says it.
    said: &'a str,
    /// As shown today.
    name: &'a str,
    me: bool,
}

/// A reaction.
#[derive(Serialize)]
struct ReactionLine<'a> {
    emoji: &'a str,
    count: u32,
    mine: bool,
    by: &'a [String],
}

/// What a message said at a time.
#[derive(Serialize)]
struct VersionLine<'a> {
    at: String,
    /// Null: it was deleted.
    body: Option<&'a str>,
}

/// Fields of a message's line.
#[derive(Serialize)]
pub struct AboutLine<'a> {
    reply_to: Option<MessageId>,
    mentions: Vec<MentionLine<'a>>,
    mentions_me: bool,
    edited: Option<String>,
    deleted: bool,
    reactions: Vec<ReactionLine<'a>>,
    /// With `log --history`, of messages that were edited or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Vec<VersionLine<'a>>>,
}

/// Fields of a message's line.
pub fn body<'a>(m: &'a Message, versions: Option<&'a [Version]>) -> AboutLine<'a> {
    let a = &m.about;
    let mentions = a.mentions.iter().map(|m| MentionLine { id: m.id, said: &m.said, name: &m.name, me: m.me });
    let reactions = a.reactions.iter();
    let version = |v: &'a Version| VersionLine { at: rfc3339(v.at), body: v.body.as_deref() };
    AboutLine {
        reply_to: a.reply_to.as_ref().map(|q| q.id),
        mentions: mentions.collect(),
        mentions_me: a.mentions.iter().any(|m| m.me),
        edited: a.edited.map(rfc3339),
        deleted: a.deleted,
        reactions: reactions
            .map(|r| ReactionLine { emoji: &r.emoji, count: r.count, mine: r.mine, by: &r.by })
            .collect(),
        versions: versions.map(|all| all.iter().map(version).collect()),
    }
}
