//! Briefings in the window: which one shows, its words, and the way to a message.

use cairn_actors::api::{Briefing, Cause, Missing, OrderKey, Wrote};
use cairn_actors::limits::BRIEFINGS_KEPT;
use cairn_crdt::ids::SpaceId;

use super::format::{self, Clock};
use super::{Model, history};
use crate::ui::intent::Command;
use crate::words::{lasted, names};

impl Model {
    /// Takes in a briefing that is new or has grown.
    pub(super) fn briefed(&mut self, briefing: Briefing) {
        match self.briefings.binary_search_by_key(&briefing.id, |b| b.id) {
            Ok(at) => {
                if let Some(slot) = self.briefings.get_mut(at) {
                    let seen = slot.seen || briefing.seen;
                    *slot = Briefing { seen, ..briefing };
                }
            }
            Err(at) => self.briefings.insert(at, briefing),
        }
        let over = self.briefings.len().saturating_sub(BRIEFINGS_KEPT);
        self.briefings.drain(..over);
    }

    /// The briefing to show: one that was asked for, else the last, unless it was closed or tells its person nothing.
    #[must_use]
    pub fn briefing(&self) -> Option<&Briefing> {
        let last = self.briefings.last()?;
        let asked = self.briefing_asked && !self.briefings.is_empty();
        Some(last).filter(|b| asked || (!b.seen && is_news(b)))
    }

    /// Closes a briefing.
    pub(super) fn dismiss_briefing(&mut self, id: u64) -> Vec<Command> {
        self.briefing_asked = false;
        let open = self.briefings.iter_mut().find(|b| b.id == id && !b.seen);
        open.map(|b| b.seen = true).map(|()| Command::BriefingSeen(id)).into_iter().collect()
    }

    /// Opens a conversation at a message, wherever that is in its history.
    pub(super) fn go_to(&mut self, id: SpaceId, key: OrderKey) -> Vec<Command> {
        // Asked for before the conversation is opened, which then does not ask for its newest page.
        let page = self.histories.entry(id).or_default().seek(&key);
        let mut out = self.open(id);
        out.extend(page.map(|at| Command::Page(id, at, history::PAGE)));
        self.wants_message = Some((id, key));
        out
    }

    /// The message to scroll to in a conversation, once it can be.
    #[must_use]
    pub fn wanted(&self, id: &SpaceId) -> Option<OrderKey> {
        let (_, key) = self.wants_message.filter(|(at, _)| at == id)?;
        self.history(id).filter(|h| h.loaded()).map(|_| key)
    }
}

/// Whether a briefing tells those who stayed anything: somebody who was just away and wrote nothing is no news.
fn is_news(b: &Briefing) -> bool {
    b.news().next().is_some() || b.cause != Cause::Absence
}

/// Who is back.
#[must_use]
pub fn title(b: &Briefing) -> String {
    let back: Vec<&str> =
        b.sides.iter().filter(|s| !s.here).flat_map(|s| &s.members).map(|m| m.name.as_str()).collect();
    match b.cause {
        Cause::OwnAbsence => format!("You are back, with {}", names(&back)),
        Cause::Absence if back.len() == 1 => format!("{} is back", names(&back)),
        Cause::Partition | Cause::Absence => format!("Together again with {}", names(&back)),
    }
}

/// From when to when they were apart.
#[must_use]
pub fn apart(b: &Briefing, clock: &Clock) -> String {
    let lasted = lasted(b.began.saturating_sub(b.since));
    let sides = b.sides.iter().filter(|s| !s.here).count();
    let sides =
        if sides > 1 { format!(" · {sides} groups that were apart from each other too") } else { String::new() };
    format!("Apart from {} to {} · {lasted}{sides}", clock.full(b.since), clock.full(b.began))
}

/// Who wrote in a conversation.
#[must_use]
pub fn authors(w: &Wrote) -> String {
    const SHOWN: usize = 5;
    let mut all: Vec<String> =
        w.authors.iter().take(SHOWN).map(|a| format!("{} {}", a.name, a.messages.max(a.changes))).collect();
    let rest = w.authors.len().saturating_sub(SHOWN) as u64;
    if rest > 0 {
        all.push(format::count(rest, "other", "others"));
    }
    all.join(" · ")
}

/// What was written on our side.
#[must_use]
pub fn here(b: &Briefing) -> Option<String> {
    let theirs = b.news().next().is_none().then_some("They wrote nothing.");
    let side = b.sides.iter().find(|s| s.here)?;
    let ours = match (side.messages, side.members.is_empty()) {
        (0, _) => None,
        (n, true) => Some(format!("You wrote {} meanwhile.", format::count(n, "message", "messages"))),
        (n, false) => Some(format!("Here, {} meanwhile.", format::count(n, "message", "messages"))),
    };
    let both: Vec<String> = theirs.map(str::to_owned).into_iter().chain(ours).collect();
    (!both.is_empty()).then(|| both.join(" "))
}

/// What of some is named, each once.
fn each<'a>(of: &[&'a Missing], what: impl Fn(&'a Missing) -> &'a str) -> String {
    let mut all: Vec<&str> = of.iter().map(|m| what(m)).collect();
    all.sort_unstable();
    all.dedup();
    names(&all)
}

/// What is lacking here.
#[must_use]
pub fn missing(b: &Briefing) -> Option<String> {
    let all: Vec<&Missing> = b.missing.iter().filter(|m| m.lacks()).collect();
    // Several may hold the same.
    let most = all.iter().filter_map(|m| m.entries).max().map(|n| format!(" · {n} to come")).unwrap_or_default();
    let state = if b.is_final { "Not all is here yet" } else { "Still arriving" };
    let (what, from) = (each(&all, |m| &m.title), each(&all, |m| &m.from_name));
    (!all.is_empty()).then(|| format!("{state}: {what}, from {from}{most}"))
}

/// What those who came back do not have yet.
#[must_use]
pub fn owed(b: &Briefing) -> Option<String> {
    let all: Vec<&Missing> = b.missing.iter().filter(|m| m.owed.is_some_and(|n| n > 0)).collect();
    let (what, to) = (each(&all, |m| &m.title), each(&all, |m| &m.from_name));
    (!all.is_empty()).then(|| format!("On its way to {to}: {what}"))
}

/// Who has not come back.
#[must_use]
pub fn not_back(b: &Briefing, clock: &Clock) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut out: Vec<String> = b
        .not_back
        .iter()
        .take(SHOWN)
        .map(|a| match a.last_wrote.filter(|w| *w > a.last_seen) {
            Some(w) => format!("{} is not back; wrote at {}", a.name, clock.full(w)),
            None => format!("{} is not back; last heard at {}", a.name, clock.full(a.last_seen)),
        })
        .collect();
    let rest = b.not_back.len().saturating_sub(SHOWN) as u64;
    if rest > 0 {
        out.push(format!("{} not back either", format::count(rest, "other is", "others are")));
    }
    out
}
