//! Conversations of which a part is gone, and segments of a day or an hour.

use std::sync::Arc;

use crate::common::{NOON, Person, WEEK};
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::DocumentId;
use cairn_crdt::kinds::chat::{ChatSegment, Conversation, Draft, PageAt, Span};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::period::{DAY_MS, HOUR_MS, Unit, WEEK_MS, segment};
use cairn_crdt::spans::Spans;

const THIS: u64 = WEEK as u64 * WEEK_MS;

/// A message a day for four weeks, the last of them the one of [`NOON`].
fn month(p: &mut Person, unit: Unit) -> Vec<(u64, Arc<Entry>)> {
    (0..28)
        .map(|day| {
            let at = THIS - 3 * WEEK_MS + day * DAY_MS + HOUR_MS;
            p.now = at;
            let id = p.next_id();
            let draft = Draft { id, body: &format!("day {day}"), after: None, reply_to: None };
            (at, p.say_at(segment(unit, at, 0), Hlc::from_ms(at), &draft))
        })
        .collect()
}

fn conversation(entries: &[(u64, Arc<Entry>)], gone: &Spans) -> Conversation {
    let mut c = Conversation::new();
    c.set_now(NOON + WEEK_MS);
    c.set_gone(gone, gone);
    for (_, e) in entries {
        let applied = c.apply(e.header().log.document, std::slice::from_ref(e), |_| 1).unwrap();
        assert!(applied.outcomes.iter().all(|o| matches!(o, Outcome::Valid { .. })));
    }
    c
}

fn shown(c: &Conversation) -> Vec<String> {
    let page = c.page(&PageAt::Newest, 100);
    assert!(!page.older && !page.newer);
    let forwards = c.page(&PageAt::After(OrderKey::MIN), 100).messages;
    assert_eq!(page.messages, forwards);
    assert_eq!((c.total(), c.count_after(&OrderKey::MIN, &Person::new(9, 9).id())), {
        let n = page.messages.len() as u64;
        (n, n)
    });
    page.messages.iter().map(|m| m.body.to_owned()).collect()
}

#[test]
fn what_is_gone_is_neither_shown_nor_counted_whether_it_was_there_before_or_comes_after() {
    for unit in [Unit::Week, Unit::Day, Unit::Hour] {
        let mut p = Person::new(1, 1);
        let all = month(&mut p, unit);
        // Whole weeks, and a cut in the middle of the third.
        let cut = THIS - WEEK_MS + 3 * DAY_MS + 2 * HOUR_MS;
        let gone = Spans::one(0, cut);
        let kept: Vec<String> = (18..28).map(|d| format!("day {d}")).collect();
        let mut before = conversation(&all, &Spans::EMPTY);
        assert_eq!(shown(&before).len(), 28);
        before.set_gone(&gone, &gone);
        assert_eq!(shown(&before), kept, "{unit:?}");
        let inside = |d: DocumentId| cairn_crdt::replica::lies_in(&d, &gone);
        assert!(before.loaded().all(|s| !inside(s.id())));
        let in_use: Vec<_> = all.iter().filter(|(_, e)| !inside(e.header().log.document)).cloned().collect();
        let after = conversation(&in_use, &gone);
        assert_eq!(shown(&after), kept);
        // A segment that is loaded again is cut in the same way.
        let cut_one = segment(unit, cut, 0);
        let mut again = ChatSegment::new(cut_one).unwrap();
        let its: Vec<_> = all.iter().map(|(_, e)| e.clone()).filter(|e| e.header().log.document == cut_one).collect();
        again.apply(&its, |_| 1);
        before.evict(&cut_one);
        before.insert(again);
        assert_eq!(shown(&before), kept);
    }
}

#[test]
fn what_comes_back_is_shown_again_once_it_is_told_of() {
    let mut p = Person::new(1, 1);
    let all = month(&mut p, Unit::Week);
    let mut c = conversation(&all, &Spans::EMPTY);
    let cut = Spans::one(0, THIS - WEEK_MS + 2 * DAY_MS);
    assert!(!c.set_gone(&cut, &cut));
    assert_eq!(shown(&c).len(), 12);
    assert!(c.set_gone(&Spans::EMPTY, &Spans::EMPTY));
    for week in WEEK - 3..=WEEK {
        let id = DocumentId::chat(week, 0);
        let start = u64::from(week) * WEEK_MS;
        let span = Span { first: Hlc::from_ms(start), last: Hlc::from_ms(start + WEEK_MS - 1), count: 7 };
        c.note(id, span);
    }
    while let Some(id) = c.needs(&PageAt::Newest, 100) {
        let mut s = ChatSegment::new(id).unwrap();
        let its: Vec<_> = all.iter().map(|(_, e)| e.clone()).filter(|e| e.header().log.document == id).collect();
        s.apply(&its, |_| 1);
        c.insert(s);
    }
    assert_eq!(shown(&c).len(), 28);
}

#[test]
fn a_segment_that_goes_on_after_the_cut_is_not_looked_into_for_what_is_gone() {
    let mut c = crate::common::conversation();
    c.set_gone(&Spans::one(0, NOON), &Spans::one(0, NOON));
    let id = DocumentId::chat(WEEK, 0);
    c.note(id, Span { first: Hlc::from_ms(THIS), last: Hlc::from_ms(NOON - 1), count: 5 });
    assert_eq!((c.total(), c.needs(&PageAt::Newest, 10)), (0, None));
    let mut p = Person::new(1, 1);
    let e = p.say(id, "after the cut");
    assert!(c.apply(id, &[e], |_| 1).is_none(), "it must be read from its first entry");
}

#[test]
fn nobody_writes_into_what_is_gone() {
    let mut c = crate::common::conversation();
    for unit in [Unit::Week, Unit::Day, Unit::Hour] {
        c.set_unit(unit);
        c.set_gone(&vec![(0, THIS), (THIS + 2 * DAY_MS, THIS + 3 * DAY_MS)].into(), &Spans::EMPTY);
        // A clock that stands at 1970: the first moment after.
        let at = c.live(Hlc::from_ms(5));
        assert_eq!(at, Hlc::from_ms(THIS));
        let now = Hlc::from_ms(NOON);
        assert_eq!(c.live(now), now);
        let within = Hlc::from_ms(THIS + 2 * DAY_MS + 5);
        let moved = if unit == Unit::Week { within } else { Hlc::from_ms(THIS + 3 * DAY_MS) };
        assert_eq!(c.live(within), moved, "a week that is gone in part goes on");
        for hlc in [at, now, moved] {
            assert!(!cairn_crdt::replica::lies_in(&c.target(hlc), c.gone()));
        }
    }
    c.set_unit(Unit::Day);
    assert_eq!(c.target(Hlc::from_ms(NOON)), segment(Unit::Day, NOON, 0));
}

#[test]
fn a_message_lies_in_a_segment_whose_time_holds_its_stamp() {
    let noon = NOON - NOON % HOUR_MS;
    for (unit, wrong) in [(Unit::Hour, noon + HOUR_MS), (Unit::Day, noon + DAY_MS), (Unit::Week, noon + WEEK_MS)] {
        let id = segment(unit, noon, 3);
        let mut p = Person::new(1, 1);
        let e = p.say(id, "here");
        let mut s = ChatSegment::new(id).unwrap();
        assert!(s.apply(&[e], |_| 1).outcomes[0].is_valid());
        let mut late = crate::common::Hostile::new(2, 2, id);
        let (inc, mid) = (late.person.incarnation, late.person.next_id());
        let e = late.write_at(Hlc::from_ms(wrong), Hlc::from_ms(wrong).0 as i64, |tx, sent| {
            use automerge::transaction::Transactable;
            let block = tx.put_object(automerge::ROOT, format!("{inc}.000000"), automerge::ObjType::Map).unwrap();
            let m = tx.put_object(&block, mid.to_string(), automerge::ObjType::Map).unwrap();
            tx.put(&m, "sent", sent).unwrap();
            tx.put(&m, "kind", "text").unwrap();
            tx.put(&m, "body", "elsewhere").unwrap();
        });
        assert!(matches!(s.apply(&[e], |_| 1).outcomes[0], Outcome::Void(_)), "{unit:?}");
    }
}
