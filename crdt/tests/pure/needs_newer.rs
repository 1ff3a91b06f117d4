//! Entries of kinds and payload versions that a build does not understand: they keep their place until a build reads
//! them that does.

use std::sync::Arc;

use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DocumentId, Kind, MessageId};
use cairn_crdt::kinds::chat::{ChatSegment, Conversation, Page, PageAt};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::known::Known;
use cairn_crdt::spans::Spans;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::common::{Person, apply, bodies, segment, segment_id};

/// A build to come, whose messages are of payload version 2.
fn later() -> Known {
    Known::this_build().upto(Kind::Chat, 2)
}

fn newer(device: u8) -> Person {
    Person::new(device, 1).knowing(later())
}

/// Messages and runs of a page as text: `a`, `b`, or how many are not understood.
fn line(page: &Page<'_>) -> String {
    let mut out = Vec::new();
    for at in 0..=page.messages.len() {
        out.extend(page.opaque.iter().filter(|r| r.before == at).map(|r| r.count.to_string()));
        out.extend(page.messages.get(at).map(|m| m.body.to_owned()));
    }
    out.join(" ")
}

#[test]
fn what_a_newer_cairn_wrote_keeps_its_place_and_shows_once_it_is_understood() {
    let (mut ann, mut bob) = (Person::new(1, 1), newer(2));
    let mut all = Vec::new();
    for step in ["a", "X", "Y", "b", "Z", "c", "W"] {
        let who = if step.chars().all(char::is_lowercase) { &mut ann } else { &mut bob };
        all.push(who.say(segment_id(0), step));
        let now = ann.now.max(bob.now);
        (ann.now, bob.now) = (now, now);
    }
    let mut old = crate::common::conversation();
    let outcomes = old.apply(segment_id(0), &all, |_| 1).unwrap().outcomes;
    assert_eq!(outcomes.iter().filter(|o| **o == Outcome::Unsupported).count(), 4);
    assert_eq!(line(&old.page(&PageAt::Newest, 10)), "a 2 b 1 c 1");
    assert_eq!((old.total(), old.opaque()), (3, 4));
    assert_eq!(old.count_after(&OrderKey::MIN, &ann.id()), 4, "they are unread too");
    assert_eq!(old.count_after(&OrderKey::MIN, &bob.id()), 3);
    // Page by page, each is told once.
    let newest = old.page(&PageAt::Newest, 1);
    assert_eq!((line(&newest).as_str(), newest.older), ("c 1", true));
    let before = old.page(&PageAt::Before(newest.messages[0].key), 1);
    assert_eq!(line(&before), "b 1");
    let first = old.page(&PageAt::Before(before.messages[0].key), 5);
    assert_eq!((line(&first).as_str(), first.older), ("a 2", false));
    let run = first.opaque[0];
    assert_eq!((run.first.device, run.first.seq, run.last.seq), (bob.id(), 1, 2));
    let after = old.page(&PageAt::After(run.first.key()), 10);
    assert_eq!(line(&after), "b 1 c 1", "a run whose first is known was told whole");
    // A build that understands them reads the same entries.
    let mut new = Conversation::knowing(later());
    new.set_now(crate::common::NOON);
    new.apply(segment_id(0), &all, |_| 1).unwrap();
    assert_eq!(line(&new.page(&PageAt::Newest, 10)), "a X Y b Z c W");
    assert_eq!((new.total(), new.opaque()), (7, 0));
}

#[test]
fn pages_in_either_direction_tell_of_each_entry_once() {
    for seed in 0..60 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut people: Vec<Person> = (1..=4).map(|d| if d % 2 == 0 { newer(d) } else { Person::new(d, 1) }).collect();
        let mut all: Vec<(DocumentId, Arc<Entry>)> = Vec::new();
        let n = 3 + rng.next_u32() % 60;
        for i in 0..n {
            let who = (rng.next_u32() % 4) as usize;
            // Two parts of one week overlap in time.
            let part = segment_id((rng.next_u32() % 2) as u16);
            all.push((part, people[who].say(part, &format!("m{i}"))));
        }
        let mut c = crate::common::conversation();
        for (part, entry) in &all {
            c.apply(*part, std::slice::from_ref(entry), |_| 1).unwrap();
        }
        let whole = line(&c.page(&PageAt::Newest, 1_000));
        let opaque = all.iter().filter(|(_, e)| e.header().payload_version == 2).count() as u64;
        assert_eq!(c.opaque(), opaque);
        let size = 1 + (rng.next_u32() % 5) as usize;
        let mut parts = Vec::new();
        let mut at = PageAt::Newest;
        loop {
            let page = c.page(&at, size);
            parts.insert(0, line(&page));
            match page.messages.first() {
                Some(first) if page.older => at = PageAt::Before(first.key),
                _ => break,
            }
        }
        parts.retain(|p| !p.is_empty());
        assert_eq!(parts.join(" "), whole, "backwards, seed {seed}");
        let mut parts = Vec::new();
        let mut at = PageAt::After(OrderKey::MIN);
        loop {
            let page = c.page(&at, size);
            parts.push(line(&page));
            match page.messages.last() {
                Some(last) if page.newer => at = PageAt::After(last.key),
                _ => break,
            }
        }
        parts.retain(|p| !p.is_empty());
        assert_eq!(parts.join(" "), whole, "forwards, seed {seed}");
    }
}

#[test]
fn what_follows_in_the_log_is_not_understood_either_and_nobody_else_is_touched() {
    let (mut ann, mut bob) = (Person::new(1, 1), newer(2));
    let first = bob.say(segment_id(0), "x");
    // The same start of the same device cannot go back to version 1; if it does, its change builds on what is missing.
    let mut header = bob.say(segment_id(0), "y").header().clone();
    header.payload_version = 1;
    let payload = bob.say(segment_id(0), "y").payload.clone();
    header.payload_hash = cairn_crdt::entry::payload_hash(payload.as_ref().unwrap());
    header.payload_len = payload.as_ref().unwrap().len() as u32;
    let signed = cairn_crdt::entry::SignedHeader::sign(header, &bob.key);
    let second = Arc::new(Entry { signed, payload });
    let mut s = segment(0);
    let hers = ann.say(segment_id(0), "hers");
    let outcomes = apply(&mut s, &[first, second, hers]).outcomes;
    assert_eq!(outcomes[..2], [Outcome::Unsupported, Outcome::Unsupported]);
    assert_eq!(bodies(&s), ["hers"]);
}

#[test]
fn which_kinds_are_outside_the_digest_is_known_of_kinds_to_come() {
    let of = |code| cairn_crdt::replica::counts(&DocumentId::new(Kind::from_code(code), [0; 16]));
    assert!(of(Kind::Chat.code()) && of(4_321) && of(Kind::ON_DEMAND - 1));
    assert!(!of(Kind::Profile.code()) && !of(Kind::ON_DEMAND) && !of(u16::MAX));
}

#[test]
fn a_build_without_chat_counts_and_a_build_with_it_reads() {
    let mut ann = Person::new(1, 1);
    let all: Vec<_> = (0..3).map(|i| ann.say(segment_id(0), &format!("m{i}"))).collect();
    let mut old = ChatSegment::knowing(segment_id(0), &Known::this_build().without(Kind::Chat)).unwrap();
    assert_eq!(apply(&mut old, &all).outcomes, vec![Outcome::Unsupported; 3]);
    assert_eq!((old.len(), old.count()), (0, 3));
    let mut new = segment(0);
    apply(&mut new, &all);
    assert_eq!(bodies(&new), ["m0", "m1", "m2"]);
}

#[test]
fn a_segment_of_nothing_else_is_let_go_and_taken_up_again() {
    let mut bob = newer(2);
    let (a, b) = (bob.say(segment_id(0), "x"), bob.say(segment_id(0), "y"));
    let mut c = crate::common::conversation();
    c.apply(segment_id(0), std::slice::from_ref(&a), |_| 1).unwrap();
    c.evict(&segment_id(0)).unwrap();
    assert_eq!(c.total(), 1);
    assert!(c.apply(segment_id(0), std::slice::from_ref(&b), |_| 1).is_none(), "it must be loaded first");
    assert_eq!(c.needs(&PageAt::Newest, 5), Some(segment_id(0)));
    let mut again = segment(0);
    apply(&mut again, &[a, b]);
    c.insert(again);
    assert_eq!(line(&c.page(&PageAt::Newest, 5)), "2");
}

#[test]
fn what_is_gone_hides_it_too() {
    let mut bob = newer(2);
    let early = bob.say(segment_id(0), "x");
    let cut = bob.now + 5;
    let late = bob.say(segment_id(0), "y");
    let mut c = crate::common::conversation();
    c.apply(segment_id(0), std::slice::from_ref(&early), |_| 1).unwrap();
    c.set_gone(&Spans::default(), &Spans::one(0, cut));
    assert_eq!(c.opaque(), 0);
    c.apply(segment_id(0), &[late], |_| 1).unwrap();
    assert_eq!(line(&c.page(&PageAt::Newest, 5)), "1");
    let mut again = segment(0);
    apply(&mut again, &[early]);
    c.insert(again);
    assert_eq!(c.opaque(), 0, "whoever comes with it later");
}

#[test]
fn what_was_erased_needs_no_newer_cairn_any_more() {
    let mut bob = newer(2);
    let whole = bob.say(segment_id(0), "x");
    let mut s = segment(0);
    let out = apply(&mut s, &[Arc::new(Entry { signed: whole.signed.clone(), payload: None })]);
    assert_eq!((out.outcomes, s.opaque().len()), (vec![Outcome::Erased], 0));
}

#[test]
fn a_stamp_that_no_rule_has_looked_at_stays_within_its_week() {
    for (stamp, near) in [(u64::MAX, crate::common::WEEK + 1), (0, crate::common::WEEK)] {
        let mut bob = newer(2);
        let draft = |id| cairn_crdt::kinds::chat::Draft { id, body: "x", after: None, reply_to: None };
        let fair = bob.say_draft(segment_id(0), &draft(MessageId([7; 16])));
        let mut header = fair.header().clone();
        header.hlc = cairn_crdt::hlc::Hlc(stamp);
        let signed = cairn_crdt::entry::SignedHeader::sign(header, &bob.key);
        let mut s = segment(0);
        apply(&mut s, &[Arc::new(Entry { signed, payload: fair.payload.clone() })]);
        let start = u64::from(near) * cairn_crdt::kinds::chat::WEEK_MS;
        let at = s.opaque().first().unwrap().stamp.ms();
        assert!(at.abs_diff(start) <= 1, "{at} is at the edge of the week");
    }
}
