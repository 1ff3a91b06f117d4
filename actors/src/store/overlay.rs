//! A file that is read and never written: what redb writes while it opens and looks (after a crash it always does) stays
//! in memory. So a damaged file can be read as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Builder, Database, StorageBackend};

use super::fault::{Fault, guarded};
use crate::limits::STORE_CACHE;

/// What is kept of a write is kept in blocks of so many bytes.
const BLOCK: usize = 4096;

#[derive(Debug)]
struct Overlay(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    /// How much of the file counts: what was cut off once reads as zeros.
    file_len: u64,
    len: u64,
    written: BTreeMap<u64, Box<[u8]>>,
}

/// Opens the database in a file without ever writing to the file.
pub(super) fn open(path: &Path) -> Result<Database, Fault> {
    let file = File::open(path).map_err(redb::Error::Io)?;
    let len = file.metadata().map_err(redb::Error::Io)?.len();
    if len == 0 {
        return Err(Fault::Damaged("the file is empty".into()));
    }
    let overlay = Overlay(Mutex::new(State { file, file_len: len, len, written: BTreeMap::new() }));
    guarded(|| Ok(Builder::new().set_cache_size(STORE_CACHE).create_with_backend(overlay)?))
}

impl Overlay {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A block as it is now, `BLOCK` bytes long.
    fn block(&mut self, number: u64) -> Result<Box<[u8]>, Error> {
        if let Some(block) = self.written.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK].into_boxed_slice();
        let start = number.saturating_mul(BLOCK as u64);
        let there = usize::try_from(self.file_len.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
        if let Some(part) = block.get_mut(..there).filter(|part| !part.is_empty()) {
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(part)?;
        }
        Ok(block)
    }

    /// Calls `each` for every block of a range with its number, the range within it and the range of all.
    fn blocks(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut done = 0usize;
        while done < len {
            let at = offset.checked_add(done as u64).ok_or(ErrorKind::InvalidInput)?;
            let (number, within) = (at / BLOCK as u64, usize::try_from(at % BLOCK as u64).unwrap_or(0));
            let n = BLOCK.saturating_sub(within).min(len.saturating_sub(done));
            let end = done.saturating_add(n);
            each(number, within..within.saturating_add(n), done..end)?;
            done = end;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.lock().len)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut state = self.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let len = out.len();
        State::blocks(offset, len, |number, within, whole| {
            let block = state.block(number)?;
            if let (Some(to), Some(from)) = (out.get_mut(whole), block.get(within)) {
                to.copy_from_slice(from);
            }
            Ok(())
        })
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.lock();
        if len < state.len {
            // The last block may go on beyond the end: what was there reads as zeros if it grows again.
            let last = len / BLOCK as u64;
            let mut block = state.block(last)?;
            block.iter_mut().skip(usize::try_from(len % BLOCK as u64).unwrap_or(0)).for_each(|b| *b = 0);
            state.written.retain(|number, _| *number < last);
            state.written.insert(last, block);
            state.file_len = state.file_len.min(len);
        }
        state.len = len;
        Ok(())
    }
    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.lock();
        let end = offset.checked_add(data.len() as u64).ok_or(ErrorKind::InvalidInput)?;
        State::blocks(offset, data.len(), |number, within, whole| {
            let mut block = state.block(number)?;
            if let (Some(to), Some(from)) = (block.get_mut(within), data.get(whole)) {
                to.copy_from_slice(from);
            }
            state.written.insert(number, block);
            Ok(())
        })?;
        state.len = state.len.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn it_does_what_a_disk_does_and_leaves_the_file_alone() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..50_000).map(|_| rng.random()).collect();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let state = State { file: file.reopen().unwrap(), file_len: 50_000, len: 50_000, written: BTreeMap::new() };
        let (overlay, twin) = (Overlay(Mutex::new(state)), InMemoryBackend::new());
        twin.set_len(50_000).unwrap();
        twin.write(0, &bytes).unwrap();
        for _ in 0..3_000 {
            let len = twin.len().unwrap();
            let offset = rng.random_range(0..=len);
            let n = rng.random_range(0..=(len - offset).min(10_000)) as usize;
            match rng.random_range(0..10) {
                0 => {
                    let len = rng.random_range(0..80_000);
                    overlay.set_len(len).unwrap();
                    twin.set_len(len).unwrap();
                }
                1..5 => {
                    let data: Vec<u8> = (0..n).map(|_| rng.random()).collect();
                    overlay.write(offset, &data).unwrap();
                    twin.write(offset, &data).unwrap();
                }
                _ => {
                    let (mut a, mut b) = (vec![0; n], vec![1; n]);
                    overlay.read(offset, &mut a).unwrap();
                    twin.read(offset, &mut b).unwrap();
                    assert!(a == b, "{offset} {n}");
                }
            }
            assert_eq!(overlay.len().unwrap(), twin.len().unwrap());
        }
        assert!(overlay.read(overlay.len().unwrap(), &mut [0]).is_err());
        assert!(std::fs::read(file.path()).unwrap() == bytes);
    }
}
