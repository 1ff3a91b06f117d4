//! The keys that a device holds of its network: the present one, and those that are accepted for a while longer.

use super::{KeyTag, NetworkKey};
use crate::ids::NetworkId;

/// Old keys that are accepted at once; of more, those that end first go.
pub const MAX_OLD: usize = 2;

/// Why keys stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// There is a key.
    #[error("this device has a network key already: change it, or remove it first")]
    HasKey,
    /// There is none.
    #[error("this device has no network key")]
    NoKey,
    /// It is that key already.
    #[error("that is the network key of this device already")]
    Same,
}

/// A key that was changed for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The key.
    pub key: NetworkKey,
    /// Until when it is accepted, milliseconds since 1970.
    pub until: u64,
}

/// A present key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    key: NetworkKey,
    since: u64,
    network: NetworkId,
    old: Vec<Old>,
}

/// The keys of a device. Without one its network is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring(Option<Present>);

impl Ring {
    /// A key with what was kept beside it; of `old` as many as may be.
    #[must_use]
    pub fn new(key: NetworkKey, since: u64, network: NetworkId, mut old: Vec<Old>) -> Self {
        old.retain(|o| o.key != key);
        old.sort_by_key(|o| std::cmp::Reverse(o.until));
        old.truncate(MAX_OLD);
        Self(Some(Present { key, since, network, old }))
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// The present key.
    #[must_use]
    pub fn key(&self) -> Option<&NetworkKey> {
        self.0.as_ref().map(|p| &p.key)
    }

    /// Since when it is the present one, milliseconds since 1970.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.0.as_ref().map(|p| p.since)
    }

    /// The network that the first key gave; a changed key keeps it.
    #[must_use]
    pub fn network(&self) -> Option<NetworkId> {
        self.0.as_ref().map(|p| p.network)
    }

    /// The old keys, whether still accepted or not, the longest accepted first.
    #[must_use]
    pub fn old(&self) -> &[Old] {
        self.0.as_ref().map_or(&[], |p| &p.old)
    }

    /// The keys that count at a time, the present one first; none: the network is open.
    #[must_use]
    pub fn accepted(&self, now: u64) -> Vec<NetworkKey> {
        let old = self.old().iter().filter(|o| o.until > now).map(|o| &o.key);
        self.key().into_iter().chain(old).cloned().collect()
    }

    /// Whether a link that was proved so counts at a time; `None` is one of an open network.
    #[must_use]
    pub fn accepts(&self, proved: Option<KeyTag>, now: u64) -> bool {
        let keys = self.accepted(now);
        proved.map_or(keys.is_empty(), |tag| keys.iter().any(|k| k.tag() == tag))
    }

    /// When the next old key ends.
    #[must_use]
    pub fn ends(&self, now: u64) -> Option<u64> {
        self.old().iter().map(|o| o.until).filter(|until| *until > now).min()
    }

    /// The first key.
    ///
    /// # Errors
    /// [`RingError::HasKey`].
    pub fn set(&mut self, key: NetworkKey, network: NetworkId, now: u64) -> Result<(), RingError> {
        match &self.0 {
            Some(_) => Err(RingError::HasKey),
            None => {
                *self = Self::new(key, now, network, Vec::new());
                Ok(())
            }
        }
    }

    /// Another key of the same network; the present one is accepted until then.
    ///
    /// # Errors
    /// [`RingError::NoKey`] and [`RingError::Same`].
    pub fn change(&mut self, key: NetworkKey, now: u64, until: u64) -> Result<(), RingError> {
        let present = self.0.take().ok_or(RingError::NoKey)?;
        if present.key == key {
            self.0 = Some(present);
            return Err(RingError::Same);
        }
        let mut old = present.old;
        old.retain(|o| o.until > now);
        old.push(Old { key: present.key, until });
        *self = Self::new(key, now, present.network, old);
        Ok(())
    }

    /// Old keys are accepted no longer. Answers how many were.
    ///
    /// # Errors
    /// [`RingError::NoKey`].
    pub fn drop_old(&mut self, now: u64) -> Result<usize, RingError> {
        let present = self.0.as_mut().ok_or(RingError::NoKey)?;
        let accepted = present.old.iter().filter(|o| o.until > now).count();
        present.old.clear();
        Ok(accepted)
    }

    /// No key any more: the network of this device is open.
    ///
    /// # Errors
    /// [`RingError::NoKey`].
    pub fn remove(&mut self) -> Result<(), RingError> {
        self.0.take().map(drop).ok_or(RingError::NoKey)
    }
}
