//! What became of our messages, as it is seen beside them and in the details.

use cairn_actors::api::{DeliveryState, Event};

use egui_kittest::kittest::Queryable;

use super::Screen;
use crate::ui::intent::{Command, Intent};
use crate::ui::model::{Update, View};
use crate::ui::sample;

#[test]
fn the_details_tell_who_has_read_it_and_whom_it_is_carried_for() {
    let mut s = Screen::of(sample::model(), [1280.0, 800.0]);
    assert!(s.sees("read 4 of 9") && s.sees("7 of 9") && s.sees("read 2 of 9"), "beside each message of ours");
    assert!(s.sees("Have read it: 2 of 9") && s.sees("Maya Okafor and T. Rinaldi"));
    assert!(s.sees("Medic-3, contact: carried"));
    // The next one is nowhere else yet, and then with two who will pass it on.
    let mut next = sample::morning().remove(11);
    next.key.stamp = next.key.stamp.next();
    next.id.0[0] = 9;
    next.key.id = next.id;
    (next.delivered_to, next.read_by, next.carried_by, next.state) = (0, 0, 0, DeliveryState::Queued);
    let last = next.id;
    s.with(|m| m.apply(Update::Event(Box::new(Event::Message(Box::new(next))))));
    s.run();
    assert!(s.sees("queued"));
    s.with(|m| {
        m.apply(Update::Event(Box::new(Event::Delivery {
            conversation: sample::everyone(),
            message: Some(last),
            delivered_to: 0,
            members: 9,
            read_by: 0,
            carried_by: 2,
            state: DeliveryState::Carried,
        })))
    });
    s.run();
    assert!(s.sees("carried by 2") && s.sees("Carried by 2 others, who will pass it on"));
}

#[test]
fn read_receipts_are_switched_in_the_settings() {
    let mut s = Screen::of(sample::model(), [1280.0, 800.0]);
    s.with(|m| m.act(Intent::Show(View::Settings)));
    s.run();
    s.told();
    s.click("Tell nobody");
    assert_eq!(s.told(), [Command::SetReadReceipts(false)]);
    s.click("Tell others what I have read");
    assert_eq!(s.told(), [], "it is so already, as far as the node has said");
}

#[test]
fn the_details_tell_who_holds_the_conversation_and_was_last_seen_when() {
    let mut s = Screen::of(sample::model(), [1280.0, 1_200.0]);
    assert!(s.sees("Hold all of it: 6 of 8"));
    assert!(s.sees("Medic-3, contact: up to 13:52") && s.sees("T. Rinaldi, unknown: nothing known"));
    assert!(s.sees("Last seen "));
    let mut alone = sample::custody();
    (alone.holders, alone.members) = (1, 8);
    s.with(|m| m.apply(Update::Custody(sample::everyone(), Some(Box::new(alone)))));
    s.run();
    assert!(s.sees("Only this device has all of it"));
    // An answer that comes when another conversation is open is of no use.
    s.with(|m| m.act(Intent::Open(sample::direct(1))));
    s.with(|m| m.apply(Update::Custody(sample::everyone(), Some(Box::new(sample::custody())))));
    s.run();
    assert!(!s.sees("Hold all of it"));
}

#[test]
fn late_messages_and_wrong_clocks_are_marked() {
    let mut s = Screen::of(sample::model(), [1280.0, 1_200.0]);
    assert!(s.with(|m| m.history(&sample::everyone()).unwrap().messages().iter().all(|m| !m.late)));
    let mut late = sample::morning().remove(3);
    late.late = true;
    s.with(|m| m.apply(Update::Event(Box::new(Event::Message(Box::new(late))))));
    s.run();
    assert!(s.harness.query_by_label("late").is_some());
    s.with(|m| m.act(Intent::Open(sample::direct(3))));
    s.run();
    assert!(s.sees("Its clock: 9 years ahead"));
    let mut status = sample::status();
    status.clock_offset_ms = 2_140;
    s.with(|m| m.apply(Update::Status(Box::new(status))));
    s.run();
    assert!(s.sees("Mesh time +2.1 s"));
}
