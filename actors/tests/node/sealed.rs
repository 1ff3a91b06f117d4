//! Direct chats are sealed: what two say lies and travels as nobody else can read it, and both read it again after any
//! restart, whenever the keys come.

use std::time::Duration;

use cairn_actors::api::{Event, Message};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::{MemoryStore, Store, StoreError, Table, Write};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{EpochId, Kind, SpaceId};
use std::sync::Arc;

use crate::world::{Clock, Sim, all_online, until};

const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(120);
const PLANTED: [&str; 2] = ["the-key-is-under-the-third-stone", "found-it-thank-you"];

async fn pair(seed: u64) -> (Switch, [Sim; 2], SpaceId) {
    let lan = Switch::new(seed);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let chat = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
    (lan, nodes, chat)
}

async fn bodies(node: &Sim, chat: SpaceId) -> Vec<String> {
    let show = |m: Message| if m.needs_key > 0 { format!("[{}]", m.needs_key) } else { m.body };
    node.messages(chat).await.into_iter().map(show).collect()
}

/// Everything that a store holds of a space.
fn entries(store: &MemoryStore, space: SpaceId) -> Vec<Arc<Entry>> {
    let tips = store.tips(&space).unwrap();
    let all = tips.iter().flat_map(|(log, _)| store.entries(&space, log, 1, usize::MAX).unwrap());
    all.map(|s| s.entry).collect()
}

fn chat_entries(store: &MemoryStore, space: SpaceId) -> Vec<Arc<Entry>> {
    let mut all = entries(store, space);
    all.retain(|e| e.header().log.document.kind() == Kind::Chat);
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

fn secrets(store: &MemoryStore, space: SpaceId) -> usize {
    store.scan(Table::Keys, &space.0).unwrap().iter().filter(|(_, secret)| !secret.is_empty()).count()
}

#[tokio::test(start_paused = true)]
async fn what_two_say_is_nowhere_to_be_read_but_with_them() {
    let (lan, [a, b], chat) = pair(601).await;
    let c = Sim::start(&lan, 3).await;
    all_online(std::slice::from_ref(&c), 2).await;
    lan.listen_in();
    let mut events = b.handle().subscribe();
    a.say("an open word in the room").await;
    a.handle().say(chat, PLANTED[0], None).await.unwrap();
    until(SOON, "it arrives", async || bodies(&b, chat).await == PLANTED[..1]).await;
    b.handle().say(chat, PLANTED[1], None).await.unwrap();
    until(SOON, "the answer too", async || bodies(&a, chat).await == PLANTED).await;
    // It could be read at once: nobody was shown a place for it first.
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Messages { conversation, .. } if conversation == chat), "{event:?}");
    }
    let heard = lan.heard();
    assert!(heard.iter().any(|f| holds(f, "an open word in the room")), "the search can find what is open");
    for text in PLANTED {
        assert!(!heard.iter().any(|f| holds(f, text)), "{text} went over the link");
        for node in [&a, &b, &c] {
            assert!(!entries(&node.store, chat).iter().any(|e| holds(&e.encode(), text)), "{text} lies in a store");
        }
    }
    for node in [&a, &b] {
        let said = chat_entries(&node.store, chat);
        assert_eq!(said.len(), 2);
        assert!(said.iter().all(|e| e.header().epoch != EpochId::NONE && !e.header().control_heads.is_empty()));
        assert_eq!(secrets(&node.store, chat), 1, "one key is enough for both");
        for (key, secret) in node.store.scan(Table::Keys, &chat.0).unwrap() {
            assert!(!heard.iter().any(|f| f.windows(32).any(|w| w == secret)), "{key:?} went over the link");
        }
    }
    assert!(entries(&c.store, chat).is_empty() && secrets(&c.store, chat) == 0);
    // Both read it again after a restart, and go on with the same key.
    let (a, b) = (a.crash_and_restart(&lan).await, b.crash_and_restart(&lan).await);
    assert_eq!(
        (bodies(&a, chat).await, bodies(&b, chat).await),
        (PLANTED.map(String::from).into(), PLANTED.map(String::from).into())
    );
    until(SOON, "both are here", async || a.online().await == 2 && b.online().await == 2).await;
    b.handle().say(chat, "and on", None).await.unwrap();
    until(SOON, "it arrives", async || bodies(&a, chat).await.len() == 3).await;
    assert_eq!(secrets(&a.store, chat), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_first_need_not_know_a_key_of_the_other() {
    let (lan, [a, b], chat) = pair(602).await;
    lan.unplug(b.at.addr);
    until(LATER, "the other is gone", async || a.online().await == 0).await;
    // Started anew, it knows no key of the other's.
    let a = a.crash_and_restart(&lan).await;
    for text in PLANTED {
        a.handle().say(chat, text, None).await.unwrap();
    }
    assert_eq!(bodies(&a, chat).await, PLANTED);
    let a = a.crash_and_restart(&lan).await;
    assert_eq!(bodies(&a, chat).await, PLANTED, "its own key is kept");
    lan.plug(b.at.addr);
    until(SOON * 4, "the key comes, and with it what waits", async || bodies(&b, chat).await == PLANTED).await;
    assert!(!chat_entries(&b.store, chat).iter().any(|e| PLANTED.iter().any(|text| holds(&e.encode(), text))));
    // The one who only reads has written nothing.
    assert!(entries(&b.store, chat).iter().all(|e| e.header().log.device == a.id));
    b.handle().say(chat, "read", None).await.unwrap();
    until(SOON, "the answer arrives", async || bodies(&a, chat).await.len() == 3).await;
    assert_eq!(secrets(&a.store, chat), 1, "the answer is sealed with the key that was there");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_lost_its_keys_gets_them_again() {
    let (lan, [a, b], chat) = pair(603).await;
    a.handle().say(chat, PLANTED[0], None).await.unwrap();
    until(SOON, "it arrives", async || bodies(&b, chat).await.len() == 1).await;
    b.handle().say(chat, PLANTED[1], None).await.unwrap();
    until(SOON, "the answer too", async || bodies(&a, chat).await.len() == 2).await;
    // A folder that has its entries and nothing to open them with.
    let lost = b.crash(&lan);
    let rows = |table| lost.store.scan(table, &[]).unwrap().into_iter().map(move |(key, _)| Write::Delete(table, key));
    let gone: Vec<_> = rows(Table::Keys).chain(rows(Table::Prekeys)).collect();
    assert_eq!(gone.len(), 2);
    lost.store.commit(&gone).unwrap();
    lan.unplug(a.at.addr);
    let b = lost.start_again(&lan, cairn_crdt::known::Known::this_build()).await;
    assert_eq!(bodies(&b, chat).await, ["[2]"], "kept, counted, not lost");
    let told = b.handle().conversations().await.unwrap();
    assert!(told.iter().any(|c| c.id == chat && c.needs_key == 2));
    let mut events = b.handle().subscribe();
    // It makes keys of higher numbers than those that others know, an hour after it lost the others at most.
    lan.plug(a.at.addr);
    until(Duration::from_secs(2 * 3600), "the other seals them again", async || bodies(&b, chat).await == PLANTED)
        .await;
    let told = std::iter::from_fn(|| events.try_recv().ok())
        .any(|e| matches!(e, Event::Messages { conversation, .. } if conversation == chat));
    assert!(told, "whoever looks on hears that it can be read");
    assert_eq!(secrets(&b.store, chat), 1);
    let b = b.crash_and_restart(&lan).await;
    assert_eq!(bodies(&b, chat).await, PLANTED);
}

#[tokio::test(start_paused = true)]
async fn a_key_a_day_and_both_read_all_of_them() {
    const DAY: i64 = 86_400_000;
    let (lan, [mut a, mut b], chat) = pair(604).await;
    for day in 1..=9 {
        let (writer, reader) = if day % 2 == 0 { (&a, &b) } else { (&b, &a) };
        for n in 0..2 {
            writer.handle().say(chat, &format!("day {day}.{n}"), None).await.unwrap();
            tokio::time::sleep(SOON).await;
        }
        let all = day as usize * 2;
        until(SOON, "all of it is there", async || bodies(reader, chat).await.len() == all).await;
        let off = |node: &Sim| Clock { off: node.clock().off + DAY + 1_000, ppm: 0 };
        let (clock_a, clock_b) = (off(&a), off(&b));
        a = a.crash(&lan).start_with_clock(&lan, clock_a).await;
        b = b.crash(&lan).start_with_clock(&lan, clock_b).await;
        until(SOON * 4, "both are here", async || a.online().await == 1 && b.online().await == 1).await;
    }
    let expected: Vec<_> = (1..=9).flat_map(|day| (0..2).map(move |n| format!("day {day}.{n}"))).collect();
    for node in [&a, &b] {
        assert_eq!(bodies(node, chat).await, expected);
        let epochs: std::collections::BTreeSet<_> =
            chat_entries(&node.store, chat).iter().map(|e| e.header().epoch).collect();
        assert!((8..=10).contains(&epochs.len()), "{}", epochs.len());
        assert_eq!(secrets(&node.store, chat), epochs.len(), "no key is made that nobody writes with");
        // A prekey a week.
        let ring = node.store.get(Table::Prekeys, &node.id.0).unwrap().unwrap();
        let ring = cairn_crdt::seal::PrekeyRing::decode(node.id, &ring).unwrap();
        assert_eq!(ring.last().unwrap().0.number, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_by_a_fork_is_opened_and_said_again() {
    for seed in 0..4 {
        let (lan, [a, b], chat) = pair(610 + seed).await;
        a.handle().say(chat, "common", None).await.unwrap();
        until(SOON, "it arrives", async || bodies(&b, chat).await.len() == 1).await;
        let snapshot = a.store.crash();
        for text in ["first life, one", "first life, two"] {
            a.handle().say(chat, text, None).await.unwrap();
        }
        until(SOON, "they arrive", async || bodies(&b, chat).await.len() == 3).await;
        let a = a.set_back(&lan, snapshot).await;
        a.handle().say(chat, "second life", None).await.unwrap();
        until(Duration::from_secs(180), "all of it is said, once", async || {
            let (mut here, mut there) = (bodies(&a, chat).await, bodies(&b, chat).await);
            here.sort();
            there.sort();
            here == there && here == ["common", "first life, one", "first life, two", "second life"]
        })
        .await;
        let said = chat_entries(&b.store, chat);
        assert!(said.iter().all(|e| !holds(&e.encode(), "life") && e.header().epoch != EpochId::NONE));
    }
}

/// The key itself is made in both lives of a machine, so one of the two stands on a branch that does not count.
#[tokio::test(start_paused = true)]
async fn a_key_whose_entry_was_lost_by_a_fork_is_published_again() {
    for seed in 0..4 {
        let (lan, [a, b], chat) = pair(620 + seed).await;
        // Until its store knows the other.
        tokio::time::sleep(LATER).await;
        let snapshot = a.store.crash();
        a.handle().say(chat, "first life", None).await.unwrap();
        until(SOON, "it arrives", async || bodies(&b, chat).await.len() == 1).await;
        b.handle().say(chat, "with your key", None).await.unwrap();
        until(SOON, "it arrives", async || bodies(&a, chat).await.len() == 2).await;
        lan.unplug(b.at.addr);
        let a = a.set_back(&lan, snapshot).await;
        a.handle().say(chat, "second life", None).await.unwrap();
        lan.plug(b.at.addr);
        let all = ["first life", "second life", "with your key"];
        until(Duration::from_secs(180), "all of it is said, once", async || {
            let (mut here, mut there) = (bodies(&a, chat).await, bodies(&b, chat).await);
            here.sort();
            there.sort();
            here == there && here == all
        })
        .await;
        let (a, b) = (a.crash_and_restart(&lan).await, b.crash_and_restart(&lan).await);
        for node in [&a, &b] {
            let mut here = bodies(node, chat).await;
            here.sort();
            assert_eq!(here, all);
        }
    }
}

/// Every commit may fail; what was answered for is there, and can be read by both.
#[tokio::test(start_paused = true)]
async fn a_key_is_never_used_that_is_not_stored() {
    for failing in 0..6 {
        let (lan, [a, b], chat) = pair(630 + failing).await;
        tokio::time::sleep(LATER).await;
        a.store.fail_commits(failing, StoreError::Full);
        let mut said = Vec::new();
        for n in 0..6 {
            let text = format!("number {n}");
            if a.handle().say(chat, &text, None).await.is_ok() {
                said.push(text);
            }
        }
        assert!(said.len() >= 3, "{said:?}");
        let a = a.crash_and_restart(&lan).await;
        assert_eq!(bodies(&a, chat).await, said, "failing {failing}");
        until(LATER, "the other reads them", async || bodies(&b, chat).await == said).await;
    }
}

/// What an older Cairn wrote unsealed stays readable, and new messages beside it are sealed.
#[tokio::test(start_paused = true)]
async fn what_was_written_before_anything_was_sealed_is_still_read() {
    use cairn_crdt::hlc::Hlc;
    use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId};
    use cairn_crdt::kinds::chat::{ChatAuthor, Draft, week_of};
    use cairn_crdt::writer::{LogTip, LogWriter};
    let (lan, [a, b], chat) = pair(640).await;
    let key = crate::world::key_of(1);
    let document = DocumentId::chat(week_of(crate::world::EPOCH_MS), 0);
    let log = LogId { document, device: key.id(), incarnation: Incarnation([0x0d; 16]) };
    let (mut author, mut writer) = (ChatAuthor::new(log), LogWriter::new(key.clone(), chat, log, LogTip::EMPTY));
    let mut batch = vec![Write::Put(Table::Meta, [&b"direct/"[..], &chat.0].concat(), b.id.0.to_vec())];
    for n in 0..3u64 {
        let hlc = Hlc::from_ms(crate::world::EPOCH_MS - 1_000 + n);
        let id = MessageId::new(n, [7; 10]);
        let draft = Draft { id, body: &format!("old {n}"), after: None, reply_to: None };
        let raw = author.say(hlc, &draft).unwrap();
        let entry = Arc::new(writer.write(raw, hlc).unwrap());
        batch.push(Write::Append { entry, received: hlc.ms() });
    }
    let before = a.crash(&lan);
    before.store.commit(&batch).unwrap();
    let a = before.start_again(&lan, cairn_crdt::known::Known::this_build()).await;
    let old = ["old 0", "old 1", "old 2"];
    assert_eq!(bodies(&a, chat).await, old);
    until(SOON * 4, "they go over as they are", async || bodies(&b, chat).await == old).await;
    a.handle().say(chat, "new", None).await.unwrap();
    until(SOON, "it arrives", async || bodies(&b, chat).await.len() == 4).await;
    let sealed = chat_entries(&b.store, chat).iter().filter(|e| e.header().epoch != EpochId::NONE).count();
    assert_eq!(sealed, 1);
}

/// Of two that meet one opens the chat first, and what it tells of its keys before the other has done so is not heard.
/// Nobody may wait for the next comparison, half a minute later, because of that.
#[tokio::test(start_paused = true)]
async fn the_first_message_between_strangers_is_read_at_once_whoever_was_ready_first() {
    for seed in 0..24 {
        let lan = Switch::new(620 + seed);
        lan.set_latency(Duration::from_millis(1), Duration::from_millis(60));
        let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
        let chat = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
        until(SOON, "it can be said", async || nodes[0].handle().say(chat, PLANTED[0], None).await.is_ok()).await;
        let open = async || nodes[1].handle().conversations().await.unwrap().iter().any(|c| c.id == chat);
        until(SOON, &format!("seed {seed}: it is read"), async || {
            open().await && bodies(&nodes[1], chat).await == PLANTED[..1]
        })
        .await;
    }
}
