//! Read marks, in the self space: `{incarnation} -> {space id -> order key}`. Everything up to the key is read. A mark
//! only goes forward: readers take the highest key that any of my incarnations wrote.

use std::collections::BTreeMap;

use automerge::transaction::Transactable;

use super::order::OrderKey;
use super::own::{apply_ops, own_map, text};
use crate::author::{Author, AuthorError};
use crate::document::{Document, Outcome};
use crate::entry::Entry;
use crate::guard::Key;
use crate::hlc::Hlc;
use crate::ids::{DocumentId, Kind, SpaceId};

/// Writes a mark. Returns the payload of the next entry, whose stamp must be `hlc`.
///
/// # Errors
/// [`AuthorError`].
pub fn set_mark(author: &mut Author, hlc: Hlc, conversation: &SpaceId, key: &OrderKey) -> Result<Vec<u8>, AuthorError> {
    let own = author.log().incarnation.to_string();
    author.commit(hlc, |tx| {
        let map = own_map(tx, &own)?;
        tx.put(&map, conversation.to_string(), key.to_string())?;
        Ok(())
    })
}

/// Read marks in memory.
#[derive(Debug)]
pub struct ReadMarks {
    document: Document,
    marks: BTreeMap<SpaceId, OrderKey>,
}

impl Default for ReadMarks {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadMarks {
    /// Nothing is read.
    #[must_use]
    pub fn new() -> Self {
        Self { document: Document::new(DocumentId::singleton(Kind::ReadMarks)), marks: BTreeMap::new() }
    }

    /// Judges and applies entries.
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E]) -> Vec<Outcome> {
        let Self { document, marks } = self;
        apply_ops(document, entries, |_, op| {
            let ([_, Key::Map(space)], Some(key)) = (op.path.as_slice(), text(&op.action)) else { return };
            let (Ok(space), Ok(key)) = (space.parse::<SpaceId>(), key.parse::<OrderKey>()) else { return };
            let mark = marks.entry(space).or_default();
            *mark = key.max(*mark);
        })
    }

    /// How far a conversation is read.
    #[must_use]
    pub fn get(&self, conversation: &SpaceId) -> OrderKey {
        self.marks.get(conversation).copied().unwrap_or_default()
    }

    /// All marks.
    pub fn iter(&self) -> impl Iterator<Item = (SpaceId, OrderKey)> {
        self.marks.iter().map(|(s, k)| (*s, *k))
    }

    /// The document behind it.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }
}
