//! Histories of more segments than are kept in memory.

use std::sync::Arc;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft, PageAt, week_start};
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{SEGMENTS_KEPT, Space, SpaceKind};
use crate::env::Env;
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
    let space = SpaceId::commons(&NETWORK);
    let key = DeviceKey::from_seed(&[2; 32]);
    let store = MemoryStore::new();
    for (nth, (document, start)) in segments.iter().enumerate() {
        let log = LogId { document: *document, device: key.id(), incarnation: Incarnation([2; 16]) };
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
    wiring(store)
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
