//! A power cut: of what was written since the last sync any part, in any order and torn, may have reached the disk.

use std::fs::File;
use std::io::{Error, ErrorKind, Write as _};
use std::sync::{Arc, Mutex};

use rand::{Rng, RngExt, SeedableRng};
use redb::{Builder, StorageBackend};

use super::super::conformance::dump;
use super::super::open::Opener;
use super::super::{RedbStore, Store};
use super::faults::{batches, states};

/// A disk with a cache.
#[derive(Debug, Default)]
struct Disk {
    /// What a sync has brought to rest.
    durable: Vec<u8>,
    /// What is read back while there is power.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Op>,
    /// Writes and syncs left before the power fails.
    left: Option<u64>,
    seen: u64,
}

#[derive(Debug, Clone)]
enum Op {
    Len(usize),
    Data(usize, Vec<u8>),
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Len(len) => bytes.resize(*len, 0),
            Self::Data(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    fn step(&mut self) -> Result<(), Error> {
        self.seen += 1;
        match &mut self.left {
            Some(0) => Err(ErrorKind::Other.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, op: Op) -> Result<(), Error> {
        self.step()?;
        op.apply(&mut self.current);
        self.pending.push(op);
        Ok(())
    }

    /// What is found when the power is back.
    fn image(&self, rng: &mut impl Rng) -> Vec<u8> {
        let mut image = self.durable.clone();
        for op in &self.pending {
            match op {
                Op::Data(at, data) => {
                    // Sectors of 512 bytes are written whole or not at all.
                    for (n, sector) in data.chunks(512).enumerate() {
                        if rng.random() {
                            Op::Data(at + n * 512, sector.to_vec()).apply(&mut image);
                        }
                    }
                }
                Op::Len(_) => op.apply(&mut image),
            }
        }
        image
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Disk>>);

impl StorageBackend for Shared {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let disk = self.0.lock().unwrap();
        let from = disk.current.get(offset as usize..offset as usize + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.lock().unwrap().change(Op::Len(len as usize))
    }
    fn sync_data(&self) -> Result<(), Error> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        disk.durable = disk.current.clone();
        disk.pending.clear();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.0.lock().unwrap().change(Op::Data(offset as usize, data.to_vec()))
    }
}

fn on(disk: &Shared) -> Opener {
    let disk = disk.clone();
    Opener::of(move |mut file: File| {
        file.write_all(b"the bytes are in memory")?;
        Builder::new().set_cache_size(256 * 1024).create_with_backend(disk.clone())
    })
}

#[test]
fn after_a_power_cut_the_old_or_the_new_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = batches();
    let states = states(&first, &second);
    let mut total = None;
    let mut acknowledged = 0;
    for seed in 0..80u64 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let path = dir.path().join("simulated");
        let disk = Shared(Arc::default());
        let store = RedbStore::open_with(&path, on(&disk)).unwrap();
        store.commit(&first).unwrap();
        disk.0.lock().unwrap().seen = 0;
        // The first round counts. Most cuts come late, where the root is written.
        disk.0.lock().unwrap().left = total.map(|n: u64| match seed % 3 {
            0 => rng.random_range(0..n),
            _ => rng.random_range(n.saturating_sub(10)..n + 2),
        });
        let kept = store.commit(&second).is_ok();
        total.get_or_insert(disk.0.lock().unwrap().seen);
        let image = disk.0.lock().unwrap().image(&mut rng);
        drop(store);
        std::fs::remove_file(&path).unwrap();

        let path = dir.path().join("found");
        std::fs::write(&path, image).unwrap();
        let store = RedbStore::open(&path).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        store.verify().unwrap();
        let found = dump(&store);
        assert!(found == states.after || (!kept && found == states.before), "seed {seed}, acknowledged: {kept}");
        if found == states.before {
            store.commit(&second).unwrap();
        }
        store.commit(&third).unwrap();
        drop(store);
        std::fs::remove_file(&path).unwrap();
        acknowledged += u32::from(kept);
    }
    assert!(acknowledged > 3 && acknowledged < 77, "{acknowledged}");
}
