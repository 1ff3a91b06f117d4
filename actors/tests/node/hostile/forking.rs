//! Devices that fork on purpose, in what they write and in what they state.

use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::{Event, WhyHeld};
use cairn_actors::limits::FROZEN_RATE;
use cairn_actors::store::{Store, Table};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft};
use cairn_crdt::ledger::note::{Note, Told};
use cairn_crdt::statement::{Signed, Statement};
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{Attacker, Office, SOON};
use crate::world::{EPOCH_MS, Sim, until};

/// Valid messages from the beginning of the log of a start.
fn run(a: &Attacker, space: SpaceId, week: DocumentId, start: u8, what: &str, n: u64) -> Vec<Arc<Entry>> {
    let log = LogId { incarnation: Incarnation([start; 16]), ..a.log(week) };
    let (mut author, mut writer) = (ChatAuthor::new(log), LogWriter::new(a.key.clone(), space, log, LogTip::EMPTY));
    let write = |i: u64| {
        let (hlc, body) = (Hlc::from_ms(EPOCH_MS + i), format!("{what} {start} {i}"));
        let id = MessageId::from_token(&a.key.id(), &body);
        let raw = author.say(hlc, &Draft { id, body: &body, after: None, reply_to: None }).unwrap();
        Arc::new(writer.write(raw, hlc).unwrap())
    };
    (0..n).map(write).collect()
}

/// How many entries a node holds of the log of a start.
fn held(node: &Sim, space: SpaceId, a: &Attacker, start: u8) -> u64 {
    let tips = node.store.tips(&space).unwrap();
    let of = |l: &LogId| l.device == a.key.id() && l.incarnation == Incarnation([start; 16]);
    tips.iter().filter(|(l, _)| of(l)).map(|(_, t)| t.seq).sum()
}

async fn send(a: &Attacker, space: SpaceId, entries: &[Arc<Entry>]) {
    for part in entries.chunks(100) {
        a.sync(&space, &Frame::Entries { live: true, entries: part.to_vec() }).await;
    }
}

/// Makes a node see two branches of the log of a start.
async fn fork(office: &Office, a: &Attacker, start: u8) {
    let (space, week) = (office.commons(), office.this_week());
    for what in ["west", "east"] {
        send(a, space, &run(a, space, week, start, what, 2)).await;
    }
    let proven = |n: &Sim| {
        let start = [start; 16];
        let of = |key: &[u8]| key.len() == 32 + 66 && key.get(82..98) == Some(&start[..]);
        n.store.scan(Table::Forks, &[]).unwrap().iter().any(|(key, _)| of(key))
    };
    until(SOON, "both know of it", async || office.nodes.iter().all(proven)).await;
}

#[tokio::test(start_paused = true)]
async fn who_forks_three_times_is_slowed_whatever_it_writes_and_never_refused() {
    const FLOOD: u64 = 900;
    let mut office = Office::open(141).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(cairn_actors::link::Lane::Sync);
    let (space, week) = (office.commons(), office.this_week());
    for start in 1..=2 {
        fork(&office, &a, start).await;
    }
    // Another start of it is not slowed yet.
    send(&a, space, &run(&a, space, week, 10, "free", 600)).await;
    until(SOON, "it is taken at once", async || held(&office.nodes[0], space, &a, 10) == 600).await;
    fork(&office, &a, 3).await;
    let flood = run(&a, space, week, 11, "flood", FLOOD);
    send(&a, space, &flood).await;
    office.goes_on(SOON).await;
    let taken = held(&office.nodes[0], space, &a, 11);
    let burst = u64::from(FROZEN_RATE.1);
    assert!((burst / 2..burst + 500).contains(&taken), "{taken}");
    let status = office.nodes[0].handle().status().await.unwrap();
    let why = |w: WhyHeld| status.held_back.iter().filter(|h| h.why == w && h.author == Some(a.key.id())).count();
    assert_eq!(why(WhyHeld::Forked), 1, "{status:?}");
    assert!(status.troubles.iter().any(|t| t.contains("Mallory wrote or stated two things")), "{status:?}");
    // A start that it never used is slowed too.
    send(&a, space, &run(&a, space, week, 12, "another start", 600)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(held(&office.nodes[0], space, &a, 12), 0, "all its credit is used up");
    // Whoever goes on sending has all of it taken in the end, on both nodes.
    let start = tokio::time::Instant::now();
    until(Duration::from_secs(600), "it is taken after all", async || {
        send(&a, space, &flood).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        office.nodes.iter().all(|n| held(n, space, &a, 11) == FLOOD)
    })
    .await;
    let slowest = (FLOOD - taken) / u64::from(FROZEN_RATE.0);
    assert!(start.elapsed() > Duration::from_secs(slowest / 2), "{:?}", start.elapsed());
    assert!(a.is_linked().await, "nobody is shut out for it");
    office.goes_on(SOON).await;
}

fn stated(a: &Attacker, space: SpaceId, root: u8) -> Signed {
    let statement = Statement {
        device: a.key.id(),
        incarnation: Incarnation([0xbd; 16]),
        counter: 7,
        at: Hlc::from_ms(EPOCH_MS),
        floor: Hlc(0),
        root: [root; 32],
        read: None,
    };
    Signed::sign(statement, &space, &a.key)
}

#[tokio::test(start_paused = true)]
async fn who_states_one_thing_here_and_another_there_is_found_out_and_told_of_once() {
    let mut office = Office::open(142).await;
    let (one, two) = (Attacker::enter(&office, 66, 0).await, Attacker::enter(&office, 66, 1).await);
    let space = office.commons();
    let mut other = office.nodes[1].handle().subscribe();
    let told = |signed: Signed| Frame::Note(Note::Told(vec![Told { signed, changes: Vec::new() }]));
    for _ in 0..20 {
        one.sync(&space, &told(stated(&one, space, 1))).await;
        two.sync(&space, &told(stated(&two, space, 2))).await;
    }
    let rows = |n: &Sim| n.store.scan(Table::Forks, &space.0).unwrap().iter().filter(|(k, _)| k.len() == 80).count();
    until(Duration::from_secs(60), "both have the proof", async || office.nodes.iter().all(|n| rows(n) == 1)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let said = |all: Vec<Event>| {
        let of = |e: Event| match e {
            Event::Forked { mine: false, sentence, conversation, .. } if conversation == space => Some(sentence),
            _ => None,
        };
        all.into_iter().filter_map(of).collect::<Vec<_>>()
    };
    for events in [&mut office.told, &mut other] {
        let sentences = said(std::iter::from_fn(|| events.try_recv().ok()).collect());
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        assert!(sentences[0].starts_with("Mallory stated two things that cannot both be true"), "{sentences:?}");
    }
    office.goes_on(SOON).await;
    // After a start it is still known, and not told again.
    let node = office.nodes.remove(1).crash_and_restart(&office.lan).await;
    let mut events = node.handle().subscribe();
    office.nodes.push(node);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(said(std::iter::from_fn(|| events.try_recv().ok()).collect()), Vec::<String>::new());
    assert_eq!(rows(&office.nodes[1]), 1);
    office.goes_on(SOON).await;
}
