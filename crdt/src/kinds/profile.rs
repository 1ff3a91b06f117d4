//! The profile: what one device says of itself. `{incarnation} -> {name: str, since: int}`; `since` is the stamp of the
//! entry that said it. Readers take what the incarnation with the highest (stamp, incarnation) says.

use std::collections::BTreeMap;

use automerge::transaction::Transactable;

use super::own::{apply_ops, own_map, text};
use crate::author::{Author, AuthorError};
use crate::document::{Document, Outcome};
use crate::entry::Entry;
use crate::guard::Key;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, Incarnation};

pub use super::own::is_name;

/// Writes a name. Returns the payload of the next entry, whose stamp must be `hlc`.
///
/// # Errors
/// [`AuthorError`]; names have 1 to 64 bytes, are not blank and hold no control characters.
pub fn set_name(author: &mut Author, hlc: Hlc, name: &str) -> Result<Vec<u8>, AuthorError> {
    if !is_name(name) {
        return Err(AuthorError::Rule("not a name of 1 to 64 bytes"));
    }
    let own = author.log().incarnation.to_string();
    let since = i64::try_from(hlc.0).map_err(|_| AuthorError::Rule("the stamp is too large"))?;
    author.commit(hlc, |tx| {
        let map = own_map(tx, &own)?;
        tx.put(&map, "name", name)?;
        tx.put(&map, "since", since)?;
        Ok(())
    })
}

/// A profile in memory.
#[derive(Debug)]
pub struct Profile {
    document: Document,
    names: BTreeMap<(Hlc, Incarnation), String>,
}

impl Profile {
    /// The empty profile of a device.
    #[must_use]
    pub fn new(device: &DeviceId) -> Self {
        Self { document: Document::new(DocumentId::profile(device)), names: BTreeMap::new() }
    }

    /// Judges and applies entries.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let Self { document, names } = self;
        let outcomes = apply_ops(document, entries, |header, op| {
            if let ([_, Key::Map(field)], Some(name)) = (op.path.as_slice(), text(&op.action))
                && field == "name"
            {
                names.insert((header.hlc, header.log.incarnation), name.to_owned());
            }
        });
        // Only the highest counts.
        while names.len() > 1 {
            names.pop_first();
        }
        outcomes
    }

    /// The name and since when, if the device has said one.
    #[must_use]
    pub fn name(&self) -> Option<(&str, Hlc)> {
        self.names.last_key_value().map(|((hlc, _), name)| (name.as_str(), *hlc))
    }

    /// The document behind it.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }
}
