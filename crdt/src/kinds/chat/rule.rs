//! Who may write what in a chat segment.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;

use super::plain::{Chain, Plain, Room, Said, make, recognise};
use super::record::{BLOCK_RECORDS, MAX_RECORDS, Recording, check_mention, record_block_key, record_key};
use super::{BLOCK_MESSAGES, MAX_BODY, block_key};
use crate::entry::Header;
use crate::guard::{Action, Key, OpView};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, Incarnation, LogId, MessageId};
use crate::kinds::order::OrderKey;
use crate::kinds::own::scalar_len;
use crate::kinds::{Made, RecordBlock, Rule, Writing};
use crate::period::Period;

/// Operations of one change.
const MAX_OPS: u32 = 512;
/// Bytes of keys and values of one change beside the bodies.
const MAX_EXTRA: usize = 32 * 1024;
/// Messages of one change.
const MAX_MESSAGES: u32 = 16;
/// Longest key in bytes.
const MAX_KEY: usize = 64;
/// Longest `kind` in bytes.
pub(super) const MAX_KIND: usize = 32;
/// Deepest path.
const MAX_DEPTH: usize = 8;
/// Largest block number, the most that six digits can say.
const MAX_BLOCK: u32 = 999_999;

/// How far an incarnation has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    blocks: u32,
    in_last: u32,
    stamp: Hlc,
    /// Operations so far: they are numbered from 1 without gaps.
    ops: u64,
    /// The operation that made the last block.
    block: u64,
    /// Its blocks of records.
    records: RecordBlock,
}

/// An incarnation.
#[derive(Debug, Default)]
struct Writer {
    progress: Progress,
    /// The messages of the last block.
    ids: BTreeSet<MessageId>,
    /// Its Automerge actor, once it was needed.
    actor: Option<[u8; 32]>,
}

/// The message being made.
#[derive(Debug)]
struct Making {
    id: String,
    sent: bool,
    kind: bool,
    body: bool,
    mentions: usize,
}

/// The change being judged.
#[derive(Debug)]
struct Change {
    by: Writing,
    prefix: String,
    progress: Progress,
    last_block: String,
    ops: u32,
    extra: usize,
    messages: u32,
    making: Option<Making>,
    records: u32,
    recording: Option<Recording>,
    /// Whether it opened a block.
    opened: bool,
    /// The messages that it made in the last block.
    ids: Vec<MessageId>,
}

/// The rule of a segment.
#[derive(Debug)]
pub(crate) struct ChatRule {
    period: Period,
    authors: BTreeMap<(DeviceId, Incarnation), Writer>,
    change: Option<Change>,
    room: Room,
}

impl ChatRule {
    /// The rule of a segment of that time.
    pub(crate) fn new(period: Period) -> Self {
        Self { period, authors: BTreeMap::new(), change: None, room: Room::default() }
    }
}

impl Rule for ChatRule {
    fn begin(&mut self, by: &Writing) {
        let progress = self.authors.get(&(by.device, by.incarnation)).map(|w| w.progress).unwrap_or_default();
        let last_block = progress.blocks.checked_sub(1).map(|b| block_key(&by.incarnation, b)).unwrap_or_default();
        self.change = Some(Change {
            by: *by,
            prefix: format!("{}.", by.incarnation),
            progress,
            last_block,
            ops: 0,
            extra: 0,
            messages: 0,
            making: None,
            records: 0,
            recording: None,
            opened: false,
            ids: Vec::new(),
        });
    }

    fn op(&mut self, op: &OpView) -> Result<(), &'static str> {
        let change = self.change.as_mut().ok_or("no change was begun")?;
        change.op(op, self.authors.get(&(change.by.device, change.by.incarnation)))
    }

    fn end(&mut self) -> Result<(), &'static str> {
        let mut change = self.change.take().ok_or("no change was begun")?;
        change.finish_message()?;
        change.finish_record()?;
        // What is said of a message may be said long after it.
        let since = change.by.hlc.ms() >= self.period.start;
        let late = since && change.records > 0 && change.messages == 0 && !change.opened;
        if !late && !self.period.holds(change.by.hlc.ms()) {
            return Err("the stamp lies in another week, day or hour than the segment");
        }
        if change.by.hlc <= change.progress.stamp {
            return Err("the stamp is not past the author's previous one");
        }
        change.progress.stamp = change.by.hlc;
        change.progress.ops = change.progress.ops.saturating_add(change.ops.into());
        let writer = self.authors.entry((change.by.device, change.by.incarnation)).or_default();
        writer.progress = change.progress;
        if change.opened {
            writer.ids.clear();
        }
        writer.ids.extend(change.ids);
        Ok(())
    }

    fn plain(&mut self, header: &Header, last: &[u8; 32], raw: &[u8]) -> Option<(Plain, [u8; 32])> {
        let next = self.next(&header.log, header.hlc)?;
        let plain = recognise(raw, &next.chain(header.seq, last, header.hlc), &mut self.room)?;
        self.took(&header.log, header.hlc, plain.id, plain.ops)?;
        Some((plain, next.actor))
    }

    fn records(&self, log: &LogId) -> RecordBlock {
        self.authors.get(&(log.device, log.incarnation)).map(|w| w.progress.records).unwrap_or_default()
    }

    fn make(&mut self, log: &LogId, seq: u64, hlc: Hlc, last: &[u8; 32], said: &Said<'_>) -> Option<Made> {
        let next = self.next(log, hlc)?;
        let (raw, hash, ops) = make(&next.chain(seq, last, hlc), said, &mut self.room)?;
        self.took(log, hlc, said.id, ops)?;
        Some(Made { raw, hash, ops, actor: next.actor })
    }
}

/// What the next change of an incarnation begins with if it is a plain message.
struct Next {
    actor: [u8; 32],
    start: u64,
    block: u64,
}

impl Next {
    fn chain<'a>(&'a self, seq: u64, last: &'a [u8; 32], hlc: Hlc) -> Chain<'a> {
        Chain { actor: &self.actor, seq, start: self.start, last, block: self.block, hlc }
    }
}

impl ChatRule {
    /// `None` where the next change cannot be a plain message of that stamp.
    fn next(&mut self, log: &LogId, hlc: Hlc) -> Option<Next> {
        let writer = self.authors.get_mut(&(log.device, log.incarnation))?;
        let p = &writer.progress;
        let room = p.blocks > 0 && p.in_last < BLOCK_MESSAGES;
        if !room || !self.period.holds(hlc.ms()) || hlc <= p.stamp {
            return None;
        }
        let actor = *writer.actor.get_or_insert_with(|| log.automerge_actor());
        Some(Next { actor, start: p.ops.checked_add(1)?, block: p.block })
    }

    /// A plain message is the next of its log; `None` if the block has one of this id already.
    fn took(&mut self, log: &LogId, hlc: Hlc, id: MessageId, ops: u32) -> Option<()> {
        let writer = self.authors.get_mut(&(log.device, log.incarnation))?;
        if !writer.ids.insert(id) {
            return None;
        }
        let p = &mut writer.progress;
        p.in_last = p.in_last.saturating_add(1);
        p.ops = p.ops.saturating_add(ops.into());
        p.stamp = hlc;
        Some(())
    }
}

impl Change {
    fn op(&mut self, op: &OpView, writer: Option<&Writer>) -> Result<(), &'static str> {
        self.ops = self.ops.saturating_add(1);
        if self.ops > MAX_OPS || op.path.len() > MAX_DEPTH {
            return Err("too many operations or too deep");
        }
        if op.overwrites {
            return Err("nothing in a chat segment is overwritten or deleted");
        }
        let Some((Key::Map(root), rest)) = op.path.split_first() else { return Err("not at a key") };
        let Some(block) = root.strip_prefix(self.prefix.as_str()) else {
            return Err("the key belongs to another incarnation");
        };
        if block.strip_prefix('r').is_some_and(is_block) {
            return self.record(root, rest, op);
        }
        match rest {
            [] => self.open_block(root, op),
            [Key::Map(id)] => self.open_message(root, id, op, writer),
            [Key::Map(id), Key::Map(field)] if self.makes(root, id) => self.field(field, op),
            [Key::Map(id), Key::Map(field), Key::Map(who)] if field == "mentions" && self.makes(root, id) => {
                let making = self.making.as_mut().ok_or("no message")?;
                check_mention(who, &op.action, &mut making.mentions)
            }
            [Key::Map(id), Key::Map(_), ..] if self.makes(root, id) => self.other(op),
            _ => Err("not in the message that the change makes"),
        }
    }

    fn makes(&self, root: &str, id: &str) -> bool {
        root == self.last_block && self.making.as_ref().is_some_and(|m| m.id == id)
    }

    fn open_block(&mut self, root: &str, op: &OpView) -> Result<(), &'static str> {
        let next = block_key(&self.by.incarnation, self.progress.blocks);
        if op.action != Action::MakeMap || root != next || self.progress.blocks > MAX_BLOCK {
            return Err("not the author's next block");
        }
        self.progress.blocks = self.progress.blocks.saturating_add(1);
        self.progress.in_last = 0;
        self.progress.block = self.progress.ops.saturating_add(self.ops.into());
        self.last_block = next;
        self.opened = true;
        self.ids.clear();
        Ok(())
    }

    fn open_message(&mut self, root: &str, id: &str, op: &OpView, writer: Option<&Writer>) -> Result<(), &'static str> {
        self.finish_message()?;
        self.finish_record()?;
        if op.action != Action::MakeMap || root != self.last_block {
            return Err("not a message in the author's last block");
        }
        let Some(message) = canonical_id(id) else { return Err("not a message id") };
        // What the guard does not keep of plain messages is held here: nothing is put over one.
        if self.ids.contains(&message) || (!self.opened && writer.is_some_and(|w| w.ids.contains(&message))) {
            return Err("the message is there already");
        }
        if self.progress.in_last >= BLOCK_MESSAGES || self.messages >= MAX_MESSAGES {
            return Err("the block is full");
        }
        self.progress.in_last = self.progress.in_last.saturating_add(1);
        self.messages = self.messages.saturating_add(1);
        self.ids.push(message);
        self.making = Some(Making { id: id.to_owned(), sent: false, kind: false, body: false, mentions: 0 });
        Ok(())
    }

    fn finish_message(&mut self) -> Result<(), &'static str> {
        match self.making.take() {
            Some(m) if !(m.sent && m.kind && m.body) => Err("a message has sent, kind and body"),
            _ => Ok(()),
        }
    }

    fn field(&mut self, field: &str, op: &OpView) -> Result<(), &'static str> {
        let Some(making) = self.making.as_mut() else { return Err("no message") };
        let text = match &op.action {
            Action::Put(ScalarValue::Str(s)) => Some(s.as_str()),
            _ => None,
        };
        match field {
            "sent" => {
                let stamp = i64::try_from(self.by.hlc.0).map_err(|_| "the stamp is too large")?;
                if op.action != Action::Put(ScalarValue::Int(stamp)) {
                    return Err("sent is not the entry's stamp");
                }
                making.sent = true;
                Ok(())
            }
            "kind" => {
                making.kind = text.is_some_and(|t| !t.is_empty() && t.len() <= MAX_KIND);
                if making.kind { Ok(()) } else { Err("kind is not a short text") }
            }
            "body" => {
                making.body = text.is_some_and(|t| t.len() <= MAX_BODY);
                if making.body { Ok(()) } else { Err("body is not a text of at most 64 KiB") }
            }
            "after" => text
                .filter(|t| t.parse::<OrderKey>().is_ok_and(|k| k.to_string() == *t))
                .map(|_| ())
                .ok_or("after is not an order key"),
            "reply_to" => text.and_then(canonical_id).map(|_| ()).ok_or("reply_to is not a message id"),
            "mentions" if op.action != Action::MakeMap => Err("mentions is not a map"),
            "attachments" if op.action != Action::MakeList => Err("attachments is not a list"),
            _ => self.other(op),
        }
    }

    fn record(&mut self, root: &str, rest: &[Key], op: &OpView) -> Result<(), &'static str> {
        let by = self.by;
        match rest {
            [] => self.open_records(root, op),
            [Key::Map(key)] => self.open_record(root, key, op),
            [Key::Map(key), rest @ ..] if self.recording.as_ref().is_some_and(|r| r.key == *key) => {
                let Some(recording) = self.recording.as_mut().filter(|_| self.progress.records.is_last(&by, root))
                else {
                    return Err("not in the author's last block of records");
                };
                match rest {
                    [Key::Map(field)] if recording.field(field, op, &by)? => Ok(()),
                    [Key::Map(field), Key::Map(who)] if field == "mentions" => recording.mention(who, &op.action),
                    _ => self.other(op),
                }
            }
            _ => Err("not in the record that the change makes"),
        }
    }

    fn open_records(&mut self, root: &str, op: &OpView) -> Result<(), &'static str> {
        let blocks = self.progress.records.blocks;
        if op.action != Action::MakeMap || root != record_block_key(&self.by.incarnation, blocks) || blocks > MAX_BLOCK
        {
            return Err("not the author's next block of records");
        }
        self.finish_record()?;
        let made = self.progress.ops.saturating_add(self.ops.into());
        self.progress.records = RecordBlock { blocks: blocks.saturating_add(1), in_last: 0, made };
        Ok(())
    }

    fn open_record(&mut self, root: &str, key: &str, op: &OpView) -> Result<(), &'static str> {
        self.finish_message()?;
        self.finish_record()?;
        let block = &mut self.progress.records;
        if op.action != Action::MakeMap || !block.is_last(&self.by, root) || key != record_key(block.in_last) {
            return Err("not the author's next record");
        }
        if block.in_last >= BLOCK_RECORDS || self.records >= MAX_RECORDS {
            return Err("the block of records is full");
        }
        block.in_last = block.in_last.saturating_add(1);
        self.records = self.records.saturating_add(1);
        self.recording = Some(Recording::new(key));
        Ok(())
    }

    fn finish_record(&mut self) -> Result<(), &'static str> {
        self.recording.take().map_or(Ok(()), Recording::finish)
    }

    /// Something that this build does not know, within bounds.
    fn other(&mut self, op: &OpView) -> Result<(), &'static str> {
        let value = match &op.action {
            Action::MakeMap | Action::MakeList => 0,
            Action::Put(v) => scalar_len(v).ok_or("a value of this type has no place here")?,
            Action::MakeText | Action::Delete | Action::Increment(_) | Action::Mark => {
                return Err("texts, counters and marks have no place here");
            }
        };
        let key = match op.path.last() {
            Some(Key::Map(k)) => k.len(),
            _ => 0,
        };
        self.extra = self.extra.saturating_add(value).saturating_add(key);
        if key > MAX_KEY || self.extra > MAX_EXTRA { Err("too large") } else { Ok(()) }
    }
}

fn is_block(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())
}

impl RecordBlock {
    fn is_last(&self, by: &Writing, root: &str) -> bool {
        self.blocks.checked_sub(1).is_some_and(|last| root == record_block_key(&by.incarnation, last))
    }
}

pub(super) fn canonical_id(text: &str) -> Option<MessageId> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) { None } else { text.parse().ok() }
}
