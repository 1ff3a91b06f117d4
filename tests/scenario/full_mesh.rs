//! Thirty hosts (eight at a tenth) that start at once form a full mesh, and a message reaches all.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::{report, report_ms};
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// Runs it.
pub fn run(scale: &Scale) {
    let hosts = scale.pick(30, 8);
    let lan = Lan::of(hosts);
    let places: Vec<Place> = (0..hosts).map(|i| Place::new(&lan, i, &format!("n{i:02}"))).collect();
    let start = Instant::now();
    let nodes = up_all(&lan, &places);
    let all: Vec<&Node> = nodes.iter().collect();
    let met = wait_mesh(&all, Duration::from_secs(60));
    report("hosts of the full mesh", hosts as f64, "hosts", None);
    report_ms("from the first start to the full mesh", met - start, None);

    // All folded into one network: what one says, all hear.
    let said = Instant::now();
    let id = places[0].say(&lan, "everyone", "good morning");
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "message", |l| l.iter().filter(|l| l.id == id).count() == 1);
    }
    report_ms("from say to a line in every log, read one after the other", said.elapsed(), None);
    let resident = nodes.iter().map(Node::resident_kib).max().unwrap_or_default();
    report("largest resident memory in the mesh", resident as f64 / 1024.0, "MiB", None);
}
