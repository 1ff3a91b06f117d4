//! The sheet about the network's key.

use cairn_actors::api::{ApiError, Event, NetworkKeyState, OldKey};
use cairn_crdt::ids::NetworkId;
use cairn_crdt::netkey::{Invite, NetworkKey};
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;

use super::{FULL, Screen};
use crate::ui::intent::{Command, Intent};
use crate::ui::model::key::{KeyFrom, Secret};
use crate::ui::model::verify::CodeFrom;
use crate::ui::model::{Update, View};
use crate::ui::sample;

fn secret(text: &str) -> Secret {
    Secret(text.to_owned().into())
}

fn with_key(s: &mut Screen, key: Option<NetworkKeyState>) {
    s.with(|m| {
        let mut status = m.status.clone().unwrap();
        status.network_key = key;
        m.apply(Update::Event(Box::new(Event::Status(Box::new(status)))));
    });
    s.run();
}

fn state() -> NetworkKeyState {
    let old = vec![OldKey { code: "old0-old0".into(), until: 1_784_000_000_000 }];
    NetworkKeyState { code: "new1-new1".into(), since: 1_783_000_000_000, old }
}

fn opened(key: Option<NetworkKeyState>) -> Screen {
    let mut s = Screen::of(sample::model(), [FULL[0], 1_000.0]);
    s.with(|m| m.act(Intent::Show(View::Network)));
    let there = key.is_some();
    with_key(&mut s, key);
    s.click(if there { "Show or change it…" } else { "Set a key…" });
    s.told();
    s
}

#[test]
fn a_passphrase_is_typed_unseen_and_becomes_the_key_once() {
    let mut s = opened(None);
    assert!(s.sees("The key of your network") && s.sees("There is none: whoever is on the same LAN finds you"));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
    s.type_as(Role::PasswordInput, "Passphrase, or a key as text", "five words of my own");
    assert!(!s.sees("five words of my own"), "nobody reads it over the shoulder");
    s.click("Show what I type");
    assert!(s.with(|m| m.key_sheet.as_ref().unwrap().legible));
    s.click("Use this");
    assert_eq!(s.told(), [Command::UseKey(KeyFrom::Typed(secret("five words of my own")))]);
    assert!(!format!("{:?}", Command::UseKey(KeyFrom::Typed(secret("five words")))).contains("five"));
    // It takes a moment, and only one at a time.
    assert!(s.sees("One moment…"));
    s.with(|m| assert_eq!(m.act(Intent::UseKey(KeyFrom::Random)), []));
    s.with(|m| m.apply(Update::KeyChanged(Err(ApiError::new("bad_passphrase", "this passphrase is too short")))));
    s.run();
    assert!(s.sees("this passphrase is too short") && s.sees("Use this"));
    assert_eq!(s.with(|m| m.key_sheet.clone().unwrap().typed), secret("five words of my own"), "nothing typed is lost");
    s.with(|m| m.apply(Update::KeyChanged(Ok(()))));
    with_key(&mut s, Some(state()));
    assert!(s.sees("new1-new1") && s.sees("Change to this") && !s.sees("too short"));
    assert_eq!(s.with(|m| m.key_sheet.clone().unwrap().typed), Secret::default());
    s.key(egui::Modifiers::NONE, egui::Key::Escape);
    assert!(!s.sees("The key of your network"));
}

#[test]
fn it_is_shown_changed_and_removed_when_one_says_so_twice() {
    let mut s = opened(Some(state()));
    assert!(s.sees("The old key, old0-old0, is accepted until"));
    s.click("Accept no old key");
    assert_eq!(s.told(), [Command::DropOldKeys]);
    s.with(|m| m.apply(Update::KeyChanged(Ok(()))));
    s.run();
    s.click("Show the key to others");
    assert_eq!(s.told(), [Command::Key]);
    let invite = Invite { key: NetworkKey::from_secret(&[7; 32]), network: NetworkId([3; 16]), name: "Post 4".into() };
    s.with(|m| m.apply(Update::Key(Ok(secret(&invite.to_string())))));
    s.run();
    assert!(s.sees("QR code of the key, for others to read") && s.sees("Whoever sees this is in."));
    s.click("Copy the text");
    s.click("Hide it");
    assert!(!s.sees("QR code of the key"));
    s.click("Make one that nobody guesses");
    assert_eq!(s.told(), [Command::UseKey(KeyFrom::Random)]);
    s.with(|m| m.apply(Update::KeyChanged(Ok(()))));
    s.run();
    s.click("Remove the key…");
    assert_eq!(s.told(), []);
    s.click("Keep it");
    assert!(s.harness.query_by_label("Yes, remove it").is_none());
    s.click("Remove the key…");
    s.click("Yes, remove it");
    assert_eq!(s.told(), [Command::RemoveKey]);
}

#[test]
fn it_is_read_from_pictures_and_from_what_is_pasted() {
    let mut s = opened(None);
    s.type_into("Place of the picture", "/tmp/key.png");
    s.click("Read it and use it");
    assert_eq!(s.told(), [Command::UseKey(KeyFrom::Code(CodeFrom::File("/tmp/key.png".into())))]);
    let foreign = ApiError::new("bad_code", "there is a QR code in the picture, but this is no code of Cairn");
    s.with(|m| m.apply(Update::KeyChanged(Err(foreign))));
    s.run();
    assert!(s.sees("this is no code of Cairn"));
    s.with(|m| m.act(Intent::EditKeyPicture(String::new())));
    s.click("Paste");
    s.harness.event(egui::Event::Paste("cairn:net:abc".into()));
    s.run();
    // Text waits for a word of the person.
    assert_eq!(s.told(), []);
    assert_eq!(s.with(|m| m.key_sheet.clone().unwrap().typed), secret("cairn:net:abc"));
}
