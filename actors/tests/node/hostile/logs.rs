//! Entries that are signed and hostile all the same.

use std::time::Duration;

use cairn_actors::limits::{SYNC_ENTRIES, SYNC_NEW_LOG};
use cairn_actors::link::Lane;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId};
use cairn_crdt::kinds::chat::week_of;
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{Attacker, Office, SOON, now_stamps};
use crate::world::{EPOCH_MS, until};

#[tokio::test(start_paused = true)]
async fn two_branches_of_one_log_stop_nobody() {
    let mut office = Office::open(121).await;
    let (one, two) = (Attacker::enter(&office, 66, 0).await, Attacker::enter(&office, 66, 1).await);
    let (commons, week) = (office.commons(), office.this_week());
    let west = one.chat(commons, week, "west", &now_stamps(5));
    let east = two.chat(commons, week, "east", &now_stamps(7));
    one.sync(&commons, &Frame::Entries { live: true, entries: west.clone() }).await;
    two.sync(&commons, &Frame::Entries { live: true, entries: east.clone() }).await;
    for _ in 0..50 {
        one.sync(&commons, &Frame::Entries { live: false, entries: east.clone() }).await;
        two.sync(&commons, &Frame::Entries { live: false, entries: west[4..].to_vec() }).await;
    }
    office.goes_on(SOON).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    office.goes_on(SOON).await;
    assert_eq!(office.nodes[0].online().await, 2, "an honest relay of a branch is not to blame for it");
}

#[tokio::test(start_paused = true)]
async fn gaps_ask_for_a_comparison_and_no_more() {
    let mut office = Office::open(122).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(Lane::Sync);
    let (commons, week) = (office.commons(), office.this_week());
    let log = a.chat(commons, week, "far ahead", &now_stamps(40));
    for e in log.iter().skip(5).rev().cycle().take(2_000) {
        a.sync(&commons, &Frame::Entries { live: true, entries: vec![e.clone()] }).await;
    }
    office.goes_on(SOON).await;
    a.sync(&commons, &Frame::Entries { live: true, entries: log }).await;
    until(SOON, "the whole log is taken after all", async || office.nodes[1].bodies().await.len() == office.said + 40)
        .await;
}

#[tokio::test(start_paused = true)]
async fn void_entries_are_kept_out_and_told_of_once() {
    let mut office = Office::open(123).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let commons = office.commons();
    for (i, payload) in [vec![], vec![0xff; 500], b"\x85\x6f\x4a\x83\x00\x00\x00\x00\x01\xff\xff\xff\xff\x0f".to_vec()]
        .into_iter()
        .cycle()
        .take(300)
        .enumerate()
    {
        let log = LogId {
            incarnation: Incarnation([i as u8; 16]),
            ..a.log(DocumentId::chat(week_of(EPOCH_MS), i as u16 / 200))
        };
        let mut writer = LogWriter::new(a.key.clone(), commons, log, LogTip::EMPTY);
        let entries =
            (0..3).map(|n| writer.write(payload.clone(), Hlc::from_ms(EPOCH_MS + n)).unwrap().into()).collect();
        a.sync(&commons, &Frame::Entries { live: true, entries }).await;
    }
    office.goes_on(SOON).await;
    assert_eq!(office.nodes[1].bodies().await.len(), office.said, "nothing of it is shown");
    let told = office.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("An entry by Mallory does not count: "), "{told:?}");
    assert!(a.is_linked().await, "a carrier of void entries breaks no rule");
}

#[tokio::test(start_paused = true)]
async fn messages_from_the_year_10889_drag_nobody_along() {
    let mut office = Office::open(124).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let (commons, week) = (office.commons(), office.this_week());
    // 2^63 is the greatest stamp that a message can say; 2^64, the year 10889, the greatest that a header can.
    let far = Hlc(i64::MAX as u64 - 1);
    let there = DocumentId::chat(week_of(far.ms()), 0);
    let stamps: Vec<_> = (0..30).map(|i| Hlc(far.0 - 30 + i)).collect();
    let entries = a.chat(commons, there, "from the future", &stamps);
    a.sync(&commons, &Frame::Entries { live: true, entries }).await;
    let log = LogId { incarnation: Incarnation([1; 16]), ..a.log(week) };
    let mut writer = LogWriter::new(a.key.clone(), commons, log, LogTip::EMPTY);
    let entries = vec![writer.write(vec![1; 50], Hlc(u64::MAX)).unwrap().into()];
    a.sync(&commons, &Frame::Entries { live: true, entries }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    office.goes_on(SOON).await;
    let everyone = office.nodes[1].everyone().await;
    let all = office.nodes[1].messages(everyone).await;
    let honest: Vec<_> = all.iter().filter(|m| m.body.starts_with("honest")).collect();
    assert!(honest.iter().all(|m| m.key.stamp.ms() < EPOCH_MS + 600_000), "their stamps are of today");
}

#[tokio::test(start_paused = true)]
async fn one_device_opens_logs_at_a_bounded_rate() {
    let mut office = Office::open(125).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(Lane::Sync);
    let commons = office.commons();
    let start = tokio::time::Instant::now();
    let (rate, burst) = SYNC_ENTRIES;
    let logs = 10_000u32;
    let mut batch = Vec::new();
    for n in 0..logs {
        let mut log = LogId { incarnation: Incarnation([0; 16]), ..a.log(DocumentId::chat(1, 0)) };
        log.incarnation.0[..4].copy_from_slice(&n.to_be_bytes());
        let mut writer = LogWriter::new(a.key.clone(), commons, log, LogTip::EMPTY);
        batch.push(writer.write(vec![0], Hlc::from_ms(1)).unwrap().into());
        if batch.len() == 500 {
            a.sync(&commons, &Frame::Entries { live: false, entries: std::mem::take(&mut batch) }).await;
        }
    }
    until(Duration::from_secs(60), "all are taken in the end", async || {
        use cairn_actors::store::Store;
        office.nodes[0].store.tips(&commons).unwrap().len() >= logs as usize
    })
    .await;
    let least = f64::from(logs * (SYNC_NEW_LOG + 1) - burst) / f64::from(rate);
    assert!(start.elapsed().as_secs_f64() >= least * 0.9, "{:?} for {logs} logs", start.elapsed());
    office.goes_on(SOON).await;
}
