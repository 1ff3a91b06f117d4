//! Who is shown as here, what people call each other, and who is in a room.

use std::collections::BTreeSet;
use std::time::Duration;

use cairn_actors::api::{Event, PeerState};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::DeviceId;

use crate::world::{Sim, all_online};

#[tokio::test(start_paused = true)]
async fn two_links_between_two_nodes_show_nobody_offline() {
    for seed in 0..10 {
        let lan = Switch::new(300 + seed);
        // As uneven as handshakes on a busy laptop: both dial before either hears of the other's dial.
        lan.set_latency(Duration::from_millis(2), Duration::from_millis(6));
        let mut nodes = Vec::new();
        for i in 1..=4 {
            nodes.push(Sim::start(&lan, i).await);
            lan.unplug(nodes.last().unwrap().at.addr);
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut events: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
        // All cables come back at once: everybody calls and everybody dials.
        nodes.iter().for_each(|n| lan.plug(n.at.addr));
        all_online(&nodes, 3).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let heard: usize = events.iter_mut().map(|e| none_goes(e, BTreeSet::new(), seed)).sum();
        assert!(heard >= 12, "each hears of each other: {heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_cable_was_out_all_are_back_at_once_and_stay() {
    // From too short to notice to longer than any timeout; between them only one end holds the old link still.
    for quarters in (4..72).step_by(4) {
        let lan = Switch::new(400 + quarters);
        lan.set_latency(Duration::from_millis(1), Duration::from_millis(5));
        let mut nodes = Vec::new();
        for i in 1..=3 {
            nodes.push(Sim::start(&lan, i).await);
        }
        all_online(&nodes, 2).await;
        tokio::time::sleep(Duration::from_millis(5_000 + 37 * quarters)).await;
        lan.unplug(nodes[0].at.addr);
        tokio::time::sleep(Duration::from_millis(250 * quarters)).await;
        lan.plug(nodes[0].at.addr);
        // Until the next heartbeat a verdict may still fall.
        let back = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        all_online(&nodes, 2).await;
        let took = back.elapsed();
        let mut events: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
        assert!(took < Duration::from_millis(1_500), "{} ms out: back after {took:?}", 250 * quarters);
        tokio::time::sleep(Duration::from_secs(5)).await;
        for e in &mut events {
            none_goes(e, nodes.iter().map(|n| n.id).collect(), quarters);
        }
    }
}

/// How many changes of people were told. Who is here stays: an offline one may be told of before it is first here, as
/// when others bring its name.
fn none_goes(events: &mut tokio::sync::broadcast::Receiver<Event>, mut here: BTreeSet<DeviceId>, seed: u64) -> usize {
    let mut heard = 0;
    while let Ok(event) = events.try_recv() {
        let Event::Peer(p) = event else { continue };
        heard += 1;
        match p.state {
            PeerState::Offline => assert!(!here.contains(&p.id), "{seed}: {} was here all the time", p.name),
            _ => drop(here.insert(p.id)),
        }
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_petname_stands_beside_its_own_name_and_outlives_the_node() {
    let lan = Switch::new(320);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let other = nodes[1].id;
    let names = async |sim: &Sim| {
        let p = sim.handle().peers().await.unwrap().remove(0);
        (p.name, p.petname, p.own_name)
    };
    let own = Some("node 2".to_owned());
    assert_eq!(names(&nodes[0]).await, ("node 2".into(), None, own.clone()));
    let named = nodes[0].handle().set_petname(other, Some(" Boss ")).await.unwrap();
    assert_eq!((named.name.as_str(), named.petname.as_deref()), ("Boss", Some("Boss")));
    let first = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, first);
    all_online(&nodes, 1).await;
    assert_eq!(names(&nodes[0]).await, ("Boss".into(), Some("Boss".into()), own.clone()));
    nodes[0].handle().set_petname(other, None).await.unwrap();
    assert_eq!(names(&nodes[0]).await, ("node 2".into(), None, own));
    let everyone = nodes[0].everyone().await;
    let members = nodes[0].handle().members(everyone).await.unwrap();
    let listed: Vec<_> = members.iter().map(|m| (m.id, m.name.as_str(), m.state)).collect();
    assert_eq!(listed, [(other, "node 2", PeerState::Online)], "without oneself");
    let nobody = cairn_crdt::ids::SpaceId([7; 32]);
    assert_eq!(nodes[0].handle().members(nobody).await.unwrap_err().code, "no_such_conversation");
}
