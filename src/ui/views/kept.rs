//! The card that pins and mutes a conversation, and the one that says how long a conversation is kept, and that deletes one's own copy of it.

use cairn_actors::api::Retention;
use cairn_actors::liking::FOR_GOOD;
use egui::Ui;

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::paint::text::Ink;
use crate::ui::paint::widgets::{Kind, button, card, choice, pair, paragraph};
use crate::ui::theme::Size;

const DAY: u64 = 86_400;

/// What can be chosen here; the command line knows more.
const CHOICES: [(&str, Option<u64>); 5] = [
    ("Keep for ever", None),
    ("Keep a year", Some(365 * DAY)),
    ("Keep 4 weeks", Some(28 * DAY)),
    ("Keep a week", Some(7 * DAY)),
    ("Keep a day", Some(DAY)),
];

/// For how long a conversation can be muted here, in milliseconds; the command line knows more.
const MUTES: [(&str, u64); 2] = [("Mute for 8 hours", 8 * 3_600_000), ("Mute until I say otherwise", FOR_GOOD)];

/// Paints the card that pins and mutes the open conversation.
fn attention(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let Some(c) = scene.model.open.and_then(|id| scene.model.conversation(&id)) else { return };
    card(ui, theme, "In the list", |ui| {
        let pin = if c.pinned.is_some() { "Unpin" } else { "Pin to the top" };
        if button(ui, theme, pin, Kind::Plain).clicked() {
            out.push(Intent::SetPinned(c.id, c.pinned.is_none()));
        }
        ui.add_space(2.0);
        let muted = c.muted_until.filter(|until| *until > scene.clock.now);
        if let Some(until) = muted {
            let words =
                if until == FOR_GOOD { "Muted".into() } else { format!("Muted until {}", scene.clock.full(until)) };
            paragraph(ui, theme, &words, Ink::new(Size::Small, theme.muted));
            if button(ui, theme, "Unmute", Kind::Plain).clicked() {
                out.push(Intent::SetMuted(c.id, None));
            }
            return;
        }
        for (label, time) in MUTES {
            if button(ui, theme, label, Kind::Plain).clicked() {
                out.push(Intent::SetMuted(c.id, Some(scene.clock.now.saturating_add(time))));
            }
        }
    });
}

/// Paints the cards of the open conversation, once they are known.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    attention(ui, scene, out);
    let Some(r) = scene.model.retention() else { return };
    card(ui, theme, "How long messages are kept", |ui| {
        paragraph(ui, theme, &r.sentence, Ink::new(Size::Small, theme.muted));
        if let (Some(name), Some(at)) = (&r.set_by_name, r.set_at) {
            pair(ui, theme, &format!("Set by {name}"), &scene.clock.full(at), theme.text);
        }
        ui.add_space(2.0);
        for (label, keep) in CHOICES {
            if choice(ui, theme, label, "", r.keep == keep).clicked() && r.keep != keep {
                out.push(Intent::SetRetention(r.conversation, keep));
            }
        }
        if let Some(at) = r.gone_before {
            pair(ui, theme, "Gone here before", &scene.clock.full(at), theme.text);
        }
        if r.keep.is_some() && !r.agreed {
            paragraph(ui, theme, waits(r), Ink::new(Size::Small, theme.warning));
        }
        ui.add_space(4.0);
        delete(ui, scene, r, out);
    });
}

fn waits(r: &Retention) -> &'static str {
    if r.shared {
        "Nothing goes for its age until the other side's clock agrees with this one."
    } else {
        "Nothing goes for its age until the clocks of two others agree with this one."
    }
}

fn delete(ui: &mut Ui, scene: &Scene<'_>, r: &Retention, out: &mut Intents) {
    let theme = scene.theme;
    if !scene.model.asks_to_forget {
        if button(ui, theme, "Delete my copy…", Kind::Plain).clicked() {
            out.push(Intent::AskToForget(true));
        }
        return;
    }
    let sentence = "Everything said here so far goes from this app on this device at once, and is not fetched again. It \
                    is erased from the disk, but for the week that is still being written, which is only hidden. Others \
                    keep their copies, and what is said from now on arrives as ever.";
    paragraph(ui, theme, sentence, Ink::new(Size::Small, theme.warning));
    ui.add_space(2.0);
    ui.horizontal(|ui| {
        if button(ui, theme, "Delete it", Kind::Plain).clicked() {
            out.push(Intent::Forget(r.conversation));
        }
        if button(ui, theme, "Keep it", Kind::Plain).clicked() {
            out.push(Intent::AskToForget(false));
        }
    });
}
