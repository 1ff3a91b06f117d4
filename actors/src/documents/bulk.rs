//! What comes in bulk: it is counted and told of when it is durable, and its messages are read from the store a slice
//! at a time between other work, the spaces in turn. Pages that need more than a little of it wait for their turns.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use cairn_crdt::ids::{DeviceId, LogId, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use tokio::sync::OwnedSemaphorePermit;

use super::commits::store_error;
use super::{DocumentsMsg, DocumentsState, show};
use crate::api::{Page, PageAt};
use crate::handle::Reply;
use crate::limits::{PAGE_ENTRIES, PAGE_MAX, PAGE_TURNS, SLICE_ENTRIES};
use crate::space::{Applied, Space};
use crate::store::{Table, Write};

/// Key of [`Table::Void`] for an entry.
fn void_key(space: &SpaceId, log: &LogId, seq: u64) -> Vec<u8> {
    [&space.0[..], &log.to_bytes(), &seq.to_be_bytes()].concat()
}

/// A page that is not in memory yet.
#[derive(Debug)]
struct Waiting {
    at: At,
    n: usize,
    reply: Reply<Page>,
    /// Turns that it had.
    turns: usize,
    /// Its place among the requests that may wait.
    _place: OwnedSemaphorePermit,
}

/// What is read in slices.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// [`DocumentsMsg::CatchUp`] is on its way.
    under_way: bool,
    /// The space that had the last slice.
    last_turn: Option<SpaceId>,
    /// Pages that wait, those of one space one after the other.
    pages: BTreeMap<SpaceId, VecDeque<Waiting>>,
}

impl Bulk {
    /// Whether a page of a space is being read.
    pub(super) fn is_reading(&self, space: &SpaceId) -> bool {
        self.pages.contains_key(space)
    }
}

impl DocumentsState {
    /// Answers with a page, now if little is missing for it, else after some turns.
    pub(super) fn page(
        &mut self,
        conversation: SpaceId,
        place: PageAt,
        limit: usize,
        reply: Reply<Page>,
        permit: OwnedSemaphorePermit,
    ) {
        let conversation = self.folded.get(&conversation).copied().unwrap_or(conversation);
        let (n, at) = (limit.clamp(1, PAGE_MAX), At::from(place));
        let wiring = self.wiring.clone();
        let others = self.bulk.pages.contains_key(&conversation);
        let sp = match self.space_of(conversation) {
            Ok(sp) => sp,
            Err(e) => return drop(reply.send(Err(e))),
        };
        sp.set_reference(&wiring);
        // What another page is being read for may not go.
        let ready = if others {
            Ok(sp.is_ready(&at, n))
        } else {
            sp.make_room(&wiring);
            sp.prepare(&at, n, PAGE_ENTRIES, &wiring)
        };
        match ready {
            Err(e) => drop(reply.send(Err(store_error(&e)))),
            Ok(true) => drop(reply.send(Ok(show::page(sp, &at, n, &wiring)))),
            Ok(false) => {
                let waiting = Waiting { at, n, reply, turns: 0, _place: permit };
                self.bulk.pages.entry(conversation).or_default().push_back(waiting);
            }
        }
        self.read_news(conversation);
        self.catch_up_soon();
    }

    /// Sees to it that what came in bulk, and what pages wait for, is read.
    pub(super) fn catch_up_soon(&mut self) {
        let more = !self.bulk.pages.is_empty() || self.spaces.values().any(Space::is_behind);
        if more && !std::mem::replace(&mut self.bulk.under_way, true) {
            let _ = self.me.cast(DocumentsMsg::CatchUp);
        }
    }

    /// Reads a slice for one space, and comes again while there is more: behind whatever else has come by then. Spaces
    /// that somebody looks at come first.
    pub(super) fn catch_up(&mut self) {
        self.bulk.under_way = false;
        let from = self.bulk.last_turn.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = |(id, sp): (&SpaceId, &Space)| sp.is_behind().then_some(*id);
        let looked_at =
            self.bulk.pages.range((from, Bound::Unbounded)).next().or_else(|| self.bulk.pages.iter().next());
        let next = looked_at
            .map(|(id, _)| *id)
            .or_else(|| self.spaces.range((from, Bound::Unbounded)).find_map(behind))
            .or_else(|| self.spaces.iter().find_map(behind));
        let Some(space) = next else { return };
        self.bulk.last_turn = Some(space);
        if self.bulk.pages.contains_key(&space) {
            self.read_page(space);
        } else if let Some(sp) = self.spaces.get_mut(&space)
            && let Err(e) = sp.catch_up(&self.wiring)
        {
            self.wiring.trouble("store_read", Some(e.to_string()));
        }
        self.read_news(space);
        self.catch_up_soon();
    }

    /// Reads a slice for the first page that waits in a space.
    fn read_page(&mut self, space: SpaceId) {
        let Some(mut waiting) = self.bulk.pages.get_mut(&space).and_then(VecDeque::pop_front) else {
            self.bulk.pages.remove(&space);
            return;
        };
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space) else {
            self.bulk.pages.remove(&space);
            let _ = waiting.reply.send(Err(super::no_conversation()));
            return;
        };
        if waiting.turns == 0 {
            sp.make_room(&wiring);
        }
        waiting.turns = waiting.turns.saturating_add(1);
        let ready = sp.prepare(&waiting.at, waiting.n, SLICE_ENTRIES, &wiring);
        match ready {
            Err(e) => drop(waiting.reply.send(Err(store_error(&e)))),
            // Where more comes than can be read, the page is what is there.
            Ok(ready) if ready || waiting.turns >= PAGE_TURNS => {
                drop(waiting.reply.send(Ok(show::page(sp, &waiting.at, waiting.n, &wiring))));
            }
            Ok(_) => self.bulk.pages.entry(space).or_default().push_front(waiting),
        }
        if self.bulk.pages.get(&space).is_some_and(VecDeque::is_empty) {
            self.bulk.pages.remove(&space);
        }
    }

    /// Takes note of what was read from the store.
    fn read_news(&mut self, space: SpaceId) {
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let (mut news, brought) = (sp.take_news(), sp.brought);
        // A segment may be read more than once: its void entries are told of once.
        let store = self.wiring.store.clone();
        news.void.retain(|(log, seq, _)| !matches!(store.get(Table::Void, &void_key(&space, log, *seq)), Ok(Some(_))));
        if let Some(peer) = brought {
            self.no_messages(space, &news);
            self.ask_names(space, peer, &news.shown);
        }
        self.took_in(space, brought, &news);
        if news.unsupported > 0 {
            self.newer_seen(space, None);
        }
        if news.locked > 0 {
            self.ask_keys(space);
        }
    }

    /// Entries were taken into their documents: says who wrote void ones, learns names and what is settled.
    pub(super) fn took_in(&mut self, space: SpaceId, from: Option<DeviceId>, applied: &Applied) {
        let wiring = self.wiring.clone();
        let void = |(log, seq, why): &(LogId, u64, String)| {
            let author = wiring.name_of(&log.device);
            tracing::debug!(author = %log.device.short(), seq, %why, "a void entry");
            let sentence = format!("An entry by {author} does not count: {why}");
            wiring.notice_about(&log.device, "void_entry", sentence);
            Write::Put(Table::Void, void_key(&space, log, *seq), why.clone().into_bytes())
        };
        let voids: Vec<_> = applied.void.iter().map(void).collect();
        self.commit_small(voids);
        for device in &applied.named {
            self.named(space, *device);
        }
        if applied.governed {
            self.refresh_gone(space);
        }
        if let Some(setting) = &applied.setting {
            self.setting_changed(space, setting);
        }
        if from.is_some() && !applied.shown.is_empty() {
            self.settle(space, &applied.shown);
        }
    }
}
