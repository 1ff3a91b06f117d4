//! Cairn's pure halves with real stores: two `SpaceSync`s that hand each other encoded frames, one thread, no network.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_actors::limits::BATCH_BYTES;
use cairn_actors::store::{RedbStore, Store, Write};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, DocumentId, SpaceId};
use cairn_crdt::kinds::chat::ChatSegment;
use cairn_crdt::replica::{Access, Replica, Tip};
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::sync::{Output, SpaceSync};

use super::Figures;
use crate::nodes::Error;
use crate::proc;

/// Frames of entries that go into one commit, as many as a session of the product has under way at once.
const GROUP: usize = 16;

/// What came, as the replication wants it made durable.
type Coming = (DeviceId, bool, Vec<Arc<Entry>>);

/// One of the two.
struct Side {
    id: DeviceId,
    space: SpaceId,
    sync: SpaceSync,
    store: RedbStore,
    coming: Vec<Coming>,
    got: usize,
    equal: bool,
}

impl Side {
    fn open(id: u8, space: SpaceId, path: &Path) -> Result<Self, Error> {
        let store = RedbStore::open(path)?;
        let mut replica = Replica::new(space, Access::Commons);
        for (log, tip) in store.tips(&space)? {
            replica.restore(&log, Tip { seq: tip.seq, hash: tip.hash, hlc: tip.hlc });
        }
        let (id, sync) = (DeviceId([id; 32]), SpaceSync::new(replica));
        Ok(Self { id, space, sync, store, coming: Vec::new(), got: 0, equal: false })
    }

    /// Does what its replication asks for; what it wants to send goes to `out`.
    fn carry_out(&mut self, out: &mut VecDeque<Vec<u8>>) -> Result<(), Error> {
        loop {
            let outputs = self.sync.take();
            if outputs.is_empty() {
                return Ok(());
            }
            for output in outputs {
                match output {
                    Output::Send(to, frame) => {
                        out.push_back(frame.encode());
                        if matches!(frame, Frame::Entries { live: false, .. }) {
                            self.sync.sent(to);
                        }
                    }
                    Output::Commit { from, live, entries } => self.coming.push((from, live, entries)),
                    Output::Read { to, log, from, upto } => {
                        let read = self.store.entries(&self.space, &log, from, BATCH_BYTES)?;
                        let entries = read.into_iter().map(|s| s.entry).filter(|e| e.header().seq <= upto).collect();
                        self.sync.read(to, log, entries);
                    }
                    Output::Equal(_) => self.equal = true,
                    Output::Push(..) | Output::Durable(..) | Output::HeldBack(..) => {}
                    // Every log here has one branch.
                    Output::Examine { .. } | Output::Forked { .. } | Output::Trace { .. } => {}
                    Output::Blame(_, why) => return Err(why.to_string().into()),
                }
            }
        }
    }

    /// Makes durable what came.
    fn commit(&mut self) -> Result<(), Error> {
        if self.coming.is_empty() {
            return Ok(());
        }
        let coming = std::mem::take(&mut self.coming);
        let all = coming.iter().flat_map(|(_, _, entries)| entries);
        let writes: Vec<_> = all.map(|entry| Write::Append { entry: entry.clone(), received: 1 }).collect();
        self.store.commit(&writes)?;
        for (from, live, entries) in &coming {
            self.got += entries.len();
            self.sync.committed(Some(*from), *live, entries);
        }
        Ok(())
    }

    /// Reads every message of the space, as a person does who scrolls through all of it: entries from the store
    /// through guard and rule into segments.
    fn read_all(&self) -> Result<usize, Error> {
        let documents: Vec<DocumentId> = self.sync.replica().documents().collect();
        let mut shown = 0;
        for document in documents {
            let mut segment = ChatSegment::new(document).ok_or("not a chat")?;
            for (log, _) in self.sync.replica().frontier(&document) {
                let mut from = 1;
                loop {
                    let stored = self.store.entries(&self.space, &log, from, BATCH_BYTES * 4)?;
                    let Some(last) = stored.last() else { break };
                    from = last.entry.header().seq + 1;
                    let entries: Vec<_> = stored.into_iter().map(|s| s.entry).collect();
                    segment.apply(&entries, |_| 1);
                }
            }
            shown += segment.len();
        }
        Ok(shown)
    }
}

/// Lets the one at `path` get what the one at `from` has: `missing` entries, after which it shows `total` messages.
///
/// # Errors
/// Where it does not.
pub fn run(space: SpaceId, from: &Path, path: &Path, missing: usize, total: usize) -> Result<Figures, Error> {
    let (mut giver, mut taker) = (Side::open(1, space, from)?, Side::open(2, space, path)?);
    let (begun, cpu) = (Instant::now(), proc::own_cpu());
    let (mut bytes, mut ways) = (0u64, 0u32);
    giver.sync.opened(taker.id);
    taker.sync.opened(giver.id);
    let mut done: Option<(Duration, u32)> = None;
    let (mut to_taker, mut to_giver) = (VecDeque::new(), VecDeque::new());
    loop {
        giver.carry_out(&mut to_taker)?;
        taker.carry_out(&mut to_giver)?;
        if to_taker.is_empty() && to_giver.is_empty() {
            break;
        }
        // What both send at once is one way through the wire.
        ways += 1;
        bytes += to_taker.iter().chain(&to_giver).map(|f: &Vec<u8>| f.len() as u64 + FRAME).sum::<u64>();
        let (mut taking, giving) = (std::mem::take(&mut to_taker), std::mem::take(&mut to_giver));
        for frame in giving {
            giver.sync.received(taker.id, Frame::decode(&frame)?);
        }
        let mut under_way = 0;
        while let Some(frame) = taking.pop_front() {
            taker.sync.received(giver.id, Frame::decode(&frame)?);
            taker.carry_out(&mut to_giver)?;
            under_way += 1;
            if under_way == GROUP || taking.is_empty() {
                taker.commit()?;
                under_way = 0;
            }
        }
        if done.is_none() && taker.got >= missing && (missing > 0 || taker.equal) {
            done = Some((begun.elapsed(), ways));
        }
    }
    let cpu = proc::own_cpu().saturating_sub(cpu);
    let Some((durable, ways)) = done.filter(|_| taker.got == missing) else {
        return Err(format!("{} entries came, not {missing}", taker.got).into());
    };
    let reading = Instant::now();
    let shown = taker.read_all()?;
    if shown != total {
        return Err(format!("{shown} messages show, not {total}").into());
    }
    Ok(Figures { bytes, round_trips: f64::from(ways) / 2.0, cpu, durable, readable: durable + reading.elapsed() })
}

/// What stands before a frame on the wire: its length and the tag of its space.
const FRAME: u64 = 4 + 8;
