//! What belongs to a message beside its text, on a terminal.

use cairn_actors::api::{About, Quote, Version};
use jiff::tz::TimeZone;

use crate::cli::text::plain;
use crate::cli::time::{clock, day};

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
