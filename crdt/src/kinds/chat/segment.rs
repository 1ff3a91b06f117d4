//! A chat segment in memory: the judge of its entries and its messages in order.
//!
//! The messages are read from the operations that guard and rule let through; the Automerge document itself is not
//! held. It would cost 530 bytes and 30 to 120 microseconds a message, and the rule leaves nothing in it to resolve:
//! nobody overwrites anything. [`crate::document::Document`] makes it of the same entries where it is wanted (export).

use automerge::ScalarValue;

use super::TEXT;
use super::conversation::Span;
use super::plain::Plain;
use super::store::{Incoming, Inserted, MessageView, Messages};
use crate::entry::{Entry, Header};
use crate::guard::{Action, Key, OpView};
use crate::hlc::Hlc;
use crate::ids::{DocumentId, LogId, MessageId, PrincipalId};
use crate::kinds::order::OrderKey;
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
}

/// A segment.
#[derive(Debug)]
pub struct ChatSegment {
    judge: Judge,
    pub(super) messages: Messages,
    stamps: Option<(Hlc, Hlc)>,
}

impl ChatSegment {
    /// An empty segment; `None` if the id is not that of a chat segment.
    #[must_use]
    pub fn new(id: DocumentId) -> Option<Self> {
        id.chat_week()?;
        Some(Self { judge: Judge::new(id), messages: Messages::default(), stamps: None })
    }

    /// The document's id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.judge.id()
    }

    /// How many entries of a log were judged (valid or not).
    #[must_use]
    pub fn judged(&self, log: &LogId) -> u64 {
        self.judge.judged(log)
    }

    /// Judges and applies a batch. `received` says when an entry became durable here (milliseconds since 1970).
    pub fn apply<E: AsRef<Entry>>(&mut self, entries: &[E], received: impl Fn(&E) -> u64) -> Applied {
        let mut out = Applied { outcomes: Vec::with_capacity(entries.len()), ..Applied::default() };
        for entry in entries {
            let outcome = self.judge.take_said(entry.as_ref());
            let header = entry.as_ref().header();
            if outcome.is_ok() {
                let (first, last) = self.stamps.unwrap_or((header.hlc, header.hlc));
                self.stamps = Some((first.min(header.hlc), last.max(header.hlc)));
            }
            let outcome = match outcome {
                Ok(Taken::Plain(plain)) => {
                    self.insert(header.log, Incoming::of(header, plain, received(entry)), &mut out);
                    Outcome::Valid { ops: Vec::new() }
                }
                Ok(Taken::Ops(ops)) => {
                    for message in read(header, &ops, received(entry)) {
                        self.insert(header.log, message, &mut out);
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

    /// First and last stamp and number of messages; `None` while it holds no valid entry.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.stamps.map(|(first, last)| Span { first, last, count: self.len() as u64 })
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

    /// The messages of an id, one for each principal that used it (honest ones never share one).
    pub fn find(&self, id: &MessageId) -> impl Iterator<Item = MessageView<'_>> {
        self.messages.find(id)
    }

    /// The place of the first message after a key.
    pub(crate) fn after(&self, key: &OrderKey) -> usize {
        let at = self.position(key);
        if self.at(at).is_some_and(|m| m.key == *key) { at.saturating_add(1) } else { at }
    }
}

impl Incoming {
    fn of(header: &Header, plain: Plain, received: u64) -> Self {
        let Plain { id, body, after, reply_to, .. } = plain;
        Self { id, seq: header.seq, sent: header.hlc, after, received, kind: None, body, reply_to }
    }
}

/// The messages of a change that passed guard and rule.
fn read(header: &Header, ops: &[OpView], received: u64) -> Vec<Incoming> {
    let mut out: Vec<Incoming> = Vec::with_capacity(1);
    for op in ops {
        match (op.path.as_slice(), &op.action) {
            ([Key::Map(root), Key::Map(id)], Action::MakeMap) if !is_record(root) => {
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
                });
            }
            ([Key::Map(root), Key::Map(_), Key::Map(field)], Action::Put(ScalarValue::Str(text)))
                if !is_record(root) =>
            {
                let Some(message) = out.last_mut() else { continue };
                match field.as_str() {
                    "kind" if text.as_str() != TEXT => message.kind = Some(text.to_string()),
                    "body" => message.body = text.as_str().into(),
                    "after" => message.after = text.parse::<OrderKey>().ok().map(|k| k.stamp),
                    "reply_to" => message.reply_to = text.parse().ok(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    out
}

fn is_record(root: &str) -> bool {
    root.split_once('.').is_some_and(|(_, block)| block.starts_with('r'))
}
