//! A disk whose power fails: of what was written since the last sync any part, in any order and torn, may have reached
//! it. Sectors of 512 bytes are written whole or not at all.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt};
use redb::StorageBackend;

const SECTOR: usize = 512;

/// One of the files.
#[derive(Debug, Default)]
struct Bytes {
    /// What a sync has brought to rest.
    durable: Vec<u8>,
    /// What is read back while there is power.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Op>,
}

#[derive(Debug, Default)]
struct State {
    files: [Bytes; 2],
    /// Writes and syncs left before the power fails.
    left: Option<u64>,
    /// Says that it has synced, and has not.
    lies: bool,
}

/// What is on a disk: the store and its journal.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub store: Vec<u8>,
    pub journal: Vec<u8>,
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
            Self::Data(at, data) => write(bytes, *at, data),
        }
    }
}

fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[at..end].copy_from_slice(data);
}

/// The disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

/// A file on it: 0 is the store, 1 its journal.
#[derive(Debug, Clone)]
pub struct DiskFile(Disk, usize);

impl Disk {
    /// A disk that holds an image; its power fails after so many writes and syncs, or never.
    pub fn holding(image: Image, left: Option<u64>, lies: bool) -> Self {
        let files = [image.store, image.journal].map(|bytes| Bytes {
            durable: bytes.clone(),
            current: bytes,
            pending: Vec::new(),
        });
        Self(Arc::new(Mutex::new(State { files, left, lies })))
    }

    pub fn store(&self) -> DiskFile {
        DiskFile(self.clone(), 0)
    }

    pub fn journal(&self) -> DiskFile {
        DiskFile(self.clone(), 1)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the power has failed.
    pub fn dead(&self) -> bool {
        self.lock().left == Some(0)
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.lock().left = Some(0);
    }

    /// What is found when the power is back.
    pub fn image(&self, rng: &mut impl Rng) -> Image {
        let state = self.lock();
        let [store, journal] = &state.files;
        Image { store: store.found(rng), journal: journal.found(rng) }
    }
}

impl Bytes {
    fn found(&self, rng: &mut impl Rng) -> Vec<u8> {
        let mut image = self.durable.clone();
        let pending = &self.pending;
        match rng.random_range(0..5) {
            // Any sectors.
            0 | 1 => {
                for op in pending {
                    tear(op, &mut image, |_| rng.random());
                }
            }
            // All up to a point, and the front of the next.
            2 => {
                let whole = rng.random_range(0..=pending.len());
                pending.iter().take(whole).for_each(|op| op.apply(&mut image));
                if let Some(op) = pending.get(whole) {
                    let sectors = rng.random_range(0..16);
                    tear(op, &mut image, |n| n < sectors);
                }
            }
            // Any of the writes, each whole.
            3 => pending.iter().filter(|_| rng.random()).for_each(|op| op.apply(&mut image)),
            // All but one.
            _ => {
                let missing = rng.random_range(0..=pending.len());
                pending.iter().enumerate().filter(|(n, _)| *n != missing).for_each(|(_, op)| op.apply(&mut image));
            }
        }
        image
    }
}

/// What of an operation has reached the disk, by sector.
fn tear(op: &Op, image: &mut Vec<u8>, mut reached: impl FnMut(usize) -> bool) {
    match op {
        Op::Len(_) if reached(0) => op.apply(image),
        Op::Len(_) => {}
        Op::Data(at, data) => {
            for (n, sector) in data.chunks(SECTOR).enumerate() {
                if reached(n) {
                    write(image, at + n * SECTOR, sector);
                }
            }
        }
    }
}

impl State {
    fn step(&mut self) -> Result<(), Error> {
        match &mut self.left {
            Some(0) => Err(ErrorKind::Other.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, file: usize, op: Op) -> Result<(), Error> {
        self.step()?;
        let file = &mut self.files[file];
        op.apply(&mut file.current);
        file.pending.push(op);
        Ok(())
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().files[self.1].current.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.0.lock();
        let end = (offset as usize).checked_add(out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        let current = &state.files[self.1].current;
        out.copy_from_slice(current.get(offset as usize..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.lock().change(self.1, Op::Len(len as usize))
    }
    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.0.lock();
        state.step()?;
        if !state.lies {
            let Bytes { durable, pending, .. } = &mut state.files[self.1];
            std::mem::take(pending).iter().for_each(|op| op.apply(durable));
        }
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.0.lock().change(self.1, Op::Data(offset as usize, data.to_vec()))
    }
}
