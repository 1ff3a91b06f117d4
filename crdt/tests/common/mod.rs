//! People who write signed entries, for the tests of document kinds.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use automerge::transaction::Transaction;
use automerge::{ActorId, Automerge, ReadDoc};
use cairn_crdt::author::AuthorError;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::{Clock, Hlc};
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, DocumentId, Incarnation, LogId, MessageId, PrincipalId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, ChatSegment, Conversation, Draft, MessageView, Record, WEEK_MS};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::known::Known;
use cairn_crdt::writer::{LogTip, LogWriter};

/// The week that tests write in, and a time in its middle.
pub const WEEK: u32 = 2968;
pub const NOON: u64 = WEEK as u64 * WEEK_MS + WEEK_MS / 2;

pub fn segment_id(part: u16) -> DocumentId {
    DocumentId::chat(WEEK, part)
}

pub fn segment(part: u16) -> ChatSegment {
    ChatSegment::new(segment_id(part)).unwrap()
}

/// One incarnation of a device with its logs.
pub struct Person {
    pub key: DeviceKey,
    pub incarnation: Incarnation,
    pub clock: Clock,
    pub now: u64,
    pub known: Known,
    pens: BTreeMap<DocumentId, (LogWriter, ChatAuthor)>,
    count: u64,
}

impl Person {
    pub fn new(device: u8, incarnation: u8) -> Self {
        Self {
            key: DeviceKey::from_seed(&[device; 32]),
            incarnation: Incarnation([incarnation; 16]),
            clock: Clock::default(),
            now: NOON,
            known: Known::this_build(),
            pens: BTreeMap::new(),
            count: 0,
        }
    }

    /// The same with another build of Cairn.
    pub fn knowing(self, known: Known) -> Self {
        Self { known, ..self }
    }

    pub fn id(&self) -> DeviceId {
        self.key.id()
    }

    pub fn principal(&self) -> PrincipalId {
        self.id().principal()
    }

    pub fn log(&self, document: DocumentId) -> LogId {
        LogId { document, device: self.id(), incarnation: self.incarnation }
    }

    pub fn pen(&self, document: DocumentId) -> LogWriter {
        let version = self.known.version(document.kind()).unwrap_or(1);
        LogWriter::new(self.key.clone(), SpaceId([5; 32]), self.log(document), LogTip::EMPTY).of_version(version)
    }

    pub fn stamp(&mut self) -> Hlc {
        self.now += 10;
        self.clock.tick(self.now)
    }

    pub fn next_id(&mut self) -> MessageId {
        self.count += 1;
        let mut random = [self.key.id().0[0]; 10];
        random[..8].copy_from_slice(&self.count.to_be_bytes());
        random[9] = self.incarnation.0[0];
        MessageId::new(self.now, random)
    }

    pub fn say(&mut self, document: DocumentId, body: &str) -> Arc<Entry> {
        let id = self.next_id();
        self.say_draft(document, &Draft { id, body, after: None, reply_to: None })
    }

    pub fn say_draft(&mut self, document: DocumentId, draft: &Draft<'_>) -> Arc<Entry> {
        let hlc = self.stamp();
        self.say_at(document, hlc, draft)
    }

    pub fn say_at(&mut self, document: DocumentId, hlc: Hlc, draft: &Draft<'_>) -> Arc<Entry> {
        let (pen, author) = self.desk(document);
        let raw = author.say(hlc, draft).unwrap();
        Arc::new(pen.write(raw, hlc).unwrap())
    }

    fn desk(&mut self, document: DocumentId) -> &mut (LogWriter, ChatAuthor) {
        let fresh = (self.pen(document), ChatAuthor::knowing(self.log(document), &self.known));
        self.pens.entry(document).or_insert(fresh)
    }

    pub fn record_raw(&mut self, document: DocumentId, record: &Record<'_>) -> Result<Arc<Entry>, AuthorError> {
        let hlc = self.stamp();
        let (pen, author) = self.desk(document);
        let raw = author.record(hlc, record)?;
        Ok(Arc::new(pen.write(raw, hlc).unwrap()))
    }

    pub fn record(&mut self, document: DocumentId, record: &Record<'_>) -> Arc<Entry> {
        self.record_raw(document, record).unwrap()
    }
}

/// Writes whatever it likes under its own signature: the chain is right, the contents need not be.
pub struct Hostile {
    pub person: Person,
    pub pen: LogWriter,
    doc: Automerge,
}

impl Hostile {
    pub fn new(device: u8, incarnation: u8, document: DocumentId) -> Self {
        let person = Person::new(device, incarnation);
        let actor = person.log(document).automerge_actor();
        let pen = person.pen(document);
        Self { person, pen, doc: Automerge::new().with_actor(ActorId::from(actor)) }
    }

    pub fn write(&mut self, edit: impl FnOnce(&mut Transaction<'_>, i64)) -> Arc<Entry> {
        let hlc = self.person.stamp();
        self.write_at(hlc, hlc.0 as i64, edit)
    }

    pub fn write_at(&mut self, hlc: Hlc, sent: i64, edit: impl FnOnce(&mut Transaction<'_>, i64)) -> Arc<Entry> {
        let mut tx = self.doc.transaction();
        edit(&mut tx, sent);
        let hash = tx.commit().0.unwrap();
        let raw = self.doc.get_change_by_hash(&hash).unwrap().raw_bytes().to_vec();
        Arc::new(self.pen.write(raw, hlc).unwrap())
    }
}

/// What is shown, in order.
pub fn bodies(segment: &ChatSegment) -> Vec<String> {
    segment.newest(usize::MAX).map(|m| m.body.to_owned()).collect()
}

/// All that a reader can see of a segment.
pub fn shown(segment: &ChatSegment) -> Vec<(OrderKey, LogId, u64, String)> {
    segment.newest(usize::MAX).map(row).collect()
}

pub fn row(m: MessageView<'_>) -> (OrderKey, LogId, u64, String) {
    (m.key, m.log, m.seq, m.body.to_owned())
}

pub fn apply(segment: &mut ChatSegment, entries: &[Arc<Entry>]) -> cairn_crdt::kinds::chat::Applied {
    segment.apply(entries, |_| 1)
}

pub fn conversation() -> Conversation {
    let mut c = Conversation::new();
    c.set_now(NOON);
    c
}
