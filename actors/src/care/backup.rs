//! Saving a data folder to one file, and filling a data folder from one. What is saved of a folder with a passphrase is
//! sealed with the same key, and what is restored into one or from such a file is.
//!
//! A backup holds keys, settings and everything in the store as it was at one moment; the node goes on meanwhile. It is
//! read whole, and everything in it checked, before anything in the data folder changes. Whoever starts on what was
//! restored is a new incarnation, as at every start, so no sequence number is used twice; what was written after the
//! backup comes back from other devices.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use cairn_crdt::entry::{Entry, payload_hash};
use cairn_crdt::vault::DataKey;
use zeroize::Zeroizing;

use super::file::{BackupReader, BackupWriter, Head, Part, Record, Written};
use crate::api::{BackedUp, Restored};
use crate::data::{DataFolder, key_path, parse_key, settings_path, store_path, swap, write_atomically};
use crate::limits::{COMMIT_RECORDS, RESTORE_BATCH};
use crate::netkeys;
use crate::settings::{SETTINGS_MAX, Settings};
use crate::store::tables::SCHEMA;
use crate::store::{Item, RedbStore, Seal, Store, StoreError, Write};
use crate::vault;

pub use super::file::BackupError;

/// Largest part of a backup that is a small file: key or settings.
const SMALL_FILE: u64 = 2 * SETTINGS_MAX as u64;

/// Saves the keys and settings in `data` and everything in `store` to a new file at `to`, sealed where the folder is.
/// `now` in milliseconds since 1970.
///
/// # Errors
/// [`BackupError`]; no file is left then.
pub fn save(data: &Path, seal: &Seal, store: &dyn Store, now: u64, to: &Path) -> Result<BackedUp, BackupError> {
    let lock = vault::lock_of(data)?;
    let sealed = match (&lock, seal.key()) {
        (None, None) => None,
        (Some(lock), Some(key)) if lock.tag() == key.tag() => Some((lock, key)),
        _ => return Err(crate::data::DataError::OtherLock(data.to_owned()).into()),
    };
    let key = opened_file(seal, &key_path(data))?;
    let id = parse_key(&key, &key_path(data)).map_err(bad_key)?.id();
    let mut writer = BackupWriter::begin(to, sealed)?;
    writer.part(&Part::Head(Head { cairn: env!("CARGO_PKG_VERSION").into(), id, created: now, schema: SCHEMA }))?;
    writer.part(&Part::Key(key.to_vec()))?;
    if let Some(bytes) = if_there(small_file(&settings_path(data)))? {
        writer.part(&Part::Settings(bytes))?;
    }
    if let Some(bytes) = if_there(opened_file(seal, &netkeys::file_in(data)))? {
        writer.part(&Part::NetworkKey(bytes.to_vec()))?;
    }
    let mut failed = None;
    store.snapshot(&mut |item| {
        let record = match item {
            Item::Row(table, key, value) => Record::Row(table, key.to_vec(), value.to_vec()),
            Item::Entry(stored) => Record::Entry(stored),
        };
        failed = writer.record(record).err();
        failed.is_none()
    })?;
    if let Some(e) = failed {
        return Err(e);
    }
    let Written { entries, bytes, .. } = writer.finish()?;
    Ok(BackedUp { file: to.to_owned(), id, created: now, entries, bytes })
}

fn small_file(path: &Path) -> Result<Vec<u8>, BackupError> {
    let file = std::fs::File::open(path).map_err(BackupError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes).map_err(BackupError::io("read", path))?;
    Ok(bytes)
}

fn opened_file(seal: &Seal, path: &Path) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let bytes = Zeroizing::new(small_file(path)?);
    Ok(vault::open_file(seal, path, &bytes)?)
}

fn if_there<T>(read: Result<T, BackupError>) -> Result<Option<T>, BackupError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BackupError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn bad_key(e: crate::data::DataError) -> BackupError {
    BackupError::Store(StoreError::Io(e.to_string()))
}

/// Reads a backup whole, checks everything in it and lays it ready in `data`; [`DataFolder::settle`] puts it in place.
/// `replace`: also where the folder is in use already; what is there is kept aside then. `now` in milliseconds since
/// 1970. `here`: what the folder is sealed with, `key`: what the file is, if that is another key.
///
/// # Errors
/// [`BackupError`]; nothing has changed then.
pub fn prepare(
    data: &Path,
    here: &Seal,
    from: &Path,
    key: Option<DataKey>,
    replace: bool,
    now: u64,
) -> Result<Restored, BackupError> {
    if !replace && !swap::is_empty(data) {
        return Err(BackupError::InUse(data.to_owned()));
    }
    let new = swap::begin(data)?;
    let keys: Vec<DataKey> = here.key().cloned().into_iter().chain(key).collect();
    let restored = fill(data, here, &new, from, &keys).and_then(|restored| {
        swap::ready(data, &crate::store::utc(now / 1_000))?;
        Ok(restored)
    });
    if restored.is_err() {
        // The error that matters is the first one.
        let _ = swap::abandon(data);
    }
    restored
}

/// Fills a data folder on which nothing runs from a backup; `key`: what the file is sealed with, if it is, and not with the
/// folder's.
///
/// # Errors
/// [`BackupError`]; nothing has changed then, unless the last step fails: opening the folder goes on with it.
pub fn restore(
    folder: &mut DataFolder,
    from: &Path,
    key: Option<DataKey>,
    replace: bool,
    now: u64,
) -> Result<Restored, BackupError> {
    let mut restored = prepare(folder.path(), folder.seal(), from, key, replace, now)?;
    restored.kept = folder.settle()?;
    Ok(restored)
}

/// Writes what a backup holds as files into `new`.
fn fill(data: &Path, here: &Seal, new: &Path, from: &Path, keys: &[DataKey]) -> Result<Restored, BackupError> {
    let mut reader = BackupReader::open(from, keys)?;
    // The passphrase of now goes on to count where the key is the same, and where the file has none.
    let (lock, seal) = match (reader.sealed(), here.key()) {
        (None, None) => (None, Seal::NONE),
        (Some((lock, key)), own) if own != Some(key) => (Some(lock.clone()), Seal::from(key.clone())),
        (_, _) => (vault::lock_of(data)?, here.clone()),
    };
    if let Some(lock) = lock {
        write_atomically(&vault::lock_path(new), lock.text().as_bytes())?;
    }
    let at = reader.at();
    let damaged = |at, reason| BackupError::Damaged { path: from.to_owned(), at, reason };
    let Some(Part::Head(head)) = reader.next_part()? else {
        return Err(damaged(at, "it does not say what it is"));
    };
    if head.schema > SCHEMA {
        return Err(BackupError::Newer(from.to_owned()));
    }
    let at = reader.at();
    let Some(Part::Key(key)) = reader.next_part()? else { return Err(damaged(at, "it holds no key")) };
    if parse_key(&key, from).ok().map(|key| key.id()) != Some(head.id) {
        return Err(damaged(at, "its key is not that of its device"));
    }
    write_atomically(&key_path(new), &vault::seal_file(&seal, &key_path(new), &key))?;
    let (mut settings, mut network_key) = (false, false);
    let mut filling = Filling::new(&store_path(new), &seal)?;
    loop {
        let at = reader.at();
        let Some(part) = reader.next_part()? else { break };
        match part {
            Part::Settings(bytes) if !settings => {
                settings = true;
                let path = settings_path(new);
                write_atomically(&path, &bytes)?;
                Settings::load(&path).map_err(|_| damaged(at, "its settings are not right"))?;
            }
            Part::NetworkKey(bytes) if !network_key => {
                network_key = true;
                netkeys::parse(&bytes, from).map_err(|_| damaged(at, "its network key is not right"))?;
                let path = netkeys::file_in(new);
                write_atomically(&path, &vault::seal_file(&seal, &path, &bytes))?;
            }
            Part::Records(records) => {
                for record in records {
                    filling.take(record).map_err(|e| refused(e, from, at))?;
                }
            }
            Part::End { rows, entries } => {
                if (rows, entries) != (filling.rows, filling.entries) {
                    return Err(damaged(at, "it does not hold what it says"));
                }
            }
            _ => return Err(damaged(at, "a part stands where it does not belong")),
        }
    }
    let at = reader.at();
    let entries = filling.finish().map_err(|e| refused(e, from, at))?;
    if !settings {
        // So that the settings of before do not stay.
        write_atomically(&settings_path(new), b"{}\n")?;
    }
    // A restore opens no network: the key of before stays, sealed as the rest is.
    if !network_key && let Some(bytes) = if_there(opened_file(here, &netkeys::file_in(data)))? {
        let path = netkeys::file_in(new);
        write_atomically(&path, &vault::seal_file(&seal, &path, &bytes))?;
    }
    Ok(Restored { id: head.id, created: head.created, entries, kept: None })
}

/// What the store says of a record that no backup holds, as an error of the file.
fn refused(error: StoreError, from: &Path, at: u64) -> BackupError {
    match error {
        StoreError::Gap | StoreError::Reserved | StoreError::Damaged { .. } => {
            BackupError::Damaged { path: from.to_owned(), at, reason: "its entries do not belong together" }
        }
        error => BackupError::Store(error),
    }
}

/// Copies all that a store holds into a new one, which is sealed in its own way.
///
/// # Errors
/// [`BackupError`]; the new one is of no use then.
pub(crate) fn copy(store: &dyn Store, to: &Path, seal: &Seal) -> Result<(), BackupError> {
    let mut filling = Filling::new(to, seal)?;
    let mut failed = None;
    store.snapshot(&mut |item| {
        let record = match item {
            Item::Row(table, key, value) => Record::Row(table, key.to_vec(), value.to_vec()),
            Item::Entry(stored) => Record::Entry(stored),
        };
        failed = filling.take(record).err();
        failed.is_none()
    })?;
    match failed {
        Some(e) => Err(e.into()),
        None => Ok(filling.finish().map(drop)?),
    }
}

/// A new store that is filled.
struct Filling {
    store: RedbStore,
    batch: Vec<Write>,
    bytes: usize,
    /// The last entry, whose signature vouches for its log so far.
    last: Option<Arc<Entry>>,
    rows: u64,
    entries: u64,
}

impl Filling {
    fn new(path: &Path, seal: &Seal) -> Result<Self, BackupError> {
        let store = RedbStore::open_sealed(path, seal)?;
        Ok(Self { store, batch: Vec::new(), bytes: 0, last: None, rows: 0, entries: 0 })
    }

    fn take(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Row(table, key, value) => {
                self.rows = self.rows.saturating_add(1);
                self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
                self.batch.push(Write::Put(table, key, value));
            }
            Record::Entry(stored) => {
                self.entries = self.entries.saturating_add(1);
                let entry = stored.entry;
                let sound = |p: &Vec<u8>| payload_hash(p) == entry.header().payload_hash;
                if !entry.payload.as_ref().is_none_or(sound) {
                    return Err(StoreError::Gap);
                }
                let id = |e: &Entry| (e.header().space, e.header().log);
                if self.last.as_ref().is_some_and(|last| id(last) != id(&entry) && !last.signed.verify()) {
                    return Err(StoreError::Gap);
                }
                self.bytes = self.bytes.saturating_add(crate::store::encoded_len(&entry));
                self.last = Some(entry.clone());
                self.batch.push(Write::Append { entry, received: stored.received });
            }
        }
        if self.batch.len() < COMMIT_RECORDS && self.bytes < RESTORE_BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        self.store.commit(&std::mem::take(&mut self.batch))
    }

    /// Answers how many entries there are.
    fn finish(mut self) -> Result<u64, StoreError> {
        if self.last.take().is_some_and(|last| !last.signed.verify()) {
            return Err(StoreError::Gap);
        }
        self.flush()?;
        self.store.close();
        Ok(self.entries)
    }
}
