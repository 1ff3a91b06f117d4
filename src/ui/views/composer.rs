//! The composer: Enter sends, Shift+Enter breaks the line; it grows to six lines, keeps a draft for each
//! conversation, and says when a message is too long.

use cairn_actors::limits::MESSAGE_MAX;
use cairn_crdt::ids::SpaceId;
use egui::TextBuffer;
use egui::{
    Event, Frame, Id, Key, KeyboardShortcut, Margin, Modifiers, Rect, ScrollArea, Stroke, StrokeKind, TextEdit, Ui,
    UiBuilder, pos2, vec2,
};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::Focus;
use crate::ui::model::amend::Composing;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button_enabled};
use crate::ui::theme::Size;

/// Lines before the text scrolls.
const LINES: usize = 6;
/// Left of the text, right of it (the button), above and below it, inside the card.
const INSIDE: (f32, f32, f32) = (16.0, 92.0, 13.0);
/// Around the card: sides, above, below.
const AROUND: (f32, f32, f32) = (20.0, 6.0, 14.0);

fn lines(ui: &Ui, scene: &Scene<'_>, id: SpaceId, width: f32) -> usize {
    let room = width - AROUND.0 * 2.0 - INSIDE.0 - INSIDE.1;
    let draft = scene.model.draft(&id);
    if draft.is_empty() {
        return 1;
    }
    let galley = Ink::new(Size::Body, scene.theme.text).wrapped(ui, scene.theme, draft, room.max(40.0));
    galley.rows.len().clamp(1, LINES)
}

/// Height of the line that says what the composer writes, where that is no new message.
const BANNER: f32 = 28.0;

fn banner_height(scene: &Scene<'_>, id: &SpaceId) -> f32 {
    if scene.model.composing(id).is_some() { BANNER } else { 0.0 }
}

/// Says what is answered or edited, and how to stop that.
fn banner(ui: &mut Ui, scene: &Scene<'_>, id: SpaceId, rect: Rect, out: &mut Intents) {
    let theme = scene.theme;
    let words = match scene.model.composing(&id) {
        Some(Composing::Answer { author, text, .. }) => format!("Answering {author}: {text}"),
        Some(Composing::Edit { .. }) => "Editing your message. What it said before stays readable.".to_owned(),
        None => return,
    };
    let stop = Rect::from_min_max(pos2(rect.right() - 70.0, rect.top()), rect.max);
    let galley = Ink::new(Size::Small, theme.muted).line(ui, theme, &words, stop.left() - rect.left() - 8.0);
    let line = text::left(ui.painter(), rect.left_center() + vec2(4.0, 0.0), &galley);
    let label = ui.interact(line, Id::unique(("composing", id.0)), egui::Sense::hover());
    label.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &words));
    let galley = Ink::new(Size::Small, theme.accent).line(ui, theme, "Cancel", 70.0);
    let at = text::right(ui.painter(), stop.right_center() - vec2(4.0, 0.0), &galley);
    let response = ui.interact(at.expand(4.0), Id::unique(("stop composing", id.0)), egui::Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "Cancel"));
    if response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked() {
        out.push(Intent::StopComposing(id));
    }
}

fn over(draft: &str) -> usize {
    draft.trim().len().saturating_sub(MESSAGE_MAX)
}

/// Height of the composer with what surrounds it.
#[must_use]
pub fn height(ui: &Ui, scene: &Scene<'_>, id: SpaceId, width: f32) -> f32 {
    let line = scene.theme.size(Size::Body).1;
    let text = lines(ui, scene, id, width) as f32 * line;
    let warning = if over(scene.model.draft(&id)) > 0 { 20.0 } else { 0.0 };
    (text + INSIDE.2 * 2.0).max(52.0) + AROUND.1 + AROUND.2 + warning + banner_height(scene, &id)
}

/// Paints the composer.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, conversation: SpaceId, out: &mut Intents) {
    let (theme, rect, model) = (scene.theme, ui.max_rect(), scene.model);
    let draft = model.draft(&conversation);
    let too_long = over(draft);
    let warning = if too_long > 0 { 20.0 } else { 0.0 };
    let above = AROUND.1 + banner_height(scene, &conversation);
    let card = Rect::from_min_max(rect.min + vec2(AROUND.0, above), rect.max - vec2(AROUND.0, AROUND.2 + warning));
    if above > AROUND.1 {
        let line = Rect::from_min_max(pos2(card.left(), rect.top()), pos2(card.right(), card.top()));
        banner(ui, scene, conversation, line, out);
    }
    let id = Id::unique(("composer", conversation.0));
    let focused = ui.memory(|m| m.has_focus(id));
    let line = match (too_long > 0, focused) {
        (true, _) => Stroke::new(1.5, theme.alert),
        (false, true) => Stroke::new(1.5, theme.accent),
        _ => theme.hairline(),
    };
    if !theme.is_dark() {
        ui.painter().rect_filled(card.translate(vec2(0.0, 1.5)), 13.0, egui::Color32::from_black_alpha(8));
    }
    ui.painter().rect(card, 13.0, theme.panel, line, StrokeKind::Inside);

    let n = lines(ui, scene, conversation, rect.width());
    let tall = n as f32 * theme.size(Size::Body).1;
    let top = card.center().y - tall / 2.0;
    let inner = Rect::from_min_max(pos2(card.left() + INSIDE.0, top), pos2(card.right() - INSIDE.1, top + tall));
    let mut text = draft.to_owned();
    let sent = edit(ui, scene, conversation, id, inner, &mut text);
    let changed = text != draft;

    let ready = !text.trim().is_empty() && over(&text) == 0;
    let at = Rect::from_min_size(pos2(card.right() - 76.0, card.bottom() - 41.0), vec2(66.0, 30.0));
    let mut child = ui.new_child(
        UiBuilder::new().id_salt("send").max_rect(at).layout(egui::Layout::right_to_left(egui::Align::Center)),
    );
    let pressed = button_enabled(&mut child, theme, "Send", Kind::Primary, ready).clicked();
    if changed {
        out.push(Intent::EditDraft(conversation, text));
    }
    if (sent || pressed) && ready {
        out.push(Intent::Say(conversation));
        out.push(Intent::FocusComposer);
    }
    if too_long > 0 {
        let words = format!("{} bytes too long for one message. Nothing is cut: make it two.", too_long);
        let galley = Ink::new(Size::Small, theme.alert).line(ui, theme, &words, card.width());
        let r = text::put(ui.painter(), pos2(card.left() + 4.0, card.bottom() + 5.0), &galley);
        let response = ui.interact(r, id.with("long"), egui::Sense::hover());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &words));
    }
}

/// The text itself; answers whether Enter was pressed.
fn edit(ui: &mut Ui, scene: &Scene<'_>, conversation: SpaceId, id: Id, rect: Rect, text: &mut String) -> bool {
    let theme = scene.theme;
    let to = scene.model.conversation(&conversation).map(|c| c.title.clone());
    let to = to.or_else(|| scene.model.open_peer().map(|p| p.name.clone())).unwrap_or_default();
    let hint = format!("Message {to}");
    let ink = Ink::new(Size::Body, theme.text);
    let mut layouter = |ui: &Ui, buffer: &dyn TextBuffer, width: f32| {
        let mut job = ink.job(theme, buffer.as_str(), width);
        job.keep_trailing_whitespace = true;
        ui.fonts_mut(|f| f.layout_job(job))
    };
    if text.is_empty() {
        let galley = Ink::new(Size::Body, theme.faint).line(ui, theme, &hint, rect.width());
        text::put(ui.painter(), rect.min + vec2(1.5, 0.0), &galley);
    }
    let mut child = ui.new_child(UiBuilder::new().id_salt("text").max_rect(rect));
    child.shrink_clip_rect(rect.expand2(vec2(2.0, 3.0)));
    let response = ScrollArea::vertical()
        .id_salt(("composer scroll", conversation.0))
        .auto_shrink([false, false])
        .max_height(rect.height())
        .show(&mut child, |ui| {
            TextEdit::multiline(text)
                .id(id)
                .layouter(&mut layouter)
                .text_color(theme.text)
                .frame(Frame::NONE)
                .margin(Margin::ZERO)
                .desired_width(rect.width())
                .desired_rows(1)
                .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter))
                .show(ui)
                .response
        })
        .inner;
    ui.ctx().accesskit_node_builder(id, |node| node.set_label(hint.clone()));
    if scene.model.wants_focus == Some(Focus::Composer) {
        response.request_focus();
    }
    // The modifiers of the key itself: those of the frame may already be others.
    let sends =
        |e: &Event| matches!(e, Event::Key { key: Key::Enter, pressed: true, modifiers, .. } if !modifiers.shift);
    response.has_focus() && ui.input(|i| i.events.iter().any(sends))
}
