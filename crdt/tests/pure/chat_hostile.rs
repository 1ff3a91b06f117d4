//! Hostile entries in a chat segment are void, and the document stays usable.

use std::sync::Arc;

use crate::common::{Hostile, NOON, Person, apply, bodies, segment, segment_id};
use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ObjType, ROOT};
use cairn_crdt::document::{Document, Outcome, VoidReason};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Incarnation, MessageId};
use cairn_crdt::kinds::chat::WEEK_MS;

const ID: MessageId = MessageId([3; 16]);

fn eve() -> Hostile {
    Hostile::new(66, 66, segment_id(0))
}

fn block(tx: &mut Transaction<'_>, incarnation: Incarnation, number: u32) -> ObjId {
    tx.put_object(ROOT, format!("{incarnation}.{number:06}"), ObjType::Map).unwrap()
}

fn message(tx: &mut Transaction<'_>, block: &ObjId, id: MessageId, sent: i64) -> ObjId {
    let m = tx.put_object(block, id.to_string(), ObjType::Map).unwrap();
    tx.put(&m, "sent", sent).unwrap();
    tx.put(&m, "kind", "text").unwrap();
    tx.put(&m, "body", "hello").unwrap();
    m
}

/// The first entry is void for the reason given; an honest person's messages show before and after it, and what eve
/// writes on top of it is void too.
fn is_void(mut eve: Hostile, entry: Arc<Entry>, reason: &str) {
    let mut ann = Person::new(1, 1);
    let mut s = segment(0);
    let before = ann.say(segment_id(0), "before");
    let batch = [before, entry, ann.say(segment_id(0), "between")];
    let applied = apply(&mut s, &batch);
    let [Outcome::Valid { .. }, Outcome::Void(why), Outcome::Valid { .. }] = applied.outcomes.as_slice() else {
        panic!("{reason}: {:?}", applied.outcomes);
    };
    assert!(why.to_string().contains(reason), "wanted {reason:?}, got {why}");
    let mut document = Document::new(segment_id(0));
    let engine: Vec<_> = document.apply(&batch).iter().map(Outcome::is_valid).collect();
    assert_eq!(engine, [true, false, true]);
    automerge::Automerge::load(&document.automerge().save()).unwrap();
    let follower = eve.write(|tx, _| tx.put(ROOT, "x", 1).unwrap());
    assert_eq!(apply(&mut s, &[follower]).outcomes, [Outcome::Void(VoidReason::Follows)]);
    assert!(apply(&mut s, &[ann.say(segment_id(0), "after")]).outcomes[0].is_valid());
    assert_eq!(bodies(&s), ["before", "between", "after"]);
}

#[test]
fn an_honest_message_of_the_same_hand_is_valid() {
    let mut eve = eve();
    let own = eve.person.incarnation;
    let e = eve.write(|tx, sent| {
        let b = block(tx, own, 0);
        let m = message(tx, &b, ID, sent);
        tx.put(&m, "colour", "red").unwrap();
        let list = tx.put_object(&m, "attachments", ObjType::List).unwrap();
        let file = tx.insert_object(&list, 0, ObjType::Map).unwrap();
        tx.put(&file, "name", "plan.pdf").unwrap();
        let records = tx.put_object(ROOT, format!("{own}.r000000"), ObjType::Map).unwrap();
        let record = tx.put_object(&records, "000", ObjType::Map).unwrap();
        tx.put(&record, "sent", sent).unwrap();
        tx.put(&record, "kind", "to come").unwrap();
        tx.put(&record, "message", ID.to_string()).unwrap();
        let more = tx.put_object(&record, "more", ObjType::List).unwrap();
        tx.insert(&more, 0, "what a newer Cairn says").unwrap();
    });
    let mut s = segment(0);
    let applied = apply(&mut s, &[e]);
    assert!(applied.outcomes[0].is_valid(), "{:?}", applied.outcomes);
    assert_eq!(bodies(&s), ["hello"]);
}

#[test]
fn anothers_incarnation_is_closed() {
    let mut eve = eve();
    let e = eve.write(|tx, sent| {
        let b = block(tx, Incarnation([1; 16]), 0);
        message(tx, &b, ID, sent);
    });
    is_void(eve, e, "another incarnation");
    let mut eve2 = self::eve();
    let e = eve2.write(|tx, _| tx.put(ROOT, "anything", 1).unwrap());
    is_void(eve2, e, "another incarnation");
}

#[test]
fn messages_are_never_overwritten_or_deleted_or_added_to() {
    type Edit = fn(&mut Transaction<'_>, &ObjId, &ObjId);
    let edits: [(Edit, &str); 4] = [
        (|tx, _, m| tx.put(m, "body", "I never said that").unwrap(), "overwritten"),
        (|tx, _, m| tx.delete(m, "body").unwrap(), "overwritten"),
        (|tx, b, _| tx.delete(b, ID.to_string()).unwrap(), "overwritten"),
        (|tx, _, m| tx.put(m, "reply_to", ID.to_string()).unwrap(), "not in the message"),
    ];
    for (edit, reason) in edits {
        let mut eve = eve();
        let own = eve.person.incarnation;
        let (mut b, mut m) = (ROOT, ROOT);
        let first = eve.write(|tx, sent| {
            b = block(tx, own, 0);
            m = message(tx, &b, ID, sent);
        });
        let second = eve.write(|tx, _| edit(tx, &b, &m));
        let mut s = segment(0);
        let applied = apply(&mut s, &[first, second]);
        let [Outcome::Valid { .. }, Outcome::Void(why)] = applied.outcomes.as_slice() else {
            panic!("{:?}", applied.outcomes)
        };
        assert!(why.to_string().contains(reason), "{why}");
        assert_eq!(bodies(&s), ["hello"]);
    }
}

#[test]
fn the_stamp_is_the_entrys_own_lies_in_the_week_and_grows() {
    let mut a = eve();
    let own = a.person.incarnation;
    let hlc = a.person.stamp();
    let e = a.write_at(hlc, hlc.0 as i64 - 1, |tx, sent| {
        let b = block(tx, own, 0);
        message(tx, &b, ID, sent);
    });
    is_void(a, e, "sent is not");

    for ms in [NOON - WEEK_MS, NOON + WEEK_MS, (1 << 47) - 1] {
        let mut a = eve();
        let hlc = Hlc::from_ms(ms);
        let e = a.write_at(hlc, hlc.0 as i64, |tx, sent| {
            let b = block(tx, own, 0);
            message(tx, &b, ID, sent);
        });
        is_void(a, e, "another week");
    }

    let mut a = eve();
    let mut b = ROOT;
    let hlc = a.person.stamp();
    let first = a.write_at(hlc, hlc.0 as i64, |tx, sent| {
        b = block(tx, own, 0);
        message(tx, &b, ID, sent);
    });
    let second = a.write_at(hlc, hlc.0 as i64, |tx, sent| {
        message(tx, &b, MessageId([4; 16]), sent);
    });
    let mut s = segment(0);
    let applied = apply(&mut s, &[first, second]);
    assert!(applied.outcomes[0].is_valid() && !applied.outcomes[1].is_valid(), "{:?}", applied.outcomes);
}

#[test]
fn fields_have_their_types_and_sizes() {
    type Edit = fn(&mut Transaction<'_>, &ObjId);
    let edits: [(Edit, &str); 10] = [
        (|tx, m| tx.put(m, "after", "yesterday").unwrap(), "order key"),
        (|tx, m| tx.put(m, "reply_to", 7).unwrap(), "message id"),
        (|tx, m| tx.put(m, "attachments", "none").unwrap(), "list"),
        (|tx, m| tx.put(m, "colour", "x".repeat(40_000)).unwrap(), "too large"),
        (|tx, m| tx.put(m, "k".repeat(100), 1).unwrap(), "too large"),
        (|tx, m| drop(tx.put_object(m, "essay", ObjType::Text).unwrap()), "texts, counters and marks"),
        (|tx, m| tx.put(m, "likes", automerge::ScalarValue::counter(1)).unwrap(), "type"),
        (|tx, m| (0..600).for_each(|n| tx.put(m, format!("k{n}"), n).unwrap()), "too many operations"),
        (
            |tx, m| {
                let mut at = m.clone();
                for _ in 0..10 {
                    at = tx.put_object(&at, "deeper", ObjType::Map).unwrap();
                }
            },
            "too deep",
        ),
        (|tx, _| drop(tx.put_object(ROOT, "zz", ObjType::Map).unwrap()), "another incarnation"),
    ];
    for (edit, reason) in edits {
        let mut eve = eve();
        let own = eve.person.incarnation;
        let e = eve.write(|tx, sent| {
            let b = block(tx, own, 0);
            let m = message(tx, &b, ID, sent);
            edit(tx, &m);
        });
        is_void(eve, e, reason);
    }
    // Mandatory fields and the giant body.
    for body in [None, Some("x".repeat(65_537))] {
        let mut eve = eve();
        let own = eve.person.incarnation;
        let reason = if body.is_some() { "64 KiB" } else { "sent, kind and body" };
        let e = eve.write(|tx, sent| {
            let b = block(tx, own, 0);
            let m = tx.put_object(&b, ID.to_string(), ObjType::Map).unwrap();
            tx.put(&m, "sent", sent).unwrap();
            tx.put(&m, "kind", "text").unwrap();
            if let Some(body) = body {
                tx.put(&m, "body", body).unwrap();
            }
        });
        is_void(eve, e, reason);
    }
}

#[test]
fn blocks_come_in_order_and_hold_512() {
    let mut a = eve();
    let own = a.person.incarnation;
    let e = a.write(|tx, sent| {
        let b = block(tx, own, 1);
        message(tx, &b, ID, sent);
    });
    is_void(a, e, "next block");

    let mut a = eve();
    let mut entries = Vec::new();
    let mut b = ROOT;
    for n in 0..513u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        entries.push(a.write(|tx, sent| {
            if n == 0 {
                b = block(tx, own, 0);
            }
            message(tx, &b, MessageId(id), sent);
        }));
    }
    let mut s = segment(0);
    let outcomes = apply(&mut s, &entries).outcomes;
    assert!(outcomes[..512].iter().all(Outcome::is_valid));
    assert_eq!(outcomes[512], Outcome::Void(VoidReason::Rule("the block is full")));
}

#[test]
fn garbage_erased_unknown_and_misplaced_entries_spoil_nothing() {
    let mut ann = Person::new(1, 1);
    let mut s = segment(0);
    let pen = |seed| Person::new(seed, seed).pen(segment_id(0));
    let garbage = Arc::new(pen(10).write(b"not a change".to_vec(), Hlc::from_ms(NOON)).unwrap());
    let empty = Arc::new(pen(11).write(Vec::new(), Hlc::from_ms(NOON)).unwrap());
    let honest = Person::new(12, 12).say(segment_id(0), "gone");
    let erased = Arc::new(Entry { signed: honest.signed.clone(), payload: None });
    let elsewhere = Person::new(13, 13).say(DocumentId::chat(1, 0).max(segment_id(1)), "elsewhere");
    let outcomes = apply(&mut s, &[garbage, empty, erased, elsewhere, ann.say(segment_id(0), "fine")]).outcomes;
    assert!(matches!(outcomes[0], Outcome::Void(VoidReason::Guard(_))));
    assert!(matches!(outcomes[1], Outcome::Void(VoidReason::Guard(_))));
    assert_eq!(outcomes[2], Outcome::Erased);
    assert_eq!(outcomes[3], Outcome::Void(VoidReason::Elsewhere));
    assert!(outcomes[4].is_valid());
    assert_eq!(bodies(&s), ["fine"]);
    // Somebody else's change under one's own signature names another actor.
    let stolen = ann.say(segment_id(0), "mine");
    let copy = Arc::new(pen(14).write(stolen.payload.clone().unwrap(), stolen.header().hlc).unwrap());
    assert!(matches!(apply(&mut s, &[copy]).outcomes[0], Outcome::Void(VoidReason::Guard(_))));
    assert!(apply(&mut s, &[stolen]).outcomes[0].is_valid());
    // A log that goes on where another branch was waits for the branch to be settled.
    let mut x = Hostile::new(20, 20, segment_id(0));
    let own = x.person.incarnation;
    let first = x.write(|tx, sent| {
        let b = block(tx, own, 0);
        message(tx, &b, ID, sent);
    });
    assert!(apply(&mut s, &[first]).outcomes[0].is_valid());
    x.pen.rollback(cairn_crdt::writer::LogTip { seq: 1, hash: cairn_crdt::ids::EntryHash([7; 32]) });
    let fork = x.write(|tx, _| tx.put(ROOT, "x", 1).unwrap());
    assert_eq!(apply(&mut s, &[fork]).outcomes, [Outcome::Waiting]);
    // A kind that this build does not know.
    let mut unknown = cairn_crdt::document::Document::new(DocumentId::new(cairn_crdt::ids::Kind::Unknown(77), [0; 16]));
    let id = unknown.id();
    let e = Arc::new(Person::new(15, 15).pen(id).write(b"later".to_vec(), Hlc::from_ms(NOON)).unwrap());
    assert_eq!(unknown.apply(&[e]), [Outcome::Unsupported]);
}
