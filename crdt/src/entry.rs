//! The entry: one signed step of a log, holding one Automerge change. The envelope (header, signature, chain) is
//! frozen at version 1; payload versions may grow.
//!
//! Canonical bytes, integers big endian:
//! ```text
//! version u8 · space 32 · document 18 · device 32 · incarnation 16 · seq u64 · prev 32 ·
//! flags u8 (bit 0: the author's previous entry is itself a dependency) ·
//! n u8 · n × (device 32 · incarnation 16 · seq u64 · hash 32) · m u8 · m × control head 32 ·
//! hlc u64 · epoch 32 · payload version u16 · payload hash 32 · payload length u32
//! ```
//! Dependencies are strictly ascending and lie in the same document; control heads are strictly ascending. The hash of
//! an entry covers header and signature, and `prev` is such a hash, so a relay cannot spoil an entry unseen. The
//! payload stands apart: it can be erased without breaking the chain.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hlc::Hlc;
use crate::identity::{DeviceKey, verify};
use crate::ids::{DeviceId, DocumentId, Domain, EntryHash, EpochId, Incarnation, LogId, SpaceId};

/// The version of the envelope.
pub const VERSION: u8 = 1;
/// The version of payloads that this build writes: one plain Automerge change chunk (`raw_bytes`).
pub const PAYLOAD_VERSION: u16 = 1;
/// Most dependencies of an entry; an author who sees more heads first folds them.
pub const MAX_DEPS: usize = 64;
/// Most control heads of an entry.
pub const MAX_CONTROL_HEADS: usize = 64;
/// Largest payload in bytes.
pub const MAX_PAYLOAD: usize = 256 * 1024;
/// Largest header in bytes.
pub const MAX_HEADER: usize = FIXED + MAX_DEPS * DEP_LEN + MAX_CONTROL_HEADS * 32;

const FIXED: usize = 1 + 32 + 18 + 32 + 16 + 8 + 32 + 1 + 1 + 1 + 8 + 32 + 2 + 32 + 4;
const DEP_LEN: usize = 32 + 16 + 8 + 32;
const SIGN_DOMAIN: &str = "cairn 2026 entry";

/// A dependency on an entry of another log of the same document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dep {
    /// The author depended on.
    pub device: DeviceId,
    /// Its start.
    pub incarnation: Incarnation,
    /// The entry's place in its log, from 1.
    pub seq: u64,
    /// The entry's hash.
    pub hash: EntryHash,
}

/// What an entry says, without its signature and payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The envelope's version.
    pub version: u8,
    /// The space written to.
    pub space: SpaceId,
    /// The log written to.
    pub log: LogId,
    /// The place in the log, from 1; also the Automerge sequence number.
    pub seq: u64,
    /// Hash of the log's previous entry; zero at seq 1.
    pub prev: EntryHash,
    /// Whether the change depends directly on the author's previous change.
    pub deps_on_prev: bool,
    /// Direct dependencies in other logs of the same document, strictly ascending.
    pub deps: Vec<Dep>,
    /// Heads of the control log that the author had seen, strictly ascending.
    pub control_heads: Vec<EntryHash>,
    /// The author's stamp.
    pub hlc: Hlc,
    /// The epoch whose key seals the payload, or [`EpochId::NONE`].
    pub epoch: EpochId,
    /// The payload's version.
    pub payload_version: u16,
    /// Hash of the payload's bytes.
    pub payload_hash: [u8; 32],
    /// Length of the payload in bytes.
    pub payload_len: u32,
}

impl Header {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(FIXED + self.deps.len() * DEP_LEN + self.control_heads.len() * 32);
        w.u8(self.version).bytes(&self.space.0).bytes(&self.log.to_bytes()).u64(self.seq).bytes(&self.prev.0);
        w.u8(u8::from(self.deps_on_prev)).u8(self.deps.len() as u8);
        for d in &self.deps {
            w.bytes(&d.device.0).bytes(&d.incarnation.0).u64(d.seq).bytes(&d.hash.0);
        }
        w.u8(self.control_heads.len() as u8);
        for h in &self.control_heads {
            w.bytes(&h.0);
        }
        w.u64(self.hlc.0)
            .bytes(&self.epoch.0)
            .u16(self.payload_version)
            .bytes(&self.payload_hash)
            .u32(self.payload_len);
        w.finish()
    }

    /// Reads canonical bytes from the front of `r`.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a canonical header of version 1 within the bounds.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != VERSION {
            return Err(DecodeError::Invalid("entry version"));
        }
        let space = SpaceId(r.array()?);
        let log = LogId {
            document: DocumentId(r.array()?),
            device: DeviceId(r.array()?),
            incarnation: Incarnation(r.array()?),
        };
        let seq = r.u64()?;
        let prev = EntryHash(r.array()?);
        if seq == 0 || (seq == 1) != (prev.0 == [0; 32]) {
            return Err(DecodeError::Invalid("sequence number"));
        }
        let flags = r.u8()?;
        if flags > 1 || (flags == 1 && seq == 1) {
            return Err(DecodeError::Invalid("flags"));
        }
        let n = usize::from(r.u8()?);
        if n > MAX_DEPS {
            return Err(DecodeError::Invalid("number of dependencies"));
        }
        let mut deps = Vec::with_capacity(n);
        for _ in 0..n {
            let d = Dep {
                device: DeviceId(r.array()?),
                incarnation: Incarnation(r.array()?),
                seq: r.u64()?,
                hash: EntryHash(r.array()?),
            };
            let own = d.device == log.device && d.incarnation == log.incarnation;
            if d.seq == 0 || own || deps.last().is_some_and(|last| *last >= d) {
                return Err(DecodeError::Invalid("dependency"));
            }
            deps.push(d);
        }
        let m = usize::from(r.u8()?);
        if m > MAX_CONTROL_HEADS {
            return Err(DecodeError::Invalid("number of control heads"));
        }
        let mut control_heads = Vec::with_capacity(m);
        for _ in 0..m {
            let h = EntryHash(r.array()?);
            if control_heads.last().is_some_and(|last| *last >= h) {
                return Err(DecodeError::Invalid("control head"));
            }
            control_heads.push(h);
        }
        let hlc = Hlc(r.u64()?);
        let epoch = EpochId(r.array()?);
        let payload_version = r.u16()?;
        let payload_hash = r.array()?;
        let payload_len = r.u32()?;
        if payload_len as usize > MAX_PAYLOAD {
            return Err(DecodeError::Invalid("payload length"));
        }
        Ok(Self {
            version,
            space,
            log,
            seq,
            prev,
            deps_on_prev: flags == 1,
            deps,
            control_heads,
            hlc,
            epoch,
            payload_version,
            payload_hash,
            payload_len,
        })
    }
}

/// A signed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    /// What is said.
    pub header: Header,
    /// The author's Ed25519 signature of the canonical bytes.
    pub signature: [u8; 64],
    /// BLAKE3 of canonical bytes and signature.
    pub hash: EntryHash,
}

impl SignedHeader {
    /// Signs a header. The key must be that of `header.log.device`.
    #[must_use]
    pub fn sign(header: Header, key: &DeviceKey) -> Self {
        let bytes = header.encode();
        let signature = key.sign(SIGN_DOMAIN, &bytes);
        let hash = hash_of(&bytes, &signature);
        Self { header, signature, hash }
    }

    /// Whether the signature is the author's (`verify_strict`).
    #[must_use]
    pub fn verify(&self) -> bool {
        let bytes = self.header.encode();
        let good = || verify(&self.header.log.device, SIGN_DOMAIN, &bytes, &self.signature);
        #[cfg(any(test, feature = "planted"))]
        return crate::planted::remembered(hash_of(&bytes, &self.signature).0, good);
        #[cfg(not(any(test, feature = "planted")))]
        good()
    }

    /// Canonical bytes of header and signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut b = self.header.encode();
        b.extend_from_slice(&self.signature);
        b
    }

    /// Reads header and signature from the front of `r`; does not verify.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not canonical.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut from = r.clone();
        let header = Header::decode(r)?;
        // A header has one encoding: what was read is what would be written.
        let bytes = from.take(from.remaining().saturating_sub(r.remaining()))?;
        let signature = r.array()?;
        let hash = hash_of(bytes, &signature);
        Ok(Self { header, signature, hash })
    }
}

fn hash_of(header: &[u8], signature: &[u8; 64]) -> EntryHash {
    static DOMAIN: Domain = Domain::new("cairn 2026 entry hash");
    EntryHash(DOMAIN.hash(&[header, signature]))
}

/// The hash that a header gives for its payload.
#[must_use]
pub fn payload_hash(payload: &[u8]) -> [u8; 32] {
    static DOMAIN: Domain = Domain::new("cairn 2026 payload");
    DOMAIN.hash(&[payload])
}

/// A signed header with its payload, or without where the payload was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Header, signature and hash.
    pub signed: SignedHeader,
    /// The payload, whose hash and length the header gives; `None` once erased.
    pub payload: Option<Vec<u8>>,
}

impl Entry {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.signed.header
    }

    /// The entry's hash.
    #[must_use]
    pub fn hash(&self) -> EntryHash {
        self.signed.hash
    }

    /// Length of [`Self::encode`] in bytes while the payload is there; the same for everybody, erased or not.
    #[must_use]
    pub fn whole_len(&self) -> usize {
        let h = self.header();
        FIXED + h.deps.len() * DEP_LEN + h.control_heads.len() * 32 + 64 + 1 + h.payload_len as usize
    }

    /// Bytes on the wire and in the store: header, signature, a flag, payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut b = self.signed.encode();
        match &self.payload {
            Some(p) => {
                b.push(1);
                b.extend_from_slice(p);
            }
            None => b.push(0),
        }
        b
    }

    /// Reads one entry that fills `bytes`. Payload length and hash are checked, the signature is not.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a canonical entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let signed = SignedHeader::decode(&mut r)?;
        let payload = match r.u8()? {
            0 => None,
            1 => {
                let p = r.take(signed.header.payload_len as usize)?;
                if payload_hash(p) != signed.header.payload_hash {
                    return Err(DecodeError::Invalid("payload hash"));
                }
                Some(p.to_vec())
            }
            _ => return Err(DecodeError::Invalid("payload flag")),
        };
        r.finish()?;
        Ok(Self { signed, payload })
    }
}
