//! The sheet about the network's key: what it is for, its code, the key shown to others, and ways to set or change it.

use cairn_actors::api::NetworkKeyState;
use egui::{Id, Rect, Ui};

use super::{Intents, Scene, sheet};
use crate::netkey;
use crate::ui::intent::Intent;
use crate::ui::model::key::{KeyFrom, KeySheet, Secret};
use crate::ui::paint::icons::Icon;
use crate::ui::paint::text::Ink;
use crate::ui::paint::widgets::{Kind, button, button_enabled, choice, field, pair, paragraph, secret_field};
use crate::ui::theme::Size;

/// Width of the sheet where there is room.
const WIDTH: f32 = 560.0;

/// Paints the sheet if it is open.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, all: Rect, out: &mut Intents) {
    let (Some(open), Some(status)) = (&scene.model.key_sheet, &scene.model.status) else { return };
    let theme = scene.theme;
    let closed = sheet::show(ui, theme, all, ("key", WIDTH, "The key of your network"), |ui| {
        match &status.network_key {
            None => {
                let words = "There is none: whoever is on the same LAN finds you and can read the Everyone room. With a key \
                             only laptops that have the same one find each other, and nobody else reaches them.";
                paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
            }
            Some(key) => present(ui, scene, open, key, out),
        }
        if let Some(refused) = &open.refused {
            sheet::said(ui, theme, refused, theme.warning_weak, theme.warning, Icon::Warning);
        }
        given(ui, scene, open, status.network_key.is_some(), out);
        if status.network_key.is_some() {
            end(ui, scene, open, out);
        }
    });
    if closed {
        out.push(Intent::KeySheet(false));
    }
    // Text in a field is the field's; elsewhere it is the passphrase, which is used when the person says so.
    let typing = ["key passphrase", "key picture"].iter().any(|id| ui.memory(|m| m.has_focus(Id::unique(id))));
    let (text, pictures) = sheet::brought(ui);
    out.extend(text.filter(|_| !typing).map(|text| Intent::EditPassphrase(Secret(text.into()))));
    out.extend(pictures.into_iter().map(|from| Intent::UseKey(KeyFrom::Code(from))));
}

/// The key that there is, and showing it.
fn present(ui: &mut Ui, scene: &Scene<'_>, open: &KeySheet, key: &NetworkKeyState, out: &mut Intents) {
    let theme = scene.theme;
    pair(ui, theme, "Its code", &key.code, theme.text);
    let words =
        "Laptops with one code have the same key; compare it over the radio if you like. The code is not the key.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
    for old in &key.old {
        let words = format!("The old key, {}, is accepted until {}.", old.code, scene.clock.full(old.until));
        paragraph(ui, theme, &words, Ink::new(Size::Small, theme.text));
    }
    if !key.old.is_empty() && button_enabled(ui, theme, "Accept no old key", Kind::Plain, !open.working).clicked() {
        out.push(Intent::DropOldKeys);
    }
    ui.add_space(6.0);
    let Some(text) = &open.shown else {
        if button_enabled(ui, theme, "Show the key to others", Kind::Plain, !open.working).clicked() {
            out.push(Intent::ShowKey(true));
        }
        return;
    };
    let words = "Whoever sees this is in. Others read it from a photo of this screen, or from the text.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.warning).medium());
    ui.horizontal_top(|ui| {
        if let Ok(code) = netkey::code(&text.0) {
            sheet::qr(ui, theme, &code, "QR code of the key, for others to read");
        }
        ui.vertical(|ui| {
            paragraph(ui, theme, &text.0, Ink::new(Size::Small, theme.text));
            if button(ui, theme, "Copy the text", Kind::Plain).clicked() {
                out.push(Intent::Copy(text.0.to_string()));
            }
            if button(ui, theme, "Hide it", Kind::Plain).clicked() {
                out.push(Intent::ShowKey(false));
            }
        });
    });
}

/// Ways to set or change it.
fn given(ui: &mut Ui, scene: &Scene<'_>, open: &KeySheet, change: bool, out: &mut Intents) {
    let theme = scene.theme;
    ui.add_space(6.0);
    let head = if change { "Change it" } else { "Set one" };
    paragraph(ui, theme, head, Ink::new(Size::Small, theme.text).bold());
    let words = if change {
        "Do it on every laptop. The new key counts at once, the old one is accepted for seven days more, so nobody is lost \
         meanwhile; the new one is sent to nobody."
    } else {
        "A passphrase of twelve characters or more, the same on all laptops; four or five words that do not belong together \
         are good. Or the text of a key that another laptop shows."
    };
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
    let label = "Passphrase, or a key as text";
    let mut typed = open.typed.0.clone();
    let id = Id::unique("key passphrase");
    let (response, entered) = secret_field(ui, theme, id, label, label, &mut typed, open.legible);
    if response.changed() {
        out.push(Intent::EditPassphrase(Secret(typed.clone())));
    }
    if choice(ui, theme, "Show what I type", "", open.legible).clicked() {
        out.push(Intent::ShowPassphrase(!open.legible));
    }
    ui.horizontal(|ui| {
        let ready = !typed.trim().is_empty() && !open.working;
        let words = match (open.working, change) {
            (true, _) => "One moment…",
            (false, true) => "Change to this",
            (false, false) => "Use this",
        };
        let pressed = button_enabled(ui, theme, words, Kind::Primary, ready).clicked();
        if (pressed || entered) && ready {
            out.push(Intent::UseKey(KeyFrom::Typed(Secret(typed.clone()))));
        }
        if button_enabled(ui, theme, "Make one that nobody guesses", Kind::Plain, !open.working).clicked() {
            out.push(Intent::UseKey(KeyFrom::Random));
        }
    });
    let words = "Or read the QR code that another laptop shows, from a photo (PNG, JPEG): give its place, drop it here, or \
                 copy it and paste.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
    let mut path = open.path.clone();
    let hint = "/home/you/photo.jpg";
    let id = Id::unique("key picture");
    let (response, entered) = field(ui, theme, id, "Place of the picture", hint, &mut path);
    if response.changed() {
        out.push(Intent::EditKeyPicture(path.clone()));
    }
    ui.horizontal(|ui| {
        let ready = !path.trim().is_empty() && !open.working;
        let pressed = button_enabled(ui, theme, "Read it and use it", Kind::Plain, ready).clicked();
        if (pressed || entered) && ready {
            let from = crate::ui::model::verify::CodeFrom::File(path.trim().into());
            out.push(Intent::UseKey(KeyFrom::Code(from)));
        }
        if button_enabled(ui, theme, "Paste", Kind::Plain, !open.working).clicked() {
            out.push(Intent::Paste);
        }
    });
}

/// Having none any more.
fn end(ui: &mut Ui, scene: &Scene<'_>, open: &KeySheet, out: &mut Intents) {
    let theme = scene.theme;
    ui.add_space(6.0);
    if !open.asks_to_remove {
        if button_enabled(ui, theme, "Remove the key…", Kind::Plain, !open.working).clicked() {
            out.push(Intent::AskToRemoveKey(true));
        }
        return;
    }
    let words =
        "Without it this laptop no longer finds those that have it, and everybody else on the LAN finds this one.";
    paragraph(ui, theme, words, Ink::new(Size::Small, theme.text));
    ui.horizontal(|ui| {
        if button_enabled(ui, theme, "Yes, remove it", Kind::Plain, !open.working).clicked() {
            out.push(Intent::RemoveKey);
        }
        if button(ui, theme, "Keep it", Kind::Plain).clicked() {
            out.push(Intent::AskToRemoveKey(false));
        }
    });
}
