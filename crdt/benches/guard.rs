//! What the guard costs, as a table: `cargo bench -p cairn-crdt --bench guard`. Medians; the document holds 10,000
//! operations.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc};
use cairn_crdt::guard::{Guard, scan};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn median(rounds: usize, mut run: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[rounds / 2]
}

fn last(doc: &Automerge) -> Vec<u8> {
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

/// Commits and takes the change into the guard.
fn commit(guard: &mut Guard, doc: &mut Automerge, edit: impl FnOnce(&mut automerge::transaction::Transaction<'_>)) {
    let mut tx = doc.transaction();
    edit(&mut tx);
    tx.commit();
    let checked = guard.check_own(&last(doc), &mut |_| true).unwrap();
    guard.accept(&checked);
}

/// A note of 10,000 operations: a map of sections, texts of 900 characters each.
fn note() -> (Automerge, Guard, ObjId) {
    let mut doc = Automerge::new().with_actor(ActorId::from([7; 32]));
    let mut guard = Guard::new();
    commit(&mut guard, &mut doc, |tx| drop(tx.put_object(ROOT, "sections", ObjType::Map).unwrap()));
    let sections = doc.get(ROOT, "sections").unwrap().unwrap().1;
    let mut text = ROOT;
    for n in 0..11 {
        commit(&mut guard, &mut doc, |tx| {
            let section = tx.put_object(&sections, format!("section-{n}"), ObjType::Map).unwrap();
            text = tx.put_object(&section, "text", ObjType::Text).unwrap();
            tx.splice_text(&text, 0, 0, &"words and words ".repeat(57)).unwrap();
        });
    }
    (doc, guard, text)
}

/// A chat segment: maps of 512 messages, eight operations and one change each.
fn chat(messages: usize) -> (Automerge, Vec<Vec<u8>>) {
    let mut doc = Automerge::new().with_actor(ActorId::from([7; 32]));
    let (mut block, mut log) = (ROOT, Vec::new());
    for n in 0..messages {
        let mut tx = doc.transaction();
        if n % 512 == 0 {
            block = tx.put_object(ROOT, format!("07070707070707070707070707-{}", n / 512), ObjType::Map).unwrap();
        }
        let message = tx.put_object(&block, format!("01hf7yat00{n:016}"), ObjType::Map).unwrap();
        for key in ["sent", "after", "kind", "re"] {
            tx.put(&message, key, n as i64).unwrap();
        }
        tx.put(&message, "body", "The pump at the north gate is running again.").unwrap();
        tx.commit();
        log.push(last(&doc));
    }
    (doc, log)
}

fn rebuild(log: &[Vec<u8>]) -> Guard {
    let mut guard = Guard::new();
    for raw in log {
        let checked = guard.check_own(raw, &mut |_| true).unwrap();
        guard.accept(&checked);
    }
    guard
}

fn main() {
    let (doc, guard, text) = note();
    println!("document of {} operations", guard.len());
    for n in [1, 10, 100, 9_900] {
        let mut draft = doc.clone();
        let mut tx = draft.transaction();
        tx.splice_text(&text, 450, 0, &"é".repeat(n)).unwrap();
        tx.commit();
        let raw = last(&draft);
        let facts = draft.get_last_local_change().unwrap();
        let facts =
            cairn_crdt::guard::Facts { actor: facts.actor_id().to_bytes(), seq: facts.seq(), deps: facts.deps() };
        let rounds = if n > 1_000 { 41 } else { 2_001 };
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        black_box(guard.check(&facts, &raw, &mut |_| true).unwrap());
        let peak = HEAP.peak_usage() - before;
        let time = median(rounds, || drop(black_box(guard.check(&facts, &raw, &mut |_| true).unwrap())));
        println!(
            "check {n:5} operations: {time:>10.1?}, {:>5} KiB; scan {:.1?}",
            peak >> 10,
            median(rounds, || {
                black_box(scan(&raw).unwrap());
            })
        );
    }
    marks();
    let (_, log) = chat(2_000);
    let before = HEAP.current_usage();
    let guard = rebuild(&log);
    let bytes = (HEAP.current_usage() - before) as f64 / guard.len() as f64;
    let time = median(5, || drop(rebuild(&log))).as_nanos() as f64 / guard.len() as f64;
    println!("chat index: {bytes:.0} B and, checked again from the log, {time:.0} ns an operation");
}

/// Thirty marks over 59,000 characters typed in order.
fn marks() {
    let mut doc = Automerge::new().with_actor(ActorId::from([7; 32]));
    let mut guard = Guard::new();
    let mut text = ROOT;
    commit(&mut guard, &mut doc, |tx| text = tx.put_object(ROOT, "t", ObjType::Text).unwrap());
    for n in 0..6 {
        commit(&mut guard, &mut doc, |tx| tx.splice_text(&text, n * 9_900, 0, &"x".repeat(9_900)).unwrap());
    }
    let mut tx = doc.transaction();
    for n in 0..30 {
        tx.mark(&text, Mark::new("bold".into(), true, n, 59_000 + n), ExpandMark::None).unwrap();
    }
    tx.commit();
    let raw = last(&doc);
    let time = median(11, || drop(black_box(guard.check_own(&raw, &mut |_| true).unwrap())));
    println!("check 30 marks over 59,000 characters: {time:.1?}");
}
