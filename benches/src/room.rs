//! A room of 50 receivers, all in this process, each with its own store: when each shows a message, and what a receiver
//! costs, one message at a time and in a stream, beside what its parts cost by themselves. ngircd's row is measured by
//! `ircd`.

use std::time::{Duration, Instant};

use crate::echo::BareRoom;
use crate::figures::{Table, p50_p99, percentile, show};
use crate::ircd::RECEIVERS;
use crate::nodes::{arrival, arrivals, mesh, say_many, wait_total};
use crate::{Outcome, proc};

const MESSAGES: usize = 200;
/// Messages of the stream.
const STREAM: usize = 2_000;
/// How long the standing cost of the mesh is measured for before anybody speaks.
const IDLE: Duration = Duration::from_secs(5);
/// Joining is over after this: the last addresses and names were told.
const SETTLED: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let (nodes, room) = mesh(RECEIVERS + 1).await?;
    let Some((sender, receivers)) = nodes.split_first() else { return Err("no nodes".into()) };
    let mut ears: Vec<_> = receivers.iter().map(|n| arrivals(&n.handle)).collect();
    let (mut each, mut last) = (Vec::new(), Vec::new());
    tokio::time::sleep(SETTLED).await;
    let before = proc::own_cpu();
    tokio::time::sleep(IDLE).await;
    let idle = proc::own_cpu().saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    table.row(
        "a room of 50: standing cost, a node",
        format!("{:.1} ms of processor a second", idle * 1e3 / nodes.len() as f64),
        "",
    );
    let (before, began) = (proc::own_cpu(), Instant::now());
    for n in 0..MESSAGES {
        let start = Instant::now();
        let said = sender.handle.say(room, &format!("message {n} of about a hundred bytes {:>70}", ""), None).await?;
        let mut slowest = start;
        for ear in &mut ears {
            let at = arrival(said.id, ear).await?;
            each.push(at.saturating_duration_since(start));
            slowest = slowest.max(at);
        }
        last.push(slowest - start);
    }
    let spent = proc::own_cpu().saturating_sub(before);
    let without = |spent: Duration, wall: Duration| spent.as_secs_f64() - idle * wall.as_secs_f64();
    let alone = without(spent, began.elapsed());
    let a_receiver = |spent: f64, messages| format!("{:.0} us", spent * 1e6 / (messages * RECEIVERS) as f64);
    table.row("a room of 50: a receiver, p50 / p99", p50_p99(&mut each), "");
    table.row("a room of 50: the last receiver, p50", show(percentile(&mut last, 50)), "");
    table.row(
        "a room of 50: processor time a receiver, one message at a time, standing cost included",
        a_receiver(spent.as_secs_f64(), MESSAGES),
        "",
    );
    table.row(
        "a room of 50: processor time a receiver, one message at a time",
        a_receiver(alone, MESSAGES),
        "<= 200 us",
    );
    let (before, began) = (proc::own_cpu(), Instant::now());
    say_many(&sender.handle, room, STREAM - 1).await?;
    for node in receivers {
        wait_total(&node.handle, room, (MESSAGES + STREAM) as u64).await?;
    }
    let spent = proc::own_cpu().saturating_sub(before);
    table.row(
        "a room of 50: processor time a receiver, in a stream",
        a_receiver(without(spent, began.elapsed()), STREAM),
        "<= 200 us",
    );
    table.row(
        "a room of 50: messages a second, on every screen",
        format!("{:.0}", STREAM as f64 / began.elapsed().as_secs_f64()),
        "",
    );
    for node in &nodes {
        node.handle.stop().await?;
    }
    let mut bare = BareRoom::start(RECEIVERS).await?;
    bare.once().await?;
    let before = proc::own_cpu();
    for _ in 0..MESSAGES {
        bare.once().await?;
    }
    let floor = proc::own_cpu().saturating_sub(before).as_secs_f64();
    table.row(
        "a bare room of 50: QUIC, a signature check and a synced file a receiver, one message at a time",
        a_receiver(floor, MESSAGES),
        "",
    );
    table.row("a room of 50: how many times the bare one", format!("{:.1}", alone / floor), "");
    Ok(())
}
