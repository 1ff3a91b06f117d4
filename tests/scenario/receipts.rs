//! Receipts tell the truth: queued while nobody is here, then delivered to as many of all as hold it, a line a member.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scale;
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// Runs it.
pub fn run(_: &Scale) {
    let lan = Lan::of(4);
    let places: Vec<Place> = (0..4).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let mut nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    let first = places[0].say(&lan, "everyone", "to all three");
    wait_delivered(&lan, &nodes[0], &first, 3, 3);

    // One is away: it counts as a member and does not hold the message, which others carry to it; on its return it does.
    let mark = nodes[0].events.mark();
    let leaver = nodes.remove(3);
    let id = leaver.id.clone();
    leaver.stop();
    nodes[0].wait_gone(mark, &id, SOON);
    let second = places[0].say(&lan, "everyone", "to two for now");
    wait_delivered(&lan, &nodes[0], &second, 2, 3);
    let lines = places[0].must(&lan, &["receipts", "everyone", &second]).lines;
    assert_eq!(lines.len(), 3, "a line a member: {lines:?}");
    for line in &lines {
        let expected = if line["id"] == id.as_str() { "carried" } else { "delivered" };
        assert_eq!(line["state"], expected, "{line}");
    }
    nodes.push(places[3].up(&lan));
    wait_delivered(&lan, &nodes[0], &second, 3, 3);

    // Alone: queued, and said so.
    for node in nodes.drain(1..) {
        node.stop();
    }
    let third = places[0].say(&lan, "everyone", "to nobody yet");
    let line = line_of(&lan, &places[0], &third);
    assert_eq!((&line["state"], &line["delivered_to"]), (&Value::from("queued"), &Value::from(0)), "{line}");
}

fn line_of(lan: &Lan, place: &Place, message: &str) -> Value {
    let answer = place.must(lan, &["log", "everyone", "--limit", "1000"]);
    answer.lines.into_iter().find(|l| l["id"] == message).unwrap_or(Value::Null)
}

fn wait_delivered(lan: &Lan, node: &Node, message: &str, to: u64, of: u64) {
    let deadline = Instant::now() + SOON;
    loop {
        let mark = node.events.mark();
        let line = line_of(lan, &node.place, message);
        if line["delivered_to"] == to && line["members"] == of && line["state"] == "delivered" {
            return;
        }
        assert!(Instant::now() < deadline, "not delivered to {to} of {of}: {line}");
        node.events.wait_news(mark, Duration::from_millis(200));
    }
}
