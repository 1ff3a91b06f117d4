//! A fifth of all frames lost, for two minutes (12 s at a tenth): nobody is shown offline, and messages arrive.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::report;
use crate::lan::Lan;
use crate::node::{Place, SOON, up_all, wait_mesh};

/// Runs it.
pub fn run(scale: &Scale) {
    let mut lan = Lan::of(4);
    let places: Vec<Place> = (0..4).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    lan.lose(20);
    let until = Instant::now() + scale.pick(Duration::from_secs(120), Duration::from_secs(12));
    let mut said = 0;
    while Instant::now() < until {
        let place = &places[said % places.len()];
        place.say(&lan, "everyone", &format!("through the noise {said}"));
        said += 1;
        // Whoever shows somebody offline fails at once; else this is the pause between two messages.
        let pause = Instant::now() + Duration::from_millis(500);
        let offline =
            nodes[0].events.wait(marks[0], pause.min(until), |e| e.is("peer") && e.text("state") == "offline");
        assert!(offline.is_none(), "a peer is shown offline: {offline:?}");
    }
    for node in &nodes {
        node.wait_log(&lan, "everyone", SOON, "messages in spite of loss", |l| l.len() == said);
    }
    for (node, mark) in nodes.iter().zip(marks) {
        let offline = node.events.since(mark).into_iter().find(|e| e.is("peer") && e.text("state") == "offline");
        assert!(offline.is_none(), "{} shows a peer offline: {offline:?}", node.place.name);
    }
    report("messages said at 20 % loss, all arrived", said as f64, "messages", None);
}
