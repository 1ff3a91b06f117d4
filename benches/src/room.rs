//! A room of 50 receivers, all in this process, each with its own store: when each shows a message, and what a receiver
//! costs. ngircd's row beside it is measured by `ircd`.

use std::time::Instant;

use crate::figures::{Table, p50_p99, percentile, show};
use crate::ircd::RECEIVERS;
use crate::nodes::{arrival, arrivals, mesh};
use crate::{Outcome, proc};

const MESSAGES: usize = 200;

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let (nodes, room) = mesh(RECEIVERS + 1).await?;
    let Some((sender, receivers)) = nodes.split_first() else { return Err("no nodes".into()) };
    let mut ears: Vec<_> = receivers.iter().map(|n| arrivals(&n.handle)).collect();
    let (mut each, mut last) = (Vec::new(), Vec::new());
    let before = proc::own_cpu();
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
    let spent = (proc::own_cpu().saturating_sub(before) / (MESSAGES * RECEIVERS) as u32).as_nanos() as f64 / 1e3;
    table.row("a room of 50: a receiver, p50 / p99", p50_p99(&mut each), "");
    table.row("a room of 50: the last receiver, p50", show(percentile(&mut last, 50)), "");
    table.row(
        "a room of 50: processor time a receiver, signature check and store included",
        format!("{spent:.0} us"),
        "<= 200 us",
    );
    for node in &nodes {
        node.handle.stop().await?;
    }
    Ok(())
}
