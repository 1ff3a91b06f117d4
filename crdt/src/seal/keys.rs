//! The keys of one space that are at hand, and opening entries with them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Epoch, OpenError};
use crate::entry::Header;
use crate::ids::EpochId;

/// The keys of one space. A copy costs nothing and does not see what is added to another later.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<BTreeMap<EpochId, Epoch>>);

/// Why a payload stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its key is not here: nothing is known of what it says, and it may come yet.
    Missing(EpochId),
    /// It does not open with its own key, for whoever has it.
    Void(OpenError),
}

impl Keys {
    /// The key of an epoch.
    #[must_use]
    pub fn get(&self, epoch: &EpochId) -> Option<&Epoch> {
        self.0.get(epoch)
    }

    /// Every epoch whose key is here, ascending.
    pub fn epochs(&self) -> impl Iterator<Item = EpochId> {
        self.0.keys().copied()
    }

    /// Takes a key.
    pub fn insert(&mut self, epoch: Epoch) {
        Arc::make_mut(&mut self.0).insert(epoch.id(), epoch);
    }

    /// Lets go of a key.
    pub fn remove(&mut self, epoch: &EpochId) {
        if self.0.contains_key(epoch) {
            Arc::make_mut(&mut self.0).remove(epoch);
        }
    }

    /// What a payload holds; one that is not sealed holds itself.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn open<'p>(&self, header: &Header, payload: &'p [u8]) -> Result<Cow<'p, [u8]>, Closed> {
        if header.epoch == EpochId::NONE {
            return Ok(Cow::Borrowed(payload));
        }
        let missing = Closed::Missing(header.epoch);
        match self.0.get(&header.epoch).ok_or(missing)?.open(header, payload) {
            Ok(content) => Ok(Cow::Owned(content)),
            Err(OpenError::OtherEpoch) => Err(missing),
            Err(why) => Err(Closed::Void(why)),
        }
    }
}
