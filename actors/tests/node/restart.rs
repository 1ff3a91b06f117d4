//! Parts that die and nodes that crash.

use std::time::Duration;

use cairn_actors::link::memory::Switch;
use cairn_actors::tree::Child;
use cairn_crdt::ids::MessageId;
use tokio::sync::oneshot::error::TryRecvError;

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn killing_any_actor_leaves_a_node_that_is_whole_within_a_second() {
    let lan = Switch::new(11);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    nodes[0].say("first").await;
    all_equal(&nodes, 1, SOON).await;
    let mut count = 1;
    for name in Child::ALL.map(Child::name).into_iter().chain(["session"]) {
        nodes[0].handle().kill(name).await.unwrap();
        let start = tokio::time::Instant::now();
        until(Duration::from_secs(1), &format!("whole again after {name}"), async || {
            let Ok(list) = nodes[0].handle().conversations().await else { return false };
            nodes[0].online().await == 2 && nodes[1].online().await == 2 && !list.is_empty()
        })
        .await;
        for n in [&nodes[0], &nodes[1]] {
            let everyone = n.everyone().await;
            let body = format!("after {name}");
            let id = MessageId::from_token(&n.id, &body);
            until(Duration::from_secs(1), "it can be said", async || {
                n.handle().say(everyone, &body, Some(id)).await.is_ok()
            })
            .await;
            count += 1;
        }
        all_equal(&nodes, count, Duration::from_secs(1).saturating_sub(start.elapsed()).max(SOON)).await;
    }
    assert!(nodes[0].handle().kill("nobody").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_crashes_keeps_what_it_acknowledged_and_catches_up() {
    let lan = Switch::new(12);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let mut count = 0;
    for round in 0..10 {
        for n in &nodes {
            n.say(&format!("round {round}")).await;
            count += 1;
        }
        let crashed = nodes.remove(0);
        let id = crashed.id;
        nodes[0].say("while one is down").await;
        count += 1;
        let back = crashed.crash_and_restart(&lan).await;
        assert_eq!(back.id, id);
        nodes.push(back);
        all_equal(&nodes, count, Duration::from_secs(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_in_words_and_goes_on_when_there_is_room() {
    let lan = Switch::new(13);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("fits").await;
    all_equal(&nodes, 1, SOON).await;
    nodes[0].store.set_full(true);
    let everyone = nodes[0].everyone().await;
    let e = nodes[0].handle().say(everyone, "does not fit", None).await.unwrap_err();
    assert_eq!(e.code, "disk_full");
    nodes[1].say("from the other side").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(nodes[0].bodies().await, ["fits"], "nothing is shown that is not durable");
    nodes[0].store.set_full(false);
    nodes[0].say("fits again").await;
    all_equal(&nodes, 3, Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn saying_twice_under_one_id_says_once() {
    let lan = Switch::new(14);
    let node = Sim::start(&lan, 1).await;
    let everyone = node.everyone().await;
    let id = MessageId::from_token(&node.id, "retry-1");
    let (a, b) =
        tokio::join!(node.handle().say(everyone, "once", Some(id)), node.handle().say(everyone, "once", Some(id)));
    assert_eq!((a.unwrap().id, b.unwrap().id), (id, id));
    node.handle().say(everyone, "once", Some(id)).await.unwrap();
    let node = node.crash_and_restart(&lan).await;
    let everyone = node.everyone().await;
    node.handle().say(everyone, "once", Some(id)).await.unwrap();
    assert_eq!(node.bodies().await, ["once"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_with_its_last_handle_and_not_before() {
    let lan = Switch::new(15);
    let nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let [one, two] = <[Sim; 2]>::try_from(nodes).map_err(|_| "two").unwrap();
    let (handle, events) = (one.node.handle.clone(), one.node.handle.subscribe());
    let Sim { node, mut ended, .. } = one;
    drop(node);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(ended.try_recv().is_err_and(|e| e == TryRecvError::Empty), "a handle keeps it alive");
    assert_eq!((handle.status().await.unwrap().peers_online, two.online().await), (1, 1));
    // Whoever only listens keeps nothing alive.
    drop(handle);
    let ended = tokio::time::timeout(Duration::from_secs(1), ended).await.expect("it ends");
    assert!(ended.is_err(), "nobody sends anything there");
    drop(events);
    until(SOON, "gone for the other", async || two.online().await == 0).await;
}
