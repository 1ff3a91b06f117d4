//! How far catching up is, in the status line.

use cairn_actors::api::Event;
use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT, Queryable};

use super::Screen;
use crate::ui::model::Update;
use crate::ui::sample;

fn tell(s: &mut Screen, came: u64, left: u64) {
    let told = sample::catch_up(sample::everyone(), came, left);
    s.with(|m| m.apply(Update::Event(Box::new(Event::CatchUp(Box::new(told))))));
    s.run();
}

#[test]
fn a_bar_stands_in_the_status_line_while_much_is_still_to_come() {
    let mut s = Screen::of(sample::model(), [1280.0, 800.0]);
    assert!(s.sees("eth0"));
    tell(&mut s, 12_400, 87_600);
    let words = "Catching up: 12,400 of 100,000 from Maya Okafor";
    let bar = s.harness.get_by_label(words);
    assert_eq!(bar.accesskit_node().role(), Role::ProgressIndicator);
    assert_eq!(bar.accesskit_node().numeric_value(), Some(0.124_f32.into()));
    assert!(!s.sees("eth0") && s.sees("All saved"), "in the place of the interfaces, and of nothing else");
    tell(&mut s, 100_000, 0);
    assert!(!s.sees("Catching up") && s.sees("eth0"));
}

#[test]
fn where_there_is_little_room_the_rest_of_the_line_stays() {
    let mut s = Screen::of(sample::model(), [420.0, 640.0]);
    tell(&mut s, 1, 999_999);
    assert!(s.sees("All saved"));
}
