//! The first start: a name, and whether the network is there.

use cairn_actors::api::LinkState;
use egui::{Frame, Id, Margin, Rect, Ui, vec2};

use super::{Intents, Scene};
use crate::ui::intent::{Intent, NameField};
use crate::ui::paint::icons;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button_enabled, field, paragraph, within};
use crate::ui::theme::{Scheme, Size};

/// What is said about the network.
fn network(scene: &Scene<'_>) -> (String, egui::Color32) {
    let theme = scene.theme;
    match scene.model.status.as_ref() {
        Some(s) if s.link == LinkState::Online => {
            let n = s.peers_online;
            let words = if n == 1 { "1 other is here".to_owned() } else { format!("{n} others are here") };
            (words, theme.here)
        }
        Some(s) if s.link == LinkState::Alone => {
            let through: Vec<&str> = s.interfaces.iter().map(|i| i.name.as_str()).collect();
            // No interface is named where discovery is off.
            let words = if through.is_empty() {
                "Nobody else is here yet".to_owned()
            } else {
                format!("Looking for others on {}", through.join(", "))
            };
            (words, theme.away)
        }
        Some(_) => ("No network yet: plug in a cable or join a Wi-Fi".into(), theme.alert),
        None => ("Starting".into(), theme.faint),
    }
}

/// Paints the page.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, rect: Rect, out: &mut Intents) {
    let theme = scene.theme;
    ui.painter().rect_filled(rect, 0.0, theme.background);
    let size = vec2((rect.width() - 32.0).min(440.0), 424.0_f32.min(rect.height()));
    let at = Rect::from_center_size(rect.center(), size);
    within(ui, "first start", at, |ui| {
        Frame::new().fill(theme.panel).stroke(theme.hairline()).corner_radius(16).inner_margin(Margin::same(28)).show(
            ui,
            |ui| {
                ui.set_width(ui.available_width());
                let (logo, _) = ui.allocate_exact_size(vec2(48.0, 48.0), egui::Sense::hover());
                ui.painter().rect_filled(logo, 14.0, theme.rail);
                icons::logo(ui.painter(), logo.shrink(8.0), theme.scheme == Scheme::Night);
                ui.add_space(10.0);
                paragraph(ui, theme, "Welcome to Cairn", Ink::new(Size::Large, theme.text).bold());
                let what = "Talk and write with the people on your network. No account, no server, no internet: what \
                            you say stays on your laptops.";
                paragraph(ui, theme, what, Ink::new(Size::Body, theme.muted));
                ui.add_space(14.0);
                paragraph(ui, theme, "What should others call you?", Ink::new(Size::Small, theme.text).bold());
                let mut value = scene.model.name_field(NameField::Own);
                let id = Id::unique("first name");
                if !ui.memory(|m| m.focused().is_some()) {
                    ui.memory_mut(|m| m.request_focus(id));
                }
                let (response, entered) = field(ui, theme, id, "Your name", "Your name", &mut value);
                if response.changed() {
                    out.push(Intent::EditName(NameField::Own, value.clone()));
                }
                ui.add_space(4.0);
                let problem = problem(&value);
                let (words, color) = match problem {
                    Some(p) if !value.is_empty() => (p, theme.alert),
                    _ => ("You can change it at any time.", theme.muted),
                };
                paragraph(ui, theme, words, Ink::new(Size::Small, color));
                ui.add_space(12.0);
                let pressed = button_enabled(ui, theme, "Start", Kind::Primary, problem.is_none()).clicked();
                if (pressed || entered) && problem.is_none() {
                    out.push(Intent::SetName(value));
                }
                ui.add_space(16.0);
                let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), egui::Sense::hover());
                ui.painter().hline(line.x_range(), line.center().y, theme.hairline());
                ui.add_space(8.0);
                let (words, color) = network(scene);
                let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), egui::Sense::hover());
                ui.painter().circle_filled(row.left_center() + vec2(5.0, 0.0), 4.5, color);
                let galley = Ink::new(Size::Small, theme.muted).line(ui, theme, &words, row.width() - 20.0);
                text::left(ui.painter(), row.left_center() + vec2(17.0, 0.0), &galley);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &words));
            },
        );
    });
}

/// What is wrong with a name, in a sentence; names that pass are accepted by the node, too.
#[must_use]
pub fn problem(name: &str) -> Option<&'static str> {
    let name = name.trim();
    if name.is_empty() {
        Some("A name has at least one letter.")
    } else if name.len() > cairn_actors::limits::NAME_MAX {
        Some("That is too long: 64 bytes at most.")
    } else if name.chars().any(char::is_control) {
        Some("A name is one line of plain text.")
    } else {
        None
    }
}
