//! Histories of more segments than are kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft, PageAt, week_start};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::segments::SEGMENTS_KEPT;
use super::{Space, SpaceKind};
use crate::env::Env;
use crate::limits::SLICE_ENTRIES;
use crate::link::memory::Switch;
use crate::people::People;
use crate::store::{MemoryStore, Store, Write};
use crate::wiring::{Me, Wiring};

const NETWORK: NetworkId = NetworkId([4; 16]);
const WEEK: u32 = 2968;
const MESSAGES: u64 = 5;

fn wiring(store: MemoryStore) -> Wiring {
    let key = DeviceKey::from_seed(&[1; 32]);
    let transport = Switch::new(1).attach(key.id()).transport.clone();
    let people = People::load(key.id(), &store).unwrap();
    let about = Me {
        name: "Anna".into(),
        named: true,
        interfaces: Vec::new(),
        discovery: false,
        data: std::path::PathBuf::from("memory"),
    };
    let env = Env::simulated(week_start(WEEK) + 1_000_000, 1);
    Wiring::new(env, key, Incarnation([1; 16]), Arc::new(store), transport, people, about)
}

/// A few messages in each of these segments, the first at the time given with it.
fn written(segments: &[(DocumentId, u64)]) -> Wiring {
    let store = MemoryStore::new();
    write(&store, 2, segments);
    wiring(store)
}

fn write(store: &MemoryStore, seed: u8, segments: &[(DocumentId, u64)]) {
    let space = SpaceId::commons(&NETWORK);
    let key = DeviceKey::from_seed(&[seed; 32]);
    for (nth, (document, start)) in segments.iter().enumerate() {
        let log = LogId { document: *document, device: key.id(), incarnation: Incarnation([seed; 16]) };
        let mut author = ChatAuthor::new(log);
        let mut pen = LogWriter::new(key.clone(), space, log, LogTip::EMPTY);
        let mut batch = Vec::new();
        for n in 0..MESSAGES {
            let at = start + n;
            let id = MessageId::new(at, [nth as u8; 10]);
            let body = format!("{nth}.{n}");
            let draft = Draft { id, body: &body, after: None, reply_to: None };
            let raw = author.say(Hlc::from_ms(at), &draft).unwrap();
            let entry = Arc::new(pen.write(raw, Hlc::from_ms(at)).unwrap());
            batch.push(Write::Append { entry, received: at });
        }
        store.commit(&batch).unwrap();
    }
}

#[test]
fn what_oneself_wrote_far_ahead_shows_while_alone_and_makes_nothing_too_old() {
    let ahead = WEEK + 10;
    let store = MemoryStore::new();
    write(&store, 2, &[(DocumentId::chat(WEEK, 0), week_start(WEEK) + 5_000)]);
    write(&store, 1, &[(DocumentId::chat(ahead, 0), week_start(ahead))]);
    let wiring = wiring(store);
    let mut space = Space::load(SpaceId::commons(&NETWORK), SpaceKind::Commons(NETWORK), &wiring).unwrap();
    let shown = |space: &mut Space| {
        space.set_reference(&wiring);
        space.ensure(&PageAt::Newest, 2_000, &wiring).unwrap();
        space.chat.page(&PageAt::Newest, 2_000).messages.len() as u64
    };
    assert_eq!(shown(&mut space), 2 * MESSAGES, "alone");
    assert!(wiring.mesh_ms().abs_diff(space.reference) < 60_000, "now, give or take how busy the machine is");
    wiring.mesh.set(0, true);
    assert_eq!(shown(&mut space), MESSAGES, "others say what time it is");
    assert!(wiring.mesh_ms().abs_diff(space.reference) < 60_000, "now, give or take how busy the machine is");
}

fn every_page_ends(segments: &[(DocumentId, u64)]) {
    let wiring = written(segments);
    let all = segments.len() * MESSAGES as usize;
    let mut space = Space::load(SpaceId::commons(&NETWORK), SpaceKind::Commons(NETWORK), &wiring).unwrap();
    for n in [1, 7, all, 2_000] {
        space.ensure(&PageAt::Newest, n, &wiring).unwrap();
        let page = space.chat.page(&PageAt::Newest, n);
        assert_eq!(page.messages.len(), n.min(all));
        assert_eq!(page.messages.last().unwrap().body, format!("{}.{}", segments.len() - 1, MESSAGES - 1));
        assert_eq!(page.older, n < all);
    }
    // Back to the beginning, page by page.
    let mut place = PageAt::Newest;
    let mut seen = 0;
    loop {
        space.ensure(&place, 3, &wiring).unwrap();
        let page = space.chat.page(&place, 3);
        seen += page.messages.len();
        let Some(first) = page.messages.first().filter(|_| page.older) else { break };
        place = PageAt::Before(first.key);
    }
    assert_eq!(seen, all);
}

#[test]
fn a_page_may_reach_over_more_weeks_than_are_kept() {
    let weeks: Vec<_> =
        (0..12u32).map(|n| WEEK - 11 + n).map(|w| (DocumentId::chat(w, 0), week_start(w) + 5_000)).collect();
    every_page_ends(&weeks);
    let wiring = written(&weeks);
    let mut space = Space::load(SpaceId::commons(&NETWORK), SpaceKind::Commons(NETWORK), &wiring).unwrap();
    space.ensure(&PageAt::Newest, 2_000, &wiring).unwrap();
    assert_eq!(space.chat.loaded().count(), weeks.len());
    space.ensure(&PageAt::Newest, 1, &wiring).unwrap();
    assert_eq!(space.chat.loaded().count(), SEGMENTS_KEPT);
}

#[test]
fn a_room_of_many_parts_written_at_once_opens() {
    // Any of them may hold the newest message, since a message may stand two minutes after its stamp.
    let parts: Vec<_> =
        (0..9u16).map(|part| (DocumentId::chat(WEEK, part), week_start(WEEK) + u64::from(part) * 1_000)).collect();
    every_page_ends(&parts);
}

#[test]
fn what_comes_in_bulk_counts_at_once_and_is_read_in_slices() {
    const EACH: u64 = 1_000;
    let wiring = written(&[]);
    let id = SpaceId::commons(&NETWORK);
    let mut space = Space::load(id, SpaceKind::Commons(NETWORK), &wiring).unwrap();
    let (mut pens, mut last) = (BTreeMap::new(), 0);
    let mut say = |seed: u8, count: u64| {
        let key = DeviceKey::from_seed(&[seed; 32]);
        let log = LogId { document: DocumentId::chat(WEEK, 0), device: key.id(), incarnation: Incarnation([seed; 16]) };
        let (author, pen) = pens
            .entry(seed)
            .or_insert_with(|| (ChatAuthor::new(log), LogWriter::new(key.clone(), id, log, LogTip::EMPTY)));
        let entries = (0..count).map(|_| {
            last += 1;
            let at = week_start(WEEK) + last;
            let mut tail = [seed; 10];
            tail[..8].copy_from_slice(&last.to_be_bytes());
            let body = format!("{last}");
            let draft = Draft { id: MessageId::new(at, tail), body: &body, after: None, reply_to: None };
            let raw = author.say(Hlc::from_ms(at), &draft).unwrap();
            Arc::new(pen.write(raw, Hlc::from_ms(at)).unwrap())
        });
        entries.collect::<Vec<_>>()
    };
    let take = |space: &mut Space, entries: &[Arc<Entry>]| {
        let write = |entry: &Arc<Entry>| Write::Append { entry: entry.clone(), received: 7 };
        wiring.store.commit(&entries.iter().map(write).collect::<Vec<_>>()).unwrap();
        entries.iter().for_each(|e| space.sync.replica_mut().admit_own(e));
        space.sync.committed(None, true, entries);
        space.apply(entries, 7, &wiring)
    };
    for seed in 2..5 {
        let applied = take(&mut space, &say(seed, EACH));
        assert_eq!((applied.counted as u64, applied.shown.len()), (EACH, 0));
    }
    let me = wiring.me;
    assert!(space.is_behind() && !space.is_ready(&PageAt::Newest, 1));
    assert_eq!((space.chat.total(), space.chat.count_after(&OrderKey::MIN, &me)), (3 * EACH, 3 * EACH));
    // Somebody new speaks, and somebody whose log is not read yet.
    let begun = space.prepare(&PageAt::Newest, 1, SLICE_ENTRIES, &wiring).unwrap();
    assert!(!begun);
    let read = space.take_news().shown.len();
    assert!((SLICE_ENTRIES..SLICE_ENTRIES * 2).contains(&read), "{read}");
    assert_eq!(take(&mut space, &say(9, 1)).shown.len(), 1);
    assert_eq!(take(&mut space, &say(4, 1)).counted, 1);
    assert_eq!((space.chat.total(), space.chat.count_after(&OrderKey::MIN, &me)), (3 * EACH + 2, 3 * EACH + 2));
    let mut slices = 0;
    while space.is_behind() {
        space.catch_up(&wiring).unwrap();
        let slice = space.take_news().shown.len();
        assert!(slice < SLICE_ENTRIES * 2, "{slice} at once");
        slices += 1;
    }
    assert!(slices >= 3, "{slices}");
    let page = space.chat.page(&PageAt::Newest, usize::MAX);
    assert_eq!(page.messages.len() as u64, 3 * EACH + 2);
    assert!(page.messages.iter().all(|m| m.received == 7) && !page.older);
    assert_eq!(space.chat.count_after(&OrderKey::MIN, &me), 3 * EACH + 2);
    // What went from memory in part is read again as a whole.
    space.chat.evict(&DocumentId::chat(WEEK, 0));
    assert_eq!(space.chat.total(), 3 * EACH + 2);
    space.ensure(&PageAt::Newest, 5_000, &wiring).unwrap();
    assert_eq!(space.chat.page(&PageAt::Newest, usize::MAX).messages.len() as u64, 3 * EACH + 2);
}
