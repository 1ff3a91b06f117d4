//! What every store must do, run against each of them (`both`): in memory, and on disk with and without the journal, sealed
//! and not.

use std::sync::Arc;

use cairn_crdt::entry::{Entry, Header, PAYLOAD_VERSION, SignedHeader, VERSION, payload_hash};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, EntryHash, EpochId, Incarnation, LogId, SpaceId};

use super::tables::{SCHEMA, SCHEMA_KEY};
use super::{MemoryStore, RedbStore, Seal, Store, StoreError, Table, Tip, Write};

/// Everything the tests read as bytes.
pub(crate) const ALL: usize = usize::MAX;

/// Writes a log.
pub(crate) struct Author {
    key: DeviceKey,
    pub space: SpaceId,
    pub log: LogId,
    pub tip: Option<Tip>,
}

impl Author {
    pub(crate) fn new(space: u8, document: u32, device: u8) -> Self {
        let key = DeviceKey::from_seed(&[device; 32]);
        let document = DocumentId::chat(document, 0);
        let log = LogId { document, device: key.id(), incarnation: Incarnation([7; 16]) };
        Self { key, space: SpaceId([space; 32]), log, tip: None }
    }

    /// The next entry; `None` as its payload makes one whose payload was erased elsewhere.
    pub(crate) fn entry(&mut self, payload: Option<&[u8]>) -> Arc<Entry> {
        let seq = self.tip.map_or(1, |tip| tip.seq + 1);
        let bytes = payload.unwrap_or(b"erased");
        let header = Header {
            version: VERSION,
            space: self.space,
            log: self.log,
            seq,
            prev: self.tip.map_or(EntryHash([0; 32]), |tip| tip.hash),
            deps_on_prev: seq > 1,
            deps: Vec::new(),
            control_heads: vec![EntryHash([1; 32])],
            hlc: Hlc(seq * 10),
            epoch: EpochId::NONE,
            payload_version: PAYLOAD_VERSION,
            payload_hash: payload_hash(bytes),
            payload_len: bytes.len() as u32,
        };
        let entry = Entry { signed: SignedHeader::sign(header, &self.key), payload: payload.map(<[u8]>::to_vec) };
        self.tip = Some(Tip { seq, hash: entry.hash(), hlc: Hlc(seq * 10) });
        Arc::new(entry)
    }

    /// The next entry as a write, received at its sequence number.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Write {
        let entry = self.entry(Some(payload));
        Write::Append { received: entry.header().seq, entry }
    }

    pub(crate) fn appends(&mut self, n: usize, len: usize) -> Vec<Write> {
        (0..n).map(|i| self.append(&vec![i as u8; len])).collect()
    }
}

pub(crate) fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write::Put(table, key.to_vec(), value.to_vec())
}

/// All that a store holds, to compare stores by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    logs: Vec<(SpaceId, LogId, Tip, Vec<super::Stored>)>,
    small: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

pub(crate) fn dump(store: &dyn Store) -> Dump {
    let mut dump = Dump { logs: Vec::new(), small: Vec::new() };
    for space in store.spaces().unwrap() {
        for (log, tip) in store.tips(&space).unwrap() {
            let entries = store.entries(&space, &log, 1, ALL).unwrap();
            assert_eq!(entries.len() as u64, tip.seq);
            dump.logs.push((space, log, tip, entries));
        }
    }
    for table in super::tables::SMALL {
        dump.small.extend(store.scan(table, b"").unwrap().into_iter().map(|(k, v)| (table, k, v)));
    }
    dump
}

/// A store that can be taken down and found again.
pub(crate) trait Subject {
    fn store(&self) -> &dyn Store;
    fn restart(&mut self);
}

struct Memory(MemoryStore);

impl Subject for Memory {
    fn store(&self) -> &dyn Store {
        &self.0
    }
    fn restart(&mut self) {
        self.0 = self.0.crash();
    }
}

struct OnDisk {
    dir: tempfile::TempDir,
    store: Option<RedbStore>,
    /// Whether small batches go into its journal.
    journal: bool,
    seal: Seal,
}

impl OnDisk {
    fn new(journal: bool, seal: Seal) -> Self {
        let mut disk = Self { dir: tempfile::tempdir().unwrap(), store: None, journal, seal };
        disk.restart();
        disk
    }
}

impl Subject for OnDisk {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }
    fn restart(&mut self) {
        self.store = None;
        let store = RedbStore::open_sealed(&self.dir.path().join("cairn.redb"), &self.seal).unwrap();
        if self.journal {
            store.rest().unwrap();
        }
        assert_eq!(store.journals(), self.journal);
        self.store = Some(store);
    }
}

/// What sealed stores of the tests are sealed with.
pub(crate) fn sealed() -> Seal {
    cairn_crdt::vault::DataKey::new(&[5; 32]).into()
}

fn both(check: impl Fn(&mut dyn Subject)) {
    check(&mut Memory(MemoryStore::new()));
    for (journal, seal) in [(false, Seal::NONE), (true, Seal::NONE), (false, sealed()), (true, sealed())] {
        let mut disk = OnDisk::new(journal, seal);
        check(&mut disk);
        disk.store.unwrap().verify().unwrap();
    }
}

#[test]
fn a_new_store_holds_its_schema_and_nothing_else() {
    both(|s| {
        let schema = (Table::Meta, SCHEMA_KEY.to_vec(), SCHEMA.to_be_bytes().to_vec());
        assert_eq!(dump(s.store()), Dump { logs: vec![], small: vec![schema] });
        let nobody = Author::new(1, 1, 1);
        assert_eq!(s.store().tips(&nobody.space).unwrap(), []);
        assert_eq!(s.store().entries(&nobody.space, &nobody.log, 1, ALL).unwrap(), []);
        assert_eq!(s.store().get(Table::Peers, b"k").unwrap(), None);
        s.store().commit(&[]).unwrap();
    });
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    both(|s| {
        let mut authors = [Author::new(1, 5, 1), Author::new(1, 2, 2), Author::new(0xff, 1, 1), Author::new(0, 1, 1)];
        for round in 0..3u8 {
            let mut batch = vec![put(Table::Meta, b"round", &[round])];
            for author in &mut authors {
                batch.extend(author.appends(4, 10));
            }
            s.store().commit(&batch).unwrap();
        }
        let before = dump(s.store());
        s.restart();
        assert_eq!(dump(s.store()), before);
        assert_eq!(s.store().spaces().unwrap(), [0, 1, 0xff].map(|n| SpaceId([n; 32])));
        let sizes = s.store().sizes(&SpaceId([1; 32])).unwrap();
        for (log, bytes) in &sizes {
            let held = s.store().entries(&SpaceId([1; 32]), log, 1, ALL).unwrap();
            assert_eq!(*bytes, held.iter().map(|e| super::stored_len(&e.entry)).sum::<u64>());
        }
        let tips = s.store().tips(&SpaceId([1; 32])).unwrap();
        assert!(!tips.is_empty() && tips.iter().map(|(log, _)| log).eq(sizes.iter().map(|(log, _)| log)));
        assert_eq!(tips, [(authors[1].log, authors[1].tip.unwrap()), (authors[0].log, authors[0].tip.unwrap())]);
        let entries = s.store().entries(&authors[0].space, &authors[0].log, 1, ALL).unwrap();
        assert_eq!(entries.iter().map(|e| e.received).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
        assert!(entries.iter().all(|e| e.entry.signed.verify() && e.entry.payload.is_some()));
    });
}

#[test]
fn pages_of_a_log_are_bounded_in_bytes() {
    both(|s| {
        let mut author = Author::new(1, 1, 1);
        let batch = author.appends(20, 100);
        s.store().commit(&batch).unwrap();
        let Write::Append { entry, .. } = &batch[0] else { panic!() };
        let one = entry.encode().len();
        let count = |from, max| s.store().entries(&author.space, &author.log, from, max).unwrap().len();
        assert_eq!((count(1, 0), count(1, 1), count(1, one)), (1, 1, 1), "always at least one");
        assert_eq!((count(1, 2 * one - 1), count(1, 2 * one), count(1, 7 * one + 5)), (1, 2, 7));
        assert_eq!((count(0, ALL), count(1, ALL), count(15, ALL), count(20, ALL)), (20, 20, 6, 1));
        assert_eq!((count(21, ALL), count(u64::MAX, ALL)), (0, 0));
        assert_eq!(s.store().entries(&author.space, &author.log, 9, 1).unwrap()[0].entry.header().seq, 9);
    });
}

#[test]
fn an_entry_that_does_not_follow_is_refused_whole() {
    both(|s| {
        let mut author = Author::new(1, 1, 1);
        let first = author.append(b"1");
        let second = author.append(b"2");
        let third = author.append(b"3");
        let refused = |batch: &[Write]| {
            let before = dump(s.store());
            assert_eq!(s.store().commit(batch), Err(StoreError::Gap));
            assert_eq!(dump(s.store()), before, "nothing kept");
        };
        refused(&[put(Table::Peers, b"k", b"v"), second.clone()]);
        refused(&[first.clone(), third.clone()]);
        refused(&[first.clone(), first.clone()]);
        s.store().commit(&[first.clone(), second.clone()]).unwrap();
        refused(std::slice::from_ref(&first));
        refused(&[third.clone(), third.clone()]);
        let mut fork = Author::new(1, 1, 1);
        fork.append(b"other");
        fork.append(b"other");
        refused(&[fork.append(b"third, but of another past")]);
        s.store().commit(&[third]).unwrap();
    });
}

#[test]
fn small_tables_set_remove_and_scan_by_prefix() {
    both(|s| {
        let keys: [&[u8]; 6] = [b"", b"a", b"ab", b"ab\xff", b"ac", b"\xff\xff"];
        for table in [Table::Peers, Table::Networks, Table::Void] {
            let batch: Vec<_> = keys.iter().map(|key| put(table, key, key)).collect();
            s.store().commit(&batch).unwrap();
        }
        s.store().commit(&[put(Table::Peers, b"a", b"new"), Write::Delete(Table::Peers, b"ac".to_vec())]).unwrap();
        s.restart();
        let scan = |table, prefix: &[u8]| -> Vec<Vec<u8>> {
            s.store().scan(table, prefix).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(scan(Table::Peers, b"a"), [b"a".to_vec(), b"ab".to_vec(), b"ab\xff".to_vec()]);
        assert_eq!(scan(Table::Peers, b"ab"), [b"ab".to_vec(), b"ab\xff".to_vec()]);
        assert_eq!(scan(Table::Networks, b"\xff"), [b"\xff\xff".to_vec()]);
        assert_eq!(scan(Table::Networks, b"").len(), 6);
        assert_eq!(scan(Table::Outbox, b""), [b""; 0]);
        assert_eq!(s.store().get(Table::Peers, b"a").unwrap().unwrap(), b"new");
        assert_eq!(s.store().get(Table::Networks, b"a").unwrap().unwrap(), b"a");
        // Within a batch the last write of a key stands.
        let twice = [put(Table::Peers, b"x", b"1"), Write::Delete(Table::Peers, b"x".to_vec())];
        s.store().commit(&twice).unwrap();
        assert_eq!(s.store().get(Table::Peers, b"x").unwrap(), None);
        s.store().commit(&[twice[1].clone(), put(Table::Peers, b"x", b"2")]).unwrap();
        assert_eq!(s.store().get(Table::Peers, b"x").unwrap().unwrap(), b"2");
    });
}

#[test]
fn the_schema_is_the_stores_own() {
    both(|s| {
        for write in [put(Table::Meta, SCHEMA_KEY, b"9"), Write::Delete(Table::Meta, SCHEMA_KEY.to_vec())] {
            let before = dump(s.store());
            assert_eq!(s.store().commit(&[put(Table::Peers, b"k", b"v"), write]), Err(StoreError::Reserved));
            assert_eq!(dump(s.store()), before);
        }
        s.store().commit(&[put(Table::Peers, SCHEMA_KEY, b"9")]).unwrap();
    });
}

#[test]
fn large_and_missing_payloads() {
    both(|s| {
        let mut author = Author::new(1, 1, 1);
        let batch: Vec<_> = [Some(&[5u8; 256 * 1024][..]), None, Some(b""), Some(b"x"), None]
            .into_iter()
            .map(|payload| Write::Append { entry: author.entry(payload), received: 3 })
            .collect();
        s.store().commit(&batch).unwrap();
        s.restart();
        let stored = s.store().entries(&author.space, &author.log, 1, ALL).unwrap();
        assert_eq!(stored.len(), batch.len());
        for (stored, write) in stored.iter().zip(&batch) {
            let Write::Append { entry, .. } = write else { panic!() };
            assert_eq!(&stored.entry, entry);
            assert_eq!(super::encoded_len(entry), entry.encode().len());
        }
    });
}

fn truncate(author: &Author, from: u64) -> Write {
    Write::Truncate { space: author.space, log: author.log, from }
}

fn erase(author: &Author, from: u64, upto: u64) -> Write {
    Write::Erase { space: author.space, log: author.log, from, upto }
}

/// Sequence numbers of the entries of a log, with a minus where the payload is gone.
fn shape(store: &dyn Store, author: &Author) -> Vec<i64> {
    let entries = store.entries(&author.space, &author.log, 1, ALL).unwrap();
    let seq = |s: &super::Stored| i64::try_from(s.entry.header().seq).unwrap();
    entries.iter().map(|s| if s.entry.payload.is_some() { seq(s) } else { -seq(s) }).collect()
}

#[test]
fn a_log_is_cut_and_goes_on_from_there() {
    both(|s| {
        let (mut author, mut other) = (Author::new(1, 1, 1), Author::new(1, 2, 2));
        let mut batch = author.appends(6, 50);
        batch.extend(other.appends(2, 50));
        s.store().commit(&batch).unwrap();
        let Write::Append { entry: third, .. } = &batch[2] else { panic!() };
        let third = Tip { seq: 3, hash: third.hash(), hlc: third.header().hlc };
        // The other branch follows in the same batch.
        let mut branch = Author { tip: Some(third), ..Author::new(1, 1, 1) };
        let mut cut = vec![truncate(&author, 4), put(Table::Forks, b"log", b"proof")];
        cut.extend(branch.appends(2, 9));
        s.store().commit(&cut).unwrap();
        assert_eq!(shape(s.store(), &author), [1, 2, 3, 4, 5]);
        assert_eq!(s.store().tips(&author.space).unwrap()[0], (author.log, branch.tip.unwrap()));
        // The first branch does not follow any more.
        assert_eq!(s.store().commit(&[author.append(b"7")]), Err(StoreError::Gap));
        s.store().commit(&[truncate(&author, 3)]).unwrap();
        s.restart();
        assert_eq!(shape(s.store(), &author), [1, 2]);
        for nothing in [truncate(&author, 3), truncate(&author, 9), truncate(&author, u64::MAX)] {
            s.store().commit(&[nothing]).unwrap();
            assert_eq!(shape(s.store(), &author), [1, 2]);
        }
        assert_eq!(shape(s.store(), &other), [1, 2], "the neighbour is as it was");
    });
}

#[test]
fn a_log_that_is_cut_to_nothing_is_gone() {
    both(|s| {
        let mut author = Author::new(1, 1, 1);
        for from in [1, 0] {
            author.tip = None;
            s.store().commit(&author.appends(3, 50)).unwrap();
            s.store().commit(&[truncate(&author, from)]).unwrap();
            assert_eq!((s.store().spaces().unwrap(), s.store().tips(&author.space).unwrap()), (vec![], vec![]));
            assert_eq!(shape(s.store(), &author), [0; 0]);
        }
        // Removed, begun anew and cut again within one batch.
        author.tip = None;
        let first = author.appends(4, 20);
        s.store().commit(&first).unwrap();
        author.tip = None;
        let mut batch = vec![truncate(&author, 1)];
        batch.extend(author.appends(3, 30));
        batch.push(truncate(&author, 2));
        s.store().commit(&batch).unwrap();
        s.restart();
        assert_eq!(shape(s.store(), &author), [1]);
        // Within a batch that is refused, nothing is cut.
        let before = dump(s.store());
        assert_eq!(s.store().commit(&[truncate(&author, 1), first[3].clone()]), Err(StoreError::Gap));
        assert_eq!(dump(s.store()), before);
    });
}

#[test]
fn erased_payloads_leave_the_chain() {
    both(|s| {
        let mut author = Author::new(1, 1, 1);
        s.store().commit(&author.appends(6, 50)).unwrap();
        let tips = s.store().tips(&author.space).unwrap();
        s.store().commit(&[erase(&author, 2, 3)]).unwrap();
        assert_eq!(shape(s.store(), &author), [1, -2, -3, 4, 5, 6]);
        s.store().commit(&[erase(&author, 3, 5), erase(&author, 9, 12), erase(&author, 5, 4)]).unwrap();
        s.restart();
        assert_eq!(shape(s.store(), &author), [1, -2, -3, -4, -5, 6]);
        assert_eq!(s.store().tips(&author.space).unwrap(), tips);
        let entries = s.store().entries(&author.space, &author.log, 1, ALL).unwrap();
        assert!(entries.iter().all(|e| e.entry.signed.verify() && e.received == e.entry.header().seq));
        // Only what is there is erased, not what follows.
        s.store().commit(&[erase(&author, 0, u64::MAX), author.append(b"seven")]).unwrap();
        s.store().commit(&[author.append(b"eight"), erase(&author, 8, 8)]).unwrap();
        assert_eq!(shape(s.store(), &author), [-1, -2, -3, -4, -5, -6, 7, -8]);
        let nobody = Author::new(3, 3, 3);
        s.store().commit(&[erase(&nobody, 1, 9), truncate(&nobody, 1)]).unwrap();
        assert_eq!(s.store().spaces().unwrap(), [author.space]);
    });
}

#[test]
fn random_batches_leave_both_stores_alike() {
    random_batches(false, Seal::NONE);
    random_batches(true, Seal::NONE);
    random_batches(true, sealed());
}

fn random_batches(journal: bool, seal: Seal) {
    use rand::{RngExt, SeedableRng};
    let mut disk = OnDisk::new(journal, seal);
    let memory = MemoryStore::new();
    for seed in 0..20 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        // The tips of each author's log after each entry, to go on from after a cut.
        let mut authors: Vec<_> = (0..4).map(|n| (Author::new(n % 2, seed as u32, n), vec![None::<Tip>])).collect();
        for _ in 0..6 {
            // Cuts and erasures go past the journal.
            let cuts = !journal || rng.random_ratio(1, 3);
            let batch: Vec<_> = (0..rng.random_range(1..30))
                .map(|_| {
                    let (author, tips) = &mut authors[rng.random_range(0..4)];
                    let at = rng.random_range(0..tips.len() + 2) as u64;
                    let kinds = if cuts { 0..12 } else { 0..5 };
                    match if cuts || rng.random() { rng.random_range(kinds) } else { 11 } {
                        0..3 => put(Table::Durable, &[rng.random_range(0..9)], &[rng.random()]),
                        3..5 => Write::Delete(Table::Durable, vec![rng.random_range(0..9)]),
                        5 => {
                            tips.truncate((at as usize).max(1));
                            author.tip = *tips.last().unwrap();
                            truncate(author, at)
                        }
                        6 => erase(author, at, rng.random_range(0..tips.len() + 2) as u64),
                        _ => {
                            let len = rng.random_range(0..900);
                            let write = author.append(&vec![len as u8; len]);
                            tips.push(author.tip);
                            write
                        }
                    }
                })
                .collect();
            assert_eq!(disk.store().commit(&batch), Ok(()), "seed {seed}");
            memory.commit(&batch).unwrap();
            if journal {
                assert_eq!(dump(disk.store()), dump(&memory), "seed {seed}");
            } else {
                assert!(disk.store.as_ref().unwrap().holds(&batch).unwrap(), "seed {seed}: seen as kept");
            }
        }
        if seed % 5 == 0 {
            disk.restart();
        }
    }
    assert_eq!(dump(disk.store()), dump(&memory));
    disk.store.unwrap().verify().unwrap();
}

#[test]
fn a_memory_store_crashes_and_fails_as_told() {
    let store = MemoryStore::new();
    let mut author = Author::new(1, 1, 1);
    store.commit(&author.appends(3, 5)).unwrap();
    let same_disk = store.clone();
    let after_crash = store.crash();
    assert_eq!(dump(&after_crash), dump(&store));
    let more = author.appends(2, 5);
    store.fail_commits(2, StoreError::Full);
    assert_eq!(store.commit(&more), Err(StoreError::Full));
    assert_eq!(same_disk.commit(&more), Err(StoreError::Full));
    assert_eq!(dump(&store), dump(&after_crash), "a failed commit keeps nothing");
    store.commit(&more).unwrap();
    assert_eq!(dump(&same_disk), dump(&store));
    assert_ne!(dump(&after_crash), dump(&store), "the copy stays as it was");
    store.set_full(true);
    assert_eq!(store.commit(&author.appends(1, 1)), Err(StoreError::Full));
    assert_eq!((store.commits(), after_crash.commits()), (2, 0));
    assert!(store.crash().commit(&[put(Table::Peers, b"k", b"v")]).is_ok(), "faults are not copied");
}
