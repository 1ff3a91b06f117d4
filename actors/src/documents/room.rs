//! Want of room: what others make this device keep is weighed against its shares, and whoever is over one is held back
//! in replication until there is room again. So is, for a while, who forked and writes much since.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, SpaceId};

use super::DocumentsState;
use super::commits::Ticket;
use crate::api::{Event, HeldBack, WhyHeld};
use crate::limits::{DISK_LOW, FROZEN_RATE, FROZEN_UNIT, OFFENDERS_TOLD, STRANGERS};
use crate::quota::{Held, Strangers, Usage, is_low, judge, sentence};
use crate::space::{Space, SpaceKind};
use crate::store::{StoreError, stored_len};
use crate::wiring::Wiring;

impl DocumentsState {
    /// Looks how full the disk is; where that changed, everything is weighed.
    pub(super) fn look_at_disk(&mut self) {
        let low = is_low(self.wiring.store.free(), self.disk_low);
        if std::mem::replace(&mut self.disk_low, low) != low {
            self.weigh();
        }
    }

    /// Looks who is held back no longer of those who forked.
    pub(super) fn look_at_frozen(&mut self) {
        if self.freezer.thaw(self.wiring.env.mono()) {
            self.weigh();
        }
    }

    /// Entries of others go to the disk, or our own are there: they count from now on. Everything is weighed only where
    /// somebody is over a share by them.
    pub(super) fn takes(&mut self, space: SpaceId, entries: &[Arc<Entry>]) {
        let (me, quota, now) = (self.wiring.me, self.wiring.quota(), self.wiring.env.mono());
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let (was_strangers, before) = (is_strangers(sp), sp.usage.others);
        let mut over = false;
        for e in entries {
            let (log, bytes) = (e.header().log, stored_len(e));
            sp.usage.add(&me, &log.device, bytes);
            sp.usage.add_logs(&me, &log.device, u64::from(e.header().seq == 1));
            over |= sp.usage.author(&log.device) >= quota.author || sp.usage.has_many_logs(&log.device);
            over |= log.device != me && self.freezer.takes(&log, bytes, now);
        }
        over |= sp.usage.others >= quota.space;
        if was_strangers {
            let Strangers { bytes, chats } = &mut self.strangers;
            *bytes = bytes.saturating_add(sp.usage.others.saturating_sub(before));
            // The first word of theirs makes one more of such chats, and the first of ours one less.
            let begins = before == 0 && sp.usage.others > 0;
            *chats = chats.saturating_add(u64::from(begins));
            over |= *bytes >= quota.space || (begins && *chats >= STRANGERS) || !is_strangers(sp);
        }
        if over {
            self.weigh();
        }
    }

    /// What a space takes may be less by now: counts it anew.
    pub(super) fn recount(&mut self, space: SpaceId) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let mut usage = match sp.measure(&wiring) {
            Ok(usage) => usage,
            Err(e) => return wiring.trouble("store_read", Some(e.to_string())),
        };
        // What is still on its way to the disk.
        for ticket in self.tickets.values() {
            if let Ticket::Entries { space: of, from: Some(_), entries, .. } = ticket
                && *of == space
            {
                for e in entries {
                    usage.add(&wiring.me, &e.header().log.device, stored_len(e));
                    usage.add_logs(&wiring.me, &e.header().log.device, u64::from(e.header().seq == 1));
                }
            }
        }
        sp.usage = usage;
        self.weigh();
    }

    /// Weighs every space, holds back whoever is over a share, and tells of it where it is news.
    pub(super) fn weigh(&mut self) {
        let (wiring, low) = (self.wiring.clone(), self.disk_low);
        let quota = wiring.quota();
        let mut strangers = Strangers::default();
        for sp in self.spaces.values().filter(|sp| is_strangers(sp)) {
            strangers.bytes = strangers.bytes.saturating_add(sp.usage.others);
            strangers.chats = strangers.chats.saturating_add(u64::from(sp.usage.others > 0));
        }
        self.strangers = strangers;
        let mut told: Vec<HeldBack> = Vec::new();
        if low {
            told.push(tell(&wiring, None, WhyHeld::Disk, None, 0, DISK_LOW));
        }
        let rate = u64::from(FROZEN_RATE.0).saturating_mul(FROZEN_UNIT);
        let slowed = self.freezer.slowed().into_iter().take(OFFENDERS_TOLD);
        told.extend(slowed.map(|author| tell(&wiring, None, WhyHeld::Forked, Some(author), 0, rate)));
        let mut changed = Vec::new();
        for (id, sp) in &mut self.spaces {
            let pool = is_strangers(sp).then_some(strangers);
            let Held { mut held, why } = judge(wiring.me, &sp.usage, &quota, pool, low);
            self.freezer.add_to(&mut held, |device| sp.sync.replica().admits(device));
            for (why, author, bytes, limit) in why {
                let one = tell(&wiring, Some(sp), why, author, bytes, limit);
                if !told.contains(&one) {
                    told.push(one);
                }
            }
            if held != *sp.sync.replica().held_back() {
                sp.sync.set_held_back(held);
                changed.push(*id);
            }
        }
        for id in changed {
            self.carry_out(id, None);
        }
        self.publish(told);
    }

    /// Makes what is held back known, if it is another than before.
    fn publish(&self, told: Vec<HeldBack>) {
        let same = |a: &HeldBack, b: &HeldBack| (a.why, a.conversation, a.author) == (b.why, b.conversation, b.author);
        let before = {
            let mut shown = self.wiring.held_back.lock().unwrap_or_else(PoisonError::into_inner);
            if *shown == told {
                return;
            }
            std::mem::replace(&mut *shown, told.clone())
        };
        for new in told.iter().filter(|new| !before.iter().any(|old| same(old, new))) {
            tracing::warn!(why = ?new.why, "{}", new.sentence);
            match &new.author {
                Some(author) => self.wiring.notice_about(author, "held_back", new.sentence.clone()),
                None => self.wiring.notice("held_back", new.sentence.clone()),
            }
        }
        let sentences: Vec<_> = told.into_iter().map(|h| h.sentence).collect();
        self.wiring.trouble("held_back", (!sentences.is_empty()).then(|| sentences.join(" ")));
        self.wiring.emit(Event::Status(Box::new(self.wiring.status())));
    }

    /// Entries came that were held back.
    pub(super) fn dropped(&self, space: SpaceId, author: DeviceId, entries: usize) {
        tracing::debug!(author = %author.short(), space = %space.short(), entries, "no more of it is taken for now");
        self.wiring.dropped.fetch_add(entries as u64, Ordering::Relaxed);
    }
}

/// Whether a space is a direct one that was never written to from here.
fn is_strangers(sp: &Space) -> bool {
    matches!(sp.kind, SpaceKind::Direct(_)) && sp.usage.own == 0
}

fn tell(
    wiring: &Wiring,
    sp: Option<&Space>,
    why: WhyHeld,
    author: Option<DeviceId>,
    bytes: u64,
    limit: u64,
) -> HeldBack {
    let place = match sp.map(|sp| sp.kind) {
        Some(SpaceKind::Direct(peer)) => format!("the chat with {}", wiring.name_of(&peer)),
        Some(SpaceKind::Group(_)) => format!("the group {}", sp.map_or("", |sp| sp.group_name())),
        _ => "the Everyone room".into(),
    };
    let author_name = author.map(|author| wiring.name_of(&author));
    let sentence = sentence(why, &place, author_name.as_deref().unwrap_or_default(), bytes, limit);
    // All that strangers send is one thing.
    let conversation = sp.map(|sp| sp.id).filter(|_| !matches!(why, WhyHeld::Strangers | WhyHeld::Chats));
    HeldBack { why, conversation, author, author_name, bytes, limit, sentence }
}

impl Space {
    /// What it takes, as the store says.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn measure(&self, wiring: &Wiring) -> Result<Usage, StoreError> {
        let sizes = wiring.store.sizes(&self.id)?;
        let mut usage = Usage::of(&wiring.me, sizes.into_iter().chain(self.kept_aside()));
        for (device, logs) in self.sync.replica().logs_by_author() {
            usage.add_logs(&wiring.me, &device, logs);
        }
        Ok(usage)
    }
}
