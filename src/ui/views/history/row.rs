//! One message: day line, line above new messages, picture, name and time when somebody else begins to speak, text,
//! and at the right edge what became of it.

use std::sync::Arc;

use cairn_actors::api::{DeliveryState, Message, OrderKey};
use egui::{Galley, Label, Pos2, Rect, Role, Sense, Stroke, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use crate::ui::model::{History, format};
use crate::ui::paint::avatar;
use crate::ui::paint::text::{self, Ink};
use crate::ui::theme::{Scheme, Size};
use crate::ui::views::{Intents, Scene};

use super::beside::{self, Beside};

/// From the edge of the view to the pictures, and to the right edge of what became of messages.
const SIDE: f32 = 20.0;
/// Side of a picture.
const PICTURE: f32 = 38.0;
/// From the edge of the view to the text.
const TEXT: f32 = SIDE + PICTURE + 12.0;
/// Kept free right of our messages for what became of them, so that text never flows anew when that changes.
const META: f32 = 84.0;
/// Height of a day line.
const DAY: f32 = 38.0;
/// A person who goes on within this time gets no second heading, in milliseconds.
const GROUP: u64 = 5 * 60_000;
/// A message of ours that nobody has after this time is marked, in milliseconds.
const LATE: u64 = 15_000;

/// A message laid out for a width.
pub struct RowLayout {
    day: bool,
    new: bool,
    heading: bool,
    body: Arc<Galley>,
    beside: Beside,
    /// From the top of the row to the top of the text.
    pub lead: f32,
    /// Height of the row.
    pub height: f32,
}

/// Lays out a message. `before` is the message above it; the line above new messages stands above `first_new`.
pub fn measure(
    ui: &Ui,
    scene: &Scene<'_>,
    first_new: Option<OrderKey>,
    before: Option<&Message>,
    m: &Message,
    width: f32,
) -> RowLayout {
    let day = before.is_none_or(|b| scene.clock.other_day(b.sent, m.sent));
    let new = first_new == Some(m.key);
    let goes_on = |b: &Message| {
        b.author == m.author && m.sent.saturating_sub(b.sent) <= GROUP && !b.is_placeholder() && !m.is_placeholder()
    };
    let heading = !m.is_placeholder() && (day || new || m.late || !before.is_some_and(goes_on));
    let room = (width - TEXT - SIDE - if m.mine { META } else { 8.0 }).max(80.0);
    let body = match m.needs_newer.max(m.needs_key) {
        0 => ui.fonts_mut(|f| f.layout_job(beside::body_job(scene.theme, m, room))),
        _ => Ink::new(Size::Small, scene.theme.muted).wrapped(ui, scene.theme, &format::unreadable(m), room),
    };
    let beside = beside::measure(ui, scene, m, room);
    let mut lead = 0.0;
    lead += if day { DAY } else { 0.0 };
    lead += if new { DAY } else { 0.0 };
    lead += if heading { 9.0 + scene.theme.size(Size::Body).1 } else { 2.0 };
    lead += beside.above;
    let least = if heading { PICTURE - scene.theme.size(Size::Body).1 } else { 0.0 };
    let height = lead + body.size().y.max(least) + beside.below + 2.0;
    RowLayout { day, new, heading, body, beside, lead, height }
}

/// Paints a message with its top at a point.
pub fn paint(
    ui: &mut Ui,
    scene: &Scene<'_>,
    history: &History,
    m: &Message,
    layout: &RowLayout,
    (at, width): (Pos2, f32),
    out: &mut Intents,
) {
    let theme = scene.theme;
    let mut y = at.y;
    let line = |y: f32| Rect::from_min_size(pos2(at.x + SIDE, y), vec2(width - SIDE * 2.0, DAY));
    if layout.day {
        let words = scene.clock.day(m.sent);
        separator(ui, scene, line(y), &words, theme.muted, theme.line, (m, "day"));
        y += DAY;
    }
    if layout.new {
        let from = history.index_of(&m.key);
        let count = history.messages().get(from..).unwrap_or_default().iter().filter(|m| !m.mine).count();
        let words = format!("New · {}", format::count(count as u64, "message", "messages"));
        separator(ui, scene, line(y), &words, theme.alert, theme.alert.gamma_multiply(0.45), (m, "new"));
        y += DAY;
    }
    let text_at = pos2(at.x + TEXT, at.y + layout.lead);
    if layout.heading {
        heading(ui, scene, m, pos2(at.x + SIDE, y + 7.0), at.x + width - SIDE);
    }
    beside::quote(ui, scene, m, &layout.beside, text_at, out);
    let rect = Rect::from_min_size(text_at, layout.body.size());
    let mut child = ui.new_child(UiBuilder::new().id_salt(("message", m.id.0)).max_rect(rect));
    child.add(Label::new(layout.body.clone()).selectable(true));
    let row = Rect::from_min_max(pos2(at.x, y), pos2(at.x + width, at.y + layout.height));
    if !layout.heading && ui.rect_contains_pointer(row) {
        let time = Ink::new(Size::Tiny, theme.faint).line(ui, theme, &scene.clock.time(m.sent), 60.0);
        let x = text_at.x - 14.0;
        text::right(ui.painter(), pos2(x, text_at.y + theme.size(Size::Body).1 / 2.0), &time);
    }
    if m.mine {
        let bottom = text_at.y + layout.body.size().y - theme.size(Size::Body).1 / 2.0;
        delivery(ui, scene, m, pos2(at.x + width - SIDE, bottom));
    }
    let right = at.x + width - SIDE;
    let foot = pos2(text_at.x, at.y + layout.height - layout.beside.below - 2.0);
    beside::below(ui, scene, m, &layout.beside, foot, right, out);
    beside::tools(ui, scene, m, row, pos2(right, row.top()), out);
}

fn heading(ui: &Ui, scene: &Scene<'_>, m: &Message, at: Pos2, right: f32) {
    let theme = scene.theme;
    let picture = Rect::from_min_size(at + vec2(0.0, 1.0), vec2(PICTURE, PICTURE));
    avatar::picture(ui, theme, picture, &m.author.0, Some(&m.author_name));
    let middle = at.y + 2.0 + theme.size(Size::Body).1 / 2.0;
    let left = at.x + PICTURE + 12.0;
    let time = Ink::new(Size::Tiny, theme.faint).line(ui, theme, &scene.clock.time(m.sent), 80.0);
    let room = right - left - time.size().x - 34.0;
    let name = Ink::new(Size::Body, theme.text).bold().line(ui, theme, &m.author_name, room);
    let name = text::left(ui.painter(), pos2(left, middle), &name);
    let mut x = name.right() + 6.0;
    if !m.mine {
        x += avatar::badge(ui.painter(), theme, pos2(x, middle), m.badge) + 6.0;
    }
    let time = text::left(ui.painter(), pos2(x, middle + 0.5), &time);
    if m.late {
        late(ui, scene, m, pos2(time.right() + 8.0, middle + 0.5));
    }
    let spoken = if m.mine {
        format!("You, {}", scene.clock.time(m.sent))
    } else {
        format!("{}, {}, {}", m.author_name, format::badge(m.badge), scene.clock.time(m.sent))
    };
    let response = ui.interact(name, ui.scope_id().with(("heading", m.id.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    if !m.mine {
        response.on_hover_text(format!("{} · {}", m.author.code(), format::badge_sentence(m.badge)));
    }
}

/// The mark of a message whose device had said that it writes nothing so early any more.
fn late(ui: &Ui, scene: &Scene<'_>, m: &Message, at: Pos2) {
    let galley = Ink::new(Size::Tiny, scene.theme.warning).medium().line(ui, scene.theme, "late", 60.0);
    let rect = text::left(ui.painter(), at, &galley);
    let response = ui.interact(rect, ui.scope_id().with(("late", m.id.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, "late"));
    response.on_hover_text(
        "It came after its device had said that it would write nothing so early any more; a restored backup, most \
         likely. It stands where its time puts it.",
    );
}

fn delivery(ui: &Ui, scene: &Scene<'_>, m: &Message, right: Pos2) {
    let theme = scene.theme;
    let words = format::delivery(m);
    let waits = matches!(m.state, DeliveryState::Queued | DeliveryState::Carried);
    let late = waits && scene.clock.now.saturating_sub(m.sent) > LATE;
    let color = if theme.scheme == Scheme::Sunlight { theme.muted } else { theme.faint };
    let galley = Ink::new(Size::Tiny, color).line(ui, theme, &words, META);
    let rect = text::right(ui.painter(), right + vec2(0.0, 1.0), &galley);
    if late {
        ui.painter().circle_filled(pos2(rect.left() - 9.0, rect.center().y), 3.8, theme.warning);
    }
    let response = ui.interact(rect, ui.scope_id().with(("delivery", m.id.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
    response.on_hover_text(format::delivery_sentence(m));
}

fn separator(
    ui: &Ui,
    scene: &Scene<'_>,
    rect: Rect,
    words: &str,
    ink: egui::Color32,
    line: egui::Color32,
    id: (&Message, &str),
) {
    let galley = Ink::new(Size::Tiny, ink).medium().line(ui, scene.theme, words, rect.width() - 60.0);
    let y = rect.center().y + 1.0;
    let middle = text::center(ui.painter(), pos2(rect.center().x, y), &galley);
    let stroke = Stroke::new(1.0, line);
    ui.painter().hline(rect.left()..=middle.left() - 12.0, y.round() + 0.5, stroke);
    ui.painter().hline(middle.right() + 12.0..=rect.right(), y.round() + 0.5, stroke);
    let response = ui.interact(middle, ui.scope_id().with((id.1, id.0.id.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
}
