//! Writes chat messages: one's own chain of one segment.

use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ObjType, ROOT, ReadDoc};

use super::{BLOCK_MESSAGES, MAX_BODY, TEXT, block_key};
use crate::author::{Author, AuthorError};
use crate::entry::Entry;
use crate::hlc::Hlc;
use crate::ids::{LogId, MessageId};
use crate::kinds::order::OrderKey;

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
    object: ObjId,
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
        Self { author: Author::new(log), block: None }
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

    /// Writes a message. Returns the payload of the next entry, whose stamp must be `hlc`.
    ///
    /// # Errors
    /// [`AuthorError`]; nothing is written then.
    pub fn say(&mut self, hlc: Hlc, draft: &Draft<'_>) -> Result<Vec<u8>, AuthorError> {
        if draft.body.len() > MAX_BODY {
            return Err(AuthorError::Rule("body is not a text of at most 64 KiB"));
        }
        let sent = i64::try_from(hlc.0).map_err(|_| AuthorError::Rule("the stamp is too large"))?;
        let incarnation = self.log().incarnation;
        if self.block.is_none() {
            self.block = self.last_block();
        }
        let mut block = self.block.clone();
        let raw = self.author.commit(hlc, |tx| {
            let mut open = match block.take() {
                Some(b) if b.messages < BLOCK_MESSAGES => b,
                other => {
                    let number = other.map_or(0, |b| b.number.saturating_add(1));
                    let object = tx.put_object(ROOT, block_key(&incarnation, number), ObjType::Map)?;
                    Block { number, object, messages: 0 }
                }
            };
            write(tx, &open.object, sent, draft)?;
            open.messages = open.messages.saturating_add(1);
            block = Some(open);
            Ok(())
        })?;
        self.block = block;
        Ok(raw)
    }

    /// Takes back all messages after `seq`, because their entries could not be committed.
    ///
    /// # Errors
    /// As [`Author::rollback`].
    pub fn rollback(&mut self, seq: u64) -> Result<(), AuthorError> {
        self.block = None;
        self.author.rollback(seq)
    }

    fn last_block(&self) -> Option<Block> {
        let doc = self.author.doc();
        let prefix = format!("{}.", self.log().incarnation);
        let number = doc.keys(ROOT).filter_map(|k| k.strip_prefix(&prefix)?.parse::<u32>().ok()).max()?;
        let (_, object) = doc.get(ROOT, block_key(&self.log().incarnation, number)).ok()??;
        let messages = u32::try_from(doc.length(&object)).ok()?;
        Some(Block { number, object, messages })
    }
}

fn write(tx: &mut Transaction<'_>, block: &ObjId, sent: i64, draft: &Draft<'_>) -> Result<(), AuthorError> {
    let message = tx.put_object(block, draft.id.to_string(), ObjType::Map)?;
    tx.put(&message, "sent", sent)?;
    tx.put(&message, "kind", TEXT)?;
    tx.put(&message, "body", draft.body)?;
    if let Some(after) = draft.after {
        tx.put(&message, "after", after.to_string())?;
    }
    if let Some(reply_to) = draft.reply_to {
        tx.put(&message, "reply_to", reply_to.to_string())?;
    }
    Ok(())
}
