//! Two sides of a pulled trunk keep talking; when it is back they notice soon and agree: every message on every node,
//! in one order, once each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::{report, report_ms};
use crate::lan::Lan;
use crate::node::{Line, Node, Place, SOON, up_all, wait_mesh};

/// From the healing of the cable to the first session across.
const NOTICED: Duration = Duration::from_secs(5);
/// From the last session across to every message on every node.
const AGREED: Duration = Duration::from_secs(2);

/// Runs it.
pub fn run(scale: &Scale) {
    let mut lan = Lan::of(4);
    let places: Vec<Place> = (0..4).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(&lan, &places);
    let all: Vec<&Node> = nodes.iter().collect();
    wait_mesh(&all, SOON);
    let mut said = BTreeSet::new();
    said.insert(places[0].say(&lan, "everyone", "before the cut"));
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "message", |l| l.len() == 1);
    }

    let (mut noticed, mut agreed) = (Duration::ZERO, Duration::ZERO);
    for round in 0..scale.pick(5, 1) {
        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        lan.part(&[&[0, 1], &[2, 3]]);
        // Talk before anybody has noticed, and on after all have.
        talk(&lan, &places, &mut said, &format!("round {round}, early"), 2);
        for (i, node) in nodes.iter().enumerate() {
            for other in if i < 2 { [2, 3] } else { [0, 1] } {
                node.wait_gone(marks[i], &nodes[other].id, SOON);
            }
        }
        talk(&lan, &places, &mut said, &format!("round {round}, apart"), scale.pick(50, 5));

        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        lan.heal();
        let healed = Instant::now();
        let across = |e: &crate::events::Seen| e.is("peer") && e.text("state") != "offline";
        let first = nodes.iter().zip(&marks).filter_map(|(n, m)| n.events.wait(*m, healed + SOON, across));
        let first = first.map(|e| e.at).min().expect("somebody notices");
        noticed = noticed.max(first - healed);
        wait_mesh(&all, SOON);
        let wanted = said.len();
        for node in &nodes {
            node.wait_log(&lan, "everyone", SOON, "agreement", |l| l.len() >= wanted);
        }
        agreed = agreed.max(first.elapsed());
        same_everywhere(&lan, &nodes, "everyone", &said);
    }
    report("messages said in partitions", said.len() as f64, "messages", None);
    report_ms("healed cable to noticed, slowest", noticed, Some(NOTICED));
    report_ms("noticed to every message on every node, slowest", agreed, Some(AGREED));
    assert!(noticed <= NOTICED, "noticed after {noticed:?}");
    assert!(scale.full || agreed <= AGREED * 5, "agreed after {agreed:?}");
}

fn talk(lan: &Lan, places: &[Place], said: &mut BTreeSet<String>, what: &str, times: usize) {
    for n in 0..times {
        for place in places {
            said.insert(place.say(lan, "everyone", &format!("{what}: {} says {n}", place.name)));
        }
    }
}

/// Every node shows exactly these messages, in one order, once each; the order.
pub(super) fn same_everywhere(lan: &Lan, nodes: &[Node], conversation: &str, said: &BTreeSet<String>) -> Vec<Line> {
    let first = nodes[0].place.log(lan, conversation);
    let ids: Vec<&String> = first.iter().map(|l| &l.id).collect();
    assert_eq!(ids.len(), said.len(), "once each: {first:?}");
    assert_eq!(&ids.iter().map(|id| (*id).clone()).collect::<BTreeSet<_>>(), said, "exactly what was said");
    for node in nodes {
        assert_eq!(node.place.log(lan, conversation), first, "{} shows the same order", node.place.name);
    }
    first
}
