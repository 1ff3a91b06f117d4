//! The sheet on which two people compare, and the badges and codes beside names.

use std::sync::Arc;

use cairn_actors::api::{ApiError, Badge, Event, Peer, Safety, Warning};
use egui_kittest::kittest::Queryable;

use super::{FULL, Screen};
use crate::ui::intent::{Command, Intent};
use crate::ui::model::Update;
use crate::ui::model::verify::CodeFrom;
use crate::ui::sample;

fn told(peer: Peer) -> Update {
    Update::Event(Box::new(Event::Peer(Box::new(peer))))
}

/// The chat with Medic-3, whom nobody has compared with yet.
fn screen() -> Screen {
    let mut s = Screen::of(sample::model(), [FULL[0], 1_000.0]);
    s.with(|m| m.act(Intent::Open(sample::direct(6))));
    s.run();
    s.told();
    s
}

fn opened() -> Screen {
    let mut s = screen();
    s.click("Compare safety numbers…");
    assert_eq!(s.told(), [Command::Safety(sample::device(6))]);
    s
}

fn compared() -> Screen {
    let mut s = opened();
    assert!(s.sees("One moment"));
    s.with(|m| m.apply(Update::Safety(Box::new(Safety::between(&sample::me(), sample::peer(6))))));
    s.run();
    s
}

#[test]
fn digits_words_and_code_are_compared_and_confirmed() {
    let mut s = compared();
    let safety = Safety::between(&sample::me(), sample::peer(6));
    assert!(s.sees("Is this Medic-3?") && s.sees(&safety.digits.join(" ")) && s.sees(&safety.words.join(" ")));
    assert!(s.sees("QR code for the other side to read") && s.sees("You, Linh Wagner"));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
    s.click("They match");
    assert_eq!(s.told(), [Command::SetVerified(sample::device(6), true)]);
    assert!(!s.sees("You have compared"), "nothing is shown before the node has kept it");
    let mut medic = sample::peer(6);
    medic.badge = Badge::Verified;
    s.with(|m| m.apply(told(medic)));
    s.run();
    assert!(s.sees("You have compared: this is Medic-3.") && s.harness.query_by_label("They match").is_none());
    s.click("Take it back");
    assert_eq!(s.told(), [Command::SetVerified(sample::device(6), false)]);
    s.key(egui::Modifiers::NONE, egui::Key::Escape);
    assert!(!s.sees("Is this Medic-3?"));
}

#[test]
fn what_does_not_match_is_said_aloud() {
    let mut s = compared();
    s.click("They don't match");
    assert_eq!(s.told(), []);
    assert!(s.sees("Somebody may stand between you and Medic-3"));
    // Who was verified is so no more.
    let mut medic = sample::peer(6);
    medic.badge = Badge::Verified;
    s.with(|m| m.apply(told(medic)));
    s.run();
    s.click("They don't match");
    assert_eq!(s.told(), [Command::SetVerified(sample::device(6), false)]);
    // Another person's sheet says nothing of that.
    s.with(|m| m.act(Intent::Verify(sample::device(2))));
    s.run();
    assert!(!s.sees("Somebody may stand"));
    let late = Update::ReadCode(sample::device(6), Err(ApiError::new("no_code", "no QR code was found")));
    s.with(|m| m.apply(late));
    s.run();
    assert!(!s.sees("no QR code was found"));
}

#[test]
fn codes_are_read_from_files_and_from_the_clipboard() {
    let mut s = compared();
    let medic = sample::device(6);
    s.type_into("Place of the picture", "/tmp/photo.jpg");
    s.click("Read it");
    assert_eq!(s.told(), [Command::ReadCode(medic, CodeFrom::File("/tmp/photo.jpg".into()))]);
    assert!(s.sees("Reading…"));
    // One at a time.
    s.with(|m| assert_eq!(m.act(Intent::ReadCode(medic, CodeFrom::Text("x".into()))), []));
    s.with(|m| m.apply(Update::ReadCode(medic, Err(ApiError::new("not_you", "NOT VERIFIED: another device")))));
    s.run();
    assert!(s.sees("NOT VERIFIED: another device") && s.sees("Read it"));
    assert!(s.with(|m| m.verifying.as_ref().unwrap().refused.as_ref().unwrap().alarming));

    // While the field has the keyboard, what is pasted is a place.
    s.type_into("Place of the picture", "x");
    s.harness.event(egui::Event::Paste("y".into()));
    s.run();
    assert_eq!((s.told(), s.with(|m| m.verifying.as_ref().unwrap().path.ends_with("xy"))), (vec![], true));
    s.click("Paste");
    s.harness.event(egui::Event::Paste("CAIRN:ID:1:…".into()));
    s.run();
    assert_eq!(s.told(), [Command::ReadCode(medic, CodeFrom::Text("CAIRN:ID:1:…".into()))]);
    s.with(|m| m.apply(Update::ReadCode(medic, Err(ApiError::new("no_code", "no QR code was found")))));
    s.run();
    assert!(s.sees("no QR code was found"));
    assert!(!s.with(|m| m.verifying.as_ref().unwrap().refused.as_ref().unwrap().alarming));
    let image = egui::ColorImage::filled([2, 1], egui::Color32::WHITE);
    s.harness.event(egui::Event::PasteImage(Arc::new(image)));
    s.run();
    assert_eq!(s.told(), [Command::ReadCode(medic, CodeFrom::Pixels(2, 1, vec![255; 8]))]);
    s.with(|m| m.apply(Update::ReadCode(medic, Ok(()))));
    s.run();
    assert!(!s.sees("no QR code was found") && s.sees("Read it"));
}

#[test]
fn a_taken_name_is_warned_of_wherever_it_stands() {
    let mut s = Screen::of(sample::model(), [FULL[0], 1_000.0]);
    let mut liar = sample::peer(5);
    liar.name = "Maya Okafor".into();
    liar.own_name = Some(liar.name.clone());
    (liar.badge, liar.namesake) = (Badge::Warning, true);
    let sentence = "uses the name of your contact Maya Okafor, whom you verified, but is another device".to_owned();
    liar.warning = Some(Warning { of: sample::device(1), mine: false, sentence: sentence.clone() });
    let label = liar.label();
    let mut maya = sample::peer(1);
    maya.namesake = true;
    let hers = maya.label();
    s.with(|m| {
        m.apply(told(liar));
        m.apply(told(maya));
    });
    s.run();
    // Its messages that are on screen already, the list of the room, and hers with her code.
    assert!(s.sees(&format!("{label}, warning, ")), "{label}");
    assert!(s.sees(&format!("{hers}, verified, ")));
    assert_ne!(label, hers);
    s.with(|m| m.act(Intent::Open(sample::direct(5))));
    s.run();
    assert!(s.sees(&sentence), "the details say it whole");
    assert!(s.sees("Uses the name of somebody you know"), "the heading says it in short");
    s.with(|m| m.act(Intent::TogglePalette));
    s.run();
    assert!(s.sees(&format!("Compare safety numbers with {label}")));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
}
