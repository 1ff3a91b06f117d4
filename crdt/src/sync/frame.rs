//! The frames of replication, as bytes: one type byte, then canonical fields. The space is named outside the frame, by
//! a tag that only a co-member of this session recognises.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{Entry, SignedHeader};
use crate::fork::{MAX_BRANCH, Proof, ProofError, read_headers};
use crate::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation, LogId};
use crate::ledger::note::Note;
use crate::replica::HeldBack;
use crate::seal::Prekey;
use crate::spans::Spans;

/// Most documents in one frame.
pub const MAX_DOCS: usize = 8_192;
/// Most logs in one frame.
pub const MAX_LOGS: usize = 8_192;
/// Most entries in one frame.
pub const MAX_ENTRIES: usize = 4_096;
/// Most ranges of documents in one frame.
pub const MAX_RANGES: usize = 256;

/// Most stretches of time in one frame.
pub const MAX_SPANS: usize = 64;

/// Most authors, and most starts, in one frame whose entries are held back; what others than these send is dropped where
/// it comes.
pub const MAX_HELD: usize = 256;

/// Most epochs in one frame whose keys are lacked.
pub const MAX_LACKED: usize = 64;

/// A log's durable end as told to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The author.
    pub device: DeviceId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Entries held.
    pub seq: u64,
    /// Hash of the last.
    pub hash: EntryHash,
}

/// A range of documents, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The lowest id that belongs to it.
    pub from: DocumentId,
    /// The highest.
    pub upto: DocumentId,
    /// A hash over the documents of the sender in it.
    pub print: [u8; 32],
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// "This is my digest of the space." Answered by `Docs` where it differs, by `Same` where not.
    Digest([u8; 32]),
    /// "Mine is the same": the digest that was equal.
    Same([u8; 32]),
    /// Digests of documents, ascending; several frames where there are many.
    Docs {
        /// Whether more follow.
        more: bool,
        /// Whether the receiver should answer with its own.
        ask: bool,
        /// Documents and their digests.
        docs: Vec<(DocumentId, [u8; 32])>,
    },
    /// Fingerprints of ranges of documents, instead of a list where that would be long.
    Ranges {
        /// Digest of the control log; zero: there is none.
        control: [u8; 32],
        /// The ranges, ascending; none overlap.
        ranges: Vec<Range>,
    },
    /// "Of this range I have these."
    Listed {
        /// The lowest id of the range.
        from: DocumentId,
        /// The highest.
        upto: DocumentId,
        /// All of them; the receiver should answer with what differs. Else these differ from the receiver's list.
        ask: bool,
        /// Documents and their digests, ascending.
        docs: Vec<(DocumentId, [u8; 32])>,
    },
    /// "This is what I hold of this document; send me the rest."
    Want {
        /// The document.
        document: DocumentId,
        /// The durable frontier, ascending.
        logs: Vec<LogEnd>,
    },
    /// Entries: runs of logs, each ending at a signature that the sender has verified.
    Entries {
        /// Just written or just received, not asked for.
        live: bool,
        /// The entries.
        entries: Vec<Arc<Entry>>,
    },
    /// "That was all of this document."
    Served(DocumentId),
    /// "So many entries of what you asked for are still to come": told where they are many, for people to see.
    Coming(u64),
    /// "These logs are durable here up to there": at once, to whoever sent them. Everybody else hears of it with the
    /// next statement.
    Durable(Vec<(LogId, u64)>),
    /// "What is about these times is gone here: leave it out."
    Window(Spans),
    /// "Send me no entries of these authors, and of these starts, for now."
    HeldBack(HeldBack),
    /// "I hold another branch of this log: show me yours from here on."
    Trace {
        /// The log.
        log: LogId,
        /// First sequence number.
        from: u64,
    },
    /// Headers of a log, asked for by `Trace`, the last one with a signature that the sender has verified; none where
    /// the log ends before.
    Branch {
        /// The log.
        log: LogId,
        /// Consecutive signed headers.
        headers: Vec<SignedHeader>,
    },
    /// "This log forked."
    Fork(Box<Proof>),
    /// To the author of a log that forked: a run of the branch that does not count, so that it says it again.
    Lost(Vec<Arc<Entry>>),
    /// From the author: what followed this entry of a lost branch is said again and need not be kept.
    Said {
        /// The log.
        log: LogId,
        /// The first entry of the branch.
        first: EntryHash,
    },
    /// "My last prekey is this, and I lack the keys of these epochs": when a sealed space is opened, and now and then
    /// while some are lacked. So what is written next is sealed to whoever is here, before the control log says a word.
    Keys {
        /// The sender's prekey, signed by it.
        prekey: Box<Prekey>,
        /// Epochs, ascending.
        lacked: Vec<EpochId>,
    },
    /// "My person is writing something here", or has stopped. Never stored, never passed on.
    Typing(bool),
    /// Statements and what belongs to them (types 16 to 21).
    Note(Note),
}

impl Frame {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        match self {
            Self::Digest(d) => {
                w.u8(0).bytes(d);
            }
            Self::Same(d) => {
                w.u8(1).bytes(d);
            }
            Self::Docs { more, ask, docs } => {
                w.u8(2).u8(u8::from(*more)).u8(u8::from(*ask));
                write_docs(&mut w, docs);
            }
            Self::Ranges { control, ranges } => {
                w.u8(7).bytes(control).u32(ranges.len() as u32);
                for r in ranges {
                    w.bytes(&r.from.0).bytes(&r.upto.0).bytes(&r.print);
                }
            }
            Self::Listed { from, upto, ask, docs } => {
                w.u8(8).bytes(&from.0).bytes(&upto.0).u8(u8::from(*ask));
                write_docs(&mut w, docs);
            }
            Self::Want { document, logs } => {
                w.u8(3).bytes(&document.0).u32(logs.len() as u32);
                for l in logs {
                    w.bytes(&l.device.0).bytes(&l.incarnation.0).u64(l.seq).bytes(&l.hash.0);
                }
            }
            Self::Entries { live, entries } => {
                w.u8(4).u8(u8::from(*live));
                write_entries(entries, &mut w);
            }
            Self::Served(id) => {
                w.u8(5).bytes(&id.0);
            }
            Self::Coming(entries) => {
                w.u8(9).u64(*entries);
            }
            Self::Durable(logs) => {
                w.u8(6).u32(logs.len() as u32);
                for (log, seq) in logs {
                    w.bytes(&log.to_bytes()).u64(*seq);
                }
            }
            Self::Window(spans) => {
                w.u8(24).u32(spans.len() as u32);
                for (from, upto) in spans.iter() {
                    w.u64(from).u64(upto);
                }
            }
            Self::HeldBack(held) => {
                w.u8(10).u8(u8::from(held.all_but.is_some()));
                if let Some(but) = &held.all_but {
                    w.bytes(&but.0);
                }
                w.u32(held.authors.len() as u32);
                for author in &held.authors {
                    w.bytes(&author.0);
                }
                w.u32(held.starts.len() as u32);
                for (device, start) in &held.starts {
                    w.bytes(&device.0).bytes(&start.0);
                }
            }
            Self::Trace { log, from } => {
                w.u8(25).bytes(&log.to_bytes()).u64(*from);
            }
            Self::Branch { log, headers } => {
                w.u8(26).bytes(&log.to_bytes()).u16(headers.len() as u16);
                for signed in headers.iter().take(MAX_BRANCH) {
                    w.bytes(&signed.encode());
                }
            }
            Self::Fork(proof) => {
                w.u8(27);
                proof.write(&mut w);
            }
            Self::Lost(entries) => {
                w.u8(28);
                write_entries(entries, &mut w);
            }
            Self::Said { log, first } => {
                w.u8(29).bytes(&log.to_bytes()).bytes(&first.0);
            }
            Self::Keys { prekey, lacked } => {
                w.u8(11).bytes(&prekey.encode()).u32(lacked.len() as u32);
                for epoch in lacked {
                    w.bytes(&epoch.0);
                }
            }
            Self::Typing(on) => {
                w.u8(12).u8(u8::from(*on));
            }
            Self::Note(note) => note.write(&mut w),
        }
        w.finish()
    }

    /// Reads a frame that fills `bytes`. Nothing is allocated beyond what the bytes can hold.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a frame within the bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let frame = match r.u8()? {
            0 => Self::Digest(r.array()?),
            1 => Self::Same(r.array()?),
            2 => {
                let (more, ask) = (flag(&mut r)?, flag(&mut r)?);
                Self::Docs { more, ask, docs: read_docs(&mut r)? }
            }
            3 => {
                let document = DocumentId(r.array()?);
                let n = count(&mut r, MAX_LOGS, 88, "number of logs")?;
                let mut logs: Vec<LogEnd> = Vec::with_capacity(n);
                for _ in 0..n {
                    let l = LogEnd {
                        device: DeviceId(r.array()?),
                        incarnation: Incarnation(r.array()?),
                        seq: r.u64()?,
                        hash: EntryHash(r.array()?),
                    };
                    if logs.last().is_some_and(|p| (p.device, p.incarnation) >= (l.device, l.incarnation)) {
                        return Err(DecodeError::Invalid("order of logs"));
                    }
                    logs.push(l);
                }
                Self::Want { document, logs }
            }
            4 => {
                let live = flag(&mut r)?;
                Self::Entries { live, entries: read_entries(&mut r)? }
            }
            5 => Self::Served(DocumentId(r.array()?)),
            6 => {
                let n = count(&mut r, MAX_LOGS, 74, "number of logs")?;
                let mut logs = Vec::with_capacity(n);
                for _ in 0..n {
                    logs.push((LogId::from_bytes(&r.array()?), r.u64()?));
                }
                Self::Durable(logs)
            }
            7 => {
                let control = r.array()?;
                let n = count(&mut r, MAX_RANGES, 68, "number of ranges")?;
                let mut ranges: Vec<Range> = Vec::with_capacity(n);
                for _ in 0..n {
                    let range = Range { from: DocumentId(r.array()?), upto: DocumentId(r.array()?), print: r.array()? };
                    if range.from > range.upto || ranges.last().is_some_and(|last| last.upto >= range.from) {
                        return Err(DecodeError::Invalid("order of ranges"));
                    }
                    ranges.push(range);
                }
                Self::Ranges { control, ranges }
            }
            8 => {
                let (from, upto, ask) = (DocumentId(r.array()?), DocumentId(r.array()?), flag(&mut r)?);
                let docs = read_docs(&mut r)?;
                let inside = |(id, _): &(DocumentId, [u8; 32])| from <= *id && *id <= upto;
                if !docs.iter().all(inside) || from > upto {
                    return Err(DecodeError::Invalid("documents of a range"));
                }
                Self::Listed { from, upto, ask, docs }
            }
            9 => Self::Coming(r.u64()?),
            12 => Self::Typing(flag(&mut r)?),
            10 => {
                let all_but = flag(&mut r)?.then(|| r.array()).transpose()?.map(DeviceId);
                let n = count(&mut r, MAX_HELD, 32, "number of authors")?;
                let mut authors = BTreeSet::new();
                for _ in 0..n {
                    let author = DeviceId(r.array()?);
                    if authors.last().is_some_and(|last| *last >= author) {
                        return Err(DecodeError::Invalid("order of authors"));
                    }
                    authors.insert(author);
                }
                let n = count(&mut r, MAX_HELD, 48, "number of starts")?;
                let mut starts = BTreeSet::new();
                for _ in 0..n {
                    let start = (DeviceId(r.array()?), Incarnation(r.array()?));
                    if starts.last().is_some_and(|last| *last >= start) {
                        return Err(DecodeError::Invalid("order of starts"));
                    }
                    starts.insert(start);
                }
                Self::HeldBack(HeldBack { all_but, authors, starts })
            }
            11 => {
                let prekey = Box::new(Prekey::decode(r.take(Prekey::LEN)?)?);
                let n = count(&mut r, MAX_LACKED, 32, "number of epochs")?;
                let mut lacked: Vec<EpochId> = Vec::with_capacity(n);
                for _ in 0..n {
                    let epoch = EpochId(r.array()?);
                    if lacked.last().is_some_and(|last| *last >= epoch) {
                        return Err(DecodeError::Invalid("order of epochs"));
                    }
                    lacked.push(epoch);
                }
                Self::Keys { prekey, lacked }
            }
            24 => {
                let n = count(&mut r, MAX_SPANS, 16, "number of stretches of time")?;
                let mut list: Vec<(u64, u64)> = Vec::with_capacity(n);
                for _ in 0..n {
                    list.push((r.u64()?, r.u64()?));
                }
                let spans = Spans::from(list.clone());
                // One form each: ascending, and none that overlap or touch.
                if Vec::from(spans.clone()) != list {
                    return Err(DecodeError::Invalid("stretches of time"));
                }
                Self::Window(spans)
            }
            25 => Self::Trace { log: LogId::from_bytes(&r.array()?), from: r.u64()? },
            26 => Self::Branch { log: LogId::from_bytes(&r.array()?), headers: read_headers(&mut r)? },
            27 => match Proof::read(&mut r) {
                Ok(proof) => Self::Fork(Box::new(proof)),
                Err(ProofError::Unreadable(e)) => return Err(e),
                Err(_) => return Err(DecodeError::Invalid("proof of a fork")),
            },
            28 => Self::Lost(read_entries(&mut r)?),
            29 => Self::Said { log: LogId::from_bytes(&r.array()?), first: EntryHash(r.array()?) },
            kind if Note::TYPES.contains(&kind) => Self::Note(Note::read(kind, &mut r)?),
            _ => return Err(DecodeError::Invalid("frame type")),
        };
        r.finish()?;
        Ok(frame)
    }
}

fn write_entries(entries: &[Arc<Entry>], w: &mut Writer) {
    w.u32(entries.len() as u32);
    for e in entries {
        let b = e.encode();
        w.u32(b.len() as u32).bytes(&b);
    }
}

fn read_entries(r: &mut Reader<'_>) -> Result<Vec<Arc<Entry>>, DecodeError> {
    let n = count(r, MAX_ENTRIES, 4, "number of entries")?;
    let mut entries = Vec::with_capacity(n);
    for _ in 0..n {
        let len = r.u32()? as usize;
        entries.push(Arc::new(Entry::decode(r.take(len)?)?));
    }
    Ok(entries)
}

fn write_docs(w: &mut Writer, docs: &[(DocumentId, [u8; 32])]) {
    w.u32(docs.len() as u32);
    for (id, d) in docs {
        w.bytes(&id.0).bytes(d);
    }
}

fn read_docs(r: &mut Reader<'_>) -> Result<Vec<(DocumentId, [u8; 32])>, DecodeError> {
    let n = count(r, MAX_DOCS, 50, "number of documents")?;
    let mut docs: Vec<(DocumentId, [u8; 32])> = Vec::with_capacity(n);
    for _ in 0..n {
        let id = DocumentId(r.array()?);
        if docs.last().is_some_and(|(last, _)| *last >= id) {
            return Err(DecodeError::Invalid("order of documents"));
        }
        docs.push((id, r.array()?));
    }
    Ok(docs)
}

fn flag(r: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid("flag")),
    }
}

fn count(r: &mut Reader<'_>, max: usize, each: usize, what: &'static str) -> Result<usize, DecodeError> {
    let n = r.u32()? as usize;
    if n > max || n.saturating_mul(each) > r.remaining() {
        return Err(DecodeError::Invalid(what));
    }
    Ok(n)
}
