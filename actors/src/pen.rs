//! A pen: what this start of this device writes one document with. Author and chain together, rebuilt from the store
//! when the documents actor was restarted in the middle of a log.

use std::sync::Arc;

use cairn_crdt::author::{Author, AuthorError};
use cairn_crdt::entry::{Entry, Header};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{EntryHash, LogId, SpaceId};
use cairn_crdt::kinds::chat::ChatAuthor;
use cairn_crdt::known::Known;
use cairn_crdt::seal::{Epoch, Keys};
use cairn_crdt::writer::{LogTip, LogWriter, Named, WriteError};

use crate::limits::BATCH_BYTES;
use crate::store::{Store, StoreError};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PenError {
    /// The document refuses it.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// The entry refuses it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is nothing to seal it with.
    #[error("there is no key to seal it with")]
    NoKey,
    /// The log could not be read again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a pen authors with.
pub trait Chain: Sized {
    /// An empty chain.
    fn new(log: LogId, known: &Known) -> Self;
    /// Takes an entry that was written before, and what it holds.
    ///
    /// # Errors
    /// [`AuthorError`] if it is not the next of the log.
    fn replay(&mut self, header: &Header, raw: &[u8]) -> Result<(), AuthorError>;
}

impl Chain for Author {
    fn new(log: LogId, known: &Known) -> Self {
        Self::knowing(log, known)
    }
    fn replay(&mut self, header: &Header, raw: &[u8]) -> Result<(), AuthorError> {
        self.replay_opened(header, raw)
    }
}

impl Chain for ChatAuthor {
    fn new(log: LogId, known: &Known) -> Self {
        Self::knowing(log, known)
    }
    fn replay(&mut self, header: &Header, raw: &[u8]) -> Result<(), AuthorError> {
        self.replay_opened(header, raw)
    }
}

/// A pen.
#[derive(Debug)]
pub struct Pen<C> {
    chain: C,
    writer: LogWriter,
}

impl<C: Chain> Pen<C> {
    /// The pen of a log, with what is in the store already; `keys` open what of it is sealed.
    ///
    /// # Errors
    /// [`PenError`] where the log cannot be read.
    pub fn open(
        key: &DeviceKey,
        space: SpaceId,
        log: LogId,
        store: &dyn Store,
        known: &Known,
        keys: &Keys,
    ) -> Result<Self, PenError> {
        let version = known.version(log.document.kind()).ok_or(AuthorError::UnknownKind)?;
        let mut chain = C::new(log, known);
        let mut tip = LogTip::EMPTY;
        loop {
            let batch = store.entries(&space, &log, tip.seq.saturating_add(1), BATCH_BYTES)?;
            let Some(last) = batch.last() else { break };
            let end = LogTip { seq: last.entry.header().seq, hash: last.entry.hash() };
            for stored in &batch {
                let header = stored.entry.header();
                let payload = stored.entry.payload.as_deref().ok_or(AuthorError::NotNext)?;
                chain.replay(header, &keys.open(header, payload).map_err(|_| AuthorError::Sealed)?)?;
            }
            tip = end;
        }
        Ok(Self { chain, writer: LogWriter::new(key.clone(), space, log, tip).of_version(version) })
    }

    /// The hash of the last entry written, durable or not.
    pub fn last(&self) -> Option<EntryHash> {
        let tip = self.writer.tip();
        (tip.seq > 0).then_some(tip.hash)
    }

    /// Authors a payload and signs its entry.
    ///
    /// # Errors
    /// [`PenError`]; the log is as it was before.
    pub fn write(
        &mut self,
        hlc: Hlc,
        author: impl FnOnce(&mut C) -> Result<Vec<u8>, AuthorError>,
    ) -> Result<Arc<Entry>, PenError> {
        let payload = author(&mut self.chain)?;
        Ok(Arc::new(self.writer.write(payload, hlc)?))
    }

    /// The same with what it holds sealed; the entry names heads of the control log, by which the key may be used.
    ///
    /// # Errors
    /// [`PenError`]; the log is as it was before.
    pub fn write_sealed(
        &mut self,
        hlc: Hlc,
        heads: Vec<EntryHash>,
        epoch: &Epoch,
        author: impl FnOnce(&mut C) -> Result<Vec<u8>, AuthorError>,
    ) -> Result<Arc<Entry>, PenError> {
        let content = author(&mut self.chain)?;
        let named = Named { on_prev: true, deps: Vec::new(), control_heads: heads };
        Ok(Arc::new(self.writer.write_sealed(&content, hlc, named, epoch)?))
    }

    /// The same for an entry that names heads of the control log which its author has seen.
    ///
    /// # Errors
    /// [`PenError`]; the log is as it was before.
    pub fn write_over(
        &mut self,
        hlc: Hlc,
        heads: Vec<EntryHash>,
        author: impl FnOnce(&mut C) -> Result<Vec<u8>, AuthorError>,
    ) -> Result<Arc<Entry>, PenError> {
        let payload = author(&mut self.chain)?;
        Ok(Arc::new(self.writer.write_with(payload, hlc, true, Vec::new(), heads)?))
    }
}
