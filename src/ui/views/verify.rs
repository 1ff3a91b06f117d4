//! The sheet on which two people compare: both keys as pictures, the digits, the words, the QR code to show, and ways to
//! read the other side's.

use cairn_actors::api::{Badge, Peer, Safety};
use egui::{
    Area, Color32, Event, Frame, Id, Margin, Order, Rect, Role, ScrollArea, Sense, Shadow, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::{Intents, Scene};
use crate::qr::Qr;
use crate::ui::intent::Intent;
use crate::ui::model::format;
use crate::ui::model::verify::{CodeFrom, Verifying};
use crate::ui::paint::avatar;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button, button_enabled, field, icon_button, paragraph};
use crate::ui::theme::{Scheme, Size};

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
    let veil = Area::new(Id::unique("verify veil")).order(Order::Foreground).fixed_pos(all.min).fade_in(false);
    let behind = veil.show(ui.ctx(), |ui| {
        let (rect, response) = ui.allocate_exact_size(all.size(), Sense::click() - Sense::FOCUSABLE);
        ui.painter().rect_filled(rect, 0.0, Color32::from_black_alpha(90));
        response.clicked()
    });
    if behind.inner {
        out.push(Intent::CloseVerify);
    }
    let width = WIDTH.min(all.width() - 24.0);
    let top = (all.height() * 0.06).clamp(12.0, 60.0);
    let at = pos2(all.center().x - width / 2.0, all.top() + top);
    Area::new(Id::unique("verify")).order(Order::Tooltip).fixed_pos(at).fade_in(false).show(ui.ctx(), |ui| {
        Frame::new()
            .fill(theme.panel)
            .stroke(theme.hairline())
            .corner_radius(14)
            .shadow(Shadow { offset: [0, 12], blur: 40, spread: 0, color: Color32::from_black_alpha(70) })
            .inner_margin(Margin::symmetric(20, 16))
            .show(ui, |ui| {
                ui.set_width(width - 40.0);
                head(ui, scene, peer, out);
                // As high as its content at once, though the sheet was lower in the frame before.
                let height = all.height() - 2.0 * top - 90.0;
                ScrollArea::vertical().max_height(height).min_scrolled_height(height).show(ui, |ui| {
                    ui.spacing_mut().item_spacing.y = 6.0;
                    both(ui, scene, peer);
                    match &sheet.safety {
                        Some(safety) => compare(ui, scene, safety),
                        None => drop(paragraph(ui, theme, "One moment", Ink::new(Size::Body, theme.muted))),
                    }
                    verdict(ui, scene, sheet, peer, out);
                    read(ui, scene, sheet, out);
                });
            });
    });
    brought(ui, sheet, out);
}

fn head(ui: &mut Ui, scene: &Scene<'_>, peer: &Peer, out: &mut Intents) {
    let theme = scene.theme;
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 34.0), Sense::hover());
    let title = format!("Is this {}?", peer.name);
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, &title));
    let galley = Ink::new(Size::Large, theme.text).bold().line(ui, theme, &title, row.width() - 44.0);
    text::left(ui.painter(), row.left_center(), &galley);
    let at = Rect::from_min_size(pos2(row.right() - 34.0, row.top()), vec2(34.0, 34.0));
    if icon_button(ui, theme, at, Icon::Close, "Close", theme.muted).clicked() {
        out.push(Intent::CloseVerify);
    }
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
            qr(ui, scene, code);
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

/// Dark on light in every scheme, since readers need it so; at night in its red.
fn qr(ui: &mut Ui, scene: &Scene<'_>, code: &Qr) {
    let theme = scene.theme;
    let side = 190.0_f32;
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "QR code for the other side to read"));
    let (light, dark) = match theme.scheme {
        Scheme::Night => (theme.text, theme.panel),
        _ => (Color32::WHITE, Color32::BLACK),
    };
    ui.painter().rect_filled(rect, 6.0, light);
    let cell = side / code.side() as f32;
    let edge = |v: u32, from: f32| from + (v as f32 * cell).round();
    for y in 0..code.side() {
        for x in (0..code.side()).filter(|x| code.is_dark(*x, y)) {
            let min = pos2(edge(x, rect.left()), edge(y, rect.top()));
            let max = pos2(edge(x + 1, rect.left()), edge(y + 1, rect.top()));
            ui.painter().rect_filled(Rect::from_min_max(min, max), 0.0, dark);
        }
    }
    ui.painter().rect_stroke(rect, 6.0, theme.hairline(), StrokeKind::Inside);
}

fn verdict(ui: &mut Ui, scene: &Scene<'_>, sheet: &Verifying, peer: &Peer, out: &mut Intents) {
    let theme = scene.theme;
    ui.add_space(4.0);
    if let Some(refused) = &sheet.refused {
        let (fill, ink) =
            if refused.alarming { (theme.alert_weak, theme.alert) } else { (theme.warning_weak, theme.warning) };
        said(ui, scene, &refused.sentence, fill, ink, Icon::Warning);
    } else if let Some(warning) = &peer.warning {
        said(ui, scene, &warning.sentence, theme.alert_weak, theme.alert, Icon::Warning);
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

/// A sentence on a ground of its own.
pub fn said(ui: &mut Ui, scene: &Scene<'_>, sentence: &str, fill: Color32, ink: Color32, icon: Icon) {
    let theme = scene.theme;
    Frame::new().fill(fill).corner_radius(10).inner_margin(Margin::symmetric(12, 9)).show(ui, |ui| {
        let width = ui.available_width();
        let galley = Ink::new(Size::Small, ink).medium().wrapped(ui, theme, sentence, width - 28.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, galley.size().y.max(18.0)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, sentence));
        let at = Rect::from_center_size(pos2(rect.left() + 9.0, rect.top() + 9.0), vec2(17.0, 17.0));
        icons::icon(ui.painter(), at, icon, ink);
        text::put(ui.painter(), rect.min + vec2(28.0, 0.0), &galley);
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

/// What was pasted or dropped onto the sheet. Text in the field is the field's.
fn brought(ui: &Ui, sheet: &Verifying, out: &mut Intents) {
    let typing = ui.memory(|m| m.has_focus(Id::unique("verify path")));
    ui.input(|input| {
        for event in &input.events {
            match event {
                Event::Paste(text) if !typing => {
                    out.push(Intent::ReadCode(sheet.device, CodeFrom::Text(text.clone())));
                }
                Event::PasteImage(image) => {
                    let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
                    let [width, height] = image.size.map(side);
                    let pixels = image.pixels.iter().flat_map(|p| p.to_srgba_unmultiplied()).collect();
                    out.push(Intent::ReadCode(sheet.device, CodeFrom::Pixels(width, height, pixels)));
                }
                _ => {}
            }
        }
        for file in &input.raw.dropped_files {
            out.push(Intent::ReadCode(sheet.device, CodeFrom::File(file.path().to_owned())));
        }
    });
}
