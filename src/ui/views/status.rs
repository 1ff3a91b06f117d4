//! The status line: whether one is connected, through what or how far catching up is, and whether all is saved. It always tells the truth.

use cairn_actors::api::{LinkState, PeerState};
use egui::{Pos2, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::catch_up::Bar;
use crate::ui::model::{Model, View, format};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::focus_ring;
use crate::ui::theme::{Size, Theme};

/// Size of the bar of catching up.
const BAR: Vec2 = vec2(120.0, 4.0);

/// What stands at the right: the first trouble, or that all is well.
#[must_use]
pub fn saved(model: &Model) -> (String, bool) {
    if model.stopped {
        return ("The node has stopped. Start Cairn again.".into(), true);
    }
    let trouble = model.status.as_ref().and_then(|s| s.troubles.first());
    match (trouble, model.saving) {
        (Some(t), _) => (t.clone(), true),
        (None, 0) if model.status.is_some() => ("All saved".into(), false),
        (None, 0) => (String::new(), false),
        (None, _) => ("Saving".into(), false),
    }
}

/// What stands in the middle: interfaces, and the quickest way to somebody.
#[must_use]
pub fn interfaces(model: &Model) -> String {
    let Some(status) = &model.status else { return String::new() };
    let names: Vec<&str> = status.interfaces.iter().map(|i| i.name.as_str()).take(3).collect();
    let quickest = model
        .peers
        .values()
        .filter(|p| p.state != PeerState::Offline)
        .filter_map(|p| p.rtt_ms)
        .min_by(f64::total_cmp)
        .map(format::round_trip);
    let mut words = match (names.is_empty(), quickest) {
        (true, _) => String::new(),
        (false, Some(ms)) => format!("{} · {ms}", names.join(", ")),
        (false, None) => names.join(", "),
    };
    if let Some(clock) = format::mesh_time(status.clock_offset_ms) {
        words = if words.is_empty() { clock } else { format!("{words}      {clock}") };
    }
    words
}

fn dot(model: &Model, theme: &Theme) -> egui::Color32 {
    match model.status.as_ref().map(|s| &s.link) {
        _ if model.stopped => theme.alert,
        Some(LinkState::Online) => theme.here,
        Some(LinkState::Alone) => theme.away,
        Some(LinkState::NoNetwork) => theme.alert,
        None => theme.faint,
    }
}

/// Paints how far catching up is: a bar, and beside it in words how much came of how much, and from whom.
fn catching_up(ui: &mut Ui, theme: &Theme, bar: &Bar, left: Pos2, room: f32) {
    let track = Rect::from_min_size(pos2(left.x, left.y - BAR.y / 2.0), BAR);
    let done = Rect::from_min_size(track.min, vec2(BAR.x * bar.part.clamp(0.0, 1.0), BAR.y));
    ui.painter().rect_filled(track, BAR.y / 2.0, theme.line);
    ui.painter().rect_filled(done, BAR.y / 2.0, theme.accent);
    let galley = Ink::new(Size::Small, theme.muted).line(ui, theme, &bar.words, room - BAR.x - 10.0);
    let words = text::left(ui.painter(), pos2(track.right() + 10.0, left.y), &galley);
    let response = ui.interact(track.union(words), ui.scope_id().with("catching-up"), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, &bar.words);
        info.value = Some(f64::from(bar.part));
        info
    });
    response.on_hover_text(bar.lines.join("\n"));
}

/// Paints the status line.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let (theme, rect, model) = (scene.theme, ui.max_rect(), scene.model);
    ui.painter().rect_filled(rect, 0.0, theme.side);
    ui.painter().hline(rect.x_range(), rect.top() + 0.5, theme.hairline());
    let y = rect.center().y + 0.5;
    let ink = Ink::new(Size::Small, theme.muted);

    let (words, bad) = saved(model);
    let room = (rect.width() * if bad { 0.6 } else { 0.3 }).max(60.0);
    let galley = if bad { Ink::new(Size::Small, theme.alert).medium() } else { ink }.line(ui, theme, &words, room);
    let right = text::right(ui.painter(), pos2(rect.right() - 16.0, y), &galley);
    let said = ui.interact(right, ui.scope_id().with("saved"), Sense::hover());
    said.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
    if galley.elided {
        said.on_hover_text(&words);
    }

    let link = format::link(model.status.as_ref());
    let at = pos2(rect.left() + 21.0, y);
    ui.painter().circle_filled(at, 4.5, dot(model, theme));
    let galley = ink.line(ui, theme, &link, right.left() - at.x - 30.0);
    let left = text::left(ui.painter(), at + vec2(9.0, 0.0), &galley);
    let press = ui.interact(left.expand2(vec2(14.0, 4.0)), ui.scope_id().with("link"), Sense::click());
    press.widget_info(|| WidgetInfo::labeled(Role::Button, true, &link));
    focus_ring(ui, theme, &press, press.rect, 6.0);
    if press.clicked() {
        out.push(Intent::Show(View::Network));
    }
    let middle = pos2(left.right() + 18.0, y);
    if let Some(bar) = model.catching_up.bar() {
        let room = right.left() - middle.x - 18.0;
        if room > BAR.x {
            catching_up(ui, theme, &bar, middle, room);
        }
        return;
    }
    let through = interfaces(model);
    let galley = ink.line(ui, theme, &through, (right.left() - left.right() - 36.0).max(0.0));
    if !through.is_empty() && right.left() - left.right() > 120.0 {
        let r = text::left(ui.painter(), middle, &galley);
        let response = ui.interact(r, ui.scope_id().with("interfaces"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &through));
    }
}
