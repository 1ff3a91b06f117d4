//! Messages a second from one sender, durable at both ends, to one peer and to ten.

use std::time::Instant;

use crate::Outcome;
use crate::figures::Table;
use crate::nodes::{mesh, say_many, wait_total};

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    for (peers, messages, target) in [(1, 50_000, 10_000), (10, 10_000, 1_500)] {
        let (nodes, room) = mesh(peers + 1).await?;
        let Some((sender, receivers)) = nodes.split_first() else { return Err("no nodes".into()) };
        let start = Instant::now();
        say_many(&sender.handle, room, messages - 1).await?;
        let here = start.elapsed();
        for node in receivers {
            wait_total(&node.handle, room, messages as u64).await?;
        }
        let rate = |d: std::time::Duration| format!("{:.0} a second", messages as f64 / d.as_secs_f64());
        table.row(&format!("messages durable here, {peers} peers connected"), rate(here), "");
        table.row(
            &format!("messages durable at both ends, to {peers}"),
            rate(start.elapsed()),
            format!(">= {target} a second"),
        );
        for node in &nodes {
            node.handle.stop().await?;
        }
    }
    Ok(())
}
