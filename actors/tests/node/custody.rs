//! Who holds what up to where, told without asking those who are away; and entries that come below a floor.

use std::time::Duration;

use cairn_actors::api::{Custody, Holder, PeerState};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::DocumentId;

use crate::world::{Clock, Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(20);

fn of(c: &Custody, n: &Sim) -> Holder {
    c.devices.iter().find(|h| h.id == n.id).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn who_holds_a_room_is_known_of_those_away_and_after_a_start() {
    let lan = Switch::new(101);
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(Sim::start(&lan, seed).await);
    }
    all_online(&nodes, 2).await;
    nodes[1].say("settle").await;
    nodes[2].say("both").await;
    all_equal(&nodes, 2, SOON).await;
    let room = nodes[0].everyone().await;
    let told = async |n: &Sim| n.handle().custody(room, None).await.unwrap();
    until(SOON, "all hold all", async || told(&nodes[0]).await.holders == 3).await;
    // Long enough for each to have stated it.
    tokio::time::sleep(SOON).await;
    let gone_at = nodes[0].messages(room).await.last().unwrap().sent;
    lan.unplug(nodes[2].at.addr);
    until(LATER, "one is gone", async || nodes[0].online().await == 1 && nodes[1].online().await == 1).await;
    for i in 0..30 {
        nodes[i % 2].say("more").await;
    }
    let first = nodes[0].messages(room).await[2].sent;
    until(SOON, "two of three", async || {
        let c = told(&nodes[0]).await;
        (c.entries, c.holders, c.members) == (32, 2, 3)
    })
    .await;
    let c = told(&nodes[0]).await;
    let away = of(&c, &nodes[2]);
    assert_eq!((away.holds, away.complete, away.up_to, away.state), (2, false, Some(first), PeerState::Offline));
    assert!(away.last_seen.unwrap() >= gone_at && away.last_seen.unwrap() < first + 30_000);
    assert!(c.devices[0].me && of(&c, &nodes[1]).complete);
    // A part of it is asked for alone, and lists the same devices.
    let chat: Vec<_> = c.documents.iter().filter(|d| d.kind == "chat").collect();
    assert_eq!((chat.len(), chat[0].entries, chat[0].holders, chat[0].members), (1, 32, 2, 3));
    let one = nodes[0].handle().custody(room, Some(chat[0].id)).await.unwrap();
    assert_eq!((one.entries, one.holders, one.devices), (32, 2, c.devices.clone()));
    let none = nodes[0].handle().custody(room, Some(DocumentId::chat(1, 1))).await.unwrap();
    assert_eq!((none.entries, none.documents.len()), (0, 0));
    // What is known is kept: told again after a crash, with nobody there to ask.
    tokio::time::sleep(Duration::from_secs(60)).await;
    lan.unplug(nodes[1].at.addr);
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    let after = told(&node).await;
    assert_eq!((after.entries, after.holders, after.members), (32, 2, 3));
    let was = |h: &Holder| (h.holds, h.complete, h.up_to);
    assert_eq!(was(&of(&after, &nodes[1])), was(&away));
    assert_eq!(was(&of(&after, &nodes[0])), (32, true, None));
    // The one that was away is ahead with what it wrote alone, once another has told of it.
    nodes[1].say("alone").await;
    lan.plug(nodes[1].at.addr);
    until(LATER, "all hold all again", async || {
        let c = told(&node).await;
        of(&c, &nodes[1]).complete && c.entries == 33
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_restored_device_writes_below_its_floor_is_marked_late_at_both_and_moves_nothing_final() {
    let lan = Switch::new(102);
    // A third has a vote in what time it is.
    let third = Sim::start(&lan, 3).await;
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 2).await;
    third.say("settle").await;
    tokio::time::sleep(SOON).await;
    let peers = nodes[0].handle().peers().await.unwrap();
    let chat = peers.iter().find(|p| p.id == nodes[1].id).unwrap().conversation;
    nodes[0].handle().say(chat, "one", None).await.unwrap();
    let is_final = async |n: &Sim, count: usize| {
        until(LATER, "final", async || {
            let all = n.messages(chat).await;
            all.len() == count && all.iter().all(|m| m.is_final == Some(true))
        })
        .await;
    };
    is_final(&nodes[0], 1).await;
    let backup = nodes[0].store.crash();
    tokio::time::sleep(Duration::from_secs(60)).await;
    nodes[0].handle().say(chat, "two", None).await.unwrap();
    nodes[1].handle().say(chat, "three", None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in &nodes {
        is_final(n, 3).await;
    }
    // The backup comes back on the same machine, an hour behind, and writes before it meets anybody.
    let [a, b] = nodes;
    lan.kill(a.at.addr);
    lan.unplug(b.at.addr);
    lan.unplug(third.at.addr);
    let at = a.at.clone();
    drop(a);
    let behind = Clock { off: -3_600_000, ppm: 0 };
    let a = Sim::start_on(&lan, 1, behind, backup, Some(at)).await;
    a.handle().say(chat, "from the backup", None).await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(a.messages(chat).await.iter().all(|m| !m.late), "it knows no better yet");
    lan.plug(b.at.addr);
    lan.plug(third.at.addr);
    let nodes = [a, b];
    all_online(&nodes, 2).await;
    for n in &nodes {
        until(LATER, "all is here", async || n.messages(chat).await.len() == 4).await;
    }
    tokio::time::sleep(SOON).await;
    nodes[0].handle().say(chat, "and now", None).await.unwrap();
    for n in &nodes {
        is_final(n, 5).await;
        let all = n.messages(chat).await;
        let shown: Vec<_> = all.iter().map(|m| (m.body.as_str(), m.late)).collect();
        let at = |b: &str| shown.iter().position(|(body, _)| *body == b).unwrap();
        // Two and three were said at one moment.
        assert!(at("one") < at("two").min(at("three")) && at("two").max(at("three")) < at("and now"), "{shown:?}");
        assert!(at("from the backup") < at("three").min(at("two")), "in its place: {shown:?}");
        assert!(shown.iter().all(|(body, late)| *late == (*body == "from the backup")), "{shown:?}");
    }
    let [a, b] = nodes;
    drop(a);
    let b = b.crash_and_restart(&lan).await;
    assert!(b.messages(chat).await.iter().any(|m| m.late), "the mark is kept");
}
