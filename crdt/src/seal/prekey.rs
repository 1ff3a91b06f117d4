//! Prekeys: the X25519 keys that epochs are sealed to. A device publishes a new one each week, so that whoever takes a
//! laptop away opens with it only what was sealed to it lately, not what its keys of long ago could.

use std::collections::BTreeMap;

use zeroize::{Zeroize, Zeroizing};

use super::suite::{self, KEY};
use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::{DeviceKey, verify};
use crate::ids::DeviceId;
use crate::period::{DAY_MS, HOUR_MS, WEEK_MS};

const SIGN_DOMAIN: &str = "cairn 2026 prekey";
/// How long a private prekey outlives the publication of its first successor: until then, whoever has not heard of the
/// successor may seal to it.
const LIFE_MS: u64 = 60 * DAY_MS;
/// How many successors are published before a private prekey goes.
const SUCCESSORS: usize = 2;
/// How soon after the last prekey another may be made because a later one is lost. Two copies of one machine would each
/// overtake the other's without end.
const OVERTAKE_MS: u64 = HOUR_MS;
/// Private prekeys that are kept at most, the newest. Nine weeks need ten; a clock that jumps about makes more.
const MAX_KEPT: usize = 64;
/// The version of [`PrekeyRing::encode`].
const VERSION: u8 = 1;

/// A prekey as its device publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prekey {
    /// Whose.
    pub device: DeviceId,
    /// The first is 1. The highest number is the last one, whatever clocks said.
    pub number: u32,
    /// When it was made, by the device's own clock: milliseconds since 1970.
    pub made: u64,
    /// The X25519 public key.
    pub public: [u8; KEY],
    signature: [u8; 64],
}

impl Prekey {
    /// Length of the canonical bytes: device 32 · number u32 · made u64 · public 32 · signature 64.
    pub const LEN: usize = 32 + 4 + 8 + KEY + 64;

    fn sign(key: &DeviceKey, number: u32, made: u64, public: [u8; KEY]) -> Self {
        let mut prekey = Self { device: key.id(), number, made, public, signature: [0; 64] };
        prekey.signature = key.sign(SIGN_DOMAIN, &prekey.signed());
        prekey
    }

    /// What the signature is of.
    fn signed(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.bytes(&self.device.0).u32(self.number).u64(self.made).bytes(&self.public);
        w.finish()
    }

    /// Whether the device signed it (`verify_strict`). Nothing is sealed to a prekey before this was asked.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.number > 0 && verify(&self.device, SIGN_DOMAIN, &self.signed(), &self.signature)
    }

    /// What decides which of two prekeys of a device is the last one: the number. Two with one number come of a backup that
    /// was restored or a machine that was copied; then the later one counts, or else the greater key.
    #[must_use]
    pub fn rank(&self) -> (u32, u64, [u8; KEY]) {
        (self.number, self.made, self.public)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads canonical bytes; does not verify.
    ///
    /// # Errors
    /// [`DecodeError`] where the length is another.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let prekey = Self {
            device: DeviceId(r.array()?),
            number: r.u32()?,
            made: r.u64()?,
            public: r.array()?,
            signature: r.array()?,
        };
        r.finish()?;
        Ok(prekey)
    }
}

/// Why stored prekeys could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The bytes are none.
    #[error("the stored keys cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// A newer Cairn wrote them.
    #[error("the stored keys need a newer Cairn (version {0})")]
    Version(u8),
    /// A private key is not that of its public one, or a prekey is not this device's.
    #[error("a stored key is damaged")]
    Damaged,
}

/// A prekey of this device with its private half.
#[derive(Debug, Clone)]
struct Own {
    prekey: Prekey,
    private: Zeroizing<[u8; KEY]>,
    /// When it was published; `None`: not yet.
    published: Option<u64>,
}

/// The prekeys of this device with their private halves.
#[derive(Clone)]
pub struct PrekeyRing {
    device: DeviceId,
    own: BTreeMap<u32, Own>,
    /// The greatest number that this device is known to have published and whose private half is not here.
    lost: u32,
}

impl std::fmt::Debug for PrekeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrekeyRing").field("device", &self.device).field("numbers", &self.own.keys()).finish()
    }
}

impl PrekeyRing {
    /// A ring without prekeys.
    #[must_use]
    pub fn new(device: DeviceId) -> Self {
        Self { device, own: BTreeMap::new(), lost: 0 }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Whether it is time for a new prekey: there is none, the last is a week old (or from a clock that was a week ahead of
    /// `now`), or others know a later one of which the private half is lost (and the last one here is an hour old). `now`: milliseconds since 1970.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        match self.own.last_key_value() {
            Some((number, last)) => {
                let wait = if *number <= self.lost { OVERTAKE_MS } else { WEEK_MS };
                last.prekey.made.abs_diff(now) >= wait
            }
            None => true,
        }
    }

    /// Makes the next prekey. It must be stored before it is published. Nothing but `random` need be secret of the
    /// arguments, and where `random` is weak the device key makes up for it.
    pub fn make(&mut self, key: &DeviceKey, now: u64, random: &[u8; 32]) -> Prekey {
        let number = self.own.last_key_value().map_or(0, |(n, _)| *n).max(self.lost).saturating_add(1);
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026 prekey seed");
        let device = Zeroizing::new(key.seed());
        hasher.update(random).update(device.as_slice()).update(&number.to_be_bytes()).update(&now.to_be_bytes());
        let seed = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        let (private, public) = suite::key_pair(&seed);
        let prekey = Prekey::sign(key, number, now, public);
        self.own.insert(number, Own { prekey, private, published: None });
        while self.own.len() > MAX_KEPT {
            self.own.pop_first();
        }
        prekey
    }

    /// The last prekey made, and whether it is published yet.
    #[must_use]
    pub fn last(&self) -> Option<(&Prekey, bool)> {
        self.own.last_key_value().map(|(_, own)| (&own.prekey, own.published.is_some()))
    }

    /// Remembers that a prekey was published at the time `now`.
    pub fn published(&mut self, number: u32, now: u64) {
        if let Some(own) = self.own.get_mut(&number) {
            own.published.get_or_insert(now);
        }
    }

    /// Takes note of a prekey of this device, verified, that is known elsewhere. One whose private half is not here, as
    /// after a restored backup, makes a new one due, of a higher number.
    pub fn seen(&mut self, prekey: &Prekey) {
        let foreign = |own: &Own| own.prekey != *prekey;
        if prekey.device == self.device && self.own.get(&prekey.number).is_none_or(foreign) {
            self.lost = self.lost.max(prekey.number);
        }
    }

    /// Erases private prekeys that are past their time: two successors are published, and 60 days have passed since the
    /// first of them was. Returns how many. `now` should be a time that others agree to: nothing is erased by one clock.
    pub fn expire(&mut self, now: u64) -> usize {
        let published: Vec<(u32, u64)> = self.own.iter().filter_map(|(n, own)| Some((*n, own.published?))).collect();
        let before = self.own.len();
        self.own.retain(|number, _| {
            let mut after = published.iter().filter(|(n, _)| n > number).map(|(_, at)| *at);
            let first = after.next();
            let enough = after.count() >= SUCCESSORS.saturating_sub(1);
            !first.is_some_and(|at| enough && at.saturating_add(LIFE_MS) <= now)
        });
        before.saturating_sub(self.own.len())
    }

    /// The private half of a prekey.
    pub(super) fn private(&self, number: u32) -> Option<&[u8; KEY]> {
        self.own.get(&number).map(|own| &*own.private)
    }

    /// How many private prekeys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// The bytes for the store, private halves among them: version u8 · lost u32 · n u8 · n × (prekey 140 · private 32 ·
    /// published u64, 0: not yet).
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all from the start: a vector that grows leaves copies behind.
        let each = Prekey::LEN + KEY + 8;
        let mut w = Writer::with_capacity(self.own.len().saturating_mul(each).saturating_add(6));
        w.u8(VERSION).u32(self.lost).u8(self.own.len() as u8);
        for own in self.own.values() {
            w.bytes(&own.prekey.encode()).bytes(own.private.as_slice()).u64(own.published.unwrap_or(0));
        }
        Zeroizing::new(w.finish())
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn decode(device: DeviceId, bytes: &[u8]) -> Result<Self, RingError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != VERSION {
            return Err(RingError::Version(version));
        }
        let (lost, n) = (r.u32()?, r.u8()?);
        let mut own = BTreeMap::new();
        for _ in 0..n {
            let prekey = Prekey::decode(r.take(Prekey::LEN)?)?;
            let private = Zeroizing::new(r.array::<KEY>()?);
            let published = Some(r.u64()?).filter(|at| *at > 0);
            let whole = prekey.device == device && prekey.verify();
            if !whole || suite::public_of(&private) != Ok(prekey.public) || usize::from(n) > MAX_KEPT {
                return Err(RingError::Damaged);
            }
            if own.insert(prekey.number, Own { prekey, private, published }).is_some() {
                return Err(RingError::Damaged);
            }
        }
        r.finish()?;
        Ok(Self { device, own, lost })
    }
}
