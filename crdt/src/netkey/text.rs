//! A network's key as text: `cairn:net:` and base32, to be typed, sent on a stick or shown as a QR code (in capitals it
//! is of the alphanumeric kind). It carries the key itself, so whoever sees it is in.
//!
//! The bytes: version (1), network (16), secret (32), length of the name and the name, check (4).

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::NetworkKey;
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{NetworkId, base32, bytes_from_base32, domain_hash};

const FRONT: &str = "cairn:net:";
const VERSION: u8 = 1;
const CHECK: &str = "cairn 2026 network key text";
/// Longest name in bytes.
const MAX_NAME: usize = 64;
/// Longest text in bytes.
pub const MAX_TEXT: usize = FRONT.len() + ((1 + 16 + 32 + 1 + MAX_NAME + 4) * 8usize).div_ceil(5);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Something else.
    #[error("a network key as text begins with {FRONT}")]
    Foreign,
    /// Of a later version.
    #[error("this network key is from a newer Cairn")]
    Newer,
    /// Cut, mistyped or made up.
    #[error("this network key is not complete, or was mistyped")]
    Broken,
}

/// All that a device needs to join a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its key.
    pub key: NetworkKey,
    /// Its id.
    pub network: NetworkId,
    /// Its name; empty where nobody gave one.
    pub name: String,
}

impl Invite {
    /// Whether a text means to be one, right or wrong.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.trim_start().get(..FRONT.len()).is_some_and(|front| front.eq_ignore_ascii_case(FRONT))
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.get(..self.name.floor_char_boundary(MAX_NAME)).unwrap_or_default();
        let mut w = Writer::with_capacity(128);
        w.u8(VERSION).bytes(&self.network.0).bytes(self.key.secret());
        w.u8(u8::try_from(name.len()).unwrap_or(0)).bytes(name.as_bytes());
        let mut bytes = Zeroizing::new(w.finish());
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        write!(f, "{FRONT}{}", Zeroizing::new(base32(&bytes)).as_str())
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        if !Self::is_meant(text) {
            return Err(InviteError::Foreign);
        }
        let text = text.trim();
        let digits = text.get(FRONT.len()..).filter(|_| text.len() <= MAX_TEXT).ok_or(InviteError::Broken)?;
        let bytes = Zeroizing::new(bytes_from_base32(digits).ok_or(InviteError::Broken)?);
        if bytes.first().is_some_and(|v| *v > VERSION) {
            return Err(InviteError::Newer);
        }
        let (body, given) = bytes.split_last_chunk::<4>().ok_or(InviteError::Broken)?;
        if check(body) != *given {
            return Err(InviteError::Broken);
        }
        read(body).map_err(|_| InviteError::Broken)
    }
}

fn read(body: &[u8]) -> Result<Invite, DecodeError> {
    let mut r = Reader::new(body);
    if r.u8()? != VERSION {
        return Err(DecodeError::Invalid("version"));
    }
    let (network, secret) = (NetworkId(r.array()?), Zeroizing::new(r.array::<32>()?));
    let length = usize::from(r.u8()?);
    let name = std::str::from_utf8(r.take(length)?).map_err(|_| DecodeError::Invalid("name"))?;
    r.finish()?;
    if length > MAX_NAME || name.chars().any(char::is_control) {
        return Err(DecodeError::Invalid("name"));
    }
    Ok(Invite { key: NetworkKey::from_secret(&secret), network, name: name.to_owned() })
}

fn check(body: &[u8]) -> [u8; 4] {
    let hash = domain_hash(CHECK, &[body]);
    [hash[0], hash[1], hash[2], hash[3]]
}
