//! The card that says how long a conversation is kept.

use cairn_actors::api::{Event, Retention, What};
use egui_kittest::kittest::Queryable;

use super::{FULL, Screen};
use crate::ui::intent::{Command, Intent};
use crate::ui::model::Update;
use crate::ui::sample;

const WEEK: u64 = 7 * 86_400;

fn retention(keep: Option<u64>) -> Retention {
    Retention {
        conversation: sample::direct(1),
        keep,
        shared: true,
        set_by: None,
        set_by_name: Some("Maya".into()),
        set_at: Some(1_000),
        gone_before: None,
        erased_before: None,
        erases_at: None,
        agreed: false,
        sentence: "What it does.".into(),
    }
}

fn screen(keep: Option<u64>) -> Screen {
    let s = Screen::of(sample::model(), [FULL[0], 1_400.0]);
    s.with(|m| {
        m.act(Intent::Open(sample::direct(1)));
        m.apply(Update::Event(Box::new(Event::Retention(Box::new(retention(keep))))));
    });
    let mut s = s;
    s.run();
    s.told();
    s
}

#[test]
fn a_choice_is_told_to_the_node_and_what_it_does_is_said() {
    let mut s = screen(Some(4 * WEEK));
    assert!(s.sees("What it does.") && s.sees("Set by Maya") && s.sees("until the other side's clock agrees"));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
    s.click("Keep 4 weeks");
    assert_eq!(s.told(), [], "it is so already");
    s.click("Keep a week");
    s.click("Keep for ever");
    let maya = sample::direct(1);
    assert_eq!(s.told(), [Command::SetRetention(maya, Some(WEEK)), Command::SetRetention(maya, None)]);
    assert!(s.sees("Keep a year"));
}

#[test]
fn ones_own_copy_goes_only_after_a_second_word() {
    let mut s = screen(None);
    s.click("Delete my copy…");
    assert!(s.sees("which is only hidden"));
    s.click("Keep it");
    assert!(!s.sees("which is only hidden"));
    s.click("Delete my copy…");
    s.click("Delete it");
    assert_eq!(s.told(), [Command::Forget(sample::direct(1))]);
    assert!(s.harness.query_by_label("Delete it").is_none());
    // Another conversation asks nothing.
    s.click("Delete my copy…");
    s.with(|m| m.act(Intent::Open(sample::everyone())));
    s.run();
    assert!(!s.sees("which is only hidden") && !s.sees("What it does."));
}

#[test]
fn what_goes_leaves_the_screen_and_is_read_again() {
    let s = screen(None);
    let room = sample::everyone();
    s.with(|m| m.act(Intent::Open(room)));
    let mut s = s;
    s.run();
    s.told();
    assert!(s.sees("Who takes the evening brief?"));
    let gone = Event::Gone { conversation: room, what: What::Hidden, before: u64::MAX };
    let asked = s.with(|m| m.apply(Update::Event(Box::new(gone))));
    assert!(matches!(asked[..], [Command::Page(id, ..), Command::Retention(also)] if id == room && also == room));
    s.run();
    assert!(!s.sees("Who takes the evening brief?") && s.sees("One moment"));
}
