//! How long conversations are kept: a year of retires, laptops that come back with what was erased, clocks that are
//! wrong, windows that differ, copies that are deleted.

mod hostile;

use std::time::Duration;

use cairn_actors::api::{Event, PageAt, Retention, What};
use cairn_actors::limits::{RETENTION_FIRST, RETENTION_TICK};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::{MemoryStore, Store, Table};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::SpaceId;
use cairn_crdt::period::period_of;
use tokio::sync::broadcast;

use crate::world::{Clock, EPOCH_MS, Sim, until};

const SOON: Duration = Duration::from_secs(5);
const DAY: i64 = 86_400_000;
const WEEK: i64 = 7 * DAY;
const DAY_S: u64 = 86_400;

/// Nodes that are switched on now and then, all at the same date.
struct Years {
    lan: Switch,
    nodes: Vec<Sim>,
    date: i64,
}

impl Years {
    async fn begin(seed: u64, n: u8) -> Self {
        let lan = Switch::new(seed);
        let mut nodes = Vec::new();
        for i in 1..=n {
            nodes.push(Sim::start(&lan, u16::from(i)).await);
        }
        let years = Self { lan, nodes, date: 0 };
        years.together().await;
        years
    }

    /// Everybody sees everybody, and has looked for what is too old.
    async fn together(&self) {
        crate::world::all_online(&self.nodes, self.nodes.len() as u32 - 1).await;
        tokio::time::sleep(RETENTION_FIRST + SOON).await;
    }

    /// Switches all off and on again on a later date.
    async fn later(&mut self, ms: i64) {
        self.date += ms;
        for (i, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let clock = Clock { off: self.date, ppm: 0 };
            self.nodes.push(again(&self.lan, node, i as u8 + 1, clock, None).await);
        }
        self.together().await;
    }

    /// The direct conversation of the first two.
    async fn direct(&self) -> SpaceId {
        let peers = self.nodes[0].handle().peers().await.unwrap();
        peers.iter().find(|p| p.id == self.nodes[1].id).unwrap().conversation
    }

    async fn say(&self, at: usize, place: SpaceId, text: &str) {
        self.nodes[at].handle().say(place, text, None).await.unwrap();
    }
}

/// A node that was switched off and is on again, on another date and perhaps with another disk.
async fn again(lan: &Switch, node: Sim, seed: u8, clock: Clock, store: Option<MemoryStore>) -> Sim {
    lan.kill(node.at.addr);
    let (at, store) = (node.at.clone(), store.unwrap_or_else(|| node.store.crash()));
    drop(node);
    Sim::start_on(lan, u16::from(seed), clock, store, Some(at)).await
}

async fn bodies(node: &Sim, place: SpaceId) -> Vec<String> {
    node.messages(place).await.into_iter().map(|m| m.body).collect()
}

async fn kept(node: &Sim, place: SpaceId) -> Retention {
    node.handle().retention(place).await.unwrap()
}

async fn shows(nodes: &[&Sim], place: SpaceId, what: &[&str]) {
    until(SOON, &format!("{what:?} is shown"), async || {
        for n in nodes {
            if bodies(n, place).await != what {
                return false;
            }
        }
        true
    })
    .await;
}

/// Every chat entry of a space on a disk, log by log: each log is a chain whose last signature verifies, whatever was
/// erased. Returns the bodies' bytes in all that are still there, by segment.
fn disk(store: &MemoryStore, space: SpaceId) -> Vec<(u64, usize, usize)> {
    let mut found = Vec::new();
    for (log, tip) in store.tips(&space).unwrap() {
        let Some(period) = period_of(&log.document) else { continue };
        let all: Vec<_> = store.entries(&space, &log, 1, usize::MAX).unwrap().into_iter().map(|s| s.entry).collect();
        assert_eq!(all.len() as u64, tip.seq);
        for (a, b) in all.iter().zip(all.iter().skip(1)) {
            assert_eq!(b.header().prev, a.hash());
        }
        let last: &Entry = all.last().unwrap();
        assert!(last.signed.verify() && last.hash() == tip.hash);
        found.push((period.start, all.len(), all.iter().filter(|e| e.payload.is_some()).count()));
    }
    found
}

fn erased_and_kept(store: &MemoryStore, space: SpaceId) -> (usize, usize) {
    let all = disk(store, space);
    let kept = all.iter().map(|(_, _, kept)| kept).sum();
    (all.iter().map(|(_, n, kept)| n - kept).sum(), kept)
}

/// Nothing is fetched, retired or erased any more.
async fn settled(nodes: &[Sim], space: SpaceId) {
    tokio::time::sleep(RETENTION_TICK * 2).await;
    let state = || -> Vec<_> {
        let one = |n: &Sim| (disk(&n.store, space), n.store.get(Table::Retired, &space.0).unwrap());
        nodes.iter().map(one).collect()
    };
    let before = state();
    tokio::time::sleep(RETENTION_TICK * 3).await;
    assert_eq!(state(), before);
}

fn told(events: &mut broadcast::Receiver<Event>) -> Vec<What> {
    let mut all = Vec::new();
    while let Ok(e) = events.try_recv() {
        if let Event::Gone { what, .. } = e {
            all.push(what);
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_year_of_a_direct_chat_that_keeps_four_weeks() {
    let mut y = Years::begin(201, 2).await;
    let place = y.direct().await;
    y.say(0, place, "week 0").await;
    let r = y.nodes[1].handle().set_retention(place, Some(28 * DAY_S)).await.unwrap();
    assert_eq!((r.keep, r.shared, r.set_by), (Some(28 * DAY_S), true, Some(y.nodes[1].id)));
    assert!(r.sentence.contains("4 weeks") && r.agreed, "{r:?}");
    until(SOON, "the other side follows", async || kept(&y.nodes[0], place).await.keep == Some(28 * DAY_S)).await;
    for week in (2..52).step_by(2) {
        y.later(2 * WEEK).await;
        y.say(week / 2 % 2, place, &format!("week {week}")).await;
        until(SOON, "both have it", async || {
            let (a, b) = (bodies(&y.nodes[0], place).await, bodies(&y.nodes[1], place).await);
            a == b && a.last() == Some(&format!("week {week}"))
        })
        .await;
        let all = bodies(&y.nodes[0], place).await;
        assert!((2..=4).contains(&all.len()), "week {week}: {all:?}");
    }
    for n in &y.nodes {
        let (erased, kept) = erased_and_kept(&n.store, place);
        assert_eq!(erased + kept, 26, "the chains are whole");
        assert!((2..=6).contains(&kept), "{kept} of 26 have their payload");
        let said = n.store.scan(Table::Said, &place.0).unwrap().len();
        assert!(said <= 6, "{said}");
    }
    // It is settled: nothing more happens, and nothing comes back.
    settled(&y.nodes, place).await;
    let r = kept(&y.nodes[0], place).await;
    assert!(r.gone_before > r.erased_before && r.erased_before.is_some() && r.erases_at.is_some(), "{r:?}");
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_comes_back_after_a_year_with_what_was_erased_brings_nothing_back() {
    let mut y = Years::begin(202, 2).await;
    let place = y.direct().await;
    for text in ["old a", "old b"] {
        y.say(0, place, text).await;
    }
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["old a", "old b"]).await;
    // A copy of the second laptop's disk lies in a drawer; before that it wrote on its own for an hour.
    let drawer = y.nodes[1].store.crash();
    let alone = Switch::new(2_020);
    let copy = Sim::start_on(&alone, 2, Clock::default(), drawer, None).await;
    copy.handle().say(place, "written apart, in the same week", None).await.unwrap();
    let drawer = copy.store.crash();
    drop(copy);
    y.nodes[0].handle().set_retention(place, Some(7 * DAY_S)).await.unwrap();
    for _ in 0..4 {
        y.later(WEEK).await;
    }
    y.say(0, place, "recent").await;
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["recent"]).await;
    assert_eq!(erased_and_kept(&y.nodes[0].store, place), (2, 1));
    // A year on, the laptop breaks and the copy from the drawer takes its place.
    y.later(48 * WEEK).await;
    let node = y.nodes.pop().unwrap();
    let clock = Clock { off: y.date, ppm: 0 };
    let node = again(&y.lan, node, 2, clock, Some(drawer)).await;
    let mut events = node.handle().subscribe();
    assert_eq!(bodies(&node, place).await.len(), 3, "it has no idea");
    y.nodes.push(node);
    y.together().await;
    y.say(0, place, "are you there").await;
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["are you there"]).await;
    assert!(told(&mut events).contains(&What::Hidden));
    assert_eq!(erased_and_kept(&y.nodes[0].store, place), (2, 2), "nothing was brought to the one who keeps to it");
    let (erased, _) = erased_and_kept(&y.nodes[1].store, place);
    assert_eq!(erased, 0, "the copy is hidden, and has its week of grace");
    for _ in 0..3 {
        y.later(4 * DAY).await;
    }
    assert_eq!(erased_and_kept(&y.nodes[1].store, place), (3, 1), "then it goes there too");
    // They hold the same, and find so in one round trip: nothing is fetched or written any more.
    settled(&y.nodes, place).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_mind_within_the_week_brings_everything_back() {
    let mut y = Years::begin(203, 2).await;
    let place = y.direct().await;
    y.say(0, place, "precious").await;
    shows(&[&y.nodes[1]], place, &["precious"]).await;
    // It lies in the segment of its week; what is said from now on lies in segments of an hour.
    y.nodes[0].handle().set_retention(place, Some(DAY_S)).await.unwrap();
    y.later(7 * DAY).await;
    y.say(1, place, "new").await;
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["new"]).await;
    y.later(3 * DAY).await;
    shows(&[&y.nodes[0], &y.nodes[1]], place, &[]).await;
    assert_eq!(erased_and_kept(&y.nodes[0].store, place), (0, 2));
    let mut events = y.nodes[0].handle().subscribe();
    y.nodes[1].handle().set_retention(place, None).await.unwrap();
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["precious", "new"]).await;
    assert!(told(&mut events).contains(&What::Back));
    y.later(30 * DAY).await;
    assert_eq!(erased_and_kept(&y.nodes[0].store, place), (0, 2), "and nothing is erased later");
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["precious", "new"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_laptop_in_2036_erases_nothing_and_makes_nobody_else_do_so() {
    let mut y = Years::begin(204, 3).await;
    let (place, room) = (y.direct().await, y.nodes[0].everyone().await);
    y.say(0, place, "between us").await;
    y.say(0, room, "to all").await;
    shows(&[&y.nodes[1]], place, &["between us"]).await;
    shows(&[&y.nodes[1], &y.nodes[2]], room, &["to all"]).await;
    y.nodes[0].handle().set_retention(place, Some(28 * DAY_S)).await.unwrap();
    y.nodes[1].handle().set_retention(room, Some(28 * DAY_S)).await.unwrap();
    until(SOON, "it is known", async || kept(&y.nodes[1], place).await.keep.is_some()).await;
    // The second laptop's battery dies, and its clock wakes in 2036: first alone, then among the others, for weeks.
    let node = y.nodes.remove(1);
    y.lan.unplug(node.at.addr);
    let clock = Clock { off: 10 * 52 * WEEK, ppm: 0 };
    let node = again(&y.lan, node, 2, clock, None).await;
    tokio::time::sleep(RETENTION_TICK * 3).await;
    assert_eq!(bodies(&node, place).await, ["between us"]);
    assert_eq!(bodies(&node, room).await, ["to all"]);
    y.lan.plug(node.at.addr);
    y.nodes.insert(1, node);
    y.together().await;
    tokio::time::sleep(RETENTION_TICK * 3).await;
    let r = kept(&y.nodes[1], place).await;
    assert!(!r.agreed && r.gone_before.is_none(), "{r:?}");
    for n in &y.nodes {
        assert_eq!(bodies(n, room).await, ["to all"]);
        assert_eq!(erased_and_kept(&n.store, room), (0, 1));
    }
    shows(&[&y.nodes[0], &y.nodes[1]], place, &["between us"]).await;
    assert_eq!(erased_and_kept(&y.nodes[0].store, place), (0, 1));
    assert_eq!(erased_and_kept(&y.nodes[1].store, place), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn in_a_room_each_keeps_its_own_time_and_what_one_lets_go_of_is_not_brought_to_it_again() {
    let mut y = Years::begin(205, 3).await;
    let room = y.nodes[0].everyone().await;
    let r = y.nodes[0].handle().set_retention(room, Some(28 * DAY_S)).await.unwrap();
    assert!(!r.shared && r.set_by.is_none(), "{r:?}");
    for week in 0..10 {
        y.say(week % 3, room, &format!("week {week}")).await;
        y.later(WEEK).await;
    }
    let full: Vec<String> = (0..10).map(|w| format!("week {w}")).collect();
    for n in &y.nodes[1..] {
        assert_eq!(bodies(n, room).await, full, "the others keep everything");
        assert_eq!(erased_and_kept(&n.store, room).0, 0);
    }
    let own = bodies(&y.nodes[0], room).await;
    assert!((4..=5).contains(&own.len()) && full.ends_with(&own), "{own:?}");
    let (erased, _) = erased_and_kept(&y.nodes[0].store, room);
    assert!((4..=5).contains(&erased), "{erased}");
    // A newcomer gets everything from those who have it, and what all have from anybody.
    y.nodes.push(Sim::start_on(&y.lan, 4, Clock { off: y.date, ppm: 0 }, MemoryStore::new(), None).await);
    crate::world::all_online(&y.nodes, 3).await;
    until(Duration::from_secs(60), "the newcomer has all", async || bodies(&y.nodes[3], room).await == full).await;
    assert_eq!(bodies(&y.nodes[0], room).await, own);
    // Then it is quiet, though no two windows are the same.
    y.nodes[1].handle().set_retention(room, Some(56 * DAY_S)).await.unwrap();
    tokio::time::sleep(RETENTION_TICK * 2).await;
    settled(&y.nodes, room).await;
}

#[tokio::test(start_paused = true)]
async fn ones_own_copy_goes_at_once_and_stays_gone_while_others_keep_theirs() {
    let mut y = Years::begin(206, 2).await;
    let place = y.direct().await;
    for week in 0..4 {
        y.say(week % 2, place, &format!("week {week}")).await;
        y.later(WEEK).await;
    }
    y.say(0, place, "now 1").await;
    shows(&[&y.nodes[1]], place, &["week 0", "week 1", "week 2", "week 3", "now 1"]).await;
    let mut events = y.nodes[1].handle().subscribe();
    // Its older part.
    let cut = EPOCH_MS + (2 * WEEK) as u64;
    let r = y.nodes[1].handle().forget(place, Some(cut)).await.unwrap();
    assert_eq!(r.erased_before, Some(cut));
    assert_eq!(bodies(&y.nodes[1], place).await, ["week 2", "week 3", "now 1"]);
    // All of it.
    y.nodes[1].handle().forget(place, None).await.unwrap();
    assert_eq!(bodies(&y.nodes[1], place).await, [""; 0]);
    assert_eq!(told(&mut events).iter().filter(|w| **w == What::Forgotten).count(), 4, "hidden and gone, twice");
    let listed = y.nodes[1].handle().conversations().await.unwrap();
    assert!(listed.iter().all(|c| c.id != place), "it is not in the list any more");
    let (erased, kept) = erased_and_kept(&y.nodes[1].store, place);
    assert_eq!((erased, kept), (4, 1), "the week that goes on is hidden, the others are erased");
    // The other side has everything, and what it says arrives; nothing else does, not after months either.
    y.say(0, place, "now 2").await;
    shows(&[&y.nodes[1]], place, &["now 2"]).await;
    let listed = y.nodes[1].handle().conversations().await.unwrap();
    let line = listed.iter().find(|c| c.id == place).unwrap();
    assert_eq!((line.unread, line.last.as_ref().map(|l| l.text.as_str())), (1, Some("now 2")));
    y.later(8 * WEEK).await;
    assert_eq!(bodies(&y.nodes[1], place).await, ["now 2"]);
    let whole = ["week 0", "week 1", "week 2", "week 3", "now 1", "now 2"];
    assert_eq!(bodies(&y.nodes[0], place).await, whole);
    let e = y.nodes[1].handle().forget(place, Some(u64::MAX)).await.unwrap_err();
    assert_eq!(e.code, "bad_time");
    assert_eq!(y.nodes[1].handle().set_retention(place, Some(3)).await.unwrap_err().code, "bad_duration");
    let nowhere = SpaceId([9; 32]);
    assert_eq!(y.nodes[1].handle().forget(nowhere, None).await.unwrap_err().code, "no_such_conversation");
    let page = y.nodes[1].handle().page(place, PageAt::Newest, 10).await.unwrap();
    assert_eq!((page.total, page.older, page.newer), (1, false, false));
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_could_not_be_kept_does_not_count() {
    let y = Years::begin(207, 3).await;
    let (place, room) = (y.direct().await, y.nodes[0].everyone().await);
    y.say(0, place, "safe").await;
    y.nodes[0].store.set_full(true);
    let h = y.nodes[0].handle();
    assert_eq!(h.set_retention(place, Some(DAY_S)).await.unwrap_err().code, "disk_full");
    assert_eq!(h.set_retention(room, Some(DAY_S)).await.unwrap_err().code, "disk_full");
    assert_eq!(h.forget(place, None).await.unwrap_err().code, "disk_full");
    y.nodes[0].store.set_full(false);
    assert_eq!((kept(&y.nodes[0], place).await.keep, kept(&y.nodes[0], room).await.keep), (None, None));
    assert_eq!(bodies(&y.nodes[0], place).await, ["safe"]);
    assert_eq!(h.set_retention(place, Some(2 * DAY_S)).await.unwrap().keep, Some(2 * DAY_S));
    until(SOON, "the other side follows", async || kept(&y.nodes[1], place).await.keep == Some(2 * DAY_S)).await;
}
