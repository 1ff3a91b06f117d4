//! What is gone of a space here: its control log, what is hidden by it or by a person's wish, and what is erased.

use std::sync::Arc;

use cairn_crdt::author::Author;
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, Kind, LogId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::kinds::control::{ControlLog, Operation, Setting, unit_for, write};
use cairn_crdt::membership::Role;
use cairn_crdt::period::period_of;
use cairn_crdt::replica::lies_in;
use cairn_crdt::seal::Keys;
use cairn_crdt::spans::Spans;

use super::{Applied, Space, SpaceKind};
use crate::limits::{ERASE_LOGS, RETIRES_AT_ONCE};
use crate::pen::{Pen, PenError};
use crate::proto::agreed::Quorum;
use crate::retention::{Record, SECOND_MS, too_old};
use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

/// What the control log and the record say of a space.
#[derive(Debug)]
pub(super) struct Governing {
    pub(super) control: ControlLog,
    pub(super) record: Record,
    pub(super) pen: Option<Box<Pen<Author>>>,
}

/// How what is gone has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What went, as far as there was something.
    pub went: Spans,
    /// What came back.
    pub back: Spans,
}

impl Space {
    /// Reads the control log and the record, and hides what they hide. The tips are in the replica already.
    pub(super) fn load_gone(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        let control = DocumentId::singleton(Kind::Control);
        let replica = self.sync.replica();
        let logs: Vec<_> = replica.frontier(&control).filter(|_| replica.is_governed()).map(|(log, _)| log).collect();
        let mut read = Vec::new();
        for log in logs {
            let entries: Vec<_> = self.read_log(wiring.store.as_ref(), &log)?.into_iter().map(|s| s.entry).collect();
            let outcomes = self.governing.control.apply(&entries);
            read.push((entries, outcomes));
        }
        // Who is entitled to keys all of it says together.
        self.take_roster();
        for (entries, outcomes) in read {
            self.take_keys(&entries, &outcomes, wiring, &mut Applied::default());
        }
        self.governing.record = Record::read(wiring.store.as_ref(), &self.id)?;
        let (gone, cut) = self.gone();
        self.sync.set_gone(gone.clone());
        self.chat.set_gone(&gone, &cut);
        self.chat.set_unit(unit_for(self.keep()));
        Ok(())
    }

    /// Reads the control log anew, of which a part was cut.
    pub(super) fn reload_control(&mut self, wiring: &Wiring) -> Result<(), StoreError> {
        self.governing.pen = None;
        self.governing.control = ControlLog::new(self.sync.replica().access());
        self.reset_roster();
        if let Some(sealing) = &mut self.sealing {
            sealing.reset();
        }
        self.load_gone(wiring)
    }

    /// This device goes on in another control log of its own.
    pub(super) fn drop_control_pen(&mut self) {
        self.governing.pen = None;
    }

    /// Takes durable entries of the control log.
    pub(super) fn apply_control(&mut self, run: &[Arc<Entry>], wiring: &Wiring, out: &mut Applied) {
        if !self.sync.replica().is_governed() {
            return;
        }
        let before = self.governing.control.setting();
        let newer = self.governing.control.needs_newer();
        let outcomes = self.governing.control.apply(run);
        for (entry, outcome) in run.iter().zip(&outcomes) {
            if let Outcome::Void(why) = outcome {
                out.void.push((entry.header().log, entry.header().seq, why.to_string()));
            }
        }
        out.roster |= self.take_roster();
        self.take_keys(run, &outcomes, wiring, out);
        let newer = self.governing.control.needs_newer().saturating_sub(newer);
        out.unsupported = out.unsupported.saturating_add(newer);
        let now = self.governing.control.setting();
        out.setting = now.filter(|_| now != before);
        out.governed = true;
    }

    /// For how many milliseconds messages are kept here; `None`: for ever.
    #[must_use]
    pub fn keep(&self) -> Option<u64> {
        match self.kind {
            SpaceKind::Commons(_) => self.governing.record.keep,
            SpaceKind::Direct(_) | SpaceKind::Group(_) => self.setting().and_then(|s| s.keep),
        }
    }

    /// The setting that both sides of a direct space follow, and all members of a group.
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        self.governing.control.setting()
    }

    /// What is kept of what is gone here.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.governing.record
    }

    /// The record, to be changed and then written.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.governing.record
    }

    /// Whose clocks must agree with ours before anything here is too old.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        match self.kind {
            SpaceKind::Commons(_) | SpaceKind::Group(_) => Quorum::Others(2),
            SpaceKind::Direct(peer) => Quorum::With(peer),
        }
    }

    /// What a setting hides now.
    #[must_use]
    pub fn hidden(&self) -> Spans {
        match self.kind {
            SpaceKind::Commons(_) => self.governing.record.window(),
            SpaceKind::Direct(_) | SpaceKind::Group(_) => self.governing.control.retired(self.reference),
        }
    }

    /// What is gone, and where single messages are cut off.
    fn gone(&self) -> (Spans, Spans) {
        (self.governing.record.gone(&self.hidden()), self.governing.record.forgotten.clone())
    }

    /// Hides what is to be hidden by now, and shows what is not. Answers what that changed.
    ///
    /// # Errors
    /// [`StoreError`] where a segment had to be read and could not.
    pub fn refresh_gone(&mut self, wiring: &Wiring) -> Result<Option<Moved>, StoreError> {
        let (gone, cut) = self.gone();
        self.chat.set_unit(unit_for(self.keep()));
        let before = self.sync.replica().gone().clone();
        if gone == before && !self.chat.is_cut_otherwise(&cut) {
            return Ok(None);
        }
        let (went, came) = self.sync.set_gone(gone.clone());
        if self.chat.set_gone(&gone, &cut) || !came.is_empty() {
            let replica = self.sync.replica();
            let tips: Vec<_> = replica.documents().flat_map(|d| replica.frontier(&d).collect::<Vec<_>>()).collect();
            self.note_spans(&tips.into_iter().map(|(l, t)| (l, t.seq, t.hlc)).collect::<Vec<_>>());
        }
        self.pens.retain(|d, _| !lies_in(d, &gone));
        self.own.retain(|(log, _), _| !lies_in(&log.document, &gone));
        for logs in self.held.values_mut() {
            logs.retain(|log, _| !lies_in(&log.document, &gone));
        }
        self.segments.recent.retain(|d| !lies_in(d, &gone));
        // What went leaves what we state that we hold, and what came back is in it again.
        let moved = went.iter().chain(&came).flat_map(|d| self.sync.replica().logs(d));
        self.owed.extend(moved);
        self.dirty = true;
        self.ensure(&At::Newest, 1, wiring)?;
        let spans = |all: Vec<DocumentId>| all.iter().filter_map(period_of).map(|p| (p.start, p.end)).collect();
        Ok(Some(Moved { went: spans(went), back: spans(came) }))
    }

    /// The stamp that a message gets where our clock says `hlc`: see [`cairn_crdt::kinds::chat::Conversation::live`].
    #[must_use]
    pub fn live(&self, hlc: Hlc) -> Hlc {
        self.chat.live(hlc)
    }

    /// Writes an operation into the control log.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_control(&mut self, what: &Operation, hlc: Hlc, wiring: &Wiring) -> Result<Arc<Entry>, PenError> {
        let log =
            LogId { document: DocumentId::singleton(Kind::Control), device: wiring.me, incarnation: wiring.pen() };
        // A key is of the time of what is sealed with it.
        let about_keys = matches!(what, Operation::Prekey(_) | Operation::Epoch { .. });
        let hlc = if about_keys { self.stamp_of(hlc) } else { hlc };
        let hlc = hlc.max(self.sync.replica().admitted(&log).hlc.next());
        let hlc = hlc.max(self.governing.control.not_before(what));
        let Governing { control, pen, .. } = &mut self.governing;
        let pen = match pen {
            Some(pen) => pen,
            slot => slot.insert(Box::new(Pen::open(
                &wiring.key,
                self.id,
                log,
                wiring.store.as_ref(),
                &wiring.known,
                &Keys::default(),
            )?)),
        };
        let entry = pen.write_over(hlc, control.heads(), |author| write(author, hlc, what, control))?;
        self.sync.replica_mut().admit_own(&entry);
        Ok(entry)
    }

    /// What this side should retire at an agreed time. In a direct space both sides look, in a group its admins; all but
    /// the lowest wait an hour, so that one entry does.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn due(&self, agreed: u64, wiring: &Wiring) -> Result<Vec<Operation>, StoreError> {
        let Some(keep) = self.keep() else { return Ok(Vec::new()) };
        let first = match self.kind {
            SpaceKind::Commons(_) => return Ok(Vec::new()),
            SpaceKind::Direct(peer) => wiring.me < peer,
            SpaceKind::Group(_) => {
                let members = self.roster().map(|roster| roster.members()).into_iter().flatten();
                let mut admins = members.filter(|(_, role)| **role == Role::Admin).map(|(who, _)| *who).peekable();
                let first = admins.peek() == Some(&wiring.me.principal());
                if !admins.any(|who| who == wiring.me.principal()) {
                    return Ok(Vec::new());
                }
                first
            }
        };
        let later = if first { 0 } else { SECOND_MS };
        let before = too_old(agreed.saturating_sub(later), keep);
        let mut old = Vec::new();
        let mut young = Vec::new();
        for document in self.sync.replica().documents() {
            let Some(period) = period_of(&document).filter(|p| p.end <= before) else { continue };
            // What came in lately is not old, whatever its stamp says: it was written by a clock that is wrong.
            let lately = self.received_since(&document, agreed.saturating_sub(keep), wiring.store.as_ref())?;
            if lately {
                young.push((period.start, period.end))
            } else {
                old.push(period)
            };
        }
        let stretches = Spans::one(0, before).minus(&young.into_iter().collect());
        let holds = |from: u64, upto: u64| old.iter().any(|p| from <= p.start && p.end <= upto);
        let due = stretches.iter().filter(|(from, upto)| holds(*from, *upto)).take(RETIRES_AT_ONCE);
        Ok(due.map(|(from, upto)| Operation::Retire { from, upto }).collect())
    }

    /// Whether anything of a document came in after a time by the clock here.
    fn received_since(&self, document: &DocumentId, since: u64, store: &dyn Store) -> Result<bool, StoreError> {
        for (log, tip) in self.sync.replica().frontier(document) {
            let last = store.entries(&self.id, &log, tip.seq, 1)?;
            if last.first().is_some_and(|s| s.received > since) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The writes that erase what lies wholly in `what`: payloads, and what is kept of its messages elsewhere. In parts,
    /// so that none takes the disk for long; the record comes with the last.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn erase(&self, what: &Spans, store: &dyn Store) -> Result<Vec<Vec<Write>>, StoreError> {
        let gone = |document: &DocumentId| lies_in(document, what);
        let logs: Vec<LogId> =
            store.tips(&self.id)?.into_iter().map(|(log, _)| log).filter(|l| gone(&l.document)).collect();
        let mut parts: Vec<Vec<Write>> = Vec::new();
        for some in logs.chunks(ERASE_LOGS) {
            let erase = |log: &LogId| Write::Erase { space: self.id, log: *log, from: 1, upto: u64::MAX };
            parts.push(some.iter().map(erase).collect());
        }
        let mut rows = Vec::new();
        for (table, at) in [(Table::Durable, 64), (Table::Void, 32)] {
            let of = |key: &[u8]| Some(DocumentId(key.get(at..)?.first_chunk::<18>().copied()?));
            let keys = store.scan(table, &self.id.0)?.into_iter().map(|(key, _)| key);
            rows.extend(keys.filter(|k| of(k).is_some_and(|d| gone(&d))).map(|k| Write::Delete(table, k)));
        }
        for (key, value) in store.scan(Table::Said, &self.id.0)? {
            if value.first_chunk::<18>().is_some_and(|d| gone(&DocumentId(*d))) {
                rows.push(Write::Delete(Table::Said, key));
            }
        }
        parts.extend(rows.chunks(ERASE_LOGS).map(<[Write]>::to_vec));
        parts.push(vec![self.governing.record.write(&self.id)]);
        Ok(parts)
    }
}
