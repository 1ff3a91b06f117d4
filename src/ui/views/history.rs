//! The messages of a conversation, virtualised: only what is on screen is laid out, whatever the length.
//!
//! The place is an anchor: a message, and where the top of its text stands on screen. Rows are laid out from there
//! upwards and downwards with their true heights, so nothing jumps when older pages are put in front, when messages
//! arrive, or when the window becomes wider. Without an anchor the history sticks to its newest message.

use cairn_actors::api::{Message, OrderKey};
use cairn_crdt::ids::SpaceId;
use egui::{CursorIcon, Id, Key, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::History;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::focus_ring;
use crate::ui::theme::Size;

mod beside;
mod row;
use row::RowLayout;

/// Space between the newest message and the composer.
const FOOT: f32 = 8.0;
/// Space above the oldest message.
const HEAD: f32 = 14.0;
/// The first new message stands this far below the top when a conversation is opened.
const LINE_AT: f32 = 96.0;
/// Older pages are asked for when fewer messages than this are left above the screen.
const AHEAD: usize = 100;

/// Where a history is scrolled to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Place {
    /// A message and the top of its text below the top of the view; `None`: at the newest.
    anchor: Option<(OrderKey, f32)>,
    /// The line above new messages that was scrolled to when it appeared.
    new: Option<OrderKey>,
    /// The number of the message that the scroll bar was dragged to, until it is in memory.
    wanted: Option<u64>,
}

/// A row on screen.
struct Placed {
    index: usize,
    /// Top of the whole row.
    top: f32,
    layout: RowLayout,
}

fn place_id(id: &SpaceId) -> Id {
    Id::unique(("history", id.0))
}

/// Paints the history of a conversation into a rectangle.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, id: SpaceId, history: &History, rect: Rect, out: &mut Intents) {
    let memory = place_id(&id);
    let area = ui.interact(rect, memory.with("area"), Sense::focusable_noninteractive());
    area.widget_info(|| WidgetInfo::labeled(Role::List, true, "Messages"));

    let mut place = ui.data(|d| d.get_temp::<Place>(memory)).unwrap_or_default();
    if let Some(key) = scene.model.wanted(&id) {
        (place.anchor, place.wanted) = (Some((key, LINE_AT)), None);
    } else if scene.model.wants_newest {
        (place.anchor, place.wanted) = (None, None);
    } else if history.new_after.is_some() && place.new != history.new_after && place.anchor.is_none() {
        // Where one left off; if all of it fits on the screen, that is the newest.
        place.anchor = history.first_new().map(|key| (key, LINE_AT));
    }
    place.new = history.new_after;
    let bar = Bar::interact(ui, memory, rect);
    let visible = ui.data(|d| d.get_temp::<f32>(memory.with("visible"))).unwrap_or(10.0);
    if let Some(number) = bar.target(rect, history.total(), visible) {
        place.wanted = Some(number);
    }
    let delta = scroll_delta(ui, rect);
    let pressed = |key| area.has_focus() && ui.input(|i| i.key_pressed(key));
    if pressed(Key::Home) {
        place.wanted = Some(0);
    }
    if pressed(Key::End) {
        (place.anchor, place.wanted) = (None, None);
        if history.newer() {
            out.push(Intent::JumpToNewest(id));
        }
    }
    if let Some(m) = place.wanted.and_then(|n| history.index_of_number(n)).and_then(|i| history.messages().get(i)) {
        (place.anchor, place.wanted) = (Some((m.key, 0.0)), None);
    } else if delta != 0.0 || history.failed().is_some() {
        place.wanted = None;
    }
    let (rows, place) = lay_out(ui, scene, history, rect, place, delta);

    let clip = ui.clip_rect();
    ui.set_clip_rect(clip.intersect(rect));
    for r in &rows {
        if let Some(m) = history.messages().get(r.index) {
            let place = (pos2(rect.left(), r.top), rect.width());
            row::paint(ui, scene, history, m, &r.layout, place, out);
        }
    }
    ui.set_clip_rect(clip);

    let first = rows.first().map_or(0, |r| r.index);
    let last = rows.last().map_or(0, |r| r.index);
    let whole = fraction(&rows, rect);
    let number = place.wanted.unwrap_or(history.before().saturating_add(first as u64));
    bar.paint(ui, scene, rect, number, history.total(), whole);
    focus_ring(ui, scene.theme, &area, rect.shrink(2.0), 6.0);

    if let Some(number) = place.wanted {
        out.push(Intent::LoadNumber(id, number));
    } else if first < AHEAD && history.older() {
        out.push(Intent::LoadOlder(id));
    }
    if place.wanted.is_none() && last + AHEAD > history.messages().len() && history.newer() {
        out.push(Intent::LoadNewer(id));
    }
    if place.anchor.is_some() {
        jump(ui, scene, id, history, rect, last, out);
    } else if scene.model.focused && !history.newer() {
        read(scene, id, history, out);
    }
    ui.data_mut(|d| {
        d.insert_temp(memory, place);
        d.insert_temp(memory.with("visible"), whole);
    });
}

fn neighbours(messages: &[Message], index: usize) -> (Option<&Message>, Option<&Message>) {
    (index.checked_sub(1).and_then(|i| messages.get(i)), messages.get(index))
}

/// How many rows are on screen, as a fraction.
fn fraction(rows: &[Placed], rect: Rect) -> f32 {
    rows.iter()
        .map(|r| {
            let seen = (r.top + r.layout.height).min(rect.bottom()) - r.top.max(rect.top());
            (seen / r.layout.height.max(1.0)).clamp(0.0, 1.0)
        })
        .sum::<f32>()
        .max(1.0)
}

fn read(scene: &Scene<'_>, id: SpaceId, history: &History, out: &mut Intents) {
    let Some(last) = history.messages().last() else { return };
    let known = scene.model.conversation(&id).map_or(OrderKey::MIN, |c| c.read_to);
    if last.key > history.read_to && last.key > known {
        out.push(Intent::Read(id, last.key));
    }
}

/// How far the content moves down in this frame, in points.
fn scroll_delta(ui: &Ui, rect: Rect) -> f32 {
    let mut delta = 0.0;
    if ui.rect_contains_pointer(rect) {
        delta += ui.input(|i| i.smooth_scroll_delta().y);
        // A finger moves the content with it.
        delta += ui.input(|i| if i.any_touches() && i.pointer.primary_down() { i.pointer.delta().y } else { 0.0 });
    }
    ui.input(|i| {
        delta += if i.key_pressed(Key::PageUp) { rect.height() * 0.85 } else { 0.0 };
        delta -= if i.key_pressed(Key::PageDown) { rect.height() * 0.85 } else { 0.0 };
    });
    delta
}

/// Lays out what is on screen. The answer holds the rows from top to bottom and the place for the next frame.
fn lay_out(
    ui: &Ui,
    scene: &Scene<'_>,
    history: &History,
    rect: Rect,
    place: Place,
    delta: f32,
) -> (Vec<Placed>, Place) {
    let messages = history.messages();
    let Some(end) = messages.len().checked_sub(1) else { return (Vec::new(), Place { anchor: None, ..place }) };
    let first_new = history.first_new();
    let measure = |index: usize| {
        let (before, m) = neighbours(messages, index);
        m.map(|m| row::measure(ui, scene, first_new, before, m, rect.width()))
    };
    let bottom = rect.bottom() - FOOT;
    let at_end = |delta: f32| -> Vec<Placed> {
        let mut rows = Vec::new();
        walk_up(&mut rows, end + 1, bottom + delta, rect.top(), &measure);
        rows.reverse();
        rows
    };

    let mut rows = match place.anchor {
        None => at_end(delta.max(0.0)),
        Some((key, y)) => {
            let index = history.index_of(&key).min(end);
            let Some(layout) = measure(index) else { return (Vec::new(), Place { anchor: None, ..place }) };
            let top = rect.top() + y + delta - layout.lead;
            let mut below = Vec::new();
            let mut next = top + layout.height;
            let start = Placed { index, top, layout };
            let mut i = index + 1;
            while next < rect.bottom() {
                let Some(layout) = measure(i) else { break };
                let height = layout.height;
                below.push(Placed { index: i, top: next, layout });
                next += height;
                i += 1;
            }
            let mut rows = Vec::new();
            walk_up(&mut rows, index, top, rect.top(), &measure);
            rows.reverse();
            rows.push(start);
            rows.extend(below);
            rows
        }
    };

    // Not above the oldest.
    let gap_above = rows.first().filter(|r| r.index == 0).map(|r| r.top - rect.top() - HEAD);
    if let Some(gap) = gap_above.filter(|g| *g > 0.0) {
        rows.iter_mut().for_each(|r| r.top -= gap);
        let mut next = rows.last().map_or(bottom, |r| r.top + r.layout.height);
        let mut i = rows.last().map_or(0, |r| r.index + 1);
        while next < rect.bottom() {
            let Some(layout) = measure(i) else { break };
            let height = layout.height;
            rows.push(Placed { index: i, top: next, layout });
            next += height;
            i += 1;
        }
    }
    // Not below the newest: then it sticks there.
    let foot = rows.last().filter(|r| r.index == end).map(|r| r.top + r.layout.height);
    if foot.is_some_and(|f| f <= bottom + 0.5) {
        if !history.newer() {
            return (at_end(0.0), Place { anchor: None, ..place });
        }
        rows = at_end(0.0);
    }
    rows.retain(|r| r.top < rect.bottom() && r.top + r.layout.height > rect.top());
    let anchor = rows
        .iter()
        .find(|r| r.top + r.layout.height > rect.top() + 1.0)
        .and_then(|r| messages.get(r.index).map(|m| (m.key, r.top + r.layout.lead - rect.top())));
    (rows, Place { anchor, ..place })
}

/// Rows above `below` (whose top is at `y`), nearest first, until the top of the view.
fn walk_up(rows: &mut Vec<Placed>, below: usize, mut y: f32, top: f32, measure: &impl Fn(usize) -> Option<RowLayout>) {
    for index in (0..below).rev() {
        if y <= top {
            break;
        }
        let Some(layout) = measure(index) else { break };
        y -= layout.height;
        rows.push(Placed { index, top: y, layout });
    }
}

/// The button that leads to the newest message, with how many are below.
fn jump(ui: &Ui, scene: &Scene<'_>, id: SpaceId, history: &History, rect: Rect, last: usize, out: &mut Intents) {
    let theme = scene.theme;
    let below = history.messages().len().saturating_sub(last + 1);
    let new = scene.model.conversation(&id).map_or(0, |c| c.unread);
    let at = pos2(rect.right() - 42.0, rect.bottom() - 30.0);
    let button = Rect::from_center_size(at, vec2(38.0, 38.0));
    let response = ui.interact(button, place_id(&id).with("jump"), Sense::click());
    let label = format!("Jump to the newest, {below} below");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    let painter = ui.painter();
    let fill = if response.hovered() { theme.chip } else { theme.panel };
    painter.circle(at + vec2(0.0, 1.5), 19.0, egui::Color32::from_black_alpha(26), Stroke::NONE);
    painter.circle(at, 18.5, fill, theme.hairline());
    icons::icon(painter, Rect::from_center_size(at, vec2(19.0, 19.0)), Icon::Down, theme.text);
    if new > 0 {
        let galley = Ink::new(Size::Tiny, theme.on_accent).bold().line(ui, theme, &new.to_string(), 60.0);
        let pill = Rect::from_center_size(at - vec2(0.0, 19.0), vec2((galley.size().x + 11.0).max(18.0), 17.0));
        painter.rect_filled(pill, 8.5, theme.accent);
        text::center(painter, pill.center(), &galley);
    }
    focus_ring(ui, theme, &response, button, 19.0);
    if response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text("Jump to the newest").clicked() {
        out.push(Intent::JumpToNewest(id));
    }
}

/// The scroll bar: its thumb tells which messages are on screen, by their numbers in the whole conversation.
struct Bar {
    response: egui::Response,
}

impl Bar {
    fn interact(ui: &Ui, id: Id, rect: Rect) -> Self {
        let strip = Rect::from_min_max(pos2(rect.right() - 12.0, rect.top()), rect.max);
        Self { response: ui.interact(strip, id.with("bar"), Sense::drag() - Sense::FOCUSABLE) }
    }

    /// Which message is wanted at the top, while the bar is dragged.
    fn target(&self, rect: Rect, n: u64, visible: f32) -> Option<u64> {
        let at = self.response.interact_pointer_pos().filter(|_| self.response.dragged())?;
        let share = ((at.y - rect.top()) / rect.height()).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
        Some((share * (n as f32 - visible).max(0.0)) as u64)
    }

    fn paint(&self, ui: &Ui, scene: &Scene<'_>, rect: Rect, first: u64, n: u64, visible: f32) {
        let n = n as f32;
        if visible + 0.5 >= n {
            return;
        }
        let track = rect.height() - 8.0;
        let length = (visible / n * track).max(32.0);
        let share = (first as f32 / (n - visible).max(1.0)).clamp(0.0, 1.0);
        let top = rect.top() + 4.0 + share * (track - length);
        let active = self.response.hovered() || self.response.dragged();
        let width = if active { 8.0 } else { 5.0 };
        let thumb = Rect::from_min_size(pos2(rect.right() - width - 2.0, top), vec2(width, length));
        let over = active || ui.rect_contains_pointer(rect);
        let color = scene.theme.faint.gamma_multiply(if active {
            0.9
        } else if over {
            0.5
        } else {
            0.25
        });
        ui.painter().rect_filled(thumb, width / 2.0, color);
    }
}

#[cfg(test)]
mod tests;
