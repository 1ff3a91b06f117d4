//! Bombs are refused before anything is parsed, without heap; the largest change that passes stays far below 64 MiB.
//! One test only: the allocator counts for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use automerge::transaction::Transactable;
use automerge::{ObjType, ROOT};
use cairn_crdt::guard::{Guard, Refusal, limits, scan};
use peak_alloc::PeakAlloc;
use world::mutate::uleb;
use world::raw::{Raw, run};
use world::{actor, check, document};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

#[test]
fn bombs_take_no_memory_and_the_largest_change_little() {
    bombs();
    largest();
}

fn bombs() {
    let mut long_key = Vec::new();
    uleb(&mut long_key, 500);
    long_key.extend([b'k'; 500]);
    let many = |n: i64| {
        let mut raw = Raw { actor: vec![1; 32], seq: 1, start: 1, ..Raw::default() };
        *raw.column(0x15) = run(n, b"\x01k");
        uleb(raw.column(0x34), n as u64);
        *raw.column(0x42) = run(n, &[1]);
        *raw.column(0x56) = run(n, &[0]);
        *raw.column(0x70) = run(n, &[0]);
        raw
    };
    assert_eq!(scan(&many(10_000).encode()).unwrap().ops, 10_000);
    let mut cases: Vec<(&str, Vec<u8>, Refusal)> = Vec::new();
    let ops = Refusal::TooLarge("operations");
    for n in [10_001, 1 << 31, 1 << 40, i64::MAX] {
        cases.push(("a run of operations", many(n).encode(), ops.clone()));
    }
    for spec in [0x01, 0x02, 0x11, 0x13, 0x15, 0x42, 0x56, 0x70, 0xa5] {
        for (sort, head) in [("positive", 1 << 50), ("literal", i64::MIN), ("literal", -10_001)] {
            let mut raw = many(1);
            *raw.column(spec) = run(head, &[0, 0, 0]);
            let raw = raw.encode();
            assert!(raw.len() < 120);
            cases.push((sort, raw, ops.clone()));
        }
        let mut raw = many(1);
        *raw.column(spec) = vec![0];
        uleb(raw.column(spec), u64::MAX);
        cases.push(("nulls", raw.encode(), ops.clone()));
    }
    for spec in [0x34, 0x94] {
        let mut raw = many(1);
        *raw.column(spec) = vec![0];
        uleb(raw.column(spec), u64::MAX);
        cases.push(("booleans", raw.encode(), ops.clone()));
    }
    let preds = Refusal::TooLarge("predecessors");
    let mut raw = many(10_000);
    *raw.column(0x70) = run(10_000, &[5]);
    cases.push(("predecessors", raw.encode(), preds.clone()));
    let mut raw = many(1);
    *raw.column(0x70) = run(1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    cases.push(("predecessors of one", raw.encode(), preds.clone()));
    for spec in [0x71, 0x73] {
        let mut raw = many(1);
        *raw.column(spec) = run(40_001, &[0]);
        cases.push(("a column of predecessors", raw.encode(), preds.clone()));
    }
    let mut raw = many(9_000);
    *raw.column(0x15) = run(9_000, &long_key);
    cases.push(("keys written out", raw.encode(), Refusal::TooLarge("keys")));
    let mut raw = many(1);
    let mut key = Vec::new();
    uleb(&mut key, 250_000);
    key.extend(vec![b'k'; 250_000]);
    *raw.column(0x15) = run(1, &key);
    cases.push(("one long key", raw.encode(), Refusal::TooLarge("keys")));
    let mut raw = many(1);
    *raw.column(0xa5) = run(1, &long_key);
    cases.push(("a long name of a mark", raw.encode(), Refusal::TooLarge("names of marks")));
    let mut raw = many(1);
    raw.message = vec![b'm'; 513];
    cases.push(("a long message", raw.encode(), Refusal::TooLarge("message")));
    let mut raw = many(1);
    raw.deps = vec![[0; 32]; 66];
    cases.push(("dependencies", raw.encode(), Refusal::TooLarge("dependencies")));
    let mut raw = many(1);
    raw.others = (0..10_001u32).map(|n| n.to_be_bytes().to_vec()).collect();
    cases.push(("actors", raw.encode(), Refusal::TooLarge("actors")));
    let mut raw = many(1);
    raw.actor = vec![1; 65];
    cases.push(("a long actor", raw.encode(), Refusal::TooLarge("actor")));
    cases.push(("bytes", vec![0; limits::MAX_BYTES + 1], Refusal::TooLarge("bytes")));

    for (name, raw, refusal) in cases {
        PEAK.reset_peak_usage();
        let before = PEAK.current_usage();
        assert_eq!(scan(&raw).as_ref(), Err(&refusal), "{name}");
        assert_eq!(PEAK.peak_usage(), before, "{name}: the scan takes no heap");
        assert_eq!(check(&Guard::new(), &raw).err(), Some(refusal), "{name}");
    }
}

fn largest() {
    let mut doc = document(actor(1));
    let mut tx = doc.transaction();
    let text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, &"é".repeat(9_999)).unwrap();
    tx.commit();
    let raw = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let mut guard = Guard::new();
    let checked = check(&guard, &raw).unwrap();
    guard.accept(&checked);
    assert_eq!(guard.len(), 10_000);
    let mib = (PEAK.peak_usage() - before) >> 20;
    assert!(mib < 64, "{mib} MiB");

    let mut tx = doc.transaction();
    tx.splice_text(&text, 0, 0, &"é".repeat(10_001)).unwrap();
    tx.commit();
    let raw = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
    assert_eq!(check(&guard, &raw).err(), Some(Refusal::TooLarge("operations")), "to be split by its author");
}
