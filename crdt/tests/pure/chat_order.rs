//! A chat segment shows the same, in the same order, however its entries came.

use std::sync::Arc;

use crate::common::{NOON, Person, apply, bodies, segment, segment_id, shown};
use automerge::ReadDoc;
use cairn_crdt::document::{Document, Outcome};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::MessageId;
use cairn_crdt::kinds::chat::Draft;
use cairn_crdt::kinds::order::OrderKey;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Logs of several people who talk across each other; clocks a little apart, some messages with `after`.
fn talk(seed: u64) -> Vec<Vec<Arc<Entry>>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut people: Vec<Person> = (1..=5).map(|d| Person::new(d, d)).collect();
    for p in &mut people {
        p.now += rng.random_range(0..40_000);
    }
    let mut logs = vec![Vec::new(); people.len()];
    let mut last: Option<OrderKey> = None;
    for n in 0..120 {
        let who = rng.random_range(0..people.len());
        let (id, hlc) = (people[who].next_id(), people[who].stamp());
        let after = last.filter(|_| rng.random_bool(0.5));
        let body = format!("{n} from {who}");
        logs[who].push(people[who].say_at(segment_id(0), hlc, &Draft { id, body: &body, after, reply_to: None }));
        let key = OrderKey::of(hlc, after.map(|a| a.stamp), people[who].id(), id);
        last = last.max(Some(key));
    }
    logs
}

/// One order of delivery: each log in order, logs mixed at random.
fn mixed(logs: &[Vec<Arc<Entry>>], rng: &mut ChaCha8Rng) -> Vec<Arc<Entry>> {
    let mut heads = vec![0; logs.len()];
    let mut out = Vec::new();
    while out.len() < logs.iter().map(Vec::len).sum() {
        let at = rng.random_range(0..logs.len());
        if let Some(e) = logs[at].get(heads[at]) {
            heads[at] += 1;
            out.push(e.clone());
        }
    }
    out
}

#[test]
fn any_order_of_delivery_and_any_batches_show_the_same() {
    for seed in 0..4 {
        let logs = talk(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed + 100);
        let mut whole = segment(0);
        let all: Vec<_> = logs.concat();
        assert!(apply(&mut whole, &all).outcomes.iter().all(Outcome::is_valid), "seed {seed}");
        assert_eq!(whole.len(), 120);
        let mut document = Document::new(segment_id(0));
        document.apply(&all);
        let heads = document.automerge().get_heads();
        let keys: Vec<_> = whole.newest(usize::MAX).map(|m| m.key).collect();
        assert!(keys.windows(2).all(|w| w[0] < w[1]));
        for round in 0..8 {
            let order = mixed(&logs, &mut rng);
            let mut other = segment(0);
            let mut rest = order.as_slice();
            let mut new = 0;
            while !rest.is_empty() {
                let n = if round == 0 { 1 } else { rng.random_range(1..=rest.len().min(40)) };
                let applied = apply(&mut other, &rest[..n]);
                assert!(applied.outcomes.iter().all(Outcome::is_valid), "seed {seed}");
                new += applied.shown.len();
                rest = &rest[n..];
            }
            assert_eq!(new, 120);
            assert_eq!(shown(&other), shown(&whole), "seed {seed} round {round}");
            // Automerge agrees with the judge and comes out the same.
            let mut document = Document::new(segment_id(0));
            assert!(document.apply(&order).iter().all(Outcome::is_valid));
            assert_eq!(document.automerge().get_heads(), heads, "seed {seed} round {round}");
        }
    }
}

#[test]
fn what_came_too_early_waits_and_what_came_twice_is_known() {
    let mut p = Person::new(1, 1);
    let entries: Vec<_> = (0..4).map(|n| p.say(segment_id(0), &n.to_string())).collect();
    let mut s = segment(0);
    assert_eq!(apply(&mut s, &entries[1..2]).outcomes, [Outcome::Waiting]);
    assert!(apply(&mut s, &entries[..2]).outcomes.iter().all(Outcome::is_valid));
    assert_eq!(apply(&mut s, &entries[1..2]).outcomes, [Outcome::Known]);
    assert!(apply(&mut s, &entries[2..]).outcomes.iter().all(Outcome::is_valid));
    assert_eq!(bodies(&s), ["0", "1", "2", "3"]);
    assert_eq!(s.judged(&p.log(segment_id(0))), 4);
}

#[test]
fn the_automerge_document_holds_plain_values_that_load_again() {
    let mut p = Person::new(1, 1);
    let id = p.next_id();
    let hlc = p.stamp();
    let e = p.say_at(segment_id(0), hlc, &Draft { id, body: "héllo 你好", after: None, reply_to: Some(id) });
    let mut s = segment(0);
    let mut document = Document::new(segment_id(0));
    assert!(document.apply(std::slice::from_ref(&e))[0].is_valid());
    apply(&mut s, &[e]);
    let doc = automerge::Automerge::load(&document.automerge().save()).unwrap();
    let (_, block) = doc.get(automerge::ROOT, format!("{}.000000", p.incarnation)).unwrap().unwrap();
    let (_, message) = doc.get(&block, id.to_string()).unwrap().unwrap();
    let text = |key: &str| doc.get(&message, key).unwrap().map(|(v, _)| v.into_string().unwrap());
    assert_eq!(text("body").as_deref(), Some("héllo 你好"));
    assert_eq!(text("kind").as_deref(), Some("text"));
    assert_eq!(text("reply_to"), Some(id.to_string()));
    assert_eq!(text("after"), None);
    assert_eq!(doc.get(&message, "sent").unwrap().unwrap().0.as_i64(), Some(hlc.0 as i64));
    let m = s.get(&p.principal(), &id).unwrap();
    assert_eq!((m.reply_to, m.sent, m.seq, m.received), (Some(id), hlc, 1, 1));
}

#[test]
fn a_reply_follows_what_it_answers_even_when_its_authors_clock_is_behind() {
    let (mut ann, mut bob) = (Person::new(1, 1), Person::new(2, 2));
    ann.now = NOON + 90_000;
    let question = ann.next_id();
    let hlc = ann.stamp();
    let q = ann.say_at(segment_id(0), hlc, &Draft { id: question, body: "q", after: None, reply_to: None });
    let key = OrderKey::of(hlc, None, ann.id(), question);
    let answer = bob.next_id();
    let a = bob.say_draft(segment_id(0), &Draft { id: answer, body: "a", after: Some(key), reply_to: Some(question) });
    let mut s = segment(0);
    apply(&mut s, &[a, q]);
    assert_eq!(bodies(&s), ["q", "a"]);
}

#[test]
fn an_after_in_the_far_future_moves_nothing() {
    let (mut ann, mut eve) = (Person::new(1, 1), Person::new(2, 2));
    let first = ann.say(segment_id(0), "one");
    let far = OrderKey { stamp: Hlc(u64::MAX - 1), device: eve.id(), id: MessageId([9; 16]) };
    let id = eve.next_id();
    let lie = eve.say_draft(segment_id(0), &Draft { id, body: "mine last", after: Some(far), reply_to: None });
    ann.now += 1_000;
    let last = ann.say(segment_id(0), "two");
    let mut s = segment(0);
    assert!(apply(&mut s, &[first, last, lie]).outcomes.iter().all(Outcome::is_valid));
    assert_eq!(bodies(&s).last().map(String::as_str), Some("two"));
    assert!(s.newest(9).all(|m| m.key.stamp.ms() < NOON + 10_000));
}

#[test]
fn a_message_issued_again_shows_once_and_the_first_copy_stays() {
    let mut old = Person::new(1, 1);
    let mut new = Person::new(1, 2);
    new.now += 5_000;
    let id = old.next_id();
    let first = old.say_draft(segment_id(0), &Draft { id, body: "hello", after: None, reply_to: None });
    let again = new.say_draft(segment_id(0), &Draft { id, body: "hello", after: None, reply_to: None });
    let other =
        Person::new(2, 3).say_draft(segment_id(0), &Draft { id, body: "not yours", after: None, reply_to: None });
    let mut a = segment(0);
    apply(&mut a, &[first.clone(), again.clone(), other.clone()]);
    let mut b = segment(0);
    let late = b.apply(&[again, other], |_| 1);
    assert_eq!((late.shown.len(), late.moved.len()), (2, 0));
    let then = b.apply(&[first], |_| 1);
    assert_eq!((then.shown.len(), then.moved.len()), (0, 1));
    assert_eq!(shown(&a), shown(&b));
    assert_eq!(a.len(), 2, "another person's message with the same id is another message");
    assert_eq!(a.get(&old.principal(), &id).unwrap().log.incarnation, old.incarnation);
    assert_eq!(a.find(&id).count(), 2);
}

#[test]
fn a_failed_commit_is_taken_back_and_the_next_message_goes_through() {
    use cairn_crdt::kinds::chat::ChatAuthor;
    let mut p = Person::new(1, 1);
    let log = p.log(segment_id(0));
    let (mut pen, mut author) = (p.pen(segment_id(0)), ChatAuthor::new(log));
    let mut entries = Vec::new();
    for n in 0..520 {
        let (tip, seq) = (pen.tip(), author.seq());
        let (id, hlc) = (p.next_id(), p.stamp());
        let raw = author.say(hlc, &Draft { id, body: &n.to_string(), after: None, reply_to: None }).unwrap();
        let entry = Arc::new(pen.write(raw, hlc).unwrap());
        if n % 130 == 129 || n == 512 {
            pen.rollback(tip);
            author.rollback(seq).unwrap();
        } else {
            entries.push(entry);
        }
    }
    let mut s = segment(0);
    assert!(apply(&mut s, &entries).outcomes.iter().all(Outcome::is_valid));
    assert_eq!(s.len(), 515);
    // A restarted author goes on from the entries.
    let mut again = ChatAuthor::new(log);
    for e in &entries {
        again.replay(e).unwrap();
    }
    assert!(again.replay(&entries[0]).is_err());
    let (id, hlc) = (p.next_id(), p.stamp());
    let raw = again.say(hlc, &Draft { id, body: "after the restart", after: None, reply_to: None }).unwrap();
    let entry = Arc::new(pen.write(raw, hlc).unwrap());
    assert!(apply(&mut s, &[entry]).outcomes[0].is_valid());
    assert_eq!(bodies(&s).last().map(String::as_str), Some("after the restart"));
    // What would be void is refused before it is signed.
    let seq = again.seq();
    let huge = "x".repeat(70_000);
    let hlc = p.stamp();
    assert!(again.say(hlc, &Draft { id, body: &huge, after: None, reply_to: None }).is_err());
    assert!(again.say(Hlc(1), &Draft { id, body: "too old", after: None, reply_to: None }).is_err());
    assert_eq!(again.seq(), seq);
    let id = p.next_id();
    let raw = again.say(hlc, &Draft { id, body: "still here", after: None, reply_to: None }).unwrap();
    assert!(apply(&mut s, &[Arc::new(pen.write(raw, hlc).unwrap())]).outcomes[0].is_valid());
}
