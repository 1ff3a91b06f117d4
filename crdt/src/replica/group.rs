//! Groups: whose entries count, and up to where, as far as the group's control log is known here.

use std::sync::Arc;

use super::{Access, Replica};
use crate::entry::Entry;
use crate::ids::{DeviceId, EntryHash, Kind, LogId};
use crate::roster::Roster;

impl Replica {
    /// Makes it the replica of a group.
    #[must_use]
    pub fn with_roster(mut self, roster: Roster) -> Self {
        self.roster = Some(Box::new(roster));
        self
    }

    /// Begins anew with who belongs to the group.
    pub fn set_roster(&mut self, roster: Roster) {
        self.roster = Some(Box::new(roster));
    }

    /// Who belongs to the group; `None` in other spaces.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.roster.as_deref()
    }

    /// The same, to be told what the control log says.
    pub fn roster_mut(&mut self) -> Option<&mut Roster> {
        self.roster.as_deref_mut()
    }

    /// Up to which entry a log counts in a group; `None`: without end.
    #[must_use]
    pub fn limit(&self, log: &LogId) -> Option<u64> {
        self.limit_since(log, self.firsts.get(log).map(Vec::as_slice).unwrap_or_default())
    }

    fn limit_since(&self, log: &LogId, since: &[EntryHash]) -> Option<u64> {
        if self.access != Access::Group {
            return None;
        }
        match &self.roster {
            Some(roster) if log.document.kind() == Kind::Control => (!roster.is_named(&log.device)).then_some(0),
            Some(roster) => roster.limit(log, since),
            None => Some(0),
        }
    }

    /// Logs of whose authors something may be cut and of which the first entry is not known here.
    #[must_use]
    pub fn firsts_lacking(&self) -> Vec<LogId> {
        let Some(roster) = self.roster.as_deref() else { return Vec::new() };
        let documents = self.docs.iter().chain(&self.hidden).filter(|(id, _)| id.kind() != Kind::Control);
        let logs = documents.flat_map(|(document, doc)| {
            doc.logs.keys().map(|(device, incarnation)| LogId {
                document: *document,
                device: *device,
                incarnation: *incarnation,
            })
        });
        logs.filter(|log| roster.is_cut(&log.device) && !self.firsts.contains_key(log)).collect()
    }

    /// Takes the first entry of a log, as it is stored.
    pub fn note_first(&mut self, entry: &Entry) {
        let header = entry.header();
        let cut = |roster: &Roster| roster.is_cut(&header.log.device);
        if header.seq == 1 && header.log.document.kind() != Kind::Control && self.roster().is_some_and(cut) {
            self.firsts.insert(header.log, header.control_heads.clone());
        }
    }

    /// The part of a run that may stand in its log in a group; the last signature of it verifies wherever that of the whole
    /// run does.
    pub(super) fn entitled<'a>(&self, log: &LogId, run: &'a [Arc<Entry>]) -> &'a [Arc<Entry>] {
        let limit = match run.first().map(|e| e.header()).filter(|h| h.seq == 1) {
            Some(first) => self.limit_since(log, &first.control_heads),
            None => self.limit(log),
        };
        let Some(limit) = limit.filter(|limit| run.last().is_some_and(|e| e.header().seq > *limit)) else { return run };
        let at = run.iter().position(|e| e.header().seq > limit).unwrap_or(0);
        let before = run.get(..at).unwrap_or_default();
        let signed = before.iter().rposition(|e| e.signed.verify()).map_or(0, |i| i.saturating_add(1));
        before.get(..signed).unwrap_or_default()
    }

    /// Logs that go further than they count, ascending, with the first entry that does not. One that `me` begins is left
    /// alone until it is durable: what it has seen may be on its way too.
    #[must_use]
    pub fn beyond(&self, me: &DeviceId) -> Vec<(LogId, u64)> {
        let Some(roster) = self.roster.as_deref() else { return Vec::new() };
        let mut all = Vec::new();
        for (document, doc) in self.docs.iter().chain(&self.hidden).filter(|(id, _)| id.kind() != Kind::Control) {
            for ((device, incarnation), state) in &doc.logs {
                let log = LogId { document: *document, device: *device, incarnation: *incarnation };
                if device == me && state.durable.seq == 0 {
                    continue;
                }
                let limit = self.limit(&log).filter(|limit| state.admitted.seq > *limit);
                // Until the group's beginning is here nobody is anything.
                if let Some(limit) = limit.filter(|_| roster.is_known()) {
                    all.push((log, limit.saturating_add(1)));
                }
            }
        }
        all.sort_unstable();
        all
    }
}
