//! The messages of one segment in memory: kept in order, found by key, place or id. About 120 bytes a message beside
//! its body.

use std::collections::BTreeMap;

use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, Incarnation, LogId, MessageId, PrincipalId};
use crate::kinds::order::OrderKey;
use crate::spans::Spans;

use super::TEXT;
use super::about::{About, Abouts};
use super::mention::{Mention, seen};

/// A message as read from an entry.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub id: MessageId,
    pub seq: u64,
    pub sent: Hlc,
    pub after: Option<Hlc>,
    pub received: u64,
    /// `None` for a plain message.
    pub kind: Option<String>,
    pub body: Box<str>,
    pub reply_to: Option<MessageId>,
    pub mentions: Vec<Mention>,
}

/// Which of several copies of a message counts (one principal, one id): the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    stamp: Hlc,
    device: DeviceId,
    incarnation: Incarnation,
    document: DocumentId,
    seq: u64,
}

/// What became of an incoming message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is shown now.
    New(OrderKey),
    /// It took the place of a higher copy of itself.
    Replaced {
        /// Where it was.
        old: OrderKey,
        /// Where it is.
        new: OrderKey,
    },
    /// A lower copy of it is shown already.
    Hidden,
}

/// A message to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Its place; holds author and id too.
    pub key: OrderKey,
    /// The log that it was written to.
    pub log: LogId,
    /// Its entry's place in that log.
    pub seq: u64,
    /// When it was written, by its author's stamp.
    pub sent: Hlc,
    /// When it was received here, milliseconds since 1970.
    pub received: u64,
    /// What it is; [`TEXT`] for a plain message.
    pub kind: &'a str,
    /// What it says now; nothing where it is deleted.
    pub body: &'a str,
    /// What it said first.
    pub first: &'a str,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Whom it mentions now.
    pub mentions: &'a [Mention],
    /// When what it says now was written, if that is not what it said first.
    pub edited: Option<Hlc>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Its later versions and the reactions to it.
    pub about: Option<&'a About>,
    first_mentions: &'a [Mention],
}

impl<'a> MessageView<'a> {
    /// The same with what records say of it.
    pub(super) fn with(self, about: Option<&'a About>) -> Self {
        let Some(now) = about.and_then(About::current) else { return Self { about, ..self } };
        let body = now.body.as_deref();
        let (edited, deleted) = (Some(now.at()), body.is_none());
        Self { body: body.unwrap_or_default(), mentions: &now.mentions, edited, deleted, about, ..self }
    }

    /// Whom it mentioned first.
    #[must_use]
    pub fn first_mentions(&self) -> &'a [Mention] {
        self.first_mentions
    }

    /// Whose message it is.
    #[must_use]
    pub fn principal(&self) -> PrincipalId {
        self.log.device.principal()
    }

    pub(crate) fn rank(&self) -> Rank {
        Rank {
            stamp: self.key.stamp,
            device: self.log.device,
            incarnation: self.log.incarnation,
            document: self.log.document,
            seq: self.seq,
        }
    }
}

#[derive(Debug)]
pub(super) struct Row {
    id: MessageId,
    log: u32,
    stamp: Hlc,
    pub(super) sent: Hlc,
    received: u64,
    seq: u64,
    pub(super) body: Box<str>,
    pub(super) extra: Option<Box<Extra>>,
}

/// What few messages have.
#[derive(Debug)]
pub(super) struct Extra {
    kind: Option<String>,
    reply_to: Option<MessageId>,
    mentions: Box<[Mention]>,
}

#[derive(Debug)]
struct LogInfo {
    log: LogId,
    principal: u32,
}

/// The messages of a segment.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(super) rows: Vec<Row>,
    /// Rows by key.
    pub(super) order: Vec<u32>,
    /// Rows by id and principal.
    pub(super) ids: BTreeMap<(MessageId, u32), u32>,
    /// What records say of messages.
    pub(super) abouts: Abouts,
    /// What was written then is not shown.
    pub(super) hidden: Spans,
    logs: Vec<LogInfo>,
    log_numbers: BTreeMap<LogId, u32>,
    principals: BTreeMap<PrincipalId, u32>,
}

impl Messages {
    /// How many are shown.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes in a message. Appending in order costs O(log n) for the id and nothing else; out of order, a move of 4
    /// bytes for each later message.
    pub(crate) fn insert(&mut self, log: LogId, m: Incoming) -> Inserted {
        if self.hidden.holds(m.sent.ms()) {
            return Inserted::Hidden;
        }
        let log_number = self.log_number(log);
        let principal = self.logs.get(log_number as usize).map_or(0, |l| l.principal);
        let key = OrderKey::of(m.sent, m.after, log.device, m.id);
        let mentions = seen(&m.body, m.mentions);
        let extra = (m.kind.is_some() || m.reply_to.is_some() || !mentions.is_empty())
            .then(|| Box::new(Extra { kind: m.kind, reply_to: m.reply_to, mentions }));
        let row = Row {
            id: m.id,
            log: log_number,
            stamp: key.stamp,
            sent: m.sent,
            received: m.received,
            seq: m.seq,
            body: m.body,
            extra,
        };
        if let Some(&at) = self.ids.get(&(m.id, principal)) {
            let (Some(old), Some(new)) = (self.view(at), self.view_of(&row)) else { return Inserted::Hidden };
            if old.rank() <= new.rank() {
                return Inserted::Hidden;
            }
            let old_key = old.key;
            let place = self.position(&old_key);
            if self.order.get(place) == Some(&at) {
                self.order.remove(place);
            }
            if let Some(slot) = self.rows.get_mut(at as usize) {
                *slot = row;
            }
            self.place(at, &key);
            return Inserted::Replaced { old: old_key, new: key };
        }
        let Ok(at) = u32::try_from(self.rows.len()) else { return Inserted::Hidden };
        self.rows.push(row);
        self.ids.insert((m.id, principal), at);
        self.place(at, &key);
        Inserted::New(key)
    }

    fn place(&mut self, at: u32, key: &OrderKey) {
        let last = self.order.last().and_then(|l| self.key(*l));
        if last.is_none_or(|l| l < *key) {
            self.order.push(at);
        } else {
            let place = self.position(key);
            self.order.insert(place, at);
        }
    }

    fn log_number(&mut self, log: LogId) -> u32 {
        if let Some(n) = self.log_numbers.get(&log) {
            return *n;
        }
        let next = self.principals.len() as u32;
        let principal = *self.principals.entry(log.device.principal()).or_insert(next);
        let n = self.logs.len() as u32;
        self.logs.push(LogInfo { log, principal });
        self.log_numbers.insert(log, n);
        n
    }

    fn view_of<'a>(&'a self, row: &'a Row) -> Option<MessageView<'a>> {
        let log = self.logs.get(row.log as usize)?.log;
        let extra = row.extra.as_deref();
        let about = self.abouts.get(&row.id, &log.device.principal());
        let view = MessageView {
            key: OrderKey { stamp: row.stamp, device: log.device, id: row.id },
            log,
            seq: row.seq,
            sent: row.sent,
            received: row.received,
            kind: extra.and_then(|e| e.kind.as_deref()).unwrap_or(TEXT),
            body: &row.body,
            first: &row.body,
            reply_to: extra.and_then(|e| e.reply_to),
            mentions: extra.map_or(&[], |e| &e.mentions),
            edited: None,
            deleted: false,
            about: None,
            first_mentions: extra.map_or(&[], |e| &e.mentions),
        };
        Some(view.with(about))
    }

    fn key(&self, at: u32) -> Option<OrderKey> {
        let row = self.rows.get(at as usize)?;
        let device = self.logs.get(row.log as usize)?.log.device;
        Some(OrderKey { stamp: row.stamp, device, id: row.id })
    }

    /// The key of the message at a place, from 0.
    pub(crate) fn key_at(&self, place: usize) -> Option<OrderKey> {
        self.key(*self.order.get(place)?)
    }

    /// The principal of a number that rows by id have.
    pub(super) fn principal(&self, number: u32) -> Option<PrincipalId> {
        self.principals.iter().find(|(_, n)| **n == number).map(|(p, _)| *p)
    }

    fn view(&self, at: u32) -> Option<MessageView<'_>> {
        self.view_of(self.rows.get(at as usize)?)
    }

    /// The message at a place, from 0.
    pub(crate) fn at(&self, place: usize) -> Option<MessageView<'_>> {
        self.view(*self.order.get(place)?)
    }

    /// How many messages lie before a key.
    pub(crate) fn position(&self, key: &OrderKey) -> usize {
        self.order.partition_point(|at| self.key(*at).is_some_and(|k| k < *key))
    }

    /// A principal's message.
    pub(crate) fn get(&self, principal: &PrincipalId, id: &MessageId) -> Option<MessageView<'_>> {
        let principal = self.principals.get(principal)?;
        self.view(*self.ids.get(&(*id, *principal))?)
    }

    /// The messages of an id, one for each principal that used it.
    pub(crate) fn find(&self, id: &MessageId) -> impl Iterator<Item = MessageView<'_>> {
        self.ids.range((*id, 0)..=(*id, u32::MAX)).filter_map(|(_, at)| self.view(*at))
    }
}
