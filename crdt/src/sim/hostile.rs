//! What a hostile member does: it has a valid key, real connections, and everything that it heard.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dice::Dice;
use super::transition::Act;
use super::world::World;
use crate::entry::Entry;
use crate::hlc::Hlc;
use crate::ids::{DocumentId, EntryHash, Incarnation, Kind, LogId, MessageId, SpaceId};
use crate::kinds::chat::{ChatAuthor, Draft, week_of};
use crate::sync::frame::{Frame, LogEnd};
use crate::writer::{LogTip, LogWriter};

/// Documents that a flood offers.
const OFFERS: u32 = 2_000;
/// Logs that a flood opens.
const LOGS: u8 = 20;

impl World {
    pub(super) fn act(&mut self, m: usize, act: Act, victim: usize, salt: u32) {
        let mut dice = Dice::new(salt.into());
        match act {
            Act::Fork => {
                let log = self.new_log(m, 0);
                let (west, east) = (self.chat(m, log, "west", 2), self.chat(m, log, "east", 3));
                let others: Vec<_> = self.honest_machines().into_iter().filter(|x| *x != victim).collect();
                self.entries_to(m, victim, true, west);
                for other in others {
                    self.entries_to(m, other, true, east.clone());
                }
            }
            Act::Replay => {
                let heard = self.machines[m].hostile.as_ref().map_or(0, |h| h.heard.len());
                for _ in 0..3 {
                    let at = dice.below(heard);
                    let frame = self.machines[m].hostile.as_ref().and_then(|h| h.heard.get(at)).cloned();
                    if let Some(frame) = frame {
                        self.post(m, victim, frame, false);
                    }
                }
            }
            Act::Gap => {
                let log = self.new_log(m, 0);
                let entries = self.chat(m, log, "kept back", 3);
                let from = dice.between(1, 2) as usize;
                self.entries_to(m, victim, true, entries[from..].to_vec());
            }
            Act::Bomb => {
                // An Automerge chunk whose column claims a run of 2^31 values, or plain zeros of the largest size.
                let bomb = [&b"\x85\x6f\x4a\x83\x00\x00\x00\x00\x01"[..], &[0xff; 60]].concat();
                let payload = if dice.chance(10) { vec![0; crate::entry::MAX_PAYLOAD] } else { bomb };
                let log = self.new_log(m, 0);
                let mut writer = self.writer(m, self.space, log);
                if let Ok(e) = writer.write(payload, Hlc::from_ms(self.now(m))) {
                    self.send_signed(m, victim, vec![e]);
                }
            }
            Act::Flood => {
                let first = dice.below(1_000) as u32;
                let docs =
                    (first..first.saturating_add(OFFERS)).map(|week| (DocumentId::chat(week, 7), [salt as u8; 32]));
                self.post(m, victim, Frame::Docs { more: false, ask: dice.chance(50), docs: docs.collect() }, false);
                let logs: Vec<_> = (0..LOGS).map(|_| self.new_log(m, 5)).collect();
                for log in logs {
                    let entries = self.chat(m, log, "flood", 1);
                    self.entries_to(m, victim, dice.chance(50), entries);
                }
            }
            Act::ForgedFrontier => {
                let document = self.some_document(m, &mut dice);
                let logs = self.machines[m].disk.logs.keys().filter(|l| l.document == document).map(|l| LogEnd {
                    device: l.device,
                    incarnation: l.incarnation,
                    seq: if dice.chance(50) { u64::MAX } else { dice.between(0, 20) },
                    hash: EntryHash([dice.roll() as u8; 32]),
                });
                let logs = logs.collect();
                self.post(m, victim, Frame::Want { document, logs }, false);
            }
            Act::ForgedDigest => {
                let digest = [dice.roll() as u8; 32];
                let log = self.new_log(m, 0);
                self.post(m, victim, Frame::Digest(digest), false);
                self.post(m, victim, Frame::Same(digest), false);
                self.post(m, victim, Frame::Durable(vec![(log, u64::MAX)]), false);
                self.post(m, victim, Frame::Served(log.document), false);
            }
            Act::Forgery => {
                let logs: Vec<_> =
                    self.machines[m].disk.logs.keys().filter(|l| l.device != self.machines[m].id).collect();
                let Some(log) = logs.get(dice.below(logs.len())).map(|l| **l) else { return };
                let tip = self.machines[m].disk.tip(&log);
                let tip = LogTip { seq: tip.seq, hash: tip.hash };
                let mut writer = LogWriter::new(self.machines[m].key.clone(), self.space, log, tip);
                if let Ok(e) = writer.write(b"in another's name".to_vec(), Hlc::from_ms(self.now(m))) {
                    self.entries_to(m, victim, dice.chance(50), vec![Arc::new(e)]);
                }
            }
            Act::BrokenChain => {
                let log = self.new_log(m, 0);
                let (good, other) = (self.chat(m, log, "one", 3), self.chat(m, log, "other", 1));
                let mut spoilt = good.clone();
                spoilt[0] = other[0].clone();
                self.entries_to(m, victim, dice.chance(50), spoilt);
            }
            Act::ForeignSpace => {
                let log = self.new_log(m, 0);
                let mut writer = self.writer(m, SpaceId([9; 32]), log);
                if let Ok(e) = writer.write(vec![1], Hlc::from_ms(self.now(m))) {
                    self.send_signed(m, victim, vec![e]);
                }
            }
            Act::Erased => {
                let log = self.new_log(m, 0);
                let entries = self.chat(m, log, "erased", 1);
                let erased = entries.iter().map(|e| Arc::new(Entry { signed: e.signed.clone(), payload: None }));
                let erased = erased.collect();
                self.entries_to(m, victim, true, erased);
            }
            Act::UnknownKind => self.unknown_kind(m, victim, salt),
            Act::Withhold => {
                let documents: BTreeSet<_> = self.machines[victim].disk.logs.keys().map(|l| l.document).collect();
                let docs = documents.into_iter().map(|d| (d, [dice.roll() as u8; 32])).collect();
                self.post(m, victim, Frame::Docs { more: false, ask: false, docs }, false);
                if let Some(h) = self.machines[m].hostile.as_mut() {
                    h.mute = true;
                }
            }
            Act::Mute => {
                if let Some(h) = self.machines[m].hostile.as_mut() {
                    h.mute = !h.mute;
                }
            }
        }
    }

    /// A log that nobody has heard of, in a document of this week.
    fn new_log(&mut self, m: usize, part: u16) -> LogId {
        let document = DocumentId::chat(week_of(self.now(m)), part);
        let machine = &mut self.machines[m];
        let mut incarnation = [0xee; 16];
        if let Some(h) = machine.hostile.as_mut() {
            h.logs = h.logs.saturating_add(1);
            incarnation[..8].copy_from_slice(&h.logs.to_be_bytes());
        }
        LogId { document, device: machine.id, incarnation: Incarnation(incarnation) }
    }

    fn writer(&self, m: usize, space: SpaceId, log: LogId) -> LogWriter {
        LogWriter::new(self.machines[m].key.clone(), space, log, LogTip::EMPTY)
    }

    /// Valid messages from the beginning of a log.
    fn chat(&mut self, m: usize, log: LogId, body: &str, n: u64) -> Vec<Arc<Entry>> {
        let mut author = ChatAuthor::new(log);
        let mut writer = self.writer(m, self.space, log);
        let now = self.now(m);
        let mut entries = Vec::new();
        for i in 0..n {
            let hlc = Hlc(Hlc::from_ms(now).0.saturating_add(i));
            let mut random = [0; 10];
            random[..8].copy_from_slice(&log.incarnation.0[..8]);
            let id = MessageId::new(i, random);
            let Ok(payload) = author.say(hlc, &Draft { id, body, after: None, reply_to: None }) else { break };
            let Ok(entry) = writer.write(payload, hlc) else { break };
            self.model.signed(&entry);
            entries.push(Arc::new(entry));
        }
        entries
    }

    fn send_signed(&mut self, m: usize, victim: usize, entries: Vec<Entry>) {
        for e in &entries {
            self.model.signed(e);
        }
        self.entries_to(m, victim, true, entries.into_iter().map(Arc::new).collect());
    }

    fn some_document(&self, m: usize, dice: &mut Dice) -> DocumentId {
        let logs: Vec<_> = self.machines[m].disk.logs.keys().collect();
        logs.get(dice.below(logs.len())).map_or(DocumentId::chat(1, 0), |l| l.document)
    }

    /// Goes on with a log of a kind that this build does not know: it is kept and passed on all the same.
    fn unknown_kind(&mut self, m: usize, victim: usize, salt: u32) {
        let log = self.new_log(m, 0);
        let log = LogId { document: DocumentId::new(Kind::Unknown(77), [m as u8; 16]), ..log };
        let fresh = self.writer(m, self.space, log);
        let hlc = Hlc::from_ms(self.now(m));
        let Some(h) = self.machines[m].hostile.as_mut() else { return };
        let writer = h.unknown.get_or_insert(fresh);
        if let Ok(e) = writer.write(salt.to_be_bytes().to_vec(), hlc) {
            self.send_signed(m, victim, vec![e]);
        }
    }
}
