//! A clean exit (SIGTERM) shows on the others within 500 ms, and ends with exit code 0.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::report_ms;
use crate::lan::Lan;
use crate::node::{Place, SOON, up_all, wait_mesh};

/// From the signal to the last event.
const SEEN: Duration = Duration::from_millis(500);

/// Runs it.
pub fn run(scale: &Scale) {
    let lan = Lan::of(3);
    let places: Vec<Place> = (0..3).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let mut nodes = up_all(&lan, &places);
    let mut slowest = Duration::ZERO;
    for _ in 0..scale.pick(10, 2) {
        wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        let mut leaver = nodes.remove(2);
        let asked = Instant::now();
        leaver.ask_to_stop();
        for (node, mark) in nodes.iter().zip(&marks) {
            slowest = slowest.max(node.wait_gone(*mark, &leaver.id, SOON) - asked);
        }
        let status = leaver.wait_exit();
        assert_eq!(status.code(), Some(0), "a clean exit is exit code 0");
        nodes.push(places[2].up(&lan));
    }
    report_ms("clean exit to offline, slowest", slowest, Some(SEEN));
    assert!(scale.full || slowest <= SEEN * 4, "offline after {slowest:?}");
}
