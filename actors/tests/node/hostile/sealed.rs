//! A peer that seals wrongly: keys that never come, shares that hold another secret, payloads that open with no key,
//! prekeys of others. Nothing is lost or blamed on the wrong one, and people are told in words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::Event;
use cairn_actors::link::Lane;
use cairn_actors::store::{Store, Table};
use cairn_crdt::author::Author;
use cairn_crdt::entry::{Entry, Header, SignedHeader, payload_hash};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DocumentId, EpochId, Kind, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft};
use cairn_crdt::kinds::control::{ControlLog, Operation, write};
use cairn_crdt::replica::Access;
use cairn_crdt::seal::{Epoch, EpochSecret, Prekey, PrekeyRing, Share};
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter, Named};

use super::{Attacker, Office, SOON};
use crate::world::{EPOCH_MS, Sim, until};

/// A peer in a direct chat with the first node, who writes the chat and the control log by hand.
struct Mallory {
    a: Attacker,
    space: SpaceId,
    chat: (ChatAuthor, LogWriter),
    control: (Author, LogWriter, ControlLog),
    at: u64,
}

impl Mallory {
    async fn meet(office: &Office, seed: u8) -> Self {
        let a = Attacker::enter(office, seed, 0).await;
        a.drain(Lane::Sync);
        let (me, other) = (a.key.id().principal(), office.nodes[0].id.principal());
        let space = SpaceId::direct(&me, &other);
        let (chat, control) = (a.log(office.this_week()), a.log(DocumentId::singleton(Kind::Control)));
        let writer = |log: LogId| LogWriter::new(a.key.clone(), space, log, LogTip::EMPTY);
        let log = ControlLog::new(Access::Direct(me, other));
        let (chat, control) = ((ChatAuthor::new(chat), writer(chat)), (Author::new(control), writer(control), log));
        Self { a, space, chat, control, at: EPOCH_MS }
    }

    fn hlc(&mut self) -> Hlc {
        self.at += 1;
        Hlc::from_ms(self.at)
    }

    /// A message with its content, not sealed yet.
    fn content(&mut self, text: &str) -> (Vec<u8>, Hlc) {
        let hlc = self.hlc();
        let id = MessageId::from_token(&self.a.key.id(), text);
        let draft = Draft { id, body: text, after: None, reply_to: None };
        (self.chat.0.say(hlc, &draft).unwrap(), hlc)
    }

    fn say(&mut self, text: &str, epoch: &Epoch) -> Arc<Entry> {
        let (content, hlc) = self.content(text);
        let named = Named { on_prev: true, ..Named::default() };
        Arc::new(self.chat.1.write_sealed(&content, hlc, named, epoch).unwrap())
    }

    /// A message that names an epoch, and is something else.
    fn forge(&mut self, epoch: EpochId, payload: Vec<u8>) -> Arc<Entry> {
        let (_, hlc) = self.content("never read");
        let plain = self.chat.1.write(payload.clone(), hlc).unwrap();
        let header = Header { epoch, payload_hash: payload_hash(&payload), ..plain.header().clone() };
        let signed = SignedHeader::sign(header, &self.a.key);
        self.chat.1.rollback(LogTip { seq: signed.header.seq, hash: signed.hash });
        Arc::new(Entry { signed, payload: Some(payload) })
    }

    fn operate(&mut self, operation: &Operation) -> Arc<Entry> {
        let hlc = self.hlc();
        let (author, writer, log) = &mut self.control;
        let raw = write(author, hlc, operation, log).unwrap();
        Arc::new(writer.write_with(raw, hlc, true, Vec::new(), Vec::new()).unwrap())
    }

    async fn send(&self, entries: Vec<Arc<Entry>>) {
        self.a.sync(&self.space, &Frame::Entries { live: true, entries }).await;
    }
}

/// The last prekey of a node.
fn prekey(node: &Sim) -> Prekey {
    let row = node.store.get(Table::Prekeys, &node.id.0).unwrap().unwrap();
    *PrekeyRing::decode(node.id, &row).unwrap().last().unwrap().0
}

fn epoch(space: SpaceId, secret: u8) -> Epoch {
    Epoch::new(space, EpochSecret::new([secret; 32]))
}

fn sealed_to(node: &Sim, epoch: &Epoch) -> BTreeMap<cairn_crdt::ids::DeviceId, Share> {
    BTreeMap::from([(node.id, Share::seal(epoch, &prekey(node), &[3; 32]).unwrap())])
}

/// What is shown: bodies, and in brackets how many messages wait for their keys.
async fn shown(node: &Sim, space: SpaceId) -> Vec<String> {
    let all = node.messages(space).await.into_iter();
    all.map(|m| if m.needs_key > 0 { format!("[{}]", m.needs_key) } else { m.body }).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_key_that_comes_late() {
    let mut office = Office::open(160).await;
    let mut m = Mallory::meet(&office, 66).await;
    let key = epoch(m.space, 1);
    let first: Vec<_> = (0..3).map(|n| m.say(&format!("sealed {n}"), &key)).collect();
    m.send(first).await;
    let space = m.space;
    until(SOON, "they are counted", async || shown(&office.nodes[0], space).await == ["[3]"]).await;
    let more: Vec<_> = (3..300).map(|n| m.say(&format!("sealed {n}"), &key)).collect();
    m.send(more).await;
    until(SOON, "and the others with them", async || shown(&office.nodes[0], space).await == ["[300]"]).await;
    let listed = office.nodes[0].handle().conversations().await.unwrap();
    let line = listed.iter().find(|c| c.id == space).unwrap();
    assert_eq!((line.needs_key, line.needs_newer, line.unread), (300, 0, 300));
    // Read on as far as it goes: nobody is told that what was not readable was read.
    let mut events = office.nodes[0].handle().subscribe();
    let shares = sealed_to(&office.nodes[0], &key);
    let published = m.operate(&Operation::Epoch { epoch: key.id(), shares });
    m.send(vec![published]).await;
    let all: Vec<_> = (0..300).map(|n| format!("sealed {n}")).collect();
    until(SOON, "with the key they are read", async || shown(&office.nodes[0], space).await == all).await;
    let told = std::iter::from_fn(|| events.try_recv().ok())
        .any(|e| matches!(e, Event::Messages { conversation, .. } if conversation == space));
    assert!(told);
    let line = office.nodes[0].handle().conversations().await.unwrap().into_iter().find(|c| c.id == space).unwrap();
    assert_eq!(line.needs_key, 0);
    assert_eq!(office.notices(), Vec::<String>::new(), "nobody is blamed for a key that is late");
    // What follows is read at once.
    let next = m.say("sealed 300", &key);
    m.send(vec![next]).await;
    until(SOON, "it is read", async || shown(&office.nodes[0], space).await.len() == 301).await;
    let node = office.nodes.remove(0);
    let node = node.crash_and_restart(&office.lan).await;
    assert_eq!(shown(&node, space).await.len(), 301);
    office.nodes.insert(0, node);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_is_void_and_its_author_is_named() {
    let mut office = Office::open(161).await;
    let mut m = Mallory::meet(&office, 66).await;
    let (key, other, space) = (epoch(m.space, 1), epoch(m.space, 2), m.space);
    let shares = sealed_to(&office.nodes[0], &key);
    let published = m.operate(&Operation::Epoch { epoch: key.id(), shares });
    let good = m.say("good", &key);
    m.send(vec![published, good]).await;
    until(SOON, "it is read", async || shown(&office.nodes[0], space).await == ["good"]).await;
    // Sealed with one key under the name of another; what follows builds on it.
    let with_other = {
        let (content, _) = m.content("never read either");
        let mut spare = m.chat.1.clone();
        spare.write_sealed(&content, Hlc::from_ms(m.at), Named::default(), &other).unwrap().payload.clone().unwrap()
    };
    let forged = m.forge(key.id(), with_other);
    let follows = m.say("after it", &key);
    let seq = forged.header().seq;
    m.send(vec![forged, follows]).await;
    let reason = |seq: u64| {
        let row = [&space.0[..], &m.a.log(office.this_week()).to_bytes(), &seq.to_be_bytes()].concat();
        office.nodes[0].store.get(Table::Void, &row).unwrap().map(|v| String::from_utf8(v).unwrap())
    };
    until(SOON, "it is void", async || reason(seq).is_some()).await;
    assert_eq!(reason(seq).unwrap(), "the payload does not open with the key that the entry names");
    assert_eq!(reason(seq + 1).unwrap(), "it builds on an entry that is void");
    assert_eq!(shown(&office.nodes[0], space).await, ["good"]);
    let told = office.notices();
    let expected = "An entry by Mallory does not count: the payload does not open with the key that the entry names";
    assert_eq!(told, [expected]);
    assert!(m.a.is_linked().await, "it is kept and passed on: no key is needed to admit it");
    let node = office.nodes.remove(0);
    let node = node.crash_and_restart(&office.lan).await;
    assert_eq!(shown(&node, space).await, ["good"]);
    office.nodes.insert(0, node);
    office.goes_on(SOON * 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_share_that_holds_another_secret_is_a_missing_key() {
    let mut office = Office::open(162).await;
    let mut m = Mallory::meet(&office, 66).await;
    let (key, other, space) = (epoch(m.space, 1), epoch(m.space, 2), m.space);
    let false_share = sealed_to(&office.nodes[0], &other);
    let published = m.operate(&Operation::Epoch { epoch: key.id(), shares: false_share });
    let said = m.say("who can read this?", &key);
    m.send(vec![published, said]).await;
    until(SOON, "it waits", async || shown(&office.nodes[0], space).await == ["[1]"]).await;
    assert_eq!(office.notices(), Vec::<String>::new());
    // It asks for the key again and again, and writes nothing for that.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(shown(&office.nodes[0], space).await, ["[1]"]);
    let own =
        office.nodes[0].store.tips(&space).unwrap().iter().filter(|(l, _)| l.device == office.nodes[0].id).count();
    assert_eq!(own, 0);
    // One's own messages are sealed with a key that is held here, whatever others claim.
    office.nodes[0].handle().say(space, "not with that key", None).await.unwrap();
    assert_eq!(shown(&office.nodes[0], space).await.last().unwrap(), "not with that key");
    let right = sealed_to(&office.nodes[0], &key);
    let again = m.operate(&Operation::Epoch { epoch: key.id(), shares: right });
    m.send(vec![again]).await;
    until(SOON, "the right one opens it", async || {
        shown(&office.nodes[0], space).await == ["who can read this?", "not with that key"]
    })
    .await;
    office.goes_on(SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_prekey_that_is_not_the_senders_is_an_offence() {
    let mut office = Office::open(163).await;
    let m = Mallory::meet(&office, 66).await;
    let theirs = prekey(&office.nodes[1]);
    m.a.sync(&m.space, &Frame::Keys { prekey: Box::new(theirs), lacked: Vec::new() }).await;
    assert!(m.a.cut_off().await.starts_with("a key to seal to that is not its own"));
    office.goes_on(SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_asks_for_keys_makes_nobody_write() {
    let mut office = Office::open(164).await;
    let mut m = Mallory::meet(&office, 66).await;
    let (key, space) = (epoch(m.space, 1), m.space);
    let mut ring = PrekeyRing::new(m.a.key.id());
    let shares = sealed_to(&office.nodes[0], &key);
    let published = m.operate(&Operation::Epoch { epoch: key.id(), shares });
    let said = m.say("hello", &key);
    m.send(vec![published, said]).await;
    until(SOON, "it is read", async || shown(&office.nodes[0], space).await == ["hello"]).await;
    let own = |node: &Sim| {
        let tips = node.store.tips(&space).unwrap();
        tips.iter()
            .filter(|(l, _)| l.device == node.id && l.document.kind() == Kind::Control)
            .map(|(_, t)| t.seq)
            .sum::<u64>()
    };
    for n in 0..20 {
        let prekey = Box::new(ring.make(&m.a.key, EPOCH_MS + n, &[5; 32]));
        m.a.sync(&space, &Frame::Keys { prekey, lacked: vec![key.id()] }).await;
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(own(&office.nodes[0]), 0);
    // Where there was an answer, a key goes to each new prekey once.
    office.nodes[0].handle().say(space, "who are you?", None).await.unwrap();
    tokio::time::sleep(SOON).await;
    let before = own(&office.nodes[0]);
    let prekey = Box::new(ring.make(&m.a.key, EPOCH_MS + 99, &[5; 32]));
    for _ in 0..20 {
        m.a.sync(&space, &Frame::Keys { prekey: prekey.clone(), lacked: vec![key.id()] }).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(own(&office.nodes[0]) <= before + 1, "{} after {before}", own(&office.nodes[0]));
    office.goes_on(SOON).await;
}
