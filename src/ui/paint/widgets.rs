//! The few widgets that views are made of. Each is reachable with the keyboard, shows when it has the focus, and has
//! a name for screen readers.

use cairn_actors::api::Badge;
use egui::{
    Align, Color32, CursorIcon, Frame, Id, Layout, Margin, Rect, Response, Role, Sense, Stroke, StrokeKind, TextEdit,
    Ui, UiBuilder, WidgetInfo, pos2, vec2,
};

use super::avatar;
use super::icons::{self, Icon};
use super::text::{self, Ink};
use crate::ui::model::format;
use crate::ui::theme::{Size, Theme};

/// How loud a button is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What one most likely wants: filled with the accent.
    Primary,
    /// A frame of one pixel.
    Plain,
}

/// A child Ui that fills exactly a rectangle and clips to it.
pub fn within<R>(ui: &mut Ui, name: &str, rect: Rect, add: impl FnOnce(&mut Ui) -> R) -> R {
    let mut child = ui.new_child(UiBuilder::new().id_salt(name).max_rect(rect).layout(Layout::top_down(Align::Min)));
    child.shrink_clip_rect(rect);
    add(&mut child)
}

/// The ring around what has the keyboard.
pub fn focus_ring(ui: &Ui, theme: &Theme, response: &Response, rect: Rect, radius: f32) {
    if response.has_focus() {
        ui.painter().rect_stroke(rect, radius, Stroke::new(2.0, theme.accent), StrokeKind::Inside);
    }
}

/// A button with a word on it.
pub fn button(ui: &mut Ui, theme: &Theme, label: &str, kind: Kind) -> Response {
    button_enabled(ui, theme, label, kind, true)
}

/// A button that may be out of use.
pub fn button_enabled(ui: &mut Ui, theme: &Theme, label: &str, kind: Kind, enabled: bool) -> Response {
    let color = match kind {
        Kind::Primary if enabled => theme.on_accent,
        _ if enabled => theme.text,
        _ => theme.faint,
    };
    let ink = Ink::new(Size::Small, color);
    let ink = if kind == Kind::Primary { ink.bold() } else { ink };
    let galley = ink.line(ui, theme, label, f32::INFINITY);
    let pad = if kind == Kind::Primary { 14.0 } else { 11.0 };
    let size = vec2(galley.size().x + pad * 2.0, (theme.size(Size::Small).1 + 13.0).max(30.0));
    let (rect, response) = ui.allocate_exact_size(size, if enabled { Sense::click() } else { Sense::hover() });
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, label));
    let over = response.hovered() && enabled;
    let (fill, line) = match kind {
        Kind::Primary if !enabled => (theme.chip, theme.line),
        Kind::Primary if over => (theme.accent.lerp_to_gamma(theme.text, 0.12), Color32::TRANSPARENT),
        Kind::Primary => (theme.accent, Color32::TRANSPARENT),
        Kind::Plain if over => (theme.chip, theme.line),
        Kind::Plain => (theme.panel, theme.line),
    };
    ui.painter().rect(rect, 8.0, fill, Stroke::new(1.0, line), StrokeKind::Inside);
    text::center(ui.painter(), rect.center(), &galley);
    let ring = if kind == Kind::Primary { rect.expand(2.0) } else { rect };
    focus_ring(ui, theme, &response, ring, 9.0);
    if enabled { response.on_hover_cursor(CursorIcon::PointingHand) } else { response }
}

/// A square button with an icon, placed at a rectangle.
pub fn icon_button(ui: &Ui, theme: &Theme, rect: Rect, which: Icon, label: &str, color: Color32) -> Response {
    let response = ui.interact(rect, ui.scope_id().with(label), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, label));
    if response.hovered() {
        ui.painter().rect_filled(rect, 8.0, theme.chip);
    }
    icons::icon(ui.painter(), Rect::from_center_size(rect.center(), vec2(18.0, 18.0)), which, color);
    focus_ring(ui, theme, &response, rect, 8.0);
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(label)
}

/// A card: panel, line, rounded, with a title.
pub fn card<R>(ui: &mut Ui, theme: &Theme, title: &str, add: impl FnOnce(&mut Ui) -> R) -> R {
    let r = Frame::new()
        .fill(theme.panel)
        .stroke(theme.hairline())
        .corner_radius(12)
        .inner_margin(Margin::symmetric(14, 12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 4.0;
            if !title.is_empty() {
                paragraph(ui, theme, title, Ink::new(Size::Small, theme.text).bold());
                ui.add_space(2.0);
            }
            add(ui)
        });
    ui.add_space(8.0);
    r.inner
}

/// Text that wraps at the width there is.
pub fn paragraph(ui: &mut Ui, theme: &Theme, words: &str, ink: Ink) -> Response {
    let galley = ink.wrapped(ui, theme, words, ui.available_width());
    let (rect, response) = ui.allocate_exact_size(galley.size(), Sense::hover());
    text::put(ui.painter(), rect.min, &galley);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
    response
}

/// A line with a name at the left and a value at the right.
pub fn pair(ui: &mut Ui, theme: &Theme, name: &str, value: &str, color: Color32) -> Response {
    pair_of(ui, theme, name, None, value, color)
}

/// The same of a person, with the badge beside the name.
pub fn pair_of(ui: &mut Ui, theme: &Theme, name: &str, badge: Option<Badge>, value: &str, color: Color32) -> Response {
    let height = theme.size(Size::Small).1 + 5.0;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let name_galley = Ink::new(Size::Small, theme.muted).line(ui, theme, name, rect.width() * 0.62);
    let mut left = text::left(ui.painter(), rect.left_center(), &name_galley);
    if let Some(badge) = badge {
        let at = pos2(left.right() + 5.0, rect.center().y);
        left.max.x = at.x + avatar::badge(ui.painter(), theme, at, badge);
    }
    let room = rect.right() - left.right() - 8.0;
    let galley = Ink::new(Size::Small, color).medium().line(ui, theme, value, room);
    text::right(ui.painter(), rect.right_center(), &galley);
    let spoken = badge.map(|b| format!(", {}", format::badge(b))).unwrap_or_default();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}{spoken}: {value}")));
    if galley.elided { response.on_hover_text(value) } else { response }
}

/// A field of one line with a frame; answers whether it changed and whether Enter was pressed in it.
pub fn field(ui: &mut Ui, theme: &Theme, id: Id, label: &str, hint: &str, value: &mut String) -> (Response, bool) {
    framed(ui, theme, id, |ui, rect| bare_field(ui, theme, rect, id, label, hint, value, Size::Body))
}

/// The inside of a field: the text alone, vertically in the middle of a rectangle.
#[expect(clippy::too_many_arguments, reason = "a field has this many sides; a struct would only rename them")]
pub fn bare_field(
    ui: &mut Ui,
    theme: &Theme,
    rect: Rect,
    id: Id,
    label: &str,
    hint: &str,
    value: &mut String,
    size: Size,
) -> Response {
    line_field(ui, theme, rect, id, (label, hint), value, size, false)
}

/// A field for a secret; what is typed is read only where it is `legible`. Answers as [`field`] does.
pub fn secret_field(
    ui: &mut Ui,
    theme: &Theme,
    id: Id,
    label: &str,
    hint: &str,
    value: &mut String,
    legible: bool,
) -> (Response, bool) {
    framed(ui, theme, id, |ui, rect| line_field(ui, theme, rect, id, (label, hint), value, Size::Body, !legible))
}

fn framed(ui: &mut Ui, theme: &Theme, id: Id, edit: impl FnOnce(&mut Ui, Rect) -> Response) -> (Response, bool) {
    let height = (theme.size(Size::Body).1 + 14.0).max(34.0);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let focused = ui.memory(|m| m.has_focus(id));
    let line = if focused { Stroke::new(1.5, theme.accent) } else { theme.hairline() };
    ui.painter().rect(rect, 9.0, theme.panel, line, StrokeKind::Inside);
    let response = edit(ui, rect.shrink2(vec2(11.0, 0.0)));
    let entered = response.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    (response, entered)
}

#[expect(clippy::too_many_arguments, reason = "as above")]
fn line_field(
    ui: &mut Ui,
    theme: &Theme,
    rect: Rect,
    id: Id,
    (label, hint): (&str, &str),
    value: &mut String,
    size: Size,
    hidden: bool,
) -> Response {
    let height = theme.size(size).1;
    let top = (rect.center().y - height / 2.0).round();
    let line = Rect::from_min_size(pos2(rect.left(), top), vec2(rect.width(), height));
    let mut child = ui.new_child(UiBuilder::new().id_salt(id).max_rect(line));
    let ink = Ink::new(size, theme.text);
    let mut layouter = |ui: &Ui, buffer: &dyn egui::TextBuffer, _width: f32| {
        let mut job = if hidden {
            ink.job(theme, &"•".repeat(buffer.as_str().chars().count()), f32::INFINITY)
        } else {
            ink.job(theme, buffer.as_str(), f32::INFINITY)
        };
        job.keep_trailing_whitespace = true;
        job.break_on_newline = false;
        ui.fonts_mut(|f| f.layout_job(job))
    };
    if value.is_empty() {
        let galley = Ink::new(size, theme.faint).line(ui, theme, hint, line.width());
        text::put(ui.painter(), line.min + vec2(1.5, 0.0), &galley);
    }
    let edit = TextEdit::singleline(value)
        .id(id)
        .password(hidden)
        .layouter(&mut layouter)
        .text_color(theme.text)
        .frame(Frame::NONE)
        .margin(Margin::ZERO)
        .desired_width(rect.width());
    let response = child.add_sized(line.size(), edit);
    let name = label.to_owned();
    ui.ctx().accesskit_node_builder(id, |node| node.set_label(name));
    response
}

/// A row of choices of which one is chosen.
pub fn choice(ui: &mut Ui, theme: &Theme, label: &str, detail: &str, chosen: bool) -> Response {
    let height = if detail.is_empty() { 36.0 } else { 52.0 };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, label));
    if chosen || response.hovered() {
        ui.painter().rect_filled(rect, 9.0, if chosen { theme.selection } else { theme.chip });
    }
    let dot = pos2(rect.left() + 20.0, rect.center().y);
    let color = if chosen { theme.accent } else { theme.faint };
    ui.painter().circle_stroke(dot, 7.0, Stroke::new(1.6, color));
    if chosen {
        ui.painter().circle_filled(dot, 3.6, theme.accent);
    }
    let room = rect.width() - 52.0;
    let title = Ink::new(Size::Body, theme.text).medium().line(ui, theme, label, room);
    let x = rect.left() + 40.0;
    if detail.is_empty() {
        text::left(ui.painter(), pos2(x, rect.center().y), &title);
    } else {
        text::left(ui.painter(), pos2(x, rect.center().y - 9.0), &title);
        let second = Ink::new(Size::Small, theme.muted).line(ui, theme, detail, room);
        text::left(ui.painter(), pos2(x, rect.center().y + 10.0), &second);
    }
    focus_ring(ui, theme, &response, rect, 9.0);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A quiet picture-less page: a title and a sentence in the middle of a rectangle.
pub fn empty(ui: &mut Ui, theme: &Theme, rect: Rect, title: &str, sentence: &str) {
    let width = (rect.width() - 48.0).clamp(80.0, 380.0);
    let center = |job: egui::text::LayoutJob| egui::text::LayoutJob { halign: Align::Center, ..job };
    let head = center(Ink::new(Size::Title, theme.text).bold().job(theme, title, width));
    let body = center(Ink::new(Size::Body, theme.muted).job(theme, sentence, width));
    let (head, body) = ui.fonts_mut(|f| (f.layout_job(head), f.layout_job(body)));
    let height = head.size().y + 6.0 + body.size().y;
    let top = pos2(rect.center().x, rect.center().y - height / 2.0);
    ui.painter().galley(top, head.clone(), theme.text);
    ui.painter().galley(top + vec2(0.0, head.size().y + 6.0), body, theme.muted);
    let area = Rect::from_center_size(rect.center(), vec2(width, height));
    let response = ui.interact(area, ui.scope_id().with(title), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{title}. {sentence}")));
}
