//! The details column: who a person is, or who is in a room and who has our newest message.

use cairn_actors::api::{Badge, DeliveryState, Message, Peer, PeerState, Receipt};
use egui::{Color32, Id, Rect, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use cairn_actors::proto::clock as skew;

use super::{Intents, Scene, briefing, sheet};
use crate::ui::intent::{Intent, NameField};
use crate::ui::model::format;
use crate::ui::paint::avatar;
use crate::ui::paint::icons::Icon;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{
    Kind, button, button_enabled, card, field, focus_ring, icon_button, pair, pair_of, paragraph, within,
};
use crate::ui::theme::{Scheme, Size};

/// Members listed before "and n more".
const LISTED: usize = 40;
/// People named in a card about one message before "and n more".
const NAMED: usize = 5;

/// Paints the details of the open conversation; `over` when they lie over it and need a way back.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, over: bool, out: &mut Intents) {
    let (theme, rect) = (scene.theme, ui.max_rect());
    ui.painter().rect_filled(rect, 0.0, theme.background);
    ui.painter().vline(rect.left() + 0.5, rect.y_range(), theme.hairline());
    within(ui, "cards", rect.shrink2(vec2(16.0, 0.0)), |ui| {
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            ui.add_space(if over { 12.0 } else { 16.0 });
            if over {
                let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 34.0), Sense::hover());
                let at = Rect::from_min_size(pos2(row.right() - 34.0, row.top()), vec2(34.0, 34.0));
                if icon_button(ui, theme, at, Icon::Close, "Close the details", theme.muted).clicked() {
                    out.push(Intent::ToggleDetails);
                }
                let galley = Ink::new(Size::Title, theme.text).bold().line(ui, theme, "Details", row.width() - 40.0);
                text::left(ui.painter(), row.left_center(), &galley);
            }
            match scene.model.open_peer() {
                Some(p) => {
                    briefing::in_details(ui, scene, out);
                    person(ui, scene, p, out);
                }
                None => room(ui, scene, out),
            }
        });
    });
}

fn last_own<'a>(scene: &'a Scene<'_>) -> Option<&'a Message> {
    scene.model.history(&scene.model.open?)?.last_own()
}

fn receipts<'a>(scene: &'a Scene<'_>, own: &Message) -> &'a [Receipt] {
    scene.model.receipts.as_ref().filter(|r| r.message == own.id).map_or(&[], |r| r.list.as_slice())
}

fn person(ui: &mut Ui, scene: &Scene<'_>, p: &Peer, out: &mut Intents) {
    let theme = scene.theme;
    card(ui, theme, "", |ui| {
        let width = ui.available_width();
        let (top, _) = ui.allocate_exact_size(vec2(width, 64.0), Sense::hover());
        let picture = Rect::from_min_size(top.min, vec2(60.0, 60.0));
        avatar::identicon(ui.painter(), theme, picture, &p.id.0);
        let response = ui.interact(picture, ui.scope_id().with("identicon"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Picture of the key {}", p.code)));
        let x = picture.right() + 14.0;
        let name = Ink::new(Size::Title, theme.text).bold().line(ui, theme, &p.label(), top.right() - x - 20.0);
        let r = text::left(ui.painter(), pos2(x, picture.center().y - 12.0), &name);
        avatar::badge(ui.painter(), theme, pos2(r.right() + 6.0, r.center().y), p.badge);
        let code = text::mono(ui, theme, &p.code, theme.muted);
        text::left(ui.painter(), pos2(x, picture.center().y + 11.0), &code);
        ui.add_space(4.0);
        if let Some(own) = p.own_name.as_ref().filter(|own| p.petname.is_some() && **own != p.name) {
            paragraph(ui, theme, &format!("Calls itself {own}"), Ink::new(Size::Small, theme.muted));
        }
        match &p.warning {
            Some(w) => sheet::said(ui, theme, &w.sentence, theme.alert_weak, theme.alert, Icon::Warning),
            None => {
                let color = if p.badge == Badge::Unknown { theme.warning } else { theme.muted };
                paragraph(ui, theme, format::badge_sentence(p.badge), Ink::new(Size::Small, color));
            }
        }
        ui.add_space(2.0);
        if button(ui, theme, "Compare safety numbers…", Kind::Plain).clicked() {
            out.push(Intent::Verify(p.id));
        }
    });
    card(ui, theme, "How to reach", |ui| {
        let color = if p.state == PeerState::Online { theme.accent } else { theme.text };
        let state = match p.state {
            PeerState::Online => "here",
            PeerState::Away => "away",
            PeerState::Offline => "not here",
        };
        pair(ui, theme, "State", state, color);
        if let Some(ms) = p.rtt_ms.filter(|_| p.state != PeerState::Offline) {
            pair(ui, theme, "Round trip", &format::round_trip(ms), theme.text);
        }
        if let Some(at) = p.last_seen.filter(|_| p.state == PeerState::Offline) {
            pair(ui, theme, "Last heard", &scene.clock.full(at), theme.text);
        }
        if let Some(words) = p.clock_offset_ms.and_then(skew::words) {
            pair(ui, theme, "Its clock", &words, theme.warning);
        }
        if let Some(a) = p.address {
            pair(ui, theme, "Address", &a.to_string(), theme.text);
        }
    });
    card(ui, theme, "Your name for this person", |ui| {
        let what = NameField::Petname(p.id);
        let mut value = scene.model.name_field(what);
        let id = Id::unique(("petname", p.id.0));
        let (response, entered) = field(ui, theme, id, "Your name for this person", &p.code, &mut value);
        if response.changed() {
            out.push(Intent::EditName(what, value.clone()));
        }
        ui.add_space(2.0);
        ui.horizontal(|ui| {
            let changed = value.trim() != p.name;
            let pressed = button_enabled(ui, theme, "Keep", Kind::Plain, changed).clicked();
            if (pressed || entered) && changed {
                out.push(Intent::SetPetname(p.id, Some(value.clone())));
            }
            if button(ui, theme, "Copy code", Kind::Plain).clicked() {
                out.push(Intent::Copy(p.code.clone()));
            }
        });
    });
    super::custody::show(ui, scene);
    super::kept::show(ui, scene, out);
    if let Some(own) = last_own(scene) {
        card(ui, theme, "Your last message", |ui| {
            let late = matches!(own.state, DeliveryState::Queued | DeliveryState::Carried);
            let color = if late { theme.warning } else { theme.accent };
            paragraph(ui, theme, &format::delivery_sentence(own), Ink::new(Size::Small, color));
        });
    }
}

fn room(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    if let Some(own) = last_own(scene) {
        card(ui, theme, "Who has it", |ui| {
            paragraph(ui, theme, "Your last message", Ink::new(Size::Small, theme.muted));
            let list = receipts(scene, own);
            let members = own.members.max(u32::try_from(list.len()).unwrap_or(0));
            let carried = list.iter().filter(|r| r.state == DeliveryState::Carried).count();
            bar(ui, scene, own.delivered_to, u32::try_from(carried).unwrap_or(0), members);
            let has = format!("{} of {members}", own.delivered_to);
            pair(ui, theme, "Hold it durably", &has, theme.text);
            if members == 0 || own.delivered_to == 0 {
                paragraph(ui, theme, &format::delivery_sentence(own), Ink::new(Size::Small, theme.warning));
            }
            let of = |state: DeliveryState| list.iter().filter(move |r| r.state == state);
            let readers: Vec<&str> = of(DeliveryState::Read).map(|r| r.name.as_str()).collect();
            if !readers.is_empty() {
                pair(ui, theme, "Have read it", &format!("{} of {members}", readers.len()), theme.text);
                paragraph(ui, theme, &crate::words::names(&readers), Ink::new(Size::Small, theme.muted));
            }
            let lacking: Vec<_> = of(DeliveryState::Carried).chain(of(DeliveryState::Queued)).collect();
            for r in lacking.iter().take(NAMED) {
                let what = if r.state == DeliveryState::Carried { "carried" } else { "waiting" };
                let badge = Some(scene.model.badge(&r.id));
                let response = pair_of(ui, theme, &r.name, badge, what, theme.warning);
                if let Some(at) = r.last_seen {
                    response.on_hover_text(format!("Last heard {}", scene.clock.full(at)));
                }
            }
            if lacking.len() > NAMED {
                let more = format!("and {} more", lacking.len() - NAMED);
                paragraph(ui, theme, &more, Ink::new(Size::Small, theme.muted));
            }
        });
    }
    briefing::in_details(ui, scene, out);
    let Some(people) = scene.model.room_people() else { return };
    let here = people.iter().filter(|p| p.state != PeerState::Offline).count();
    card(ui, theme, &format!("People · {here} here"), |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        if people.is_empty() {
            paragraph(ui, theme, "Nobody else has been here yet.", Ink::new(Size::Small, theme.muted));
        }
        for p in people.iter().take(LISTED) {
            if member(ui, scene, p) {
                out.push(Intent::Open(p.conversation));
            }
        }
        if people.len() > LISTED {
            let more = format!("and {} more", people.len() - LISTED);
            paragraph(ui, theme, &more, Ink::new(Size::Small, theme.muted));
        }
    });
    super::custody::show(ui, scene);
    super::kept::show(ui, scene, out);
}

/// A segment a member: those who hold the message first, then those to whom somebody carries it.
fn bar(ui: &mut Ui, scene: &Scene<'_>, have: u32, carried: u32, of: u32) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 14.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, format!("{have} of {of}")));
    let bar = Rect::from_center_size(rect.center(), vec2(rect.width(), 8.0));
    let theme = scene.theme;
    // Black lines would look like filled segments.
    let open = if theme.scheme == Scheme::Sunlight { theme.chip } else { theme.line };
    let accent = theme.accent;
    if of == 0 || of > 40 {
        let share = if of == 0 { 0.0 } else { have as f32 / of as f32 };
        ui.painter().rect_filled(bar, 3.0, open);
        let done = Rect::from_min_size(bar.min, vec2(bar.width() * share, bar.height()));
        ui.painter().rect_filled(done, 3.0, accent);
        return;
    }
    let gap = if of > 20 { 2.0 } else { 3.0 };
    let width = (bar.width() - gap * (of - 1) as f32) / of as f32;
    for i in 0..of {
        let color: Color32 = match i {
            _ if i < have => accent,
            _ if i < have.saturating_add(carried) => theme.warning,
            _ => open,
        };
        let min = bar.min + vec2(i as f32 * (width + gap), 0.0);
        ui.painter().rect_filled(Rect::from_min_size(min, vec2(width, 8.0)), 2.0, color);
    }
}

fn member(ui: &mut Ui, scene: &Scene<'_>, p: &Peer) -> bool {
    let theme = scene.theme;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 30.0), Sense::click());
    let state = format::presence(p.state);
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Button, true, format!("{}, {}, {state}", p.label(), format::badge(p.badge)))
    });
    if response.hovered() {
        ui.painter().rect_filled(rect.expand2(vec2(6.0, 0.0)), 7.0, theme.chip);
    }
    let picture = Rect::from_min_size(pos2(rect.left(), rect.center().y - 11.0), vec2(22.0, 22.0));
    ui.painter().rect_filled(picture, 6.5, theme.person(&p.id.0));
    let letters = format::initials(&p.name);
    let galley = Ink::new(Size::Tiny, theme.on_person()).bold().line(ui, theme, &letters, 22.0);
    text::center(ui.painter(), picture.center(), &galley);
    let color = if p.state == PeerState::Online { theme.accent } else { theme.muted };
    let galley = Ink::new(Size::Small, color).line(ui, theme, state, 80.0);
    let right = text::right(ui.painter(), rect.right_center(), &galley);
    let x = picture.right() + 9.0;
    let name = Ink::new(Size::Small, theme.text).line(ui, theme, &p.label(), right.left() - x - 26.0);
    let r = text::left(ui.painter(), pos2(x, rect.center().y), &name);
    avatar::badge(ui.painter(), theme, pos2(r.right() + 5.0, rect.center().y), p.badge);
    focus_ring(ui, theme, &response, rect.expand2(vec2(6.0, 0.0)), 7.0);
    response.clicked()
}
