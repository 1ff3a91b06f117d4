//! The lock screen: nothing of the content behind it, the passphrase, and locking by itself.

use cairn_actors::api::ApiError;
use egui::accesskit::Role;

use super::*;
use crate::lock::State;
use crate::ui::model::key::Secret;

fn sealed() -> Model {
    let mut model = sample::model();
    model.apply(Update::Lock { sealed: true, state: State::Open });
    model
}

/// Words of people that the sample shows.
const CONTENT: [&str; 4] = ["Maya Okafor", "evening brief", "North Ridge", "Linh Wagner"];

fn typed(s: &mut Screen, text: &str) {
    let field = |s: &Screen| s.harness.get_by_label("Passphrase").rect();
    assert!(field(s).width() > 100.0);
    s.harness.get_by_label("Passphrase").focus();
    s.run();
    s.harness.get_by_label("Passphrase").type_text(text);
    s.run();
}

#[test]
fn a_locked_window_shows_the_lock_screen_alone_and_opens_with_the_passphrase() {
    let mut s = Screen::of(sealed(), FULL);
    assert!(CONTENT.iter().all(|words| s.sees(words)));
    s.with(|m| m.act(Intent::EditDraft(sample::everyone(), "half a sentence".into())));
    let commands = s.with(|m| m.act(Intent::LockNow));
    assert_eq!(commands, [Command::Lock]);
    s.run();
    s.told();
    assert!(s.sees("Cairn is locked") && s.sees("goes on receiving"));
    for words in CONTENT {
        assert!(!s.sees(words), "{words}");
    }
    assert_eq!(
        s.with(|m| (m.peers.len(), m.conversations.len(), m.unread(), m.history(&sample::everyone()).is_some())),
        (0, 0, 0, false)
    );
    // What happens meanwhile is not taken in, and no key of the window does anything.
    s.with(|m| m.apply(Update::Event(Box::new(Event::Message(Box::new(sample::message(7)))))));
    s.with(|m| m.apply(Update::Peers(vec![])));
    s.key(Modifiers::COMMAND, Key::K);
    s.key(Modifiers::COMMAND, Key::Comma);
    assert!(s.sees("Cairn is locked") && s.with(|m| m.palette.is_none() && m.history(&sample::everyone()).is_none()));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());

    typed(&mut s, "four words that are wrong");
    assert!(!s.sees("four words"), "it is not shown");
    s.click("Unlock");
    assert_eq!(s.told(), [Command::Unlock(Secret::new("four words that are wrong"))]);
    assert!(s.sees("One moment"));
    s.with(|m| m.apply(Update::NotUnlocked(ApiError::new("wrong_passphrase", "the passphrase is wrong"))));
    s.run();
    assert!(s.sees("That is not the passphrase."));
    typed(&mut s, "the right ones this time");
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.told(), [Command::Unlock(Secret::new("the right ones this time"))]);
    let commands = s.with(|m| m.apply(Update::Lock { sealed: true, state: State::Open }));
    assert_eq!(commands, [Command::Everything], "all is read anew");
    s.run();
    assert!(!s.sees("Cairn is locked"));
    assert_eq!(s.with(|m| m.draft(&sample::everyone()).to_owned()), "half a sentence", "what was typed is not lost");
    assert_eq!(format!("{:?}", Secret::new("words")), "Secret", "nor told to a log");
}

#[test]
fn a_window_on_a_closed_folder_asks_before_anything_else() {
    let mut s = Screen::of(Model::new(Preferences::default()).waiting(), FULL);
    assert!(s.sees("Cairn is locked") && s.sees("It starts once you type the passphrase."));
    assert_eq!(s.harness.query_all_by_role(Role::Button).count(), 1, "there is nothing else to press");
    s.with(|m| m.apply(Update::Lock { sealed: true, state: State::Locked(Some("no port could be opened".into())) }));
    s.run();
    assert!(s.sees("no port could be opened"));
}

#[test]
fn it_locks_after_the_time_that_was_set_and_only_with_a_passphrase() {
    let minute = 60_000;
    let mut m = sealed();
    m.act(Intent::SetLockAfter(5));
    m.active(1_000);
    assert_eq!(m.idle(1_000 + 5 * minute - 1), None);
    m.active(2_000);
    assert_eq!(m.idle(1_999 + 5 * minute), None);
    assert_eq!(m.idle(2_000 + 5 * minute), Some(Command::Lock));
    assert!(m.locked.is_some() && m.peers.is_empty());
    assert_eq!(m.idle(2_000 + 50 * minute), None, "once");
    // A laptop that slept wakes up locked; a clock that was set back locks nothing at once.
    let mut m = sealed();
    m.active(100 * minute);
    assert_eq!(m.idle(50 * minute), None);
    assert_eq!(m.idle(64 * minute), None);
    assert_eq!(m.idle(65 * minute), Some(Command::Lock));
    let mut m = sealed();
    m.act(Intent::SetLockAfter(0));
    m.active(0);
    assert_eq!(m.idle(1_000 * minute), None, "never");
    let mut m = sample::model();
    m.active(0);
    assert_eq!((m.idle(1_000 * minute), m.act(Intent::LockNow)), (None, vec![]), "there is nothing to unlock it with");
    assert!(m.locked.is_none());
}

#[test]
fn the_settings_say_what_it_means_to_have_none_and_when_it_locks() {
    let mut s = Screen::of(sample::model(), [1280.0, 2400.0]);
    s.with(|m| m.act(Intent::Show(View::Settings)));
    s.run();
    assert!(s.sees("whoever gets the disk") && s.sees("cairn passphrase set"));
    let mut s = Screen::of(sealed(), [1280.0, 2400.0]);
    s.with(|m| m.act(Intent::Show(View::Settings)));
    s.run();
    s.told();
    s.click("After 5 minutes");
    assert!(matches!(&s.told()[..], [Command::Save(p)] if p.lock_after == 5));
    s.click("Lock now");
    assert_eq!(s.told(), [Command::Lock]);
    assert!(s.sees("Cairn is locked"));
}
