//! An empty store as bytes: made in memory, so that a first start waits for the disk once and not a dozen times.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Builder, StorageBackend};

use super::fault::{Fault, guarded};
use super::migrations;
use super::sealing::{SEALED_KEY, Seal};
use super::tables::JOURNAL;

/// A file in memory that outlives the database on it.
#[derive(Debug, Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Bytes {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn range(offset: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok()?;
        Some(start..start.checked_add(len)?)
    }
}

impl StorageBackend for Bytes {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.with(|b| b.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.with(|b| {
            let from = Self::range(offset, out.len()).and_then(|r| b.get(r)).ok_or(ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(from);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?;
        self.with(|b| b.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.with(|b| {
            let to = Self::range(offset, data.len()).and_then(|r| b.get_mut(r)).ok_or(ErrorKind::UnexpectedEof)?;
            to.copy_from_slice(data);
            Ok(())
        })
    }
}

/// The bytes of a store of the newest schema with nothing in it, closed in good order.
pub(super) fn image(seal: &Seal) -> Result<Vec<u8>, Fault> {
    let bytes = Bytes::default();
    guarded(|| {
        let db = Builder::new().create_with_backend(bytes.clone())?;
        migrations::migrate(&db, seal)?;
        if let Some(key) = seal.key() {
            let txn = migrations::begin(&db)?;
            txn.open_table(JOURNAL)?.insert(SEALED_KEY, key.tag().0.as_slice())?;
            txn.commit()?;
        }
        Ok(())
    })?;
    Ok(bytes.with(std::mem::take))
}
