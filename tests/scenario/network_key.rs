//! Without the network's key a device neither finds nor reaches those who have it; the key is changed while they talk, and
//! nobody loses anybody.

use std::time::{Duration, Instant};

use super::Scale;
use crate::lan::Lan;
use crate::node::{Answer, Node, Place, SOON, up_all, wait_mesh};

const FIRST: &str = "north ridge winter lantern";
const SECOND: &str = "a heron stands under the bridge";
const THIRD: &str = "somebody else entirely, elsewhere";

/// Runs it.
pub fn run(scale: &Scale) {
    let lan = Lan::of(6);
    let names = ["anna", "ben", "cleo", "dora", "emil"];
    let places: Vec<Place> = names.iter().enumerate().map(|(i, name)| Place::new(&lan, i, name)).collect();
    for place in &places[..3] {
        key(&lan, place, "set", FIRST);
    }
    key(&lan, &places[4], "set", THIRD);
    let nodes = up_all(&lan, &places[..3]);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);

    // One without a key and one with another, who even know where to dial.
    let address = format!("{}:{}", lan.v4(0), nodes[0].port());
    let outside: Vec<Place> = places[3..].iter().map(|p| p.clone().with(&["--peer", &address])).collect();
    let others = up_all(&lan, &outside);
    std::thread::sleep(Duration::from_secs(scale.pick(30, 6)));
    for other in &others {
        assert_eq!(other.events.here().len(), 0, "{} is alone", other.place.name);
        assert_eq!(peers(&lan, &other.place), 0, "{} learns nobody's name", other.place.name);
        other.place.say(&lan, "everyone", "is anybody here?");
    }
    let said = places[0].say(&lan, "everyone", "between us");
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "message", |l| l.len() == 1 && l[0].id == said);
        assert_eq!(peers(&lan, &node.place), 2, "{} hears of nobody else", node.place.name);
    }
    assert_eq!(places[3].log(&lan, "everyone").len(), 1, "its own words alone");

    // The key is changed on one after the other, while they talk.
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    let start = Instant::now();
    let mut wanted = 1;
    for place in &places[..3] {
        let state = key(&lan, place, "change", SECOND);
        assert_eq!(state.first()["old"].as_array().map(Vec::len), Some(1), "the old one is accepted too: {state:?}");
        for speaker in &places[..3] {
            speaker.say(&lan, "everyone", &format!("{} says, {} has changed", speaker.name, place.name));
            wanted += 1;
        }
        for node in &nodes {
            node.wait_log(&lan, "everyone", SOON, "what all said meanwhile", |l| l.len() == wanted);
        }
    }
    crate::figures::report_ms("changing the key on three while they talk", start.elapsed(), None);
    for (node, mark) in nodes.iter().zip(marks) {
        let lost = node.events.since(mark).iter().any(|e| e.is("peer") && e.text("state") == "offline");
        assert!(!lost, "{} lost somebody while the key was changed", node.place.name);
    }

    // A newcomer who knows the new passphrase alone is in the same network.
    let newcomer = Place::new(&lan, 5, "newcomer");
    key(&lan, &newcomer, "set", SECOND);
    let newcomer = newcomer.up(&lan);
    newcomer.wait_log(&lan, "everyone", SOON, "history", |l| l.len() == wanted);

    // The old one ends: links that were proved with it are made anew, and who has only that stays outside.
    for place in &places[..3] {
        let state = place.must(&lan, &["network", "key", "drop-old"]);
        assert_eq!(state.first()["old"].as_array().map(Vec::len), Some(0), "{state:?}");
    }
    let all: Vec<&Node> = nodes.iter().chain([&newcomer]).collect();
    wait_mesh(&all, SOON);
    key(&lan, &places[3], "set", FIRST);
    std::thread::sleep(Duration::from_secs(scale.pick(10, 3)));
    assert_eq!(peers(&lan, &places[3]), 0, "the old key opens nothing any more");
    let last = places[2].say(&lan, "everyone", "all with the new key");
    for node in &all {
        node.wait_log(&lan, "everyone", SOON, "last message", |l| l.iter().any(|l| l.id == last));
    }

    // The text of the key does what the passphrase does; nothing else printed it.
    let shown = places[0].must(&lan, &["network", "key", "show"]);
    let text = shown.first()["key"].as_str().expect("a text").to_owned();
    key(&lan, &places[3], "change", &text);
    others[0].wait_here(&[&nodes[0].id, &nodes[1].id, &nodes[2].id], SOON);
    for node in &nodes {
        let events = node.events.since(0);
        let leaked = events.iter().any(|e| e.json.to_string().contains("cairn:net:"));
        assert!(!leaked && !node.stderr(&lan).contains("cairn:net:"), "{} told the key", node.place.name);
    }
}

/// Gives a place a key: what it answers.
fn key(lan: &Lan, place: &Place, verb: &str, passphrase: &str) -> Answer {
    let answer = place.verb_with(lan, &["network", "key", verb], &format!("{passphrase}\n"));
    assert_eq!(answer.code, 0, "{}: {verb}: {}", place.name, answer.stderr);
    assert!(answer.first()["code"].is_string(), "{answer:?}");
    answer
}

/// How many devices a place has ever heard of.
fn peers(lan: &Lan, place: &Place) -> usize {
    place.must(lan, &["peers"]).lines.len()
}
