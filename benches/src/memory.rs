//! Resident memory of the headless binary: idle, and with 100,000 messages.

use std::time::Duration;

use crate::cold::Process;
use crate::figures::Table;
use crate::nodes::{everyone, say_many, start, wait_total};
use crate::{Outcome, binary, proc};

const MESSAGES: usize = 100_000;
/// What is allocated for starting has been given back by then.
const CALM: Duration = Duration::from_secs(3);

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let program = binary::cairn()?;
    let folder = tempfile::tempdir()?;
    let show = |process: &Process| format!("{:.1} MiB", proc::resident_mib(process.pid()));

    let idle = Process::node(&program, folder.path(), &[])?;
    idle.wait_event("ready").await?;
    tokio::time::sleep(CALM).await;
    table.row("resident memory, headless, idle", show(&idle), "<= 40 MiB");
    idle.end().await?;

    let filler = start("filler", Vec::new(), None).await?;
    let address = filler.address.to_string();
    let filled = Process::node(&program, folder.path(), &["--peer", &address])?;
    filled.wait_event("peer").await?;
    let room = everyone(&filler.handle).await?;
    let last = say_many(&filler.handle, room, MESSAGES - 1).await?;
    wait_total(&filler.handle, room, MESSAGES as u64).await?;
    loop {
        if filler.handle.message(room, last).await?.delivered_to > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(CALM).await;
    table.row("resident memory, headless, having received 100,000 messages", show(&filled), "");
    filled.end().await?;
    filler.handle.stop().await?;

    let again = Process::node(&program, folder.path(), &[])?;
    again.wait_event("ready").await?;
    tokio::time::sleep(CALM).await;
    table.row("resident memory, headless, started on 100,000 messages", show(&again), "");
    again.end().await
}
