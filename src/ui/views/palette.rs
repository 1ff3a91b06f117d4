//! The command palette: a field and what matches, over everything else.

use egui::{Area, Frame, Id, Key, Margin, Order, Rect, Role, ScrollArea, Sense, Shadow, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::format;
use crate::ui::model::palette::{Entry, entries};
use crate::ui::paint::avatar;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::bare_field;
use crate::ui::theme::Size;

/// Rows on screen at once.
const ROWS: usize = 9;
/// Height of a row.
const ROW: f32 = 38.0;

/// Paints the palette if it is open.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, all: Rect, out: &mut Intents) {
    let Some(palette) = &scene.model.palette else { return };
    let theme = scene.theme;
    let found = entries(scene.model);
    let width = 560.0_f32.min(all.width() - 32.0);
    let veil = Area::new(Id::unique("veil")).order(Order::Foreground).fixed_pos(all.min).fade_in(false);
    let behind = veil.show(ui.ctx(), |ui| {
        let (rect, response) = ui.allocate_exact_size(all.size(), Sense::click() - Sense::FOCUSABLE);
        ui.painter().rect_filled(rect, 0.0, egui::Color32::from_black_alpha(90));
        response.clicked()
    });
    if behind.inner {
        out.push(Intent::TogglePalette);
    }
    let at = pos2(all.center().x - width / 2.0, all.top() + (all.height() * 0.14).min(110.0));
    Area::new(Id::unique("palette")).order(Order::Tooltip).fixed_pos(at).fade_in(false).show(ui.ctx(), |ui| {
        Frame::new()
            .fill(theme.panel)
            .stroke(theme.hairline())
            .corner_radius(14)
            .shadow(Shadow { offset: [0, 12], blur: 40, spread: 0, color: egui::Color32::from_black_alpha(70) })
            .inner_margin(Margin::same(8))
            .show(ui, |ui| {
                ui.set_width(width - 16.0);
                ui.spacing_mut().item_spacing.y = 0.0;
                query(ui, scene, &palette.query, &found, palette.mark, out);
                let (line, _) = ui.allocate_exact_size(vec2(ui.available_width(), 9.0), Sense::hover());
                ui.painter().hline(line.x_range(), line.center().y, theme.hairline());
                if found.is_empty() {
                    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 64.0), Sense::hover());
                    let galley = Ink::new(Size::Body, theme.muted).line(ui, theme, "Nothing found", rect.width());
                    text::center(ui.painter(), rect.center(), &galley);
                    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, "Nothing found"));
                    return;
                }
                let tall = found.len().min(ROWS) as f32 * ROW;
                ScrollArea::vertical().max_height(tall).auto_shrink([false, true]).show(ui, |ui| {
                    for (i, e) in found.iter().enumerate() {
                        if entry(ui, scene, e, i == palette.mark) {
                            out.push(Intent::TogglePalette);
                            out.push(e.intent.clone());
                        }
                    }
                });
            });
    });
}

fn query(ui: &mut Ui, scene: &Scene<'_>, query: &str, found: &[Entry], mark: usize, out: &mut Intents) {
    let theme = scene.theme;
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::hover());
    let lens = Rect::from_center_size(pos2(rect.left() + 20.0, rect.center().y), vec2(17.0, 17.0));
    icons::icon(ui.painter(), lens, Icon::Search, theme.faint);
    let id = Id::unique("palette query");
    let inner = Rect::from_min_max(pos2(rect.left() + 38.0, rect.top()), rect.right_bottom());
    let mut value = query.to_owned();
    let hint = "Go to a person, a room or a command";
    // Asked before the field is shown, which gives up the focus when Enter is pressed in it.
    let entered = ui.input(|i| i.key_pressed(Key::Enter));
    let response = bare_field(ui, theme, inner, id, "Command palette", hint, &mut value, Size::Body);
    response.request_focus();
    if response.changed() {
        out.push(Intent::PaletteQuery(value));
    } else if entered && let Some(e) = found.get(mark) {
        out.push(Intent::TogglePalette);
        out.push(e.intent.clone());
    }
}

fn entry(ui: &mut Ui, scene: &Scene<'_>, e: &Entry, marked: bool) -> bool {
    let theme = scene.theme;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click() - Sense::FOCUSABLE);
    let spoken = e.badge.map_or_else(|| e.title.clone(), |b| format!("{}, {}", e.title, format::badge(b)));
    response.widget_info(|| WidgetInfo::selected(Role::ListItem, true, marked, &spoken));
    if marked || response.hovered() {
        ui.painter().rect_filled(rect, 9.0, if marked { theme.selection } else { theme.chip });
    }
    if marked {
        ui.scroll_to_rect(rect, None);
    }
    let hint = Ink::new(Size::Tiny, theme.muted).line(ui, theme, &e.hint, 120.0);
    let right = text::right(ui.painter(), rect.right_center() - vec2(12.0, 0.0), &hint);
    let room = right.left() - rect.left() - if e.badge.is_some() { 44.0 } else { 24.0 };
    let galley = Ink::new(Size::Body, theme.text).line(ui, theme, &e.title, room);
    let title = text::left(ui.painter(), rect.left_center() + vec2(12.0, 0.0), &galley);
    if let Some(badge) = e.badge {
        avatar::badge(ui.painter(), theme, pos2(title.right() + 6.0, rect.center().y), badge);
    }
    response.clicked()
}
