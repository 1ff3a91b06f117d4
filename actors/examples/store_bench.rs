//! Prints what the store does on this machine: `cargo run --release -p cairn-actors --example store_bench [FOLDER]`.
//! Entries have a payload of 200 bytes; medians of five rounds; redb alone, in the same file settings, stands beside.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_actors::store::{RedbStore, Store, Table, Write};
use cairn_crdt::entry::{Entry, Header, PAYLOAD_VERSION, SignedHeader, VERSION, payload_hash};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, EntryHash, EpochId, Incarnation, LogId, SpaceId};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

const ROUNDS: usize = 5;
const PAYLOAD: [u8; 200] = [7; 200];

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("cairn-store-bench-{}.redb", std::process::id()));
    let result = bench(&path);
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(path.with_extension("redb.journal"));
    let _ = std::fs::remove_file(path.with_extension("raw"));
    result
}

fn bench(path: &Path) -> Outcome<()> {
    let store = RedbStore::open(path)?;
    let mut author = Author::new();
    println!("{:<44} {:>12} {:>14}", "what", "time", "rate");
    commits(&store, &mut author, "")?;
    let raw = rounds(|| raw_commits(&path.with_extension("raw"), 100))?;
    line("redb alone, commit of 100 records of 500 B", raw, 100.0);
    // Makes the journal, which small commits then go into; it is emptied within the time taken.
    store.rest()?;
    commits(&store, &mut author, "journal: ")?;

    let total = author.seq;
    let times = rounds(|| read(&store, &author, total - 99, 100))?;
    line(&format!("last 100 of {total} entries, checked"), times, 100.0);
    let times = rounds(|| read(&store, &author, total - 9999, 10_000))?;
    line("last 10000, checked", times, 10_000.0);
    let raw = rounds(|| raw_last(&path.with_extension("raw"), 100))?;
    line("redb alone, last 100 records", raw, 100.0);
    let times = rounds(|| {
        let start = Instant::now();
        for _ in 0..1000 {
            store.tips(&author.space)?;
        }
        Ok(start.elapsed() / 1000)
    })?;
    line("tips of a space with one log", times, 1.0);
    drop(store);
    let times = rounds(|| {
        let start = Instant::now();
        let store = RedbStore::open(path)?;
        let time = start.elapsed();
        drop(store);
        Ok(time)
    })?;
    line("open", times, 1.0);
    println!("file: {} MiB for {total} entries", std::fs::metadata(path)?.len() / 1024 / 1024);
    Ok(())
}

fn commits(store: &RedbStore, author: &mut Author, how: &str) -> Outcome<()> {
    for (records, commits) in [(1, 1000), (10, 100), (100, 100), (1000, 20)] {
        let times = rounds(|| {
            let batches: Vec<Vec<Write>> = (0..commits).map(|_| author.batch(records)).collect();
            let start = Instant::now();
            for batch in &batches {
                store.commit(batch)?;
            }
            Ok(start.elapsed() / commits)
        })?;
        line(&format!("{how}commit of {records} entries"), times, f64::from(records));
    }
    let put = [Write::Put(Table::Peers, b"key".to_vec(), vec![1; 100])];
    let times = rounds(|| {
        let start = Instant::now();
        for _ in 0..1000 {
            store.commit(&put)?;
        }
        Ok(start.elapsed() / 1000)
    })?;
    line(&format!("{how}commit of one small value"), times, 1.0);
    Ok(())
}

fn read(store: &RedbStore, author: &Author, from: u64, count: usize) -> Outcome {
    let start = Instant::now();
    let repeats = 100;
    for _ in 0..repeats {
        assert_eq!(store.entries(&author.space, &author.log, from, usize::MAX)?.len(), count);
    }
    Ok(start.elapsed() / repeats)
}

const RAW: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("raw");

fn raw_open(path: &Path) -> Result<redb::Database, redb::Error> {
    Ok(redb::Builder::new().set_cache_size(cairn_actors::limits::STORE_CACHE).create(path)?)
}

fn raw_commits(path: &Path, commits: u32) -> Outcome {
    let db = raw_open(path)?;
    let start = Instant::now();
    for _ in 0..commits {
        let mut txn = db.begin_write()?;
        txn.set_two_phase_commit(true);
        txn.set_quick_repair(true);
        {
            let mut table = txn.open_table(RAW)?;
            let next = table.last()?.map_or(0, |(key, _)| key.value() + 1);
            for key in next..next + 100 {
                table.insert(key, [7u8; 500].as_slice())?;
            }
        }
        txn.commit()?;
    }
    Ok(start.elapsed() / commits)
}

fn raw_last(path: &Path, count: usize) -> Outcome {
    let db = raw_open(path)?;
    let start = Instant::now();
    let repeats = 100;
    for _ in 0..repeats {
        let txn = db.begin_read()?;
        let table = txn.open_table(RAW)?;
        let found = table.iter()?.rev().take(count).map(|row| row.map_or(0, |(_, v)| v.value().len()));
        assert_eq!(found.sum::<usize>(), count * 500);
    }
    Ok(start.elapsed() / repeats)
}

type Outcome<T = Duration> = Result<T, Box<dyn std::error::Error>>;

fn rounds(mut f: impl FnMut() -> Outcome) -> Outcome {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(f()?);
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}

fn line(what: &str, time: Duration, items: f64) {
    println!("{what:<44} {:>9.1} us {:>10.0} /s", time.as_secs_f64() * 1e6, items / time.as_secs_f64());
}

struct Author {
    key: DeviceKey,
    space: SpaceId,
    log: LogId,
    seq: u64,
    prev: EntryHash,
}

impl Author {
    fn new() -> Self {
        let key = DeviceKey::from_seed(&[1; 32]);
        let log = LogId { document: DocumentId::chat(1, 0), device: key.id(), incarnation: Incarnation([1; 16]) };
        Self { key, space: SpaceId([1; 32]), log, seq: 0, prev: EntryHash([0; 32]) }
    }

    fn batch(&mut self, n: u32) -> Vec<Write> {
        (0..n).map(|_| Write::Append { entry: Arc::new(self.entry()), received: 1 }).collect()
    }

    fn entry(&mut self) -> Entry {
        self.seq += 1;
        let header = Header {
            version: VERSION,
            space: self.space,
            log: self.log,
            seq: self.seq,
            prev: self.prev,
            deps_on_prev: self.seq > 1,
            deps: Vec::new(),
            control_heads: Vec::new(),
            hlc: Hlc(self.seq),
            epoch: EpochId::NONE,
            payload_version: PAYLOAD_VERSION,
            payload_hash: payload_hash(&PAYLOAD),
            payload_len: PAYLOAD.len() as u32,
        };
        let signed = SignedHeader::sign(header, &self.key);
        self.prev = signed.hash;
        Entry { signed, payload: Some(PAYLOAD.to_vec()) }
    }
}
