//! Partitions as they happen: a long one with much said on both sides, three that overlap, and two LANs of one network
//! that never meet and are kept up to date by a laptop carried between them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Scale, partition::same_everywhere};
use crate::events::Seen;
use crate::figures::{report, report_ms};
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// From the first session across to every message on every node.
const EQUAL: Duration = Duration::from_secs(3);
/// For what takes as long as there is much of it.
const LONG: Duration = Duration::from_secs(60);

/// Six hosts part into three and three for a minute, a thousand messages are said on each side, and all six are equal
/// within three seconds of noticing each other again.
pub fn long(scale: &Scale) {
    let mut lan = Lan::of(6);
    let (places, nodes, mut said) = six(&lan);
    let all: Vec<&Node> = nodes.iter().collect();
    lan.part(&[&[0, 1, 2], &[3, 4, 5]]);
    let (lasts, each) = (scale.pick(Duration::from_secs(60), Duration::from_secs(6)), scale.pick(1_000, 100));
    said.extend(talk_for(&lan, &places, lasts, each));
    let (first, equal) = heal(&mut lan, &all, &said);
    same_everywhere(&lan, &nodes, "everyone", &said);
    report("messages said on either side of a long partition", each as f64, "messages", None);
    report_ms("long partition: noticed to every message on every node, slowest", equal - first, Some(EQUAL));
    assert!(scale.full || equal - first <= EQUAL * 3, "equal after {:?}", equal - first);
}

/// Three partitions, each across the sides of the one before, without an hour of peace between them.
pub fn overlapping(scale: &Scale) {
    let mut lan = Lan::of(6);
    let (places, nodes, mut said) = six(&lan);
    let all: Vec<&Node> = nodes.iter().collect();
    let splits: [&[&[usize]]; 3] = [&[&[0, 1, 2, 3], &[4, 5]], &[&[0, 1], &[2, 3, 4, 5]], &[&[0, 5], &[1, 2], &[3, 4]]];
    for (round, sides) in splits.into_iter().enumerate() {
        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        let before: Vec<BTreeSet<String>> = nodes.iter().map(|n| n.events.here().into_keys().collect()).collect();
        lan.part(sides);
        // Talk before anybody has noticed, and on after all have.
        said.extend(talk_for(&lan, &places, Duration::from_millis(500), 6));
        for side in sides {
            for &here in *side {
                for other in (0..6).filter(|o| !side.contains(o) && before[here].contains(&nodes[*o].id)) {
                    nodes[here].wait_gone(marks[here], &nodes[other].id, SOON);
                }
                let ids: Vec<&str> = side.iter().filter(|o| **o != here).map(|o| nodes[*o].id.as_str()).collect();
                nodes[here].wait_here(&ids, SOON);
            }
        }
        let (lasts, each) = (scale.pick(Duration::from_secs(10), Duration::from_secs(1)), scale.pick(200, 15));
        said.extend(talk_for(&lan, &places, lasts, each));
        assert!(nodes[0].place.log(&lan, "everyone").len() < said.len(), "round {round}: the sides did part");
    }
    let (first, equal) = heal(&mut lan, &all, &said);
    same_everywhere(&lan, &nodes, "everyone", &said);
    report_ms("three overlapping partitions: noticed to equal, slowest", equal - first, Some(EQUAL));
    assert!(scale.full || equal - first <= EQUAL * 3, "equal after {:?}", equal - first);
}

/// Hosts 0 and 1 are one LAN, 2 and 3 another; host 4 is carried between them.
pub fn courier(scale: &Scale) {
    let mut lan = Lan::of(5);
    lan.part(&[&[0, 1, 4], &[2, 3]]);
    let places: Vec<Place> = (0..5).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let mut nodes = up_all(&lan, &[places[0].clone(), places[1].clone(), places[4].clone()]);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    let mut said = BTreeSet::from([places[0].say(&lan, "everyone", "from the first LAN")]);
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "message", |l| l.len() == 1);
    }
    // The second LAN starts when the courier is there, and so belongs to the same network.
    carry(&mut lan, &[0, 1], &[2, 3, 4]);
    let fresh = up_all(&lan, &[places[2].clone(), places[3].clone()]);
    let courier = nodes.pop().expect("three nodes");
    nodes.extend(fresh);
    nodes.push(courier);

    let mut slowest = Duration::ZERO;
    for trip in 0..scale.pick(10, 2) {
        for (there, away) in [([2, 3], [0, 1]), ([0, 1], [2, 3])] {
            let side: Vec<&Node> = there.iter().chain(&[4]).map(|i| &nodes[*i]).collect();
            let arrived = wait_mesh(&side, LONG);
            // What was said at home while the courier is out, and what is said where it is.
            for host in there.iter().chain(&away) {
                let text = format!("trip {trip}, with {there:?}: {} speaks", places[*host].name);
                said.insert(places[*host].say(&lan, "everyone", &text));
            }
            // All that the courier knew or could hear is where it is now.
            let known: BTreeSet<String> = places[4].log(&lan, "everyone").into_iter().map(|l| l.id).collect();
            for node in &side {
                node.wait_log(&lan, "everyone", SOON, "what was carried", |l| {
                    let ids: BTreeSet<&String> = l.iter().map(|l| &l.id).collect();
                    known.iter().all(|id| ids.contains(id))
                });
            }
            slowest = slowest.max(arrived.elapsed());
            let marks: Vec<usize> = side.iter().map(|n| n.events.mark()).collect();
            let mut with = away.to_vec();
            with.push(4);
            carry(&mut lan, &there, &with);
            for (node, mark) in side.iter().zip(&marks).take(2) {
                node.wait_gone(*mark, &nodes[4].id, SOON);
            }
        }
    }
    // A last quiet round brings both LANs to the same: they never met.
    for with in [vec![0, 1, 4], vec![2, 3, 4], vec![0, 1, 4]] {
        let away: Vec<usize> = (0..4).filter(|h| !with.contains(h)).collect();
        carry(&mut lan, &away, &with);
        let side: Vec<&Node> = with.iter().map(|i| &nodes[*i]).collect();
        wait_mesh(&side, LONG);
        let courier: BTreeSet<String> = places[4].log(&lan, "everyone").into_iter().map(|l| l.id).collect();
        for node in &side {
            node.wait_log(&lan, "everyone", SOON, "what was carried", |l| l.len() >= courier.len());
        }
    }
    for home in [&nodes[0], &nodes[1], &nodes[4]] {
        home.wait_log(&lan, "everyone", SOON, "everything", |l| l.len() == said.len());
    }
    carry(&mut lan, &[0, 1], &[2, 3, 4]);
    for node in &nodes {
        node.wait_log(&lan, "everyone", LONG, "everything", |l| l.len() == said.len());
    }
    same_everywhere(&lan, &nodes, "everyone", &said);
    for (far, home) in [(2, 0), (3, 1)] {
        let met = nodes[far]
            .events
            .since(0)
            .into_iter()
            .any(|e| e.is("peer") && e.text("id") == nodes[home].id && e.text("state") != "offline");
        assert!(!met, "the two LANs never met");
    }
    report("messages brought to both LANs by a carried laptop", said.len() as f64, "messages", None);
    report_ms("courier: session to all that it carries, slowest", slowest, None);
}

/// Takes host 4's cable out of one LAN and puts it into the other.
fn carry(lan: &mut Lan, without: &[usize], with: &[usize]) {
    lan.unplug(4);
    lan.part(&[without, with]);
    lan.plug(4);
}

/// Six nodes that have settled in one network by a first message.
fn six(lan: &Lan) -> (Vec<Place>, Vec<Node>, BTreeSet<String>) {
    let places: Vec<Place> = (0..6).map(|i| Place::new(lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    let said = BTreeSet::from([places[0].say(lan, "everyone", "before the cut")]);
    for node in &nodes {
        node.wait_log(lan, "everyone", SOON, "message", |l| l.len() == 1);
    }
    (places, nodes, said)
}

/// Everybody says its share of `each` messages a side of three, evenly over `lasts`; the ids.
fn talk_for(lan: &Lan, places: &[Place], lasts: Duration, each: usize) -> BTreeSet<String> {
    let said = Mutex::new(BTreeSet::new());
    let start = Instant::now();
    std::thread::scope(|s| {
        for (i, place) in places.iter().enumerate() {
            let said = &said;
            // Of a thousand for three hosts the first says 334, the others 333.
            let share = each / 3 + usize::from(i % 3 < each % 3);
            s.spawn(move || {
                for n in 0..share {
                    let id = place.say(lan, "everyone", &format!("{} says {n} of {share}", place.name));
                    said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id);
                    // The time that the partition lasts is what is tried here: there is no event to wait for.
                    let due = lasts.mul_f64((n + 1) as f64 / share as f64);
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                }
            });
        }
    });
    said.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Heals the LAN and waits until everybody has everything; when the first noticed, and when the last message was shown.
fn heal(lan: &mut Lan, nodes: &[&Node], said: &BTreeSet<String>) -> (Instant, Instant) {
    let lacks: Vec<u64> = nodes.iter().map(|n| (said.len() - n.place.log(lan, "everyone").len()) as u64).collect();
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    lan.heal();
    let healed = Instant::now();
    let across = |e: &Seen| e.is("peer") && e.text("state") != "offline";
    let first = nodes.iter().zip(&marks).filter_map(|(n, m)| n.events.wait(*m, healed + SOON, across));
    let first = first.map(|e| e.at).min().expect("somebody notices");
    // Events, not logs: reading those costs what is measured here.
    let shown = |e: &Seen| e.is("message") || e.is("messages");
    let many = |e: &Seen| if e.is("message") { 1 } else { e.json["count"].as_u64().unwrap_or_default() };
    for ((node, mark), lacks) in nodes.iter().zip(&marks).zip(lacks) {
        loop {
            let now = node.events.mark();
            if node.events.since(*mark).iter().filter(|e| shown(e)).map(many).sum::<u64>() >= lacks {
                break;
            }
            assert!(healed.elapsed() < LONG, "{}: {lacks} messages are not shown", node.place.name);
            node.events.wait_news(now, Duration::from_millis(200));
        }
        node.wait_log(lan, "everyone", SOON, "agreement", |l| l.len() >= said.len());
    }
    let last = nodes.iter().zip(&marks).filter_map(|(n, m)| n.events.since(*m).into_iter().rfind(shown));
    (first, last.map(|e| e.at).max().unwrap_or(first))
}
