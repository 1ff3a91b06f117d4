//! The same messages as one Automerge document at each side, brought together by `automerge::sync`, in process. What
//! came is appended to a file with fsync.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use automerge::sync::{Message, State, SyncDoc};
use automerge::{Automerge, Change};

use super::{Figures, data};
use crate::nodes::Error;
use crate::proc;

/// Lets a document with the first `prefix` changes get the rest.
///
/// # Errors
/// Where it does not.
pub fn run(changes: &[Change], prefix: usize, folder: &Path) -> Result<Figures, Error> {
    let (mut giver, mut taker) = (Automerge::new(), Automerge::new());
    giver.apply_changes(changes.to_vec())?;
    taker.apply_changes(changes.get(..prefix).ok_or("too few changes")?.to_vec())?;
    let before = taker.get_heads();
    let mut file = std::fs::File::create(folder.join("automerge"))?;

    let (begun, cpu) = (Instant::now(), proc::own_cpu());
    let (mut theirs, mut ours) = (State::new(), State::new());
    let (mut bytes, mut ways) = (0u64, 0u32);
    loop {
        let to_taker = giver.generate_sync_message(&mut theirs).map(Message::encode);
        let to_giver = taker.generate_sync_message(&mut ours).map(Message::encode);
        if to_taker.is_none() && to_giver.is_none() {
            break;
        }
        ways += 1;
        if let Some(message) = to_taker {
            bytes += message.len() as u64;
            taker.receive_sync_message(&mut ours, Message::decode(&message)?)?;
        }
        if let Some(message) = to_giver {
            bytes += message.len() as u64;
            giver.receive_sync_message(&mut theirs, Message::decode(&message)?)?;
        }
    }
    let applied = begun.elapsed();
    if taker.get_heads() != giver.get_heads() {
        return Err("automerge::sync ends with different heads".into());
    }
    file.write_all(&taker.save_after(&before))?;
    file.sync_all()?;
    let durable = begun.elapsed();
    let cpu = proc::own_cpu().saturating_sub(cpu);
    let reading = Instant::now();
    let shown = data::read(&taker)?;
    if shown != changes.len() {
        return Err(format!("{shown} messages show, not {}", changes.len()).into());
    }
    let readable = applied + reading.elapsed();
    Ok(Figures { bytes, round_trips: f64::from(ways) / 2.0, cpu, durable, readable })
}
