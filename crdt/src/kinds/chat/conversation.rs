//! A conversation: its segments side by side, loaded when a page needs them.
//!
//! The order is one order of keys across all segments: parts of a week may overlap in time, since both sides of a
//! partition fill them without asking each other. Of a segment that is not in memory, or of the part of one that is not,
//! the [`Span`] tells which keys it can hold.

use std::collections::{BTreeMap, BTreeSet};

use super::is_ahead;
use super::segment::{Applied, ChatSegment, Opaque, Unread};
use super::store::MessageView;
use crate::entry::Entry;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EpochId, MessageId, PrincipalId};
use crate::kinds::order::{OrderKey, latest_stamp};
use crate::known::Known;
use crate::period::Unit;
use crate::replica::lies_in;
use crate::seal::Keys;
use crate::spans::Spans;

/// What is known of a segment without its messages. The stamps of a log only grow, so first and last are those of the
/// first and last entries of its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The lowest stamp of its entries.
    pub first: Hlc,
    /// The highest stamp of its entries.
    pub last: Hlc,
    /// How many messages it holds (the lengths of its logs, while nothing better is known).
    pub count: u64,
}

impl Span {
    /// One span over both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            count: self.count.saturating_add(other.count),
        }
    }

    fn may_hold(&self, from: Hlc, to: Hlc) -> bool {
        self.count > 0 && self.first <= to && latest_stamp(self.last) >= from
    }
}

/// Which messages to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAt {
    /// The newest.
    Newest,
    /// The newest before a key.
    Before(OrderKey),
    /// The oldest after a key.
    After(OrderKey),
    /// From the message of this number on, the oldest being 0.
    Number(u64),
}

/// Part of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// The messages, oldest first.
    pub messages: Vec<MessageView<'a>>,
    /// Whether there are older ones.
    pub older: bool,
    /// Whether there are newer ones.
    pub newer: bool,
    /// How many messages lie before the first one, as near as the spans of segments not in memory tell.
    pub before: u64,
    /// What cannot be read among them, in order.
    pub opaque: Vec<OpaqueRun>,
}

/// Entries that cannot be read for one reason, one after the other with no message between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpaqueRun {
    /// Which message of the page it stands before, counted from 0; as many as there are: after the last.
    pub before: usize,
    /// The first of them.
    pub first: Opaque,
    /// The last of them.
    pub last: Opaque,
    /// How many they are.
    pub count: u64,
}

/// A conversation.
#[derive(Debug, Default)]
pub struct Conversation {
    known: Known,
    /// Opens what is sealed; `None`: nothing is sealed here.
    keys: Option<Keys>,
    pub(super) now_ms: u64,
    pub(super) spans: BTreeMap<DocumentId, Span>,
    pub(super) segments: BTreeMap<DocumentId, ChatSegment>,
    pub(super) gone: Spans,
    pub(super) cut: Spans,
    pub(super) unit: Unit,
    /// Messages of which more than one loaded segment holds a copy.
    doubles: BTreeSet<(MessageId, PrincipalId)>,
}

impl Conversation {
    /// A conversation of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for another build than this one, which understands so much.
    #[must_use]
    pub fn knowing(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Sets mesh time: segments that begin more than a week ahead of it are in no page and no count, but in
    /// [`Conversation::ahead`].
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Tells of a segment that is not in memory, or what became of it since. Ids of other kinds are ignored.
    pub fn note(&mut self, id: DocumentId, span: Span) {
        if id.chat_week().is_some() && !self.segments.contains_key(&id) && !lies_in(&id, &self.gone) {
            self.spans.insert(id, self.without_cut(span));
        }
    }

    /// Begins to read a segment that comes in parts: an empty one, unless it is in memory. What is known of it stays what
    /// is not read yet, until [`Conversation::rest`] says otherwise.
    pub fn begin(&mut self, id: DocumentId) {
        if !self.segments.contains_key(&id)
            && !lies_in(&id, &self.gone)
            && let Some(segment) = self.empty(id)
        {
            self.segments.insert(id, segment);
        }
    }

    /// An empty segment of this conversation.
    fn empty(&self, id: DocumentId) -> Option<ChatSegment> {
        let mut segment = ChatSegment::knowing(id, &self.known)?;
        if let Some(keys) = &self.keys {
            segment.set_keys(keys);
        }
        segment.hide(&self.cut);
        Some(segment)
    }

    /// Opens what is sealed with these keys from now on. Answers the segments in memory in which something waited for one
    /// of them, and is to be read now.
    pub fn set_keys(&mut self, keys: &Keys) -> Vec<DocumentId> {
        self.keys = Some(keys.clone());
        self.segments.iter_mut().filter_map(|(id, s)| s.set_keys(keys).then_some(*id)).collect()
    }

    /// Keys that messages in memory wait for.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<EpochId> {
        self.segments.values().flat_map(ChatSegment::wanted).collect()
    }

    /// Tells what of a segment in memory is not read yet; `None`: all of it is.
    pub fn rest(&mut self, id: DocumentId, rest: Option<Span>) {
        match rest.filter(|_| self.segments.contains_key(&id)) {
            Some(span) => drop(self.spans.insert(id, self.without_cut(span))),
            None if self.segments.contains_key(&id) => drop(self.spans.remove(&id)),
            None => {}
        }
    }

    /// Takes a loaded segment.
    pub fn insert(&mut self, mut segment: ChatSegment) {
        if let Some(keys) = &self.keys {
            segment.set_keys(keys);
        }
        segment.hide(&self.cut);
        self.spans.remove(&segment.id());
        let all = segment.newest(usize::MAX).map(|m| (m.key.id, m.principal()));
        let others: Vec<_> = self.segments.values().filter(|s| s.id() != segment.id()).collect();
        self.doubles.extend(all.filter(|(id, p)| others.iter().any(|s| s.get(p, id).is_some())));
        self.segments.insert(segment.id(), segment);
    }

    /// Lets go of a segment's messages and remembers its span.
    pub fn evict(&mut self, id: &DocumentId) -> Option<ChatSegment> {
        let segment = self.segments.remove(id)?;
        // Even of a segment in which nothing is shown it must be known that there is one, or its next entry would
        // begin it anew.
        let nothing = Span { first: Hlc(0), last: Hlc(0), count: 0 };
        let span = segment.span().unwrap_or(nothing);
        self.spans
            .entry(*id)
            .and_modify(|rest| *rest = if span.count > 0 { rest.join(span) } else { *rest })
            .or_insert(span);
        let segments = &self.segments;
        self.doubles.retain(|(id, p)| segments.values().filter(|s| s.get(p, id).is_some()).count() > 1);
        Some(segment)
    }

    /// Forgets all that is known of a segment: another part of its logs is there now.
    pub fn forget(&mut self, id: &DocumentId) {
        self.segments.remove(id);
        self.spans.remove(id);
    }

    /// A loaded segment.
    #[must_use]
    pub fn segment(&self, id: &DocumentId) -> Option<&ChatSegment> {
        self.segments.get(id)
    }

    /// The loaded segments, in order of week and part.
    pub fn loaded(&self) -> impl Iterator<Item = &ChatSegment> {
        self.segments.values()
    }

    /// Judges and applies entries of one segment. A segment that was not known begins here; one that is known but not
    /// in memory gives `None`: load it, or [`Conversation::note`] what it holds now.
    ///
    /// Messages of which another loaded segment shows a lower copy are not among the shown.
    pub fn apply<E: AsRef<Entry>>(
        &mut self,
        id: DocumentId,
        entries: &[E],
        received: impl Fn(&E) -> u64,
    ) -> Option<Applied> {
        if !self.segments.contains_key(&id) {
            if self.spans.contains_key(&id) {
                return None;
            }
            let segment = self.empty(id)?;
            self.segments.insert(id, segment);
        }
        let mut applied = self.segments.get_mut(&id)?.apply(entries, received);
        if self.segments.len() > 1 {
            let segment = self.segments.get(&id)?;
            let doubles = applied.shown.iter().map(|key| (key.id, key.device.principal()));
            let others = self.segments.iter().filter(|(other, _)| **other != id);
            let others: Vec<_> = others.map(|(_, s)| s).collect();
            self.doubles.extend(doubles.filter(|(id, p)| others.iter().any(|s| s.get(p, id).is_some())));
            applied
                .shown
                .retain(|key| segment.get(&key.device.principal(), &key.id).is_some_and(|m| self.is_lowest(&m)));
        }
        Some(applied)
    }

    pub(super) fn count_of(&self, id: &DocumentId) -> u64 {
        let read = self.segments.get(id).map_or(0, ChatSegment::count);
        read.saturating_add(self.spans.get(id).map_or(0, |s| s.count))
    }

    /// Segments that begin more than a week ahead of mesh time, to be shown apart and flagged.
    pub fn ahead(&self) -> impl Iterator<Item = DocumentId> {
        let unread = self.spans.keys().filter(|id| !self.segments.contains_key(id));
        unread.chain(self.segments.keys()).filter(|id| is_ahead(id, self.now_ms)).copied()
    }

    /// Messages in all; those of segments that are not in memory as their spans count them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.unloaded().map(|(_, s)| s.count).chain(self.shown_segments().map(|s| s.len() as u64)).sum()
    }

    /// Messages in memory that this build does not understand.
    #[must_use]
    pub fn opaque(&self) -> u64 {
        self.segments.values().map(|s| (s.opaque().len() as u64).saturating_sub(s.locked())).sum()
    }

    /// Messages in memory whose keys have not come.
    #[must_use]
    pub fn locked(&self) -> u64 {
        self.segments.values().map(ChatSegment::locked).sum()
    }

    /// The place before which no message in memory waits for its key, but those of `except`.
    #[must_use]
    pub fn locked_from(&self, except: &DeviceId) -> Option<OrderKey> {
        let waiting = self.segments.values().filter(|s| s.locked() > 0).flat_map(|s| s.opaque());
        let lowest = waiting.filter(|o| o.locked && o.device != *except).map(|o| o.stamp).min();
        lowest.map(|stamp| OrderKey { stamp, ..OrderKey::MIN })
    }

    /// Messages after a key that are not `except`'s, those that cannot be read included and those that are deleted not.
    /// Exact if [`Conversation::needs`] wants nothing for `PageAt::After(key)`; a segment that is not in memory counts whole
    /// if it may hold messages after the key, records and all, and mentions in it are not known.
    #[must_use]
    pub fn unread(&self, key: &OrderKey, except: &DeviceId) -> Unread {
        let unloaded = self.unloaded().filter(|(_, s)| s.may_hold(key.stamp, Hlc(u64::MAX))).map(|(_, s)| s.count);
        let mut all = Unread { messages: unloaded.sum(), mentions: 0 };
        for n in self.shown_segments().map(|s| s.unread(key, except)) {
            all.messages = all.messages.saturating_add(n.messages);
            all.mentions = all.mentions.saturating_add(n.mentions);
        }
        let copies = self.copies_after(key, except);
        all.messages = all.messages.saturating_sub(copies.messages);
        all.mentions = all.mentions.saturating_sub(copies.mentions);
        all
    }

    /// How many [`Conversation::unread`] counts.
    #[must_use]
    pub fn count_after(&self, key: &OrderKey, except: &DeviceId) -> u64 {
        self.unread(key, except).messages
    }

    /// Copies after a key that are not shown, since a lower one is.
    fn copies_after(&self, key: &OrderKey, except: &DeviceId) -> Unread {
        let copies = self.doubles.iter().flat_map(|(id, principal)| {
            self.shown_segments().filter_map(|s| s.get(principal, id)).filter(|m| !self.is_lowest(m))
        });
        let (me, mut n) = (except.principal(), Unread::default());
        for m in copies.filter(|m| m.key > *key && m.key.device != *except && !m.deleted) {
            n.messages = n.messages.saturating_add(1);
            n.mentions = n.mentions.saturating_add(u64::from(m.mentions.iter().any(|m| m.who == me)));
        }
        n
    }

    /// A principal's message in the loaded segments.
    #[must_use]
    pub fn get(&self, principal: &PrincipalId, id: &MessageId) -> Option<MessageView<'_>> {
        self.segments
            .values()
            .filter_map(|s| s.get(principal, id))
            .min_by_key(MessageView::rank)
            .map(|m| self.amended(m))
    }

    /// A message of which several segments hold a copy, with what records say of any of these where they say nothing of
    /// the one that is shown.
    fn amended<'a>(&'a self, message: MessageView<'a>) -> MessageView<'a> {
        let (id, principal) = (message.key.id, message.principal());
        if message.about.is_some() || !self.doubles.contains(&(id, principal)) {
            return message;
        }
        message.with(self.segments.values().find_map(|s| s.about(&principal, &id)))
    }

    /// The messages of an id in the loaded segments, one for each principal that used it.
    #[must_use]
    pub fn find(&self, id: &MessageId) -> Vec<MessageView<'_>> {
        self.segments.values().flat_map(|s| s.find(id)).filter(|m| self.is_lowest(m)).map(|m| self.amended(m)).collect()
    }

    /// The segment that must be loaded, or read on, before a page of `n` is right, if any: do so, ask again.
    #[must_use]
    pub fn needs(&self, at: &PageAt, n: usize) -> Option<DocumentId> {
        if self.spans.is_empty() {
            return None;
        }
        let at = match at {
            PageAt::Number(number) => match self.place_of(*number) {
                Ok(key) => &PageAt::After(key),
                Err(segment) => return Some(segment),
            },
            other => other,
        };
        let page = self.page(at, n);
        let full = page.messages.len() >= n;
        let (from, to) = match at {
            PageAt::Newest | PageAt::Before(_) | PageAt::Number(_) => {
                let to = if let PageAt::Before(key) = at { key.stamp } else { Hlc(u64::MAX) };
                let from = page.messages.first().filter(|_| full).map_or(Hlc(0), |m| m.key.stamp);
                (from, to)
            }
            PageAt::After(key) => {
                (key.stamp, page.messages.last().filter(|_| full).map_or(Hlc(u64::MAX), |m| m.key.stamp))
            }
        };
        let wanted = self.unloaded().filter(|(_, s)| s.may_hold(from, to));
        match at {
            PageAt::After(_) => wanted.min_by_key(|(id, s)| (s.first, **id)),
            _ => wanted.max_by_key(|(id, s)| (s.last, **id)),
        }
        .map(|(id, _)| *id)
    }

    /// A page of at most `n` messages of the loaded segments.
    #[must_use]
    pub fn page(&self, at: &PageAt, n: usize) -> Page<'_> {
        let (messages, empty_at) = match at {
            PageAt::Newest => (self.backwards(&OrderKey::MAX, n), OrderKey::MAX),
            PageAt::Before(key) => (self.backwards(key, n), *key),
            PageAt::After(key) => (self.forwards(key, n), *key),
            PageAt::Number(number) => {
                let key = self.place_of(*number).unwrap_or(OrderKey::MAX);
                (self.forwards(&key, n), key)
            }
        };
        let (low, high) = match (messages.first(), messages.last()) {
            (Some(first), Some(last)) => (first.key, last.key),
            _ => (empty_at, empty_at),
        };
        let older = self.shown_segments().any(|s| s.position(&low) > 0)
            || self.unloaded().any(|(_, s)| s.may_hold(Hlc(0), low.stamp));
        let newer = self.shown_segments().any(|s| s.after(&high) < s.len())
            || (high != OrderKey::MAX && self.unloaded().any(|(_, s)| s.may_hold(high.stamp, Hlc(u64::MAX))));
        let opaque = self.opaque_of(at, &messages, older, newer);
        Page { messages, older, newer, before: self.number_of(&low), opaque }
    }

    /// How many messages lie before a key. Of a segment that is not in memory all count if it ends before.
    fn number_of(&self, key: &OrderKey) -> u64 {
        let loaded = self.shown_segments().map(|s| s.position(key) as u64);
        let unloaded = self.unloaded().filter(|(_, s)| s.last < key.stamp).map(|(_, s)| s.count);
        loaded.chain(unloaded).sum()
    }

    /// The place just before the message of a number, or the segment that must be loaded to tell.
    fn place_of(&self, number: u64) -> Result<OrderKey, DocumentId> {
        for segment in self.shown_segments() {
            let (mut low, mut high) = (0, segment.len());
            while low < high {
                let middle = low.midpoint(high);
                match segment.at(middle) {
                    Some(m) if self.number_of(&m.key) < number => low = middle.saturating_add(1),
                    _ => high = middle,
                }
            }
            let Some(m) = segment.at(low).filter(|m| self.number_of(&m.key) == number) else { continue };
            let beside = self.unloaded().find(|(_, s)| s.may_hold(m.key.stamp, m.key.stamp));
            // A key that no message has, just before this one's.
            return beside.map_or(Ok(OrderKey { id: MessageId([0; 16]), ..m.key }), |(id, _)| Err(*id));
        }
        // It lies in a segment that is not in memory: the first to end after so many.
        let ends = |s: &Span| self.number_of(&OrderKey { stamp: Hlc(s.last.0.saturating_add(1)), ..OrderKey::MIN });
        let holds = self.unloaded().filter(|(_, s)| s.count > 0 && ends(s) > number);
        holds.min_by_key(|(id, s)| (s.last, **id)).map_or(Ok(OrderKey::MAX), |(id, _)| Err(*id))
    }

    /// What cannot be read on a page. Pages that follow each other tell of each entry once: a page that does not
    /// reach the end of the history begins and ends with a message.
    fn opaque_of(&self, at: &PageAt, messages: &[MessageView<'_>], older: bool, newer: bool) -> Vec<OpaqueRun> {
        if self.segments.values().all(|s| s.opaque().is_empty()) {
            return Vec::new();
        }
        let (first, last) = (messages.first().map(|m| m.key), messages.last().map(|m| m.key));
        let from = match at {
            PageAt::After(key) => self.past_run(key),
            _ if older => first.unwrap_or(OrderKey::MAX),
            _ => OrderKey::MIN,
        };
        let to = match at {
            PageAt::Before(key) => *key,
            _ if newer => last.unwrap_or(OrderKey::MIN),
            _ => OrderKey::MAX,
        };
        let mut runs: Vec<OpaqueRun> = Vec::new();
        for opaque in self.opaque_from(&from).into_iter().take_while(|o| o.key() < to) {
            let before = messages.partition_point(|m| m.key < opaque.key());
            match runs.last_mut().filter(|run| run.before == before && run.first.locked == opaque.locked) {
                Some(run) => (run.last, run.count) = (opaque, run.count.saturating_add(1)),
                None => runs.push(OpaqueRun { before, first: opaque, last: opaque, count: 1 }),
            }
        }
        runs
    }

    /// What cannot be read at a key and after it, in order.
    fn opaque_from(&self, key: &OrderKey) -> Vec<Opaque> {
        let mut all: Vec<Opaque> = self.shown_segments().flat_map(|s| s.opaque_from(key)).copied().collect();
        all.sort_unstable();
        all
    }

    /// Where a page after a key begins. Of a run of which the key is the first, all was told with it.
    fn past_run(&self, key: &OrderKey) -> OrderKey {
        let past = |key: OrderKey| OrderKey { id: MessageId([0xff; 16]), ..key };
        let run = self.opaque_from(key);
        let Some(first) = run.first().filter(|o| o.key() == *key) else { return past(*key) };
        let next = self.forwards(key, 1).first().map_or(OrderKey::MAX, |m| m.key);
        let same = run.iter().take_while(|o| o.key() < next && o.locked == first.locked);
        same.last().map_or(*key, |o| past(o.key()))
    }

    /// Merges the segments from a key towards the past.
    fn backwards(&self, key: &OrderKey, n: usize) -> Vec<MessageView<'_>> {
        let mut ends: Vec<(&ChatSegment, usize)> = self.shown_segments().map(|s| (s, s.position(key))).collect();
        let mut out = Vec::new();
        while out.len() < n {
            let head = |(s, end): &(&'_ ChatSegment, usize)| s.messages.key_at(end.checked_sub(1)?);
            let Some(best) = ends.iter_mut().filter(|e| head(e).is_some()).max_by_key(|e| head(e)) else { break };
            best.1 = best.1.saturating_sub(1);
            out.extend(best.0.at(best.1).filter(|m| self.is_lowest(m)).map(|m| self.amended(m)));
        }
        out.reverse();
        out
    }

    /// Merges the segments from a key towards the present.
    fn forwards(&self, key: &OrderKey, n: usize) -> Vec<MessageView<'_>> {
        let mut starts: Vec<(&ChatSegment, usize)> = self.shown_segments().map(|s| (s, s.after(key))).collect();
        let mut out = Vec::new();
        while out.len() < n {
            let head = |(s, start): &(&'_ ChatSegment, usize)| s.messages.key_at(*start);
            let Some(best) = starts.iter_mut().filter(|e| head(e).is_some()).min_by_key(|e| head(e)) else { break };
            out.extend(best.0.at(best.1).filter(|m| self.is_lowest(m)).map(|m| self.amended(m)));
            best.1 = best.1.saturating_add(1);
        }
        out
    }

    /// Whether no loaded segment holds a lower copy of the message (one principal, one id).
    fn is_lowest(&self, message: &MessageView<'_>) -> bool {
        let rank = message.rank();
        let principal = message.principal();
        !self.shown_segments().any(|s| {
            s.id() != message.log.document && s.get(&principal, &message.key.id).is_some_and(|m| m.rank() < rank)
        })
    }

    fn shown_segments(&self) -> impl Iterator<Item = &ChatSegment> {
        self.segments.values().filter(|s| !is_ahead(&s.id(), self.now_ms))
    }

    fn unloaded(&self) -> impl Iterator<Item = (&DocumentId, &Span)> {
        self.spans.iter().filter(|(id, _)| !is_ahead(id, self.now_ms))
    }
}
