//! The self space: what a person keeps for themselves and, later, for their other devices. Contacts and read marks.

use std::sync::Arc;

use cairn_crdt::author::Author;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, DocumentId, Incarnation, Kind, LogId, SpaceId};
use cairn_crdt::kinds::contacts::{Contact, Contacts, set_contact};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::kinds::read_marks::{ReadMarks, set_mark};
use cairn_crdt::known::Known;
use cairn_crdt::safety;
use cairn_crdt::seal::Keys;

use crate::limits::BATCH_BYTES;
use crate::pen::{Pen, PenError};
use crate::people::People;
use crate::store::{Store, StoreError};

/// The self space.
#[derive(Debug)]
pub struct Own {
    id: SpaceId,
    incarnation: Incarnation,
    contacts: Contacts,
    marks: ReadMarks,
    pens: [Option<Pen<Author>>; 2],
}

impl Own {
    /// Reads the self space of a device's principal.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn load(me: &DeviceId, incarnation: Incarnation, store: &dyn Store) -> Result<Self, StoreError> {
        let id = SpaceId::own(&me.principal());
        let mut own = Self { id, incarnation, contacts: Contacts::new(), marks: ReadMarks::new(), pens: [None, None] };
        for (log, _) in store.tips(&id)? {
            let mut from = 1;
            loop {
                let batch = store.entries(&id, &log, from, BATCH_BYTES)?;
                let Some(last) = batch.last() else { break };
                from = last.entry.header().seq.saturating_add(1);
                let entries: Vec<_> = batch.into_iter().map(|s| s.entry).collect();
                own.take(&entries);
            }
        }
        Ok(own)
    }

    /// What I say of devices.
    #[must_use]
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Tells the table of devices what I say of them. A comparison counts only for the two keys that were compared.
    pub fn tell(&self, me: &DeviceId, people: &People) {
        for (device, contact) in self.contacts.iter() {
            let compared = safety::record(&me.principal(), &device.principal());
            let (petname, verified) = (contact.petname.clone(), contact.verified.as_deref() == Some(&compared));
            people.update(device, |r| (r.petname, r.verified) = (petname, verified));
        }
    }

    /// How far a conversation is read.
    #[must_use]
    pub fn mark(&self, conversation: &SpaceId) -> OrderKey {
        self.marks.get(conversation)
    }

    /// Durable entries of this space.
    pub fn take(&mut self, entries: &[Arc<Entry>]) {
        for run in entries.chunk_by(|a, b| a.header().log.document == b.header().log.document) {
            match run.first().map(|e| e.header().log.document.kind()) {
                Some(Kind::Contacts) => drop(self.contacts.apply(run)),
                Some(Kind::ReadMarks) => drop(self.marks.apply(run)),
                _ => {}
            }
        }
    }

    /// Writes what I say of a device.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_contact(
        &mut self,
        key: &DeviceKey,
        store: &dyn Store,
        hlc: Hlc,
        device: &DeviceId,
        contact: &Contact,
    ) -> Result<Arc<Entry>, PenError> {
        let hlc = hlc.max(self.contacts.said(device).next());
        let pen = self.pen(0, Kind::Contacts, key, store)?;
        pen.write(hlc, |author| set_contact(author, hlc, device, contact))
    }

    /// Writes how far a conversation is read.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_mark(
        &mut self,
        key: &DeviceKey,
        store: &dyn Store,
        hlc: Hlc,
        conversation: &SpaceId,
        mark: &OrderKey,
    ) -> Result<Arc<Entry>, PenError> {
        let pen = self.pen(1, Kind::ReadMarks, key, store)?;
        pen.write(hlc, |author| set_mark(author, hlc, conversation, mark))
    }

    /// This device goes on in logs of another start.
    pub fn renew(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.pens = [None, None];
    }

    /// A commit failed: the pens are read anew from what is durable.
    pub fn failed(&mut self) {
        self.pens = [None, None];
    }

    fn pen(
        &mut self,
        which: usize,
        kind: Kind,
        key: &DeviceKey,
        store: &dyn Store,
    ) -> Result<&mut Pen<Author>, PenError> {
        let log = LogId { document: DocumentId::singleton(kind), device: key.id(), incarnation: self.incarnation };
        let slot = &mut self.pens[which.min(1)];
        match slot {
            Some(pen) => Ok(pen),
            None => Ok(slot.insert(Pen::open(key, self.id, log, store, &Known::this_build(), &Keys::default())?)),
        }
    }
}
