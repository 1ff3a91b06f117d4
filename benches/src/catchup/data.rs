//! The same messages for everybody: 20 people who talk for days, as Cairn's signed entries and as plain Automerge
//! changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, Change, ObjType, ROOT, ReadDoc};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::{BLOCK_MESSAGES, ChatAuthor, Draft, PART_MESSAGES, week_of};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::writer::{LogTip, LogWriter};

use crate::nodes::Error;

/// People.
pub const AUTHORS: usize = 20;
/// Milliseconds from one message to the next: 200,000 of them are four days and a half.
const STEP_MS: u64 = 2_000;

/// Words of bodies, so that they compress as speech does.
const WORDS: &str = "road bridge water team north south east west open closed clear check now later ready on way send need \
                     four two boat truck radio power camp post map river hill village people medic fuel tent rope light";

/// One message, before anybody wrote it down.
struct Said {
    author: usize,
    at: u64,
    body: String,
}

/// A small generator that gives the same numbers in every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// So many messages, the last one at `end` (milliseconds since 1970), of about 100 bytes each.
fn said(count: usize, end: u64) -> impl Iterator<Item = Said> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let first = end.saturating_sub(STEP_MS * count as u64);
    (0..count as u64).map(move |n| {
        let mut body = format!("{n}");
        while body.len() < 80 + numbers.below(40) {
            body.push(' ');
            body.push_str(words[numbers.below(words.len())]);
        }
        Said { author: numbers.below(AUTHORS), at: first + n * STEP_MS, body }
    })
}

/// The people's keys.
fn keys() -> Vec<DeviceKey> {
    (0..AUTHORS as u8).map(|n| DeviceKey::from_seed(&[n + 1; 32])).collect()
}

/// The entries of so many messages in one space, in order of time: each names the last message before it, as the
/// product does, and goes to the part of its week that the product would choose.
///
/// # Errors
/// Never, unless the product refuses its own.
pub fn entries(space: SpaceId, count: usize, end: u64) -> Result<Vec<Arc<Entry>>, Error> {
    let keys = keys();
    let mut pens: BTreeMap<(DocumentId, usize), (ChatAuthor, LogWriter)> = BTreeMap::new();
    let mut weeks: BTreeMap<u32, u64> = BTreeMap::new();
    let mut after: Option<OrderKey> = None;
    let mut out = Vec::with_capacity(count);
    for (n, said) in said(count, end).enumerate() {
        let week = week_of(said.at);
        let so_far = weeks.entry(week).or_default();
        let document = DocumentId::chat(week, u16::try_from(*so_far / PART_MESSAGES)?);
        *so_far += 1;
        let key = keys.get(said.author).ok_or("no such author")?;
        let (author, writer) = pens.entry((document, said.author)).or_insert_with(|| {
            let log = LogId { document, device: key.id(), incarnation: Incarnation([said.author as u8 + 1; 16]) };
            (ChatAuthor::new(log), LogWriter::new(key.clone(), space, log, LogTip::EMPTY))
        });
        let hlc = Hlc::from_ms(said.at);
        let id = id(said.at, n);
        let raw = author.say(hlc, &Draft { id, body: &said.body, after, reply_to: None })?;
        out.push(Arc::new(writer.write(raw, hlc)?));
        after = Some(OrderKey::of(hlc, after.map(|a| a.stamp), key.id(), id));
    }
    Ok(out)
}

fn id(at: u64, n: usize) -> MessageId {
    let mut tail = [0; 10];
    tail.iter_mut().rev().zip((n as u64).to_le_bytes()).for_each(|(to, from)| *to = from);
    MessageId::new(at, tail)
}

/// The id of the message that an entry holds, by its place in [`entries`].
///
/// # Errors
/// Where there are not so many.
pub fn id_of(place: usize, entries: &[Arc<Entry>]) -> Result<MessageId, Error> {
    Ok(id(entries.get(place).ok_or("no such entry")?.header().hlc.ms(), place))
}

/// The same messages as changes of one Automerge document, in order of time: maps of 512 messages an author, each
/// change on top of its author's previous one, as Cairn's.
///
/// # Errors
/// What Automerge refuses.
pub fn changes(count: usize, end: u64) -> Result<Vec<Change>, Error> {
    struct Author {
        doc: Automerge,
        block: Option<automerge::ObjId>,
        messages: u32,
        blocks: u32,
    }
    let mut authors: Vec<Author> = (0..AUTHORS)
        .map(|n| Author {
            doc: Automerge::new().with_actor(ActorId::from(vec![n as u8 + 1; 48])),
            block: None,
            messages: 0,
            blocks: 0,
        })
        .collect();
    let mut out = Vec::with_capacity(count);
    let mut after: Option<String> = None;
    for (n, said) in said(count, end).enumerate() {
        let a = authors.get_mut(said.author).ok_or("no such author")?;
        let mut tx = a.doc.transaction();
        let block = match a.block.take() {
            Some(block) if a.messages < BLOCK_MESSAGES => block,
            _ => {
                (a.messages, a.blocks) = (0, a.blocks + 1);
                tx.put_object(ROOT, format!("{:02}.{:06}", said.author, a.blocks), ObjType::Map)?
            }
        };
        let id = format!("{:012x}{n:08x}", said.at);
        let message = tx.put_object(&block, id.as_str(), ObjType::Map)?;
        tx.put(&message, "sent", said.at as i64)?;
        tx.put(&message, "kind", "text")?;
        tx.put(&message, "body", said.body)?;
        if let Some(after) = after.replace(id) {
            tx.put(&message, "after", after)?;
        }
        tx.commit_with(CommitOptions::default().with_time((said.at / 1000) as i64));
        (a.block, a.messages) = (Some(block), a.messages + 1);
        out.push(a.doc.get_last_local_change().ok_or("no change was made")?);
    }
    Ok(out)
}

/// How many messages an Automerge document holds, each body read.
///
/// # Errors
/// What Automerge refuses.
pub fn read(doc: &Automerge) -> Result<usize, Error> {
    let mut messages = 0;
    for block in doc.map_range(&ROOT, ..) {
        let block = block.id();
        for message in doc.map_range(&block, ..) {
            let body = doc.get(message.id(), "body")?.ok_or("a message without a body")?;
            messages += usize::from(body.0.as_str().is_some_and(|b| !b.is_empty()));
        }
    }
    Ok(messages)
}
