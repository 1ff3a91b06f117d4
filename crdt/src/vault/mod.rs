//! At rest: what a data folder holds, sealed with a passphrase. Pure cryptography; which file or record is sealed where is
//! decided by whoever keeps them, and random bytes are arguments.
//!
//! | what | how |
//! |---|---|
//! | data key | 32 random bytes, made once a folder, from which one key for each use is derived by BLAKE3 ([`DataKey`]) |
//! | lock | the data key, sealed with XChaCha20-Poly1305 under a key that argon2id makes of the passphrase ([`Lock`]) |
//! | value | XChaCha20-Poly1305; what it is and where it stands (table and key, name of a file) is associated data ([`DataKey::seal`]) |
//! | row of fixed length | a keyed hash of place and row, 8 bytes, which also gives the bytes that it is masked with ([`DataKey::mask`]) |
//!
//! **Why a data key.** A changed passphrase seals 32 bytes anew, not the store; and what makes a guess dear is asked for once
//! a start.
//!
//! **Nonces are synthetic**: a keyed hash of place and value, under a key of its own (SIV; Rogaway and Shrimpton, 2006). A
//! folder can be copied, set back to a snapshot, or brought back from a backup, and a write that failed is tried again: with
//! a counter, or with randomness of a generator that was copied too, two values could share key and nonce. So made, they
//! share it only where place and value are the same. What it tells somebody who sees several states of a folder is which
//! value at one place is again what it was.
//!
//! **Exchanged values** do not open: each opens in its own place alone. **A masked row** holds what must keep its length. Its
//! check has 64 bits: a forged one passes with a chance of 2^-64 a try, and nobody tells a forger whether it did but the
//! owner, once.
//!
//! **A passphrase that does not fit** is told from a damaged lock by a checksum over the whole of it. A lock's costs are
//! bounded ([`Cost::MOST`]), so that a file from somewhere else takes 256 MiB at most.

mod lock;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use self::lock::{Cost, Lock, LockError, RANDOM};

const NONCE: usize = 24;
const TAG: usize = 16;
/// How many bytes longer a sealed value is.
pub const OVERHEAD: usize = NONCE + TAG;
/// Bytes of the check of a masked row.
pub const CHECK: usize = 8;

/// Which data key something is sealed with; says nothing about the key to who does not hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataTag(pub [u8; 16]);

#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    secret: [u8; 32],
    value: [u8; 32],
    nonce: [u8; 32],
    check: [u8; 32],
    mask: [u8; 32],
    proof: [u8; 32],
    #[zeroize(skip)]
    tag: DataTag,
}

/// The key that a folder is sealed with. Clones share it; it is wiped with the last of them.
#[derive(Clone)]
pub struct DataKey(Arc<Keys>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

impl PartialEq for DataKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.tag == other.0.tag
    }
}

impl Eq for DataKey {}

impl DataKey {
    /// The key of 32 random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut tag = Zeroizing::new(blake3::derive_key("cairn 2026 data key tag", secret));
        let mut front = [0; 16];
        front.iter_mut().zip(tag.iter()).for_each(|(f, t)| *f = *t);
        tag.zeroize();
        Self(Arc::new(Keys {
            secret: *secret,
            value: blake3::derive_key("cairn 2026 data key value", secret),
            nonce: blake3::derive_key("cairn 2026 data key nonce", secret),
            check: blake3::derive_key("cairn 2026 data key row check", secret),
            mask: blake3::derive_key("cairn 2026 data key row mask", secret),
            proof: blake3::derive_key("cairn 2026 data key proof", secret),
            tag: DataTag(front),
        }))
    }

    /// Which key this is.
    #[must_use]
    pub fn tag(&self) -> DataTag {
        self.0.tag
    }

    /// Seals a value for a place: nonce, ciphertext, tag. The same value in the same place gives the same bytes.
    #[must_use]
    pub fn seal(&self, place: &[&[u8]], value: &[u8]) -> Vec<u8> {
        let place = flat(place);
        let mut hasher = blake3::Hasher::new_keyed(&self.0.nonce);
        hasher.update(&(place.len() as u64).to_be_bytes()).update(&place).update(value);
        let mut nonce = [0; NONCE];
        nonce.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(n, h)| *n = *h);
        hasher.zeroize();
        let mut out = Vec::with_capacity(value.len().saturating_add(OVERHEAD));
        out.extend_from_slice(&nonce);
        out.extend_from_slice(value);
        let cipher = XChaCha20Poly1305::new(&self.0.value.into());
        let text = InOutBuf::from(out.get_mut(NONCE..).unwrap_or_default());
        // It fails only beyond 256 GiB.
        if let Ok(tag) = cipher.encrypt_inout_detached(&XNonce::from(nonce), &place, text) {
            out.extend_from_slice(&tag);
        }
        out
    }

    /// Opens what [`Self::seal`] sealed for this place; `None` where another key or place did, or it was changed.
    #[must_use]
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let mut value = text.to_vec();
        let cipher = XChaCha20Poly1305::new(&self.0.value.into());
        let buffer = InOutBuf::from(value.as_mut_slice());
        cipher.decrypt_inout_detached(&XNonce::from(*nonce), &flat(place), buffer, &(*tag).into()).ok()?;
        Some(value)
    }

    /// Masks a row in place; answers the check by which it is opened.
    #[must_use]
    pub fn mask(&self, place: &[&[u8]], row: &mut [u8]) -> [u8; CHECK] {
        let place = flat(place);
        let check = self.row_check(&place, row);
        self.apply(&place, &check, row);
        check
    }

    /// Opens a row that [`Self::mask`] masked for this place; `false` where another key or place did, or it was changed.
    #[must_use]
    pub fn unmask(&self, place: &[&[u8]], row: &mut [u8], check: &[u8; CHECK]) -> bool {
        let place = flat(place);
        self.apply(&place, check, row);
        // Nobody learns from how long this takes: it is asked of one's own disk.
        self.row_check(&place, row) == *check
    }

    /// What shows to a node that holds this key that somebody else holds it too: `challenge` is the node's.
    #[must_use]
    pub fn proof(&self, challenge: &[u8; 16]) -> blake3::Hash {
        blake3::keyed_hash(&self.0.proof, challenge)
    }

    /// Whether a proof is that of this key; takes as long wherever it differs.
    #[must_use]
    pub fn proves(&self, challenge: &[u8; 16], proof: &[u8; 32]) -> bool {
        self.proof(challenge) == blake3::Hash::from_bytes(*proof)
    }

    fn row_check(&self, place: &[u8], row: &[u8]) -> [u8; CHECK] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.check);
        hasher.update(&(place.len() as u64).to_be_bytes()).update(place).update(row);
        let mut check = [0; CHECK];
        check.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(c, h)| *c = *h);
        hasher.zeroize();
        check
    }

    fn apply(&self, place: &[u8], check: &[u8; CHECK], row: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.mask);
        hasher.update(check).update(place);
        let mut stream = Zeroizing::new(vec![0; row.len()]);
        hasher.finalize_xof().fill(&mut stream);
        hasher.zeroize();
        row.iter_mut().zip(stream.iter()).for_each(|(r, s)| *r ^= s);
    }
}

/// A place as bytes: each part preceded by its length, so that no two places are one.
fn flat(place: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(place.iter().map(|part| part.len().saturating_add(4)).sum());
    for part in place {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}
