//! A full mesh that says nothing: what being there costs. Sixteen nodes by default; `CAIRN_MESH=512` makes more, and a
//! release build gives figures:
//! `CAIRN_MESH=512 cargo test --release -p cairn-actors --test node mesh -- --nocapture`.

use std::time::Duration;

use cairn_actors::limits::{ANTI_ENTROPY, HEARTBEAT, HEARTBEAT_SESSIONS_PER_SECOND};
use cairn_actors::link::memory::Switch;

use crate::world::{Sim, until};

/// What belongs to a start is over by then: folding, first comparisons, names, the burst of beacons.
const CALM: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(30);

/// Resident memory of this process in KiB and its time on the processor; zero where there is no such file.
fn used() -> (f64, Duration) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    (kib, Duration::from_millis(ticks * 10))
}

#[tokio::test(start_paused = true)]
async fn an_idle_mesh_says_little_more_than_that_it_is_there() {
    let count: u16 = std::env::var("CAIRN_MESH").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    let lan = Switch::new(700);
    let (empty, started) = (used().0, std::time::Instant::now());
    let mut nodes = Vec::new();
    for i in 1..=count {
        nodes.push(Sim::start(&lan, i).await);
    }
    let others = u32::from(count) - 1;
    let joined = until(Duration::from_secs(300), "all see all", async || {
        for node in &nodes {
            if node.online().await != others {
                return false;
            }
        }
        true
    })
    .await;
    tokio::time::sleep(CALM).await;
    let all = |t: u64| t as f64 / f64::from(count) / WINDOW.as_secs_f64();
    let (before, (_, cpu)) = (lan.traffic(), used());
    tokio::time::sleep(WINDOW).await;
    let (after, (resident, cpu_after)) = (lan.traffic(), used());
    let frames = all(after.frames - before.frames);
    println!(
        "{count} nodes, all see all after {joined:?}; a node in a second: {frames:.1} frames, {:.2} KiB, {:.2} beacons \
         heard, {:.2} ms of a processor; {:.2} MiB of memory; the run took {:?}",
        all(after.bytes - before.bytes) / 1024.0,
        all(after.beacons - before.beacons),
        all(u64::try_from((cpu_after - cpu).as_micros()).unwrap()) / 1000.0,
        (resident - empty) / 1024.0 / f64::from(count),
        started.elapsed(),
    );
    // Heartbeats, and with each of the others a comparison of room and direct chat now and then, asked by both sides.
    let interval = HEARTBEAT.max(Duration::from_secs(1) * others / HEARTBEAT_SESSIONS_PER_SECOND);
    let heartbeats = f64::from(others) / interval.as_secs_f64();
    let comparisons = f64::from(others) * 4.0 / ANTI_ENTROPY.as_secs_f64();
    let expected = heartbeats + comparisons;
    assert!((0.85..1.2).contains(&(frames / expected)), "{frames} frames a second, {heartbeats} are heartbeats");
    for node in &nodes {
        assert_eq!(node.online().await, others, "nobody is called away");
    }
}
