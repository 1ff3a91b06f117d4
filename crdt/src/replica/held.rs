//! Whose entries are not taken for now, for want of room: they are in no verdict, only later. What was taken before stays,
//! counts, and is served as ever.

use std::collections::BTreeSet;

use super::Replica;
use crate::ids::DeviceId;

/// Whose entries a device does not take for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// Nobody's but those of this device: there is no room for anybody else's.
    pub all_but: Option<DeviceId>,
    /// Those of these devices.
    pub authors: BTreeSet<DeviceId>,
}

impl HeldBack {
    /// Whether entries of a device are not taken.
    #[must_use]
    pub fn holds(&self, author: &DeviceId) -> bool {
        self.all_but.is_some_and(|but| but != *author) || self.authors.contains(author)
    }

    /// Whether everybody's are taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all_but.is_none() && self.authors.is_empty()
    }

    /// Whether somebody's are not taken whose are by `other`.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        match (self.all_but, other.all_but) {
            (Some(but), Some(other)) if but == other => false,
            (Some(_), _) => true,
            (None, _) => self.authors.iter().any(|a| !other.holds(a)),
        }
    }

    /// The first `n` authors of it.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        Self { all_but: self.all_but, authors: self.authors.iter().take(n).copied().collect() }
    }
}

impl Replica {
    /// Whose entries are not taken for now.
    #[must_use]
    pub fn held_back(&self) -> &HeldBack {
        &self.held_back
    }

    /// Sets whose entries are not taken from now on.
    pub(crate) fn set_held_back(&mut self, held: HeldBack) {
        self.held_back = held;
    }
}
