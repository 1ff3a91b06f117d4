//! What the trials write: batches that follow from a seed alone, of every kind of write, with the state after each as a
//! store in memory has it. In rounds: the first batch of a round removes all that the round before has written, so
//! that neither the store nor the time to compute what it must hold grows.

use std::sync::Arc;

use cairn_actors::store::tables::SMALL;
use cairn_actors::store::{MemoryStore, Store, StoreError, Stored, Table, Tip, Write};
use cairn_crdt::entry::{Entry, Header, PAYLOAD_VERSION, SignedHeader, VERSION, payload_hash};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, EntryHash, EpochId, Incarnation, LogId, SpaceId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Batches in a round.
pub const ROUND: u64 = 30;
/// Under this key stands how many batches there were.
const COUNT: &[u8] = b"batches";

/// All that a store holds, to compare stores by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    pub logs: Vec<(SpaceId, LogId, Tip, Vec<Stored>)>,
    pub small: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

/// Reads everything.
pub fn dump(store: &dyn Store) -> Result<Dump, StoreError> {
    let mut dump = Dump { logs: Vec::new(), small: Vec::new() };
    for space in store.spaces()? {
        for (log, tip) in store.tips(&space)? {
            dump.logs.push((space, log, tip, store.entries(&space, &log, 1, usize::MAX)?));
        }
    }
    for table in SMALL {
        dump.small.extend(store.scan(table, b"")?.into_iter().map(|(k, v)| (table, k, v)));
    }
    Ok(dump)
}

/// How many batches a store holds.
#[allow(dead_code, reason = "not every program that takes this file in asks")]
pub fn count(store: &dyn Store) -> Result<u64, StoreError> {
    let value = store.get(Table::Peers, COUNT)?;
    Ok(value.and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes))
}

struct Author {
    key: DeviceKey,
    log: LogId,
    /// The tips after each entry so far, and before the first.
    tips: Vec<Option<Tip>>,
}

/// The batches of a round.
pub struct Work {
    round: u64,
    rng: ChaCha8Rng,
    authors: Vec<Author>,
    step: u64,
}

const SPACE: SpaceId = SpaceId([7; 32]);

impl Work {
    /// The batches of a round with a seed.
    pub fn new(seed: u64, round: u64) -> Self {
        let author = |n: u8| {
            let key = DeviceKey::from_seed(&[n; 32]);
            let document = DocumentId::chat(2_900, u16::from(n));
            let log = LogId { document, device: key.id(), incarnation: Incarnation([n; 16]) };
            Author { key, log, tips: vec![None] }
        };
        let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9).wrapping_add(round));
        Self { round, rng, authors: (1..4).map(author).collect(), step: 0 }
    }

    /// The next batch.
    pub fn batch(&mut self) -> Vec<Write> {
        let mut batch = Vec::new();
        if self.step == 0 {
            batch.extend(self.authors.iter().map(|a| Write::Truncate { space: SPACE, log: a.log, from: 1 }));
            batch.extend((0..16).map(|n| Write::Delete(Table::Durable, vec![n])));
        }
        // Most batches do no more than a journal takes.
        let cuts = self.rng.random_ratio(1, 4);
        for author in &mut self.authors {
            let (rng, log) = (&mut self.rng, author.log);
            let any = |rng: &mut ChaCha8Rng| rng.random_range(1..=author.tips.len() as u64);
            match rng.random_range(0..3) {
                0 if cuts => {
                    let from = any(rng);
                    author.tips.truncate(from as usize);
                    batch.push(Write::Truncate { space: SPACE, log, from });
                }
                1 if cuts => batch.push(Write::Erase { space: SPACE, log, from: any(rng), upto: any(rng) }),
                _ => {}
            }
            for _ in 0..rng.random_range(0..5) {
                // Now and then one that makes the file grow.
                let len = if rng.random_ratio(1, 20) { 60_000 } else { rng.random_range(0..1_500) };
                batch.push(author.append(vec![rng.random(); len], self.round));
            }
        }
        let rng = &mut self.rng;
        batch.extend((0..rng.random_range(0..3)).map(|_| match rng.random() {
            true => Write::Put(Table::Durable, vec![rng.random_range(0..16)], vec![rng.random(); 40]),
            false => Write::Delete(Table::Durable, vec![rng.random_range(0..16)]),
        }));
        self.step += 1;
        let count = self.round * ROUND + self.step;
        batch.push(Write::Put(Table::Peers, COUNT.to_vec(), count.to_be_bytes().to_vec()));
        batch
    }
}

impl Author {
    fn append(&mut self, payload: Vec<u8>, round: u64) -> Write {
        let tip = self.tips.last().copied().flatten();
        let seq = tip.map_or(1, |tip| tip.seq + 1);
        let header = Header {
            version: VERSION,
            space: SPACE,
            log: self.log,
            seq,
            prev: tip.map_or(EntryHash([0; 32]), |tip| tip.hash),
            deps_on_prev: seq > 1,
            deps: Vec::new(),
            control_heads: Vec::new(),
            hlc: Hlc(round * 1_000 + seq),
            epoch: EpochId::NONE,
            payload_version: PAYLOAD_VERSION,
            payload_hash: payload_hash(&payload),
            payload_len: payload.len() as u32,
        };
        let entry = Entry { signed: SignedHeader::sign(header, &self.key), payload: Some(payload) };
        self.tips.push(Some(Tip { seq, hash: entry.hash(), hlc: entry.header().hlc }));
        Write::Append { entry: Arc::new(entry), received: seq }
    }
}

/// What a store holds that began with `base` and took so many batches of a seed, and the work as it goes on.
pub fn replayed(seed: u64, count: u64, base: &MemoryStore) -> (Dump, Work) {
    // The first batch of a round removes what the one before has left: the rounds before need not be computed.
    let (round, steps) = (count.saturating_sub(1) / ROUND, count - count.saturating_sub(1) / ROUND * ROUND);
    let mut work = Work::new(seed, round);
    for _ in 0..steps {
        base.commit(&work.batch()).expect("it follows");
    }
    if work.step == ROUND {
        work = Work::new(seed, round + 1);
    }
    (dump(base).expect("it is in memory"), work)
}
