//! Whoever forks is slowed and never refused: what a start wrote that forked comes late, what an honest machine goes on
//! to write does not, and a device that forks again and again is slowed as a whole.

use std::time::Duration;

use cairn_actors::api::{Event, HeldBack, WhyHeld};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::{MemoryStore, Store, Table};
use cairn_crdt::ids::{Kind, SpaceId};

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(600);

async fn held(node: &Sim) -> Vec<HeldBack> {
    node.handle().status().await.unwrap().held_back
}

/// Entries of the room that a store holds of a device.
fn length(store: &MemoryStore, room: SpaceId, of: &Sim) -> u64 {
    let tips = store.tips(&room).unwrap();
    tips.iter().filter(|(l, _)| l.device == of.id && l.document.kind() == Kind::Chat).map(|(_, t)| t.seq).sum()
}

#[tokio::test(start_paused = true)]
async fn the_past_of_a_machine_that_was_set_back_comes_slowly_to_a_newcomer_and_its_present_at_once() {
    const LONG: usize = 3_000;
    let lan = Switch::new(71);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    for n in 0..LONG {
        nodes[0].say(&format!("before the snapshot {n}")).await;
    }
    let room = nodes[0].everyone().await;
    let all = |store: &MemoryStore| length(store, room, &nodes[0]);
    until(SOON, "both have it", async || all(&nodes[1].store) == LONG as u64).await;
    let snapshot = nodes[0].store.crash();
    nodes[0].say("first life").await;
    until(SOON, "both have that too", async || all(&nodes[1].store) == LONG as u64 + 1).await;
    let back = nodes.remove(0).set_back(&lan, snapshot).await;
    back.handle().say(room, "second life", None).await.unwrap();
    nodes.insert(0, back);
    let forked = |n: &Sim| n.store.scan(Table::Forks, &[]).unwrap().iter().any(|(key, _)| key.len() == 32 + 66);
    until(LATER, "it is known to have forked", async || nodes.iter().all(forked)).await;
    let both = |n: &Sim| length(&n.store, room, &nodes[0]);
    until(LATER, "and says again what was lost", async || {
        both(&nodes[0]) == both(&nodes[1]) && both(&nodes[0]) == LONG as u64 + 2
    })
    .await;

    let new = Sim::start(&lan, 3).await;
    let start = tokio::time::Instant::now();
    until(SOON, "it is slowed, and told of", async || {
        held(&new).await.iter().any(|h| h.why == WhyHeld::Forked && h.author == Some(nodes[0].id))
    })
    .await;
    let told = held(&new).await;
    assert!(told[0].sentence.contains("is taken slowly now, up to 131.1 kB a second"), "{told:?}");
    let early = length(&new.store, room, &nodes[0]);
    assert!(early < LONG as u64 - 500, "{early}");
    // What it writes now is not slowed, nor what anybody else does.
    nodes[0].say("third life").await;
    nodes[1].say("somebody else").await;
    let shows = async |n: &Sim, text: &str| {
        let page = n.handle().page(room, cairn_actors::api::PageAt::Newest, 20).await.unwrap();
        page.messages.iter().any(|m| m.body == text)
    };
    until(SOON, "the present is there", async || shows(&new, "third life").await && shows(&new, "somebody else").await)
        .await;
    // It survives a start: the proof is in the store.
    let new = new.crash_and_restart(&lan).await;
    until(SOON, "slowed again", async || held(&new).await.iter().any(|h| h.why == WhyHeld::Forked)).await;
    assert!(length(&new.store, room, &nodes[0]) < LONG as u64);
    until(LATER, "all of it came", async || length(&new.store, room, &nodes[0]) == LONG as u64 + 3).await;
    let took = start.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(240)).contains(&took), "{took:?}");
    until(LATER, "and nobody is slowed any more", async || held(&new).await.is_empty()).await;
    let page = async |n: &Sim| {
        let page = n.handle().page(room, cairn_actors::api::PageAt::Newest, 2_000).await.unwrap();
        page.messages.into_iter().map(|m| m.body).collect::<Vec<_>>()
    };
    assert_eq!(page(&new).await, page(&nodes[1]).await);
}

/// A person is told of a machine that was set back once for each thing that it is told of, and a resumed one that forks
/// nothing is not slowed.
#[tokio::test(start_paused = true)]
async fn who_never_forked_is_never_slowed() {
    let lan = Switch::new(72);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let mut events = nodes[1].handle().subscribe();
    for n in 0..1_500 {
        nodes[0].say(&format!("much {n}")).await;
    }
    all_equal(&nodes, 1_500, SOON).await;
    assert!(held(&nodes[1]).await.is_empty());
    let forked = std::iter::from_fn(|| events.try_recv().ok()).any(|e| matches!(e, Event::Forked { .. }));
    assert!(!forked);
}
