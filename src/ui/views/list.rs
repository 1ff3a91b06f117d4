//! The list column: search, then conversations and people in sections.

use cairn_actors::api::PeerState;
use egui::{CursorIcon, Id, Rect, Response, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::format;
use crate::ui::model::{Focus, Row, View};
use crate::ui::paint::avatar;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{bare_field, empty, focus_ring, within};
use crate::ui::theme::{Scheme, Size, Theme};

/// Height of a row.
const ROW: f32 = 54.0;
/// Height of a heading.
const HEADING: f32 = 30.0;

/// Paints the list column.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let (theme, rect) = (scene.theme, ui.max_rect());
    ui.painter().rect_filled(rect, 0.0, theme.side);
    ui.painter().vline(rect.right() - 0.5, rect.y_range(), theme.hairline());
    let field = Rect::from_min_size(rect.min + vec2(12.0, 12.0), vec2(rect.width() - 25.0, 34.0));
    search(ui, scene, field, out);
    let below = Rect::from_min_max(pos2(rect.left(), field.bottom() + 12.0), rect.max);
    let sections = scene.model.sections(scene.clock);
    if sections.is_empty() {
        let (title, sentence) = nothing(scene);
        empty(ui, theme, below.shrink2(vec2(4.0, 40.0)), title, &sentence);
        return;
    }
    within(ui, "rows", below, |ui| {
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for section in &sections {
                let (head, response) = ui.allocate_exact_size(vec2(ui.available_width(), HEADING), Sense::hover());
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, section.title));
                let galley = text::caption(ui, theme, section.title);
                text::left(ui.painter(), head.left_center() + vec2(18.0, 3.0), &galley);
                for row in &section.rows {
                    if show_row(ui, scene, row).clicked() {
                        out.push(Intent::Open(row.open));
                    }
                }
            }
            if alone(scene) {
                ui.add_space(18.0);
                let galley = Ink::new(Size::Small, theme.muted).wrapped(
                    ui,
                    theme,
                    "Nobody else is here yet. Others on this network appear by themselves.",
                    ui.available_width() - 36.0,
                );
                let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(36.0, 0.0), Sense::hover());
                text::put(ui.painter(), rect.min + vec2(18.0, 0.0), &galley);
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, "Nobody else is here yet"));
            }
            ui.add_space(12.0);
        });
    });
}

fn alone(scene: &Scene<'_>) -> bool {
    let m = scene.model;
    m.search.is_empty() && m.listed && m.peers.values().all(|p| p.state == PeerState::Offline)
}

fn nothing(scene: &Scene<'_>) -> (&'static str, String) {
    let m = scene.model;
    if !m.search.is_empty() {
        ("Nothing found", format!("No conversation and nobody here is called \"{}\".", m.search.trim()))
    } else if !m.listed {
        ("One moment", "Reading what is stored on this device.".into())
    } else if m.view == View::People {
        ("Nobody yet", "Others on this network appear by themselves.".into())
    } else {
        ("Nothing here yet", "The first network you meet brings its Everyone room.".into())
    }
}

fn search(ui: &mut Ui, scene: &Scene<'_>, rect: Rect, out: &mut Intents) {
    let theme = scene.theme;
    let id = Id::unique("search");
    let focused = ui.memory(|m| m.has_focus(id));
    let line = if focused { Stroke::new(1.5, theme.accent) } else { theme.hairline() };
    ui.painter().rect(rect, 9.0, theme.panel, line, StrokeKind::Inside);
    let lens = Rect::from_center_size(pos2(rect.left() + 18.0, rect.center().y), vec2(15.0, 15.0));
    icons::icon(ui.painter(), lens, Icon::Search, theme.faint);
    let mut right = rect.right() - 10.0;
    if scene.model.search.is_empty() && !focused {
        let hint = Ink::new(Size::Tiny, theme.faint).line(ui, theme, "Ctrl K", 60.0);
        right = text::right(ui.painter(), pos2(right, rect.center().y), &hint).left() - 6.0;
    }
    let inner = Rect::from_min_max(pos2(rect.left() + 32.0, rect.top()), pos2(right, rect.bottom()));
    let mut value = scene.model.search.clone();
    let response = bare_field(ui, theme, inner, id, "Search", "Search people and rooms", &mut value, Size::Small);
    if scene.model.wants_focus == Some(Focus::Search) {
        response.request_focus();
    }
    if response.changed() {
        out.push(Intent::Search(value));
    }
    if response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter)) {
        let first = scene.model.sections(scene.clock).first().and_then(|s| s.rows.first().map(|r| r.open));
        if let Some(id) = first.filter(|_| !scene.model.search.is_empty()) {
            out.push(Intent::Open(id));
            out.push(Intent::Search(String::new()));
        }
    }
}

fn show_row(ui: &mut Ui, scene: &Scene<'_>, row: &Row) -> Response {
    let theme = scene.theme;
    let (slot, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let on = scene.model.open == Some(row.open);
    response.widget_info(|| WidgetInfo::selected(Role::ListItem, true, on, spoken(row)));
    if !ui.is_rect_visible(slot) {
        return response;
    }
    let rect = slot.shrink2(vec2(8.0, 0.0));
    let ground = match (on, response.hovered()) {
        (true, _) => theme.selection,
        (false, true) => theme.hover,
        _ => theme.side,
    };
    if ground != theme.side {
        ui.painter().rect_filled(rect, 10.0, ground);
    }
    let picture = Rect::from_min_size(pos2(rect.left() + 10.0, rect.center().y - 19.0), vec2(38.0, 38.0));
    match &row.person {
        Some(id) => avatar::picture(ui, theme, picture, &id.0, Some(&row.title)),
        None => avatar::picture(ui, theme, picture, &row.open.0, None),
    }
    if let Some(state) = row.presence {
        avatar::presence(ui.painter(), theme, picture, state, ground);
    }
    lines(ui, theme, row, rect, picture.right() + 12.0, on);
    focus_ring(ui, theme, &response, rect, 10.0);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

fn lines(ui: &Ui, theme: &Theme, row: &Row, rect: Rect, left: f32, on: bool) {
    let painter = ui.painter();
    let (up, down) = (rect.center().y - 8.5, rect.center().y + 10.5);
    let right = rect.right() - 10.0;
    let faint = if on || theme.scheme == Scheme::Sunlight { theme.muted } else { theme.faint };
    let time = Ink::new(Size::Tiny, faint).line(ui, theme, &row.time, 80.0);
    let time_left = if row.time.is_empty() { right } else { text::right(painter, pos2(right, up), &time).left() - 8.0 };
    let badge_room = if row.badge.is_some() { 20.0 } else { 0.0 };
    let name = Ink::new(Size::Body, theme.text).bold().line(ui, theme, &row.title, time_left - left - badge_room);
    let name = text::left(painter, pos2(left, up), &name);
    if let Some(badge) = row.badge {
        avatar::badge(painter, theme, pos2(name.right() + 5.0, up), badge);
    }
    let mut preview_right = right;
    if row.unread > 0 {
        let count = if row.unread > 999 { "999+".to_owned() } else { row.unread.to_string() };
        let count = if row.mentions > 0 { format!("@ {count}") } else { count };
        // What is muted calls for no attention, unless it is about the person here.
        let quiet = row.muted && row.mentions == 0;
        let (fill, color) = if quiet { (theme.chip, theme.muted) } else { (theme.accent, theme.on_accent) };
        let galley = Ink::new(Size::Tiny, color).bold().line(ui, theme, &count, 60.0);
        let width = (galley.size().x + 11.0).max(18.0);
        let pill = Rect::from_min_max(pos2(right - width, down - 8.5), pos2(right, down + 8.5));
        painter.rect_filled(pill, 8.5, fill);
        text::center(painter, pill.center(), &galley);
        preview_right = pill.left() - 8.0;
    }
    let ink = match (row.draft, row.unread > 0) {
        (true, _) => Ink::new(Size::Small, theme.warning),
        (false, true) => Ink::new(Size::Small, theme.text),
        _ => Ink::new(Size::Small, theme.muted),
    };
    let preview = ink.line(ui, theme, &row.preview, preview_right - left);
    text::left(painter, pos2(left, down), &preview);
}

fn spoken(row: &Row) -> String {
    let mut words = vec![row.title.clone()];
    words.extend(row.badge.map(|b| format::badge(b).to_owned()));
    words.extend(row.presence.map(|p| format::presence(p).to_owned()));
    if row.unread > 0 {
        words.push(format!("{} unread", row.unread));
        if row.mentions > 0 {
            words.push(format!("{} mentioning you", row.mentions));
        }
    }
    if row.muted {
        words.push("muted".into());
    }
    words.push(row.preview.clone());
    words.push(row.time.clone());
    words.retain(|w| !w.is_empty());
    words.join(", ")
}
