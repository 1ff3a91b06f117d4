//! A disk whose power fails: of what was written since the last sync any part, in any order and torn, may have reached
//! it. Sectors of 512 bytes are written whole or not at all.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt};
use redb::StorageBackend;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// What a sync has brought to rest.
    durable: Vec<u8>,
    /// What is read back while there is power.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Op>,
    /// Writes and syncs left before the power fails.
    left: Option<u64>,
    /// Says that it has synced, and has not.
    lies: bool,
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

impl Disk {
    /// A disk that holds these bytes; its power fails after so many writes and syncs, or never.
    pub fn holding(bytes: Vec<u8>, left: Option<u64>, lies: bool) -> Self {
        let state = State { durable: bytes.clone(), current: bytes, left, lies, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
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
    pub fn image(&self, rng: &mut impl Rng) -> Vec<u8> {
        let state = self.lock();
        let mut image = state.durable.clone();
        let pending = &state.pending;
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

    fn change(&mut self, op: Op) -> Result<(), Error> {
        self.step()?;
        op.apply(&mut self.current);
        self.pending.push(op);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.lock().current.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.lock();
        let end = (offset as usize).checked_add(out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(state.current.get(offset as usize..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.lock().change(Op::Len(len as usize))
    }
    fn sync_data(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.step()?;
        if !state.lies {
            let pending = std::mem::take(&mut state.pending);
            pending.iter().for_each(|op| op.apply(&mut state.durable));
        }
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.lock().change(Op::Data(offset as usize, data.to_vec()))
    }
}
