//! Content of entries, sealed with the key of an epoch. The payload is `nonce 24 · ciphertext · tag 16`.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroize;

use super::Epoch;
use crate::entry::{Header, MAX_PAYLOAD};

const NONCE: usize = 24;
const TAG: usize = 16;
/// How many bytes longer sealed content is.
pub const OVERHEAD: usize = NONCE + TAG;
/// Most content of one entry, in bytes.
pub const MAX_CONTENT: usize = MAX_PAYLOAD - OVERHEAD;

/// Where the payload's hash stands in a header's canonical bytes, from the end: before the payload's length.
const HASH_FROM_END: usize = 32 + 4;

/// Why content could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is larger than [`MAX_CONTENT`].
    #[error("{0} bytes are too many for one sealed entry")]
    TooLarge(usize),
    /// The header names another space, epoch or length.
    #[error("the header is not one of this epoch and length")]
    Header,
}

/// Why a payload could not be opened. The first two say nothing about the payload; the others are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The header names another space or epoch than that of the key.
    #[error("the entry is sealed with another key")]
    OtherEpoch,
    /// Its length is not the header's, or that of no sealed payload.
    #[error("the payload has {0} bytes, which no sealed one of this entry has")]
    Length(usize),
    /// It was not sealed with this key for this header, or was changed since.
    #[error("the payload does not open with the key that the entry names")]
    Forged,
}

/// The canonical bytes of a header with zeros for the payload's hash, which does not exist before the payload is sealed.
/// The signature covers that hash too.
fn associated(header: &Header) -> Vec<u8> {
    let mut bytes = header.encode();
    let at = bytes.len().saturating_sub(HASH_FROM_END);
    if let Some(hash) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..32)) {
        hash.fill(0);
    }
    bytes
}

impl Epoch {
    /// Seals the content of an entry. `header` is the entry's but for the payload's hash; it names this epoch, and its
    /// payload length is the content's and [`OVERHEAD`]. The same header and content give the same payload.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, header: &Header, content: &[u8]) -> Result<Vec<u8>, SealError> {
        if content.len() > MAX_CONTENT {
            return Err(SealError::TooLarge(content.len()));
        }
        let len = content.len().saturating_add(OVERHEAD);
        if header.epoch != self.id() || header.space != self.space() || header.payload_len as usize != len {
            return Err(SealError::Header);
        }
        let associated = associated(header);
        let nonce = self.nonce_of(&associated, content);
        let mut payload = Vec::with_capacity(len);
        payload.extend_from_slice(&nonce);
        payload.extend_from_slice(content);
        let Some(buffer) = payload.get_mut(NONCE..) else { return Err(SealError::Header) };
        let cipher = XChaCha20Poly1305::new(&self.content.into());
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), &associated, InOutBuf::from(buffer))
            .map_err(|_| SealError::TooLarge(content.len()))?;
        payload.extend_from_slice(&tag);
        Ok(payload)
    }

    /// Opens the payload of an entry.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, header: &Header, payload: &[u8]) -> Result<Vec<u8>, OpenError> {
        if header.epoch != self.id() || header.space != self.space() {
            return Err(OpenError::OtherEpoch);
        }
        let length = OpenError::Length(payload.len());
        if payload.len() > MAX_PAYLOAD || payload.len() != header.payload_len as usize {
            return Err(length);
        }
        let (nonce, rest) = payload.split_first_chunk::<NONCE>().ok_or(length)?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or(length)?;
        let mut content = sealed.to_vec();
        let cipher = XChaCha20Poly1305::new(&self.content.into());
        let buffer = InOutBuf::from(content.as_mut_slice());
        cipher
            .decrypt_inout_detached(&XNonce::from(*nonce), &associated(header), buffer, &(*tag).into())
            .map_err(|_| OpenError::Forged)?;
        Ok(content)
    }

    /// The nonce of an entry: see the head of [`super`].
    fn nonce_of(&self, associated: &[u8], content: &[u8]) -> [u8; NONCE] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce);
        hasher.update(&(associated.len() as u64).to_be_bytes()).update(associated).update(content);
        let mut nonce = [0; NONCE];
        hasher.finalize_xof().fill(&mut nonce);
        hasher.zeroize();
        nonce
    }
}
