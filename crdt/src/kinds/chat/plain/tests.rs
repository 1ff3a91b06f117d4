//! What is recognised is what guard and rule let through: both are asked about the same entries, honest, bent byte by
//! byte, and hostile on purpose.

use std::sync::Arc;

use automerge::transaction::{Transactable, Transaction};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::entry::Entry;
use crate::identity::DeviceKey;
use crate::ids::{DeviceId, DocumentId, Incarnation, LogId, PrincipalId, SpaceId};
use crate::kinds::chat::{BLOCK_MESSAGES, ChatAuthor, Draft, Record, WEEK_MS};
use crate::verdict::{Judge, Outcome, Taken};
use crate::writer::{LogTip, LogWriter};

const WEEK: u32 = 2968;

fn document() -> DocumentId {
    DocumentId::chat(WEEK, 0)
}

fn stamp(n: u64) -> Hlc {
    Hlc(Hlc::from_ms(u64::from(WEEK) * WEEK_MS).0 + n * 70_001)
}

struct Pen {
    author: ChatAuthor,
    writer: LogWriter,
    n: u64,
}

impl Pen {
    fn new(device: u8) -> Self {
        let key = DeviceKey::from_seed(&[device; 32]);
        let log = LogId { document: document(), device: key.id(), incarnation: Incarnation([device; 16]) };
        Self { author: ChatAuthor::new(log), writer: LogWriter::new(key, SpaceId([0; 32]), log, LogTip::EMPTY), n: 0 }
    }

    fn say(&mut self, body: &str, after: Option<OrderKey>, reply_to: Option<MessageId>) -> Arc<Entry> {
        self.n += 1;
        let (hlc, id) = (stamp(self.n), id(self.n));
        let raw = self.author.say(hlc, &Draft { id, body, after, reply_to }).unwrap();
        Arc::new(self.writer.write(raw, hlc).unwrap())
    }

    /// The next entry with whatever payload.
    fn payload(&self, raw: Vec<u8>, hlc: Hlc) -> Entry {
        self.writer.clone().write(raw, hlc).unwrap()
    }
}

fn id(n: u64) -> MessageId {
    MessageId::new(1_700_000_000_000 + n, [n as u8; 10])
}

/// Asks both ways about one entry, from the same past; they must agree. Says whether it was recognised.
fn both(long: &mut Judge, short: &mut Judge, entry: &Entry) -> (bool, bool) {
    let slow = long.take(entry);
    let fast = short.take_said(entry);
    match (&slow, &fast) {
        (Ok(checked), Ok(Taken::Plain(plain))) => {
            assert_eq!(plain.hash, checked.change.hash().0);
            assert_eq!(plain.ops as usize, checked.ops.len());
        }
        (Ok(checked), Ok(Taken::Ops(ops))) => assert_eq!(&checked.ops, ops),
        (Err(Outcome::Void(_)), Err(Outcome::Void(_))) => {}
        (Err(slow), Err(fast)) => assert_eq!(slow, fast),
        (slow, fast) => panic!("the long way: {:?}; the short: {fast:?}", slow.as_ref().map(|c| &c.ops)),
    }
    (slow.is_ok(), matches!(fast, Ok(Taken::Plain(_))))
}

fn random_text(rng: &mut ChaCha8Rng) -> String {
    let lengths = [0, 1, 4, 7, 26, 60, 96, 127, 128, 300, 5_000];
    let n = lengths[rng.random_range(0..lengths.len())];
    if rng.random_bool(0.2) { "ä".repeat(n / 2) } else { "x".repeat(n) }
}

fn random_say(pen: &mut Pen, rng: &mut ChaCha8Rng) -> Arc<Entry> {
    let after = rng.random_bool(0.7).then(|| OrderKey {
        stamp: stamp(rng.random_range(0..1_000)),
        device: DeviceId(rng.random()),
        id: MessageId(rng.random()),
    });
    let reply_to = rng.random_bool(0.3).then(|| MessageId(rng.random()));
    pen.say(&random_text(rng), after, reply_to)
}

#[test]
fn what_honest_authors_write_is_recognised_but_for_the_first_of_each_block() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut long, mut short) = (Judge::new(document()), Judge::new(document()));
    for (device, count) in [(1, 2 * BLOCK_MESSAGES + 5), (2, 40)] {
        let mut pen = Pen::new(device);
        let mut missed = 0;
        for n in 0..count {
            let entry = random_say(&mut pen, &mut rng);
            let (valid, plain) = both(&mut long, &mut short, &entry);
            assert!(valid);
            assert!(plain || n % BLOCK_MESSAGES == 0, "message {n}");
            missed += u32::from(!plain);
        }
        assert_eq!(missed, count.div_ceil(BLOCK_MESSAGES));
    }
}

#[test]
fn messages_after_records_are_recognised_as_ever() {
    let mut pen = Pen::new(1);
    let (mut long, mut short) = (Judge::new(document()), Judge::new(document()));
    for n in 0..60u64 {
        let entry = pen.say("plain", None, None);
        assert_eq!(both(&mut long, &mut short, &entry), (true, n > 0), "message {n}");
        pen.n += 1;
        let (hlc, message) = (stamp(pen.n), id(n));
        let record = match n % 3 {
            0 => Record::Edit { message, body: "edited", mentions: &[] },
            1 => Record::Delete { message },
            _ => Record::React { message, author: PrincipalId([9; 32]), emoji: "👍", on: true },
        };
        let raw = pen.author.record(hlc, &record).unwrap();
        let entry = pen.writer.write(raw, hlc).unwrap();
        assert_eq!(both(&mut long, &mut short, &entry), (true, false), "record {n}");
    }
}

#[test]
fn what_is_recognised_says_what_the_author_said() {
    let mut pen = Pen::new(1);
    let after = OrderKey { stamp: stamp(9), device: DeviceId([9; 32]), id: id(9) };
    let mut judge = Judge::new(document());
    assert!(judge.take_said(&pen.say("first", None, None)).is_ok());
    let cases: [(&str, Option<OrderKey>, Option<MessageId>); 5] = [
        ("", None, None),
        ("plain", None, None),
        ("after", Some(after), None),
        ("answer", None, Some(id(3))),
        ("ü", Some(after), Some(id(4))),
    ];
    for (body, after, reply_to) in cases {
        let entry = pen.say(body, after, reply_to);
        let Ok(Taken::Plain(plain)) = judge.take_said(&entry) else { panic!("{body}") };
        assert_eq!(
            (&*plain.body, plain.after, plain.reply_to, plain.id),
            (body, after.map(|a| a.stamp), reply_to, id(pen.n))
        );
    }
}

#[test]
fn lengths_of_numbers() {
    for v in [0, 1, 63, 64, -64, -65, 8_191, 8_192, i64::MAX, i64::MIN, 1 << 60] {
        let mut out = Vec::new();
        signed(&mut out, v);
        assert_eq!(out.len() as u64, signed_len(v), "{v}");
    }
}

/// Sets length and checksum of a chunk right, so that what was bent inside is what is judged.
fn mend(raw: &mut [u8]) {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(&raw[8..]);
    raw[4..8].copy_from_slice(&hash[..4]);
}

#[test]
fn bent_bytes_get_the_same_verdict_both_ways() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for round in 0..12u8 {
        let mut pen = Pen::new(round + 1);
        let past: Vec<_> = (0..rng.random_range(1..6)).map(|_| random_say(&mut pen, &mut rng)).collect();
        let before = Pen { author: ChatAuthor::new(pen.author.log()), writer: pen.writer.clone(), n: pen.n };
        let honest = random_say(&mut pen, &mut rng);
        let raw = honest.payload.clone().unwrap();
        let mut valid = 0;
        for _ in 0..400 {
            let mut bent = raw.clone();
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(0..bent.len());
                match rng.random_range(0..4) {
                    0 => bent[at] ^= 1 << rng.random_range(0..8),
                    1 => bent[at] = rng.random(),
                    2 => drop(bent.remove(at)),
                    _ => bent.insert(at, rng.random()),
                }
            }
            if bent.len() < 9 {
                continue;
            }
            mend(&mut bent);
            let (mut long, mut short) = (Judge::new(document()), Judge::new(document()));
            for e in &past {
                both(&mut long, &mut short, e);
            }
            let entry = before.payload(bent, honest.header().hlc);
            valid += u32::from(both(&mut long, &mut short, &entry).0);
            // Whatever became of it, both go on alike.
            let next = pen.payload(raw.clone(), stamp(pen.n + 1));
            both(&mut long, &mut short, &next);
        }
        // Letters of a body may change.
        assert!(valid < 400);
    }
}

/// Writes with Automerge what it likes, after a beginning that the honest composer wrote.
struct Hand {
    pen: Pen,
    doc: Automerge,
    judges: (Judge, Judge),
}

impl Hand {
    fn new() -> Self {
        let mut pen = Pen::new(7);
        let actor = ActorId::from(pen.author.log().automerge_actor());
        let mut hand = Self {
            doc: Automerge::new().with_actor(actor),
            judges: (Judge::new(document()), Judge::new(document())),
            pen: Pen::new(7),
        };
        for n in 0..3 {
            let entry = pen.say("honest", None, None);
            hand.doc.load_incremental(entry.payload.as_deref().unwrap()).unwrap();
            assert_eq!(both(&mut hand.judges.0, &mut hand.judges.1, &entry), (true, n > 0));
        }
        hand.pen = pen;
        hand
    }

    fn block(&self) -> ObjId {
        self.doc.get(ROOT, super::super::block_key(&Incarnation([7; 16]), 0)).unwrap().unwrap().1
    }

    /// Writes one change and gives whether it is valid and whether it was recognised.
    fn write(&mut self, edit: impl FnOnce(&mut Transaction<'_>, i64, &ObjId)) -> (bool, bool) {
        self.pen.n += 1;
        let hlc = stamp(self.pen.n);
        let block = self.block();
        let mut tx = self.doc.transaction();
        edit(&mut tx, hlc.0 as i64, &block);
        let time = i64::try_from(hlc.ms() / 1000).unwrap();
        let hash = tx.commit_with(automerge::transaction::CommitOptions::default().with_time(time)).0.unwrap();
        let raw = self.doc.get_change_by_hash(&hash).unwrap().raw_bytes().to_vec();
        let entry = self.pen.writer.write(raw, hlc).unwrap();
        both(&mut self.judges.0, &mut self.judges.1, &entry)
    }
}

fn message(tx: &mut Transaction<'_>, block: &ObjId, id: &str, sent: i64) -> ObjId {
    let m = tx.put_object(block, id, ObjType::Map).unwrap();
    tx.put(&m, "sent", sent).unwrap();
    tx.put(&m, "kind", "text").unwrap();
    tx.put(&m, "body", "hello").unwrap();
    m
}

#[test]
fn a_message_written_with_automerge_itself_is_the_same() {
    let mut hand = Hand::new();
    let verdict = hand.write(|tx, sent, block| drop(message(tx, block, &id(50).to_string(), sent)));
    assert_eq!(verdict, (true, true));
}

#[test]
fn what_is_not_kept_of_plain_messages_cannot_be_used() {
    let old = id(2).to_string();
    // A field added to a plain message, one put over, the message deleted, and its block.
    type Edit = fn(&mut Transaction<'_>, &ObjId, &ObjId);
    let edits: [Edit; 5] = [
        |tx, _, old| tx.put(old, "reply_to", id(1).to_string()).unwrap(),
        |tx, _, old| tx.put(old, "body", "never said").unwrap(),
        |tx, _, old| tx.delete(old, "body").unwrap(),
        |tx, block, _| tx.delete(block, id(2).to_string()).unwrap(),
        |tx, block, _| drop(tx.put_object(block, id(2).to_string(), ObjType::Map).unwrap()),
    ];
    for edit in edits {
        let mut hand = Hand::new();
        let there = hand.doc.get(hand.block(), old.as_str()).unwrap().unwrap().1;
        assert_eq!(hand.write(|tx, _, block| edit(tx, block, &there)), (false, false));
    }
}

#[test]
fn an_id_is_used_once_in_a_block_whichever_way_it_came() {
    // The same chain with an id twice, which no Automerge editor makes without a predecessor: written by hand.
    for after_long in [false, true] {
        let mut hand = Hand::new();
        let mut number = 50;
        if after_long {
            let verdict = hand.write(|tx, sent, block| {
                let m = message(tx, block, &id(50).to_string(), sent);
                tx.put(&m, "colour", "red").unwrap();
            });
            assert_eq!(verdict, (true, false));
        } else {
            number = 2;
        }
        let hlc = stamp(hand.pen.n + 1);
        let last = hand.doc.get_heads()[0];
        let actor = hand.pen.author.log().automerge_actor();
        let start = hand.doc.get_change_by_hash(&last).unwrap().max_op() + 1;
        let chain = Chain { actor: &actor, seq: hand.pen.n + 1, start, last: &last.0, block: 1, hlc };
        let made = |n| {
            let mut room = Room::default();
            write(&chain, &Said { id: id(n), body: "again", after: None, reply_to: None }, &mut room).unwrap();
            room.made
        };
        let (raw, fresh) = (made(number), made(60));
        let entry = hand.pen.payload(raw, hlc);
        assert_eq!(both(&mut hand.judges.0, &mut hand.judges.1, &entry), (false, false));
        // The hand that wrote it would have been good.
        let mut other = Hand::new();
        if !after_long {
            let entry = other.pen.payload(fresh, hlc);
            assert_eq!(both(&mut other.judges.0, &mut other.judges.1, &entry), (true, true));
        }
    }
}

#[test]
fn the_long_way_in_between_is_followed() {
    let mut hand = Hand::new();
    let own = Incarnation([7; 16]);
    let verdict = hand.write(|tx, sent, block| {
        let m = message(tx, block, &id(70).to_string(), sent);
        let list = tx.put_object(&m, "attachments", ObjType::List).unwrap();
        tx.insert(&list, 0, "plan.pdf").unwrap();
    });
    assert_eq!(verdict, (true, false));
    assert_eq!(hand.write(|tx, sent, block| drop(message(tx, block, &id(71).to_string(), sent))), (true, true));
    let record = |tx: &mut Transaction<'_>, sent| {
        let records = tx.put_object(ROOT, format!("{own}.r000000"), ObjType::Map).unwrap();
        let r = tx.put_object(&records, "000", ObjType::Map).unwrap();
        tx.put(&r, "sent", sent).unwrap();
        tx.put(&r, "kind", "delete").unwrap();
        tx.put(&r, "message", id(70).to_string()).unwrap();
    };
    assert_eq!(hand.write(|tx, sent, _| record(tx, sent)), (true, false));
    assert_eq!(hand.write(|tx, sent, block| drop(message(tx, block, &id(72).to_string(), sent))), (true, true));
    // A new block before the last is full, with two messages in it, then a plain one.
    let mut block = ROOT;
    let verdict = hand.write(|tx, sent, _| {
        block = tx.put_object(ROOT, super::super::block_key(&own, 1), ObjType::Map).unwrap();
        message(tx, &block, &id(73).to_string(), sent);
        message(tx, &block, &id(74).to_string(), sent);
    });
    assert_eq!(verdict, (true, false));
    let new = block.clone();
    assert_eq!(hand.write(|tx, sent, _| drop(message(tx, &new, &id(75).to_string(), sent))), (true, true));
    // The id of a message of the old block is free in the new one; the old block is closed.
    assert_eq!(hand.write(|tx, sent, _| drop(message(tx, &new, &id(2).to_string(), sent))), (true, true));
    assert_eq!(hand.write(|tx, sent, old| drop(message(tx, old, &id(76).to_string(), sent))), (false, false));
}

#[test]
fn wrong_stamps_weeks_and_fields_go_the_long_way_and_are_void() {
    type Edit = fn(&mut Transaction<'_>, i64, &ObjId);
    let cases: [(&str, Edit); 4] = [
        ("another time", |tx, sent, b| drop(message(tx, b, &id(50).to_string(), sent + 1))),
        ("capitals", |tx, sent, b| drop(message(tx, b, &id(50).to_string().to_uppercase(), sent))),
        ("no body", |tx, sent, b| {
            let m = tx.put_object(b, id(50).to_string(), ObjType::Map).unwrap();
            tx.put(&m, "sent", sent).unwrap();
            tx.put(&m, "kind", "text").unwrap();
        }),
        ("after", |tx, sent, b| {
            let m = message(tx, b, &id(50).to_string(), sent);
            let key = OrderKey { stamp: stamp(1), device: DeviceId([9; 32]), id: id(1) }.to_string();
            tx.put(&m, "after", key.to_uppercase()).unwrap();
        }),
    ];
    for (what, edit) in cases {
        assert_eq!(Hand::new().write(edit), (false, false), "{what}");
    }
    for hlc in [stamp(1), Hlc::from_ms(u64::from(WEEK + 1) * WEEK_MS + 5)] {
        let mut hand = Hand::new();
        let last = hand.doc.get_heads()[0];
        let actor = hand.pen.author.log().automerge_actor();
        let start = hand.doc.get_change_by_hash(&last).unwrap().max_op() + 1;
        let chain = Chain { actor: &actor, seq: 4, start, last: &last.0, block: 1, hlc };
        let mut room = Room::default();
        write(&chain, &Said { id: id(50), body: "x", after: None, reply_to: None }, &mut room).unwrap();
        let entry = hand.pen.payload(room.made, hlc);
        assert_eq!(both(&mut hand.judges.0, &mut hand.judges.1, &entry), (false, false));
    }
}

/// The last change of a chain as Automerge itself makes it, from the operations of the one given.
fn by_automerge(raw: &[u8]) -> Vec<u8> {
    let change = automerge::Change::from_bytes(raw.to_vec()).unwrap();
    automerge::Change::from(change.decode()).raw_bytes().to_vec()
}

#[test]
fn what_an_author_makes_by_the_short_way_is_what_automerge_would_make() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut pen = Pen::new(1);
    let mut long = Judge::new(document());
    let (mut entries, mut tips) = (Vec::new(), Vec::new());
    let messages = u64::from(BLOCK_MESSAGES) * 2 + 5;
    for n in 0..messages {
        let after = rng.random_bool(0.5).then(|| OrderKey { stamp: stamp(n), device: DeviceId([3; 32]), id: id(n) });
        let reply_to = rng.random_bool(0.3).then(|| id(rng.random_range(0..=n)));
        tips.push(pen.writer.tip());
        entries.push(pen.say(&random_text(&mut rng), after, reply_to));
        let raw = entries.last().unwrap().payload.as_deref().unwrap();
        assert_eq!(by_automerge(raw), raw, "message {n}");
        assert!(long.take(entries.last().unwrap()).is_ok(), "message {n}");
    }
    // An author who takes the log up again, or takes some of it back, goes on with the same bytes.
    let cut = entries.len() - usize::try_from(BLOCK_MESSAGES).unwrap() - 7;
    let mut again = ChatAuthor::new(pen.author.log());
    entries[..cut].iter().for_each(|e| again.replay(e).unwrap());
    pen.author.rollback(cut as u64).unwrap();
    pen.writer.rollback(tips[cut]);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for n in cut as u64..messages {
        let draft = Draft { id: id(n + 1), body: "as before?", after: None, reply_to: None };
        a.push(pen.author.say(stamp(n + 1), &draft).unwrap());
        b.push(again.say(stamp(n + 1), &draft).unwrap());
    }
    assert_eq!(a, b);
    // The same message twice is refused however it is made, and the chain goes on after that.
    let twice = Draft { id: id(messages), body: "twice", after: None, reply_to: None };
    assert!(again.say(stamp(messages + 1), &twice).is_err());
    let next = Draft { id: id(messages + 1), ..twice };
    assert_eq!(again.say(stamp(messages + 1), &next), pen.author.say(stamp(messages + 1), &next));
}
