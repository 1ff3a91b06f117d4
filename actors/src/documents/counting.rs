//! Counts messages for reunions, a slice at a time between other work: there may be many conversations, and none of what
//! is counted need be in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::kinds::chat::{MessageView, PageAt as At};

use super::{DocumentsMsg, DocumentsState};
use crate::limits::{BRIEFING_SCAN, PAGE_TURNS, SLICE_ENTRIES};
use crate::proto::briefing::{Reunion, Tally};

/// Whose messages are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// What was written on our side before they came, by when it became durable here. What these wrote is not ours.
    Ours(BTreeSet<DeviceId>),
    /// What the others wrote before they came, by their stamps.
    Theirs,
}

/// A count under way.
#[derive(Debug)]
pub(super) struct Count {
    reunion: Reunion,
    whose: Whose,
    /// What became durable here before this is not looked at.
    since: u64,
    /// Spaces still to be looked through, the first one down to a place.
    spaces: VecDeque<SpaceId>,
    at: At,
    looked: usize,
    turns: usize,
    tallies: BTreeMap<(SpaceId, DeviceId), Tally>,
}

impl Count {
    pub(super) fn new(reunion: &Reunion, whose: Whose, since: u64, of: BTreeSet<SpaceId>) -> Self {
        let spaces = of.into_iter().collect();
        let (reunion, tallies) = (reunion.clone(), BTreeMap::new());
        Self { reunion, whose, since, spaces, at: At::Newest, looked: 0, turns: 0, tallies }
    }

    fn counts(&self, m: &MessageView<'_>, me: &DeviceId) -> bool {
        match &self.whose {
            Whose::Ours(others) => m.received < self.reunion.began && !others.contains(&m.key.device),
            Whose::Theirs => {
                let here = m.key.device == *me || self.reunion.here.contains(&m.key.device);
                m.sent.ms() < self.reunion.began && !here
            }
        }
    }

    /// Goes on with the next space.
    fn next(&mut self) {
        self.spaces.pop_front();
        (self.at, self.looked, self.turns) = (At::Newest, 0, 0);
    }
}

impl DocumentsState {
    /// Begins a count, in the place of one that is under way for the same.
    pub(super) fn begin_count(&mut self, count: Count) {
        let same = |c: &Count| {
            let kind = |w: &Whose| std::mem::discriminant(w);
            c.reunion.id == count.reunion.id && kind(&c.whose) == kind(&count.whose)
        };
        self.briefings.counting.retain(|c| !same(c));
        self.briefings.briefer.counting(count.reunion.id, true);
        self.briefings.counting.push_back(count);
        self.count_soon();
    }

    fn count_soon(&mut self) {
        if !self.briefings.counting.is_empty() && !std::mem::replace(&mut self.briefings.count_under_way, true) {
            let _ = self.me.cast(DocumentsMsg::Count);
        }
    }

    /// Counts a slice, and comes again while there is more: behind whatever else has come by then.
    pub(super) fn count_on(&mut self) {
        self.briefings.count_under_way = false;
        let Some(mut count) = self.briefings.counting.pop_front() else { return };
        if self.count_slice(&mut count) {
            let (id, found) = (count.reunion.id, count.tallies.into_values().collect());
            match count.whose {
                Whose::Ours(_) => self.briefings.briefer.ours(id, found),
                Whose::Theirs => self.briefings.briefer.recounted(id, found),
            }
            let more = self.briefings.counting.iter().any(|c| c.reunion.id == id);
            self.briefings.briefer.counting(id, more);
        } else {
            self.briefings.counting.push_front(count);
        }
        self.count_soon();
    }

    /// Reads some entries or looks through some messages; answers whether that was the end. The oldest of more than
    /// [`BRIEFING_SCAN`] messages of a space are left out.
    fn count_slice(&mut self, count: &mut Count) -> bool {
        let wiring = self.wiring.clone();
        let Some(id) = count.spaces.front().copied() else { return true };
        let Some(sp) = self.spaces.get_mut(&id) else {
            count.next();
            return count.spaces.is_empty();
        };
        // What a page is being read for may not go.
        if count.turns == 0 && !self.bulk.is_reading(&id) {
            sp.make_room(&wiring);
        }
        count.turns = count.turns.saturating_add(1);
        match sp.prepare(&count.at, BRIEFING_SCAN.1, SLICE_ENTRIES, &wiring) {
            Ok(false) if count.turns < PAGE_TURNS => return false,
            Ok(_) => {}
            Err(e) => {
                wiring.trouble("store_read", Some(e.to_string()));
                count.next();
                return count.spaces.is_empty();
            }
        }
        let page = sp.chat.page(&count.at, BRIEFING_SCAN.1);
        let mut any = false;
        for m in page.messages.iter().filter(|m| m.received >= count.since) {
            any = true;
            if count.counts(m, &wiring.me) {
                let one = Tally::one(id, m.key.device, m.key.device, m.sent, true);
                count.tallies.entry((id, m.key.device)).and_modify(|t| t.add(&one)).or_insert(one);
            }
        }
        count.looked = count.looked.saturating_add(page.messages.len());
        match page.messages.first() {
            Some(first) if page.older && any && count.looked < BRIEFING_SCAN.0 => {
                (count.at, count.turns) = (At::Before(first.key), 0);
            }
            _ => count.next(),
        }
        count.spaces.is_empty()
    }
}
