//! Tells how far catching up is: what came, and what is still to come by what peers said (`cairn_crdt::sync`).

use std::sync::PoisonError;

use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::sync::ANNOUNCED;

use super::{DocumentsState, show};
use crate::api::{Bringer, CatchUp, Event};
use crate::limits::{BRINGERS_TOLD, CATCH_UP_AGAIN};

/// How far one space is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Entries that came by being fetched and are durable, since nothing was to come.
    came: u64,
    /// What was told last, once there was much.
    told: Option<CatchUp>,
    /// Ticks since then.
    ticks: u32,
}

impl DocumentsState {
    /// Entries that were asked for became durable.
    pub(super) fn came(&mut self, space: SpaceId, entries: usize) {
        let progress = self.progress.entry(space).or_default();
        progress.came = progress.came.saturating_add(entries as u64);
    }

    /// Tells how far catching up is, where that changed; once more when it is over; and now and then in between, so
    /// that whoever lost an event is right again soon.
    pub(super) fn tell_progress(&mut self) {
        let spaces = &self.spaces;
        self.progress.retain(|id, _| spaces.contains_key(id));
        let coming: Vec<(SpaceId, Vec<(DeviceId, u64)>)> =
            spaces.iter().map(|(id, sp)| (*id, sp.sync.to_come().collect())).collect();
        for (space, from) in coming {
            let left = from.iter().fold(0u64, |n, (_, left)| n.saturating_add(*left));
            let mut progress = self.progress.remove(&space).unwrap_or_default();
            if progress.told.is_some() || (left > 0 && left.saturating_add(progress.came) >= ANNOUNCED) {
                let now = self.far(space, &progress, left, &from);
                progress.ticks = progress.ticks.saturating_add(1);
                if progress.told.as_ref() != Some(&now) || progress.ticks >= CATCH_UP_AGAIN {
                    self.wiring.emit(Event::CatchUp(Box::new(now.clone())));
                    (progress.told, progress.ticks) = (Some(now), 0);
                }
            }
            if left > 0 {
                self.progress.insert(space, progress);
            }
        }
        let told = self.progress.values().filter_map(|p| p.told.clone()).collect();
        *self.wiring.catching_up.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    fn far(&self, space: SpaceId, progress: &Progress, left: u64, from: &[(DeviceId, u64)]) -> CatchUp {
        let kind = self.spaces.get(&space).map(|sp| sp.kind);
        let title = kind.map(|kind| show::titled(kind, self.network_name(kind), &self.wiring).1);
        let name = |(id, left): &(DeviceId, u64)| Bringer { id: *id, name: self.wiring.name_of(id), left: *left };
        let mut bringers: Vec<_> = from.iter().map(name).collect();
        if let Some(last) = progress.told.as_ref().filter(|_| bringers.is_empty()) {
            bringers = last.from.iter().cloned().map(|b| Bringer { left: 0, ..b }).collect();
        }
        bringers.sort_by_key(|b| std::cmp::Reverse(b.left));
        bringers.truncate(BRINGERS_TOLD);
        CatchUp { conversation: space, title: title.unwrap_or_default(), came: progress.came, left, from: bringers }
    }
}
