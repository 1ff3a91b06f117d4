//! Nodes that meet, talk, part and meet again.

use std::time::Duration;

use cairn_actors::api::{DeliveryState, NetworkState};
use cairn_actors::link::memory::Switch;

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn two_fresh_nodes_meet_talk_and_know_what_arrived() {
    let lan = Switch::new(1);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("hello").await;
    nodes[1].say("good morning").await;
    all_equal(&nodes, 2, SOON).await;
    let everyone = nodes[0].everyone().await;
    assert_eq!(everyone, nodes[1].everyone().await, "one network");
    until(SOON, "delivered to 1 of 1", async || {
        let m = nodes[0].messages(everyone).await;
        m.iter()
            .filter(|m| m.mine)
            .all(|m| m.state == DeliveryState::Delivered && (m.delivered_to, m.members) == (1, 1))
    })
    .await;
    let peers = nodes[0].handle().peers().await.unwrap();
    assert_eq!((peers.len(), peers[0].name.as_str()), (1, "node 2"));
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_write_on_both_sides_of_a_partition_and_are_equal_after_healing() {
    let lan = Switch::new(2);
    let mut nodes = Vec::new();
    for i in 1..=10 {
        nodes.push(Sim::start(&lan, i).await);
    }
    all_online(&nodes, 9).await;
    for (i, n) in nodes.iter().enumerate() {
        n.say(&format!("before {i}")).await;
    }
    all_equal(&nodes, 10, SOON).await;
    let addrs: Vec<_> = nodes.iter().map(|n| n.at.addr).collect();
    lan.partition(&[&addrs[..5], &addrs[5..]]);
    let noticed = until(Duration::from_secs(10), "the other side is offline", async || {
        let mut all = true;
        for n in &nodes {
            all &= n.online().await == 4;
        }
        all
    })
    .await;
    assert!(noticed <= Duration::from_secs(6), "{noticed:?}");
    for round in 0..20 {
        for (i, n) in nodes.iter().enumerate() {
            n.say(&format!("apart {round} {i}")).await;
        }
    }
    lan.heal();
    let healed = until(Duration::from_secs(20), "healing is noticed", async || nodes[0].online().await == 9).await;
    assert!(healed <= Duration::from_secs(5), "{healed:?}");
    let merged = all_equal(&nodes, 210, Duration::from_secs(10)).await;
    assert!(merged <= Duration::from_secs(5), "{merged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_goes_to_two_and_nobody_else() {
    let lan = Switch::new(3);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let peers = nodes[0].handle().peers().await.unwrap();
    let direct = peers.iter().find(|p| p.id == nodes[1].id).unwrap().conversation;
    nodes[0].handle().say(direct, "for your eyes", None).await.unwrap();
    until(SOON, "it arrives", async || nodes[1].messages(direct).await.len() == 1).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(nodes[2].handle().page(direct, cairn_actors::api::PageAt::Newest, 10).await.is_err());
    use cairn_actors::store::Store;
    assert!(!nodes[2].store.spaces().unwrap().contains(&direct), "its store holds nothing of it");
    let list = nodes[1].handle().conversations().await.unwrap();
    let line = list.iter().find(|c| c.id == direct).unwrap();
    assert_eq!((line.title.as_str(), line.unread), ("node 1", 1));
}

#[tokio::test(start_paused = true)]
async fn two_networks_that_talked_apart_ask_each_and_after_six_yeses_hold_both_rooms() {
    let lan = Switch::new(4);
    let mut nodes = Vec::new();
    for i in 1..=6 {
        nodes.push(Sim::start(&lan, i).await);
        if i == 3 {
            // The first three settle their network before the others are even switched on.
            all_online(&nodes, 2).await;
            for n in &nodes {
                n.say("west").await;
            }
            all_equal(&nodes, 3, SOON).await;
            for n in &nodes {
                lan.unplug(n.at.addr);
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
    all_online(&nodes[3..], 2).await;
    for n in &nodes[3..] {
        n.say("east").await;
    }
    all_equal(&nodes[3..], 3, SOON).await;
    for n in &nodes[..3] {
        lan.plug(n.at.addr);
    }
    all_online(&nodes, 5).await;
    for n in &nodes {
        assert_eq!(n.bodies().await.len(), 3, "nothing crosses before somebody says yes");
        let asked = n.handle().networks().await.unwrap();
        let ask = asked.iter().find(|n| n.state == NetworkState::Asking).expect("each device asks");
        n.handle().join_network(ask.id).await.unwrap();
    }
    until(SOON, "both rooms everywhere", async || {
        for n in &nodes {
            let rooms = n.handle().conversations().await.unwrap();
            if rooms.len() != 2 {
                return false;
            }
            for r in rooms {
                let m = n.messages(r.id).await;
                if m.len() != 3 || !(m.iter().all(|m| m.body == "west") || m.iter().all(|m| m.body == "east")) {
                    return false;
                }
            }
        }
        true
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_alone_goes_over_when_networks_fold() {
    let lan = Switch::new(5);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    lan.partition(&[&[nodes[0].at.addr], &[nodes[1].at.addr]]);
    for n in &nodes {
        n.say(&format!("alone {}", n.id.short())).await;
    }
    lan.heal();
    all_equal(&nodes, 2, Duration::from_secs(30)).await;
    assert_eq!(nodes[0].handle().networks().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_brings_what_another_wrote_to_one_who_was_away() {
    let lan = Switch::new(6);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    nodes[2].say("settle").await;
    all_equal(&nodes, 1, SOON).await;
    lan.unplug(nodes[2].at.addr);
    until(SOON, "three is gone", async || nodes[0].online().await == 1).await;
    nodes[0].say("while you were away").await;
    all_equal(&nodes[..2], 2, SOON).await;
    lan.unplug(nodes[0].at.addr);
    lan.plug(nodes[2].at.addr);
    all_equal(&nodes[1..], 2, Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn who_links_two_others_passes_entries_on_at_once_both_ways() {
    let lan = Switch::new(17);
    lan.set_latency(Duration::from_millis(2), Duration::from_millis(3));
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(Sim::start(&lan, seed).await);
    }
    all_online(&nodes, 2).await;
    nodes[1].say("settle").await;
    all_equal(&nodes, 1, Duration::from_secs(5)).await;
    lan.cut(nodes[0].at.addr, nodes[2].at.addr);
    until(Duration::from_secs(20), "the ends don't see each other", async || {
        nodes[0].online().await == 1 && nodes[2].online().await == 1 && nodes[1].online().await == 2
    })
    .await;
    // Long before the next comparison, which comes every 30 s, whenever it happens to be due.
    for round in 0..24 {
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        let from = if round % 2 == 0 { 0 } else { 2 };
        nodes[from].say(&format!("round {round}")).await;
        let took = all_equal(&nodes, 2 + round, Duration::from_millis(200)).await;
        assert!(took < Duration::from_millis(200), "{took:?}");
    }
}
