//! The bytes of version 1 as they were released: entries, the payloads of every kind, frames. This build reads them,
//! and writes the same from the same.

use std::sync::Arc;

use cairn_crdt::author::Author;
use cairn_crdt::codec::Reader;
use cairn_crdt::document::Outcome;
use cairn_crdt::entry::{Dep, Entry, Header, SignedHeader, VERSION, payload_hash};
use cairn_crdt::fork::Proof;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation, Kind, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::mention::Mention;
use cairn_crdt::kinds::chat::{ChatAuthor, ChatSegment, Draft, MessageView, Record, week_of};
use cairn_crdt::kinds::contacts::{Contact, Contacts, set_contact};
use cairn_crdt::kinds::control::{self, ControlLog, Operation};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::kinds::profile::{Profile, set_name};
use cairn_crdt::kinds::read_marks::{ReadMarks, set_mark};
use cairn_crdt::ledger::contradiction::Contradiction;
use cairn_crdt::ledger::note::{Line, Note, Told};
use cairn_crdt::period::DAY_MS;
use cairn_crdt::replica::{Access, HeldBack};
use cairn_crdt::seal::{Epoch, EpochSecret, Prekey, PrekeyRing, Share};
use cairn_crdt::spans::Spans;
use cairn_crdt::statement::{Signed, Statement};
use cairn_crdt::sync::frame::{Frame, LogEnd, Range};
use cairn_crdt::writer::{LogTip, LogWriter, Named};

#[path = "../fixtures/check.rs"]
mod fixtures;

const ENTRIES: &str = include_str!("../fixtures/v1/entries.txt");
const FRAMES: &str = include_str!("../fixtures/v1/frames.txt");

/// Friday 2026-11-20, 12:00 UTC.
const NOON: Hlc = Hlc(1_795_176_000_000 << 16);
const SPACE: SpaceId = SpaceId([5; 32]);

fn key() -> DeviceKey {
    DeviceKey::from_seed(&[1; 32])
}

fn log(document: DocumentId) -> LogId {
    LogId { document, device: key().id(), incarnation: Incarnation([2; 16]) }
}

fn pen(document: DocumentId) -> LogWriter {
    LogWriter::new(key(), SPACE, log(document), LogTip::EMPTY)
}

fn segment() -> DocumentId {
    DocumentId::chat(week_of(NOON.ms()), 0)
}

fn place() -> OrderKey {
    OrderKey { stamp: NOON, device: DeviceId([3; 32]), id: MessageId([4; 16]) }
}

fn contact() -> Contact {
    Contact { petname: Some("Maya".into()), verified: Some("1234 5678".into()) }
}

/// A header with everything in it; its payload was erased.
fn full_header() -> Entry {
    let dep = |n: u8| Dep {
        device: DeviceId([n; 32]),
        incarnation: Incarnation([n; 16]),
        seq: u64::from(n),
        hash: EntryHash([n; 32]),
    };
    let header = Header {
        version: VERSION,
        space: SPACE,
        log: log(DocumentId::new(Kind::Unknown(4_321), [6; 16])),
        seq: 7,
        prev: EntryHash([8; 32]),
        deps_on_prev: true,
        deps: vec![dep(9), dep(10)],
        control_heads: vec![EntryHash([11; 32]), EntryHash([12; 32])],
        hlc: NOON.next(),
        epoch: EpochId([13; 32]),
        payload_version: 2,
        payload_hash: payload_hash(b"gone"),
        payload_len: 4,
    };
    Entry { signed: SignedHeader::sign(header, &key()), payload: None }
}

fn messages() -> [Entry; 2] {
    let (mut author, mut pen) = (ChatAuthor::new(log(segment())), pen(segment()));
    let plain = Draft { id: MessageId([20; 16]), body: "Good morning, 张伟 🙂", after: None, reply_to: None };
    let reply =
        Draft { id: MessageId([21; 16]), body: "Copied.", after: Some(place()), reply_to: Some(MessageId([20; 16])) };
    [(NOON, plain), (NOON.next(), reply)].map(|(hlc, draft)| pen.write(author.say(hlc, &draft).unwrap(), hlc).unwrap())
}

/// A message that mentions somebody, and a record of each kind.
fn records() -> Vec<Entry> {
    let (mut author, mut pen) = (ChatAuthor::new(log(segment())), pen(segment()));
    let (message, who) = (MessageId([20; 16]), DeviceId([3; 32]).principal());
    let maya = [Mention { who, name: "Maya".into() }];
    let said = Draft { id: message, body: "Look, @Maya", after: None, reply_to: None };
    let mut raws = vec![author.say_to(NOON, &said, &maya).unwrap()];
    let all = [
        Record::Edit { message, body: "Look here, @Maya", mentions: &maya },
        Record::React { message, author: key().id().principal(), emoji: "👍", on: true },
        Record::Delete { message },
    ];
    let stamp = |n: u64| Hlc(NOON.0 + n);
    raws.extend((1..).zip(&all).map(|(n, record)| author.record(stamp(n), record).unwrap()));
    (0..).zip(raws).map(|(n, raw)| pen.write(raw, stamp(n)).unwrap()).collect()
}

fn small(document: DocumentId, edit: impl FnOnce(&mut Author) -> Vec<u8>) -> Entry {
    pen(document).write(edit(&mut Author::new(log(document))), NOON).unwrap()
}

fn operation(operation: Operation) -> Entry {
    let log = ControlLog::new(Access::Own(key().id().principal()));
    small(DocumentId::singleton(Kind::Control), |a| control::write(a, NOON, &operation, &log).unwrap())
}

fn ring() -> (PrekeyRing, Prekey) {
    let mut ring = PrekeyRing::new(key().id());
    let prekey = ring.make(&key(), NOON.ms(), &[15; 32]);
    (ring, prekey)
}

fn epoch() -> Epoch {
    Epoch::new(SPACE, EpochSecret::new([16; 32]))
}

fn share() -> Share {
    Share::seal(&epoch(), &ring().1, &[17; 32]).unwrap()
}

/// A message whose content is sealed.
fn sealed() -> Entry {
    let draft = Draft { id: MessageId([20; 16]), body: "Good morning, 张伟 🙂", after: None, reply_to: None };
    let content = ChatAuthor::new(log(segment())).say(NOON, &draft).unwrap();
    pen(segment()).write_sealed(&content, NOON, Named::default(), &epoch()).unwrap()
}

/// Every kind's payload of version 1, in entries of version 1.
fn entries() -> Vec<(&'static str, Entry)> {
    let [plain, reply] = messages();
    let profile = DocumentId::profile(&key().id());
    let mut records = records().into_iter();
    let mut record = || records.next().unwrap();
    vec![
        ("entry/chat-mention", record()),
        ("entry/chat-edit", record()),
        ("entry/chat-react", record()),
        ("entry/chat-delete", record()),
        ("entry/full-header", full_header()),
        ("entry/chat", plain),
        ("entry/chat-reply", reply),
        ("entry/profile", small(profile, |a| set_name(a, NOON, "Maya Okafor").unwrap())),
        ("entry/retention", operation(Operation::Retention { keep: Some(28 * DAY_MS) })),
        ("entry/retire", operation(Operation::Retire { from: 0, upto: NOON.ms() - 28 * DAY_MS })),
        ("entry/prekey", operation(Operation::Prekey(ring().1))),
        ("entry/epoch", operation(Operation::Epoch { epoch: epoch().id(), shares: [(key().id(), share())].into() })),
        ("entry/sealed", sealed()),
        (
            "entry/contacts",
            small(DocumentId::singleton(Kind::Contacts), |a| {
                set_contact(a, NOON, &DeviceId([3; 32]), &contact()).unwrap()
            }),
        ),
        (
            "entry/read-marks",
            small(DocumentId::singleton(Kind::ReadMarks), |a| set_mark(a, NOON, &SPACE, &place()).unwrap()),
        ),
    ]
}

fn statement(read: Option<OrderKey>) -> Signed {
    let statement = Statement {
        device: key().id(),
        incarnation: Incarnation([2; 16]),
        counter: 7,
        at: NOON,
        floor: NOON,
        root: [14; 32],
        read,
    };
    Signed::sign(statement, &SPACE, &key())
}

fn contradiction() -> Contradiction {
    Contradiction::of(&statement(None), &statement(Some(place()))).unwrap()
}

fn frames() -> Vec<(&'static str, Frame)> {
    let (a, b) = (DocumentId::chat(2_900, 0), segment());
    let end = LogEnd { device: key().id(), incarnation: Incarnation([2; 16]), seq: 9, hash: EntryHash([9; 32]) };
    vec![
        ("frame/digest", Frame::Digest([1; 32])),
        ("frame/same", Frame::Same([1; 32])),
        ("frame/docs", Frame::Docs { more: true, ask: false, docs: vec![(a, [2; 32]), (b, [3; 32])] }),
        ("frame/ranges", Frame::Ranges { control: [4; 32], ranges: vec![Range { from: a, upto: b, print: [5; 32] }] }),
        ("frame/listed", Frame::Listed { from: a, upto: b, ask: true, docs: vec![(a, [2; 32]), (b, [3; 32])] }),
        ("frame/want", Frame::Want { document: b, logs: vec![end] }),
        ("frame/entries", Frame::Entries { live: true, entries: messages().map(Arc::new).to_vec() }),
        ("frame/served", Frame::Served(b)),
        ("frame/coming", Frame::Coming(100_000)),
        ("frame/typing", Frame::Typing(true)),
        (
            "frame/held_back",
            Frame::HeldBack(HeldBack {
                all_but: Some(DeviceId([6; 32])),
                authors: [DeviceId([7; 32])].into(),
                starts: [(DeviceId([8; 32]), Incarnation([9; 16]))].into(),
            }),
        ),
        ("frame/window", Frame::Window(Spans::one(0, 28 * DAY_MS))),
        ("note/digest", Frame::Note(Note::Digest([1; 32]))),
        (
            "note/vector",
            Frame::Note(Note::Vector {
                ask: true,
                all: vec![Line { device: key().id(), counter: 7, print: [17; 32] }],
            }),
        ),
        (
            "note/told",
            Frame::Note(Note::Told(vec![
                Told { signed: statement(None), changes: Vec::new() },
                Told { signed: statement(Some(place())), changes: Vec::new() },
            ])),
        ),
        ("note/ask-nodes", Frame::Note(Note::AskNodes(vec![[15; 32]]))),
        ("note/nodes", Frame::Note(Note::Nodes(vec![vec![1, 2, 3]]))),
        ("note/contradiction", Frame::Note(Note::Contradiction(Box::new(contradiction())))),
        ("frame/durable", Frame::Durable(vec![(log(b), 9)])),
        ("frame/trace", Frame::Trace { log: log(b), from: 9 }),
        ("frame/branch", Frame::Branch { log: log(b), headers: vec![messages()[0].signed.clone()] }),
        ("frame/fork", Frame::Fork(Box::new(fork()))),
        ("frame/lost", Frame::Lost(messages().map(Arc::new).to_vec())),
        ("frame/said", Frame::Said { log: log(b), first: EntryHash([9; 32]) }),
        ("frame/keys", Frame::Keys { prekey: Box::new(ring().1), lacked: vec![EpochId([1; 32]), EpochId([2; 32])] }),
    ]
}

/// Two first entries of one log.
fn fork() -> Proof {
    let branch = |text: &[u8]| vec![pen(segment()).write(text.to_vec(), NOON).unwrap().signed];
    Proof::new(branch(b"west"), branch(b"east")).unwrap()
}

fn find(name: &str) -> Entry {
    let (_, bytes) = fixtures::lines(ENTRIES).into_iter().find(|(n, _)| *n == name).unwrap();
    Entry::decode(&bytes).unwrap()
}

#[test]
fn entries_are_written_as_they_were() {
    let written: Vec<_> = entries().iter().map(|(name, e)| (*name, e.encode())).collect();
    fixtures::check(ENTRIES, &written);
}

#[test]
fn entries_are_read_as_they_were() {
    for (name, bytes) in fixtures::lines(ENTRIES) {
        let entry = Entry::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(entry.encode(), bytes, "{name}");
        assert!(entry.signed.verify(), "{name}");
        let header = entry.header().encode();
        assert_eq!(&Header::decode(&mut Reader::new(&header)).unwrap(), entry.header(), "{name}");
    }
    assert_eq!(find("entry/full-header"), full_header());
}

#[test]
fn what_was_said_in_version_1_is_read_today() {
    let mut chat = ChatSegment::new(segment()).unwrap();
    chat.apply(&[Arc::new(find("entry/chat")), Arc::new(find("entry/chat-reply"))], |_| 1);
    let said: Vec<MessageView<'_>> = chat.newest(9).collect();
    assert_eq!(said.iter().map(|m| m.body).collect::<Vec<_>>(), ["Good morning, 张伟 🙂", "Copied."]);
    assert_eq!((said[1].reply_to, said[1].key.stamp), (Some(MessageId([20; 16])), NOON.next()));
    let mut chat = ChatSegment::new(segment()).unwrap();
    let all = ["mention", "edit", "react", "delete"].map(|name| Arc::new(find(&format!("entry/chat-{name}"))));
    let applied = chat.apply(&all, |_| 1);
    assert!(applied.outcomes.iter().all(Outcome::is_valid));
    let m = chat.newest(1).next().unwrap();
    assert!(m.deleted && m.first == "Look, @Maya" && m.first_mentions().len() == 1);
    let about = m.about.unwrap();
    assert_eq!(about.versions()[0].body.as_deref(), Some("Look here, @Maya"));
    assert_eq!(about.reactions().collect::<Vec<_>>(), [(&key().id().principal(), "👍")]);
    let mut profile = Profile::new(&key().id());
    profile.apply(&[Arc::new(find("entry/profile"))]);
    assert_eq!(profile.name(), Some(("Maya Okafor", NOON)));
    let mut contacts = Contacts::new();
    contacts.apply(&[Arc::new(find("entry/contacts"))]);
    assert_eq!(contacts.get(&DeviceId([3; 32])), Some(&contact()));
    let mut marks = ReadMarks::new();
    marks.apply(&[Arc::new(find("entry/read-marks"))]);
    assert_eq!(marks.get(&SPACE), place());
}

#[test]
fn frames_are_written_and_read_as_they_were() {
    let written: Vec<_> = frames().iter().map(|(name, f)| (*name, f.encode())).collect();
    fixtures::check(FRAMES, &written);
    for (name, bytes) in fixtures::lines(FRAMES) {
        let frame = Frame::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(frame.encode(), bytes, "{name}");
        if let Frame::Note(Note::Told(all)) = frame {
            assert!(all.iter().all(|t| t.signed.verify(&SPACE)), "{name}");
        }
    }
}
