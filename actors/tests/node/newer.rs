//! Builds that know fewer kinds and payload versions beside builds that know more: what they do not understand goes
//! through them unharmed, and shows once they are updated.

use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::{Event, Message};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::Store;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Kind, SpaceId};
use cairn_crdt::known::Known;
use cairn_crdt::replica::{Access, Replica};
use cairn_crdt::sync::frame::Frame;

use crate::hostile::{Attacker, Office};
use crate::world::{EPOCH_MS, Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);

/// A build to come, which writes chat payloads of version 2.
fn later() -> Known {
    Known::this_build().upto(Kind::Chat, 2)
}

/// What a person reads: bodies, and in brackets how many messages need a newer Cairn.
async fn read(node: &Sim) -> Vec<String> {
    let everyone = node.everyone().await;
    let show = |m: Message| if m.needs_newer > 0 { format!("[{}]", m.needs_newer) } else { m.body };
    node.messages(everyone).await.into_iter().map(show).collect()
}

/// The digest of a space, from what is durable.
fn digest(node: &Sim, space: SpaceId) -> [u8; 32] {
    let mut replica = Replica::new(space, Access::Commons);
    for (log, tip) in node.store.tips(&space).unwrap() {
        replica.restore(&log, cairn_crdt::replica::Tip { seq: tip.seq, hash: tip.hash, hlc: tip.hlc });
    }
    replica.digest()
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_newer_build_go_through_an_older_one_and_show_when_it_is_updated() {
    let lan = Switch::new(31);
    let a = Sim::start_knowing(&lan, 1, later()).await;
    let b = Sim::start(&lan, 2).await;
    let mut told = b.handle().subscribe();
    all_online(std::slice::from_ref(&a), 1).await;
    b.say("one from the old build").await;
    until(SOON, "it arrives", async || read(&a).await == ["one from the old build"]).await;
    for text in ["first", "second", "third"] {
        a.say(text).await;
    }
    until(SOON, "the old build holds them", async || read(&b).await == ["one from the old build", "[3]"]).await;
    b.say("what was that?").await;
    until(SOON, "the new build reads on", async || read(&a).await.len() == 5).await;
    let everyone = b.everyone().await;
    // C never meets A: everything comes through B, which does not understand it.
    lan.unplug(a.at.addr);
    let c = Sim::start_knowing(&lan, 3, later()).await;
    let all = ["one from the old build", "first", "second", "third", "what was that?"];
    until(SOON, "the other new build reads all", async || read(&c).await == all).await;
    assert_eq!(read(&b).await, ["one from the old build", "[3]", "what was that?"], "in their place");
    until(SOON, "digests are equal", async || digest(&a, everyone) == digest(&b, everyone)).await;
    assert_eq!(digest(&b, everyone), digest(&c, everyone));
    // The person is told once, and how many there are.
    let mut notices = 0;
    while let Ok(event) = told.try_recv() {
        notices += usize::from(matches!(event, Event::Notice { code, .. } if code == "needs_newer"));
    }
    assert_eq!(notices, 1);
    assert_eq!(b.handle().status().await.unwrap().needs_newer, 3);
    let rooms = b.handle().conversations().await.unwrap();
    assert_eq!((rooms[0].needs_newer, rooms[0].unread), (3, 3), "what one cannot read yet is unread");
    // Started again as it was, B still counts them; updated, it shows them.
    let b = b.crash_and_restart(&lan).await;
    assert_eq!(read(&b).await, ["one from the old build", "[3]", "what was that?"]);
    assert_eq!(b.handle().status().await.unwrap().needs_newer, 3);
    let b = b.crash(&lan).start_again(&lan, later()).await;
    assert_eq!(read(&b).await, all);
    assert_eq!(b.handle().status().await.unwrap().needs_newer, 0);
    lan.plug(a.at.addr);
    b.say("now I see").await;
    all_equal(&[a, b, c], 6, Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_build_without_a_kind_carries_it_from_one_to_another() {
    let lan = Switch::new(32);
    let a = Sim::start(&lan, 1).await;
    let b = Sim::start_knowing(&lan, 2, Known::this_build().without(Kind::Chat)).await;
    all_online(std::slice::from_ref(&b), 1).await;
    a.say("first").await;
    a.say("second").await;
    until(SOON, "they are counted", async || read(&b).await == ["[2]"]).await;
    let everyone = b.everyone().await;
    let refused = b.handle().say(everyone, "I cannot", None).await.unwrap_err();
    assert_eq!(refused.code, "not_written");
    lan.unplug(a.at.addr);
    let c = Sim::start(&lan, 3).await;
    until(SOON, "they came through", async || c.bodies().await == ["first", "second"]).await;
    until(SOON, "digests are equal", async || digest(&a, everyone) == digest(&c, everyone)).await;
    assert_eq!(digest(&b, everyone), digest(&c, everyone));
    let b = b.crash_and_restart(&lan).await;
    assert_eq!(b.bodies().await, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_knows_is_stored_passed_on_and_counted() {
    let mut office = Office::open(33).await;
    let stranger = Attacker::enter(&office, 9, 0).await;
    stranger.drain(cairn_actors::link::Lane::Sync);
    let (space, document) = (office.commons(), DocumentId::new(Kind::Unknown(4_321), [7; 16]));
    let mut pen = stranger.writer(space, document);
    let entries: Vec<_> =
        (0..5).map(|i| Arc::new(pen.write(vec![i; 40], Hlc::from_ms(EPOCH_MS + u64::from(i))).unwrap())).collect();
    stranger.sync(&space, &Frame::Entries { live: true, entries }).await;
    for at in 0..2 {
        until(Duration::from_secs(60), "it is counted", async || {
            office.nodes[at].handle().conversations().await.unwrap()[0].needs_newer == 5
        })
        .await;
        let log = stranger.log(document);
        assert_eq!(office.nodes[at].store.entries(&space, &log, 1, 1 << 20).unwrap().len(), 5);
    }
    assert_eq!(digest(&office.nodes[0], space), digest(&office.nodes[1], space));
    assert!(stranger.is_linked().await, "nobody is blamed for a newer kind");
    office.goes_on(SOON).await;
}
