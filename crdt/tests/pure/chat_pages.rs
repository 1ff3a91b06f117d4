//! A conversation over several segments: pages, loading on demand, copies, parts and weeks, and its size.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::{NOON, Person, WEEK, conversation, row, segment_id};
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, MessageId};
use cairn_crdt::kinds::chat::{
    ChatSegment, Conversation, Draft, PART_MESSAGES, PageAt, Span, WEEK_MS, is_ahead, week_of, week_start,
};
use cairn_crdt::kinds::order::OrderKey;

/// Two parts that overlap in time, and the week before.
fn parts() -> BTreeMap<DocumentId, Vec<Arc<Entry>>> {
    let mut out: BTreeMap<DocumentId, Vec<Arc<Entry>>> = BTreeMap::new();
    let mut early = Person::new(1, 1);
    early.now = NOON - WEEK_MS;
    for n in 0..50 {
        let id = DocumentId::chat(WEEK - 1, 0);
        out.entry(id).or_default().push(early.say(id, &format!("old {n}")));
    }
    let (mut ann, mut bob) = (Person::new(1, 2), Person::new(2, 3));
    bob.now += 255;
    for n in 0..60 {
        out.entry(segment_id(0)).or_default().push(ann.say(segment_id(0), &format!("a{n}")));
        out.entry(segment_id(1)).or_default().push(bob.say(segment_id(1), &format!("b{n}")));
    }
    out
}

fn load(c: &mut Conversation, at: &PageAt, n: usize, store: &BTreeMap<DocumentId, Vec<Arc<Entry>>>) -> usize {
    let mut loads = 0;
    while let Some(id) = c.needs(at, n) {
        let mut s = ChatSegment::new(id).unwrap();
        s.apply(&store[&id], |_| 1);
        c.insert(s);
        loads += 1;
    }
    loads
}

fn noted(store: &BTreeMap<DocumentId, Vec<Arc<Entry>>>) -> Conversation {
    let mut c = conversation();
    for (id, entries) in store {
        let stamp = |e: &Arc<Entry>| e.header().hlc;
        let (first, last) = (stamp(&entries[0]), stamp(entries.last().unwrap()));
        c.note(*id, Span { first, last, count: entries.len() as u64 });
    }
    c
}

#[test]
fn pages_over_segments_are_the_whole_history_whatever_is_loaded_first() {
    let store = parts();
    let mut all = conversation();
    for (id, entries) in &store {
        assert!(all.apply(*id, entries, |_| 1).unwrap().outcomes.iter().all(Outcome::is_valid));
    }
    let whole: Vec<_> = all.page(&PageAt::Newest, usize::MAX).messages.into_iter().map(row).collect();
    assert_eq!(whole.len(), 170);
    assert!(whole.windows(2).all(|w| w[0].0 < w[1].0));
    let mixed = whole[100..].windows(2).filter(|w| w[0].1.document != w[1].1.document).count();
    assert!(mixed > 20, "the parts lie in each other");

    let mut c = noted(&store);
    assert_eq!(c.total(), 170);
    // Backwards from the end.
    let (mut back, mut at) = (Vec::new(), PageAt::Newest);
    loop {
        load(&mut c, &at, 13, &store);
        let page = c.page(&at, 13);
        let Some(first) = page.messages.first() else { break };
        at = PageAt::Before(first.key);
        assert_eq!(page.older, back.len() + page.messages.len() < 170);
        assert_eq!(page.newer, !back.is_empty());
        let mut rows: Vec<_> = page.messages.into_iter().map(row).collect();
        rows.extend(back);
        back = rows;
    }
    assert_eq!(back, whole);
    // Forwards from the beginning, again with nothing loaded.
    let mut c = noted(&store);
    let (mut forth, mut at) = (Vec::new(), PageAt::After(OrderKey::MIN));
    loop {
        load(&mut c, &at, 13, &store);
        let page = c.page(&at, 13);
        let Some(last) = page.messages.last() else { break };
        at = PageAt::After(last.key);
        forth.extend(page.messages.into_iter().map(row));
        assert_eq!(page.newer, forth.len() < 170);
    }
    assert_eq!(forth, whole);
}

#[test]
fn a_page_by_number_is_found_whatever_is_loaded() {
    let store = parts();
    let mut all = conversation();
    for (id, entries) in &store {
        all.apply(*id, entries, |_| 1).unwrap();
    }
    let whole: Vec<_> = all.page(&PageAt::Newest, usize::MAX).messages.into_iter().map(row).collect();
    for number in [0, 1, 49, 50, 51, 99, 120, 168, 169, 170, 171, u64::MAX] {
        let mut c = noted(&store);
        let at = PageAt::Number(number);
        load(&mut c, &at, 7, &store);
        let page = c.page(&at, 7);
        let from = usize::try_from(number).unwrap_or(usize::MAX).min(whole.len());
        let wanted = &whole[from..(from + 7).min(whole.len())];
        assert_eq!((page.before, page.older), (number.min(170), number > 0), "{number}");
        assert_eq!(page.newer, from + 7 < whole.len(), "{number}");
        assert_eq!(page.messages.into_iter().map(row).collect::<Vec<_>>(), wanted, "{number}");
    }
    // Only what it takes is loaded: the week before holds the first fifty.
    let mut c = noted(&store);
    assert_eq!(load(&mut c, &PageAt::Number(3), 7, &store), 1);
    assert!(c.segment(&DocumentId::chat(WEEK - 1, 0)).is_some());
    // Every page says where it stands.
    let mut c = noted(&store);
    load(&mut c, &PageAt::Newest, 10, &store);
    let page = c.page(&PageAt::Newest, 10);
    assert_eq!(page.before, 160);
    let first = page.messages[0].key;
    assert_eq!(c.page(&PageAt::Before(first), 10).before, 150);
    assert_eq!(c.page(&PageAt::After(OrderKey::MAX), 10).before, 170);
    assert_eq!(conversation().page(&PageAt::Number(5), 10), conversation().page(&PageAt::Newest, 10));
}

#[test]
fn only_what_a_page_needs_is_loaded_and_counts_hold_without() {
    let store = parts();
    let mut c = noted(&store);
    assert_eq!(load(&mut c, &PageAt::Newest, 20, &store), 2, "both parts of this week, not the week before");
    assert!(c.segment(&DocumentId::chat(WEEK - 1, 0)).is_none());
    let (ann, bob) = (Person::new(1, 2).id(), Person::new(2, 3).id());
    assert_eq!(c.count_after(&OrderKey::MIN, &bob), 110);
    assert_eq!(c.count_after(&OrderKey::MAX, &bob), 0);
    let last = c.page(&PageAt::Newest, 20).messages[9].key;
    assert_eq!(c.count_after(&last, &ann) + c.count_after(&last, &bob), 10);
    assert!(c.evict(&segment_id(0)).is_some());
    assert_eq!(c.total(), 170);
    assert_eq!(c.needs(&PageAt::Newest, 20), Some(segment_id(0)));
    assert!(c.apply(segment_id(0), &store[&segment_id(0)], |_| 1).is_none(), "known, but not in memory");
}

#[test]
fn a_message_issued_again_in_another_segment_shows_once() {
    let (mut old, mut new) = (Person::new(1, 1), Person::new(1, 2));
    new.now += 5_000;
    let id = old.next_id();
    let draft = Draft { id, body: "hello", after: None, reply_to: None };
    let (first, again) = (old.say_draft(segment_id(0), &draft), new.say_draft(segment_id(1), &draft));
    for order in [[0, 1], [1, 0]] {
        let entries = [(segment_id(0), first.clone()), (segment_id(1), again.clone())];
        let mut c = conversation();
        for at in order {
            let (doc, e) = &entries[at];
            let applied = c.apply(*doc, std::slice::from_ref(e), |_| 1).unwrap();
            assert!(applied.outcomes[0].is_valid());
        }
        let page = c.page(&PageAt::Newest, 10);
        assert_eq!(page.messages.len(), 1);
        assert_eq!(page.messages[0].log.incarnation, old.incarnation);
        assert_eq!(c.find(&id).len(), 1);
        assert_eq!(c.page(&PageAt::After(OrderKey::MIN), 10).messages, page.messages);
    }
    let mut c = conversation();
    c.apply(segment_id(0), &[first], |_| 1);
    assert_eq!(c.apply(segment_id(1), &[again], |_| 1).unwrap().shown, []);
}

#[test]
fn weeks_begin_on_thursdays_and_parts_fill_up() {
    assert_eq!((week_of(0), week_of(WEEK_MS - 1), week_of(WEEK_MS)), (0, 0, 1));
    // 2026-11-19 was a Thursday: 20,776 days after 1970-01-01, which is 2,968 weeks.
    assert_eq!(week_start(2968), 20_776 * 86_400_000);
    let now = Hlc::from_ms(NOON);
    let mut c = conversation();
    assert_eq!(c.target(now), segment_id(0));
    c.note(segment_id(0), Span { first: now, last: now, count: PART_MESSAGES - 1 });
    assert_eq!(c.target(now), segment_id(0));
    c.note(segment_id(0), Span { first: now, last: now, count: PART_MESSAGES });
    // A part that somebody made out of turn does not move anybody there.
    c.note(segment_id(900), Span { first: now, last: now, count: 1 });
    assert_eq!(c.target(now), segment_id(1));
    assert_eq!(c.target(Hlc::from_ms(NOON + WEEK_MS)), DocumentId::chat(WEEK + 1, 0));
}

#[test]
fn a_segment_from_the_far_future_is_shown_apart() {
    let mut eve = Person::new(6, 6);
    eve.now = NOON + 500 * WEEK_MS;
    let far = DocumentId::chat(WEEK + 500, 0);
    let e = eve.say(far, "from the year 2036");
    let mut ann = Person::new(1, 1);
    let mut c = conversation();
    c.apply(segment_id(0), &[ann.say(segment_id(0), "now")], |_| 1);
    assert!(c.apply(far, &[e], |_| 1).unwrap().outcomes[0].is_valid());
    assert!(is_ahead(&far, NOON) && !is_ahead(&DocumentId::chat(WEEK + 1, 0), NOON));
    assert_eq!(c.ahead().collect::<Vec<_>>(), [far]);
    assert_eq!(c.total(), 1);
    assert_eq!(c.page(&PageAt::Newest, 10).messages.len(), 1);
    c.set_now(NOON + 499 * WEEK_MS);
    assert_eq!(c.page(&PageAt::Newest, 10).messages.len(), 2);
}

/// 100,000 messages in release, a fifth of that in a debug build; prints its times and asserts none.
#[test]
#[allow(clippy::disallowed_methods, reason = "it measures")]
fn a_hundred_thousand_messages_build_and_page() {
    let clock = std::time::Instant::now;
    let total = if cfg!(debug_assertions) { 20_000u64 } else { 100_000 };
    let mut people: Vec<Person> = (1..=10).map(|d| Person::new(d, d)).collect();
    let mut c = conversation();
    let (mut authored, mut applied) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let mut batch: BTreeMap<DocumentId, Vec<Arc<Entry>>> = BTreeMap::new();
    for n in 0..total {
        let part = (n / PART_MESSAGES) as u16;
        let p = &mut people[(n % 10) as usize];
        p.now = NOON + n;
        let id = MessageId::new(NOON + n, [(n % 251) as u8; 10]);
        let t = clock();
        let draft = Draft { id, body: "The water is at two metres.", after: None, reply_to: None };
        let e = p.say_draft(segment_id(part), &draft);
        authored += t.elapsed();
        batch.entry(segment_id(part)).or_default().push(e);
        if n % 100 == 99 || n + 1 == total {
            let t = clock();
            for (id, entries) in std::mem::take(&mut batch) {
                assert!(c.apply(id, &entries, |_| 1).unwrap().outcomes.iter().all(Outcome::is_valid));
            }
            applied += t.elapsed();
        }
    }
    assert_eq!(c.total(), total);
    let t = clock();
    let (mut seen, mut at) = (0, PageAt::Newest);
    loop {
        let page = c.page(&at, 500);
        let Some(first) = page.messages.first() else { break };
        seen += page.messages.len() as u64;
        at = PageAt::Before(first.key);
    }
    assert_eq!(seen, total);
    let each = |d: std::time::Duration| d.as_secs_f64() * 1e6 / total as f64;
    println!(
        "{total} messages: authored and signed {:.1} us each, applied in batches of 100 {:.1} us each, paged in {:?}",
        each(authored),
        each(applied),
        t.elapsed()
    );
}
