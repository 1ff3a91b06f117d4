//! How soon a newcomer is seen, session open both ways.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::{median, report_ms};
use crate::lan::{Lan, LanOptions};
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// From the start of the newcomer's process to the later of both `peer` events, on two hosts: the median of 20 joins.
const TWO: Duration = Duration::from_millis(30);
/// The same for the tenth node and all nine others.
const TEN: Duration = Duration::from_millis(150);
/// On a busy machine at a tenth: only that it happens without waiting for a second beacon round.
const TENTH: Duration = Duration::from_secs(3);

/// Two hosts.
pub fn two(scale: &Scale) {
    let lan = Lan::new(LanOptions { on_disk: true, ..LanOptions::default() });
    let anna = Place::new(&lan, 0, "anna").up(&lan);
    let (mut from_start, mut from_ready) = (Vec::new(), Vec::new());
    for round in 0..scale.pick(20, 3) {
        let mark = anna.events.mark();
        let mut ben = Place::new(&lan, 1, &format!("ben{round}")).start(&lan);
        let ready = ben.ready();
        let met = wait_both(&anna, &ben, SOON);
        from_start.push(met - ben.started);
        from_ready.push(met.saturating_duration_since(ready.at));
        let id = ben.id.clone();
        ben.stop();
        anna.wait_gone(mark, &id, SOON);
    }
    let limit = scale.pick(None, Some(TENTH));
    held("second node, process start to session both ways, median", median(from_start.clone()), TWO, limit);
    report_ms("the same, slowest", from_start.into_iter().max().unwrap_or_default(), None);
    report_ms("second node, ready to session both ways, median", median(from_ready), None);
}

/// A LAN of ten.
pub fn ten(scale: &Scale) {
    let hosts = 10;
    let lan = Lan::new(LanOptions { hosts, on_disk: true, ..LanOptions::default() });
    let places: Vec<Place> = (0..hosts - 1).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), Duration::from_secs(30));
    let mut from_start = Vec::new();
    for round in 0..scale.pick(5, 1) {
        let mut tenth = Place::new(&lan, hosts - 1, &format!("tenth{round}")).start(&lan);
        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        tenth.ready();
        let met = nodes.iter().map(|n| wait_both(n, &tenth, SOON)).max().expect("there are others");
        from_start.push(met - tenth.started);
        let id = tenth.id.clone();
        tenth.stop();
        for (node, mark) in nodes.iter().zip(marks) {
            node.wait_gone(mark, &id, SOON);
        }
    }
    let limit = scale.pick(None, Some(TENTH));
    held("tenth node, process start to sessions with all others, median", median(from_start), TEN, limit);
}

fn wait_both(a: &Node, b: &Node, limit: Duration) -> Instant {
    let (seen, sees) = (a.wait_here(&[&b.id], limit), b.wait_here(&[&a.id], limit));
    seen.max(sees)
}

/// In full the table judges; at a tenth a lax limit does.
fn held(what: &str, value: Duration, target: Duration, limit: Option<Duration>) {
    report_ms(what, value, Some(target));
    if let Some(limit) = limit {
        assert!(value < limit, "{what}: {value:?}, more than {limit:?}");
    }
}
