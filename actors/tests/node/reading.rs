//! How far people have read, and who carries what for whom, as others are told.

use std::time::Duration;

use cairn_actors::api::{DeliveryState, Message};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::SpaceId;

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(20);

async fn find(n: &Sim, space: SpaceId, body: &str) -> Message {
    n.messages(space).await.into_iter().find(|m| m.body == body).unwrap()
}

/// The person looks at the newest message.
async fn look(n: &Sim, space: SpaceId) {
    let newest = n.messages(space).await.last().unwrap().key;
    n.handle().mark_read(space, newest).await.unwrap();
}

async fn state_at(n: &Sim, space: SpaceId, body: &str, who: &Sim) -> DeliveryState {
    let id = find(n, space, body).await.id;
    let receipts = n.handle().receipts(space, id).await.unwrap();
    receipts.into_iter().find(|r| r.id == who.id).unwrap().state
}

async fn gone(n: &Sim, here: u32) {
    until(LATER, "it is seen to be gone", async || n.online().await == here).await;
}

#[tokio::test(start_paused = true)]
async fn the_author_hears_through_others_who_read_and_what_was_read_stays_read() {
    let lan = Switch::new(91);
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(Sim::start(&lan, seed).await);
    }
    all_online(&nodes, 2).await;
    nodes[1].say("settle").await;
    nodes[0].say("read this").await;
    all_equal(&nodes, 2, SOON).await;
    let room = nodes[0].everyone().await;
    tokio::time::sleep(SOON).await;
    let m = find(&nodes[0], room, "read this").await;
    assert_eq!((m.state, m.delivered_to, m.read_by, m.carried_by), (DeliveryState::Delivered, 2, 0, 0));
    // The third reads while the author is away, and is away itself when the author is back.
    lan.unplug(nodes[0].at.addr);
    gone(&nodes[2], 1).await;
    look(&nodes[2], room).await;
    tokio::time::sleep(SOON).await;
    lan.unplug(nodes[2].at.addr);
    gone(&nodes[1], 0).await;
    lan.plug(nodes[0].at.addr);
    until(LATER, "read by one of two", async || {
        let m = find(&nodes[0], room, "read this").await;
        (m.state, m.delivered_to, m.members, m.read_by) == (DeliveryState::Read, 2, 2, 1)
    })
    .await;
    assert_eq!(state_at(&nodes[0], room, "read this", &nodes[2]).await, DeliveryState::Read);
    assert_eq!(state_at(&nodes[0], room, "read this", &nodes[1]).await, DeliveryState::Delivered);
    tokio::time::sleep(SOON).await;
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    assert_eq!(find(&node, room, "read this").await.read_by, 1, "known after a crash, before anybody tells");
    nodes.insert(0, node);
    // Those who switched it off tell nothing.
    nodes[1].handle().set_read_receipts(false).await.unwrap();
    until(LATER, "together", async || nodes[0].online().await == 1 && nodes[1].online().await == 1).await;
    look(&nodes[1], room).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(find(&nodes[0], room, "read this").await.read_by, 1);
    nodes[1].handle().set_read_receipts(true).await.unwrap();
    until(SOON, "read by both", async || find(&nodes[0], room, "read this").await.read_by == 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_below_the_read_mark_is_not_called_read_before_the_person_reads_on() {
    let lan = Switch::new(92);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[1].say("settle").await;
    nodes[0].say("before").await;
    all_equal(&nodes, 2, SOON).await;
    let room = nodes[0].everyone().await;
    look(&nodes[1], room).await;
    until(SOON, "read", async || find(&nodes[0], room, "before").await.read_by == 1).await;
    lan.unplug(nodes[0].at.addr);
    gone(&nodes[1], 0).await;
    nodes[0].say("from afar").await;
    tokio::time::sleep(SOON).await;
    // Here people write and read on, past where that will stand.
    nodes[1].say("meanwhile").await;
    look(&nodes[1], room).await;
    tokio::time::sleep(SOON).await;
    lan.plug(nodes[0].at.addr);
    all_equal(&nodes, 4, LATER).await;
    assert_eq!(nodes[1].bodies().await[2..], ["from afar", "meanwhile"]);
    tokio::time::sleep(SOON).await;
    let afar = find(&nodes[0], room, "from afar").await;
    assert_eq!((afar.state, afar.delivered_to, afar.read_by), (DeliveryState::Delivered, 1, 0), "nobody saw it");
    assert_eq!(find(&nodes[0], room, "before").await.read_by, 1, "and what was read stays read");
    let node = nodes.remove(1).crash_and_restart(&lan).await;
    nodes.push(node);
    all_online(&nodes, 1).await;
    nodes[0].say("and now").await;
    all_equal(&nodes, 5, SOON).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(find(&nodes[0], room, "from afar").await.read_by, 0, "nor after a start");
    look(&nodes[1], room).await;
    until(SOON, "read on", async || {
        find(&nodes[0], room, "from afar").await.read_by == 1 && find(&nodes[0], room, "and now").await.read_by == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_room_message_is_carried_for_those_away_and_a_direct_one_by_nobody() {
    let lan = Switch::new(93);
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(Sim::start(&lan, seed).await);
    }
    all_online(&nodes, 2).await;
    nodes[1].say("settle").await;
    all_equal(&nodes, 1, SOON).await;
    let room = nodes[0].everyone().await;
    let peers = nodes[0].handle().peers().await.unwrap();
    let direct = peers.iter().find(|p| p.id == nodes[2].id).unwrap().conversation;
    lan.unplug(nodes[2].at.addr);
    gone(&nodes[0], 1).await;
    nodes[0].say("for all").await;
    nodes[0].handle().say(direct, "for you", None).await.unwrap();
    until(SOON, "one has it", async || find(&nodes[0], room, "for all").await.delivered_to == 1).await;
    let m = find(&nodes[0], room, "for all").await;
    assert_eq!((m.state, m.members, m.carried_by), (DeliveryState::Delivered, 2, 1));
    assert_eq!(state_at(&nodes[0], room, "for all", &nodes[2]).await, DeliveryState::Carried);
    let d = find(&nodes[0], direct, "for you").await;
    assert_eq!((d.state, d.carried_by), (DeliveryState::Queued, 0), "it is on no other device");
    assert_eq!(state_at(&nodes[0], direct, "for you", &nodes[2]).await, DeliveryState::Queued);
    // The author is away when the carrier passes it on.
    lan.unplug(nodes[0].at.addr);
    gone(&nodes[1], 0).await;
    lan.plug(nodes[2].at.addr);
    all_equal(&nodes[1..], 2, LATER).await;
    assert_eq!(find(&nodes[2], room, "for all").await.state, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_bulk_below_the_read_mark_is_not_called_read_either() {
    const MANY: usize = 600;
    let lan = Switch::new(94);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[1].say("settle").await;
    all_equal(&nodes, 1, SOON).await;
    let room = nodes[0].everyone().await;
    lan.unplug(nodes[0].at.addr);
    gone(&nodes[1], 0).await;
    for n in 0..MANY {
        nodes[0].say(&format!("from afar {n}")).await;
    }
    tokio::time::sleep(SOON).await;
    nodes[1].say("meanwhile").await;
    look(&nodes[1], room).await;
    tokio::time::sleep(SOON).await;
    lan.plug(nodes[0].at.addr);
    all_equal(&nodes, MANY + 2, LATER).await;
    tokio::time::sleep(SOON).await;
    for n in [0, 300, MANY - 1] {
        let afar = find(&nodes[0], room, &format!("from afar {n}")).await;
        assert_eq!((afar.delivered_to, afar.read_by), (1, 0), "nobody saw message {n}");
    }
    nodes[0].say("and now").await;
    all_equal(&nodes, MANY + 3, SOON).await;
    look(&nodes[1], room).await;
    let last = format!("from afar {}", MANY - 1);
    until(SOON, "read on", async || find(&nodes[0], room, &last).await.read_by == 1).await;
}
