//! Sixty hosts (eight at a tenth) in a full mesh that say nothing: what being there costs each, on the wire, in memory
//! and in processor time. Nobody is called away meanwhile.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::{report, report_ms};
use crate::lan::Lan;
use crate::node::{Node, Place, up_all, wait_mesh};

/// What a host has sent and taken so far, and what its node used.
struct Reading {
    sent: u64,
    taken: u64,
    cpu: Duration,
}

fn read(lan: &Lan, nodes: &[Node]) -> Vec<Reading> {
    let one = |(host, node): (usize, &Node)| {
        let (sent, taken) = lan.bytes(host);
        Reading { sent, taken, cpu: node.cpu() }
    };
    nodes.iter().enumerate().map(one).collect()
}

/// Median and greatest.
fn spread(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}

/// Runs it.
pub fn run(scale: &Scale) {
    let asked = std::env::var("CAIRN_MESH").ok().and_then(|n| n.parse().ok());
    let hosts = asked.unwrap_or(scale.pick(60, 8));
    let lan = Lan::of(hosts);
    let places: Vec<Place> = (0..hosts).map(|i| Place::new(&lan, i, &format!("n{i:02}"))).collect();
    let began = Instant::now();
    let nodes = up_all(&lan, &places);
    let met = wait_mesh(&nodes.iter().collect::<Vec<_>>(), Duration::from_secs(120));
    // What belongs to the start is over: folding, first comparisons, names, the burst of beacons.
    std::thread::sleep(Duration::from_secs(scale.pick(45, 5)));
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    let (before, start) = (read(&lan, &nodes), Instant::now());
    std::thread::sleep(Duration::from_secs(scale.pick(120, 10)));
    let (after, took) = (read(&lan, &nodes), start.elapsed().as_secs_f64());
    for (node, mark) in nodes.iter().zip(marks) {
        let away = node.events.since(mark).into_iter().find(|e| e.is("peer") && e.text("state") == "offline");
        assert!(away.is_none(), "{} calls somebody away who is there: {away:?}", node.place.name);
    }
    let rate = |what: fn(&Reading) -> u64| {
        let pairs = before.iter().zip(&after);
        spread(pairs.map(|(b, a)| what(a).saturating_sub(what(b)) as f64 / took).collect())
    };
    report("hosts of the idle mesh", hosts as f64, "hosts", None);
    report_ms("from the first start to the idle mesh", met - began, None);
    let (median, greatest) = rate(|r| r.sent);
    report("sent a second by a node of the idle mesh, median", median / 1024.0, "KiB/s", None);
    report("the same, greatest", greatest / 1024.0, "KiB/s", None);
    report("taken a second, median", rate(|r| r.taken).0 / 1024.0, "KiB/s", None);
    let (median, greatest) = rate(|r| u64::try_from(r.cpu.as_micros()).unwrap_or(u64::MAX));
    report("processor time of a node of the idle mesh, median", median / 1000.0, "ms/s", None);
    report("the same, greatest", greatest / 1000.0, "ms/s", None);
    let (median, greatest) = spread(nodes.iter().map(|n| n.resident_kib() as f64 / 1024.0).collect());
    report("resident memory of a node of the idle mesh, median", median, "MiB", None);
    report("the same, greatest", greatest, "MiB", None);
}
