//! The control log: settings of two sides that did not know each other, retires that count and that do not, and what
//! hostile members write.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::{Hostile, NOON, Person};
use automerge::transaction::Transactable;
use automerge::{Automerge, ObjType, ROOT, ReadDoc};
use cairn_crdt::author::{Author, AuthorError};
use cairn_crdt::document::{Document, Outcome};
use cairn_crdt::entry::Entry;
use cairn_crdt::epochs::{Epochs, Fixed};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, EpochId, Kind, PrincipalId, SpaceId};
use cairn_crdt::kinds::control::{
    ControlLog, KeyOperation, MAX_KEEP_MS, MAX_SHARES, MIN_KEEP_MS, Operation, SLACK_MS, unit_for, write,
};
use cairn_crdt::period::{DAY_MS, HOUR_MS, Unit, WEEK_MS};
use cairn_crdt::replica::Access;
use cairn_crdt::seal::{Epoch, EpochSecret, Prekey, PrekeyRing, Share};
use cairn_crdt::spans::Spans;
use cairn_crdt::writer::LogWriter;

const ID: fn() -> DocumentId = || DocumentId::singleton(Kind::Control);

/// The start of the week that tests write in.
const WEEK: u64 = NOON - WEEK_MS / 2;

struct Pen {
    person: Person,
    author: Author,
    writer: LogWriter,
    log: ControlLog,
}

fn access() -> Access {
    Access::Direct(Person::new(1, 1).principal(), Person::new(2, 1).principal())
}

impl Pen {
    fn new(device: u8, incarnation: u8) -> Self {
        let person = Person::new(device, incarnation);
        Self { author: Author::new(person.log(ID())), writer: person.pen(ID()), person, log: ControlLog::new(access()) }
    }

    fn try_write(&mut self, ms: u64, operation: Operation) -> Result<Arc<Entry>, AuthorError> {
        let hlc = Hlc::from_ms(ms);
        let raw = write(&mut self.author, hlc, &operation, &self.log)?;
        let entry = Arc::new(self.writer.write_with(raw, hlc, true, Vec::new(), self.log.heads()).unwrap());
        assert!(self.log.apply(std::slice::from_ref(&entry))[0].is_valid());
        Ok(entry)
    }

    fn keep(&mut self, ms: u64, keep: Option<u64>) -> Arc<Entry> {
        self.try_write(ms, Operation::Retention { keep }).unwrap()
    }

    fn retire(&mut self, ms: u64, from: u64, upto: u64) -> Arc<Entry> {
        self.try_write(ms, Operation::Retire { from, upto }).unwrap()
    }

    fn take(&mut self, entries: &[&Arc<Entry>]) {
        for e in entries {
            assert!(self.log.apply(&[Arc::clone(e)])[0].is_valid());
        }
    }
}

/// What a log comes to that got these entries in this order (those that came too early again).
fn log_of(entries: &[&Arc<Entry>]) -> ControlLog {
    let mut log = ControlLog::new(access());
    for _ in 0..entries.len() {
        for e in entries {
            log.apply(&[Arc::clone(e)]);
        }
    }
    log
}

fn orders<T: Copy>(all: &[T]) -> Vec<Vec<T>> {
    if all.len() < 2 {
        return vec![all.to_vec()];
    }
    let rest = |i: usize| [&all[..i], &all[i + 1..]].concat();
    (0..all.len()).flat_map(|i| orders(&rest(i)).into_iter().map(move |o| [&[all[i]], &o[..]].concat())).collect()
}

#[test]
fn the_later_of_two_settings_counts_and_whoever_knows_both_replaces_them_whatever_the_clock() {
    let (mut a, mut b) = (Pen::new(1, 1), Pen::new(2, 1));
    let a1 = a.keep(NOON + 5, Some(4 * WEEK_MS));
    let b1 = b.keep(NOON + 9, Some(DAY_MS));
    // B's clock is a year ahead when it changes its mind.
    let b2 = b.keep(NOON + 52 * WEEK_MS, Some(2 * DAY_MS));
    for o in orders(&[&a1, &b1, &b2]) {
        let log = log_of(&o);
        let s = log.setting().unwrap();
        assert_eq!((s.keep, s.by, s.entry), (Some(2 * DAY_MS), b.person.id(), b2.hash()));
        assert_eq!(log.heads().len(), 2);
    }
    a.take(&[&b1, &b2]);
    let a2 = a.keep(NOON + 20, None);
    assert_eq!(a2.header().control_heads.len(), 2, "its own last entry and the other's");
    for o in orders(&[&a1, &b1, &b2, &a2]) {
        let log = log_of(&o);
        assert_eq!((log.setting().unwrap().keep, log.setting().unwrap().entry), (None, a2.hash()));
        assert_eq!(log.heads(), [a2.hash()]);
        assert_eq!(log.retired(u64::MAX), Spans::EMPTY);
    }
}

#[test]
fn a_retire_hides_what_the_setting_calls_old_at_its_stamp_and_nothing_before_its_time() {
    let (mut a, mut b) = (Pen::new(1, 1), Pen::new(2, 1));
    let now = WEEK + 10 * WEEK_MS;
    let r = a.retire(now, 0, WEEK + 8 * WEEK_MS);
    assert_eq!(log_of(&[&r]).retired(now), Spans::EMPTY, "nobody set a time");
    let keep = b.keep(NOON, Some(2 * WEEK_MS));
    assert_eq!(log_of(&[&r, &keep]).retired(now), Spans::one(0, WEEK + 8 * WEEK_MS));
    b.take(&[&r]);
    let longer = b.keep(now + 1, Some(6 * WEEK_MS));
    assert_eq!(log_of(&[&keep, &longer, &r]).retired(now), Spans::one(0, WEEK + 4 * WEEK_MS), "some come back");
    let off = b.keep(now + 2, None);
    assert_eq!(log_of(&[&keep, &longer, &r, &off]).retired(now), Spans::EMPTY);

    // A clock that is four years ahead: its retire counts when it would have been right.
    let mut c = Pen::new(1, 2);
    let ahead = now + 200 * WEEK_MS;
    let r = c.retire(ahead, 0, ahead - 2 * WEEK_MS);
    let log = log_of(&[&keep, &r]);
    assert_eq!((log.retired(now), log.next_retire(now)), (Spans::EMPTY, Some(ahead - SLACK_MS)));
    assert_eq!(log.retired(ahead - SLACK_MS), Spans::one(0, ahead - 2 * WEEK_MS));
    assert_eq!(log.next_retire(ahead - SLACK_MS), None);
}

#[test]
fn nothing_recent_is_retired_and_no_time_is_out_of_bounds() {
    let mut a = Pen::new(1, 1);
    let day = NOON - NOON % DAY_MS;
    for bad in [(0, day), (0, day + WEEK_MS), (day, 0), (0, 0), (1, HOUR_MS), (0, day - DAY_MS + HOUR_MS)] {
        let operation = Operation::Retire { from: bad.0, upto: bad.1 };
        assert!(matches!(a.try_write(day, operation), Err(AuthorError::Rule(_))), "{bad:?}");
    }
    for bad in [1, MIN_KEEP_MS - HOUR_MS, MAX_KEEP_MS + HOUR_MS, MIN_KEEP_MS + 1, u64::MAX] {
        let operation = Operation::Retention { keep: Some(bad) };
        assert!(matches!(a.try_write(NOON, operation), Err(AuthorError::Rule(_))), "{bad}");
    }
    a.retire(day, day - DAY_MS - HOUR_MS, day - DAY_MS);
    assert_eq!(
        [None, Some(MIN_KEEP_MS), Some(4 * DAY_MS), Some(4 * WEEK_MS)].map(unit_for),
        [Unit::Week, Unit::Hour, Unit::Day, Unit::Week]
    );
}

#[test]
fn in_a_commons_nobodys_operation_counts() {
    let mut a = Pen::new(1, 1);
    let (keep, retire) = (a.keep(NOON, Some(DAY_MS)), a.retire(NOON + 1, 0, WEEK));
    let mut log = ControlLog::new(Access::Commons);
    assert!(log.apply(&[keep, retire]).iter().all(Outcome::is_valid));
    assert_eq!((log.setting(), log.retired(u64::MAX)), (None, Spans::EMPTY));
}

#[test]
fn what_this_build_does_not_know_is_kept_and_what_follows_it_counts() {
    let mut h = Hostile::new(1, 1, ID());
    let key = |h: &Hostile, n: u32| format!("{}.{n:06}", h.person.incarnation);
    let (k0, k1) = (key(&h, 0), key(&h, 1));
    let unknown = h.write(|tx, at| {
        let op = tx.put_object(ROOT, k0, ObjType::Map).unwrap();
        tx.put(&op, "op", "anoint").unwrap();
        tx.put(&op, "at", at).unwrap();
        let list = tx.put_object(&op, "whom", ObjType::List).unwrap();
        tx.insert(&list, 0, "somebody").unwrap();
    });
    let keep = h.write(|tx, at| {
        let op = tx.put_object(ROOT, k1, ObjType::Map).unwrap();
        tx.put(&op, "op", "retention").unwrap();
        tx.put(&op, "at", at).unwrap();
        tx.put(&op, "keep", DAY_MS as i64).unwrap();
        tx.put(&op, "why", "a field of tomorrow").unwrap();
    });
    let mut log = ControlLog::new(access());
    assert!(log.apply(&[unknown.clone(), keep.clone()]).iter().all(Outcome::is_valid));
    assert_eq!((log.needs_newer(), log.setting().unwrap().keep), (1, Some(DAY_MS)));
    // Any Automerge tool reads it.
    let mut doc = Document::new(ID());
    assert!(doc.apply(&[unknown, keep]).iter().all(Outcome::is_valid));
    let saved = Automerge::load(&doc.automerge().save()).unwrap();
    let (_, op) = saved.get(ROOT, key(&h, 0)).unwrap().unwrap();
    assert_eq!(saved.get(&op, "op").unwrap().unwrap().0.as_str(), Some("anoint"));
}

#[test]
fn hostile_entries_are_void() {
    type Write = fn(&mut automerge::transaction::Transaction<'_>, String, i64);
    let bad: [(&str, Write); 9] = [
        ("no operation", |tx, key, _| drop(tx.put_object(ROOT, key, ObjType::Map).unwrap())),
        ("another's key", |tx, _, at| {
            let op = tx.put_object(ROOT, format!("{}.000000", Person::new(9, 9).incarnation), ObjType::Map).unwrap();
            tx.put(&op, "op", "x").unwrap();
            tx.put(&op, "at", at).unwrap();
        }),
        ("another stamp", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "x").unwrap();
            tx.put(&op, "at", at + 1).unwrap();
        }),
        ("a name too long", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "x".repeat(33)).unwrap();
            tx.put(&op, "at", at).unwrap();
        }),
        ("the current week", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "retire").unwrap();
            tx.put(&op, "at", at).unwrap();
            tx.put(&op, "from", 0).unwrap();
            tx.put(&op, "upto", (WEEK + WEEK_MS) as i64).unwrap();
        }),
        ("a negative time", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "retire").unwrap();
            tx.put(&op, "at", at).unwrap();
            tx.put(&op, "from", -3_600_000).unwrap();
            tx.put(&op, "upto", 3_600_000).unwrap();
        }),
        ("over something that is no entry", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "retention").unwrap();
            tx.put(&op, "at", at).unwrap();
            tx.put(&op, "keep", 0).unwrap();
            let over = tx.put_object(&op, "over", ObjType::Map).unwrap();
            tx.put(&over, "nothing", true).unwrap();
        }),
        ("a text", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "x").unwrap();
            tx.put(&op, "at", at).unwrap();
            tx.put_object(&op, "y", ObjType::Text).unwrap();
        }),
        ("too much", |tx, key, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", "x").unwrap();
            tx.put(&op, "at", at).unwrap();
            for i in 0..5_000 {
                tx.put(&op, format!("{i}"), i).unwrap();
            }
        }),
    ];
    for (what, edit) in bad {
        let mut h = Hostile::new(2, 7, ID());
        let key = format!("{}.000000", h.person.incarnation);
        let e = h.write(|tx, at| edit(tx, key, at));
        let mut log = ControlLog::new(access());
        assert!(matches!(log.apply(&[e])[0], Outcome::Void(_)), "{what}");
        assert_eq!((log.setting(), log.heads().len()), (None, 1), "{what}: it is in the graph all the same");
    }
}

#[test]
fn a_flood_of_settings_by_many_starts_is_replaced_within_few_entries() {
    let mut a = Pen::new(1, 1);
    let mut flood = Vec::new();
    for i in 0..200 {
        let mut b = Pen::new(2, i);
        flood.push(b.keep(NOON + u64::from(i), Some(DAY_MS)));
    }
    a.take(&flood.iter().collect::<Vec<_>>());
    let mut entries = 0;
    while a.log.setting().is_none_or(|s| s.keep.is_some()) {
        a.keep(NOON + 300 + entries, None);
        entries += 1;
    }
    // Each names 64 at most; A's own last counts by its stamp from the first on.
    assert_eq!(entries, 1);
    for i in 0..3 {
        a.keep(NOON + 400 + i, None);
    }
    assert_eq!((a.log.replaceable().len(), a.log.heads().len()), (1, 1));
}

const SPACE: SpaceId = SpaceId([5; 32]);

fn ring(device: u8) -> (PrekeyRing, Prekey) {
    let person = Person::new(device, 1);
    let mut ring = PrekeyRing::new(person.id());
    let prekey = ring.make(&person.key, NOON, &[device; 32]);
    (ring, prekey)
}

fn key_operation(log: &mut ControlLog, entry: &Arc<Entry>) -> Option<KeyOperation> {
    let outcome = log.apply(std::slice::from_ref(entry)).remove(0);
    log.key_operation(entry, &outcome)
}

#[test]
fn prekeys_and_epochs_come_through_the_log_as_they_were_written() {
    let (mut a, (ring_b, to_b)) = (Pen::new(1, 1), ring(2));
    let prekey = ring(1).1;
    let epoch = Epoch::new(SPACE, EpochSecret::new([7; 32]));
    let shares = BTreeMap::from([(to_b.device, Share::seal(&epoch, &to_b, &[8; 32]).unwrap())]);
    let sealed = Operation::Epoch { epoch: epoch.id(), shares: shares.clone() };
    let keep = a.keep(NOON, None);
    let published = a.try_write(NOON + 1, Operation::Prekey(prekey)).unwrap();
    let made = a.try_write(NOON + 2, sealed.clone()).unwrap();
    let mut log = ControlLog::new(access());
    assert_eq!(key_operation(&mut log, &keep), None);
    assert_eq!(key_operation(&mut log, &published).unwrap().operation, Operation::Prekey(prekey));
    let got = key_operation(&mut log, &made).unwrap();
    assert_eq!((got.id, got.by, got.at), (made.hash(), a.person.id(), made.header().hlc));
    assert_eq!((got.parents.as_slice(), &got.operation), (&[published.hash()][..], &sealed));
    assert_eq!(log.needs_newer(), 0);
    let Operation::Epoch { shares, .. } = got.operation else { panic!("an epoch") };
    assert!(shares[&to_b.device].open(&SPACE, &epoch.id(), &ring_b).is_ok());
    // In a commons nothing is sealed, whatever anybody writes.
    let mut commons = ControlLog::new(Access::Commons);
    assert_eq!([&keep, &published, &made].map(|e| key_operation(&mut commons, e)), [None, None, None]);
}

#[test]
fn an_epoch_for_a_thousand_members_fits_two_entries() {
    let everybody: Vec<(PrekeyRing, Prekey)> = (0..1000u32)
        .map(|n| {
            let mut seed = [9; 32];
            seed[..4].copy_from_slice(&n.to_be_bytes());
            let key = cairn_crdt::identity::DeviceKey::from_seed(&seed);
            let mut ring = PrekeyRing::new(key.id());
            let prekey = ring.make(&key, NOON, &seed);
            (ring, prekey)
        })
        .collect();
    let fixed = Fixed(everybody.iter().map(|(_, p)| p.device.principal()).collect());
    let mut pen = Pen::new(1, 1);
    let mut epochs = Epochs::new(SPACE, pen.person.id());
    everybody.iter().for_each(|(_, p)| epochs.publish(p));
    let made = epochs.make(EpochSecret::new([7; 32]), &[8; 32], &fixed).unwrap();
    assert_eq!((made.operations.len(), made.without.len()), (2, 0));
    let mut log = ControlLog::new(access());
    let mut taken = Vec::new();
    for (n, operation) in made.operations.into_iter().enumerate() {
        let entry = pen.try_write(NOON + n as u64, operation).unwrap();
        assert!(entry.payload.as_ref().unwrap().len() < 100_000, "{}", entry.payload.as_ref().unwrap().len());
        taken.extend(key_operation(&mut log, &entry));
    }
    for at in [0, 511, 512, 999] {
        let (ring, prekey) = &everybody[at];
        let mut theirs = Epochs::new(SPACE, prekey.device);
        theirs.extend(taken.clone(), &fixed);
        assert_eq!(theirs.open(ring), [made.epoch.id()], "{at}");
    }
}

#[test]
fn hostile_operations_about_keys_are_void() {
    type Write = fn(&mut automerge::transaction::Transaction<'_>, &automerge::ObjId);
    fn epoch(
        tx: &mut automerge::transaction::Transaction<'_>,
        op: &automerge::ObjId,
        id: Vec<u8>,
        to: &[(String, usize)],
    ) {
        tx.put(op, "epoch", id).unwrap();
        let shares = tx.put_object(op, "shares", ObjType::Map).unwrap();
        for (device, len) in to {
            tx.put(&shares, device.as_str(), vec![1; *len]).unwrap();
        }
    }
    let bad: [(&str, &str, Write); 13] = [
        ("no prekey", "prekey", |_, _| {}),
        ("a prekey that is none", "prekey", |tx, op| tx.put(op, "prekey", vec![1; 20]).unwrap()),
        ("a prekey as text", "prekey", |tx, op| tx.put(op, "prekey", "key").unwrap()),
        ("another's prekey", "prekey", |tx, op| tx.put(op, "prekey", ring(1).1.encode()).unwrap()),
        ("a forged prekey", "prekey", |tx, op| {
            let mut bytes = ring(2).1.encode();
            bytes[35] ^= 1;
            tx.put(op, "prekey", bytes).unwrap();
        }),
        ("an epoch without id", "epoch", |tx, op| {
            let shares = tx.put_object(op, "shares", ObjType::Map).unwrap();
            tx.put(&shares, DeviceId([3; 32]).to_string(), vec![1; Share::LEN]).unwrap();
        }),
        ("an epoch with no id", "epoch", |tx, op| {
            epoch(tx, op, EpochId::NONE.0.to_vec(), &[(DeviceId([3; 32]).to_string(), Share::LEN)]);
        }),
        ("an epoch with a short id", "epoch", |tx, op| {
            epoch(tx, op, vec![1; 31], &[(DeviceId([3; 32]).to_string(), Share::LEN)]);
        }),
        ("an epoch for nobody", "epoch", |tx, op| epoch(tx, op, vec![1; 32], &[])),
        ("a share that is too long", "epoch", |tx, op| {
            epoch(tx, op, vec![1; 32], &[(DeviceId([3; 32]).to_string(), Share::LEN + 1)]);
        }),
        ("a share for what is no device", "epoch", |tx, op| {
            epoch(tx, op, vec![1; 32], &[("everybody".to_owned(), Share::LEN)]);
        }),
        ("a device in another spelling", "epoch", |tx, op| {
            epoch(tx, op, vec![1; 32], &[(DeviceId([3; 32]).to_string().to_uppercase(), Share::LEN)]);
        }),
        ("shares that are a list", "epoch", |tx, op| {
            tx.put(op, "epoch", vec![1; 32]).unwrap();
            tx.put_object(op, "shares", ObjType::List).unwrap();
        }),
    ];
    for (what, name, edit) in bad {
        let mut h = Hostile::new(2, 7, ID());
        let key = format!("{}.000000", h.person.incarnation);
        let e = h.write(|tx, at| {
            let op = tx.put_object(ROOT, key, ObjType::Map).unwrap();
            tx.put(&op, "op", name).unwrap();
            tx.put(&op, "at", at).unwrap();
            edit(tx, &op);
        });
        let mut log = ControlLog::new(access());
        let outcome = log.apply(std::slice::from_ref(&e)).remove(0);
        assert!(matches!(outcome, Outcome::Void(_)), "{what}: {outcome:?}");
        assert_eq!(log.key_operation(&e, &outcome), None);
    }
    // One share more than an entry may hold is refused to an honest author too.
    let mut a = Pen::new(1, 1);
    let epoch = Epoch::new(SPACE, EpochSecret::new([7; 32]));
    let share = Share::seal(&epoch, &ring(2).1, &[8; 32]).unwrap();
    let shares = |n: usize| (0..n as u64).map(|n| (who(n).founder(), share)).collect();
    let operation = |n| Operation::Epoch { epoch: epoch.id(), shares: shares(n) };
    assert!(matches!(a.try_write(NOON, operation(MAX_SHARES + 1)), Err(AuthorError::Rule(_))));
    assert!(a.try_write(NOON, operation(MAX_SHARES)).is_ok());
}

fn who(n: u64) -> PrincipalId {
    let mut id = [3; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    PrincipalId(id)
}
