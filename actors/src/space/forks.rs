//! Logs of a space that forked: what is kept of that in the store, what is cut, and the branch that does not count,
//! which is kept for its author to say again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_crdt::codec::{Reader, Writer};
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::Entry;
use cairn_crdt::fork::{Proof, is_chain};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, EntryHash, Kind, LogId, MessageId, PrincipalId, SpaceId};
use cairn_crdt::kinds::chat::{ChatSegment, PageAt as At, Record};
use cairn_crdt::replica::Tip;
use cairn_crdt::sync::Suspect;

use super::Space;
use super::saying::Words;
use crate::limits::{BATCH_BYTES, LOST_BYTES, LOST_PART};
use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

/// Of each log that forked, the first entries of the parts of lost branches that are kept, with their lengths.
pub(super) type Aside = BTreeMap<LogId, BTreeMap<EntryHash, usize>>;

/// A message of a lost branch of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostMessage {
    /// Its id, which it keeps.
    pub id: MessageId,
    /// What it says.
    pub words: Words,
}

/// What a lost branch of our own says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecord {
    /// Whose message.
    pub author: PrincipalId,
    /// Which.
    pub id: MessageId,
    /// What is said of it.
    pub what: LostWords,
    /// When it was said: what is said again must be stamped later.
    pub at: Hlc,
}

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostWords {
    /// It says this now.
    Edit(Words),
    /// It is deleted.
    Delete,
    /// It has this reaction, or no longer.
    React(Box<str>, bool),
}

impl LostRecord {
    fn of((author, record, at): (PrincipalId, Record<'_>, Hlc)) -> Self {
        let (id, what) = match record {
            Record::Edit { message, body, mentions } => {
                (message, LostWords::Edit(Words { body: body.into(), reply_to: None, mentions: mentions.to_vec() }))
            }
            Record::Delete { message } => (message, LostWords::Delete),
            Record::React { message, emoji, on, .. } => (message, LostWords::React(emoji.into(), on)),
        };
        Self { author, id, what, at }
    }

    /// The record to write.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        let message = self.id;
        match &self.what {
            LostWords::Edit(words) => Record::Edit { message, body: &words.body, mentions: &words.mentions },
            LostWords::Delete => Record::Delete { message },
            LostWords::React(emoji, on) => Record::React { message, author: self.author, emoji, on: *on },
        }
    }
}

/// What lost branches say.
type Lost = (Vec<LostMessage>, Vec<LostRecord>);

/// What of our own lost branches is left to do.
#[derive(Debug, Default)]
pub struct LeftToSay {
    /// Messages that are not shown any more.
    pub messages: Vec<LostMessage>,
    /// What was said of messages: whose, and what.
    pub records: Vec<LostRecord>,
    /// Parts of lost branches that are no longer kept here: all they hold is said again.
    pub done: Vec<(LogId, EntryHash, Write)>,
}

fn proof_key(space: &SpaceId, log: &LogId) -> Vec<u8> {
    [&space.0[..], &log.to_bytes()].concat()
}

fn part_key(space: &SpaceId, log: &LogId, first: &EntryHash) -> Vec<u8> {
    [&space.0[..], &log.to_bytes(), &first.0].concat()
}

pub(super) fn encode_part(entries: &[Arc<Entry>]) -> Vec<u8> {
    let mut w = Writer::default();
    for entry in entries {
        let bytes = entry.encode();
        w.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(&bytes);
    }
    w.finish()
}

pub(super) fn decode_part(bytes: &[u8]) -> Option<Vec<Arc<Entry>>> {
    let mut r = Reader::new(bytes);
    let mut all = Vec::new();
    while r.remaining() > 0 {
        let len = r.u32().ok()? as usize;
        all.push(Arc::new(Entry::decode(r.take(len).ok()?).ok()?));
    }
    Some(all)
}

/// Entries in parts that can be sent and stored one by one.
fn parts(entries: &[Arc<Entry>]) -> Vec<&[Arc<Entry>]> {
    let mut parts = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0usize;
        let fits = rest.iter().take_while(|e| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(e.whole_len());
            first || bytes <= LOST_PART
        });
        let (part, after) = rest.split_at(fits.count().max(1).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

impl Space {
    /// Reads what is kept of forks. The tips are in the replica already.
    pub(super) fn load_forks(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.sync.replica_mut().forget_forks();
        self.aside.clear();
        for (key, value) in store.scan(Table::Forks, &self.id.0)? {
            let Some(log) = key.get(32..32 + LogId::LEN).and_then(|b| b.try_into().ok()) else { continue };
            let log = LogId::from_bytes(&log);
            match key.get(32 + LogId::LEN..).and_then(|b| <[u8; 32]>::try_from(b).ok()) {
                Some(first) => {
                    self.aside.entry(log).or_default().insert(EntryHash(first), value.len());
                }
                None => {
                    // One that is damaged is brought again by whoever has it.
                    let mut r = Reader::new(&value);
                    while r.remaining() > 0
                        && let Ok(proof) = Proof::read(&mut r)
                    {
                        if proof.log() == log && proof.verify(&self.id).is_ok() {
                            self.sync.replica_mut().learn(proof);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What lost branches of others take here, by their logs.
    pub fn kept_aside(&self) -> impl Iterator<Item = (LogId, u64)> {
        let others = self.aside.iter().filter(|(log, _)| log.device != self.me);
        others.map(|(log, parts)| (*log, parts.values().fold(0u64, |sum, len| sum.saturating_add(*len as u64))))
    }

    /// Compares what may show a fork with what is stored.
    pub fn examine(&mut self, from: DeviceId, suspect: Suspect, store: &dyn Store) {
        let Some(log) = suspect.log() else { return };
        let (space, read) = (self.id, RefCell::new(BTreeMap::<u64, Arc<Entry>>::new()));
        let own = |seq: u64| -> Option<Arc<Entry>> {
            if let Some(entry) = read.borrow().get(&seq) {
                return Some(entry.clone());
            }
            let batch = store.entries(&space, &log, seq, BATCH_BYTES).ok()?;
            let mut read = read.borrow_mut();
            read.extend(batch.into_iter().map(|s| (s.entry.header().seq, s.entry)));
            read.get(&seq).cloned()
        };
        self.sync.examine(from, suspect, &own);
    }

    /// The writes that keep what is known of a fork and, where the log is cut, keep aside what goes, and forget what
    /// others hold of it. Whose branch it is may say it again.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn fork_writes(&mut self, log: &LogId, cut: Option<u64>, store: &dyn Store) -> Result<Vec<Write>, StoreError> {
        let mut w = Writer::default();
        let Some(fork) = self.sync.replica().fork(log) else { return Ok(Vec::new()) };
        fork.proofs().for_each(|p| p.write(&mut w));
        let mut writes = vec![Write::Put(Table::Forks, proof_key(&self.id, log), w.finish())];
        let Some(from) = cut else { return Ok(writes) };
        let (mut lost, mut next) = (Vec::new(), from);
        loop {
            let batch = store.entries(&self.id, log, next, BATCH_BYTES)?;
            let Some(last) = batch.last() else { break };
            next = last.entry.header().seq.saturating_add(1);
            lost.extend(batch.into_iter().map(|s| s.entry).filter(|e| e.payload.is_some()));
        }
        writes.extend(self.keep_aside(log, &lost));
        writes.push(Write::Truncate { space: self.id, log: *log, from });
        let void = proof_key(&self.id, log);
        for (key, _) in store.scan(Table::Void, &void)? {
            let seq = key.get(void.len()..).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
            if seq >= from {
                writes.push(Write::Delete(Table::Void, key));
            }
        }
        writes.extend(self.hold_less(log, from).into_iter().map(|(key, value)| Write::Put(Table::Durable, key, value)));
        Ok(writes)
    }

    /// Rows for a lost branch, as far as there is room for one of this log.
    fn keep_aside(&mut self, log: &LogId, lost: &[Arc<Entry>]) -> Vec<Write> {
        let mine = log.device == self.me;
        let kept = self.aside.entry(*log).or_default();
        let mut room = LOST_BYTES.saturating_sub(kept.values().sum());
        let mut writes = Vec::new();
        // Only messages are said again.
        for part in parts(lost).into_iter().filter(|_| log.document.kind() == Kind::Chat) {
            let (Some(first), bytes) = (part.first(), encode_part(part)) else { continue };
            // Our own is said again at once, and is ours.
            if !mine && bytes.len() > room {
                tracing::warn!(author = %log.device.short(), "a lost branch is longer than what is kept for its author");
                break;
            }
            room = room.saturating_sub(bytes.len());
            kept.insert(first.hash(), bytes.len());
            writes.push(Write::Put(Table::Forks, part_key(&self.id, log, &first.hash()), bytes));
        }
        if kept.is_empty() {
            self.aside.remove(log);
        }
        writes
    }

    /// A decision is durable. Where another commit failed meanwhile, it was forgotten, and the log restored as it stood.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn agree_with_store(&mut self, log: &LogId, store: &dyn Store) -> Result<(), StoreError> {
        if self.sync.replica().fork(log).is_none() {
            self.load_forks(store)?;
            let tips = store.tips(&self.id)?;
            let tip = tips.iter().find(|(l, _)| l == log).map(|(_, t)| Tip { seq: t.seq, hash: t.hash, hlc: t.hlc });
            self.sync.replica_mut().cut(log, tip.unwrap_or(Tip::EMPTY));
        }
        Ok(())
    }

    /// A cut is durable: what was read of the log is read anew.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn read_anew(&mut self, log: &LogId, wiring: &Wiring) -> Result<(), StoreError> {
        let document = log.document;
        self.owed.insert(*log);
        self.own.retain(|(l, _), _| l != log);
        self.dirty = true;
        let logs: Vec<_> = self.sync.replica().frontier(&document).collect();
        match document.kind() {
            Kind::Chat => {
                self.pens.remove(&document);
                self.chat.forget(&document);
                self.segments.forget(&document);
                self.note_spans(&logs.iter().map(|(l, t)| (*l, t.seq, t.hlc)).collect::<Vec<_>>());
                self.ensure(&At::Newest, 1, wiring)
            }
            Kind::Profile if wiring.known.version(Kind::Profile).is_some() => {
                self.profile_pen = None;
                self.profiles.remove(&log.device);
                for (log, _) in logs {
                    let entries = self.read_log(wiring.store.as_ref(), &log)?;
                    self.apply_profile(&log.device, &entries.into_iter().map(|s| s.entry).collect::<Vec<_>>());
                }
                Ok(())
            }
            Kind::Control if wiring.known.version(Kind::Control).is_some() => self.reload_control(wiring),
            _ => Ok(()),
        }
    }

    /// This device goes on in other logs.
    pub fn drop_pens(&mut self) {
        self.pens.clear();
        self.profile_pen = None;
        self.drop_control_pen();
    }

    /// Parts of lost branches that are kept for a device.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn kept_for(&self, device: &DeviceId, store: &dyn Store) -> Result<Vec<Vec<Arc<Entry>>>, StoreError> {
        let logs = self.aside.iter().filter(|(log, _)| log.device == *device);
        let mut all = Vec::new();
        for (log, first) in logs.flat_map(|(log, kept)| kept.keys().map(move |first| (log, first))) {
            all.extend(store.get(Table::Forks, &part_key(&self.id, log, first))?.as_deref().and_then(decode_part));
        }
        Ok(all)
    }

    /// Takes a part of a branch that we wrote and lost, as somebody kept it. `Ok`: rows to store, none where all of it
    /// is there.
    ///
    /// # Errors
    /// Whoever sent it made it up.
    pub fn take_lost(&mut self, entries: &[Arc<Entry>]) -> Result<Vec<Write>, &'static str> {
        let Some((first, last)) = entries.first().zip(entries.last()) else { return Ok(Vec::new()) };
        let (log, headers) = (first.header().log, entries.iter().map(|e| e.signed.clone()).collect::<Vec<_>>());
        let whole = entries.iter().all(|e| e.payload.is_some());
        if log.device != self.me || first.header().space != self.id || !whole || !is_chain(&headers) {
            return Err("a lost branch that is not this device's");
        }
        if !last.signed.verify() {
            return Err("a lost branch with a bad signature");
        }
        let known = self.sync.replica().fork(&log).is_some_and(|f| first.header().seq >= f.place());
        let here = self.aside.get(&log).is_some_and(|kept| kept.contains_key(&first.hash()));
        Ok(if known && !here { self.keep_aside(&log, entries) } else { Vec::new() })
    }

    /// The author has said again what a part of a lost branch holds: the row that can go.
    pub fn said_again(&mut self, log: &LogId, first: &EntryHash) -> Option<Write> {
        let kept = self.aside.get_mut(log)?;
        kept.remove(first)?;
        if kept.is_empty() {
            self.aside.remove(log);
        }
        Some(Write::Delete(Table::Forks, part_key(&self.id, log, first)))
    }

    /// Whether lost branches of our own wait here.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.aside.keys().any(|log| log.device == self.me)
    }

    /// What our own lost branches say that is not shown here any more. Messages that `under_way` names are being said.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn left_to_say(
        &mut self,
        under_way: impl Fn(&MessageId) -> bool,
        wiring: &Wiring,
    ) -> Result<LeftToSay, StoreError> {
        let mut left = LeftToSay::default();
        let mine: Vec<_> = self.aside.keys().filter(|log| log.device == self.me).copied().collect();
        for log in mine {
            let mut waits = false;
            let gone = self.sync.replica().is_gone(&log.document);
            if !gone {
                self.load_segment(log.document, wiring)?;
            }
            let lost = if gone { Some(Default::default()) } else { self.lost_messages(&log, wiring)? };
            // What comes before it is not here yet, or a newer Cairn wrote it.
            let Some((messages, records)) = lost else { continue };
            waits |= !records.is_empty();
            left.records.extend(records);
            for message in messages {
                let shown = self.is_shown(&message.id, wiring)?;
                waits |= !shown;
                let twice = left.messages.iter().any(|m| m.id == message.id);
                if !shown && !twice && !under_way(&message.id) {
                    left.messages.push(message);
                }
            }
            if !waits {
                let firsts: BTreeSet<_> = self.aside.get(&log).into_iter().flat_map(|k| k.keys().copied()).collect();
                let done = firsts.iter().filter_map(|f| Some((log, *f, self.said_again(&log, f)?)));
                left.done.extend(done);
            }
        }
        Ok(left)
    }

    /// The messages of the lost branches of one of our logs, oldest first, and what they say of others; `None` where what they follow is not here, or
    /// some of it is not understood or cannot be opened yet.
    fn lost_messages(&self, log: &LogId, wiring: &Wiring) -> Result<Option<Lost>, StoreError> {
        let store = wiring.store.as_ref();
        let mut lost: BTreeMap<EntryHash, Arc<Entry>> = BTreeMap::new();
        for first in self.aside.get(log).into_iter().flat_map(BTreeMap::keys) {
            let part = store.get(Table::Forks, &part_key(&self.id, log, first))?;
            lost.extend(part.as_deref().and_then(decode_part).into_iter().flatten().map(|e| (e.hash(), e)));
        }
        let own: Vec<_> = self.read_log(store, log)?.into_iter().map(|s| s.entry).collect();
        let followed: BTreeSet<_> = lost.values().map(|e| e.header().prev).collect();
        let mut found: BTreeMap<_, LostMessage> = BTreeMap::new();
        let mut records = Vec::new();
        // Each branch, from its end back to where it leaves our log.
        for end in lost.keys().filter(|hash| !followed.contains(*hash)) {
            let (mut branch, mut at) = (Vec::new(), *end);
            while let Some(entry) = lost.get(&at) {
                at = entry.header().prev;
                branch.push(entry.clone());
            }
            branch.reverse();
            let start = branch.first().map_or(0, |e| e.header().seq);
            let common: Vec<_> = own.iter().take_while(|e| e.header().seq < start).cloned().collect();
            if common.last().map_or(EntryHash([0; 32]), |e| e.hash()) != at {
                return Ok(None);
            }
            let Some(mut segment) = ChatSegment::knowing(log.document, &wiring.known) else { continue };
            if self.sealing.is_some() {
                segment.set_keys(&self.keys());
            }
            let applied = segment.apply(&[common, branch].concat(), |_| 0);
            if applied.outcomes.iter().any(|o| matches!(o, Outcome::Unsupported | Outcome::Locked(_))) {
                return Ok(None);
            }
            // What was deleted there is gone.
            for m in segment.newest(usize::MAX).filter(|m| m.seq >= start && !m.deleted) {
                found.insert((m.key, m.key.id), LostMessage { id: m.key.id, words: Words::of(&m) });
            }
            let theirs = |entry: &(LogId, u64)| entry.0 == *log && entry.1 >= start;
            let here = |author: &PrincipalId, id: &MessageId| self.chat.get(author, id);
            let again = segment.records_again(|author, id| here(author, id)?.about, &theirs);
            // What is lost itself is said as it was edited.
            let lost = |r: &LostRecord| segment.get(&r.author, &r.id).is_some_and(|m| theirs(&(m.log, m.seq)));
            let of_others =
                again.into_iter().map(LostRecord::of).filter(|r| here(&r.author, &r.id).is_some() && !lost(r));
            records.extend(of_others);
        }
        Ok(Some((found.into_values().collect(), records)))
    }

    /// Whether a message of ours is shown here, wherever it is.
    fn is_shown(&mut self, id: &MessageId, wiring: &Wiring) -> Result<bool, StoreError> {
        let me = self.me.principal();
        if self.chat.get(&me, id).is_none() {
            let said = wiring.store.get(Table::Said, &[&self.id.0[..], &id.0].concat())?;
            let document = said.and_then(|v| v.first_chunk::<18>().copied()).map(DocumentId);
            if let Some(document) = document {
                self.load_segment(document, wiring)?;
            }
        }
        Ok(self.chat.get(&me, id).is_some())
    }
}
