//! The backup file: one stream, written and read front to back, so that it fits any medium and any size.
//!
//! ```text
//! file   = "cairn backup 01\n" · block … block
//! block  = kind u8 · length u32 · body · check 32
//! check  = BLAKE3 over the check of the block before (zeros before the first), kind and body
//! ```
//! | kind | body |
//! |---|---|
//! | 1 head | JSON: `cairn` (version), `id` (device), `created` (milliseconds since 1970), `schema` (of the store) |
//! | 2 key | the key file |
//! | 3 settings | the settings file; not there where there was none |
//! | 4 records | records of the store, as many as fit |
//! | 5 end | rows u64 · entries u64; nothing follows |
//! | 6 network key | the file of the network's key, before the records; not there where there was none |
//! | 7 lock | of a sealed backup, before all else and in the clear: the lock of the folder that it is of (`vault::Lock`) |
//!
//! The backup of a folder with a passphrase is sealed: version 02, and the body of every block but the first is sealed with
//! the folder's data key, for its kind and the check of the block before. So a block opens behind the one that it was
//! written behind, and the file is read wherever it is brought back with the passphrase of then.
//!
//! A record is a row of a small table (tag 1 · name of the table: length u8, text · key: length u32, bytes · value: the
//! same) or an entry (tag 2 · received u64 · length u32 · entry with its payload as on the wire). Entries of a log come
//! in order. Integers are big endian. The chain of checks tells a block that is damaged, missing or out of place, the
//! end a file that was cut. The two digits are the version: a reader refuses a greater one.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_crdt::codec::{DecodeError, Reader, Writer};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, domain_hash};
use cairn_crdt::vault::{DataKey, Lock};
use serde::{Deserialize, Serialize};

use crate::data::{DataError, owner_only, sync_folder};
use crate::limits::{BACKUP_BLOCK, BACKUP_BLOCK_MAX};
use crate::store::{Seal, StoreError, Stored, Table, tables};

const MAGIC: &[u8; 16] = b"cairn backup 01\n";
/// Of a sealed one.
const MAGIC_SEALED: &[u8; 16] = b"cairn backup 02\n";
/// Kind of the block that holds the lock.
const LOCK: u8 = 7;
/// What a file of any version starts with.
const MAGIC_FRONT: &[u8] = b"cairn backup ";

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file of that name.
    #[error("{} is there already: a backup never replaces a file", .0.display())]
    Exists(PathBuf),
    /// The file is something else.
    #[error("{} is not a backup of Cairn", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a newer Cairn.
    #[error("{} was written by a newer Cairn", .0.display())]
    Newer(PathBuf),
    /// The file ends before its end.
    #[error("{} is not complete: it ends after {at} bytes, in the middle of the backup", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        at: u64,
    },
    /// The file is not what was written.
    #[error("{} is damaged near byte {at}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged block begins.
        at: u64,
        /// What was found.
        reason: &'static str,
    },
    /// The file is sealed, and there is no key for it.
    #[error("{} is sealed with a passphrase", .0.display())]
    Sealed(PathBuf),
    /// No space left.
    #[error("the disk is full: {} cannot be written", .0.display())]
    Full(PathBuf),
    /// The operating system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is something to restore over.
    #[error("{} is in use: --replace restores over it and keeps what is there aside", .0.display())]
    InUse(PathBuf),
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The store that is saved or filled.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    pub(super) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            _ => Self::Io { what, path: path.to_owned(), error },
        }
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the Cairn that wrote it.
    pub cairn: String,
    /// The device.
    pub id: DeviceId,
    /// When it was written, milliseconds since 1970.
    pub created: u64,
    /// Schema of the store it was written from.
    pub schema: u32,
}

/// Something of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A row of a small table.
    Row(Table, Vec<u8>, Vec<u8>),
    /// An entry.
    Entry(Stored),
}

/// A part of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What it says of itself; always first.
    Head(Head),
    /// The key file.
    Key(Vec<u8>),
    /// The settings file.
    Settings(Vec<u8>),
    /// The file of the network's key.
    NetworkKey(Vec<u8>),
    /// Some of the store.
    Records(Vec<Record>),
    /// That was all.
    End {
        /// Rows of small tables.
        rows: u64,
        /// Entries.
        entries: u64,
    },
}

impl Part {
    fn kind(&self) -> u8 {
        match self {
            Self::Head(_) => 1,
            Self::Key(_) => 2,
            Self::Settings(_) => 3,
            Self::Records(_) => 4,
            Self::End { .. } => 5,
            Self::NetworkKey(_) => 6,
        }
    }

    fn body(&self) -> Vec<u8> {
        match self {
            Self::Head(head) => serde_json::to_vec(head).unwrap_or_default(),
            Self::Key(bytes) | Self::Settings(bytes) | Self::NetworkKey(bytes) => bytes.clone(),
            Self::Records(records) => {
                let mut w = Writer::with_capacity(BACKUP_BLOCK);
                records.iter().for_each(|record| encode(record, &mut w));
                w.finish()
            }
            Self::End { rows, entries } => {
                let mut w = Writer::with_capacity(16);
                w.u64(*rows).u64(*entries);
                w.finish()
            }
        }
    }

    fn decode(kind: u8, body: Vec<u8>) -> Result<Self, DecodeError> {
        let mut r = Reader::new(&body);
        Ok(match kind {
            1 => Self::Head(serde_json::from_slice(&body).map_err(|_| DecodeError::Invalid("head"))?),
            2 => Self::Key(body),
            3 => Self::Settings(body),
            4 => {
                let mut records = Vec::new();
                while r.remaining() > 0 {
                    records.push(decode(&mut r)?);
                }
                Self::Records(records)
            }
            5 => {
                let (rows, entries) = (r.u64()?, r.u64()?);
                r.finish()?;
                Self::End { rows, entries }
            }
            6 => Self::NetworkKey(body),
            _ => return Err(DecodeError::Invalid("kind of block")),
        })
    }
}

/// Bytes of a record in a block.
fn length(record: &Record) -> usize {
    match record {
        Record::Row(table, key, value) => {
            10usize.saturating_add(tables::name(*table).len()).saturating_add(key.len()).saturating_add(value.len())
        }
        Record::Entry(stored) => 13usize.saturating_add(crate::store::encoded_len(&stored.entry)),
    }
}

fn encode(record: &Record, w: &mut Writer) {
    // Nothing in a store comes near 4 GiB, and a longer part is refused when its block is written.
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match record {
        Record::Row(table, key, value) => {
            let name = tables::name(*table).as_bytes();
            w.u8(1).u8(u8::try_from(name.len()).unwrap_or(u8::MAX)).bytes(name);
            w.u32(len(key)).bytes(key).u32(len(value)).bytes(value);
        }
        Record::Entry(stored) => {
            let entry = stored.entry.encode();
            w.u8(2).u64(stored.received).u32(len(&entry)).bytes(&entry);
        }
    }
}

fn decode(r: &mut Reader<'_>) -> Result<Record, DecodeError> {
    let part = |r: &mut Reader<'_>| {
        let len = usize::try_from(r.u32()?).map_err(|_| DecodeError::Invalid("length"))?;
        r.take(len).map(<[u8]>::to_vec)
    };
    match r.u8()? {
        1 => {
            let len = usize::from(r.u8()?);
            let table = tables::named(r.take(len)?).ok_or(DecodeError::Invalid("table"))?;
            Ok(Record::Row(table, part(r)?, part(r)?))
        }
        2 => {
            let received = r.u64()?;
            let entry = Arc::new(Entry::decode(&part(r)?)?);
            Ok(Record::Entry(Stored { entry, received }))
        }
        _ => Err(DecodeError::Invalid("record")),
    }
}

/// Where a block is sealed for.
fn place<'a>(kind: &'a [u8; 1], before: &'a [u8; 32]) -> [&'a [u8]; 3] {
    [b"block of a backup", kind, before]
}

fn check(before: &[u8; 32], kind: u8, body: &[u8]) -> [u8; 32] {
    domain_hash("cairn 2026 backup block", &[before, &[kind], body])
}

/// Writes a backup. The file has its name only once it is whole; one that is dropped before leaves nothing.
#[derive(Debug)]
pub struct BackupWriter {
    path: PathBuf,
    part: PathBuf,
    out: Option<BufWriter<File>>,
    seal: Seal,
    check: [u8; 32],
    records: Vec<Record>,
    size: usize,
    rows: u64,
    entries: u64,
    bytes: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows of small tables.
    pub rows: u64,
    /// Entries.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
}

impl BackupWriter {
    /// Begins a file, owner-only; `sealed`: with the key that this lock holds.
    ///
    /// # Errors
    /// [`BackupError::Exists`], or what the system refuses.
    pub fn begin(path: &Path, sealed: Option<(&Lock, &DataKey)>) -> Result<Self, BackupError> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(path.to_owned()));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        // What a crash has left of an earlier one.
        match std::fs::remove_file(&part) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(BackupError::io("replace", &part)(e)),
            _ => {}
        }
        let file = owner_only(OpenOptions::new().write(true).create_new(true))
            .open(&part)
            .map_err(BackupError::io("make", &part))?;
        let mut writer = Self {
            path: path.to_owned(),
            part,
            out: Some(BufWriter::new(file)),
            seal: sealed.map_or(Seal::NONE, |(_, key)| key.clone().into()),
            check: [0; 32],
            records: Vec::new(),
            size: 0,
            rows: 0,
            entries: 0,
            bytes: 0,
        };
        match sealed {
            None => writer.write(MAGIC)?,
            Some((lock, _)) => {
                writer.write(MAGIC_SEALED)?;
                writer.block(LOCK, lock.text().as_bytes())?;
            }
        }
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        match &mut self.out {
            Some(out) => out.write_all(bytes).map_err(BackupError::io("write", &self.path)),
            None => Ok(()),
        }
    }

    /// Writes a part as a block of its own.
    ///
    /// # Errors
    /// What the system refuses; a part too large for a block.
    pub fn part(&mut self, part: &Part) -> Result<(), BackupError> {
        let (kind, body) = (part.kind(), part.body());
        match self.seal.key() {
            Some(key) => self.block(kind, &key.seal(&place(&[kind], &self.check), &body)),
            None => self.block(kind, &body),
        }
    }

    fn block(&mut self, kind: u8, body: &[u8]) -> Result<(), BackupError> {
        let too_large = || StoreError::Io("a record is too large for a backup".into());
        let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= BACKUP_BLOCK_MAX).ok_or_else(too_large)?;
        self.check = check(&self.check, kind, body);
        self.write(&[kind])?;
        self.write(&len.to_be_bytes())?;
        self.write(body)?;
        self.write(&self.check.clone())
    }

    /// Adds a record; written when a block is full.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub fn record(&mut self, record: Record) -> Result<(), BackupError> {
        match &record {
            Record::Row(..) => self.rows = self.rows.saturating_add(1),
            Record::Entry(_) => self.entries = self.entries.saturating_add(1),
        }
        let length = length(&record);
        if self.size.saturating_add(length) > BACKUP_BLOCK {
            self.flush()?;
        }
        self.size = self.size.saturating_add(length);
        self.records.push(record);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.size = 0;
        match std::mem::take(&mut self.records) {
            records if records.is_empty() => Ok(()),
            records => self.part(&Part::Records(records)),
        }
    }

    /// Ends the file, brings it to the medium and gives it its name.
    ///
    /// # Errors
    /// What the system refuses; [`BackupError::Exists`] where the name was taken meanwhile.
    pub fn finish(mut self) -> Result<Written, BackupError> {
        self.flush()?;
        self.part(&Part::End { rows: self.rows, entries: self.entries })?;
        let Some(mut out) = self.out.take() else { return Err(BackupError::Exists(self.path.clone())) };
        let synced = out.flush().and_then(|()| out.get_ref().sync_all());
        drop(out);
        let named =
            synced.map_err(BackupError::io("write", &self.path)).and_then(|()| give_name(&self.part, &self.path));
        let _ = std::fs::remove_file(&self.part);
        named?;
        sync_folder(&self.path).map_err(BackupError::io("write", &self.path))?;
        Ok(Written { rows: self.rows, entries: self.entries, bytes: self.bytes })
    }
}

/// A second name fails where the first is taken, which a renaming does not. Media without second names (FAT) get the
/// renaming; the name was free when the backup began.
fn give_name(part: &Path, path: &Path) -> Result<(), BackupError> {
    match std::fs::hard_link(part, path) {
        Ok(()) => Ok(()),
        Err(_) if path.symlink_metadata().is_ok() => Err(BackupError::Exists(path.to_owned())),
        Err(_) => std::fs::rename(part, path).map_err(BackupError::io("name", path)),
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // Half a backup is of no use.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Reads a backup.
#[derive(Debug)]
pub struct BackupReader {
    path: PathBuf,
    input: BufReader<File>,
    /// What it is sealed with, and the lock that it holds.
    sealed: Option<(Lock, Option<DataKey>)>,
    check: [u8; 32],
    /// Bytes read so far.
    at: u64,
    ended: bool,
}

impl BackupReader {
    /// Opens a file and looks at its front; a sealed one with one of `keys`.
    ///
    /// # Errors
    /// [`BackupError::Foreign`], [`BackupError::Newer`], [`BackupError::Sealed`] where no key is the right one, or what the
    /// system refuses.
    pub fn open(path: &Path, keys: &[DataKey]) -> Result<Self, BackupError> {
        let mut reader = Self::look(path)?;
        if let Some((lock, key)) = &mut reader.sealed {
            *key = keys.iter().find(|key| key.tag() == lock.tag()).cloned();
            if key.is_none() {
                return Err(BackupError::Sealed(reader.path));
            }
        }
        Ok(reader)
    }

    /// The lock of a sealed backup.
    ///
    /// # Errors
    /// As [`Self::open`], but for `Sealed`.
    pub fn lock(path: &Path) -> Result<Option<Lock>, BackupError> {
        Ok(Self::look(path)?.sealed.map(|(lock, _)| lock))
    }

    /// With what the backup is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<(&Lock, &DataKey)> {
        self.sealed.as_ref().and_then(|(lock, key)| Some((lock, key.as_ref()?)))
    }

    fn look(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(BackupError::io("open", path))?;
        let mut reader = Self {
            path: path.to_owned(),
            input: BufReader::new(file),
            sealed: None,
            check: [0; 32],
            at: 0,
            ended: false,
        };
        let front = reader.read(MAGIC.len())?;
        if front == MAGIC {
            return Ok(reader);
        }
        if front == MAGIC_SEALED {
            let at = reader.at;
            let (kind, body) = reader.block()?;
            let lock = Lock::parse(&body).ok().filter(|_| kind == LOCK);
            let damaged = BackupError::Damaged { path: path.to_owned(), at, reason: "it does not hold its lock" };
            reader.sealed = Some((lock.ok_or(damaged)?, None));
            return Ok(reader);
        }
        let digits = front.strip_prefix(MAGIC_FRONT).and_then(|rest| rest.strip_suffix(b"\n"));
        Err(match digits {
            Some([a, b]) if (*a, *b) > (b'0', b'2') && a.is_ascii_digit() && b.is_ascii_digit() => {
                BackupError::Newer(reader.path)
            }
            _ if !front.is_empty() && MAGIC.starts_with(&front) => {
                BackupError::Truncated { path: reader.path, at: reader.at }
            }
            _ => BackupError::Foreign(reader.path),
        })
    }

    /// Up to so many bytes; fewer at the end of the file.
    fn read(&mut self, len: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        let limit = len as u64;
        (&mut self.input).take(limit).read_to_end(&mut bytes).map_err(BackupError::io("read", &self.path))?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    fn exactly(&mut self, len: usize) -> Result<Vec<u8>, BackupError> {
        let bytes = self.read(len)?;
        if bytes.len() == len {
            return Ok(bytes);
        }
        Err(BackupError::Truncated { path: self.path.clone(), at: self.at })
    }

    /// The next part; `None` after the end.
    ///
    /// # Errors
    /// [`BackupError::Truncated`], [`BackupError::Damaged`], or what the system refuses.
    pub fn next_part(&mut self) -> Result<Option<Part>, BackupError> {
        let at = self.at;
        let damaged = |path: &Path, reason| BackupError::Damaged { path: path.to_owned(), at, reason };
        if self.ended {
            return match self.read(1)?.is_empty() {
                true => Ok(None),
                false => Err(damaged(&self.path, "something follows its end")),
            };
        }
        let before = self.check;
        let (kind, mut body) = self.block()?;
        if let Some((_, key)) = &self.sealed {
            let key = key.as_ref().ok_or_else(|| BackupError::Sealed(self.path.clone()))?;
            let opened = key.open(&place(&[kind], &before), &body);
            body = opened.ok_or_else(|| damaged(&self.path, "a block does not open with its key"))?;
        }
        let part = Part::decode(kind, body).map_err(|_| damaged(&self.path, "a block holds what no backup holds"))?;
        self.ended = matches!(part, Part::End { .. });
        Ok(Some(part))
    }

    fn block(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let at = self.at;
        let damaged = |path: &Path, reason| BackupError::Damaged { path: path.to_owned(), at, reason };
        let front = self.exactly(5)?;
        let mut r = Reader::new(&front);
        let (Ok(kind), Ok(len)) = (r.u8(), r.u32()) else { return Err(damaged(&self.path, "a block")) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > BACKUP_BLOCK_MAX {
            return Err(damaged(&self.path, "a block is longer than any can be"));
        }
        let body = self.exactly(len)?;
        self.check = check(&self.check, kind, &body);
        if self.exactly(32)? != self.check {
            return Err(damaged(&self.path, "a block does not match its check"));
        }
        Ok((kind, body))
    }

    /// Where the next block begins.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }
}
