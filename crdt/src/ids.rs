//! Ids as newtypes, each with one text form everywhere: lower-case Crockford base32 without padding.
//!
//! A 32-byte id is 52 characters, a 16-byte id 26, a document id 29. Parsing accepts upper case too and nothing else.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use blake3::hazmat::HasherExt;
use serde::{Deserialize, Serialize};

use crate::period::MAX_SLOT;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The value of each character, capitals too; 255 for what is none. Ids are read for every message.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut v = 0;
    while v < 32 {
        values[ALPHABET[v] as usize] = v as u8;
        values[ALPHABET[v].to_ascii_uppercase() as usize] = v as u8;
        v += 1;
    }
    values
};

/// Text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: expected {expected} characters of 0-9 and a-z without i, l, o, u")]
pub struct ParseIdError {
    text: String,
    expected: usize,
}

/// Encodes bytes as lower-case Crockford base32, most significant bit first.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut acc, mut bits) = (0u32, 0u32);
    for &b in bytes {
        acc = (acc << 8) | u32::from(b);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[((acc >> bits) & 31) as usize]));
        }
        acc &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(ALPHABET[((acc << (5 - bits)) & 31) as usize]));
    }
    out
}

/// Decodes exactly `N` bytes of base32; the unused low bits must be zero, so that each id has one text form.
#[must_use]
pub fn from_base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0u8; N];
    decode_base32(text, &mut out).then_some(out)
}

/// Decodes as many bytes of base32 as a text of this length holds; each list of bytes has one text form.
#[must_use]
pub fn bytes_from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len().checked_mul(5)? / 8];
    decode_base32(text, &mut out).then_some(out)
}

/// Fills `out`; `false` where the text is not that of so many bytes.
fn decode_base32(text: &str, out: &mut [u8]) -> bool {
    if text.len() != out.len().saturating_mul(8).div_ceil(5) {
        return false;
    }
    let (mut acc, mut bits, mut at) = (0u32, 0u32, 0usize);
    for c in text.bytes() {
        let v = VALUES[usize::from(c)];
        if v > 31 {
            return false;
        }
        acc = (acc << 5) | u32::from(v);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if let Some(slot) = out.get_mut(at) {
                *slot = (acc >> bits) as u8;
            }
            at += 1;
            acc &= (1 << bits) - 1;
        }
    }
    acc == 0
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight characters of the text form, for logs and tight places; not unique.
            #[must_use]
            pub fn short(&self) -> String {
                let mut s = self.to_string();
                s.truncate(8);
                s
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_base32(text).map(Self).ok_or_else(|| ParseIdError {
                    text: text.chars().take(80).collect(),
                    expected: ($len * 8usize).div_ceil(5),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    s.collect_str(self)
                } else {
                    use serde::ser::SerializeTuple;
                    let mut t = s.serialize_tuple($len)?;
                    for b in &self.0 {
                        t.serialize_element(b)?;
                    }
                    t.end()
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct V;
                impl<'de> serde::de::Visitor<'de> for V {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "an id of {} bytes", $len)
                    }
                    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<$name, E> {
                        v.parse().map_err(E::custom)
                    }
                    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<$name, A::Error> {
                        let mut out = [0u8; $len];
                        for (i, slot) in out.iter_mut().enumerate() {
                            *slot = seq.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(i, &self))?;
                        }
                        Ok($name(out))
                    }
                }
                if d.is_human_readable() { d.deserialize_str(V) } else { d.deserialize_tuple($len, V) }
            }
        }
    };
}

id!(
    /// A device: its Ed25519 public key.
    DeviceId, 32
);
id!(
    /// A principal, the unit of membership: the founding device's key. Today each principal has one device.
    PrincipalId, 32
);
id!(
    /// One start of a node: 16 random bytes. Logs, Automerge actors and beacon counters belong to it.
    Incarnation, 16
);
id!(
    /// A set of principals that share documents.
    SpaceId, 32
);
id!(
    /// A document within its space: kind (u16, big endian) and a 16-byte name that means something to the kind.
    DocumentId, 18
);
id!(
    /// The BLAKE3 hash of an entry's header and signature.
    EntryHash, 32
);
id!(
    /// A message: 48-bit milliseconds and 80 random bits (the layout of a ULID), so that ids sort roughly by time.
    MessageId, 16
);
id!(
    /// A network of devices that share one commons.
    NetworkId, 16
);
id!(
    /// An epoch of a space's keys: a commitment to space and secret; all zero is "none" (unsealed).
    EpochId, 32
);

/// A hash function of its own: BLAKE3 in key derivation mode with a context, the key of which is derived once.
#[derive(Debug)]
pub struct Domain {
    context: &'static str,
    key: OnceLock<blake3::hazmat::ContextKey>,
}

impl Domain {
    /// The domain of a context, which nothing else uses.
    #[must_use]
    pub const fn new(context: &'static str) -> Self {
        Self { context, key: OnceLock::new() }
    }

    /// Hashes parts. Each is preceded by its length, so that no two lists of parts collide.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let key = self.key.get_or_init(|| blake3::hazmat::hash_derive_key_context(self.context));
        let mut h = blake3::Hasher::new_from_context_key(key);
        for p in parts {
            h.update(&(p.len() as u64).to_be_bytes());
            h.update(p);
        }
        *h.finalize().as_bytes()
    }
}

/// Hashes parts under a domain that is seldom used; see [`Domain::hash`].
#[must_use]
pub fn domain_hash(domain: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    Domain::new(domain).hash(parts)
}

impl DeviceId {
    /// The principal that this device founds.
    #[must_use]
    pub fn principal(&self) -> PrincipalId {
        PrincipalId(self.0)
    }

    /// The short code that people compare at a glance: two groups of four characters of a hash of the key. It is a
    /// label, not a proof; the safety number is the proof.
    #[must_use]
    pub fn code(&self) -> String {
        let h = domain_hash("cairn 2026 device code", &[&self.0]);
        let s = base32(&h[..5]);
        format!("{}-{}", &s[..4], &s[4..8])
    }
}

impl PrincipalId {
    /// The founding device.
    #[must_use]
    pub fn founder(&self) -> DeviceId {
        DeviceId(self.0)
    }
}

impl SpaceId {
    /// The commons of a network.
    #[must_use]
    pub fn commons(network: &NetworkId) -> Self {
        Self(domain_hash("cairn 2026 space commons", &[&network.0]))
    }

    /// The direct space of two principals, the same from either side.
    #[must_use]
    pub fn direct(a: &PrincipalId, b: &PrincipalId) -> Self {
        let (lo, hi) = if a <= b { (a, b) } else { (b, a) };
        Self(domain_hash("cairn 2026 space direct", &[&lo.0, &hi.0]))
    }

    /// A group: what names it is the start of a device that began it, and 16 random bytes. So nobody else can have begun it.
    #[must_use]
    pub fn group(founder: &DeviceId, start: &Incarnation, nonce: &[u8; 16]) -> Self {
        Self(domain_hash("cairn 2026 space group", &[&founder.0, &start.0, nonce]))
    }

    /// The self space of a principal.
    #[must_use]
    pub fn own(principal: &PrincipalId) -> Self {
        Self(domain_hash("cairn 2026 space self", &[&principal.0]))
    }
}

/// Document kinds; the numbers are on the wire and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The control log of a space.
    Control,
    /// A week (or part of a week) of a conversation.
    Chat,
    /// What one device says of itself.
    Profile,
    /// Petnames and verification, in the self space.
    Contacts,
    /// How far conversations are read, in the self space.
    ReadMarks,
    /// A kind that this build does not know.
    Unknown(u16),
}

impl Kind {
    /// Kinds to come from this number on are outside the digest of their space.
    pub const ON_DEMAND: u16 = 0x8000;

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Control => 0,
            Self::Chat => 1,
            Self::Profile => 2,
            Self::Contacts => 3,
            Self::ReadMarks => 4,
            Self::Unknown(c) => c,
        }
    }

    /// The kind of a number.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Control,
            1 => Self::Chat,
            2 => Self::Profile,
            3 => Self::Contacts,
            4 => Self::ReadMarks,
            c => Self::Unknown(c),
        }
    }
}

impl DocumentId {
    /// A document of `kind` with a 16-byte name.
    #[must_use]
    pub fn new(kind: Kind, name: [u8; 16]) -> Self {
        let mut b = [0u8; 18];
        b[..2].copy_from_slice(&kind.code().to_be_bytes());
        b[2..].copy_from_slice(&name);
        Self(b)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::from_code(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// The chat segment of a UTC week (weeks since 1970-01-01, a Thursday) and part. Segments of one space sort by
    /// week, then part.
    #[must_use]
    pub fn chat(week: u32, part: u16) -> Self {
        Self::chat_slot(week, part, 0)
    }

    /// The chat segment of a slot of a week: the whole of it, a day or an hour ([`crate::period`]).
    #[must_use]
    pub fn chat_slot(week: u32, part: u16, slot: u8) -> Self {
        let mut name = [0u8; 16];
        name[..4].copy_from_slice(&week.to_be_bytes());
        name[4..6].copy_from_slice(&part.to_be_bytes());
        name[6] = slot;
        Self::new(Kind::Chat, name)
    }

    /// Week and part of a chat segment, if it is one in canonical form.
    #[must_use]
    pub fn chat_week(&self) -> Option<(u32, u16)> {
        if self.kind() != Kind::Chat || self.slot() > MAX_SLOT || self.0[9..].iter().any(|&b| b != 0) {
            return None;
        }
        let week = u32::from_be_bytes([self.0[2], self.0[3], self.0[4], self.0[5]]);
        Some((week, u16::from_be_bytes([self.0[6], self.0[7]])))
    }

    /// The slot of a chat segment.
    pub(crate) fn slot(&self) -> u8 {
        self.0[8]
    }

    /// The profile of a device.
    #[must_use]
    pub fn profile(device: &DeviceId) -> Self {
        let mut name = [0u8; 16];
        name.copy_from_slice(&domain_hash("cairn 2026 profile name", &[&device.0])[..16]);
        Self::new(Kind::Profile, name)
    }

    /// The only document of a kind in its space.
    #[must_use]
    pub fn singleton(kind: Kind) -> Self {
        Self::new(kind, [0; 16])
    }
}

impl MessageId {
    /// An id from milliseconds since 1970 and ten random bytes.
    #[must_use]
    pub fn new(ms: u64, random: [u8; 10]) -> Self {
        let mut b = [0u8; 16];
        b[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        b[6..].copy_from_slice(&random);
        Self(b)
    }

    /// The id that a caller's own retry token stands for: the same token from the same device is the same message.
    #[must_use]
    pub fn from_token(device: &DeviceId, token: &str) -> Self {
        let h = domain_hash("cairn 2026 message token", &[&device.0, token.as_bytes()]);
        let mut b = [0u8; 16];
        b.copy_from_slice(&h[..16]);
        Self(b)
    }
}

impl EpochId {
    /// No epoch: the payload is not sealed.
    pub const NONE: Self = Self([0; 32]);
}

/// A log within a space: what one incarnation of one device wrote to one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// The document written to.
    pub document: DocumentId,
    /// The author.
    pub device: DeviceId,
    /// The author's start.
    pub incarnation: Incarnation,
}

impl LogId {
    /// Length of the canonical bytes.
    pub const LEN: usize = 18 + 32 + 16;

    /// The canonical bytes: document, device, incarnation.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut b = [0u8; Self::LEN];
        b[..18].copy_from_slice(&self.document.0);
        b[18..50].copy_from_slice(&self.device.0);
        b[50..].copy_from_slice(&self.incarnation.0);
        b
    }

    /// The log of canonical bytes.
    #[must_use]
    pub fn from_bytes(b: &[u8; Self::LEN]) -> Self {
        let (mut document, mut device, mut incarnation) = ([0; 18], [0; 32], [0; 16]);
        document.copy_from_slice(&b[..18]);
        device.copy_from_slice(&b[18..50]);
        incarnation.copy_from_slice(&b[50..]);
        Self { document: DocumentId(document), device: DeviceId(device), incarnation: Incarnation(incarnation) }
    }

    /// The Automerge actor of this log: bound to device and incarnation, so that no two signers share one.
    #[must_use]
    pub fn automerge_actor(&self) -> [u8; 32] {
        domain_hash("cairn 2026 automerge actor", &[&self.device.0, &self.incarnation.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_hashes_as_blake3_does_with_its_context() {
        let domain = Domain::new("cairn test");
        for parts in [&[][..], &[&b"a"[..]], &[&b"ab"[..], b""], &[&[7; 3000][..], b"x"]] {
            let mut plain = blake3::Hasher::new_derive_key("cairn test");
            for part in parts {
                plain.update(&(part.len() as u64).to_be_bytes()).update(part);
            }
            assert_eq!(domain.hash(parts), *plain.finalize().as_bytes());
            assert_eq!(domain_hash("cairn test", parts), domain.hash(parts));
        }
    }

    #[test]
    fn text_form_round_trips_and_is_unique() {
        for i in 0..=255u8 {
            let id = EntryHash([i; 32]);
            let text = id.to_string();
            assert_eq!(text.len(), 52);
            assert_eq!(text.parse::<EntryHash>().unwrap(), id);
            assert_eq!(text.to_uppercase().parse::<EntryHash>().unwrap(), id);
        }
        // 32 bytes leave four unused bits: a text that sets them is another spelling of the same id, refused.
        let mut text = EntryHash([0; 32]).to_string();
        text.pop();
        text.push('1');
        assert!(text.parse::<EntryHash>().is_err());
        assert!("".parse::<MessageId>().is_err());
        assert!("é".repeat(13).parse::<MessageId>().is_err());
    }

    #[test]
    fn chat_segments_sort_by_time() {
        let a = DocumentId::chat(2900, 1);
        let b = DocumentId::chat(2900, 2);
        let c = DocumentId::chat(2901, 0);
        assert!(a < b && b < c);
        assert_eq!(c.chat_week(), Some((2901, 0)));
        assert_eq!(DocumentId::profile(&DeviceId([1; 32])).chat_week(), None);
    }

    #[test]
    fn direct_space_is_symmetric() {
        let (a, b) = (PrincipalId([1; 32]), PrincipalId([2; 32]));
        assert_eq!(SpaceId::direct(&a, &b), SpaceId::direct(&b, &a));
        assert_ne!(SpaceId::direct(&a, &b), SpaceId::own(&a));
    }
}
