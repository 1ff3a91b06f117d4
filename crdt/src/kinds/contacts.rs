//! Contacts, in the self space: `{incarnation} -> {device id -> {petname: str, verified: str, at: int}}`. `petname` and
//! `verified` (the safety digest that was compared in person) are absent where there is none; `at` is the stamp of the
//! entry. Readers take each device's record with the highest (stamp, incarnation).

use std::collections::BTreeMap;

use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ReadDoc};

use super::own::{apply_ops, is_name, map_at, own_map, text};
use crate::author::{Author, AuthorError};
use crate::document::{Document, Outcome};
use crate::entry::Entry;
use crate::guard::{Action, Key, OpView};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, Incarnation, Kind};

/// What I say of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// What I call it.
    pub petname: Option<String>,
    /// The safety digest that was compared in person.
    pub verified: Option<String>,
}

/// Writes a record whole. Returns the payload of the next entry, whose stamp must be `hlc`.
///
/// # Errors
/// [`AuthorError`]; petnames are bound as names are.
pub fn set_contact(
    author: &mut Author,
    hlc: Hlc,
    device: &DeviceId,
    contact: &Contact,
) -> Result<Vec<u8>, AuthorError> {
    if contact.petname.as_deref().is_some_and(|n| !is_name(n)) {
        return Err(AuthorError::Rule("not a name of 1 to 64 bytes"));
    }
    let own = author.log().incarnation.to_string();
    let at = i64::try_from(hlc.0).map_err(|_| AuthorError::Rule("the stamp is too large"))?;
    author.commit(hlc, |tx| {
        let map = own_map(tx, &own)?;
        let record = map_at(tx, &map, &device.to_string())?;
        put_or_delete(tx, &record, "petname", contact.petname.as_deref())?;
        put_or_delete(tx, &record, "verified", contact.verified.as_deref())?;
        tx.put(&record, "at", at)?;
        Ok(())
    })
}

fn put_or_delete(tx: &mut Transaction<'_>, map: &ObjId, key: &str, value: Option<&str>) -> Result<(), AuthorError> {
    match value {
        Some(v) => tx.put(map, key, v)?,
        None if tx.get(map, key)?.is_some() => tx.delete(map, key)?,
        None => {}
    }
    Ok(())
}

/// What each incarnation says of a device, and since when.
type Records = BTreeMap<(DeviceId, Incarnation), (Hlc, Contact)>;

/// Contacts in memory.
#[derive(Debug)]
pub struct Contacts {
    document: Document,
    records: Records,
}

impl Default for Contacts {
    fn default() -> Self {
        Self::new()
    }
}

impl Contacts {
    /// No contacts.
    #[must_use]
    pub fn new() -> Self {
        Self { document: Document::new(DocumentId::singleton(Kind::Contacts)), records: BTreeMap::new() }
    }

    /// Judges and applies entries.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let Self { document, records } = self;
        apply_ops(document, entries, |header, op| read(records, header.log.incarnation, header.hlc, op))
    }

    /// What I say of a device.
    #[must_use]
    pub fn get(&self, device: &DeviceId) -> Option<&Contact> {
        self.records
            .range((*device, Incarnation([0; 16]))..=(*device, Incarnation([0xff; 16])))
            .max_by_key(|((_, incarnation), (hlc, _))| (*hlc, *incarnation))
            .map(|(_, (_, contact))| contact)
    }

    /// When I last said something of a device; what is said next must be stamped later to count.
    #[must_use]
    pub fn said(&self, device: &DeviceId) -> Hlc {
        let starts = (*device, Incarnation([0; 16]))..=(*device, Incarnation([0xff; 16]));
        self.records.range(starts).map(|(_, (hlc, _))| *hlc).max().unwrap_or_default()
    }

    /// Every device of which I say something.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceId, &Contact)> {
        let mut last = None;
        self.records.keys().filter_map(move |(device, _)| {
            if last.replace(*device) == Some(*device) { None } else { self.get(device).map(|c| (*device, c)) }
        })
    }

    /// The document behind it.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }
}

fn read(records: &mut Records, incarnation: Incarnation, hlc: Hlc, op: &OpView) {
    let [_, Key::Map(device), rest @ ..] = op.path.as_slice() else { return };
    let Ok(device) = device.parse::<DeviceId>() else { return };
    let record = records.entry((device, incarnation)).or_default();
    record.0 = hlc;
    let value = match &op.action {
        Action::Delete => None,
        action => text(action).map(str::to_owned),
    };
    match rest {
        [Key::Map(field)] if field == "petname" => record.1.petname = value,
        [Key::Map(field)] if field == "verified" => record.1.verified = value,
        _ => {}
    }
}
