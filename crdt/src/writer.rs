//! The pen of one log: turns payloads into signed, chained entries.

use crate::entry::{Dep, Entry, Header, MAX_PAYLOAD, PAYLOAD_VERSION, SignedHeader, VERSION, payload_hash};
use crate::hlc::Hlc;
use crate::identity::DeviceKey;
use crate::ids::{EntryHash, EpochId, LogId, SpaceId};
use crate::seal::{Epoch, OVERHEAD, SealError};

/// Why an entry could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The payload is larger than [`MAX_PAYLOAD`].
    #[error("{0} bytes are too many for one entry")]
    TooLarge(usize),
    /// It could not be sealed.
    #[error("{0}")]
    Seal(#[from] SealError),
}

/// What an entry names beside its payload.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Whether the change depends directly on the author's previous one (never at the first entry).
    pub on_prev: bool,
    /// Dependencies on other logs of the document.
    pub deps: Vec<Dep>,
    /// The control heads seen.
    pub control_heads: Vec<EntryHash>,
}

/// The end of a log: how many entries it has and the hash of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTip {
    /// Entries in the log.
    pub seq: u64,
    /// Hash of the last; zero when there is none.
    pub hash: EntryHash,
}

impl LogTip {
    /// The tip of an empty log.
    pub const EMPTY: Self = Self { seq: 0, hash: EntryHash([0; 32]) };
}

/// Writes one log. An entry that could not be committed is taken back with [`LogWriter::rollback`], or else the next
/// one would leave a gap.
#[derive(Debug, Clone)]
pub struct LogWriter {
    key: DeviceKey,
    space: SpaceId,
    log: LogId,
    tip: LogTip,
    payload_version: u16,
}

impl LogWriter {
    /// A writer that goes on after `tip`. `log.device` must be the key's.
    #[must_use]
    pub fn new(key: DeviceKey, space: SpaceId, log: LogId, tip: LogTip) -> Self {
        Self { key, space, log, tip, payload_version: PAYLOAD_VERSION }
    }

    /// The same for payloads of another version than this build's.
    #[must_use]
    pub fn of_version(self, payload_version: u16) -> Self {
        Self { payload_version, ..self }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// Where the log ends.
    #[must_use]
    pub fn tip(&self) -> LogTip {
        self.tip
    }

    /// Signs the next entry of a single-writer log: it depends on the previous one alone.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`].
    pub fn write(&mut self, payload: Vec<u8>, hlc: Hlc) -> Result<Entry, WriteError> {
        let on_prev = self.tip.seq > 0;
        self.write_with(payload, hlc, on_prev, Vec::new(), Vec::new())
    }

    /// Signs the next entry with dependencies on other logs of the document and the control heads seen; both are
    /// sorted here. `on_prev`: the change depends directly on the author's previous one (never at the first entry).
    ///
    /// # Errors
    /// [`WriteError::TooLarge`].
    pub fn write_with(
        &mut self,
        payload: Vec<u8>,
        hlc: Hlc,
        on_prev: bool,
        deps: Vec<Dep>,
        control_heads: Vec<EntryHash>,
    ) -> Result<Entry, WriteError> {
        let mut header = self.header(payload.len(), hlc, Named { on_prev, deps, control_heads })?;
        header.payload_hash = payload_hash(&payload);
        Ok(self.sign(header, payload))
    }

    /// The same with its content sealed with the key of an epoch of the space.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_sealed(&mut self, content: &[u8], hlc: Hlc, named: Named, epoch: &Epoch) -> Result<Entry, WriteError> {
        let mut header = self.header(content.len().saturating_add(OVERHEAD), hlc, named)?;
        header.epoch = epoch.id();
        let payload = epoch.seal(&header, content)?;
        header.payload_hash = payload_hash(&payload);
        Ok(self.sign(header, payload))
    }

    /// The next header but for the payload's hash, unsealed.
    fn header(&self, payload_len: usize, hlc: Hlc, named: Named) -> Result<Header, WriteError> {
        let Named { on_prev, mut deps, mut control_heads } = named;
        let too_large = WriteError::TooLarge(payload_len);
        let payload_len = u32::try_from(payload_len).ok().filter(|n| *n as usize <= MAX_PAYLOAD).ok_or(too_large)?;
        deps.sort_unstable();
        deps.dedup();
        control_heads.sort_unstable();
        control_heads.dedup();
        Ok(Header {
            version: VERSION,
            space: self.space,
            log: self.log,
            seq: self.tip.seq.saturating_add(1),
            prev: self.tip.hash,
            deps_on_prev: on_prev && self.tip.seq > 0,
            deps,
            control_heads,
            hlc,
            epoch: EpochId::NONE,
            payload_version: self.payload_version,
            payload_hash: [0; 32],
            payload_len,
        })
    }

    fn sign(&mut self, header: Header, payload: Vec<u8>) -> Entry {
        let signed = SignedHeader::sign(header, &self.key);
        self.tip = LogTip { seq: signed.header.seq, hash: signed.hash };
        Entry { signed, payload: Some(payload) }
    }

    /// Takes back what was written after `tip`.
    pub fn rollback(&mut self, tip: LogTip) {
        self.tip = tip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DocumentId, Incarnation};

    #[test]
    fn entries_chain_and_a_failed_commit_leaves_no_gap() {
        let key = DeviceKey::from_seed(&[7; 32]);
        let log = LogId { document: DocumentId::chat(1, 0), device: key.id(), incarnation: Incarnation([1; 16]) };
        let mut w = LogWriter::new(key, SpaceId([9; 32]), log, LogTip::EMPTY);
        let a = w.write(b"a".to_vec(), Hlc(1)).unwrap();
        let tip = w.tip();
        let lost = w.write(b"b".to_vec(), Hlc(2)).unwrap();
        w.rollback(tip);
        let b = w.write(b"c".to_vec(), Hlc(3)).unwrap();
        assert_eq!((a.header().seq, b.header().seq, lost.header().seq), (1, 2, 2));
        assert_eq!((b.header().prev, b.header().deps_on_prev, a.header().deps_on_prev), (a.hash(), true, false));
        assert!(a.signed.verify() && b.signed.verify());
        assert_eq!(Entry::decode(&b.encode()).unwrap(), b);
        assert_eq!(w.write(vec![0; MAX_PAYLOAD + 1], Hlc(4)), Err(WriteError::TooLarge(MAX_PAYLOAD + 1)));
    }
}
