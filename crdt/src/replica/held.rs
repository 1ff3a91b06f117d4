//! Whose entries are not taken for now, for want of room or since their author forked and writes much: they are in no
//! verdict, only later. What was taken before stays, counts, and is served as ever.

use std::collections::BTreeSet;

use super::Replica;
use crate::ids::{DeviceId, Incarnation, LogId};

/// Whose entries a device does not take for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// Nobody's but those of this device: there is no room for anybody else's.
    pub all_but: Option<DeviceId>,
    /// Those of these devices.
    pub authors: BTreeSet<DeviceId>,
    /// Those that these starts of devices wrote.
    pub starts: BTreeSet<(DeviceId, Incarnation)>,
}

impl HeldBack {
    /// Whether entries of a device are not taken, whichever start of it wrote them.
    #[must_use]
    pub fn holds(&self, author: &DeviceId) -> bool {
        self.all_but.is_some_and(|but| but != *author) || self.authors.contains(author)
    }

    /// Whether entries of a log are not taken.
    #[must_use]
    pub fn holds_log(&self, log: &LogId) -> bool {
        self.holds(&log.device) || self.starts.contains(&(log.device, log.incarnation))
    }

    /// Whether everybody's are taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all_but.is_none() && self.authors.is_empty() && self.starts.is_empty()
    }

    /// Whether somebody's are not taken whose are by `other`.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        match (self.all_but, other.all_but) {
            (Some(but), Some(other)) if but == other => false,
            (Some(_), _) => true,
            (None, _) => {
                let start = |s: &(DeviceId, Incarnation)| other.holds(&s.0) || other.starts.contains(s);
                !self.authors.iter().all(|a| other.holds(a)) || !self.starts.iter().all(start)
            }
        }
    }

    /// The first `n` authors and starts of it.
    #[must_use]
    pub fn first(&self, n: usize) -> Self {
        Self {
            all_but: self.all_but,
            authors: self.authors.iter().take(n).copied().collect(),
            starts: self.starts.iter().take(n).copied().collect(),
        }
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
