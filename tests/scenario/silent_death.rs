//! A machine that dies without a word (kill -9, its interface down, its cable pulled) shows as offline within 4 s, and
//! is back soon after it returns.

use std::time::{Duration, Instant};

use super::Scale;
use crate::figures::{median, report_ms};
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// From the death to the last survivor's event.
const SLOWEST: Duration = Duration::from_secs(4);
/// The median of them.
const MEDIAN: Duration = Duration::from_secs(3);

/// Runs it.
pub fn run(scale: &Scale) {
    let lan = Lan::of(4);
    let places: Vec<Place> = (0..4).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let mut nodes = up_all(&lan, &places);
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    for round in 0..scale.pick(10, 1) {
        for way in ["kill", "down", "unplug"] {
            wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
            // Heartbeats must have given presence a picture of the ordinary before it can judge silence.
            std::thread::sleep(Duration::from_secs(2));
            let victim = round % 4;
            let id = nodes[victim].id.clone();
            let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
            let died = Instant::now();
            let mut dead = None;
            match way {
                "kill" => nodes.remove(victim).kill(),
                "down" => lan.link_down(victim),
                _ => lan.unplug(victim),
            }
            if way != "kill" {
                dead = Some(nodes.remove(victim));
            }
            for (i, mark) in marks.iter().enumerate().filter(|(i, _)| *i != victim) {
                let survivor = &nodes[if i > victim { i - 1 } else { i }];
                gone.push(survivor.wait_gone(*mark, &id, SOON) - died);
            }
            let returns = Instant::now();
            let node = match dead {
                None => places[victim].up(&lan),
                Some(node) => {
                    if way == "down" {
                        lan.link_up(victim);
                    } else {
                        lan.plug(victim);
                    }
                    node
                }
            };
            nodes.insert(victim, node);
            let all: Vec<&Node> = nodes.iter().collect();
            back.push(wait_mesh(&all, SOON).saturating_duration_since(returns));
        }
    }
    let slowest = gone.iter().copied().max().unwrap_or_default();
    report_ms("silent death to offline, slowest", slowest, Some(SLOWEST));
    report_ms("silent death to offline, median", median(gone), Some(MEDIAN));
    report_ms("its return to the full mesh, median", median(back), None);
    assert!(scale.full || slowest <= SLOWEST + Duration::from_secs(2), "offline after {slowest:?}");
}
