//! The briefing when sides meet again: whole nodes on a paused clock.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_actors::api::{Briefing, Cause, Event};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::DeviceId;
use cairn_crdt::known::Known;
use tokio::sync::broadcast;

use crate::world::{Sim, all_equal, all_online, long, until};

const SOON: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);
/// Everything that a reunion can take until it is final.
const SETTLED: Duration = Duration::from_secs(60);

async fn start(lan: &Switch, seeds: std::ops::RangeInclusive<u8>) -> Vec<Sim> {
    let mut nodes = Vec::new();
    for seed in seeds {
        nodes.push(Sim::start(lan, u16::from(seed)).await);
    }
    all_online(&nodes, u32::try_from(nodes.len()).unwrap() - 1).await;
    for n in &nodes {
        n.say("before").await;
    }
    all_equal(&nodes, nodes.len(), SOON).await;
    // Heartbeats say to the second until when all were together.
    tokio::time::sleep(Duration::from_secs(3)).await;
    nodes
}

/// All briefing events so far: by id, in order.
fn told(events: &mut broadcast::Receiver<Event>) -> BTreeMap<u64, Vec<Briefing>> {
    let mut all: BTreeMap<u64, Vec<Briefing>> = BTreeMap::new();
    loop {
        match events.try_recv() {
            Ok(Event::Briefing(b)) => all.entry(b.id).or_default().push(*b),
            Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return all,
        }
    }
}

fn ids(b: &Briefing, here: bool) -> Vec<Vec<DeviceId>> {
    b.sides.iter().filter(|s| s.here == here).map(|s| s.members.iter().map(|m| m.id).collect()).collect()
}

fn sorted(nodes: &[&Sim]) -> Vec<DeviceId> {
    let mut all: Vec<DeviceId> = nodes.iter().map(|n| n.id).collect();
    all.sort_unstable();
    all
}

/// Messages by author on the sides that came back.
fn theirs(b: &Briefing) -> BTreeMap<DeviceId, u64> {
    b.news().flat_map(|w| &w.authors).map(|a| (a.id, a.messages)).collect()
}

#[tokio::test(start_paused = true)]
async fn three_and_three_after_an_hour_each_get_one_briefing_with_the_others_as_a_side() {
    let lan = Switch::new(41);
    let nodes = start(&lan, 1..=6).await;
    let addrs: Vec<_> = nodes.iter().map(|n| n.at.addr).collect();
    lan.partition(&[&addrs[..3], &addrs[3..]]);
    let mut told_to: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
    tokio::time::sleep(long(HOUR / 2)).await;
    for (i, n) in nodes.iter().enumerate() {
        for k in 0..=i {
            n.say(&format!("apart {i} {k}")).await;
        }
    }
    tokio::time::sleep(long(HOUR / 2)).await;
    told_to.iter_mut().for_each(|t| assert!(told(t).is_empty(), "nothing is told while they are apart"));
    lan.heal();
    all_equal(&nodes, 6 + 21, SOON * 3).await;
    tokio::time::sleep(SETTLED).await;
    for (i, n) in nodes.iter().enumerate() {
        let all = told(&mut told_to[i]);
        assert_eq!(all.len(), 1, "node {i}: one reunion, one briefing");
        let grown = &all[&1];
        assert!(grown.iter().rev().skip(1).all(|b| !b.is_final), "node {i}: final once");
        let b = grown.last().unwrap();
        assert!(b.is_final && b.missing.is_empty() && b.not_back.is_empty(), "node {i}: {b:?}");
        assert_eq!(b.cause, Cause::Partition);
        let (own, other) = if i < 3 { (&nodes[..3], &nodes[3..]) } else { (&nodes[3..], &nodes[..3]) };
        let mut side = ids(b, false).remove(0);
        side.sort_unstable();
        assert_eq!(ids(b, false).len(), 1, "node {i}: one side");
        assert_eq!(side, sorted(&other.iter().collect::<Vec<_>>()));
        assert_eq!(ids(b, true), [sorted(&own.iter().filter(|o| o.id != n.id).collect::<Vec<_>>())]);
        let expected: BTreeMap<DeviceId, u64> =
            other.iter().map(|o| (o.id, nodes.iter().position(|n| n.id == o.id).unwrap() as u64 + 1)).collect();
        assert_eq!(theirs(b), expected, "node {i}");
        let ours: BTreeMap<DeviceId, u64> =
            own.iter().map(|o| (o.id, nodes.iter().position(|n| n.id == o.id).unwrap() as u64 + 1)).collect();
        let here = b.sides.iter().find(|s| s.here).unwrap();
        let counted: BTreeMap<DeviceId, u64> =
            here.conversations.iter().flat_map(|w| &w.authors).map(|a| (a.id, a.messages)).collect();
        assert_eq!(counted, ours, "node {i}: what was written here");
        let (room, line) = b.first_new().unwrap();
        assert_eq!(room, n.everyone().await);
        let shown = n.handle().message(room, line.id).await.unwrap();
        assert!(shown.body.starts_with("apart") && shown.key == line.key && shown.author_name == line.author_name);
        let (apart, hour) = (b.began - b.since, u64::try_from(long(HOUR).as_millis()).unwrap());
        assert!((hour - 10_000..hour + 60_000).contains(&apart), "{apart}");
        // What was told is kept.
        assert_eq!(n.handle().briefings().await.unwrap().last(), Some(b));
    }
    // Nothing more comes of it.
    tokio::time::sleep(long(HOUR)).await;
    told_to.iter_mut().for_each(|t| assert!(told(t).is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_was_off_for_hours_hears_what_it_missed_and_the_others_what_it_wrote() {
    let lan = Switch::new(42);
    let mut nodes = start(&lan, 1..=4).await;
    let away = nodes.remove(3);
    let id = away.id;
    // Cut off first, so that it writes something alone, then off for hours.
    lan.unplug(away.at.addr);
    until(SOON, "it is gone", async || nodes[0].online().await == 2).await;
    away.say("on the train").await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let away = away.crash(&lan);
    for n in &nodes {
        n.say("while you were away").await;
    }
    tokio::time::sleep(long(HOUR * 2)).await;
    let mut others: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
    let back = away.start_again(&lan, Known::this_build()).await;
    let mut mine = back.handle().subscribe();
    lan.plug(back.at.addr);
    until(SOON * 3, "it has caught up", async || back.bodies().await.len() == 8).await;
    tokio::time::sleep(SETTLED).await;
    let all = told(&mut mine);
    assert_eq!(all.len(), 1);
    let b = all[&1].last().unwrap();
    assert_eq!((b.cause, b.is_final), (Cause::OwnAbsence, true));
    assert_eq!(ids(b, false).len(), 1, "all others are one side");
    assert_eq!(theirs(b), nodes.iter().map(|n| (n.id, 1)).collect());
    for events in &mut others {
        let all = told(events);
        assert_eq!(all.len(), 1);
        let b = all[&1].last().unwrap();
        assert_eq!((b.cause, ids(b, false)), (Cause::Absence, vec![vec![id]]));
        assert_eq!(theirs(b), BTreeMap::from([(id, 1)]));
        assert_eq!(b.sides[0].messages, 3, "what was written here meanwhile");
    }
}

#[tokio::test(start_paused = true)]
async fn two_laptops_that_return_one_after_the_other_are_two_briefings() {
    let lan = Switch::new(43);
    let nodes = start(&lan, 1..=4).await;
    for n in &nodes[2..] {
        lan.unplug(n.at.addr);
    }
    until(SOON, "both are gone", async || nodes[0].online().await == 1).await;
    for n in &nodes[2..] {
        n.say("alone").await;
    }
    tokio::time::sleep(long(HOUR)).await;
    let mut events = nodes[0].handle().subscribe();
    lan.plug(nodes[2].at.addr);
    tokio::time::sleep(SETTLED).await;
    let first = told(&mut events);
    let b = first[&1].last().unwrap();
    assert_eq!((first.len(), ids(b, false)), (1, vec![vec![nodes[2].id]]));
    assert_eq!(b.not_back.iter().map(|a| a.id).collect::<Vec<_>>(), [nodes[3].id], "one is still away");
    lan.plug(nodes[3].at.addr);
    tokio::time::sleep(SETTLED).await;
    let second = told(&mut events);
    let b = second[&2].last().unwrap();
    assert_eq!((second.len(), ids(b, false)), (1, vec![vec![nodes[3].id]]));
    assert!(b.is_final && b.not_back.is_empty());
    assert_eq!(theirs(b), BTreeMap::from([(nodes[3].id, 1)]), "the first one is counted in its own");
}

#[tokio::test(start_paused = true)]
async fn a_flap_of_a_few_seconds_gives_none() {
    let lan = Switch::new(44);
    let nodes = start(&lan, 1..=3).await;
    let mut events: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
    for _ in 0..5 {
        lan.unplug(nodes[2].at.addr);
        tokio::time::sleep(Duration::from_secs(12)).await;
        nodes[0].say("during the flap").await;
        nodes[2].say("during the flap, alone").await;
        lan.plug(nodes[2].at.addr);
        until(SOON * 2, "it is back", async || nodes[0].online().await == 2).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    all_equal(&nodes, 3 + 10, SOON * 6).await;
    tokio::time::sleep(SETTLED).await;
    for (n, e) in nodes.iter().zip(&mut events) {
        assert!(told(e).is_empty());
        assert!(n.handle().briefings().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_apart_or_while_it_grows_loses_and_doubles_none() {
    let lan = Switch::new(45);
    let mut nodes = start(&lan, 1..=4).await;
    let addrs: Vec<_> = nodes.iter().map(|n| n.at.addr).collect();
    lan.partition(&[&addrs[..2], &addrs[2..]]);
    tokio::time::sleep(long(HOUR / 2)).await;
    // One crashes and starts again in the middle of the hour: its own side has not been away.
    let first = nodes.remove(0);
    nodes.insert(0, first.crash_and_restart(&lan).await);
    lan.partition(&[&addrs[..2], &addrs[2..]]);
    tokio::time::sleep(long(HOUR / 4)).await;
    for n in &nodes {
        n.say("apart").await;
    }
    tokio::time::sleep(long(HOUR / 4)).await;
    assert!(nodes[0].handle().briefings().await.unwrap().is_empty(), "a restart is no absence");
    lan.heal();
    // It crashes again once the first word of the reunion is out.
    until(SOON * 2, "it is told", async || !nodes[0].handle().briefings().await.unwrap().is_empty()).await;
    let first = nodes.remove(0);
    nodes.insert(0, first.crash_and_restart(&lan).await);
    all_equal(&nodes, 8, SOON * 3).await;
    tokio::time::sleep(SETTLED).await;
    for n in &nodes {
        let kept = n.handle().briefings().await.unwrap();
        assert_eq!(kept.len(), 1, "one reunion");
        assert!(kept[0].is_final);
        assert_eq!(theirs(&kept[0]).values().sum::<u64>(), 2, "what the other two wrote");
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_dies_takes_no_briefing_along_and_one_that_was_closed_stays_closed() {
    let lan = Switch::new(46);
    let nodes = start(&lan, 1..=2).await;
    lan.unplug(nodes[1].at.addr);
    tokio::time::sleep(long(HOUR)).await;
    nodes[1].say("alone").await;
    lan.plug(nodes[1].at.addr);
    until(SOON * 2, "it is told", async || nodes[0].handle().briefings().await.is_ok_and(|b| !b.is_empty())).await;
    for actor in ["documents", "presence", "sessions"] {
        nodes[0].handle().kill(actor).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    tokio::time::sleep(SETTLED).await;
    let kept = nodes[0].handle().briefings().await.unwrap();
    assert_eq!((kept.len(), kept[0].is_final, kept[0].seen), (1, true, false));
    nodes[0].handle().briefing_seen(1).await.unwrap();
    assert_eq!(nodes[0].handle().briefing_seen(2).await.unwrap_err().code, "no_such_briefing");
    assert!(nodes[0].handle().briefings().await.unwrap()[0].seen);
}

/// What was written on one's own side is counted in slices; the briefing is final with all of it.
#[tokio::test(start_paused = true)]
#[ignore = "ten seconds; `.ci/run` takes it"]
async fn thousands_of_messages_of_ones_own_side_are_all_counted_before_it_is_final() {
    let lan = Switch::new(49);
    let nodes = start(&lan, 1..=3).await;
    let addrs: Vec<_> = nodes.iter().map(|n| n.at.addr).collect();
    lan.partition(&[&addrs[..2], &addrs[2..]]);
    tokio::time::sleep(HOUR / 4).await;
    let room = nodes[0].everyone().await;
    for (who, n) in [(0, 2_300), (1, 1_200), (2, 3)] {
        for k in 0..n {
            nodes[who].handle().say(room, &format!("apart {who} {k}"), None).await.unwrap();
        }
    }
    tokio::time::sleep(HOUR / 4).await;
    let mut events = nodes[0].handle().subscribe();
    lan.heal();
    tokio::time::sleep(SETTLED).await;
    let all = told(&mut events);
    let b = all[&1].last().unwrap();
    assert!(b.is_final && b.missing.is_empty(), "{b:?}");
    let here = b.sides.iter().find(|s| s.here).unwrap();
    let counted: BTreeMap<DeviceId, u64> =
        here.conversations.iter().flat_map(|w| &w.authors).map(|a| (a.id, a.messages)).collect();
    assert_eq!(counted, BTreeMap::from([(nodes[0].id, 2_300), (nodes[1].id, 1_200)]));
    assert_eq!(theirs(b), BTreeMap::from([(nodes[2].id, 3)]));
}
