//! The card that says what happened while sides were apart: who is back, what they wrote, what is lacking, and the way
//! to the first new message.

use cairn_actors::api::{Briefing, Line, Wrote};
use egui::{CursorIcon, Frame, Margin, Rect, Sense, Shadow, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use egui::{Role, accesskit};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::briefing as words;
use crate::ui::model::format;
use crate::ui::paint::avatar;
use crate::ui::paint::icons::Icon;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button, focus_ring, icon_button, pair, paragraph};
use crate::ui::theme::Size;

/// Conversations on the card.
const CONVERSATIONS: usize = 3;
/// First lines of each.
const LINES: usize = 2;

/// Paints it among the cards of the details, if there is one to show.
pub fn in_details(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    if let Some(b) = scene.model.briefing() {
        card(ui, scene, b, Margin::symmetric(14, 12), Shadow::NONE, out);
        ui.add_space(8.0);
    }
}

/// Paints it over a conversation whose details are folded away.
pub fn floating(ui: &mut Ui, scene: &Scene<'_>, b: &Briefing, out: &mut Intents) {
    let shadow = Shadow { offset: [0, 4], blur: 14, spread: 0, color: egui::Color32::from_black_alpha(28) };
    card(ui, scene, b, Margin::symmetric(16, 14), shadow, out);
}

fn card(ui: &mut Ui, scene: &Scene<'_>, b: &Briefing, margin: Margin, shadow: Shadow, out: &mut Intents) {
    let theme = scene.theme;
    Frame::new().fill(theme.panel).stroke(theme.hairline()).corner_radius(12).shadow(shadow).inner_margin(margin).show(
        ui,
        |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 4.0;
            head(ui, scene, b, out);
            paragraph(ui, theme, &words::apart(b, scene.clock), Ink::new(Size::Small, theme.muted));
            let news: Vec<&Wrote> = b.news().collect();
            for w in news.iter().take(CONVERSATIONS) {
                ui.add_space(6.0);
                conversation(ui, scene, w, out);
            }
            let rest = news.len().saturating_sub(CONVERSATIONS) as u64;
            if rest > 0 {
                let more = format!("and in {}", format::count(rest, "other conversation", "other conversations"));
                paragraph(ui, theme, &more, Ink::new(Size::Small, theme.muted));
            }
            ui.add_space(6.0);
            if let Some(line) = words::here(b) {
                paragraph(ui, theme, &line, Ink::new(Size::Small, theme.muted));
            }
            if let Some(line) = words::missing(b) {
                paragraph(ui, theme, &line, Ink::new(Size::Small, theme.warning).medium());
            }
            if let Some(line) = words::owed(b) {
                paragraph(ui, theme, &line, Ink::new(Size::Small, theme.muted));
            }
            for line in words::not_back(b, scene.clock) {
                paragraph(ui, theme, &line, Ink::new(Size::Small, theme.muted));
            }
            if let Some((conversation, line)) = b.first_new() {
                ui.add_space(6.0);
                if button(ui, theme, "Go to the first new message", Kind::Primary).clicked() {
                    out.push(Intent::GoTo(conversation, line.key));
                    out.push(Intent::DismissBriefing(b.id));
                }
            }
        },
    );
}

fn head(ui: &mut Ui, scene: &Scene<'_>, b: &Briefing, out: &mut Intents) {
    let theme = scene.theme;
    let title = words::title(b);
    let galley = Ink::new(Size::Body, theme.text).bold().wrapped(ui, theme, &title, ui.available_width() - 30.0);
    let size = vec2(ui.available_width(), galley.size().y.max(24.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &title));
    text::put(ui.painter(), rect.min, &galley);
    let at = Rect::from_min_size(pos2(rect.right() - 24.0, rect.top() - 3.0), vec2(24.0, 24.0));
    let child = ui.new_child(UiBuilder::new().id_salt(("briefing", b.id)).max_rect(at));
    if icon_button(&child, theme, at, Icon::Close, "Close the briefing", theme.muted).clicked() {
        out.push(Intent::DismissBriefing(b.id));
    }
}

fn conversation(ui: &mut Ui, scene: &Scene<'_>, w: &Wrote, out: &mut Intents) {
    let theme = scene.theme;
    let messages = if w.messages > 0 {
        format::count(w.messages, "message", "messages")
    } else {
        format::count(w.changes, "change", "changes")
    };
    pair(ui, theme, &w.title, &messages, theme.accent);
    let authors = words::authors(w);
    paragraph(ui, theme, &authors, Ink::new(Size::Tiny, theme.muted));
    for l in w.lines.iter().take(LINES) {
        if line(ui, scene, l) {
            out.push(Intent::GoTo(w.conversation, l.key));
        }
    }
}

fn line(ui: &mut Ui, scene: &Scene<'_>, l: &Line) -> bool {
    let theme = scene.theme;
    let height = theme.size(Size::Small).1 + 6.0;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let time = scene.clock.full(l.sent);
    let name = format!("Go to: {}, {time}, {}", l.author_name, l.text);
    response.widget_info(|| WidgetInfo::labeled(accesskit::Role::Button, true, &name));
    if response.hovered() {
        ui.painter().rect_filled(rect.expand2(vec2(6.0, 0.0)), 6.0, theme.chip);
    }
    let galley = Ink::new(Size::Tiny, theme.faint).line(ui, theme, &time, 90.0);
    let at = text::left(ui.painter(), rect.left_center(), &galley);
    let said = format!("{}: {}", l.author_name, l.text);
    let left = pos2(at.right() + 8.0, rect.center().y);
    let x = left.x + avatar::badge(ui.painter(), theme, left, scene.model.badge(&l.author)) + 5.0;
    let galley = Ink::new(Size::Small, theme.text).line(ui, theme, &said, rect.right() - x);
    text::left(ui.painter(), pos2(x, rect.center().y), &galley);
    focus_ring(ui, theme, &response, rect.expand2(vec2(6.0, 0.0)), 6.0);
    response.on_hover_cursor(CursorIcon::PointingHand).clicked()
}
