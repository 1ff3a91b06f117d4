//! Writing into a conversation: messages, and what is said of them.

use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::{Hlc, MAX_AHEAD_MS};
use cairn_crdt::ids::{DocumentId, LogId, MessageId, PrincipalId};
use cairn_crdt::kinds::chat::mention::Mention;
use cairn_crdt::kinds::chat::{Draft, MessageView, PageAt as At, Record};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::period::period_of;

use super::Space;
use super::segments::SEGMENTS_KEPT;
use crate::pen::{Pen, PenError};
use crate::wiring::Wiring;

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Its text.
    pub body: Box<str>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Whom it mentions.
    pub mentions: Vec<Mention>,
}

impl Words {
    /// What a message says now.
    #[must_use]
    pub fn of(m: &MessageView<'_>) -> Self {
        Self { body: m.body.into(), reply_to: m.reply_to, mentions: m.mentions.to_vec() }
    }
}

impl Space {
    /// Writes a message.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_message(
        &mut self,
        id: MessageId,
        words: &Words,
        hlc: Hlc,
        wiring: &Wiring,
    ) -> Result<Arc<Entry>, PenError> {
        // Where our clock lies in what is gone, as one that stood still for a year, it counts as standing after it.
        let live = self.live(hlc);
        let now = if live == hlc { wiring.mesh_ms() } else { live.ms() };
        let hlc = live;
        // Stamps of one log grow. Where this start stamped by a clock that was far ahead, another part takes what
        // follows; where by little, the stamp does.
        let log = |document: &DocumentId| LogId { document: *document, device: wiring.me, incarnation: wiring.pen() };
        let last = |document: &DocumentId| self.sync.replica().admitted(&log(document)).hlc;
        let near = now.saturating_add(MAX_AHEAD_MS);
        // What was promised holds whatever the clock says.
        let hlc = hlc.max(self.floor);
        let fits =
            |d: &DocumentId| last(d).ms() <= near && period_of(d).is_none_or(|p| p.holds(hlc.max(last(d).next()).ms()));
        let document = self.chat.target_where(hlc, fits);
        let hlc = hlc.max(last(&document).next());
        let ahead = OrderKey { stamp: Hlc::from_ms(near.saturating_add(1)), ..OrderKey::MIN };
        let after = self.chat.page(&At::Before(ahead), 1).messages.last().map(|m| m.key);
        let draft = Draft { id, body: &words.body, after, reply_to: words.reply_to };
        self.write_chat(document, hlc, wiring, |chain| chain.say_to(hlc, &draft, &words.mentions))
    }

    /// Writes what is said of a message, into the segment that it lies in and stamped after `past`; `None`: it is not here.
    ///
    /// # Errors
    /// [`PenError`]; nothing was written.
    pub fn write_record(
        &mut self,
        author: &PrincipalId,
        record: &Record<'_>,
        hlc: Hlc,
        past: Hlc,
        wiring: &Wiring,
    ) -> Result<Option<Arc<Entry>>, PenError> {
        let (Record::Edit { message, .. } | Record::Delete { message } | Record::React { message, .. }) = record;
        let Some(m) = self.chat.get(author, message) else { return Ok(None) };
        let document = m.log.document;
        if self.sync.replica().is_gone(&document) {
            return Ok(None);
        }
        // Of what was said of it the latest counts: this must be later, by whatever clock that was stamped.
        let before = match record {
            Record::React { emoji, .. } => m.about.and_then(|a| a.reacted(&wiring.me.principal(), emoji)).map(|r| r.0),
            _ => m.edited,
        };
        let log = LogId { document, device: wiring.me, incarnation: wiring.pen() };
        let last = self.sync.replica().admitted(&log).hlc;
        let least = m.sent.max(last).max(before.unwrap_or_default()).max(past).next();
        let hlc = hlc.max(self.floor).max(least);
        self.write_chat(document, hlc, wiring, |chain| chain.record(hlc, record)).map(Some)
    }

    /// Authors a change of a segment and signs its entry, sealed where this space is.
    fn write_chat(
        &mut self,
        document: DocumentId,
        hlc: Hlc,
        wiring: &Wiring,
        author: impl FnOnce(&mut cairn_crdt::kinds::chat::ChatAuthor) -> Result<Vec<u8>, cairn_crdt::author::AuthorError>,
    ) -> Result<Arc<Entry>, PenError> {
        let log = LogId { document, device: wiring.me, incarnation: wiring.pen() };
        let keys = self.keys();
        let seal = match self.current_key(hlc) {
            Some(epoch) => keys.get(&epoch).map(|epoch| (epoch, self.seen_heads())),
            None if self.is_sealed() => return Err(PenError::NoKey),
            None => None,
        };
        let pen = match self.pens.get_mut(&document) {
            Some(pen) => pen,
            None => {
                let pen = Pen::open(&wiring.key, self.id, log, wiring.store.as_ref(), &wiring.known, &keys)?;
                self.pens.entry(document).or_insert(pen)
            }
        };
        let entry = match seal {
            Some((epoch, heads)) => pen.write_sealed(hlc, heads, epoch, author)?,
            None => pen.write(hlc, author)?,
        };
        while self.pens.len() > SEGMENTS_KEPT {
            self.pens.pop_first();
        }
        self.sync.replica_mut().admit_own(&entry);
        Ok(entry)
    }
}
