//! What is said of messages after they were said: answers, mentions, edits, deletions, reactions. It reaches everybody,
//! ends the same on both sides of a cable that was out, and outlives crashes.

use std::time::Duration;

use cairn_actors::api::{About, Event, Message, OrderKey};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::{MessageId, SpaceId};

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(30);

async fn office(seed: u64, count: u16) -> (Switch, Vec<Sim>, SpaceId) {
    let lan = Switch::new(seed);
    let mut nodes = Vec::new();
    for n in 1..=count {
        nodes.push(Sim::start(&lan, n).await);
    }
    all_online(&nodes, u32::from(count) - 1).await;
    nodes[1].say("settle").await;
    all_equal(&nodes, 1, SOON).await;
    let room = nodes[0].everyone().await;
    (lan, nodes, room)
}

async fn message(n: &Sim, space: SpaceId, id: MessageId) -> Message {
    n.messages(space).await.into_iter().find(|m| m.id == id).unwrap()
}

/// Body, edited, deleted, and reactions with how many gave them.
async fn shown(n: &Sim, space: SpaceId, id: MessageId) -> (String, bool, bool, Vec<(String, u32)>) {
    let m = message(n, space, id).await;
    let About { edited, deleted, reactions, .. } = m.about;
    (m.body, edited.is_some(), deleted, reactions.into_iter().map(|r| (r.emoji, r.count)).collect())
}

async fn alike(nodes: &[Sim], space: SpaceId, id: MessageId) {
    until(LATER, "all show the same of it", async || {
        let first = shown(&nodes[0], space, id).await;
        for n in &nodes[1..] {
            if shown(n, space, id).await != first {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_message_reaches_everybody_and_outlives_a_crash() {
    let (lan, mut nodes, room) = office(501, 3).await;
    let bob = nodes[0].handle().peers().await.unwrap().into_iter().find(|p| p.id == nodes[1].id).unwrap();
    let question = nodes[0].handle().say(room, &format!("Where is it, @{}?", bob.label()), None).await.unwrap().id;
    until(SOON, "it is there", async || nodes[1].messages(room).await.len() == 2).await;
    let there = message(&nodes[1], room, question).await;
    assert!(there.about.mentions.len() == 1 && there.about.mentions[0].me && there.about.mentions[0].id == bob.id);
    let line = async |n: &Sim| n.handle().conversations().await.unwrap().into_iter().find(|c| c.id == room).unwrap();
    assert_eq!((line(&nodes[1]).await.unread, line(&nodes[1]).await.mentions), (1, 1));
    assert_eq!((line(&nodes[2]).await.mentions, line(&nodes[0]).await.mentions), (0, 0), "it is somebody else's");

    let mut events = nodes[0].handle().subscribe();
    let answer = nodes[1].handle().answer(room, "Gate B", None, Some(question)).await.unwrap().id;
    nodes[2].handle().react(room, question, "👍", true).await.unwrap();
    nodes[1].handle().react(room, question, "👍", true).await.unwrap();
    nodes[1].handle().react(room, question, "🎉", true).await.unwrap();
    nodes[1].handle().react(room, question, "🎉", false).await.unwrap();
    let edited = nodes[1].handle().edit(room, answer, "Gate C").await.unwrap();
    assert_eq!(
        (edited.body.as_str(), edited.about.reply_to.map(|q| q.text).as_deref()),
        ("Gate C", Some(there.body.as_str()))
    );
    until(SOON, "all of it", async || {
        let reacted = [("👍".to_owned(), 2)];
        shown(&nodes[0], room, question).await.3 == reacted && shown(&nodes[0], room, answer).await.0 == "Gate C"
    })
    .await;
    alike(&nodes, room, question).await;
    alike(&nodes, room, answer).await;
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert!(told.iter().any(|e| matches!(e, Event::Changed(m) if m.id == answer && m.body == "Gate C")), "{told:?}");
    let count = |id| told.iter().filter(|e| matches!(e, Event::Message(m) if m.id == id)).count();
    assert_eq!((count(answer), count(question)), (1, 0), "a message is told once");
    assert_eq!(nodes[0].messages(room).await.len(), 3, "none of that is a message");

    // Others' are not theirs to change, and nothing changes what is deleted.
    for what in [nodes[0].handle().edit(room, answer, "x").await, nodes[0].handle().delete(room, answer).await] {
        assert_eq!(what.unwrap_err().code, "not_yours");
    }
    nodes[1].handle().delete(room, answer).await.unwrap();
    assert_eq!(nodes[1].handle().edit(room, answer, "again").await.unwrap_err().code, "deleted");
    assert_eq!(nodes[1].handle().react(room, question, "ok", true).await.unwrap_err().code, "bad_reaction");
    until(SOON, "deleted everywhere", async || {
        shown(&nodes[2], room, answer).await == (String::new(), false, true, vec![])
    })
    .await;
    let node = nodes.remove(2).crash_and_restart(&lan).await;
    nodes.push(node);
    alike(&nodes, room, question).await;
    alike(&nodes, room, answer).await;
    let versions = nodes[2].handle().versions(room, answer).await.unwrap();
    let said: Vec<_> = versions.iter().map(|v| v.body.as_deref()).collect();
    assert_eq!(said, [Some("Gate B"), Some("Gate C"), None], "its history stays");
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_cut_end_with_the_same_and_receipts_and_unread_counts_stay_right() {
    let (lan, nodes, room) = office(502, 2).await;
    let id = nodes[0].handle().say(room, "one", None).await.unwrap().id;
    all_equal(&nodes, 2, SOON).await;
    lan.unplug(nodes[0].at.addr);
    until(LATER, "apart", async || nodes[1].online().await == 0).await;
    nodes[0].handle().edit(room, id, "two").await.unwrap();
    nodes[0].handle().react(room, id, "✅", true).await.unwrap();
    nodes[1].handle().react(room, id, "✅", true).await.unwrap();
    nodes[1].handle().react(room, id, "❌", true).await.unwrap();
    tokio::time::sleep(SOON).await;
    nodes[0].handle().edit(room, id, "three").await.unwrap();
    lan.plug(nodes[0].at.addr);
    until(LATER, "together", async || shown(&nodes[1], room, id).await.0 == "three").await;
    until(LATER, "and reactions", async || {
        shown(&nodes[0], room, id).await.3 == [("✅".to_owned(), 2), ("❌".to_owned(), 1)]
    })
    .await;
    alike(&nodes, room, id).await;
    let line = nodes[1].handle().conversations().await.unwrap().into_iter().find(|c| c.id == room).unwrap();
    assert_eq!(
        (line.unread, line.last.map(|l| l.text).as_deref()),
        (1, Some("three")),
        "one message, whatever was said of it"
    );
    let newest = nodes[1].messages(room).await.last().unwrap().key;
    nodes[1].handle().mark_read(room, newest).await.unwrap();
    until(SOON, "read", async || message(&nodes[0], room, id).await.read_by == 1).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_sealed_chat_it_is_the_same_and_final_waits_for_it_like_for_a_message() {
    let (lan, mut nodes, _) = office(503, 2).await;
    let space = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
    let id = nodes[0].handle().say(space, "hello", None).await.unwrap().id;
    until(SOON, "there", async || nodes[1].messages(space).await.len() == 1).await;
    nodes[1].handle().react(space, id, "👍", true).await.unwrap();
    nodes[0].handle().edit(space, id, "good morning").await.unwrap();
    until(SOON, "both", async || {
        shown(&nodes[1], space, id).await == ("good morning".into(), true, false, vec![("👍".into(), 1)])
    })
    .await;
    alike(&nodes, space, id).await;
    until(LATER, "final", async || message(&nodes[0], space, id).await.is_final == Some(true)).await;
    // A month later, in a segment that is not the newest, and after a start.
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, node);
    all_online(&nodes, 1).await;
    nodes[0].handle().edit(space, id, "good evening").await.unwrap();
    until(SOON, "edited again", async || shown(&nodes[1], space, id).await.0 == "good evening").await;
    assert_eq!(nodes[1].handle().versions(space, id).await.unwrap().len(), 3);
    assert!(nodes[1].messages(space).await.iter().all(|m| m.key > OrderKey::MIN && !m.late));
}

#[tokio::test(start_paused = true)]
async fn who_writes_is_told_for_a_moment_and_a_flood_of_it_is_dropped() {
    let (lan, nodes, room) = office(504, 2).await;
    let mut events = nodes[0].handle().subscribe();
    let mut heard = move || {
        let mut all = Vec::new();
        while let Ok(e) = events.try_recv() {
            if let Event::Typing { conversation, typing, .. } = e {
                all.push((conversation, typing));
            }
        }
        all
    };
    for _ in 0..500 {
        nodes[1].handle().typing(room, true).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(heard(), [(room, true)]);
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(heard(), [(room, false)], "it is not believed for long");
    nodes[1].handle().typing(room, true).await.unwrap();
    nodes[1].say("there it is").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(heard(), [(room, true), (room, false)], "it ends with the message");
    nodes[1].handle().typing(room, true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    lan.unplug(nodes[1].at.addr);
    tokio::time::sleep(LATER).await;
    assert_eq!(heard(), [(room, true), (room, false)]);
    lan.plug(nodes[1].at.addr);
    all_online(&nodes, 1).await;
    nodes[1].handle().set_read_receipts(false).await.unwrap();
    nodes[1].handle().typing(room, true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(heard(), [], "whoever tells nothing tells nothing");
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_or_muted_stays_so_and_stands_first() {
    let lan = Switch::new(505);
    let node = Sim::start(&lan, 1).await;
    let other = Sim::start(&lan, 2).await;
    let nodes = vec![node, other];
    all_online(&nodes, 1).await;
    let direct = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
    nodes[0].handle().say(direct, "hello", None).await.unwrap();
    let order = async |n: &Sim| n.handle().conversations().await.unwrap().iter().map(|c| c.id).collect::<Vec<_>>();
    let room = nodes[0].everyone().await;
    assert_eq!(order(&nodes[0]).await, [room, direct]);
    let line = nodes[0].handle().set_pinned(direct, true).await.unwrap();
    assert!(line.pinned.is_some() && line.muted_until.is_none());
    assert_eq!(nodes[0].handle().set_muted(room, Some(u64::MAX)).await.unwrap().muted_until, Some(u64::MAX));
    assert_eq!(nodes[0].handle().set_muted(direct, Some(1)).await.unwrap().muted_until, None, "that is past");
    let gone = nodes[0].handle().set_pinned(SpaceId([9; 32]), true).await;
    assert_eq!(gone.unwrap_err().code, "no_such_conversation");
    let mut nodes = nodes;
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    assert_eq!(order(&node).await, [direct, room]);
    let lines = node.handle().conversations().await.unwrap();
    assert_eq!(lines.iter().map(|c| c.muted_until).collect::<Vec<_>>(), [None, Some(u64::MAX)]);
    node.handle().set_pinned(direct, false).await.unwrap();
    assert_eq!(order(&node).await, [room, direct]);
}

/// Whichever branch counts: that of the first life or that of the second.
#[tokio::test(start_paused = true)]
async fn what_a_machine_said_of_messages_before_it_was_set_back_is_said_again() {
    for seed in 0..3 {
        let (lan, mut nodes, room) = office(510 + seed, 3).await;
        let old = nodes[0].handle().say(room, "old", None).await.unwrap().id;
        all_equal(&nodes, 2, SOON).await;
        let snapshot = nodes[0].store.crash();
        nodes[0].handle().edit(room, old, "new").await.unwrap();
        nodes[0].handle().react(room, old, "👍", true).await.unwrap();
        let changed = ("new".to_owned(), true, false, vec![("👍".to_owned(), 1)]);
        until(SOON, "the first life", async || shown(&nodes[2], room, old).await == changed).await;
        let back = nodes.remove(0).set_back(&lan, snapshot).await;
        back.handle().say(room, "second life", None).await.unwrap();
        nodes.insert(0, back);
        all_equal(&nodes, 3, Duration::from_secs(180)).await;
        for n in &nodes {
            until(Duration::from_secs(180), "it is said again", async || shown(n, room, old).await == changed).await;
        }
        let versions = nodes[1].handle().versions(room, old).await.unwrap();
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(nodes[1].handle().versions(room, old).await.unwrap(), versions, "once");
    }
}
