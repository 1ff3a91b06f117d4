//! What came that needs a newer Cairn: it is kept and passed on like everything else, and people are told that it is
//! there. Nothing of it is remembered beside its entries: the first start of a build that understands it shows it.

use std::sync::atomic::Ordering;

use cairn_crdt::ids::{DeviceId, SpaceId};

use super::DocumentsState;
use crate::api::Event;

impl DocumentsState {
    /// Entries of a space became durable that this build does not understand; `author` wrote at least one of them.
    pub(super) fn needs_newer(&mut self, space: SpaceId, count: u64, author: Option<DeviceId>) {
        self.wiring.emit(Event::Messages { conversation: space, count });
        self.newer_seen(space, author);
    }

    /// Some of what came to a space before is not understood either; `None`: nobody knows any more who wrote it.
    pub(super) fn newer_seen(&mut self, space: SpaceId, author: Option<DeviceId>) {
        if self.newer_told.insert(space) {
            let who = author.map_or_else(|| "Somebody".to_owned(), |d| self.wiring.name_of(&d));
            let sentence =
                format!("{who} wrote with a newer Cairn than this one. It is kept, and shows once Cairn is updated.");
            self.wiring.notice("needs_newer", sentence);
        }
        self.count_newer();
    }

    /// Counts it over all spaces, for the status.
    pub(super) fn count_newer(&self) {
        let each = self.spaces.values().map(|sp| sp.needs_newer(&self.wiring.known));
        let all = each.fold(0u64, |n, (messages, others)| n.saturating_add(messages).saturating_add(others));
        if self.wiring.newer.swap(all, Ordering::Relaxed) != all {
            self.wiring.emit(Event::Status(Box::new(self.wiring.status())));
        }
    }
}
