//! Which parts of a conversation are in memory, and how they come there.
//!
//! What is durable counts at once; the messages of it are read from the store in slices, so that nothing else waits for
//! a long history. A segment may be in memory in part: what is not read yet stands in its span, and pages that may
//! hold something of it wait for it ([`Space::prepare`]). Of what nobody asks for only the segments that may hold the
//! newest message are read in the background ([`Space::catch_up`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, LogId};
use cairn_crdt::kinds::chat::{Applied as SegmentApplied, PageAt as At, Span, week_start};
use cairn_crdt::period::period_of;

use super::{Applied, Space};
use crate::limits::{BATCH_BYTES, SLICE_ENTRIES};
use crate::store::StoreError;
use crate::wiring::Wiring;

/// Segments of one conversation kept in memory at least; older ones go when newer are read.
pub(super) const SEGMENTS_KEPT: usize = 4;
/// Entries of one document that come together and are taken into it at once; more are read in slices.
const AT_ONCE: usize = 64;

/// What of a conversation is in memory.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Segments that were read, the latest last.
    pub(super) recent: Vec<DocumentId>,
    /// Something came that is not read yet and may be the newest message.
    unread: bool,
    /// Logs that cannot be read on, and how long they were then.
    stuck: BTreeMap<LogId, u64>,
    /// What was read since it was last asked for.
    news: Applied,
}

impl Segments {
    /// A segment is to be read anew.
    pub(super) fn forget(&mut self, document: &DocumentId) {
        self.recent.retain(|d| d != document);
        self.stuck.retain(|log, _| log.document != *document);
    }
}

impl Space {
    /// Tells the conversation what its unloaded segments can hold. The store knows each log's length and last stamp;
    /// the first is not before the segment's week begins.
    pub(super) fn note_spans(&mut self, tips: &[(LogId, u64, Hlc)]) {
        let mut spans: BTreeMap<DocumentId, Span> = BTreeMap::new();
        for (log, seq, hlc) in tips {
            if let Some(span) = span_of(log, *seq, *hlc) {
                spans.entry(log.document).and_modify(|s| *s = s.join(span)).or_insert(span);
            }
        }
        for (id, span) in spans {
            self.chat.note(id, span);
        }
    }

    /// Brings into memory what a page needs, however long that takes.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn ensure(&mut self, at: &At, n: usize, wiring: &Wiring) -> Result<(), StoreError> {
        self.make_room(wiring);
        while !self.prepare(at, n, usize::MAX, wiring)? {}
        Ok(())
    }

    /// Brings into memory what a page needs, about `most` entries of it; answers whether that is all. Pages that are
    /// prepared in several steps come one after the other, each after [`Space::make_room`].
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn prepare(&mut self, at: &At, n: usize, most: usize, wiring: &Wiring) -> Result<bool, StoreError> {
        let mut left = most;
        while let Some(document) = self.chat.needs(at, n) {
            if left == 0 {
                return Ok(false);
            }
            left = left.saturating_sub(self.read_slice(document, left, wiring)?);
        }
        Ok(true)
    }

    /// Whether a page can be answered from what is in memory.
    #[must_use]
    pub fn is_ready(&self, at: &At, n: usize) -> bool {
        self.chat.needs(at, n).is_none()
    }

    /// Whether [`Space::catch_up`] has something to do.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.segments.unread
    }

    /// Reads a slice of what may hold the newest message.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read; it is tried again when more comes or somebody looks.
    pub fn catch_up(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        if std::mem::take(&mut self.segments.unread) {
            let done = self.prepare(&At::Newest, 1, SLICE_ENTRIES, wiring)?;
            self.segments.unread = !done;
            if done {
                self.make_room(wiring);
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// What was read since it was last asked for.
    pub fn take_news(&mut self) -> Applied {
        let news = std::mem::take(&mut self.segments.news);
        self.dirty |= !news.shown.is_empty() || !news.changed.is_empty() || news.unsupported > 0;
        news
    }

    /// Logs of a segment in memory are to be read on from where they stand: keys came that they waited for.
    pub(super) fn read_on_in(&mut self, document: DocumentId) {
        self.segments.stuck.retain(|log, _| log.document != document);
        let tips: Vec<_> = self.sync.replica().frontier(&document).map(|(l, t)| (l, t.seq, t.hlc)).collect();
        self.note_rest(document, &tips);
        self.segments.unread = true;
        self.dirty = true;
    }

    /// Tells the conversation what of a segment in memory is not read.
    fn note_rest(&mut self, document: DocumentId, tips: &[(LogId, u64, Hlc)]) {
        let rests = tips.iter().filter_map(|(log, seq, hlc)| {
            let unread = seq.checked_sub(self.judged(log)).filter(|n| *n > 0 && !self.is_stuck(log, *seq))?;
            span_of(log, unread, *hlc)
        });
        let rest = rests.reduce(Span::join);
        self.chat.rest(document, rest);
    }

    /// Reads at most about `most` entries of a segment, and answers how many (at least one, so that this ends).
    fn read_slice(&mut self, document: DocumentId, most: usize, wiring: &Wiring) -> Result<usize, StoreError> {
        if self.chat.segment(&document).is_none() {
            self.chat.begin(document);
            self.segments.recent.retain(|d| *d != document);
            self.segments.recent.push(document);
        }
        let mut left = most;
        let mut rest: Option<Span> = None;
        let logs: Vec<_> = self.sync.replica().frontier(&document).collect();
        for (log, tip) in logs {
            let mut judged = self.judged(&log);
            while left > 0 && judged < tip.seq && !self.is_stuck(&log, tip.seq) {
                let batch = wiring.store.entries(&self.id, &log, judged.saturating_add(1), BATCH_BYTES)?;
                let received: BTreeMap<u64, u64> = batch.iter().map(|s| (s.entry.header().seq, s.received)).collect();
                let run: Vec<_> = batch.into_iter().map(|s| s.entry).collect();
                let at = |e: &Arc<Entry>| received.get(&e.header().seq).copied().unwrap_or(0);
                if let Some(applied) = self.chat.apply(document, &run, at) {
                    let mut news = std::mem::take(&mut self.segments.news);
                    self.applied(&run, applied, wiring, &mut news);
                    self.segments.news = news;
                }
                left = left.saturating_sub(run.len());
                let now = self.judged(&log);
                // One whose entries cannot be judged, or are not there, holds up no other.
                if now <= judged {
                    self.segments.stuck.insert(log, tip.seq);
                }
                judged = now;
            }
            if judged < tip.seq
                && !self.is_stuck(&log, tip.seq)
                && let Some(span) = span_of(&log, tip.seq.saturating_sub(judged), tip.hlc)
            {
                rest = Some(rest.map_or(span, |r| r.join(span)));
            }
        }
        self.chat.rest(document, rest);
        if self.chat.segment(&document).is_none() {
            // Nothing that can be read.
            self.chat.note(document, Span { first: Hlc(0), last: Hlc(0), count: 0 });
        }
        Ok(most.saturating_sub(left).max(1))
    }

    /// Brings all of a segment into memory.
    pub(super) fn load_segment(&mut self, document: DocumentId, wiring: &Wiring) -> Result<(), StoreError> {
        self.read_slice(document, usize::MAX, wiring).map(drop)
    }

    fn judged(&self, log: &LogId) -> u64 {
        self.chat.segment(&log.document).map_or(0, |s| s.judged(log))
    }

    fn is_stuck(&self, log: &LogId, len: u64) -> bool {
        self.segments.stuck.get(log) == Some(&len)
    }

    /// Lets go of segments that were read before the last few. Before a page and not in between: it may need more than
    /// are kept, and one that went would be asked for again, without end.
    pub fn make_room(&mut self, wiring: &Wiring) {
        let newest = self.chat.target(Hlc::from_ms(wiring.mesh_ms()));
        while self.segments.recent.len() > SEGMENTS_KEPT
            && let Some(at) = self.segments.recent.iter().position(|d| *d != newest)
        {
            let oldest = self.segments.recent.remove(at);
            self.chat.evict(&oldest);
            self.segments.stuck.retain(|log, _| log.document != oldest);
            self.own.retain(|(log, _), _| log.document != oldest);
        }
    }

    /// Takes durable entries of a segment in, or counts them: what is few and follows what is in memory at once, the
    /// rest when somebody looks, or in the background.
    pub(super) fn apply_chat(
        &mut self,
        document: DocumentId,
        run: &[Arc<Entry>],
        received: u64,
        wiring: &Wiring,
        out: &mut Applied,
    ) {
        let before = out.counted;
        for one in run.chunk_by(|a, b| a.header().log == b.header().log) {
            let Some(first) = one.first() else { continue };
            let log = first.header().log;
            let follows = self.judged(&log).checked_add(1) == Some(first.header().seq);
            // What was said here just now shows in any case: its speakers wait.
            let few = run.len() <= AT_ONCE || [wiring.incarnation, wiring.pen()].contains(&log.incarnation);
            let applied = if follows && few { self.chat.apply(document, one, |_| received) } else { None };
            match applied {
                Some(applied) => self.applied(one, applied, wiring, out),
                None => {
                    out.counted = out.counted.saturating_add(one.len());
                    let lowest = out.counted_from.filter(|h| *h <= first.header().hlc);
                    if log.device != wiring.me {
                        out.counted_from = lowest.or(Some(first.header().hlc));
                    }
                }
            }
        }
        if self.chat.segment(&document).is_some() && !self.segments.recent.contains(&document) {
            self.segments.recent.push(document);
        }
        if out.counted == before {
            return;
        }
        let tips: Vec<_> = self.sync.replica().frontier(&document).map(|(l, t)| (l, t.seq, t.hlc)).collect();
        if self.chat.segment(&document).is_some() {
            self.note_rest(document, &tips);
        } else {
            self.note_spans(&tips);
        }
        self.segments.unread = true;
        self.dirty = true;
    }

    /// What became of a run in its segment.
    fn applied(&mut self, run: &[Arc<Entry>], applied: SegmentApplied, wiring: &Wiring, out: &mut Applied) {
        for (entry, outcome) in run.iter().zip(&applied.outcomes) {
            match outcome {
                Outcome::Void(why) => out.void.push((entry.header().log, entry.header().seq, why.to_string())),
                Outcome::Unsupported => out.unsupported = out.unsupported.saturating_add(1),
                Outcome::Locked(_) => {
                    out.locked = out.locked.saturating_add(1);
                    let lower = |at: &Hlc| *at <= entry.header().hlc;
                    if entry.header().log.device != wiring.me {
                        out.counted_from = out.counted_from.filter(lower).or(Some(entry.header().hlc));
                    }
                }
                _ => {}
            }
        }
        for key in &applied.shown {
            if key.device == wiring.me
                && let Some(m) = self.chat.get(&key.device.principal(), &key.id)
            {
                self.own.insert((m.log, m.seq), key.id);
            }
        }
        out.shown.extend(applied.shown);
        out.changed.extend(applied.changed);
        let author = |at: usize| run.get(at).map(|e| e.header().log.device);
        out.records.extend(applied.records.into_iter().filter_map(author));
    }
}

/// What entries of a log can hold of which the last is stamped `last`. What is said of messages may come long after them
/// and stands beside them: it makes no segment last longer.
fn span_of(log: &LogId, count: u64, last: Hlc) -> Option<Span> {
    let (week, _) = log.document.chat_week()?;
    // What is said of messages may come long after them.
    let last = period_of(&log.document).map_or(last, |p| last.min(Hlc::from_ms(p.end)));
    let last = period_of(&log.document).map_or(last, |p| last.min(Hlc::from_ms(p.end)));
    Some(Span { first: Hlc::from_ms(week_start(week)).min(last), last, count })
}
