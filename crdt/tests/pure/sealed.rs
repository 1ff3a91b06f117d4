//! Sealed messages: a segment that got its keys late shows what one does that had them from the start; what is lacked
//! waits, and what does not open is void for all who have the key.

use std::sync::Arc;

use cairn_crdt::document::{Outcome, VoidReason};
use cairn_crdt::entry::{Entry, Header, SignedHeader, payload_hash};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, DocumentId, EpochId, Incarnation, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, ChatSegment, Conversation, Draft, PageAt, week_of};
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::seal::{Closed, Epoch, EpochSecret, Keys, OpenError};
use cairn_crdt::writer::{LogTip, LogWriter, Named};

const NOON: u64 = 1_795_176_000_000;
const SPACE: SpaceId = SpaceId([5; 32]);

fn epoch(secret: u8) -> Epoch {
    Epoch::new(SPACE, EpochSecret::new([secret; 32]))
}

fn keys(secrets: &[u8]) -> Keys {
    let mut keys = Keys::default();
    secrets.iter().for_each(|s| keys.insert(epoch(*s)));
    keys
}

fn document() -> DocumentId {
    DocumentId::chat(week_of(NOON), 0)
}

struct Person {
    key: DeviceKey,
    author: ChatAuthor,
    writer: LogWriter,
    said: u64,
}

impl Person {
    fn new(device: u8) -> Self {
        let key = DeviceKey::from_seed(&[device; 32]);
        let log = LogId { document: document(), device: key.id(), incarnation: Incarnation([device; 16]) };
        let writer = LogWriter::new(key.clone(), SPACE, log, LogTip::EMPTY);
        Self { key, author: ChatAuthor::new(log), writer, said: 0 }
    }

    fn content(&mut self, at: u64) -> (Vec<u8>, Hlc) {
        self.said += 1;
        let (hlc, device) = (Hlc::from_ms(NOON + at), self.key.id());
        let id = MessageId::from_token(&device, &self.said.to_string());
        let draft = Draft { id, body: &format!("at {at}"), after: None, reply_to: None };
        (self.author.say(hlc, &draft).unwrap(), hlc)
    }

    /// Says "at {at}", sealed with a key; 0: not sealed.
    fn say(&mut self, at: u64, secret: u8) -> Arc<Entry> {
        let (content, hlc) = self.content(at);
        let named = Named { on_prev: true, ..Named::default() };
        Arc::new(match secret {
            0 => self.writer.write(content, hlc).unwrap(),
            secret => self.writer.write_sealed(&content, hlc, named, &epoch(secret)).unwrap(),
        })
    }

    /// An entry that names a key and holds something else.
    fn forge(&mut self, at: u64, secret: u8, payload: Vec<u8>) -> Arc<Entry> {
        let (_, hlc) = self.content(at);
        let plain = self.writer.write(payload.clone(), hlc).unwrap();
        let header =
            Header { epoch: epoch(secret).id(), payload_hash: payload_hash(&payload), ..plain.header().clone() };
        let signed = SignedHeader::sign(header, &self.key);
        self.writer.rollback(LogTip { seq: signed.header.seq, hash: signed.hash });
        Arc::new(Entry { signed, payload: Some(payload) })
    }

    fn log(&self) -> LogId {
        self.writer.log()
    }
}

fn segment(secrets: &[u8]) -> ChatSegment {
    let mut segment = ChatSegment::new(document()).unwrap();
    segment.set_keys(&keys(secrets));
    segment
}

fn bodies(segment: &ChatSegment) -> Vec<String> {
    segment.newest(usize::MAX).map(|m| m.body.to_owned()).collect()
}

fn outcomes(segment: &mut ChatSegment, entries: &[Arc<Entry>]) -> Vec<Outcome> {
    segment.apply(entries, |_| 0).outcomes
}

#[test]
fn keys_that_come_late_show_what_they_would_have_shown_at_once() {
    let (mut a, mut b) = (Person::new(1), Person::new(2));
    // A goes over to another key and back, and says something open; B has a key of its own.
    let ours: Vec<_> = [(0, 0), (2, 1), (4, 2), (6, 1), (8, 0), (10, 2)].map(|(at, s)| a.say(at, s)).into();
    let theirs: Vec<_> = [(1, 3), (3, 3), (5, 1)].map(|(at, s)| b.say(at, s)).into();
    let all = [ours.clone(), theirs.clone()].concat();
    let mut whole = segment(&[1, 2, 3]);
    assert!(outcomes(&mut whole, &all).iter().all(Outcome::is_valid));
    let expected = bodies(&whole);
    assert_eq!(expected.len(), 9);
    // In every order in which the three keys can come.
    for order in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut late = segment(&[]);
        let first = outcomes(&mut late, &all);
        assert!(first[0].is_valid(), "what is open is read");
        assert_eq!(
            first[1..6],
            vec![Outcome::Locked(epoch(1).id()); 5],
            "and what follows a closed entry waits with it"
        );
        assert_eq!(first[6..], vec![Outcome::Locked(epoch(3).id()); 3]);
        assert_eq!((late.count(), late.locked(), late.len()), (9, 8, 1), "each is counted in its place");
        assert_eq!([a.log(), b.log()].map(|log| late.judged(&log)), [6, 3], "nothing is read twice for nothing");
        assert_eq!(outcomes(&mut late, &ours[..3])[2], Outcome::Known);
        let mut here: Vec<u8> = Vec::new();
        for secret in order {
            here.push(secret);
            let waited = late.wanted().any(|id| id == epoch(secret).id());
            assert_eq!(late.set_keys(&keys(&here)), waited);
            for log in [&ours, &theirs] {
                let from = late.judged(&log[0].header().log) as usize;
                outcomes(&mut late, &log[from..]);
            }
        }
        assert_eq!((bodies(&late), late.locked(), late.count()), (expected.clone(), 0, 9), "{order:?}");
        assert_eq!(late.span(), whole.span());
    }
}

#[test]
fn who_lacks_a_key_reads_the_logs_that_need_it_not() {
    let (mut a, mut b) = (Person::new(1), Person::new(2));
    let mut here = segment(&[2]);
    let all = [a.say(0, 1), b.say(1, 2), a.say(2, 2), b.say(3, 2)];
    let verdicts = outcomes(&mut here, &all);
    assert_eq!(verdicts[0], Outcome::Locked(epoch(1).id()));
    assert_eq!(verdicts[2], verdicts[0], "a later one of the same log cannot be read before it");
    assert_eq!(bodies(&here), ["at 1", "at 3"]);
    assert_eq!(here.wanted().collect::<Vec<_>>(), [epoch(1).id()]);
    // Entries that are not the next one say nothing.
    let ahead = {
        let _ = a.say(4, 2);
        a.say(5, 2)
    };
    assert_eq!(outcomes(&mut here, &[ahead]), [Outcome::Waiting]);
    assert!(!here.set_keys(&keys(&[2, 3])), "another key changes nothing");
    assert_eq!((here.locked(), here.judged(&a.log())), (2, 2));
}

#[test]
fn what_does_not_open_is_void_for_whoever_has_the_key() {
    let mut a = Person::new(1);
    let good = a.say(0, 1);
    let other = {
        let (content, hlc) = a.content(1);
        let mut spare = a.writer.clone();
        spare.write_sealed(&content, hlc, Named::default(), &epoch(2)).unwrap().payload.clone().unwrap()
    };
    a.author.rollback(1).unwrap();
    let forged = a.forge(1, 1, other);
    let follows = a.say(2, 1);
    let all = [good, forged, follows];
    let mut with = segment(&[1, 2]);
    let forged = Outcome::Void(VoidReason::Forged(OpenError::Forged));
    assert_eq!(outcomes(&mut with, &all)[1..], [forged.clone(), Outcome::Void(VoidReason::Follows)]);
    let mut without = segment(&[2]);
    assert!(outcomes(&mut without, &all).iter().all(|o| *o == Outcome::Locked(epoch(1).id())));
    assert!(without.set_keys(&keys(&[1])));
    assert_eq!(outcomes(&mut without, &all)[1..], [forged, Outcome::Void(VoidReason::Follows)]);
    assert_eq!(bodies(&with), bodies(&without));
    // Too short for anything sealed.
    for len in [0, 1, 39] {
        let mut a = Person::new(3);
        let short = a.forge(0, 1, vec![7; len]);
        let reason = VoidReason::Forged(OpenError::Length(len));
        assert_eq!(outcomes(&mut segment(&[1]), &[short]), [Outcome::Void(reason)]);
    }
    // Opened, it must still be what its kind allows.
    let mut a = Person::new(4);
    let named = Named::default();
    let junk = Arc::new(a.writer.write_sealed(b"junk", Hlc::from_ms(NOON), named, &epoch(1)).unwrap());
    assert!(matches!(outcomes(&mut segment(&[1]), &[junk])[0], Outcome::Void(VoidReason::Guard(_))));
}

#[test]
fn where_nothing_is_sealed_a_sealed_entry_needs_a_newer_cairn() {
    let mut a = Person::new(1);
    let all = [a.say(0, 1), a.say(1, 0)];
    let mut commons = ChatSegment::new(document()).unwrap();
    assert_eq!(outcomes(&mut commons, &all), [Outcome::Unsupported, Outcome::Unsupported]);
    assert_eq!((commons.locked(), commons.count()), (0, 2));
}

#[test]
fn pages_tell_apart_what_waits_for_a_key_and_what_for_a_newer_cairn() {
    let (mut a, mut b, mut c) = (Person::new(1), Person::new(2), Person::new(3));
    c.writer = c.writer.clone().of_version(9);
    let all = [a.say(0, 0), a.say(2, 1), a.say(4, 1), b.say(9, 0), c.say(1, 0), c.say(3, 0), c.say(5, 0)];
    let mut chat = Conversation::new();
    chat.set_now(NOON);
    assert_eq!(chat.set_keys(&keys(&[])), []);
    for one in &all {
        chat.apply(document(), std::slice::from_ref(one), |_| 0).unwrap();
    }
    assert_eq!((chat.opaque(), chat.locked()), (3, 2));
    let shape = |chat: &Conversation, at: &PageAt, n: usize| -> Vec<(usize, bool, u64)> {
        chat.page(at, n).opaque.iter().map(|run| (run.before, run.first.locked, run.count)).collect()
    };
    // at 0, newer 1, locked 2, newer 3, locked 4, newer 5, at 9
    let runs = [(1, false, 1), (1, true, 1), (1, false, 1), (1, true, 1), (1, false, 1)];
    assert_eq!(shape(&chat, &PageAt::Newest, 10), runs);
    // After the place of one of them the next begins.
    let places: Vec<OrderKey> = chat.page(&PageAt::Newest, 10).opaque.iter().map(|run| run.first.key()).collect();
    for (nth, place) in places.iter().enumerate() {
        let rest: Vec<_> = runs[nth + 1..].iter().map(|(_, locked, n)| (0, *locked, *n)).collect();
        assert_eq!(shape(&chat, &PageAt::After(*place), 10), rest);
    }
    let me = DeviceId([9; 32]);
    assert_eq!(chat.count_after(&OrderKey::MIN, &me), 7, "all of it is unread");
    assert_eq!(chat.wanted().into_iter().collect::<Vec<_>>(), [epoch(1).id()]);
    // The key comes: what waited is read on.
    assert_eq!(chat.set_keys(&keys(&[1])), [document()]);
    let from = chat.segment(&document()).unwrap().judged(&a.log()) as usize;
    assert_eq!(from, 1);
    chat.apply(document(), &all[from..3], |_| 0).unwrap();
    assert_eq!((chat.opaque(), chat.locked(), chat.total()), (3, 0, 4));
    assert_eq!(chat.count_after(&OrderKey::MIN, &me), 7);
}

#[test]
fn a_pen_goes_on_with_what_was_opened() {
    let mut a = Person::new(1);
    let all: Vec<_> = (0..4).map(|at| a.say(at, 1)).collect();
    let mut again = ChatAuthor::new(a.log());
    assert!(again.replay(&all[0]).is_err(), "sealed as it is it says nothing");
    let keys = keys(&[1]);
    for e in &all {
        let content = keys.open(e.header(), e.payload.as_deref().unwrap()).unwrap();
        again.replay_opened(e.header(), &content).unwrap();
    }
    let hlc = Hlc::from_ms(NOON + 9);
    let draft = Draft { id: MessageId([9; 16]), body: "next", after: None, reply_to: None };
    assert_eq!(again.say(hlc, &draft).unwrap(), a.author.say(hlc, &draft).unwrap());
    let missing = Closed::Missing(epoch(1).id());
    assert_eq!(Keys::default().open(all[0].header(), all[0].payload.as_deref().unwrap()), Err(missing));
    let mut none = Keys::default();
    none.insert(epoch(1));
    none.remove(&epoch(1).id());
    assert_eq!((none.epochs().count(), none.get(&EpochId::NONE).is_none()), (0, true));
}
