//! One device in two lives: set back to a snapshot, resumed twice, cloned. Whatever each wrote, all end with the same,
//! and nothing is lost or shown twice.

use std::collections::BTreeSet;
use std::time::Duration;

use cairn_actors::api::Event;
use cairn_actors::link::memory::Switch;
use cairn_actors::store::{MemoryStore, Store, Table};
use cairn_crdt::ids::{Incarnation, Kind, LogId, SpaceId};

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(180);

async fn office(seed: u64) -> (Switch, Vec<Sim>, SpaceId) {
    let lan = Switch::new(seed);
    let mut nodes = Vec::new();
    for n in 1..=3 {
        nodes.push(Sim::start(&lan, n).await);
    }
    all_online(&nodes, 2).await;
    for n in &nodes {
        n.say("common").await;
    }
    all_equal(&nodes, 3, SOON).await;
    let room = nodes[0].everyone().await;
    (lan, nodes, room)
}

async fn troubles(node: &Sim) -> String {
    node.handle().status().await.unwrap().troubles.join("\n")
}

/// What a node keeps of forks: proofs, and parts of lost branches.
fn kept(store: &MemoryStore) -> (usize, usize) {
    let rows = store.scan(Table::Forks, &[]).unwrap();
    let of = |length: usize| rows.iter().filter(|(key, _)| key.len() == length).count();
    (of(32 + LogId::LEN), of(32 + LogId::LEN + 32))
}

/// How many entries a node holds of the log that a start of another wrote to its room.
fn length(of: &Sim, room: SpaceId, start: Incarnation, at: &Sim) -> u64 {
    let tips = at.store.tips(&room).unwrap();
    let log = |l: &LogId| l.device == of.id && l.incarnation == start && l.document.kind() == Kind::Chat;
    tips.iter().filter(|(l, _)| log(l)).map(|(_, t)| t.seq).sum()
}

/// Waits until all show so many messages in one order, and looks that these are among them.
async fn everybody_shows(nodes: &[Sim], count: usize, expected: &[&str]) {
    all_equal(nodes, count, LATER).await;
    let said = nodes[0].bodies().await;
    assert!(expected.iter().all(|text| said.iter().filter(|s| s == text).count() == 1), "{said:?}");
}

/// A virtual machine is set back, and speaks before it hears of what it said in its first life. The branch that does
/// not count is its own one time and that of everybody else the other.
#[tokio::test(start_paused = true)]
async fn a_machine_that_was_set_back_says_again_what_was_lost_in_either_life() {
    let mut lengths = BTreeSet::new();
    for seed in 0..8 {
        let (lan, mut nodes, room) = office(300 + seed).await;
        let start = nodes[0].incarnation().await;
        let snapshot = nodes[0].store.crash();
        for text in ["first life, one", "first life, two"] {
            nodes[0].say(text).await;
        }
        all_equal(&nodes, 5, SOON).await;
        let mut events = nodes[1].handle().subscribe();
        let back = nodes.remove(0).set_back(&lan, snapshot).await;
        assert_eq!(back.incarnation().await, start, "it does not know that it was set back");
        back.handle().say(room, "second life", None).await.unwrap();
        nodes.insert(0, back);
        everybody_shows(&nodes, 6, &["first life, one", "first life, two", "second life"]).await;
        // Of the first start's log everybody has the same branch.
        let held: BTreeSet<_> = nodes.iter().map(|n| length(&nodes[0], room, start, n)).collect();
        assert_eq!(held.len(), 1, "{held:?}");
        lengths.extend(held);
        assert!(troubles(&nodes[0]).await.contains("went on from an older state of itself"));
        assert_ne!(nodes[0].incarnation().await, start, "it writes under a new start");
        let told = std::iter::from_fn(|| events.try_recv().ok())
            .filter(|e| matches!(e, Event::Forked { device, mine: false, .. } if *device == nodes[0].id))
            .count();
        assert_eq!(told, 1, "the others are told once");
        until(LATER, "what was kept for the author is said again, and kept no longer", async || {
            nodes.iter().all(|n| kept(&n.store) == (1, 0))
        })
        .await;
        // It lasts: nothing comes back with a restart.
        let n = nodes.remove(0).crash_and_restart(&lan).await;
        n.say("third life").await;
        nodes.insert(0, n);
        all_equal(&nodes, 7, LATER).await;
    }
    assert_eq!(lengths, BTreeSet::from([2, 3]), "both lives were kept, one in some runs and one in others");
}

/// It hears of its first life before it speaks: then nothing forks at all.
#[tokio::test(start_paused = true)]
async fn a_machine_that_was_set_back_and_hears_of_it_first_goes_on_as_another_start() {
    let (lan, mut nodes, room) = office(320).await;
    let start = nodes[0].incarnation().await;
    let snapshot = nodes[0].store.crash();
    nodes[0].say("first life").await;
    all_equal(&nodes, 4, SOON).await;
    let back = nodes.remove(0).set_back(&lan, snapshot).await;
    nodes.insert(0, back);
    all_equal(&nodes, 4, LATER).await;
    until(SOON, "it knows", async || troubles(&nodes[0]).await.contains("was set back to an older state")).await;
    assert_ne!(nodes[0].incarnation().await, start);
    nodes[0].say("second life").await;
    all_equal(&nodes, 5, SOON).await;
    assert!(nodes.iter().all(|n| kept(&n.store) == (0, 0)), "no log forked");
    assert_eq!(length(&nodes[0], room, start, &nodes[1]), 2);
}

/// Two machines go on from one snapshot on two sides of a partition, and both stay.
#[tokio::test(start_paused = true)]
async fn one_snapshot_resumed_on_two_machines_loses_nothing_of_either() {
    let (lan, nodes, _) = office(330).await;
    let copy = nodes[0].resume_beside(&lan, nodes[0].store.crash()).await;
    let (west, east) = ([nodes[0].at.addr, nodes[1].at.addr], [copy.at.addr, nodes[2].at.addr]);
    lan.partition(&[&west, &east]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut all = Vec::new();
    for (who, texts) in [(&nodes[0], ["west 1", "west 2", "west 3"]), (&copy, ["east 1", "east 2", "east 3"])] {
        for text in texts {
            who.say(text).await;
            all.push(text);
        }
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    lan.heal();
    let nodes: Vec<_> = nodes.into_iter().chain([copy]).collect();
    everybody_shows(&nodes, 9, &all).await;
    until(LATER, "both are told", async || {
        let (old, copy) = (troubles(&nodes[0]).await, troubles(&nodes[3]).await);
        [old, copy].iter().all(|told| told.contains("This identity runs elsewhere"))
    })
    .await;
    let (old, copy) = (troubles(&nodes[0]).await, troubles(&nodes[3]).await);
    let knows = |told: &str| told.contains("went on from an older state of itself");
    assert!(knows(&old) || knows(&copy), "whoever has what does not count");
    assert_ne!(nodes[0].incarnation().await, nodes[3].incarnation().await);
}

/// A clone of a disk image that starts twice gets two starts: nothing forks, and both are told.
#[tokio::test(start_paused = true)]
async fn a_clone_of_a_disk_forks_nothing_and_both_are_told() {
    let (lan, nodes, _) = office(340).await;
    let clone = nodes[0].twin(&lan, nodes[0].store.crash()).await;
    nodes[0].say("from the old disk").await;
    clone.say("from the clone").await;
    let nodes: Vec<_> = nodes.into_iter().chain([clone]).collect();
    all_equal(&nodes, 5, LATER).await;
    until(LATER, "both are told", async || {
        let (a, b) = (troubles(&nodes[0]).await, troubles(&nodes[3]).await);
        [a, b].iter().all(|t| t.contains("This identity runs elsewhere"))
    })
    .await;
    assert!(nodes.iter().all(|n| kept(&n.store) == (0, 0)));
}

/// A disk that fails while a fork is decided: nothing half, and it is decided when there is room.
#[tokio::test(start_paused = true)]
async fn a_fork_that_could_not_be_stored_is_decided_later() {
    let (lan, mut nodes, room) = office(350).await;
    let snapshot = nodes[0].store.crash();
    nodes[0].say("first life").await;
    all_equal(&nodes, 4, SOON).await;
    let back = nodes.remove(0).set_back(&lan, snapshot).await;
    back.handle().say(room, "second life", None).await.unwrap();
    nodes.insert(0, back);
    for n in &nodes[1..] {
        n.store.set_full(true);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in &nodes[1..] {
        n.store.set_full(false);
    }
    everybody_shows(&nodes, 5, &["first life", "second life"]).await;
}

/// How long messages are kept is set in both lives. One of the two counts, the same on both sides, and whoever followed
/// the other is told that it does not any more.
#[tokio::test(start_paused = true)]
async fn a_setting_on_a_lost_branch_gives_way_on_both_sides_and_people_are_told() {
    const DAY: u64 = 86_400;
    let mut counted = BTreeSet::new();
    for seed in 0..8 {
        let (lan, mut nodes, _) = office(360 + seed).await;
        let chat = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
        let kept_for = async |n: &Sim| n.handle().retention(chat).await.unwrap().keep;
        nodes[0].handle().set_retention(chat, Some(90 * DAY)).await.unwrap();
        until(SOON, "both follow", async || kept_for(&nodes[1]).await == Some(90 * DAY)).await;
        let snapshot = nodes[0].store.crash();
        nodes[0].handle().set_retention(chat, Some(365 * DAY)).await.unwrap();
        until(SOON, "both follow again", async || kept_for(&nodes[1]).await == Some(365 * DAY)).await;
        let mut events = nodes[1].handle().subscribe();
        let back = nodes.remove(0).set_back(&lan, snapshot).await;
        let mut own = back.handle().subscribe();
        back.handle().set_retention(chat, Some(28 * DAY)).await.unwrap();
        nodes.insert(0, back);
        until(LATER, "both know of the fork and agree", async || {
            kept(&nodes[0].store).0 == 1
                && kept(&nodes[1].store).0 == 1
                && kept_for(&nodes[0]).await == kept_for(&nodes[1]).await
        })
        .await;
        let now = kept_for(&nodes[0]).await;
        let lost = |all: Vec<Event>| {
            let told = |e: &&Event| matches!(e, Event::Notice { code, .. } if code == "retention_lost");
            all.iter().filter(told).count()
        };
        let there = lost(std::iter::from_fn(|| events.try_recv().ok()).collect());
        let here = lost(std::iter::from_fn(|| own.try_recv().ok()).collect());
        let first = now == Some(365 * DAY);
        assert!(first || now == Some(28 * DAY), "{now:?}");
        assert_eq!((here, there), if first { (1, 0) } else { (0, 1) }, "who followed the other one is told");
        counted.insert(now);
        // Set again, it counts, and lasts.
        nodes[1].handle().set_retention(chat, Some(180 * DAY)).await.unwrap();
        until(SOON, "both follow what is set again", async || kept_for(&nodes[0]).await == Some(180 * DAY)).await;
        let n = nodes.remove(1).crash_and_restart(&lan).await;
        assert_eq!(kept_for(&n).await, Some(180 * DAY));
        nodes.insert(1, n);
    }
    assert_eq!(counted.len(), 2, "either life counted in some of the runs");
}
