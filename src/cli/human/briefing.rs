//! A briefing as people read it on a terminal.

use cairn_actors::api::{Briefing, Cause, Side, Wrote};
use jiff::tz::TimeZone;

use super::when;
use crate::cli::text::{Style, plain};
use crate::words::{count, lasted, names};

/// In one sentence, for `node`.
#[must_use]
pub fn sentence(b: &Briefing) -> String {
    let back: Vec<String> =
        b.sides.iter().filter(|s| !s.here).flat_map(|s| &s.members).map(|m| plain(&m.name)).collect();
    let back = names(&back);
    let apart = lasted(b.began.saturating_sub(b.since));
    let messages = b.sides.iter().filter(|s| !s.here).fold(0, |n, s| s.messages.saturating_add(n));
    let wrote = match messages {
        0 => "nothing was written there".to_owned(),
        n => format!("{} written there", count(n, "message was", "messages were")),
    };
    match b.cause {
        Cause::OwnAbsence => format!("Back after {apart}, with {back}: {wrote}."),
        Cause::Partition | Cause::Absence => format!("Together again with {back} after {apart}: {wrote}."),
    }
}

fn conversation(w: &Wrote, b: &Briefing, zone: &TimeZone, style: Style, out: &mut Vec<String>) {
    let authors: Vec<String> = w.authors.iter().take(6).map(|a| format!("{} {}", plain(&a.name), a.messages)).collect();
    let more = w.authors.len().saturating_sub(authors.len());
    let more = if more > 0 { format!(", {}", count(more as u64, "other", "others")) } else { String::new() };
    let times = format!("{} to {}", when(w.first, b.began, zone), when(w.last, b.began, zone));
    out.push(format!(
        "    {}  {} ({}{more}), {times}",
        style.bold(&plain(&w.title)),
        count(w.messages, "message", "messages"),
        authors.join(", ")
    ));
    for l in &w.lines {
        out.push(format!(
            "      {}  {}  {}",
            style.dim(&when(l.sent, b.began, zone)),
            plain(&l.author_name),
            plain(&l.text)
        ));
    }
}

fn side(s: &Side, b: &Briefing, zone: &TimeZone, style: Style, out: &mut Vec<String>) {
    let who = names(&s.members.iter().map(|m| plain(&m.name)).collect::<Vec<_>>());
    out.push(match (s.here, s.members.is_empty()) {
        (true, true) => "  Here, you alone:".to_owned(),
        (true, false) => format!("  Here, you and {who}:"),
        (false, _) => format!("  {who}:"),
    });
    if s.conversations.is_empty() {
        out.push("    nothing written".to_owned());
    }
    for w in &s.conversations {
        conversation(w, b, zone, style, out);
    }
}

/// The lines of a briefing.
#[must_use]
pub fn briefing(b: &Briefing, zone: &TimeZone, style: Style) -> Vec<String> {
    let mut out = vec![style.bold(&sentence(b))];
    let period = format!("{} to {}", when(b.since, b.began, zone), when(b.began, 0, zone));
    out.push(style.dim(&format!("  briefing {}, apart from {period}", b.id)));
    // What is new comes first.
    for s in b.sides.iter().filter(|s| !s.here).chain(b.sides.iter().filter(|s| s.here)) {
        side(s, b, zone, style, &mut out);
    }
    for m in &b.missing {
        let word = if b.is_final { "Missing still" } else { "Still arriving" };
        let (title, name) = (plain(&m.title), plain(&m.from_name));
        if m.lacks() {
            let n = m.entries.map(|n| format!(" ({n} to come)")).unwrap_or_default();
            out.push(style.yellow(&format!("  {word}: {title}, from {name}{n}")));
        }
        if let Some(n) = m.owed.filter(|n| *n > 0) {
            out.push(format!("  On its way to {name}: {title} ({n})"));
        }
    }
    for a in &b.not_back {
        let wrote = a.last_wrote.filter(|w| *w > a.last_seen);
        let wrote = wrote.map(|w| format!(", wrote at {}", when(w, b.began, zone))).unwrap_or_default();
        out.push(format!("  Not back: {}, last heard {}{wrote}", plain(&a.name), when(a.last_seen, b.began, zone)));
    }
    out
}
