//! What is said of messages after they were said: the same for all who hold the same entries, in whatever order they
//! came, and nobody says anything in another's name.

use std::sync::Arc;

use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ObjType, ROOT};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::{Hostile, NOON, Person, apply, bodies, segment, segment_id};
use cairn_crdt::document::{Document, Outcome};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{Incarnation, LogId, MessageId, PrincipalId};
use cairn_crdt::kinds::chat::mention::{MAX_MENTIONS, Mention};
use cairn_crdt::kinds::chat::{ChatAuthor, ChatSegment, Draft, MAX_EMOJI, MAX_REACTIONS, Record, WEEK_MS};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::spans::Spans;

fn draft(id: MessageId, body: &str) -> Draft<'_> {
    Draft { id, body, after: None, reply_to: None }
}

fn edit(message: MessageId, body: &str) -> Record<'_> {
    Record::Edit { message, body, mentions: &[] }
}

fn react(message: MessageId, author: PrincipalId, emoji: &str, on: bool) -> Record<'_> {
    Record::React { message, author, emoji, on }
}

/// All that a reader can see of messages.
fn seen(s: &ChatSegment) -> Vec<String> {
    let one = |m: cairn_crdt::kinds::chat::MessageView<'_>| {
        let versions = m.about.map_or(&[][..], |a| a.versions());
        let before: Vec<_> = versions.iter().map(|v| v.body.as_deref().unwrap_or("(deleted)")).collect();
        let mut reactions: Vec<_> = m.about.into_iter().flat_map(|a| a.reactions()).collect();
        reactions.sort();
        let edited = m.edited.is_some();
        format!("{} {edited} {} {} {before:?} {reactions:?} {:?}", m.body, m.deleted, m.first, m.mentions)
    };
    s.newest(usize::MAX).map(one).collect()
}

#[test]
fn records_say_what_a_message_says_now_and_keep_what_it_said() {
    let (mut ann, mut bob) = (Person::new(1, 1), Person::new(2, 2));
    let (me, id) = (ann.principal(), ann.next_id());
    let mention = Mention { who: bob.principal(), name: "Bob".into() };
    let mut s = segment(0);
    apply(&mut s, &[ann.say_draft(segment_id(0), &draft(id, "teh road"))]);
    let fixed = ann.record(segment_id(0), &Record::Edit { message: id, body: "the road, @Bob", mentions: &[mention] });
    let applied = apply(&mut s, &[fixed]);
    assert!(applied.outcomes[0].is_valid() && applied.shown.is_empty(), "{:?}", applied.outcomes);
    assert_eq!(applied.changed.iter().map(|k| k.id).collect::<Vec<_>>(), [id]);
    let m = s.get(&me, &id).unwrap();
    assert_eq!((m.body, m.first, m.mentions.len(), m.deleted), ("the road, @Bob", "teh road", 1, false));
    assert!(m.edited > Some(m.sent));
    let unread = s.unread(&OrderKey::MIN, &bob.id());
    assert_eq!((unread.messages, unread.mentions), (1, 1), "an edit is no message more");

    let likes =
        [bob.record(segment_id(0), &react(id, me, "👍", true)), ann.record(segment_id(0), &react(id, me, "👍", true))];
    assert_eq!(apply(&mut s, &likes).changed.len(), 2);
    let same = bob.record(segment_id(0), &react(id, me, "👍", true));
    assert!(apply(&mut s, &[same]).changed.is_empty(), "nothing new to show");
    let back = bob.record(segment_id(0), &react(id, me, "👍", false));
    assert_eq!(apply(&mut s, &[back]).changed.len(), 1);
    let about = s.get(&me, &id).unwrap().about.unwrap();
    assert_eq!(about.reactions().collect::<Vec<_>>(), [(&me, "👍")]);

    let gone = ann.record(segment_id(0), &Record::Delete { message: id });
    assert_eq!(apply(&mut s, &[gone]).changed.len(), 1);
    let m = s.get(&me, &id).unwrap();
    assert_eq!((m.body, m.deleted, m.first, m.mentions.len()), ("", true, "teh road", 0));
    assert_eq!(m.about.unwrap().versions().len(), 2);
    assert_eq!(s.unread(&OrderKey::MIN, &bob.id()).messages, 0, "nobody is to read it");
    assert_eq!(s.len(), 1, "its place stays");
}

#[test]
fn replicas_that_hold_the_same_show_the_same_whatever_came_first() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..40 {
        // Two people; the first on two starts at once, as a device that was restored from a backup.
        let mut people = [Person::new(1, 1), Person::new(1, 11), Person::new(2, 2)];
        let mut logs: Vec<Vec<Arc<Entry>>> = vec![Vec::new(); 3];
        let mut said: Vec<(MessageId, PrincipalId)> = Vec::new();
        for _ in 0..30 {
            let who = rng.random_range(0..3);
            let p = &mut people[who];
            p.now = NOON + rng.random_range(0..500) + logs[who].len() as u64 * 20;
            let target = said.get(rng.random_range(0..said.len().max(1))).copied();
            let entry = match (rng.random_range(0..5), target) {
                (0, _) | (_, None) => {
                    let id = p.next_id();
                    said.push((id, p.principal()));
                    p.say_draft(segment_id(0), &draft(id, "first"))
                }
                (1, Some((id, _))) => p.record(segment_id(0), &edit(id, &format!("edit {}", rng.random_range(0..4)))),
                (2, Some((id, _))) => p.record(segment_id(0), &Record::Delete { message: id }),
                (_, Some((id, author))) => {
                    let emoji = ["👍", "🎉", "✅"][rng.random_range(0..3)];
                    p.record(segment_id(0), &react(id, author, emoji, rng.random_bool(0.6)))
                }
            };
            logs[who].push(entry);
        }
        let mut wanted = None;
        for _ in 0..6 {
            let mut order: Vec<usize> = logs.iter().enumerate().flat_map(|(i, l)| vec![i; l.len()]).collect();
            order.shuffle(&mut rng);
            let (mut at, mut s, mut whole) = ([0; 3], segment(0), Document::new(segment_id(0)));
            for i in order {
                let entry = logs[i][at[i]].clone();
                at[i] += 1;
                assert!(apply(&mut s, std::slice::from_ref(&entry)).outcomes[0].is_valid());
                assert!(whole.apply(&[entry])[0].is_valid(), "Automerge takes it too");
            }
            let shown = seen(&s);
            assert_eq!(wanted.get_or_insert_with(|| shown.clone()), &shown, "round {round}");
        }
    }
}

#[test]
fn a_record_may_come_before_its_message_and_long_after_its_segment() {
    let (mut ann, mut bob) = (Person::new(1, 1), Person::new(2, 2));
    let id = ann.next_id();
    let said = ann.say_draft(segment_id(0), &draft(id, "hello"));
    let like = bob.record(segment_id(0), &react(id, ann.principal(), "👍", true));
    ann.now = NOON + 3 * WEEK_MS;
    let later = ann.record(segment_id(0), &edit(id, "three weeks later"));
    let mut s = segment(0);
    assert!(apply(&mut s, &[like]).changed.is_empty(), "there is nothing to show it at");
    assert_eq!(apply(&mut s, &[said, later]).outcomes.iter().filter(|o| o.is_valid()).count(), 2);
    assert_eq!(bodies(&s), ["three weeks later"]);
    assert_eq!(s.newest(1).next().unwrap().about.unwrap().reactions().count(), 1);
    let span = s.span().unwrap();
    assert!(span.last < Hlc::from_ms(NOON + WEEK_MS), "the segment holds no later messages than before");
    // No message may come so late, and no record before the segment.
    let mut eve = Person::new(66, 66);
    eve.now = NOON - WEEK_MS;
    let early = eve.record_raw(segment_id(0), &react(id, ann.principal(), "👍", true));
    assert!(early.is_err(), "{early:?}");
}

#[test]
fn what_is_cut_off_takes_its_history_with_it() {
    let mut ann = Person::new(1, 1);
    let (id, kept) = (ann.next_id(), ann.next_id());
    let first = ann.say_draft(segment_id(0), &draft(id, "secret"));
    let cut = first.header().hlc.ms() + 1;
    ann.now = cut + 10;
    let entries = [
        first,
        ann.say_draft(segment_id(0), &draft(kept, "stays")),
        ann.record(segment_id(0), &edit(id, "still secret")),
        ann.record(segment_id(0), &edit(kept, "stays so")),
    ];
    let mut c = crate::common::conversation();
    assert_eq!(c.apply(segment_id(0), &entries, |_| 1).unwrap().shown.len(), 2);
    c.set_gone(&Spans::EMPTY, &Spans::one(0, cut));
    let s = c.segment(&segment_id(0)).unwrap();
    assert_eq!(bodies(s), ["stays so"]);
    assert!(s.about(&ann.principal(), &id).is_none() && s.about(&ann.principal(), &kept).is_some());
}

#[test]
fn an_author_goes_on_after_a_restart_and_after_what_could_not_be_stored() {
    let mut ann = Person::new(1, 1);
    let log: LogId = ann.log(segment_id(0));
    let mut author = ChatAuthor::new(log);
    let mut pen = ann.pen(segment_id(0));
    let (mut entries, ids) = (Vec::new(), [ann.next_id(), ann.next_id()]);
    let mut write = |pen: &mut cairn_crdt::writer::LogWriter, raw: Vec<u8>, hlc| {
        entries.push(Arc::new(pen.write(raw, hlc).unwrap()));
    };
    for n in 0..600 {
        let hlc = ann.stamp();
        let raw = match n {
            0 => author.say(hlc, &draft(ids[0], "a")),
            300 => author.say(hlc, &draft(ids[1], "b")),
            _ => author.record(hlc, &react(ids[0], log.device.principal(), "👍", n % 2 == 0)),
        };
        write(&mut pen, raw.unwrap(), hlc);
    }
    let mut again = ChatAuthor::new(log);
    entries.iter().for_each(|e| again.replay(e).unwrap());
    let hlc = ann.stamp();
    let (last, same) = (edit(ids[1], "c"), draft(ann.next_id(), "d"));
    assert_eq!(author.record(hlc, &last).unwrap(), again.record(hlc, &last).unwrap());
    again.rollback(entries.len() as u64).unwrap();
    assert_eq!(again.record(hlc, &last), author.rollback(600).and_then(|()| author.record(hlc, &last)));
    let hlc = ann.stamp();
    assert_eq!(author.say(hlc, &same).unwrap(), again.say(hlc, &same).unwrap());
}

/// A block of records and a record of the kind in it, to be added to.
fn record(tx: &mut Transaction<'_>, own: Incarnation, kind: &str, sent: i64, about: MessageId) -> ObjId {
    let block = tx.put_object(ROOT, format!("{own}.r000000"), ObjType::Map).unwrap();
    let r = tx.put_object(&block, "000", ObjType::Map).unwrap();
    tx.put(&r, "sent", sent).unwrap();
    tx.put(&r, "kind", kind).unwrap();
    tx.put(&r, "message", about.to_string()).unwrap();
    r
}

#[test]
fn nobody_says_anything_in_anothers_name() {
    let mut ann = Person::new(1, 1);
    let (id, victim) = (ann.next_id(), ann.principal());
    let said = ann.say_draft(segment_id(0), &draft(id, "I agree"));
    type Write = fn(&mut Transaction<'_>, Incarnation, i64, MessageId, PrincipalId);
    let void: [(Write, &str); 15] = [
        // Under the victim's own keys.
        (|tx, _, at, id, _| drop(record(tx, Incarnation([1; 16]), "delete", at, id)), "another incarnation"),
        // About a message that it says is the victim's.
        (
            |tx, own, at, id, ann| {
                let r = record(tx, own, "edit", at, id);
                tx.put(&r, "body", "I refuse").unwrap();
                tx.put(&r, "author", ann.to_string()).unwrap();
            },
            "what its kind has not",
        ),
        (
            |tx, own, at, id, ann| {
                let r = record(tx, own, "delete", at, id);
                tx.put(&r, "author", ann.to_string()).unwrap();
            },
            "what its kind has not",
        ),
        // A reaction that says who reacted.
        (
            |tx, own, at, id, ann| {
                let r = record(tx, own, "react", at, id);
                tx.put(&r, "author", ann.to_string()).unwrap();
                tx.put(&r, "emoji", "👍").unwrap();
                tx.put(&r, "on", true).unwrap();
                tx.put(&r, "by", ann.to_string()).unwrap();
            },
            "what its kind has not",
        ),
        (|tx, own, at, id, _| drop(record(tx, own, "edit", at, id)), "lacks what"),
        (|tx, own, at, id, _| drop(record(tx, own, "react", at, id)), "lacks what"),
        (|tx, own, at, id, _| drop(record(tx, own, "delete", at + 1, id)), "sent is not"),
        (
            |tx, own, at, id, _| {
                let r = record(tx, own, "edit", at, id);
                tx.put(&r, "body", "x".repeat(64 * 1024 + 1)).unwrap();
            },
            "64 KiB",
        ),
        (
            |tx, own, at, id, _| {
                let r = record(tx, own, "react", at, id);
                tx.put(&r, "emoji", "x".repeat(MAX_EMOJI + 1)).unwrap();
            },
            "not a reaction",
        ),
        (
            |tx, own, at, id, _| {
                let r = record(tx, own, "edit", at, id);
                let m = tx.put_object(&r, "mentions", ObjType::Map).unwrap();
                for n in 0..=MAX_MENTIONS as u8 {
                    tx.put(&m, PrincipalId([n; 32]).to_string(), "n").unwrap();
                }
            },
            "too many",
        ),
        (
            |tx, own, at, id, _| {
                let r = record(tx, own, "edit", at, id);
                let m = tx.put_object(&r, "mentions", ObjType::Map).unwrap();
                tx.put(&m, "everybody", "n").unwrap();
            },
            "not a mention",
        ),
        // Blocks and records are numbered without gaps.
        (
            |tx, own, _, _, _| {
                let block = tx.put_object(ROOT, format!("{own}.r000001"), ObjType::Map).unwrap();
                tx.put_object(&block, "000", ObjType::Map).unwrap();
            },
            "next block of records",
        ),
        (
            |tx, own, _, _, _| {
                let block = tx.put_object(ROOT, format!("{own}.r000000"), ObjType::Map).unwrap();
                tx.put_object(&block, "001", ObjType::Map).unwrap();
            },
            "next record",
        ),
        (
            |tx, own, _, _, _| {
                let block = tx.put_object(ROOT, format!("{own}.r000000"), ObjType::Map).unwrap();
                tx.put(&block, "000", "x").unwrap();
            },
            "next record",
        ),
        (
            |tx, own, at, id, _| {
                let r = record(tx, own, "to come", at, id);
                tx.put(&r, "much", "x".repeat(40_000)).unwrap();
            },
            "too large",
        ),
    ];
    for (n, (write, why)) in void.into_iter().enumerate() {
        let mut eve = Hostile::new(66, 66, segment_id(0));
        let own = eve.person.incarnation;
        let entry = eve.write(|tx, at| write(tx, own, at, id, victim));
        let mut s = segment(0);
        let applied = apply(&mut s, &[said.clone(), entry.clone()]);
        let [Outcome::Valid { .. }, Outcome::Void(reason)] = applied.outcomes.as_slice() else {
            panic!("{n}: {:?}", applied.outcomes)
        };
        assert!(reason.to_string().contains(why), "{n}: wanted {why:?}, got {reason}");
        assert!(!Document::new(segment_id(0)).apply(&[entry])[0].is_valid());
        assert_eq!(seen(&s), ["I agree false false I agree [] [] []"], "{n}");
    }
    // An edit of the message of that id is one of eve's own, which she never said.
    let mut eve = Person::new(66, 66);
    let mut s = segment(0);
    let theirs =
        [eve.record(segment_id(0), &edit(id, "I refuse")), eve.record(segment_id(0), &Record::Delete { message: id })];
    let applied = apply(&mut s, &[vec![said], theirs.to_vec()].concat());
    assert!(applied.outcomes.iter().all(Outcome::is_valid) && applied.changed.is_empty());
    assert_eq!(seen(&s), ["I agree false false I agree [] [] []"]);
}

#[test]
fn a_record_is_never_changed() {
    let mut eve = Hostile::new(66, 66, segment_id(0));
    let own = eve.person.incarnation;
    let mut r = ROOT;
    let first = eve.write(|tx, at| r = record(tx, own, "delete", at, MessageId([3; 16])));
    let second = eve.write(|tx, _| tx.put(&r, "message", MessageId([4; 16]).to_string()).unwrap());
    let applied = apply(&mut segment(0), &[first, second]);
    let [Outcome::Valid { .. }, Outcome::Void(why)] = applied.outcomes.as_slice() else { panic!("{applied:?}") };
    assert!(why.to_string().contains("overwritten"), "{why}");
}

#[test]
fn ten_thousand_reactions_of_one_person_are_as_many_as_count() {
    let mut ann = Person::new(1, 1);
    let (id, author) = (ann.next_id(), ann.principal());
    let said = ann.say_draft(segment_id(0), &draft(id, "hello"));
    let (mut first, mut other) = (segment(0), segment(0));
    apply(&mut first, std::slice::from_ref(&said));
    let mut eve = Hostile::new(66, 66, segment_id(0));
    let own = eve.person.incarnation;
    let mut block = ROOT;
    let all: Vec<_> = (0..625u32)
        .map(|n| {
            eve.write(|tx, at| {
                if n % 32 == 0 {
                    block = tx.put_object(ROOT, format!("{own}.r{:06}", n / 32), ObjType::Map).unwrap();
                }
                for k in 0..16 {
                    let r = tx.put_object(&block, format!("{:03}", n % 32 * 16 + k), ObjType::Map).unwrap();
                    tx.put(&r, "sent", at).unwrap();
                    tx.put(&r, "kind", "react").unwrap();
                    tx.put(&r, "message", id.to_string()).unwrap();
                    tx.put(&r, "author", author.to_string()).unwrap();
                    tx.put(&r, "emoji", format!("{:05}", (n * 16 + k) * 7919 % 10_000)).unwrap();
                    tx.put(&r, "on", true).unwrap();
                }
            })
        })
        .collect();
    assert!(apply(&mut first, &all).outcomes.iter().all(Outcome::is_valid));
    apply(&mut other, &all);
    apply(&mut other, &[said]);
    let on = |s: &ChatSegment| -> Vec<String> {
        s.get(&author, &id).unwrap().about.unwrap().reactions().map(|(_, e)| e.to_owned()).collect()
    };
    let lowest: Vec<_> = (0..MAX_REACTIONS).map(|n| format!("{n:05}")).collect();
    assert_eq!((on(&first), on(&other)), (lowest.clone(), lowest));
}
