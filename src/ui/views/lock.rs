//! The lock screen: the passphrase, and nothing of what is behind it.

use egui::{Frame, Id, Margin, Rect, TextEdit, Ui, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::key::Secret;
use crate::ui::model::lock::Locked;
use crate::ui::paint::icons;
use crate::ui::paint::text::Ink;
use crate::ui::paint::widgets::{Kind, button_enabled, paragraph, within};
use crate::ui::theme::{Scheme, Size};

/// Paints it.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, locked: &Locked, rect: Rect, out: &mut Intents) {
    let theme = scene.theme;
    ui.painter().rect_filled(rect, 0.0, theme.background);
    let size = vec2((rect.width() - 32.0).min(440.0), 344.0_f32.min(rect.height()));
    let at = Rect::from_center_size(rect.center(), size);
    within(ui, "lock screen", at, |ui| {
        Frame::new().fill(theme.panel).stroke(theme.hairline()).corner_radius(16).inner_margin(Margin::same(28)).show(
            ui,
            |ui| {
                ui.set_width(ui.available_width());
                let (logo, _) = ui.allocate_exact_size(vec2(48.0, 48.0), egui::Sense::hover());
                ui.painter().rect_filled(logo, 14.0, theme.rail);
                icons::logo(ui.painter(), logo.shrink(8.0), theme.scheme == Scheme::Night);
                ui.add_space(10.0);
                paragraph(ui, theme, "Cairn is locked", Ink::new(Size::Large, theme.text).bold());
                let what = if locked.started {
                    "It goes on receiving and passing on. Nothing is shown until you type the passphrase."
                } else {
                    "It starts once you type the passphrase."
                };
                paragraph(ui, theme, what, Ink::new(Size::Body, theme.muted));
                ui.add_space(14.0);
                let id = Id::unique("passphrase");
                if !ui.memory(|m| m.focused().is_some()) {
                    ui.memory_mut(|m| m.request_focus(id));
                }
                let mut typed = locked.typed.clone();
                let edit = TextEdit::singleline(&mut *typed.0)
                    .id(id)
                    .password(true)
                    .hint_text("Passphrase")
                    .margin(Margin::symmetric(11, 8))
                    .desired_width(f32::INFINITY)
                    .interactive(!locked.busy);
                let response = ui.add(edit);
                ui.ctx().accesskit_node_builder(response.id, |node| node.set_label("Passphrase"));
                let entered = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
                if response.changed() {
                    out.push(Intent::TypePassphrase(typed.clone()));
                }
                ui.add_space(4.0);
                let (words, color) = match (&locked.problem, locked.busy) {
                    (_, true) => ("One moment: a guess is meant to take a while.", theme.muted),
                    (Some(problem), _) => (problem.as_str(), theme.alert),
                    (None, _) => ("Nobody can bring a forgotten one back.", theme.muted),
                };
                paragraph(ui, theme, words, Ink::new(Size::Small, color));
                ui.add_space(12.0);
                let ready = !locked.busy && !typed.0.trim().is_empty();
                let pressed = button_enabled(ui, theme, "Unlock", Kind::Primary, ready).clicked();
                if (pressed || entered) && ready {
                    out.push(Intent::Unlock(Secret(typed.0)));
                }
            },
        );
    });
}
