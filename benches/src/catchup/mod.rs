//! Catching up after an absence: Cairn beside `automerge::sync` and samod on the same messages. 100,000 messages are
//! on both sides, and one side lacks so many more; or it lacks all.
//!
//! `CAIRN_CATCHUP_PREFIX` sets another number than 100,000, for a quick look; `CAIRN_CATCHUP_ONLY` (`halves`, `whole`,
//! `others`) measures a part, for a profiler.

mod automerge_sync;
mod data;
mod halves;
mod samod_repo;
mod whole;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::figures::{Table, show};
use crate::nodes::Error;
use crate::{Outcome, proc};

/// Messages on both sides before one of them goes away.
const PREFIX: usize = 100_000;

/// What a catch-up took.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    bytes: u64,
    round_trips: f64,
    cpu: Duration,
    durable: Duration,
    readable: Duration,
}

impl Figures {
    fn line(&self) -> String {
        format!(
            "{} · {} round trips · CPU {} · durable {} · readable {}",
            size(self.bytes),
            self.round_trips,
            show(self.cpu),
            show(self.durable),
            show(self.readable)
        )
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let wanted = std::env::var("CAIRN_CATCHUP_PREFIX").ok().and_then(|n| n.parse().ok());
    let prefix: usize = wanted.unwrap_or(PREFIX);
    let only = std::env::var("CAIRN_CATCHUP_ONLY").unwrap_or_default();
    let folder = tempfile::tempdir()?;
    let folders = whole::acquaint(folder.path()).await?;
    let end = now();
    eprintln!("  writing {} messages ...", prefix * 2);
    let entries = data::entries(folders.room, prefix * 2, end)?;
    let changes = if only.is_empty() || only == "others" { data::changes(prefix * 2, end)? } else { Vec::new() };
    let mut cases: Vec<(usize, usize)> = [0, 1, 100, 1_000, prefix].into_iter().map(|k| (prefix, k)).collect();
    cases.push((0, prefix));
    for (prefix, missing) in cases {
        let title = match (prefix, missing) {
            (0, k) => format!("{k} missing, nothing there before"),
            (p, 0) => format!("nothing missing of {p}"),
            (p, k) => format!("{k} missing after {p}"),
        };
        let count = prefix + missing;
        let some = entries.get(..count).ok_or("too few entries")?;
        let place = tempfile::tempdir()?;
        if only.is_empty() || only == "halves" {
            let (from, to) = (place.path().join("from.redb"), place.path().join("to.redb"));
            whole::fill(&from, some)?;
            whole::fill(&to, some.get(..prefix).unwrap_or_default())?;
            let figures = halves::run(folders.room, &from, &to, missing, count)?;
            table.row(&format!("{title}: Cairn, pure halves and stores"), figures.line(), target(missing, 0));
        }
        if (only.is_empty() || only == "whole") && missing > 0 {
            let both = folders.filled(&place.path().join("whole"), some, prefix)?;
            let last = last_id(some)?;
            let took = whole::run(&both, missing, count + both.greeted, last, false).await?;
            let line = format!(
                "CPU {} · durable {} · newest on screen {} · all readable {} · {:.0} MiB more",
                show(took.cpu),
                show(took.durable),
                show(took.screen),
                show(took.readable),
                took.memory
            );
            table.row(&format!("{title}: Cairn, two nodes over loopback QUIC"), line, target(missing, 1));
            if missing == prefix.max(missing) && prefix > 0 {
                let again = folders.filled(&place.path().join("talking"), some, prefix)?;
                let mut took = whole::run(&again, missing, count + again.greeted, last, true).await?;
                let line = format!("{} · durable {}", whole::said(&mut took.said), show(took.durable));
                table.row(&format!("{title}: `say` meanwhile, median / slowest"), line, "");
            }
        }
        if only.is_empty() || only == "others" {
            let some = changes.get(..count).ok_or("too few changes")?;
            let figures = automerge_sync::run(some, prefix, place.path())?;
            table.row(&format!("{title}: automerge::sync, fresh state"), figures.line(), "");
            let figures = samod_repo::run(some, prefix, place.path()).await?;
            table.row(&format!("{title}: samod 0.16"), figures.line(), "");
        }
        eprintln!("  load {}", proc::load());
    }
    Ok(())
}

fn last_id(entries: &[std::sync::Arc<cairn_crdt::entry::Entry>]) -> Result<cairn_crdt::ids::MessageId, Error> {
    data::id_of(entries.len().checked_sub(1).ok_or("no entries")?, entries)
}

fn target(missing: usize, how: usize) -> &'static str {
    match (missing, how) {
        (0, _) => "1 round trip, < 1 kB",
        (100_000, 1) => "durable <= 1.5 s, readable <= 4 s, 150 MiB",
        _ => "",
    }
}
