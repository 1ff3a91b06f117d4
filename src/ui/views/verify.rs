//! The sheet on which two people compare: both keys as pictures, the digits, the words, the QR code to show, and ways to
//! read the other side's.

use cairn_actors::api::{Badge, Peer, Safety};
use egui::{Id, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene, sheet};
use crate::qr::Qr;
use crate::ui::intent::Intent;
use crate::ui::model::format;
use crate::ui::model::verify::{CodeFrom, Verifying};
use crate::ui::paint::avatar;
use crate::ui::paint::icons::Icon;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button, button_enabled, field, paragraph};
use crate::ui::theme::Size;

/// Width of the sheet where there is room.
const WIDTH: f32 = 640.0;
/// Below this width the code stands under the digits.
const BESIDE: f32 = 540.0;
/// Groups of digits in a line.
const GROUPS: usize = 4;

/// Paints the sheet if it is open.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, all: Rect, out: &mut Intents) {
    let Some((sheet, peer)) = scene.model.verifying() else { return };
    let theme = scene.theme;
    let title = format!("Is this {}?", peer.name);
    let closed = sheet::show(ui, theme, all, ("verify", WIDTH, &title), |ui| {
        both(ui, scene, peer);
        match &sheet.safety {
            Some(safety) => compare(ui, scene, safety),
            None => drop(paragraph(ui, theme, "One moment", Ink::new(Size::Body, theme.muted))),
        }
        verdict(ui, scene, sheet, peer, out);
        read(ui, scene, sheet, out);
    });
    if closed {
        out.push(Intent::CloseVerify);
    }
    // Text in the field is the field's.
    let typing = ui.memory(|m| m.has_focus(Id::unique("verify path")));
    let (text, rest) = sheet::brought(ui);
    let text = text.filter(|_| !typing).map(CodeFrom::Text);
    out.extend(text.into_iter().chain(rest).map(|from| Intent::ReadCode(sheet.device, from)));
}

/// Both keys, ours at the left.
fn both(ui: &mut Ui, scene: &Scene<'_>, peer: &Peer) {
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 54.0), Sense::hover());
    let half = row.width() / 2.0 - 6.0;
    if let Some(me) = &scene.model.status {
        let at = Rect::from_min_size(row.min, vec2(half, row.height()));
        one(ui, scene, at, &me.id.0, &format!("You, {}", me.name), &me.code, None);
    }
    let at = Rect::from_min_size(pos2(row.right() - half, row.top()), vec2(half, row.height()));
    one(ui, scene, at, &peer.id.0, &peer.name, &peer.code, Some(peer.badge));
}

fn one(ui: &Ui, scene: &Scene<'_>, at: Rect, key: &[u8; 32], name: &str, code: &str, badge: Option<Badge>) {
    let theme = scene.theme;
    let picture = Rect::from_min_size(pos2(at.left(), at.center().y - 22.0), vec2(44.0, 44.0));
    avatar::identicon(ui.painter(), theme, picture, key);
    let x = picture.right() + 12.0;
    let galley = Ink::new(Size::Body, theme.text).bold().line(ui, theme, name, at.right() - x - 22.0);
    let r = text::left(ui.painter(), pos2(x, at.center().y - 10.0), &galley);
    if let Some(badge) = badge {
        avatar::badge(ui.painter(), theme, pos2(r.right() + 6.0, r.center().y), badge);
    }
    let mono = text::mono(ui, theme, code, theme.muted);
    text::left(ui.painter(), pos2(x, at.center().y + 11.0), &mono);
    let spoken = match badge {
        Some(b) => format!("{name}, {}, {code}", format::badge(b)),
        None => format!("{name}, {code}"),
    };
    let response = ui.interact(at, ui.scope_id().with(("key", key)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Picture of the key: {spoken}")));
}

fn compare(ui: &mut Ui, scene: &Scene<'_>, safety: &Safety) {
    let theme = scene.theme;
    let words = "The other screen shows the same digits and words for you, if nobody stands between you. Compare them in \
                 person, or read one of the two aloud on the phone if you know the voice. Or let the other side read \
                 this code.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
    ui.add_space(4.0);
    let beside = ui.available_width() >= BESIDE;
    let code = Qr::of(&safety.code).ok();
    let both = |ui: &mut Ui| {
        ui.vertical(|ui| {
            ui.set_width(if beside { ui.available_width() - 210.0 } else { ui.available_width() });
            numbers(ui, scene, safety);
        });
        if let Some(code) = &code {
            sheet::qr(ui, theme, code, "QR code for the other side to read");
        }
    };
    if beside {
        ui.horizontal_top(both)
    } else {
        ui.vertical(both)
    };
}

fn numbers(ui: &mut Ui, scene: &Scene<'_>, safety: &Safety) {
    let theme = scene.theme;
    let digits: Vec<String> = safety.digits.chunks(GROUPS).map(|line| line.join("  ")).collect();
    let height = theme.size(Size::Title).1 + 6.0;
    let size = vec2(ui.available_width(), height * digits.len() as f32 + 16.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 10.0, theme.chip);
    for (i, line) in digits.iter().enumerate() {
        let galley = text::figures(ui, theme, line, theme.text);
        text::center(ui.painter(), pos2(rect.center().x, rect.top() + 8.0 + height * (i as f32 + 0.5)), &galley);
    }
    let spoken = safety.digits.join(" ");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Digits: {spoken}")));
    ui.add_space(4.0);
    paragraph(ui, theme, &safety.words.join(" "), Ink::new(Size::Body, theme.text).medium());
}

fn verdict(ui: &mut Ui, scene: &Scene<'_>, sheet: &Verifying, peer: &Peer, out: &mut Intents) {
    let theme = scene.theme;
    ui.add_space(4.0);
    if let Some(refused) = &sheet.refused {
        let (fill, ink) =
            if refused.alarming { (theme.alert_weak, theme.alert) } else { (theme.warning_weak, theme.warning) };
        sheet::said(ui, theme, &refused.sentence, fill, ink, Icon::Warning);
    } else if let Some(warning) = &peer.warning {
        sheet::said(ui, theme, &warning.sentence, theme.alert_weak, theme.alert, Icon::Warning);
    }
    let verified = peer.badge == Badge::Verified;
    if verified {
        let words = format!("You have compared: this is {}.", peer.name);
        paragraph(ui, theme, &words, Ink::new(Size::Body, theme.accent).bold());
    }
    ui.horizontal(|ui| {
        if verified {
            if button(ui, theme, "Take it back", Kind::Plain).clicked() {
                out.push(Intent::Unverify(peer.id));
            }
        } else if button_enabled(ui, theme, "They match", Kind::Primary, sheet.safety.is_some()).clicked() {
            out.push(Intent::TheyMatch(peer.id));
        }
        if button(ui, theme, "They don't match", Kind::Plain).clicked() {
            out.push(Intent::TheyDiffer(peer.id));
        }
    });
}

fn read(ui: &mut Ui, scene: &Scene<'_>, sheet: &Verifying, out: &mut Intents) {
    let theme = scene.theme;
    ui.add_space(6.0);
    paragraph(ui, theme, "Read the code that the other side shows", Ink::new(Size::Small, theme.text).bold());
    let words = "From a photo or a screenshot (PNG, JPEG): give its place, drop it here, or copy it and paste.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
    let mut path = sheet.path.clone();
    let hint = "/home/you/photo.jpg";
    let (response, entered) = field(ui, theme, Id::unique("verify path"), "Place of the picture", hint, &mut path);
    if response.changed() {
        out.push(Intent::EditPicturePath(path.clone()));
    }
    ui.horizontal(|ui| {
        let given = !path.trim().is_empty() && !sheet.reading;
        let words = if sheet.reading { "Reading…" } else { "Read it" };
        let pressed = button_enabled(ui, theme, words, Kind::Plain, given).clicked();
        if (pressed || entered) && given {
            out.push(Intent::ReadCode(sheet.device, CodeFrom::File(path.trim().into())));
        }
        if button_enabled(ui, theme, "Paste", Kind::Plain, !sheet.reading).clicked() {
            out.push(Intent::Paste);
        }
    });
}
