//! The command palette: everything one can do or open, filtered as one types.

use cairn_actors::api::{Badge, NetworkState};

use super::format::theme_name;
use super::list::matches;
use super::{Model, SCALES, ThemeChoice, View};
use crate::ui::intent::Intent;

/// The palette while it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// What was typed.
    pub query: String,
    /// Which entry is marked.
    pub mark: usize,
}

impl Palette {
    /// Moves the mark among `n` entries, round and round.
    pub fn step(&mut self, by: i8, n: usize) {
        if n > 0 {
            let last = n - 1;
            self.mark = match by {
                _ if by > 0 && self.mark >= last => 0,
                _ if by < 0 && self.mark == 0 => last,
                _ => self.mark.saturating_add_signed(isize::from(by)).min(last),
            };
        }
    }
}

/// A line of the palette.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it says.
    pub title: String,
    /// What kind of thing it is, or its shortcut.
    pub hint: String,
    /// How well the person is known whom it leads to.
    pub badge: Option<Badge>,
    /// What it does.
    pub intent: Intent,
}

/// The entries that match what was typed: conversations and people first, then commands.
#[must_use]
pub fn entries(model: &Model) -> Vec<Entry> {
    let query = model.palette.as_ref().map_or("", |p| p.query.as_str());
    let mut all: Vec<Entry> = model
        .conversations
        .iter()
        .map(|c| Entry {
            title: model.title(c),
            hint: if c.peer.is_some() { "Conversation" } else { "Room" }.into(),
            badge: c.peer.map(|p| model.badge(&p)),
            intent: Intent::Open(c.id),
        })
        .collect();
    for p in model.people() {
        if !model.conversations.iter().any(|c| c.id == p.conversation) {
            let intent = Intent::Open(p.conversation);
            all.push(Entry { title: p.label(), hint: "Person".into(), badge: Some(p.badge), intent });
        }
    }
    all.extend(commands(model));
    all.retain(|e| matches(&e.title, query));
    all
}

fn commands(model: &Model) -> Vec<Entry> {
    let entry = |title: &str, hint: &str, intent| Entry { title: title.into(), hint: hint.into(), badge: None, intent };
    let mut out = vec![
        entry("Show conversations", "", Intent::Show(View::Chat)),
        entry("Show people", "", Intent::Show(View::People)),
        entry("Show networks", "", Intent::Show(View::Network)),
        entry("Settings", "Ctrl ,", Intent::Show(View::Settings)),
        entry("Search people and conversations", "Ctrl F", Intent::FocusSearch),
        entry("Next conversation", "Alt ↓", Intent::Step(1)),
        entry("Previous conversation", "Alt ↑", Intent::Step(-1)),
        entry("Show or hide the details", "Ctrl I", Intent::ToggleDetails),
        entry("Show me as away", "", Intent::SetAway(true)),
        entry("Show me as here", "", Intent::SetAway(false)),
    ];
    if !model.briefings.is_empty() {
        out.push(entry("Show the last briefing", "", Intent::ShowBriefing));
    }
    for choice in ThemeChoice::ALL {
        out.push(entry(&format!("Colours: {}", theme_name(choice)), "", Intent::SetTheme(choice)));
    }
    let scale = model.preferences.scale;
    out.push(entry("Larger", "Ctrl +", Intent::SetScale(scale.saturating_add(10).min(SCALES.1))));
    out.push(entry("Smaller", "Ctrl −", Intent::SetScale(scale.saturating_sub(10).max(SCALES.0))));
    out.push(entry("Normal size", "Ctrl 0", Intent::SetScale(100)));
    if model.networks.iter().any(|n| n.state == NetworkState::Joined) {
        out.push(entry("Name the network", "", Intent::Show(View::Network)));
    }
    if let Some(p) = model.open_peer() {
        out.push(entry(&format!("Compare safety numbers with {}", p.label()), "", Intent::Verify(p.id)));
    }
    if let Some(s) = &model.status {
        out.push(entry("Copy my code", "", Intent::Copy(s.code.clone())));
    }
    if model.sealed {
        out.push(entry("Lock now", "Ctrl L", Intent::LockNow));
    }
    out.push(entry("Quit", "Ctrl Q", Intent::Quit));
    out
}
