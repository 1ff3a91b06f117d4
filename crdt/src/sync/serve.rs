//! What peers asked for, read and sent in batches: what is lacking of several logs and documents goes into one frame.

use std::sync::Arc;

use super::frame::{Frame, MAX_ENTRIES};
use super::{Output, SpaceSync};
use crate::entry::Entry;
use crate::ids::{DeviceId, DocumentId, LogId};

/// Bytes of entries at which a batch is sent. With the read that reaches it a frame has at most 64 KiB, or one entry of
/// at most 256 KiB and its header, more than this.
pub(super) const PACK_BYTES: usize = 192 * 1024;
/// Entries at which a batch is sent; a read of 64 KiB brings no more than as many again.
const PACK_ENTRIES: usize = MAX_ENTRIES / 2;

/// Bytes of entries in one live frame, if they are several.
const PUSH_BYTES: usize = 256 * 1024;

/// A batch in the making.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) entries: Vec<Arc<Entry>>,
    bytes: usize,
    /// Documents that end with it.
    ends: Vec<DocumentId>,
}

impl SpaceSync {
    /// The answer to [`Output::Read`]: the batch's entries in order, possibly fewer than asked for.
    pub fn read(&mut self, to: DeviceId, log: LogId, mut entries: Vec<Arc<Entry>>) {
        let Some(p) = self.peers.get_mut(&to) else { return };
        p.busy = false;
        // What was erased cannot be brought, nor what follows it; what is gone is not.
        let whole = entries.iter().take_while(|e| e.payload.is_some()).count();
        entries.truncate(if self.replica.is_gone(&log.document) { 0 } else { whole });
        // A relay ends each run at a signature that it has verified itself. Admission sees to it that every batch that
        // begins after such a one holds another; who asks from elsewhere gets what can be vouched for.
        while entries.last().is_some_and(|e| !e.signed.verify()) {
            entries.pop();
        }
        if let Some((_, queue)) = p.serving.front_mut()
            && queue.front().is_some_and(|(l, _, _)| *l == log)
        {
            let next = entries.last().map(|e| e.header().seq.saturating_add(1));
            match (next, queue.front_mut()) {
                (Some(n), Some((_, from, upto))) if n <= *upto => *from = n,
                _ => drop(queue.pop_front()),
            }
            let bytes = entries.iter().map(|e| e.whole_len()).fold(0, usize::saturating_add);
            p.packed.bytes = p.packed.bytes.saturating_add(bytes);
            p.packed.entries.append(&mut entries);
        }
        self.pump(to);
    }

    /// Reads on for a peer, or sends it what is packed.
    pub(super) fn pump(&mut self, peer: DeviceId) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        let mut full = p.packed.bytes >= PACK_BYTES || p.packed.entries.len() >= PACK_ENTRIES;
        while !p.busy && !full {
            match p.serving.front() {
                Some((document, queue)) => match queue.front().copied() {
                    Some((log, from, upto)) => {
                        p.busy = true;
                        self.out.push(Output::Read { to: peer, log, from, upto });
                    }
                    None => {
                        p.packed.ends.push(*document);
                        p.serving.pop_front();
                    }
                },
                None => full = true,
            }
        }
        if p.busy {
            return;
        }
        let Packed { entries, ends, .. } = std::mem::take(&mut p.packed);
        if !entries.is_empty() {
            p.busy = true;
            self.out.push(Output::Send(peer, Frame::Entries { live: false, entries }));
        }
        self.out.extend(ends.into_iter().map(|document| Output::Send(peer, Frame::Served(document))));
    }
}

/// Splits entries so that none of the parts is longer than [`PUSH_BYTES`], unless it is one entry.
pub(super) fn parts(entries: &[Arc<Entry>]) -> Vec<&[Arc<Entry>]> {
    let (mut out, mut from, mut bytes) = (Vec::new(), 0, 0usize);
    for (at, e) in entries.iter().enumerate() {
        // At most: header and signature, length and flag, payload.
        let lists = e.header().deps.len().saturating_mul(88).saturating_add(e.header().control_heads.len() * 32);
        let len = e.payload.as_ref().map_or(0, Vec::len).saturating_add(lists).saturating_add(400);
        if bytes.saturating_add(len) > PUSH_BYTES && at > from {
            out.extend(entries.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(len);
    }
    out.extend(entries.get(from..).filter(|rest| !rest.is_empty()));
    out
}
