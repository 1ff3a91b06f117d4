//! The key of a network: who holds it finds and reaches the others, who does not sees sealed bytes.
//!
//! A passphrase becomes 32 secret bytes by argon2id (RFC 9106) with 64 MiB and 3 passes, and those become one key for
//! each use by BLAKE3 in key derivation mode: sealing beacons, nonces of beacons, proofs of sessions, the id of the
//! network, and a code that people compare. Nothing that leaves a device is cheaper to check against a guess than one
//! run of argon2id.
//!
//! **The salt is the same for all networks.** Somebody who joins knows the passphrase and nothing else, so there is
//! nothing that could differ. It means that guesses made once can be tried on every network: the passphrase itself must
//! be worth it, which [`MIN_PASSPHRASE`] cannot promise. 32 random bytes ([`NetworkKey::from_secret`]), which travel in
//! the text form of an [`Invite`], cannot be guessed at all.
//!
//! **Beacons carry no hint of the key.** Whoever holds several keys (the old and the new one, while a key is changed)
//! tries each: a microsecond. A hint would let an outsider tell networks apart and count them. The nonce is a keyed hash
//! of what is sealed, since two lives of one copied machine seal two beacons with the same generator in the same state;
//! they share a nonce only where the two are one. The cipher commits to no key, and need not: a beacon that opens holds a
//! signature too, and guessing costs argon2id for each key that is tried.

mod ring;
mod text;

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::{DeviceId, NetworkId, base32};

pub use self::ring::{MAX_OLD, Old, Ring, RingError};
pub use self::text::{Invite, InviteError, MAX_TEXT};

/// Fewest characters of a passphrase.
pub const MIN_PASSPHRASE: usize = 12;
/// Most bytes of one.
pub const MAX_PASSPHRASE: usize = 1024;
/// Memory that a guess costs, in KiB: the second recommended choice of RFC 9106, section 4.
pub const ARGON2_KIB: u32 = 64 * 1024;
/// Passes over it.
pub const ARGON2_PASSES: u32 = 3;

const SALT: &[u8] = b"cairn 2026 network key";
const NONCE: usize = 24;
const TAG: usize = 16;
/// How many bytes longer a sealed beacon is.
pub const OVERHEAD: usize = NONCE + TAG;

/// Why a passphrase makes no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Too few characters.
    #[error("a passphrase has at least {MIN_PASSPHRASE} characters: four or five words that do not belong together")]
    TooShort,
    /// Too many bytes.
    #[error("a passphrase has at most {MAX_PASSPHRASE} bytes")]
    TooLong,
    /// Something that no keyboard types.
    #[error("a passphrase has no control characters")]
    Control,
    /// An accent that is a character of its own: others may type it as one with its letter, and have another key.
    #[error("a passphrase has no accents that are typed apart from their letter: others may type them otherwise")]
    Combining,
    /// Argon2id could not run.
    #[error("there are no 64 MiB of memory to make a key of a passphrase")]
    Memory,
}

/// A passphrase as it counts: words with one space between them.
///
/// # Errors
/// All of [`PassphraseError`] but `Memory`.
pub fn clean_passphrase(raw: &str) -> Result<Zeroizing<String>, PassphraseError> {
    if raw.len() > MAX_PASSPHRASE {
        return Err(PassphraseError::TooLong);
    }
    // As long as what it is made of, so that no copy is left behind by growing.
    let mut clean = Zeroizing::new(String::with_capacity(raw.len()));
    for word in raw.split_whitespace() {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    if clean.chars().any(char::is_control) {
        return Err(PassphraseError::Control);
    }
    if clean.chars().any(|c| ('\u{300}'..='\u{36f}').contains(&c)) {
        return Err(PassphraseError::Combining);
    }
    if clean.chars().count() < MIN_PASSPHRASE {
        return Err(PassphraseError::TooShort);
    }
    Ok(clean)
}

/// Which end of a link proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that dialled.
    Dialler,
    /// The end that was dialled.
    Acceptor,
}

/// A link as both ends see it: what a proof is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bond {
    /// A secret of this connection alone, which both ends share (TLS 1.3, RFC 8446, section 7.5).
    pub exporter: [u8; 32],
    /// Who dialled.
    pub dialler: DeviceId,
    /// Who was dialled.
    pub acceptor: DeviceId,
}

/// Which key a link was proved with, or a file holds; says nothing about the key to who does not hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyTag(pub [u8; 8]);

#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    secret: [u8; 32],
    beacon: [u8; 32],
    nonce: [u8; 32],
    proof: [u8; 32],
    #[zeroize(skip)]
    network: NetworkId,
    #[zeroize(skip)]
    tag: KeyTag,
}

/// A network's key. Clones share it; it is wiped with the last of them.
#[derive(Clone)]
pub struct NetworkKey(Arc<Keys>);

impl PartialEq for NetworkKey {
    fn eq(&self, other: &Self) -> bool {
        self.tag() == other.tag()
    }
}

impl Eq for NetworkKey {}

impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkKey")
    }
}

impl NetworkKey {
    /// The key of a passphrase: takes 64 MiB and some tenths of a second.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn from_passphrase(raw: &str) -> Result<Self, PassphraseError> {
        let clean = clean_passphrase(raw)?;
        let params = Params::new(ARGON2_KIB, ARGON2_PASSES, 1, Some(32)).map_err(|_| PassphraseError::Memory)?;
        let mut secret = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(clean.as_bytes(), SALT, secret.as_mut_slice())
            .map_err(|_| PassphraseError::Memory)?;
        Ok(Self::from_secret(&secret))
    }

    /// The key of 32 random bytes, or of those that a passphrase made.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let [network, tag] = [derive("cairn 2026 network id", secret), derive("cairn 2026 network key tag", secret)];
        Self(Arc::new(Keys {
            secret: *secret,
            beacon: derive("cairn 2026 network beacon key", secret),
            nonce: derive("cairn 2026 network beacon nonce key", secret),
            proof: derive("cairn 2026 network proof key", secret),
            network: NetworkId(first(&network)),
            tag: KeyTag(first(&tag)),
        }))
    }

    /// The secret bytes, for the file and the text form.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.0.secret
    }

    /// The network of those who have no other: the same for all who begin with this key, wherever they are.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.0.network
    }

    /// Which key this is.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        self.0.tag
    }

    /// What people compare to see that they typed the same: two groups of four characters.
    #[must_use]
    pub fn code(&self) -> String {
        let text = base32(&self.0.tag.0);
        let (a, rest) = text.split_at_checked(4).unwrap_or((&text, ""));
        format!("{a}-{}", rest.get(..4).unwrap_or_default())
    }

    /// Seals a beacon: nonce, ciphertext, tag. `head` is what stands before it in the clear.
    #[must_use]
    pub fn seal_beacon(&self, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.nonce);
        hasher.update(&(head.len() as u64).to_be_bytes()).update(head).update(body);
        let nonce: [u8; NONCE] = first(hasher.finalize().as_bytes());
        hasher.zeroize();
        let mut out = Vec::with_capacity(body.len().saturating_add(OVERHEAD));
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let cipher = XChaCha20Poly1305::new(&self.0.beacon.into());
        let text = InOutBuf::from(out.get_mut(NONCE..).unwrap_or_default());
        // It fails only beyond 256 GiB.
        if let Ok(tag) = cipher.encrypt_inout_detached(&XNonce::from(nonce), head, text) {
            out.extend_from_slice(&tag);
        }
        out
    }

    /// Opens what [`Self::seal_beacon`] sealed; `None` if another key did, or it was changed.
    #[must_use]
    pub fn open_beacon(&self, head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let mut body = text.to_vec();
        let cipher = XChaCha20Poly1305::new(&self.0.beacon.into());
        let buffer = InOutBuf::from(body.as_mut_slice());
        cipher.decrypt_inout_detached(&XNonce::from(*nonce), head, buffer, &(*tag).into()).ok()?;
        Some(body)
    }

    /// What one end of a link says to show that it holds this key. It is worth nothing on another link, from the other
    /// end, or to somebody in the middle, who has a secret of his own with either end.
    #[must_use]
    pub fn proof(&self, role: Role, bond: &Bond) -> [u8; 32] {
        *self.prove(role, bond).as_bytes()
    }

    /// Whether a proof is that of this key; takes as long wherever it differs.
    #[must_use]
    pub fn proves(&self, role: Role, bond: &Bond, proof: &[u8; 32]) -> bool {
        self.prove(role, bond) == blake3::Hash::from_bytes(*proof)
    }

    fn prove(&self, role: Role, bond: &Bond) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.proof);
        let role = match role {
            Role::Dialler => 1,
            Role::Acceptor => 2,
        };
        hasher.update(&[role]).update(&bond.exporter).update(&bond.dialler.0).update(&bond.acceptor.0);
        let proof = hasher.finalize();
        hasher.zeroize();
        proof
    }
}

/// A key for one use.
fn derive(context: &'static str, secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(context, secret)
}

/// The first bytes of a hash.
fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(hash).for_each(|(o, h)| *o = *h);
    out
}

#[cfg(test)]
mod tests;
