//! Two groups of three that talked apart meet: each device is asked, and after six yeses all hold both Everyone rooms,
//! equal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Scale, partition::same_everywhere};
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// Runs it.
pub fn run(scale: &Scale) {
    let mut lan = Lan::of(6);
    lan.part(&[&[0, 1, 2], &[3, 4, 5]]);
    let places: Vec<Place> = (0..6).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(&lan, &places);
    let mut rooms = Vec::new();
    for side in [&nodes[..3], &nodes[3..]] {
        wait_mesh(&side.iter().collect::<Vec<_>>(), SOON);
        let mut said = BTreeSet::new();
        for n in 0..scale.pick(20, 2) {
            for node in side {
                said.insert(node.place.say(&lan, "everyone", &format!("{} says {n}", node.place.name)));
            }
        }
        let wanted = said.len();
        for node in side {
            node.wait_log(&lan, "everyone", SOON, "settled room", |l| l.len() == wanted);
        }
        rooms.push((joined(&lan, &side[0].place), said));
    }
    assert_ne!(rooms[0].0.network, rooms[1].0.network, "they minted networks of their own");

    lan.heal();
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    for (i, node) in nodes.iter().enumerate() {
        let other = &rooms[usize::from(i < 3)].0;
        wait_network(node, &other.network, "asking");
        // Until somebody says yes, nothing of the other room shows.
        assert!(node.place.log(&lan, &other.conversation()).is_empty(), "nobody is handed the other room's history");
        assert_eq!(
            node.place.log(&lan, "everyone").len(),
            rooms[usize::from(i >= 3)].1.len(),
            "one's own room is as it was"
        );
    }
    let start = Instant::now();
    for (i, place) in places.iter().enumerate() {
        place.must(&lan, &["network", "join", &rooms[usize::from(i < 3)].0.network]);
    }
    for (room, said) in &rooms {
        let wanted = said.len();
        for node in &nodes {
            node.wait_log(&lan, &room.conversation(), SOON, "both rooms", |l| l.len() >= wanted);
        }
        same_everywhere(&lan, &nodes, &room.conversation(), said);
    }
    crate::figures::report_ms("from the first of six yeses to both rooms everywhere", start.elapsed(), None);

    // Both rooms live on: what is said in the primary one of a device reaches all six.
    let id = places[0].say(&lan, &rooms[0].0.conversation(), "hello, other side");
    for node in &nodes {
        node.wait_log(&lan, &rooms[0].0.conversation(), SOON, "new message", |l| l.iter().any(|l| l.id == id));
    }
}

struct Room {
    network: String,
    space: String,
}

impl Room {
    fn conversation(&self) -> String {
        format!("id:{}", self.space)
    }
}

/// The one network that a place has joined.
fn joined(lan: &Lan, place: &Place) -> Room {
    let answer = place.must(lan, &["network", "list"]);
    let joined: Vec<&Value> = answer.lines.iter().filter(|n| n["state"] == "joined").collect();
    let [network] = joined.as_slice() else { panic!("{} is in one network: {answer:?}", place.name) };
    let text = |field: &str| network[field].as_str().unwrap_or_else(|| panic!("{field} in {network}")).to_owned();
    Room { network: text("id"), space: text("conversation") }
}

fn wait_network(node: &Node, network: &str, state: &str) {
    let wanted = |e: &crate::events::Seen| e.is("network") && e.text("id") == network && e.text("state") == state;
    let seen = node.events.wait(0, Instant::now() + Duration::from_secs(20), wanted);
    assert!(seen.is_some(), "{}: no event `network`, {state}, of the other side's network", node.place.name);
}
