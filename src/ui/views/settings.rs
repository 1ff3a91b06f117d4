//! Settings: one's name, colours, size, and where everything is stored.

use egui::{Id, Rect, ScrollArea, Ui, pos2, vec2};

use super::{Intents, Scene, first_start};
use crate::ui::intent::{Intent, NameField};
use crate::ui::model::format::theme_name;
use crate::ui::model::lock::LOCK_AFTER;
use crate::ui::model::{SCALES, ThemeChoice};
use crate::ui::paint::text::Ink;
use crate::ui::paint::widgets::{Kind, button, button_enabled, card, choice, field, pair, paragraph, within};
use crate::ui::theme::Size;

fn what(choice: ThemeChoice) -> &'static str {
    match choice {
        ThemeChoice::System => "Light or dark, as your desktop says",
        ThemeChoice::Light => "Warm light greys",
        ThemeChoice::Dark => "Dark greys",
        ThemeChoice::Sunlight => "Black on white and larger, for outdoors",
        ThemeChoice::Night => "One dim red, for eyes used to the dark",
    }
}

/// Paints the page.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let (theme, rect) = (scene.theme, ui.max_rect());
    ui.painter().rect_filled(rect, 0.0, theme.background);
    let page =
        Rect::from_min_max(rect.min + vec2(26.0, 0.0), pos2(rect.right().min(rect.left() + 620.0), rect.bottom()));
    within(ui, "settings page", page, |ui| {
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            ui.set_width(page.width() - 26.0);
            ui.add_space(20.0);
            paragraph(ui, theme, "Settings", Ink::new(Size::Large, theme.text).bold());
            ui.add_space(12.0);
            name(ui, scene, out);
            card(ui, theme, "Colours", |ui| {
                ui.spacing_mut().item_spacing.y = 2.0;
                for c in ThemeChoice::ALL {
                    if choice(ui, theme, theme_name(c), what(c), scene.model.preferences.theme == c).clicked() {
                        out.push(Intent::SetTheme(c));
                    }
                }
            });
            scale(ui, scene, out);
            reading(ui, scene, out);
            passphrase(ui, scene, out);
            about(ui, scene, out);
            ui.add_space(16.0);
        });
    });
}

fn name(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    card(ui, theme, "Your name", |ui| {
        let mut value = scene.model.name_field(NameField::Own);
        let (response, entered) = field(ui, theme, Id::unique("own name"), "Your name", "Your name", &mut value);
        if response.changed() {
            out.push(Intent::EditName(NameField::Own, value.clone()));
        }
        let problem = first_start::problem(&value);
        let words = problem.unwrap_or("Others see it beside what you write. Names are not unique; your code is.");
        let color = if problem.is_some() { theme.alert } else { theme.muted };
        paragraph(ui, theme, words, Ink::new(Size::Small, color));
        ui.add_space(2.0);
        let changed = scene.model.status.as_ref().is_some_and(|s| s.name != value.trim());
        let ready = changed && problem.is_none();
        let pressed = button_enabled(ui, theme, "Change", Kind::Plain, ready).clicked();
        if (pressed || entered) && ready {
            out.push(Intent::SetName(value));
        }
    });
}

fn scale(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let now = scene.model.preferences.scale;
    card(ui, theme, "Size", |ui| {
        ui.horizontal_wrapped(|ui| {
            for percent in [75u16, 90, 100, 115, 130, 150, 200] {
                let kind = if percent == now { Kind::Primary } else { Kind::Plain };
                let r = button(ui, theme, &format!("{percent} %"), kind);
                if r.clicked() {
                    out.push(Intent::SetScale(percent.clamp(SCALES.0, SCALES.1)));
                }
            }
        });
        paragraph(ui, theme, "Ctrl + and Ctrl − do the same.", Ink::new(Size::Small, theme.muted));
    });
}

fn reading(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let Some(told) = scene.model.status.as_ref().map(|s| s.read_receipts) else { return };
    card(ui, theme, "Read receipts", |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        let all = [
            (
                true,
                "Tell others what I have read",
                "They see \"read\" beside what they wrote to you, and that you are writing",
            ),
            (false, "Tell nobody", "What was told before stays told; you still see what others tell"),
        ];
        for (value, label, detail) in all {
            if choice(ui, theme, label, detail, told == value).clicked() && told != value {
                out.push(Intent::SetReadReceipts(value));
            }
        }
    });
}

fn passphrase(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    card(ui, theme, "Passphrase", |ui| {
        let small = |color| Ink::new(Size::Small, color);
        if !scene.model.sealed {
            let words = "There is none. Other users of this machine are kept out, but whoever gets the disk, or a copy of \
                         the folder, reads everything. `cairn passphrase set` sets one, while Cairn is closed.";
            paragraph(ui, theme, words, small(theme.text));
            return;
        }
        let words = "Everything that is kept here is sealed with it. The lock hides it while you are away; Cairn goes on \
                     receiving, and holds the key in memory until it is closed.";
        paragraph(ui, theme, words, small(theme.muted));
        ui.add_space(4.0);
        for minutes in LOCK_AFTER {
            let label = match minutes {
                0 => "Lock when I say so".to_owned(),
                n => format!("After {n} minutes"),
            };
            let detail = if minutes == 0 { "Ctrl L, or the button below" } else { "without keys or pointer" };
            if choice(ui, theme, &label, detail, scene.model.preferences.lock_after == minutes).clicked() {
                out.push(Intent::SetLockAfter(minutes));
            }
        }
        ui.add_space(4.0);
        if button(ui, theme, "Lock now", Kind::Plain).clicked() {
            out.push(Intent::LockNow);
        }
    });
}

fn about(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let Some(s) = &scene.model.status else { return };
    card(ui, theme, "This device", |ui| {
        pair(ui, theme, "Your code", &s.code, theme.text);
        pair(ui, theme, "Stored in", &s.data.display().to_string(), theme.text);
        pair(ui, theme, "Version", &s.version, theme.text);
        ui.add_space(2.0);
        if button(ui, theme, "Copy my code", Kind::Plain).clicked() {
            out.push(Intent::Copy(s.code.clone()));
        }
    });
}
