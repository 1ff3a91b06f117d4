//! The card that says who holds the conversation that is open, and who was last seen when.

use cairn_actors::api::{Holder, PeerState};
use egui::Ui;

use super::Scene;
use crate::ui::model::Clock;
use crate::ui::model::format;
use crate::ui::paint::text::Ink;
use crate::ui::paint::widgets::{card, pair, pair_of, paragraph};
use crate::ui::theme::Size;

/// Devices that lack something, listed before "and n more".
const LISTED: usize = 6;

fn up_to(h: &Holder, clock: &Clock) -> String {
    match (h.up_to, h.holds) {
        (Some(at), _) if clock.other_day(at, clock.now) => format!("up to {}", clock.full(at)),
        (Some(at), _) => format!("up to {}", clock.time(at)),
        (None, 0) => "nothing known".into(),
        (None, _) => "a part".into(),
    }
}

/// Paints the card, once it is known who holds what.
pub fn show(ui: &mut Ui, scene: &Scene<'_>) {
    let theme = scene.theme;
    let Some(c) = scene.model.custody.as_ref().filter(|c| scene.model.open == Some(c.conversation)) else { return };
    card(ui, theme, "Who holds this conversation", |ui| {
        if c.entries == 0 {
            paragraph(ui, theme, "There is nothing to hold yet.", Ink::new(Size::Small, theme.muted));
            return;
        }
        let all = c.holders == c.members;
        let color = if all && c.members > 1 { theme.accent } else { theme.text };
        pair(ui, theme, "Hold all of it", &format!("{} of {}", c.holders, c.members), color);
        if c.holders <= 1 {
            let words = "Only this device has all of it. Keep it until another one is here.";
            paragraph(ui, theme, words, Ink::new(Size::Small, theme.warning));
        }
        let lacking: Vec<_> = c.devices.iter().filter(|h| h.member && !h.complete).collect();
        for h in lacking.iter().take(LISTED) {
            let badge = (!h.me).then(|| scene.model.badge(&h.id));
            let response = pair_of(ui, theme, &h.name, badge, &up_to(h, scene.clock), theme.warning);
            let counts = format!("Holds {} of {}", h.holds, format::count(c.entries, "entry", "entries"));
            response.on_hover_text(counts);
            if h.state == PeerState::Offline {
                let seen = h.last_seen.map_or("Never seen".into(), |at| format!("Last seen {}", scene.clock.full(at)));
                paragraph(ui, theme, &seen, Ink::new(Size::Small, theme.muted));
            }
        }
        if lacking.len() > LISTED {
            let more = format!("and {} more", lacking.len().saturating_sub(LISTED));
            paragraph(ui, theme, &more, Ink::new(Size::Small, theme.muted));
        }
        let ahead = c.devices.iter().map(|h| h.ahead).max().unwrap_or(0);
        if ahead > 0 {
            let words = format!("{} elsewhere and not here yet", format::count(ahead, "entry is", "entries are"));
            paragraph(ui, theme, &words, Ink::new(Size::Small, theme.warning));
        }
        let others = c.devices.iter().filter(|h| !h.member && h.complete).count();
        if others > 0 {
            let words = format!("And {} not seen for a day", format::count(others as u64, "device", "devices"));
            paragraph(ui, theme, &words, Ink::new(Size::Small, theme.muted));
        }
    });
}
