//! A safety number on a terminal.

use cairn_actors::api::{Badge, Safety};

use crate::cli::text::{Style, plain};
use crate::qr::Qr;

/// Groups of digits in a line.
const GROUPS: usize = 4;
/// Words in a line.
const WORDS: usize = 6;

/// `verify`: what to compare, and how.
#[must_use]
pub fn safety(s: &Safety, code: &Qr, style: Style) -> Vec<String> {
    let name = plain(&s.peer.name);
    let mut lines = vec![format!("{} ({})  {}", style.bold(&name), s.peer.code, super::badge(s.peer.badge))];
    lines.extend(s.peer.warning.iter().map(|w| style.yellow(&plain(&w.sentence))));
    lines.push(String::new());
    lines.extend(s.digits.chunks(GROUPS).map(|g| format!("  {}", style.bold(&g.join(" ")))));
    lines.push(String::new());
    lines.extend(s.words.chunks(WORDS).map(|w| format!("  {}", w.join(" "))));
    lines.push(String::new());
    lines.extend(code.lines(style.0).into_iter().map(|l| format!("  {l}")));
    lines.push(String::new());
    lines.push(format!(
        "{name} sees the same digits and words for you, if nobody stands between you. Compare one of them"
    ));
    lines.push("in person, or on the phone if you know the voice; or let the other side read this code.".into());
    let who = format!("id:{}", s.peer.id);
    if s.peer.badge == Badge::Verified {
        lines.push(style.green("You have compared them before."));
        lines.push(style.dim(&format!("`cairn verify {who} --forget` takes that back.")));
    } else {
        lines.push(style.dim(&format!("The same? `cairn verify {who} --confirm`")));
    }
    lines
}

/// What `verify --confirm`, `--forget` and `--scan` did.
#[must_use]
pub fn verified(s: &Safety, style: Style) -> Vec<String> {
    let name = plain(&s.peer.name);
    vec![match s.peer.badge {
        Badge::Verified => format!("{} ({}) is verified.", style.green(&name), s.peer.code),
        _ => format!("{name} ({}) is not verified any more.", s.peer.code),
    }]
}
