//! Nodes whose clocks are wrong by years, drift and lie: everything arrives, in the order in which it was said.

use std::time::Duration;

use cairn_actors::link::memory::Switch;

use crate::world::{Clock, EPOCH_MS, Sim, all_equal, all_online, long, until};

const SOON: Duration = Duration::from_secs(5);
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 366 * 24 * HOUR;

fn clock(off: i64, ppm: i32) -> Clock {
    Clock { off, ppm }
}

/// Mesh time of a node minus true time, in milliseconds.
async fn error(lan: &Switch, sim: &Sim, clock: Clock) -> i64 {
    let correction = sim.handle().status().await.unwrap().clock_offset_ms;
    let drifted = lan.elapsed().as_millis() as i64 * i64::from(clock.ppm) / 1_000_000;
    clock.off + drifted + correction
}

#[tokio::test(start_paused = true)]
async fn clocks_wrong_by_years_agree_and_what_is_said_stands_in_the_order_it_was_said() {
    let lan = Switch::new(71);
    lan.set_latency(Duration::from_millis(3), Duration::from_millis(20));
    let clocks =
        [clock(0, 50), clock(9 * YEAR, -150), clock(700, 200), clock(-(EPOCH_MS as i64) + 9_000, 0), clock(-90, 5)];
    let mut nodes = Vec::new();
    for (i, c) in clocks.iter().enumerate() {
        nodes.push(Sim::start_with(&lan, 1 + i as u16, *c).await);
    }
    all_online(&nodes, 4).await;
    until(SOON, "all agree", async || {
        for (n, c) in nodes.iter().zip(clocks) {
            if error(&lan, n, c).await.abs() > 1_000 {
                return false;
            }
        }
        true
    })
    .await;
    let mut said = Vec::new();
    for round in 0..4 {
        for (i, n) in nodes.iter().enumerate() {
            let text = format!("{round} by {i}");
            n.say(&text).await;
            said.push(text);
            all_equal(&nodes, said.len(), SOON).await;
        }
        tokio::time::sleep(long(Duration::from_secs(600))).await;
    }
    for n in &nodes {
        assert_eq!(n.bodies().await, said, "one after the other, as they were said");
    }
    let everyone = nodes[0].everyone().await;
    for m in nodes[0].messages(everyone).await {
        let truth = EPOCH_MS + lan.elapsed().as_millis() as u64;
        assert!(m.sent <= truth + 2_000 && m.sent > EPOCH_MS - 2_000, "stamped by mesh time: {}", m.sent);
    }
    let wrong = nodes[1].handle().status().await.unwrap();
    assert!(wrong.troubles.iter().any(|t| t.contains("9 years ahead of")), "{:?}", wrong.troubles);
    let right = nodes[0].handle().status().await.unwrap();
    assert!(right.troubles.is_empty() && right.clock_offset_ms.abs() < 1_000, "{right:?}");
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_wrote_alone_hours_ahead_is_in_order_again_once_it_meets_others() {
    let lan = Switch::new(72);
    let mut nodes = vec![Sim::start_with(&lan, 1, clock(8 * HOUR, 0)).await];
    nodes[0].say("alone, by a clock eight hours ahead").await;
    nodes[0].say("and once more").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    for seed in 2..=4 {
        nodes.push(Sim::start(&lan, seed).await);
    }
    all_online(&nodes, 3).await;
    nodes[1].say("settle").await;
    all_equal(&nodes, 3, Duration::from_secs(20)).await;
    tokio::time::sleep(SOON).await;
    let talk = ["where are you", "at the bridge", "stay there", "yes"];
    for (i, text) in talk.iter().enumerate() {
        nodes[(i + 1) % 2].say(text).await;
        all_equal(&nodes, 4 + i, SOON).await;
    }
    for n in &nodes {
        let all = n.bodies().await;
        let at: Vec<_> = talk.iter().map(|t| all.iter().position(|b| b == t).unwrap()).collect();
        assert!(at.windows(2).all(|w| w[0] < w[1]), "{all:?}");
        // What it wrote by its wrong clock is there, where that clock put it.
        assert_eq!(&all[5..], ["alone, by a clock eight hours ahead", "and once more"]);
    }
    // It goes on so after a crash, though its clock is as wrong as before.
    let node = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, node);
    all_online(&nodes, 3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    nodes[0].say("back").await;
    all_equal(&nodes, 8, SOON).await;
    nodes[2].say("good").await;
    all_equal(&nodes, 9, SOON).await;
    let all = nodes[3].bodies().await;
    assert_eq!(&all[5..7], ["back", "good"], "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn where_every_battery_was_dead_all_show_everything() {
    // None of these clocks can be right, and each calls what the later ones write the future.
    let lan = Switch::new(74);
    let mut nodes = Vec::new();
    for (i, years) in [8, 2, 4].into_iter().enumerate() {
        nodes.push(Sim::start_with(&lan, 1 + i as u16, clock(-years * YEAR, 0)).await);
    }
    all_online(&nodes, 2).await;
    for (i, node) in nodes.iter().enumerate() {
        node.say(&format!("from {i}")).await;
    }
    all_equal(&nodes, 3, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_laptop_whose_battery_died_shows_what_it_wrote_though_it_starts_alone() {
    let lan = Switch::new(75);
    let nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("first").await;
    all_equal(&nodes, 1, SOON).await;
    let room = nodes[1].everyone().await;
    // A month later it writes; then its battery dies, and it starts again out of reach of everybody.
    let alone = Switch::new(76);
    let month = Sim::start_on(&alone, 2, clock(YEAR / 12, 0), nodes[1].store.crash(), None).await;
    month.handle().say(room, "a month later", None).await.unwrap();
    let store = month.store.crash();
    drop(month);
    let dead = Sim::start_on(&Switch::new(77), 2, clock(-11 * YEAR, 0), store, None).await;
    assert_eq!(dead.bodies().await, ["first", "a month later"]);
    dead.handle().say(room, "here", None).await.unwrap();
    assert_eq!(dead.bodies().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_minority_of_liars_moves_nobody() {
    let lan = Switch::new(73);
    let clocks = [clock(0, 0), clock(40, 0), clock(-3 * YEAR / 10, 0), clock(-60, 0), clock(-3 * YEAR / 10, 0)];
    let mut nodes = Vec::new();
    for (i, c) in clocks.iter().enumerate() {
        nodes.push(Sim::start_with(&lan, 1 + i as u16, *c).await);
    }
    all_online(&nodes, 4).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for (n, c) in nodes.iter().zip(clocks) {
        let off = error(&lan, n, c).await;
        assert!(off.abs() < 500, "{off}");
    }
}
