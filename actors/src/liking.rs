//! How a person likes a conversation shown: pinned to the top of the list, or muted. Kept on this device, told to nobody.

use cairn_crdt::ids::SpaceId;
use serde::{Deserialize, Serialize};

use crate::store::{Row, Store, StoreError, Table, Write};

/// How a conversation is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liking {
    /// When it was pinned, milliseconds since 1970: what was pinned first stands first.
    pub pinned: Option<u64>,
    /// Until when it is muted, milliseconds since 1970; [`FOR_GOOD`]: until somebody says otherwise.
    pub muted_until: Option<u64>,
}

/// Muted without an end.
pub const FOR_GOOD: u64 = u64::MAX;
/// What keys of [`Table::Meta`] for it begin with.
const PREFIX: &[u8] = b"liking/";

impl Liking {
    /// Until when it is muted, if it is now.
    #[must_use]
    pub fn muted(&self, now: u64) -> Option<u64> {
        self.muted_until.filter(|until| *until > now)
    }

    /// The write that keeps it.
    #[must_use]
    pub fn write(&self, space: &SpaceId) -> Write {
        let key = [PREFIX, &space.0].concat();
        match postcard::to_stdvec(self) {
            Ok(bytes) if *self != Self::default() => Write::Put(Table::Meta, key, bytes),
            _ => Write::Delete(Table::Meta, key),
        }
    }
}

/// What is kept of one conversation.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub fn of(store: &dyn Store, space: &SpaceId) -> Result<Liking, StoreError> {
    let value = store.get(Table::Meta, &[PREFIX, &space.0].concat())?;
    Ok(value.and_then(|v| postcard::from_bytes(&v).ok()).unwrap_or_default())
}

/// What is kept of all.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub fn all(store: &dyn Store) -> Result<Vec<(SpaceId, Liking)>, StoreError> {
    let read = |(key, value): Row| {
        let space = <[u8; 32]>::try_from(key.get(PREFIX.len()..)?).ok()?;
        Some((SpaceId(space), postcard::from_bytes(&value).ok()?))
    };
    Ok(store.scan(Table::Meta, PREFIX)?.into_iter().filter_map(read).collect())
}
