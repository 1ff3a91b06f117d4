//! The lock of a folder: its data key, sealed with a passphrase, as text.
//!
//! ```text
//! cairn lock 1
//! argon2id KIB PASSES
//! salt BASE32
//! tag BASE32
//! key BASE32
//! check BASE32
//! ```
//! `tag` is the data key's, `key` is nonce, sealed data key and authentication tag, with the lines before it as associated
//! data, `check` a checksum of all lines before it.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::{DataKey, DataTag, NONCE, TAG};
use crate::ids::{base32, domain_hash, from_base32};
use crate::netkey::{ARGON2_KIB, ARGON2_PASSES, PassphraseError, clean_passphrase};

const FIRST: &str = "cairn lock 1";
const FRONT: &str = "cairn lock ";
/// Longest text of a lock, in bytes; a whole one has some 250.
const MAX_TEXT: usize = 4096;
const SALT: usize = 16;
/// Random bytes that a new lock takes: salt and nonce.
pub const RANDOM: usize = SALT + NONCE;
const DATA_KEY: usize = 32;

/// What a guess at a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// Of every lock that the product makes: the second recommended choice of RFC 9106, section 4.
    pub const PRODUCT: Self = Self { kib: ARGON2_KIB, passes: ARGON2_PASSES };
    /// Most that is believed of a file.
    pub const MOST: Self = Self { kib: 256 * 1024, passes: 16 };
    /// The least that argon2id takes: for tests of everything else.
    pub const LEAST: Self = Self { kib: 8, passes: 1 };

    fn params(self) -> Option<Params> {
        let bounded = (Self::LEAST.kib..=Self::MOST.kib).contains(&self.kib)
            && (Self::LEAST.passes..=Self::MOST.passes).contains(&self.passes);
        bounded.then(|| Params::new(self.kib, self.passes, 1, Some(32)).ok()).flatten()
    }
}

/// Why a lock cannot be made, read or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The passphrase is none.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The passphrase is another.
    #[error("the passphrase is wrong")]
    Wrong,
    /// The text is not what was written.
    #[error("it {0}")]
    Damaged(&'static str),
    /// The text was written by a newer Cairn.
    #[error("it was written by a newer Cairn")]
    Newer,
}

/// A data key under a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    cost: Cost,
    salt: [u8; SALT],
    tag: DataTag,
    nonce: [u8; NONCE],
    sealed: [u8; DATA_KEY + TAG],
}

impl Lock {
    /// Seals a data key with a passphrase. Takes the memory and time that `cost` says.
    ///
    /// # Errors
    /// [`LockError::Passphrase`]; `Memory` where there is not as much, or the cost is beyond what is read again.
    pub fn new(passphrase: &str, key: &DataKey, cost: Cost, random: &[u8; RANDOM]) -> Result<Self, LockError> {
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        salt.iter_mut().chain(nonce.iter_mut()).zip(random).for_each(|(to, from)| *to = *from);
        let mut lock = Self { cost, salt, tag: key.tag(), nonce, sealed: [0; DATA_KEY + TAG] };
        let cipher = lock.cipher(passphrase)?;
        let mut text = Zeroizing::new(key.0.secret);
        let buffer = InOutBuf::from(text.as_mut_slice());
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), lock.head().as_bytes(), buffer)
            .map_err(|_| PassphraseError::Memory)?;
        lock.sealed.iter_mut().zip(text.iter().chain(tag.iter())).for_each(|(to, from)| *to = *from);
        Ok(lock)
    }

    /// The data key. Takes the memory and time that the lock says.
    ///
    /// # Errors
    /// [`LockError::Wrong`]; [`LockError::Passphrase`] with `Memory`, never with another: what is no passphrase is a wrong
    /// one.
    pub fn open(&self, passphrase: &str) -> Result<DataKey, LockError> {
        let cipher = match self.cipher(passphrase) {
            Err(LockError::Passphrase(PassphraseError::Memory)) => return Err(PassphraseError::Memory.into()),
            Err(_) => return Err(LockError::Wrong),
            Ok(cipher) => cipher,
        };
        let (text, tag) = self.sealed.split_last_chunk::<TAG>().ok_or(LockError::Wrong)?;
        let mut secret = Zeroizing::new([0; DATA_KEY]);
        secret.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        cipher
            .decrypt_inout_detached(
                &XNonce::from(self.nonce),
                self.head().as_bytes(),
                InOutBuf::from(secret.as_mut_slice()),
                &(*tag).into(),
            )
            .map_err(|_| LockError::Wrong)?;
        let key = DataKey::new(&secret);
        if key.tag() == self.tag { Ok(key) } else { Err(LockError::Wrong) }
    }

    /// Which data key it holds.
    #[must_use]
    pub fn tag(&self) -> DataTag {
        self.tag
    }

    /// What a guess costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    fn cipher(&self, passphrase: &str) -> Result<XChaCha20Poly1305, LockError> {
        let clean = clean_passphrase(passphrase)?;
        let params = self.cost.params().ok_or(PassphraseError::Memory)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(clean.as_bytes(), &self.salt, key.as_mut_slice())
            .map_err(|_| PassphraseError::Memory)?;
        // Of its own, so that the same passphrase and salt elsewhere give another key.
        let own = Zeroizing::new(blake3::derive_key("cairn 2026 lock key", key.as_slice()));
        Ok(XChaCha20Poly1305::new(&(*own).into()))
    }

    fn head(&self) -> String {
        let Cost { kib, passes } = self.cost;
        format!("{FIRST}\nargon2id {kib} {passes}\nsalt {}\ntag {}\n", base32(&self.salt), base32(&self.tag.0))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut key = self.nonce.to_vec();
        key.extend_from_slice(&self.sealed);
        let body = format!("{}key {}\n", self.head(), base32(&key));
        let check = checksum(&body);
        format!("{body}check {check}\n")
    }

    /// What a text says.
    ///
    /// # Errors
    /// [`LockError::Damaged`] and [`LockError::Newer`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LockError> {
        if bytes.len() > MAX_TEXT {
            return Err(LockError::Damaged("is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LockError::Damaged("is not text"))?;
        // An editor may have changed the line ends.
        let text = text.replace("\r\n", "\n");
        match text.lines().next() {
            Some(FIRST) => {}
            Some(other) if other.strip_prefix(FRONT).is_some_and(|v| v.parse::<u32>().is_ok_and(|v| v > 1)) => {
                return Err(LockError::Newer);
            }
            Some(_) => return Err(LockError::Damaged("does not start like a lock")),
            None => return Err(LockError::Damaged("is empty")),
        }
        let (body, check) = text.rsplit_once("check ").ok_or(LockError::Damaged("is not complete"))?;
        if check.strip_suffix('\n').unwrap_or(check) != checksum(body) {
            return Err(LockError::Damaged("does not match its checksum"));
        }
        let lock = read(body).ok_or(LockError::Damaged("holds what no lock holds"))?;
        if lock.cost.params().is_none() {
            return Err(LockError::Damaged("asks for more memory or time than any lock"));
        }
        Ok(lock)
    }
}

fn checksum(body: &str) -> String {
    base32(&domain_hash("cairn 2026 lock file", &[body.as_bytes()])[..16])
}

fn read(body: &str) -> Option<Lock> {
    let mut lines = body.lines().skip(1);
    let mut value = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let (kib, passes) = value("argon2id")?.split_once(' ')?;
    let cost = Cost { kib: kib.parse().ok()?, passes: passes.parse().ok()? };
    let (salt, tag) = (from_base32(value("salt")?)?, DataTag(from_base32(value("tag")?)?));
    let key = from_base32::<{ NONCE + DATA_KEY + TAG }>(value("key")?)?;
    let (nonce, sealed) = key.split_first_chunk::<NONCE>()?;
    let lock = Lock { cost, salt, tag, nonce: *nonce, sealed: sealed.try_into().ok()? };
    // One text for each lock: a number may be written in two ways.
    (lines.next().is_none() && body.starts_with(&lock.head())).then_some(lock)
}
