//! What stands beside the text of a message: what it answers, whom it mentions, reactions, what it said before, and what
//! one can do with it.

use std::sync::Arc;

use cairn_actors::api::Message;
use cairn_crdt::kinds::chat::mention::{Mention, places};
use egui::text::LayoutJob;
use egui::{CursorIcon, Galley, Pos2, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::ui::intent::Intent;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::focus_ring;
use crate::ui::theme::{Size, Theme};
use crate::ui::views::{Intents, Scene};

/// Height of the line with what is answered.
const QUOTE: f32 = 20.0;
/// Height of the line of reactions.
const CHIPS: f32 = 28.0;
/// Reactions that are one click away.
const QUICK: [&str; 3] = ["👍", "✅", "👀"];

/// What stands above and below the text, laid out.
pub struct Beside {
    quote: Option<Arc<Galley>>,
    past: Vec<Arc<Galley>>,
    chips: bool,
    /// Height above the text.
    pub above: f32,
    /// Height below it.
    pub below: f32,
}

/// The text of a message with those it mentions marked.
pub fn body_job(theme: &Theme, m: &Message, width: f32) -> LayoutJob {
    let ink = Ink::new(Size::Body, theme.text);
    if m.about.deleted {
        return Ink::new(Size::Small, theme.muted).job(theme, "deleted", width);
    }
    let mentions: Vec<Mention> =
        m.about.mentions.iter().map(|m| Mention { who: m.id.principal(), name: m.said.as_str().into() }).collect();
    let mut job = ink.job(theme, "", width);
    job.sections.clear();
    let mut from = 0;
    for (range, who) in places(&m.body, &mentions) {
        let me = m.about.mentions.get(who).is_some_and(|m| m.me);
        let Some((before, name)) = m.body.get(from..range.start).zip(m.body.get(range.clone())) else { continue };
        job.append(before, 0.0, ink.format(theme));
        let mut format = Ink::new(Size::Body, theme.accent).medium().format(theme);
        if me {
            format.background = theme.accent_weak;
        }
        job.append(name, 0.0, format);
        from = range.end;
    }
    job.append(m.body.get(from..).unwrap_or_default(), 0.0, ink.format(theme));
    if m.about.edited.is_some() {
        job.append("  edited", 0.0, Ink::new(Size::Tiny, theme.muted).format(theme));
    }
    job
}

/// Lays out what stands around the text.
pub fn measure(ui: &Ui, scene: &Scene<'_>, m: &Message, width: f32) -> Beside {
    let theme = scene.theme;
    let quote = m.about.reply_to.as_ref().map(|q| {
        let words = match (q.key, q.deleted) {
            (None, _) => "↳ an earlier message".to_owned(),
            (Some(_), true) => format!("↳ {}: deleted", q.author_name),
            (Some(_), false) => format!("↳ {}: {}", q.author_name, q.text),
        };
        Ink::new(Size::Small, theme.muted).line(ui, theme, &words, width)
    });
    let versions = scene.model.past(m).and_then(|p| p.versions.as_deref()).unwrap_or_default();
    let past = versions.iter().take(versions.len().saturating_sub(1)).map(|v| {
        let said = v.body.as_deref().unwrap_or("deleted");
        let words = format!("{} {}: {said}", scene.clock.short(v.at), "it said");
        Ink::new(Size::Small, theme.muted).wrapped(ui, theme, &words, width)
    });
    let past: Vec<_> = past.collect();
    let chips = !m.about.reactions.is_empty();
    let above = if quote.is_some() { QUOTE } else { 0.0 };
    let below = past.iter().map(|g| g.size().y + 2.0).sum::<f32>() + if chips { CHIPS } else { 0.0 };
    Beside { quote, past, chips, above, below }
}

/// Paints what is answered, its left bottom at a point.
pub fn quote(ui: &Ui, scene: &Scene<'_>, m: &Message, beside: &Beside, at: Pos2, out: &mut Intents) {
    let (Some(galley), Some(q)) = (&beside.quote, &m.about.reply_to) else { return };
    let rect = text::left(ui.painter(), pos2(at.x, at.y - QUOTE / 2.0), galley);
    let response = ui.interact(rect, ui.scope_id().with(("quote", m.id.0)), Sense::click());
    let spoken = format!("Answers {}", galley.text().trim_start_matches("↳ "));
    response.widget_info(|| WidgetInfo::labeled(Role::Link, true, &spoken));
    focus_ring(ui, scene.theme, &response, rect.expand(2.0), 4.0);
    if response.on_hover_cursor(CursorIcon::PointingHand).clicked() {
        out.push(match q.key {
            Some(key) => Intent::GoTo(m.conversation, key),
            None => Intent::Find(m.conversation, q.id),
        });
    }
}

/// Paints what stands below the text, its left top at a point.
pub fn below(ui: &Ui, scene: &Scene<'_>, m: &Message, beside: &Beside, at: Pos2, right: f32, out: &mut Intents) {
    let mut y = at.y;
    for (n, galley) in beside.past.iter().enumerate() {
        let rect = text::put(ui.painter(), pos2(at.x, y), galley);
        let response = ui.interact(rect, ui.scope_id().with(("past", m.id.0, n)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, galley.text()));
        y += galley.size().y + 2.0;
    }
    if !beside.chips {
        return;
    }
    let (theme, mut x) = (scene.theme, at.x);
    for r in &m.about.reactions {
        let ink = if r.mine { theme.accent } else { theme.text };
        let galley = Ink::new(Size::Small, ink).line(ui, theme, &format!("{} {}", r.emoji, r.count), 120.0);
        let chip = Rect::from_min_size(pos2(x, y + 3.0), vec2(galley.size().x + 16.0, 22.0));
        if chip.right() > right {
            break;
        }
        let id = ui.scope_id().with(("reaction", m.id.0, &r.emoji));
        let response = ui.interact(chip, id, Sense::click());
        let spoken = format!("{} {}, {}", r.emoji, r.count, r.by.join(", "));
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, r.mine, &spoken));
        let fill = if r.mine { theme.accent_weak } else { theme.chip };
        ui.painter().rect(chip, 11.0, fill, theme.hairline(), egui::StrokeKind::Inside);
        text::center(ui.painter(), chip.center(), &galley);
        focus_ring(ui, theme, &response, chip, 11.0);
        let response = response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(r.by.join(", "));
        if response.clicked() {
            out.push(react(m, &r.emoji, !r.mine));
        }
        x = chip.right() + 6.0;
    }
}

fn react(m: &Message, emoji: &str, on: bool) -> Intent {
    Intent::React { conversation: m.conversation, id: m.id, emoji: emoji.to_owned(), on }
}

/// Paints what one can do with a message, its right top at a point, while the pointer is over it.
pub fn tools(ui: &Ui, scene: &Scene<'_>, m: &Message, row: Rect, right: Pos2, out: &mut Intents) {
    let strip = Rect::from_min_max(pos2(right.x - 330.0, row.top() - 8.0), pos2(right.x, row.bottom()));
    if m.is_placeholder() || m.needs_newer > 0 || !(ui.rect_contains_pointer(row) || ui.rect_contains_pointer(strip)) {
        return;
    }
    let theme = scene.theme;
    let mut all: Vec<(String, String, Intent)> = Vec::new();
    if !m.about.deleted {
        all.push(("Answer".into(), "Answer this message".into(), Intent::Answer(m.conversation, m.key)));
        for emoji in QUICK {
            let mine = m.about.reactions.iter().any(|r| r.emoji == emoji && r.mine);
            let spoken = if mine { format!("Take back {emoji}") } else { format!("React with {emoji}") };
            all.push((emoji.to_owned(), spoken, react(m, emoji, !mine)));
        }
    }
    if m.mine && !m.about.deleted {
        all.push(("Edit".into(), "Edit this message".into(), Intent::EditMessage(m.conversation, m.key)));
        all.push(("Delete".into(), "Delete this message".into(), Intent::DeleteMessage(m.conversation, m.id)));
    }
    if m.about.edited.is_some() || m.about.deleted {
        let words = if scene.model.past(m).is_some() { "Hide history" } else { "History" };
        all.push((words.into(), "What it said before".into(), Intent::ShowPast(m.conversation, m.id)));
    }
    let galleys: Vec<_> =
        all.iter().map(|(label, ..)| Ink::new(Size::Small, theme.text).line(ui, theme, label, 120.0)).collect();
    let width: f32 = galleys.iter().map(|g| g.size().x + 14.0).sum();
    let card = Rect::from_min_size(pos2(right.x - width - 8.0, right.y - 14.0), vec2(width + 8.0, 26.0));
    ui.painter().rect(card, 8.0, theme.panel, theme.hairline(), egui::StrokeKind::Inside);
    let mut x = card.left() + 4.0;
    for ((_, spoken, intent), galley) in all.into_iter().zip(galleys) {
        let at = Rect::from_min_size(pos2(x, card.top() + 2.0), vec2(galley.size().x + 14.0, 22.0));
        let response = ui.interact(at, ui.scope_id().with(("tool", m.id.0, &spoken)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
        if response.hovered() {
            ui.painter().rect_filled(at, 6.0, theme.hover);
        }
        text::center(ui.painter(), at.center(), &galley);
        x = at.right();
        if response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(&spoken).clicked() {
            out.push(intent);
        }
    }
}
