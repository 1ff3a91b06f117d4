//! `say` to visible on the other node, beside a bare quinn echo and a bare redb commit that alternate with it.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::echo::Echo;
use crate::figures::{Table, p50_p99, percentile, show};
use crate::nodes::{arrival, arrivals, mesh};
use crate::redb_commit::Commit;

const ROUNDS: usize = 5;
const EACH: usize = 200;

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let (echo, commit) = (Echo::start().await?, Commit::open()?);
    let (nodes, room) = mesh(2).await?;
    let [from, to] = nodes.as_slice() else { return Err("two nodes".into()) };
    let mut arrivals = arrivals(&to.handle);
    let (mut echoes, mut commits, mut says, mut durable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..EACH {
            echoes.push(echo.once().await?);
        }
        for _ in 0..EACH {
            commits.push(commit.once()?);
        }
        for n in 0..EACH {
            let start = Instant::now();
            let said = from.handle.say(room, &format!("message {n} of about a hundred bytes {:>70}", ""), None).await?;
            durable.push(start.elapsed());
            says.push(arrival(said.id, &mut arrivals).await?.saturating_duration_since(start));
        }
    }
    let sum = percentile(&mut echoes, 50) + percentile(&mut commits, 50);
    let target = sum + Duration::from_micros(500);
    table.row("bare quinn echo of 100 B, p50 / p99", p50_p99(&mut echoes), "");
    table.row("bare redb commit of 300 B, p50 / p99", p50_p99(&mut commits), "");
    table.row("say to durable here, p50 / p99", p50_p99(&mut durable), "");
    let target = format!("p50 <= {} (their sum + 500 us), p99 <= 10 ms", show(target));
    table.row("say to visible on the other node, p50 / p99", p50_p99(&mut says), target);
    for node in &nodes {
        node.handle.stop().await?;
    }
    Ok(())
}
