//! Commits that fail in the middle: whoever said what could not be stored is told, and nobody else is.

use std::time::Duration;

use cairn_actors::link::memory::Switch;
use cairn_actors::store::StoreError;
use cairn_crdt::ids::SpaceId;

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(10);

fn io() -> StoreError {
    StoreError::Io("a write failed".into())
}

/// What follows a message that failed is signed over it. It takes the place that the other had, and its speaker hears
/// nothing of it.
#[tokio::test(start_paused = true)]
async fn a_message_that_follows_one_that_failed_is_written_again_under_its_id() {
    let lan = Switch::new(81);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    nodes[0].store.fail_commits(1, io());
    let say = |text: &'static str| nodes[0].handle().say(room, text, None);
    let (failed, second, third, fourth) = tokio::join!(say("one"), say("two"), say("three"), say("four"));
    assert_eq!(failed.unwrap_err().code, "store_failed", "whose own commit failed is told");
    let ids = [second, third, fourth].map(|said| said.unwrap().id);
    all_equal(&nodes, 4, SOON).await;
    let shown = nodes[1].messages(room).await;
    assert_eq!(shown.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(), ["before", "two", "three", "four"]);
    assert_eq!(shown.iter().skip(1).map(|m| m.id).collect::<Vec<_>>(), ids);
    // A disk that stays full tells everybody, and what is said when there is room again is said once.
    nodes[0].store.set_full(true);
    let (a, b) = tokio::join!(say("no room"), say("none either"));
    assert_eq!((a.unwrap_err().code, b.unwrap_err().code), ("disk_full".into(), "disk_full".into()));
    nodes[0].store.set_full(false);
    nodes[0].say("room again").await;
    all_equal(&nodes, 5, SOON).await;
}

/// Somebody else's entry could not be stored while a message of ours was on its way to the disk. What is said before that
/// one is there must not take its place. On the real clock, since the writer is a thread.
#[tokio::test]
async fn what_is_said_after_a_failure_takes_no_place_that_is_on_its_way_to_the_disk() {
    let lan = Switch::new(82);
    let nodes = [Sim::start_threaded(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    let store = nodes[0].store.clone();
    let handle = nodes[0].handle().clone();
    let say = |text: &'static str| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.say(room, text, None).await })
    };
    let troubled =
        async || nodes[0].handle().status().await.unwrap().troubles.iter().any(|t| t.contains("a write failed"));
    // Until it is quiet: nothing else is to be stored. Then the writer waits with what the other says, and ours behind it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.let_through(Some(0));
    nodes[1].say("somebody else").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let on_its_way = say("on its way");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // That fails, once alone, and the writer waits again with ours.
    store.fail_commits(1, io());
    store.let_through(Some(1));
    until(SOON, "it is known here", troubled).await;
    let (second, third) = (say("said after"), say("and after that"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished() && !third.is_finished(), "nobody is answered before the disk has it");
    store.let_through(None);
    for said in [on_its_way, second, third] {
        said.await.unwrap().unwrap();
    }
    // What failed comes once a gap shows.
    nodes[1].say("more of it").await;
    all_equal(&nodes, 6, SOON).await;
    let shown = nodes[1].bodies().await;
    let ours: Vec<_> = shown.iter().filter(|b| b.contains("way") || b.contains("after")).collect();
    assert_eq!(ours, ["on its way", "said after", "and after that"]);
}

/// What a direct chat is stands in the store beside its first entries. Where those could not be stored, the next ones say
/// it too: else a restart would not find the chat that they are in.
#[tokio::test(start_paused = true)]
async fn a_chat_whose_first_message_failed_is_there_after_a_restart() {
    let lan = Switch::new(83);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let chat = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
    nodes[0].store.set_full(true);
    assert_eq!(nodes[0].handle().say(chat, "no room", None).await.unwrap_err().code, "disk_full");
    nodes[0].store.set_full(false);
    nodes[0].handle().say(chat, "room again", None).await.unwrap();
    let one = nodes.remove(0).crash_and_restart(&lan).await;
    let listed = one.handle().conversations().await.unwrap();
    assert!(listed.iter().any(|c| c.id == chat), "{listed:?}");
    let shown = one.messages(chat).await;
    assert_eq!(shown.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(), ["room again"]);
}
