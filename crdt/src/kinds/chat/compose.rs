//! Writes chat messages: one's own chain of one segment.

use automerge::Change;
use automerge::legacy::{Key, ObjectId, OpId, OpType};

use super::mention::Mention;
use super::plain::Said;
use super::record::{BLOCK_RECORDS, DELETE, EDIT, REACT, Record, record_block_key, record_key};
use super::{BLOCK_MESSAGES, MAX_BODY, TEXT, block_key};
use crate::author::{Author, AuthorError, NewOps};
use crate::entry::{Entry, Header};
use crate::hlc::Hlc;
use crate::ids::{LogId, MessageId};
use crate::kinds::order::OrderKey;
use crate::known::Known;

/// A message to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Its id.
    pub id: MessageId,
    /// What it says, at most [`MAX_BODY`] bytes.
    pub body: &'a str,
    /// The last message that the author has seen whose key is at most 2 minutes ahead of mesh time.
    pub after: Option<OrderKey>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
}

/// The author's last block.
#[derive(Debug, Clone)]
struct Block {
    number: u32,
    object: ObjectId,
    messages: u32,
}

/// Writes the messages of one log of a chat segment.
#[derive(Debug)]
pub struct ChatAuthor {
    author: Author,
    block: Option<Block>,
}

impl ChatAuthor {
    /// An author of an empty log.
    #[must_use]
    pub fn new(log: LogId) -> Self {
        Self::knowing(log, &Known::this_build())
    }

    /// An author of an empty log, who writes the newest payload version that is known.
    #[must_use]
    pub fn knowing(log: LogId, known: &Known) -> Self {
        Self { author: Author::knowing(log, known), block: None }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.author.log()
    }

    /// Changes in the chain.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.author.seq()
    }

    /// Takes up an entry of this log that was written before.
    ///
    /// # Errors
    /// As [`Author::replay`].
    pub fn replay(&mut self, entry: &Entry) -> Result<(), AuthorError> {
        self.author.replay(entry)?;
        self.block = None;
        Ok(())
    }

    /// The same of an entry whose payload was opened: `raw` is what it holds.
    ///
    /// # Errors
    /// As [`Author::replay`].
    pub fn replay_opened(&mut self, header: &Header, raw: &[u8]) -> Result<(), AuthorError> {
        self.author.replay_opened(header, raw)?;
        self.block = None;
        Ok(())
    }

    /// Writes a message. Returns the payload of the next entry, whose stamp must be `hlc`.
    ///
    /// # Errors
    /// [`AuthorError`]; nothing is written then.
    pub fn say(&mut self, hlc: Hlc, draft: &Draft<'_>) -> Result<Vec<u8>, AuthorError> {
        self.say_to(hlc, draft, &[])
    }

    /// The same, mentioning people.
    ///
    /// # Errors
    /// [`AuthorError`]; nothing is written then.
    pub fn say_to(&mut self, hlc: Hlc, draft: &Draft<'_>, mentions: &[Mention]) -> Result<Vec<u8>, AuthorError> {
        if draft.body.len() > MAX_BODY {
            return Err(AuthorError::Rule("body is not a text of at most 64 KiB"));
        }
        let sent = i64::try_from(hlc.0).map_err(|_| AuthorError::Rule("the stamp is too large"))?;
        let incarnation = self.log().incarnation;
        if self.block.is_none() {
            self.block = self.last_block();
        }
        if let Some(block) = self.block.as_mut().filter(|b| mentions.is_empty() && b.messages < BLOCK_MESSAGES) {
            let (after, reply_to) = (draft.after.map(|k| k.to_string()), draft.reply_to.map(|id| id.to_string()));
            let said = Said { id: draft.id, body: draft.body, after: after.as_deref(), reply_to: reply_to.as_deref() };
            if let Some(raw) = self.author.commit_plain(hlc, &said) {
                block.messages = block.messages.saturating_add(1);
                return Ok(raw);
            }
        }
        let mut ops = self.author.new_ops();
        let mut block = match &self.block {
            Some(b) if b.messages < BLOCK_MESSAGES => b.clone(),
            other => {
                let number = other.as_ref().map_or(0, |b| b.number.saturating_add(1));
                let object = ops.make_map(&ObjectId::Root, &block_key(&incarnation, number));
                Block { number, object, messages: 0 }
            }
        };
        write(&mut ops, &block.object, sent, draft, mentions);
        let raw = self.author.commit_new(hlc, ops)?;
        block.messages = block.messages.saturating_add(1);
        self.block = Some(block);
        Ok(raw)
    }

    /// Writes what is said of a message. Returns the payload of the next entry, whose stamp must be `hlc`.
    ///
    /// # Errors
    /// [`AuthorError`]; nothing is written then.
    pub fn record(&mut self, hlc: Hlc, record: &Record<'_>) -> Result<Vec<u8>, AuthorError> {
        let sent = i64::try_from(hlc.0).map_err(|_| AuthorError::Rule("the stamp is too large"))?;
        let blocks = self.author.records();
        let mut ops = self.author.new_ops();
        let (object, number) = if blocks.blocks > 0 && blocks.in_last < BLOCK_RECORDS {
            (self.author.object(blocks.made), blocks.in_last)
        } else {
            (ops.make_map(&ObjectId::Root, &record_block_key(&self.log().incarnation, blocks.blocks)), 0)
        };
        let made = ops.make_map(&object, &record_key(number));
        ops.put(&made, "sent", sent);
        match record {
            Record::Edit { message, body, mentions } => {
                ops.put(&made, "kind", EDIT);
                ops.put(&made, "message", message.to_string());
                ops.put(&made, "body", *body);
                write_mentions(&mut ops, &made, mentions);
            }
            Record::Delete { message } => {
                ops.put(&made, "kind", DELETE);
                ops.put(&made, "message", message.to_string());
            }
            Record::React { message, author, emoji, on } => {
                ops.put(&made, "kind", REACT);
                ops.put(&made, "message", message.to_string());
                ops.put(&made, "author", author.to_string());
                ops.put(&made, "emoji", *emoji);
                ops.put(&made, "on", *on);
            }
        }
        self.author.commit_new(hlc, ops)
    }

    /// Takes back all messages after `seq`, because their entries could not be committed.
    ///
    /// # Errors
    /// As [`Author::rollback`].
    pub fn rollback(&mut self, seq: u64) -> Result<(), AuthorError> {
        self.block = None;
        self.author.rollback(seq)
    }

    /// Reads the last block from the chain's newest changes.
    fn last_block(&self) -> Option<Block> {
        let prefix = format!("{}.", self.log().incarnation);
        let mut made: Vec<ObjectId> = Vec::new();
        for raw in self.author.newest_first() {
            let change = Change::from_bytes(raw.to_vec()).ok()?;
            let first = change.start_op().get();
            for (at, op) in change.decode().operations.into_iter().enumerate().rev() {
                let (OpType::Make(_), Key::Map(key)) = (&op.action, &op.key) else { continue };
                match (op.obj, key.strip_prefix(&prefix).and_then(|n| n.parse::<u32>().ok())) {
                    (ObjectId::Root, Some(number)) => {
                        let object = ObjectId::Id(OpId::new(first.saturating_add(at as u64), change.actor_id()));
                        let messages = made.iter().filter(|parent| **parent == object).count();
                        return Some(Block { number, object, messages: u32::try_from(messages).ok()? });
                    }
                    (parent, _) => made.push(parent),
                }
            }
        }
        None
    }
}

fn write(ops: &mut NewOps, block: &ObjectId, sent: i64, draft: &Draft<'_>, mentions: &[Mention]) {
    let message = ops.make_map(block, &draft.id.to_string());
    ops.put(&message, "sent", sent);
    ops.put(&message, "kind", TEXT);
    ops.put(&message, "body", draft.body);
    if let Some(after) = draft.after {
        ops.put(&message, "after", after.to_string());
    }
    if let Some(reply_to) = draft.reply_to {
        ops.put(&message, "reply_to", reply_to.to_string());
    }
    write_mentions(ops, &message, mentions);
}

fn write_mentions(ops: &mut NewOps, object: &ObjectId, mentions: &[Mention]) {
    if !mentions.is_empty() {
        let map = ops.make_map(object, "mentions");
        for m in mentions {
            ops.put(&map, &m.who.to_string(), &*m.name);
        }
    }
}
