//! What belongs to a message beside its text, on a terminal.

use cairn_actors::api::{About, Conversation, Quote, Version};
use cairn_actors::liking::FOR_GOOD;
use jiff::tz::TimeZone;

use crate::cli::text::plain;
use crate::cli::time::{clock, day, rfc3339};

/// The message that another one answers, in a line.
pub fn quote(q: &Quote) -> String {
    match (q.key, q.deleted) {
        (None, _) => format!("a message that is not at hand ({})", q.id),
        (Some(_), true) => format!("{}: (deleted)", plain(&q.author_name)),
        (Some(_), false) => format!("{}: {}", plain(&q.author_name), plain(&q.text)),
    }
}

/// Reactions in a line, if there are any.
pub fn reactions(about: &About) -> Option<String> {
    let all: Vec<_> = about.reactions.iter().map(|r| format!("{} {}", plain(&r.emoji), r.count)).collect();
    (!all.is_empty()).then(|| all.join("  "))
}

/// What a message said at a time, in a line.
pub fn version(v: &Version, zone: &TimeZone) -> String {
    let said = v.body.as_deref().map_or_else(|| "(deleted)".to_owned(), |body| plain(&body.replace('\n', " ")));
    format!("       {} {}: {said}", day(v.at, zone), clock(v.at, zone))
}

/// How a conversation is shown: `pin` and `mute`.
#[must_use]
pub fn liking(c: &Conversation) -> String {
    let pinned = if c.pinned.is_some() { "pinned" } else { "not pinned" };
    let muted = match c.muted_until {
        None => "not muted".to_owned(),
        Some(FOR_GOOD) => "muted".to_owned(),
        Some(at) => format!("muted until {}", rfc3339(at)),
    };
    format!("{}: {pinned}, {muted}", plain(&c.title))
}
