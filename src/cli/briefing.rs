//! `briefing`: who came back, and what was written meanwhile.

use jiff::tz::TimeZone;

use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::{human, json};

/// Prints the last briefing, or all that are kept, oldest first.
///
/// # Errors
/// What the backend answers.
pub async fn briefing(backend: &mut impl Backend, out: &mut Out, all: bool) -> Result<(), Failure> {
    let mut list = backend.briefings().await?;
    if !all {
        list.drain(..list.len().saturating_sub(1));
    }
    if out.json {
        return out.lines(list.iter().map(json::briefing));
    }
    if list.is_empty() {
        return out.line("Nobody has come back from an absence yet.");
    }
    let zone = TimeZone::system();
    let mut lines: Vec<String> = Vec::new();
    for b in &list {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(human::briefing(b, &zone, out.style));
    }
    out.lines(lines)
}
