//! What nodes say of themselves: delivery learnt through others, and messages that nothing can precede any more.

use std::time::Duration;

use cairn_actors::api::{DeliveryState, Message};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::SpaceId;

use crate::world::{Clock, EPOCH_MS, Sim, all_equal, all_online, long, until};

const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn the_author_learns_what_one_holds_whom_it_never_met() {
    let lan = Switch::new(81);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[1].say("settle").await;
    nodes[0].say("for everybody").await;
    all_equal(&nodes, 2, SOON).await;
    lan.unplug(nodes[0].at.addr);
    until(LATER, "the author is gone", async || nodes[1].online().await == 0).await;
    nodes.push(Sim::start(&lan, 3).await);
    all_equal(&nodes[1..], 2, LATER).await;
    tokio::time::sleep(SOON).await;
    lan.unplug(nodes[2].at.addr);
    until(LATER, "the third is gone", async || nodes[1].online().await == 0).await;
    let everyone = nodes[0].everyone().await;
    let own = async |n: &Sim| n.messages(everyone).await.into_iter().find(|m| m.body == "for everybody").unwrap();
    let before = own(&nodes[0]).await;
    assert_eq!((before.delivered_to, before.members), (1, 1));
    lan.plug(nodes[0].at.addr);
    until(LATER, "delivered to 2 of 2", async || {
        let m = own(&nodes[0]).await;
        (m.delivered_to, m.members, m.state) == (2, 2, DeliveryState::Delivered)
    })
    .await;
    let receipts = nodes[0].handle().receipts(everyone, before.id).await.unwrap();
    assert!(receipts.iter().any(|r| r.id == nodes[2].id && r.state == DeliveryState::Delivered));
    assert_eq!(own(&nodes[0]).await.is_final, None, "in a room nothing is ever final");
    // It is known still after a crash.
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    until(LATER, "known after a crash", async || own(&node).await.delivered_to == 2).await;
}

async fn direct(nodes: &[Sim]) -> SpaceId {
    let peers = nodes[0].handle().peers().await.unwrap();
    peers.iter().find(|p| p.id == nodes[1].id).unwrap().conversation
}

fn all_final(messages: &[Message]) -> bool {
    messages.iter().all(|m| m.is_final == Some(true) && m.final_waits_for.is_empty())
}

#[tokio::test(start_paused = true)]
async fn a_direct_message_is_final_once_both_have_said_so_and_names_whom_it_waits_for() {
    let lan = Switch::new(82);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let chat = direct(&nodes).await;
    nodes[0].handle().say(chat, "one", None).await.unwrap();
    nodes[1].handle().say(chat, "two", None).await.unwrap();
    for n in &nodes {
        until(SOON, "final at both", async || {
            let all = n.messages(chat).await;
            all.len() == 2 && all_final(&all)
        })
        .await;
    }
    // Each has heard the other's clock as that of one who has a vote: time goes on being agreed while they are apart.
    tokio::time::sleep(SOON).await;
    lan.unplug(nodes[1].at.addr);
    until(LATER, "apart", async || nodes[0].online().await == 0).await;
    nodes[0].handle().say(chat, "three", None).await.unwrap();
    tokio::time::sleep(SOON).await;
    let all = nodes[0].messages(chat).await;
    assert!(all_final(&all[..2]), "what was final stays so");
    assert_eq!((all[2].is_final, all[2].final_waits_for.as_slice()), (Some(false), &["node 2".to_owned()][..]));
    nodes[1].handle().say(chat, "meanwhile", None).await.unwrap();
    let before: Vec<_> = all[..2].iter().map(|m| m.id).collect();
    lan.plug(nodes[1].at.addr);
    for n in &nodes {
        until(LATER, "final again", async || {
            let all = n.messages(chat).await;
            all.len() == 4 && all_final(&all)
        })
        .await;
        assert_eq!(n.messages(chat).await[..2].iter().map(|m| m.id).collect::<Vec<_>>(), before);
    }
    // Kept: a start later nothing that was final is open again.
    let [a, b] = nodes;
    let b = b.crash_and_restart(&lan).await;
    assert!(all_final(&b.messages(chat).await));
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn what_is_final_never_moves_though_clocks_are_wrong_and_drift() {
    let lan = Switch::new(83);
    let hour = 3_600_000;
    let nodes = [
        Sim::start_with(&lan, 1, Clock { off: 5 * hour, ppm: 300 }).await,
        Sim::start_with(&lan, 2, Clock { off: -90_000, ppm: -200 }).await,
    ];
    all_online(&nodes, 1).await;
    // What is stamped before the two agree on a time is final only when that time has come.
    tokio::time::sleep(SOON).await;
    let chat = direct(&nodes).await;
    let mut settled: [Vec<Message>; 2] = [Vec::new(), Vec::new()];
    for round in 0..12 {
        let apart = round % 3 == 1;
        if apart {
            lan.unplug(nodes[1].at.addr);
            tokio::time::sleep(SOON).await;
        }
        for (i, n) in nodes.iter().enumerate() {
            n.handle().say(chat, &format!("{round} {i}"), None).await.unwrap();
        }
        lan.plug(nodes[1].at.addr);
        for (n, known) in nodes.iter().zip(&mut settled) {
            until(Duration::from_secs(60), "final", async || {
                let all = n.messages(chat).await;
                all.len() == 2 * (round + 1) && all_final(&all)
            })
            .await;
            let all = n.messages(chat).await;
            let keys = |m: &[Message]| m.iter().map(|m| (m.key, m.id)).collect::<Vec<_>>();
            assert_eq!(keys(&all[..known.len()]), keys(known), "what was final stands where it stood");
            *known = all;
        }
        tokio::time::sleep(long(Duration::from_secs(300))).await;
    }
    assert_eq!(
        settled[0].iter().map(|m| m.id).collect::<Vec<_>>(),
        settled[1].iter().map(|m| m.id).collect::<Vec<_>>()
    );
}

/// Says something on both sides in turn, and holds what was final against what is: nothing lost, hidden or moved.
struct Watch {
    chat: SpaceId,
    known: [Vec<Message>; 2],
}

impl Watch {
    async fn look(&mut self, nodes: &[Sim; 2]) {
        for (n, known) in nodes.iter().zip(&mut self.known) {
            let now: Vec<_> = n.messages(self.chat).await.into_iter().filter(|m| m.is_final == Some(true)).collect();
            let keys = |m: &[Message]| m.iter().map(|m| (m.key, m.body.clone())).collect::<Vec<_>>();
            assert!(now.len() >= known.len(), "nothing final is lost or hidden");
            assert_eq!(keys(&now[..known.len()]), keys(known), "and nothing comes before it");
            *known = now;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_years_off_never_loses_hides_or_moves_what_is_final_nor_what_is_said_later() {
    for (seed, wrong) in [(84, 9 * 366 * 86_400_000), (85, 9_000 - EPOCH_MS as i64), (86, -40 * 86_400_000)] {
        let lan = Switch::new(seed);
        lan.set_latency(Duration::from_millis(2), Duration::from_millis(15));
        let third = Sim::start(&lan, 3).await;
        let wrong = Clock { off: wrong, ppm: 400 };
        let mut nodes =
            [Sim::start_with(&lan, 1, Clock { off: 0, ppm: -100 }).await, Sim::start_with(&lan, 2, wrong).await];
        until(LATER, "all here", async || third.online().await == 2 && nodes[0].online().await == 2).await;
        third.say("settle").await;
        tokio::time::sleep(SOON).await;
        let chat = direct(&nodes).await;
        let mut watch = Watch { chat, known: Default::default() };
        for round in 0..3 {
            for (i, n) in nodes.iter().enumerate() {
                n.handle().say(chat, &format!("{round} {i}"), None).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let said = 3 * round + 2;
            for n in &nodes {
                until(LATER, "final", async || {
                    let all = n.messages(chat).await;
                    all.iter().filter(|m| m.is_final == Some(true) && !m.late).count() == said
                })
                .await;
            }
            watch.look(&nodes).await;
            // The wrong one starts anew, alone: nobody tells it the time. What it promises then must not bind it.
            lan.unplug(nodes[1].at.addr);
            let [right, off] = nodes;
            nodes = [right, off.crash_and_restart(&lan).await];
            tokio::time::sleep(Duration::from_secs(60)).await;
            nodes[0].handle().say(chat, &format!("{round} alone"), None).await.unwrap();
            watch.look(&nodes).await;
            lan.plug(nodes[1].at.addr);
            until(Duration::from_secs(60), "together", async || nodes[1].online().await == 2).await;
            tokio::time::sleep(SOON).await;
            watch.look(&nodes).await;
        }
        let bodies = |m: &[Message]| m.iter().map(|m| m.body.clone()).collect::<Vec<_>>();
        let all = bodies(&nodes[0].messages(chat).await);
        assert_eq!(all, bodies(&nodes[1].messages(chat).await));
        let said: Vec<_> = (0..3).flat_map(|r| [format!("{r} 0"), format!("{r} 1"), format!("{r} alone")]).collect();
        assert_eq!(all, said, "in the order in which it was said");
    }
}
