//! Many of something small: logs of one entry, chats of one message.

use std::time::Duration;

use cairn_actors::api::WhyHeld;
use cairn_actors::limits::{LOGS_AUTHOR, STRANGERS};
use cairn_actors::link::Lane;
use cairn_actors::store::Store;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, SpaceId};
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{Attacker, Office, SOON};
use crate::world::{Sim, until};

/// Logs of an attacker's that a node holds in a space.
fn logs(node: &Sim, space: SpaceId, a: &Attacker) -> u64 {
    node.store.tips(&space).unwrap().iter().filter(|(l, _)| l.device == a.key.id()).count() as u64
}

/// Sends logs of one entry each, from one number on.
async fn open(a: &Attacker, space: SpaceId, document: DocumentId, from: u64, n: u64) {
    let mut batch = Vec::new();
    for i in from..from + n {
        let mut log = LogId { incarnation: Incarnation([0; 16]), ..a.log(document) };
        log.incarnation.0[..8].copy_from_slice(&i.to_be_bytes());
        let mut writer = LogWriter::new(a.key.clone(), space, log, LogTip::EMPTY);
        batch.push(writer.write(vec![0], Hlc::from_ms(1)).unwrap().into());
        if batch.len() == 400 {
            a.sync(&space, &Frame::Entries { live: false, entries: std::mem::take(&mut batch) }).await;
        }
    }
    a.sync(&space, &Frame::Entries { live: false, entries: batch }).await;
}

async fn why(node: &Sim, why: WhyHeld) -> bool {
    node.handle().status().await.unwrap().held_back.iter().any(|h| h.why == why)
}

#[tokio::test(start_paused = true)]
#[ignore = "five seconds; `.ci/run` takes it"]
async fn who_begins_ever_more_logs_is_held_back_until_old_ones_are_gone() {
    let mut office = Office::open(161).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(Lane::Sync);
    let space = office.commons();
    let old = DocumentId::chat(1, 0);
    open(&a, space, old, 0, LOGS_AUTHOR + 2_000).await;
    until(Duration::from_secs(60), "it is held back", async || why(&office.nodes[0], WhyHeld::Logs).await).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept = logs(&office.nodes[0], space, &a);
    assert!((LOGS_AUTHOR..LOGS_AUTHOR + 400).contains(&kept), "{kept}: its share, and what came in one frame");
    assert!(a.is_linked().await);
    office.goes_on(SOON).await;
    open(&a, space, office.this_week(), 1_000_000, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(logs(&office.nodes[0], space, &a), kept);
    // What is gone counts no more.
    office.nodes[0].handle().forget(space, Some(crate::world::EPOCH_MS - 1_000)).await.unwrap();
    until(SOON, "it is held back no more", async || !why(&office.nodes[0], WhyHeld::Logs).await).await;
    open(&a, space, office.this_week(), 1_000_000, 1).await;
    until(SOON, "it is taken", async || logs(&office.nodes[0], space, &a) == kept + 1).await;
}

#[tokio::test(start_paused = true)]
async fn beyond_a_number_of_strangers_no_other_begins_a_chat_until_somebody_is_answered() {
    let office = Office::open(162).await;
    let node = &office.nodes[0];
    let chat = |a: &Attacker| SpaceId::direct(&node.id.principal(), &a.key.id().principal());
    let write = async |a: &Attacker, n: u64| {
        let document = office.this_week();
        let mut writer = a.writer(chat(a), document);
        let entries = (0..n).map(|i| writer.write(vec![0], Hlc::from_ms(1 + i)).unwrap().into()).collect();
        a.sync(&chat(a), &Frame::Entries { live: true, entries }).await;
    };
    let mut last = None;
    for n in 0..=u16::try_from(STRANGERS).unwrap() {
        let a = Attacker::enter_as(&office, Attacker::many(n), 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        write(&a, 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(logs(node, chat(&a), &a), u64::from(u64::from(n) < STRANGERS), "number {n}");
        last = Some(a);
        if u64::from(n) + 1 < STRANGERS {
            last.take().unwrap().link.close("enough");
        }
    }
    let a = last.unwrap();
    assert!(why(node, WhyHeld::Chats).await);
    assert!(a.is_linked().await, "it has broken no rule");
    // Whoever has begun goes on.
    let first = Attacker::enter_as(&office, Attacker::many(0), 0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    write(&first, 2).await;
    let length = || node.store.tips(&chat(&first)).unwrap().iter().map(|(_, t)| t.seq).sum::<u64>();
    until(SOON, "its chat goes on", async || length() == 2).await;
    // One is answered, and there is room for another.
    node.handle().say(chat(&first), "Who is there?", None).await.unwrap();
    until(SOON, "there is room", async || !why(node, WhyHeld::Chats).await).await;
    write(&a, 1).await;
    until(SOON, "the next one is heard", async || logs(node, chat(&a), &a) == 1).await;
}
