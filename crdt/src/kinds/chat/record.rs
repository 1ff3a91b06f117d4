//! Records: what somebody says of a message after it was said. Edits and deletions of one's own, reactions to anybody's.
//!
//! A record stands under its author's own key in the segment of the message, and is never changed. Of those about one
//! thing (the text of a message; one person's one reaction to it) the one with the highest (stamp, entry hash) counts, so
//! all who hold the same entries show the same, in whatever order they came; and what is taken back is taken back by
//! another record. Whose message an edit is about is not said: it is its author's own of that id, so nobody can write one
//! about another's. A record may be here before its message; then it waits.
//! ```text
//! {incarnation}.r{block} -> {number} -> {
//!     sent: int         the entry's HLC
//!     kind: str         "edit", "delete" or "react"; records of unknown kinds are kept and not read
//!     message: str      message id
//!     body: str         edit: what it says now
//!     mentions: map     edit: whom that mentions, as in a message
//!     author: str       react: whose message it is, a principal
//!     emoji: str        react: at most 64 bytes
//!     on: bool          react: whether it is there
//! }
//! ```
//! Block and number are six and three digits, from 000000 and 000 on without gaps. Whether an emoji is one, and one alone,
//! is not asked here but where it is written and shown: what is one character depends on the version of Unicode, and no
//! verdict may.

use automerge::ScalarValue;

use super::mention::{MAX_MENTION_NAME, MAX_MENTIONS, Mention};
use super::rule::{MAX_KIND, canonical_id};
use super::{MAX_BODY, MAX_EMOJI};
use crate::guard::{Action, Key, OpView};
use crate::ids::{Incarnation, MessageId, PrincipalId};
use crate::kinds::Writing;
use crate::kinds::own::text;

/// Records in a block.
pub(super) const BLOCK_RECORDS: u32 = 512;
/// Records of one change.
pub(super) const MAX_RECORDS: u32 = 16;

/// The kinds.
pub(super) const EDIT: &str = "edit";
pub(super) const DELETE: &str = "delete";
pub(super) const REACT: &str = "react";

/// A record to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// One's own message says something else now.
    Edit {
        /// Which.
        message: MessageId,
        /// What it says, at most [`MAX_BODY`] bytes.
        body: &'a str,
        /// Whom that mentions.
        mentions: &'a [Mention],
    },
    /// One's own message is deleted.
    Delete {
        /// Which.
        message: MessageId,
    },
    /// Somebody's message gets a reaction, or loses it.
    React {
        /// Which.
        message: MessageId,
        /// Whose it is.
        author: PrincipalId,
        /// The reaction, at most [`MAX_EMOJI`] bytes.
        emoji: &'a str,
        /// Whether it is there.
        on: bool,
    },
}

/// The root key of a block of records.
pub(crate) fn record_block_key(incarnation: &Incarnation, block: u32) -> String {
    format!("{incarnation}.r{block:06}")
}

/// The key of a record in its block.
pub(super) fn record_key(number: u32) -> String {
    format!("{number:03}")
}

/// Whether a text may stand as a reaction for every build: short, and no blanks or control characters of ASCII.
pub(super) fn is_emoji(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_EMOJI && !text.bytes().any(|b| b <= b' ' || b == 0x7f)
}

/// Checks one entry of a map of mentions.
pub(super) fn check_mention(who: &str, action: &Action, count: &mut usize) -> Result<(), &'static str> {
    *count = count.saturating_add(1);
    let canonical = who.parse::<PrincipalId>().is_ok_and(|p| p.to_string() == who);
    let name =
        text(action).is_some_and(|n| !n.is_empty() && n.len() <= MAX_MENTION_NAME && !n.chars().any(char::is_control));
    match canonical && name {
        true if *count <= MAX_MENTIONS => Ok(()),
        true => Err("too many are mentioned"),
        false => Err("not a mention: an id and a short name"),
    }
}

/// The record being judged.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// Its key.
    pub(super) key: String,
    kind: Option<String>,
    fields: u16,
    mentions: usize,
}

/// What a record has, a bit each.
const SENT: u16 = 1;
const MESSAGE: u16 = 2;
const BODY: u16 = 4;
const MENTIONS: u16 = 8;
const AUTHOR: u16 = 16;
const EMOJI: u16 = 32;
const ON: u16 = 64;
/// Something that this build does not know.
const OTHER: u16 = 128;

impl Recording {
    pub(super) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// Judges a field; `false`: this build does not know it.
    pub(super) fn field(&mut self, field: &str, op: &OpView, by: &Writing) -> Result<bool, &'static str> {
        let said = text(&op.action);
        let (bit, fits, why) = match field {
            "sent" => {
                let stamp = i64::try_from(by.hlc.0).map_err(|_| "the stamp is too large")?;
                (SENT, op.action == Action::Put(ScalarValue::Int(stamp)), "sent is not the entry's stamp")
            }
            "kind" => {
                let kind = said.filter(|t| !t.is_empty() && t.len() <= MAX_KIND);
                self.kind = Some(kind.ok_or("kind is not a short text")?.to_owned());
                return Ok(true);
            }
            "message" => (MESSAGE, said.and_then(canonical_id).is_some(), "message is not a message id"),
            "body" => (BODY, said.is_some_and(|t| t.len() <= MAX_BODY), "body is not a text of at most 64 KiB"),
            "mentions" => (MENTIONS, op.action == Action::MakeMap, "mentions is not a map"),
            "author" => {
                let canonical = said.is_some_and(|t| t.parse::<PrincipalId>().is_ok_and(|p| p.to_string() == *t));
                (AUTHOR, canonical, "author is not a principal")
            }
            "emoji" => (EMOJI, said.is_some_and(is_emoji), "not a reaction of 1 to 64 bytes"),
            "on" => (ON, matches!(op.action, Action::Put(ScalarValue::Boolean(_))), "on is not true or false"),
            _ => {
                self.fields |= OTHER;
                return Ok(false);
            }
        };
        self.fields |= bit;
        if fits { Ok(true) } else { Err(why) }
    }

    /// Judges a mention.
    pub(super) fn mention(&mut self, who: &str, action: &Action) -> Result<(), &'static str> {
        check_mention(who, action, &mut self.mentions)
    }

    /// Whether it has all that its kind needs, and nothing else.
    pub(super) fn finish(self) -> Result<(), &'static str> {
        let (needs, may) = match self.kind.as_deref() {
            Some(EDIT) => (SENT | MESSAGE | BODY, MENTIONS),
            Some(DELETE) => (SENT | MESSAGE, 0),
            Some(REACT) => (SENT | MESSAGE | AUTHOR | EMOJI | ON, 0),
            Some(_) => (SENT | MESSAGE, u16::MAX),
            None => return Err("a record has a kind"),
        };
        if self.fields & needs != needs {
            return Err("the record lacks what its kind needs");
        }
        // An edit that names an author, say, would be about another's message.
        if self.fields & !(needs | may) != 0 { Err("the record has what its kind has not") } else { Ok(()) }
    }
}

/// A record as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(super) kind: String,
    pub(super) message: Option<MessageId>,
    pub(super) body: Box<str>,
    pub(super) mentions: Vec<Mention>,
    pub(super) author: Option<PrincipalId>,
    pub(super) emoji: Box<str>,
    pub(super) on: bool,
}

impl Recorded {
    /// Takes over a field of a record that passed the rule; `path` begins with it.
    pub(super) fn take(&mut self, path: &[Key], action: &Action) {
        match (path, action) {
            ([Key::Map(field)], Action::Put(ScalarValue::Str(value))) => match field.as_str() {
                "kind" => self.kind = value.to_string(),
                "message" => self.message = value.parse().ok(),
                "body" => self.body = value.as_str().into(),
                "author" => self.author = value.parse().ok(),
                "emoji" => self.emoji = value.as_str().into(),
                _ => {}
            },
            ([Key::Map(field)], Action::Put(ScalarValue::Boolean(on))) if field == "on" => self.on = *on,
            ([Key::Map(field), Key::Map(who)], action) if field == "mentions" => {
                self.mentions.extend(read_mention(who, action));
            }
            _ => {}
        }
    }
}

/// A mention that passed the rule.
pub(super) fn read_mention(who: &str, action: &Action) -> Option<Mention> {
    Some(Mention { who: who.parse().ok()?, name: text(action)?.into() })
}
