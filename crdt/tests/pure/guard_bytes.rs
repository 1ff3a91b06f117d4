//! What the guard holds against bytes alone: other chunks, bits that flipped, columns that lie, unusual encodings.
use crate::world::mutate::{body, chunk};
use crate::world::raw::{Raw, run, sleb};
use crate::world::{actor, check, document};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ObjType, ROOT};
use cairn_crdt::guard::{Guard, Refusal, scan};

/// A document of all sorts of operations, and the chunk of its only change.
fn honest() -> (Automerge, Vec<u8>) {
    let mut doc = document(actor(1));
    let mut tx = doc.transaction();
    tx.put(ROOT, "a", "text").unwrap();
    tx.put(ROOT, "a", 7).unwrap();
    let text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, "hello").unwrap();
    tx.splice_text(&text, 1, 2, "").unwrap();
    let mark = automerge::marks::Mark::new("bold".into(), true, 0, 2);
    tx.mark(&text, mark, automerge::marks::ExpandMark::Both).unwrap();
    tx.commit_with(CommitOptions::default().with_time(1_700_000_000_000).with_message("by hand ".repeat(20)));
    let raw = doc.get_last_local_change().unwrap().raw_bytes().to_vec();
    (doc, raw)
}

fn refused(raw: &[u8]) -> Refusal {
    let refusal = scan(raw).expect_err("scanned without complaint");
    assert_eq!(check(&Guard::new(), raw).err().as_ref(), Some(&refusal), "check and scan agree");
    refusal
}

fn with(change: impl FnOnce(&mut Raw)) -> Vec<u8> {
    let mut raw = Raw::parse(&honest().1);
    change(&mut raw);
    raw.encode()
}

#[test]
fn an_honest_change_passes_and_is_counted() {
    let (doc, raw) = honest();
    assert_eq!(Raw::parse(&raw).encode(), raw, "the test's own reader and writer");
    let found = scan(&raw).unwrap();
    assert_eq!((found.ops, found.preds), (12, 3));
    assert_eq!(check(&Guard::new(), &raw).unwrap().change.hash(), doc.get_heads()[0]);
}

#[test]
fn other_chunks_are_refused() {
    let (doc, raw) = honest();
    assert_eq!(refused(&doc.save()), Refusal::Malformed("the type of chunk"));
    let compressed = doc.get_last_local_change().unwrap().bytes().into_owned();
    assert_ne!(compressed, raw, "long enough to be compressed");
    assert_eq!(refused(&compressed), Refusal::Malformed("the type of chunk"));
    for kind in [0, 2, 3, 4, 255] {
        assert_eq!(refused(&chunk(kind, body(&raw))), Refusal::Malformed("the type of chunk"));
    }
    let mut tail = raw.clone();
    tail.push(0);
    assert_eq!(refused(&tail), Refusal::Malformed("the length"));
    let mut two = raw.clone();
    two.extend(&raw);
    assert_eq!(refused(&two), Refusal::Malformed("the length"));
}

/// A change that would be parsed without its checksum being looked at.
#[test]
fn every_bit_is_under_the_checksum() {
    let (_, raw) = honest();
    for at in 0..raw.len() {
        for bit in 0..8 {
            let mut bad = raw.clone();
            bad[at] ^= 1 << bit;
            assert!(scan(&bad).is_err(), "bit {bit} of byte {at}");
        }
        assert!(scan(&raw[..at]).is_err(), "cut at {at}");
    }
    let mut wrong = raw.clone();
    wrong[4] ^= 1;
    assert_eq!(refused(&wrong), Refusal::Malformed("the checksum"));
}

#[test]
fn header_fields_are_bounded() {
    let bad = |change: fn(&mut Raw)| refused(&with(change));
    assert_eq!(bad(|r| r.time = -1), Refusal::TooLarge("time"));
    assert_eq!(bad(|r| r.time = (1 << 53) + 1), Refusal::TooLarge("time"));
    assert_eq!(bad(|r| r.time = i64::MIN), Refusal::TooLarge("time"));
    assert_eq!(bad(|r| r.time = i64::MAX), Refusal::TooLarge("time"));
    assert_eq!(bad(|r| r.start = u64::from(u32::MAX) - 1), Refusal::TooLarge("sequence or operation number"));
    assert_eq!(bad(|r| r.start = (1 << 31) + 1), Refusal::TooLarge("sequence or operation number"));
    assert_eq!(bad(|r| r.seq = u64::MAX), Refusal::TooLarge("sequence or operation number"));
    assert_eq!(bad(|r| r.start = 0), Refusal::Malformed("a zero number"));
    assert_eq!(bad(|r| r.seq = 0), Refusal::Malformed("a zero number"));
    assert_eq!(bad(|r| r.extra = vec![1]), Refusal::Malformed("extra bytes"));
    assert_eq!(bad(|r| r.message = vec![0xff]), Refusal::Malformed("the message"));
    assert_eq!(bad(|r| r.others = vec![vec![2], vec![1]]), Refusal::Malformed("the order of actors"));
    assert!(scan(&with(|r| r.time = 0)).is_ok());
    assert!(scan(&with(|r| r.time = 1 << 53)).is_ok());
}

#[test]
fn columns_are_known_ordered_and_fit() {
    let bad = |change: fn(&mut Raw)| refused(&with(change));
    assert_eq!(
        bad(|r| {
            r.columns.pop();
            r.column(0x21).push(1);
        }),
        Refusal::Malformed("a column")
    );
    assert_eq!(bad(|r| r.columns[0].0 |= 8), Refusal::Malformed("a column"), "deflated");
    assert_eq!(bad(|r| r.columns.swap(0, 1)), Refusal::Malformed("a column"));
    assert_eq!(bad(|r| r.columns[1].0 = r.columns[0].0), Refusal::Malformed("a column"));
    assert_eq!(bad(|r| r.column(0x42).clear()), Refusal::Malformed("a column"));
    assert_eq!(bad(|r| *r.column(0x42) = vec![1, 6]), Refusal::Malformed("an action without meaning"), "a table");
    assert_eq!(bad(|r| *r.column(0x42) = vec![1, 8]), Refusal::Malformed("an action without meaning"));
    assert_eq!(bad(|r| *r.column(0x01) = vec![1, 1]), Refusal::Malformed("an actor's number"));
    assert_eq!(bad(|r| *r.column(0x02) = run(1, &[0xff; 10])), Refusal::Malformed("a number is too long"));
    assert_eq!(bad(|r| *r.column(0x13) = run(1, &[0x7f])), Refusal::Malformed("an operation's number"), "minus one");
    let far = |r: &mut Raw| {
        let mut step = Vec::new();
        sleb(&mut step, 1 << 30);
        *r.column(0x13) = run(5, &step);
    };
    assert_eq!(refused(&with(far)), Refusal::Malformed("an operation's number"));
    assert_eq!(bad(|r| r.column(0x34).push(0)), Refusal::Malformed("an empty run"));
    assert_eq!(bad(|r| r.column(0x57).push(0)), Refusal::Malformed("columns of unequal length"));
    assert_eq!(bad(|r| r.columns.retain(|c| c.0 != 0x57)), Refusal::Malformed("columns of unequal length"));
    assert_eq!(bad(|r| r.columns.retain(|c| c.0 != 0x71)), Refusal::Malformed("columns of unequal length"));
    assert_eq!(bad(|r| r.columns.retain(|c| c.0 != 0x42)), Refusal::Malformed("columns of unequal length"));
}

/// Bytes that say the same in another way: two replicas could take them for two changes.
#[test]
fn only_the_usual_encoding_passes() {
    let unusual = Refusal::Malformed("the bytes are not the usual ones");
    let fate = |change: fn(&mut Raw)| check(&Guard::new(), &with(change)).err();
    assert_eq!(fate(|_| ()), None);
    assert_eq!(fate(|r| r.others.push(vec![9; 32])), Some(unusual.clone()), "an actor that nothing names");
    // A run of one where a literal run is usual.
    let split = |r: &mut Raw| {
        let data = r.column(0x70);
        assert_eq!(data[0], 0x7e, "two literals");
        let mut again = vec![0x7f, data[1], 0x7f, data[2]];
        again.extend(&data[3..]);
        *data = again;
    };
    let found = check(&Guard::new(), &with(split)).err();
    assert_eq!(found, Some(unusual.clone()));
    // No column of what is all false is usual for marks only.
    let mut doc = document(actor(1));
    let mut tx = doc.transaction();
    tx.put(ROOT, "a", 1).unwrap();
    tx.commit();
    let mut raw = Raw::parse(doc.get_last_local_change().unwrap().raw_bytes());
    raw.column(0x94).push(1);
    assert_eq!(check(&Guard::new(), &raw.encode()).err(), Some(unusual));
}
