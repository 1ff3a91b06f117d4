//! Two sides of a pulled trunk write apart for longer than a flap; when it is back, every node gets one briefing that
//! names the others as one side and counts what they wrote, and `cairn briefing --json` says the same.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scale;
use crate::figures::report_ms;
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// Less than half a minute apart is a flap.
const APART: Duration = Duration::from_secs(33);
/// Heartbeats come every second; a busy machine is late.
const TOGETHER: Duration = Duration::from_secs(4);
/// From the healing of the cable to the briefing that is final: whoever comes back within ten seconds belongs to it,
/// and digests are compared then.
const FINAL: Duration = Duration::from_secs(40);

fn ids(side: &Value) -> Vec<String> {
    let members = side["members"].as_array().into_iter().flatten();
    let mut all: Vec<String> = members.filter_map(|m| m["id"].as_str().map(str::to_owned)).collect();
    all.sort_unstable();
    all
}

fn sides(briefing: &Value, here: bool) -> Vec<&Value> {
    briefing["sides"].as_array().into_iter().flatten().filter(|s| s["here"] == here).collect()
}

/// Runs it.
pub fn run(scale: &Scale) {
    let mut lan = Lan::of(6);
    let places: Vec<Place> = (0..6).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(&lan, &places);
    let all: Vec<&Node> = nodes.iter().collect();
    wait_mesh(&all, SOON);
    places[0].say(&lan, "everyone", "before the cut");
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "message", |l| l.len() == 1);
    }
    // Heartbeats say until when all were together, to a second or a few: what was said before them is not apart.
    std::thread::sleep(TOGETHER);
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    let parted = Instant::now();
    lan.part(&[&[0, 1, 2], &[3, 4, 5]]);
    for (i, node) in nodes.iter().enumerate() {
        for other in if i < 3 { [3, 4, 5] } else { [0, 1, 2] } {
            node.wait_gone(marks[i], &nodes[other].id, SOON);
        }
    }
    let each = scale.pick(20, 2);
    for place in &places {
        for n in 0..each {
            place.say(&lan, "everyone", &format!("apart: {} says {n}", place.name));
        }
    }
    // What is awaited is time itself: shorter than this they have not been apart.
    std::thread::sleep(APART.saturating_sub(parted.elapsed()));
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    lan.heal();
    let healed = Instant::now();
    let is_final = |e: &crate::events::Seen| e.is("briefing") && e.json["final"] == true;
    let mut slowest = Duration::ZERO;
    for (i, node) in nodes.iter().enumerate() {
        let told = node.events.wait(marks[i], healed + FINAL, is_final);
        let told = told.unwrap_or_else(|| panic!("{}: no final briefing", node.place.name));
        slowest = slowest.max(told.at - healed);
    }
    for (i, node) in nodes.iter().enumerate() {
        let told: Vec<_> = node.events.since(marks[i]).into_iter().filter(|e| e.is("briefing")).collect();
        assert!(told.iter().all(|e| e.json["id"] == told[0].json["id"]), "one briefing: {told:?}");
        let answer = node.place.must(&lan, &["briefing"]);
        let b = answer.first();
        assert_eq!(b["final"], true, "{b}");
        assert_eq!(b["missing"], Value::Array(Vec::new()), "{b}");
        let (own, other) = if i < 3 { (&nodes[..3], &nodes[3..]) } else { (&nodes[3..], &nodes[..3]) };
        let of = |nodes: &[Node]| {
            let mut all: Vec<String> = nodes.iter().map(|n| n.id.clone()).filter(|id| *id != node.id).collect();
            all.sort_unstable();
            all
        };
        let theirs = sides(b, false);
        assert_eq!(theirs.len(), 1, "{b}");
        assert_eq!((ids(theirs[0]), theirs[0]["messages"].as_u64()), (of(other), Some(3 * each)), "{b}");
        let ours = sides(b, true);
        assert_eq!((ids(ours[0]), ours[0]["messages"].as_u64()), (of(own), Some(3 * each)), "{b}");
        let room = &theirs[0]["conversations"][0];
        let first = room["first_message"].as_str().expect("a message to go to").to_owned();
        assert!(node.place.log(&lan, "everyone").iter().any(|l| l.id == first), "{first} is in the log");
        assert_eq!(room["authors"].as_array().map(Vec::len), Some(3), "{b}");
    }
    report_ms("healed cable to the final briefing, slowest", slowest, None);
    // It is kept, and read without a node too.
    let place = &places[0];
    let running = place.must(&lan, &["briefing", "--all"]).first().clone();
    let mut nodes = nodes;
    nodes.remove(0).stop();
    assert_eq!(*place.must(&lan, &["briefing"]).first(), running);
}
