//! kill -9 at random moments, 200 times (10 at a tenth), while everybody talks: no message whose `say` returned is
//! missing anywhere afterwards, none is doubled, and the store opens every time.
//!
//! The writers say one thing after another without a pause. Between two cuts a random number of answers is waited for,
//! and then a random part of the time that a `say` takes; so every cut falls into traffic, and how much is said in all
//! depends on the number of cuts, not on how long they take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Scale;
use crate::dice::Dice;
use crate::figures::{median, report, report_ms};
use crate::lan::{Lan, LanOptions};
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

const NODES: usize = 3;
/// At most so many answers between two cuts.
const BETWEEN: usize = 12;
/// About as long as a `say` takes, without a node too.
const SAY: Duration = Duration::from_millis(40);

/// Runs it.
pub fn run(scale: &Scale) {
    let lan = Lan::new(LanOptions { hosts: NODES, on_disk: true, ..LanOptions::default() });
    let places: Vec<Place> = (0..NODES).map(|i| Place::new(&lan, i, &format!("n{i}"))).collect();
    let mut nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);

    // What was acknowledged: id to body. What was tried: bodies whose `say` may or may not have taken.
    let acknowledged = Mutex::new(BTreeMap::new());
    let answered = Condvar::new();
    let tried = Mutex::new(0u64);
    let done = AtomicBool::new(false);
    // A restart waits for the `say` under way on its place, so that the two don't compete for the store.
    let quiet: Vec<Mutex<()>> = (0..NODES).map(|_| Mutex::new(())).collect();
    let mut restarts = Vec::new();
    std::thread::scope(|s| {
        for (place, quiet) in places.iter().zip(&quiet) {
            let (lan, acknowledged, answered, tried, done) = (&lan, &acknowledged, &answered, &tried, &done);
            s.spawn(move || {
                for n in 0u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = format!("{} says {n}", place.name);
                    let _one = lock(quiet);
                    *lock(tried) += 1;
                    let answer = place.verb(lan, &["say", "everyone", &body]);
                    if let (0, Some(id)) = (answer.code, answer.first()["id"].as_str()) {
                        let doubled = lock(acknowledged).insert(id.to_owned(), body);
                        assert!(doubled.is_none(), "two messages with one id");
                        answered.notify_all();
                    }
                }
            });
        }
        let stop = Stop(&done);
        let mut dice = Dice::new();
        for _ in 0..scale.pick(200, 10) {
            let before = lock(&acknowledged);
            let goal = before.len() + 1 + dice.below(BETWEEN);
            let late = answered.wait_timeout_while(before, SOON, |a| a.len() < goal);
            assert!(late.is_ok_and(|(_, late)| !late.timed_out()), "everybody goes on talking");
            // The moment within a `say` is what is random here: there is no event to wait for.
            std::thread::sleep(dice.between(Duration::ZERO, SAY));
            let victim = dice.below(NODES);
            nodes.remove(victim).kill();
            let _one = lock(&quiet[victim]);
            let started = Instant::now();
            nodes.insert(victim, places[victim].up(&lan));
            restarts.push(started.elapsed());
        }
        drop(stop);
    });

    let acknowledged = acknowledged.into_inner().unwrap_or_else(PoisonError::into_inner);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), Duration::from_secs(30));
    let whole = |l: &[crate::node::Line]| {
        let ids: BTreeSet<&String> = l.iter().map(|l| &l.id).collect();
        acknowledged.keys().all(|id| ids.contains(id))
    };
    for node in &nodes {
        node.wait_log(&lan, "everyone", Duration::from_secs(60), "acknowledged messages", whole);
    }
    settled(&lan, &nodes, &acknowledged);
    report("power cuts", restarts.len() as f64, "cuts", None);
    report("messages acknowledged", acknowledged.len() as f64, "messages", None);
    report("says tried", *lock(&tried) as f64, "says", None);
    report_ms("restart after a power cut to ready, slowest", restarts.iter().max().copied().unwrap_or_default(), None);
    report_ms("restart after a power cut to ready, median", median(restarts), None);
}

/// Equal everywhere, nothing doubled by id or by body, bodies as said. Unacknowledged ones may still be on their way,
/// so equality gets some time.
fn settled(lan: &Lan, nodes: &[Node], acknowledged: &BTreeMap<String, String>) {
    let deadline = Instant::now() + SOON;
    let first = loop {
        let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
        let logs: Vec<_> = nodes.iter().map(|n| n.place.log(lan, "everyone")).collect();
        if logs.iter().all(|l| *l == logs[0]) {
            break logs.into_iter().next().unwrap_or_default();
        }
        assert!(
            Instant::now() < deadline,
            "the logs differ for good: {:?}",
            logs.iter().map(Vec::len).collect::<Vec<_>>()
        );
        nodes[0].events.wait_news(marks[0], Duration::from_millis(200));
    };
    let ids: BTreeSet<&String> = first.iter().map(|l| &l.id).collect();
    let bodies: BTreeSet<&String> = first.iter().map(|l| &l.body).collect();
    assert_eq!(ids.len(), first.len(), "no id twice");
    assert_eq!(bodies.len(), first.len(), "no message twice under two ids");
    for line in &first {
        if let Some(body) = acknowledged.get(&line.id) {
            assert_eq!(body, &line.body, "said is shown");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the writers also when the scenario fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
