//! A chat segment in memory: the judge of its entries and its messages in order.
//!
//! The messages are read from the operations that guard and rule let through; the Automerge document itself is not
//! held. It would cost 530 bytes and 30 to 120 microseconds a message, and the rule leaves nothing in it to resolve:
//! nobody overwrites anything. [`crate::document::Document`] makes it of the same entries where it is wanted (export).

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;

use super::conversation::Span;
use super::plain::Plain;
use super::record::{Recorded, read_mention};
use super::store::{Incoming, Inserted, MessageView, Messages};
use super::{About, Record, TEXT};
use crate::entry::{Entry, Header};
use crate::guard::{Action, Key, OpView};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EpochId, Incarnation, LogId, MessageId, PrincipalId};
use crate::kinds::order::OrderKey;
use crate::known::Known;
use crate::period::period_of;
use crate::seal::Keys;
use crate::spans::Spans;
use crate::verdict::{Judge, Outcome, Taken};

/// What a batch of entries changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// A verdict for each entry; the operations of valid ones were taken out.
    pub outcomes: Vec<Outcome>,
    /// Keys of the messages that became visible, in the order of the entries.
    pub shown: Vec<OrderKey>,
    /// Messages that moved because an earlier copy of them came: from where, to where.
    pub moved: Vec<(OrderKey, OrderKey)>,
    /// Messages that were here and of which something else is shown now: another version, other reactions.
    pub changed: Vec<OrderKey>,
    /// Entries, by their place in the batch, that are no messages but say something of some.
    pub records: Vec<usize>,
}

/// Messages that are not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many.
    pub messages: u64,
    /// How many of them mention the reader.
    pub mentions: u64,
}

/// An entry whose payload cannot be read: somebody said something with a newer Cairn, or its key has not come. Of what it
/// says only the place, the author and the time are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opaque {
    /// Its stamp, brought into the segment's time if it lies elsewhere.
    pub stamp: Hlc,
    /// Its author.
    pub device: DeviceId,
    /// Its log.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// When it was received here, milliseconds since 1970.
    pub received: u64,
    /// Its key is not here, or that of one before it in its log; else it needs a newer Cairn.
    pub locked: bool,
}

/// A log that cannot be read on for want of a key.
#[derive(Debug, Clone, Copy)]
struct Locked {
    /// The key that the first of them needs.
    epoch: EpochId,
    /// How many entries wait for it, all that came since included.
    count: u64,
}

impl Opaque {
    /// Its place among messages. Its message id is all zeros, which no honest message has.
    #[must_use]
    pub fn key(&self) -> OrderKey {
        OrderKey { stamp: self.stamp, device: self.device, id: MessageId([0; 16]) }
    }
}

/// A segment.
#[derive(Debug)]
pub struct ChatSegment {
    judge: Judge,
    pub(super) messages: Messages,
    opaque: BTreeSet<Opaque>,
    /// Logs that wait for keys. The judge has not seen these entries; they are offered again when the key has come.
    locked: BTreeMap<LogId, Locked>,
    /// Of this time nothing is shown.
    cut: Spans,
    stamps: Option<(Hlc, Hlc)>,
    /// What [`ChatSegment::unread`] last counted, until something changes: summaries ask for it again and again.
    counted: Cell<Option<(OrderKey, DeviceId, Unread)>>,
}

impl ChatSegment {
    /// An empty segment of what this build understands; `None` if the id is not that of a chat segment.
    #[must_use]
    pub fn new(id: DocumentId) -> Option<Self> {
        Self::knowing(id, &Known::this_build())
    }

    /// An empty segment of what is known; `None` if the id is not that of a chat segment.
    #[must_use]
    pub fn knowing(id: DocumentId, known: &Known) -> Option<Self> {
        id.chat_week()?;
        let (messages, opaque) = (Messages::default(), BTreeSet::new());
        Some(Self {
            judge: Judge::knowing(id, known),
            messages,
            opaque,
            locked: BTreeMap::new(),
            cut: Spans::default(),
            stamps: None,
            counted: Cell::default(),
        })
    }

    /// The document's id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.judge.id()
    }

    /// How many entries of a log were judged (valid or not), or wait for a key.
    #[must_use]
    pub fn judged(&self, log: &LogId) -> u64 {
        self.judge.judged(log).saturating_add(self.locked.get(log).map_or(0, |l| l.count))
    }

    /// Opens what is sealed with these keys from now on. Answers whether something waited for one of them: those logs are
    /// to be read on from where [`ChatSegment::judged`] says.
    pub fn set_keys(&mut self, keys: &Keys) -> bool {
        self.judge.set_keys(keys.clone());
        let before = self.locked.len();
        self.locked.retain(|_, l| keys.get(&l.epoch).is_none());
        if self.locked.len() == before {
            return false;
        }
        self.opaque.retain(|o| !o.locked || self.locked.contains_key(&o.log));
        self.counted.set(None);
        true
    }

    /// Keys that entries here wait for.
    pub fn wanted(&self) -> impl Iterator<Item = EpochId> {
        self.locked.values().map(|l| l.epoch)
    }

    /// Judges and applies a batch. `received` says when an entry became durable here (milliseconds since 1970).
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E], received: impl Fn(&E) -> u64) -> Applied {
        let mut out = Applied { outcomes: Vec::with_capacity(entries.len()), ..Applied::default() };
        self.counted.set(None);
        for (at, entry) in entries.iter().enumerate() {
            let header = entry.as_ref().header();
            let outcome = match self.behind_locked(header) {
                Some(outcome) => Err(outcome),
                None => self.judge.take_said(entry.as_ref()),
            };
            match outcome {
                // A record may be later than the segment, and tells nothing of when its messages end.
                Ok(_) => self.stamped(self.in_period(header.hlc)),
                Err(Outcome::Unsupported) => self.not_understood(header, received(entry), false),
                Err(Outcome::Locked(epoch)) => {
                    let locked = self.locked.entry(header.log).or_insert(Locked { epoch, count: 0 });
                    locked.count = locked.count.saturating_add(1);
                    self.not_understood(header, received(entry), true);
                }
                Err(_) => {}
            }
            let outcome = match outcome {
                Ok(Taken::Plain(plain)) => {
                    self.insert(header.log, Incoming::of(header, plain, received(entry)), &mut out);
                    Outcome::Valid { ops: Vec::new() }
                }
                Ok(Taken::Ops(ops)) => {
                    let (messages, records) = read(header, &ops, received(entry));
                    if messages.is_empty() {
                        out.records.push(at);
                    }
                    for message in messages {
                        self.insert(header.log, message, &mut out);
                    }
                    for record in records {
                        let changed = self.messages.abouts.take(header, entry.as_ref().hash(), record);
                        let shown = changed.and_then(|(id, author)| self.get(&author, &id));
                        out.changed.extend(shown.map(|m| m.key).filter(|k| !out.shown.contains(k)));
                    }
                    Outcome::Valid { ops: Vec::new() }
                }
                Err(outcome) => outcome,
            };
            out.outcomes.push(outcome);
        }
        out
    }

    fn insert(&mut self, log: LogId, message: Incoming, out: &mut Applied) {
        match self.messages.insert(log, message) {
            Inserted::New(key) => out.shown.push(key),
            Inserted::Replaced { old, new } => out.moved.push((old, new)),
            Inserted::Hidden => {}
        }
    }

    /// What is to be said of an entry whose log waits for a key.
    fn behind_locked(&self, header: &Header) -> Option<Outcome> {
        let locked = self.locked.get(&header.log)?;
        let here = self.judged(&header.log);
        Some(match here.checked_add(1) {
            _ if header.seq <= here => Outcome::Known,
            Some(next) if next == header.seq => Outcome::Locked(locked.epoch),
            _ => Outcome::Waiting,
        })
    }

    fn not_understood(&mut self, header: &Header, received: u64, locked: bool) {
        let stamp = self.in_period(header.hlc);
        self.stamped(stamp);
        if !self.cut.holds(stamp.ms()) {
            let (log, seq) = (header.log, header.seq);
            self.opaque.insert(Opaque { stamp, device: log.device, log, seq, received, locked });
        }
    }

    fn stamped(&mut self, stamp: Hlc) {
        let (first, last) = self.stamps.unwrap_or((stamp, stamp));
        self.stamps = Some((first.min(stamp), last.max(stamp)));
    }

    /// A stamp that no rule has looked at, brought into the time of the segment.
    fn in_period(&self, stamp: Hlc) -> Hlc {
        let Some(period) = period_of(&self.id()) else { return stamp };
        let last = period.end.saturating_sub(1);
        if stamp.ms() > last { Hlc::from_ms(last) } else { stamp.max(Hlc::from_ms(period.start)) }
    }

    /// Hides what was written in a time, that of later entries too.
    pub(super) fn hide(&mut self, cut: &Spans) {
        self.messages.hide(cut);
        self.counted.set(None);
        self.opaque.retain(|o| !cut.holds(o.stamp.ms()));
        self.cut = cut.clone();
    }

    /// Entries that cannot be read, in order.
    #[must_use]
    pub fn opaque(&self) -> &BTreeSet<Opaque> {
        &self.opaque
    }

    /// How many of them wait for a key; the others need a newer Cairn.
    #[must_use]
    pub fn locked(&self) -> u64 {
        if self.locked.is_empty() { 0 } else { self.opaque.iter().filter(|o| o.locked).count() as u64 }
    }

    /// Those of them at a key and after it.
    pub(crate) fn opaque_from(&self, key: &OrderKey) -> impl Iterator<Item = &Opaque> {
        let log = LogId { document: DocumentId([0; 18]), device: key.device, incarnation: Incarnation([0; 16]) };
        let from = Opaque { stamp: key.stamp, device: key.device, log, seq: 0, received: 0, locked: false };
        self.opaque.range(from..).skip_while(|o| o.key() < *key)
    }

    /// How many messages there are, those that cannot be read included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.len().saturating_add(self.opaque.len()) as u64
    }

    /// Messages after a key that are not `except`'s, those that cannot be read included and those that are deleted not.
    #[must_use]
    pub fn unread(&self, key: &OrderKey, except: &DeviceId) -> Unread {
        if let Some((_, _, n)) = self.counted.get().filter(|(k, e, _)| (k, e) == (key, except)) {
            return n;
        }
        let me = except.principal();
        let mut n = Unread::default();
        for at in self.after(key)..self.len() {
            if self.messages.key_at(at).is_none_or(|k| k.device == *except) {
                continue;
            }
            let Some(m) = self.at(at).filter(|m| !m.deleted) else { continue };
            n.messages = n.messages.saturating_add(1);
            n.mentions = n.mentions.saturating_add(u64::from(m.mentions.iter().any(|m| m.who == me)));
        }
        let opaque = self.opaque.iter().rev().take_while(|o| o.key() > *key).filter(|o| o.device != *except);
        n.messages = n.messages.saturating_add(opaque.count() as u64);
        self.counted.set(Some((*key, *except, n)));
        n
    }

    /// How many messages are shown.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First and last stamp and number of messages; `None` while it holds nothing but void entries.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.stamps.map(|(first, last)| Span { first, last, count: self.count() })
    }

    /// The message at a place, from 0 (the oldest).
    #[must_use]
    pub fn at(&self, place: usize) -> Option<MessageView<'_>> {
        self.messages.at(place)
    }

    /// How many messages lie before a key; the place of the message that has it.
    #[must_use]
    pub fn position(&self, key: &OrderKey) -> usize {
        self.messages.position(key)
    }

    /// The `n` newest before a key, oldest first.
    pub fn page_before(&self, key: &OrderKey, n: usize) -> impl Iterator<Item = MessageView<'_>> {
        let end = self.position(key);
        (end.saturating_sub(n)..end).filter_map(|at| self.at(at))
    }

    /// The `n` oldest after a key, oldest first.
    pub fn page_after(&self, key: &OrderKey, n: usize) -> impl Iterator<Item = MessageView<'_>> {
        let start = self.after(key);
        (start..start.saturating_add(n).min(self.len())).filter_map(|at| self.at(at))
    }

    /// The `n` newest, oldest first.
    pub fn newest(&self, n: usize) -> impl Iterator<Item = MessageView<'_>> {
        (self.len().saturating_sub(n)..self.len()).filter_map(|at| self.at(at))
    }

    /// A principal's message.
    #[must_use]
    pub fn get(&self, principal: &PrincipalId, id: &MessageId) -> Option<MessageView<'_>> {
        self.messages.get(principal, id)
    }

    /// What records here say of a message, whether it is here or not.
    #[must_use]
    pub fn about(&self, principal: &PrincipalId, id: &MessageId) -> Option<&About> {
        self.messages.abouts.get(id, principal)
    }

    /// What entries that `theirs` picks say of messages and `now` (by author and id) does not say, nor anything later, as
    /// records to write again.
    pub fn records_again<'a>(
        &'a self,
        now: impl Fn(&PrincipalId, &MessageId) -> Option<&'a About>,
        theirs: &'a dyn Fn(&(LogId, u64)) -> bool,
    ) -> Vec<(PrincipalId, Record<'a>, Hlc)> {
        let all = self.messages.abouts.iter();
        all.flat_map(|((id, author), about)| {
            about
                .again(*id, *author, now(author, id), theirs)
                .into_iter()
                .map(|(r, at)| (*author, r, at))
                .collect::<Vec<_>>()
        })
        .collect()
    }

    /// The messages of an id, one for each principal that used it (honest ones never share one).
    pub fn find(&self, id: &MessageId) -> impl Iterator<Item = MessageView<'_>> {
        self.messages.find(id)
    }

    /// The place of the first message after a key.
    pub(crate) fn after(&self, key: &OrderKey) -> usize {
        let at = self.position(key);
        if self.messages.key_at(at) == Some(*key) { at.saturating_add(1) } else { at }
    }
}

impl Incoming {
    fn of(header: &Header, plain: Plain, received: u64) -> Self {
        let Plain { id, body, after, reply_to, .. } = plain;
        Self {
            id,
            seq: header.seq,
            sent: header.hlc,
            after,
            received,
            kind: None,
            body,
            reply_to,
            mentions: Vec::new(),
        }
    }
}

/// The messages and the records of a change that passed guard and rule.
fn read(header: &Header, ops: &[OpView], received: u64) -> (Vec<Incoming>, Vec<Recorded>) {
    let (mut out, mut records): (Vec<Incoming>, Vec<Recorded>) = (Vec::with_capacity(1), Vec::new());
    for op in ops {
        match (op.path.as_slice(), &op.action) {
            ([Key::Map(root), Key::Map(_)], Action::MakeMap) if is_record(root) => records.push(Recorded::default()),
            ([Key::Map(root), Key::Map(_), rest @ ..], action) if is_record(root) => {
                if let Some(record) = records.last_mut() {
                    record.take(rest, action);
                }
            }
            ([Key::Map(_), Key::Map(id)], Action::MakeMap) => {
                let Ok(id) = id.parse::<MessageId>() else { continue };
                out.push(Incoming {
                    id,
                    seq: header.seq,
                    sent: header.hlc,
                    after: None,
                    received,
                    kind: None,
                    body: Box::default(),
                    reply_to: None,
                    mentions: Vec::new(),
                });
            }
            ([Key::Map(_), Key::Map(_), Key::Map(field)], Action::Put(ScalarValue::Str(text))) => {
                let Some(message) = out.last_mut() else { continue };
                match field.as_str() {
                    "kind" if text.as_str() != TEXT => message.kind = Some(text.to_string()),
                    "body" => message.body = text.as_str().into(),
                    "after" => message.after = text.parse::<OrderKey>().ok().map(|k| k.stamp),
                    "reply_to" => message.reply_to = text.parse().ok(),
                    _ => {}
                }
            }
            ([Key::Map(_), Key::Map(_), Key::Map(field), Key::Map(who)], action) if field == "mentions" => {
                if let Some(message) = out.last_mut() {
                    message.mentions.extend(read_mention(who, action));
                }
            }
            _ => {}
        }
    }
    (out, records)
}

fn is_record(root: &str) -> bool {
    root.split_once('.').is_some_and(|(_, block)| block.starts_with('r'))
}
