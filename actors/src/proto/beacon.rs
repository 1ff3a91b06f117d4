//! The beacon: "this device runs here and takes connections on this port". One signed datagram, no name and no
//! address: a hearer dials where it came from.
//!
//! Layout, big endian: magic `CRNB`, version, flags, device (32), incarnation (16), counter (8), QUIC port (2), network
//! (16; zero: none), signature (64) over all before it. In a network with a key it is of version 2: what follows the
//! version is sealed (`cairn_crdt::netkey`: nonce 24, ciphertext, tag 16), so that an outsider sees that a Cairn is there
//! and neither who nor of which network. A device with a key hears no open beacon, and one without no sealed one.

use cairn_crdt::codec::{DecodeError, Reader, Writer};
use cairn_crdt::identity::{DeviceKey, verify};
use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::netkey::{NetworkKey, OVERHEAD};

use crate::limits::BEACON_MAX;

/// What every beacon begins with.
pub const MAGIC: [u8; 4] = *b"CRNB";
/// The version of an open beacon.
pub const VERSION_OPEN: u8 = 1;
/// The version of a beacon sealed with a network's key.
pub const VERSION_SEALED: u8 = 2;
/// Length of what stands before the rest in the clear: magic and version.
pub const HEAD: usize = 4 + 1;
/// Length of an open beacon in bytes.
pub const LENGTH: usize = HEAD + 1 + 32 + 16 + 8 + 2 + 16 + 64;
/// Length of a sealed beacon in bytes.
pub const LENGTH_SEALED: usize = LENGTH + OVERHEAD;

const DOMAIN: &str = "cairn 2026 beacon";
const SETTLED: u8 = 1;
const FRESH: u8 = 2;
const GOODBYE: u8 = 4;

const _: () = assert!(LENGTH_SEALED <= BEACON_MAX);

/// Why a datagram is not a beacon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Longer than any beacon.
    #[error("{0} bytes are more than a beacon may have")]
    TooLong(usize),
    /// Something else on our port.
    #[error("not a beacon")]
    NotABeacon,
    /// Sealed with the key of a network, and none of ours opens it.
    #[error("a beacon sealed with another key")]
    Sealed,
    /// Not sealed, while our network has a key.
    #[error("an open beacon, and our network has a key")]
    Open,
    /// A later version.
    #[error("a beacon of version {0}, from a newer Cairn")]
    Version(u8),
    /// Broken.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Signed by somebody else, or changed on the way.
    #[error("the signature is not the device's")]
    Signature,
}

/// What a device says of itself on the LAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// Who.
    pub device: DeviceId,
    /// This start of it.
    pub incarnation: Incarnation,
    /// Grows with every beacon of an incarnation.
    pub counter: u64,
    /// The UDP port that takes QUIC.
    pub port: u16,
    /// The network that it is in; `None` while it has none.
    pub network: Option<NetworkId>,
    /// Whether that network is settled.
    pub settled: bool,
    /// It is going down; a hearer only asks whether that is so.
    pub goodbye: bool,
}

/// A beacon whose signature is not checked yet. Parsing is cheap, checking is not: rates and replays come between.
#[derive(Debug, Clone)]
pub struct Unverified {
    beacon: Beacon,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl Beacon {
    /// The signed datagram of an open network.
    #[must_use]
    pub fn encode(&self, key: &DeviceKey) -> Vec<u8> {
        self.signed(key, VERSION_OPEN)
    }

    /// The signed datagram, sealed. Signed as what it is: a member who opens it cannot pass it on as an open one.
    #[must_use]
    pub fn encode_sealed(&self, key: &DeviceKey, network: &NetworkKey) -> Vec<u8> {
        let mut out = self.signed(key, VERSION_SEALED);
        let body = out.split_off(HEAD);
        let sealed = network.seal_beacon(&out, &body);
        out.extend_from_slice(&sealed);
        out
    }

    fn signed(&self, key: &DeviceKey, version: u8) -> Vec<u8> {
        let mut w = Writer::with_capacity(LENGTH);
        let mut flags = 0;
        for (bit, on) in [(SETTLED, self.settled), (FRESH, self.network.is_none()), (GOODBYE, self.goodbye)] {
            flags |= if on { bit } else { 0 };
        }
        w.bytes(&MAGIC).u8(version).u8(flags).bytes(&self.device.0).bytes(&self.incarnation.0);
        w.u64(self.counter).u16(self.port).bytes(&self.network.unwrap_or(NetworkId([0; 16])).0);
        let mut out = w.finish();
        let signature = key.sign(DOMAIN, &out);
        out.extend_from_slice(&signature);
        out
    }

    /// Parses and verifies an open beacon in one go.
    ///
    /// # Errors
    /// As [`BeaconError`] says.
    pub fn decode(bytes: &[u8]) -> Result<Self, BeaconError> {
        Self::parse(bytes, &[])?.verify()
    }

    /// Parses without checking the signature. With keys only what one of them opens, else only what is open.
    ///
    /// # Errors
    /// As [`BeaconError`] says, all but `Signature`.
    pub fn parse(bytes: &[u8], keys: &[NetworkKey]) -> Result<Unverified, BeaconError> {
        if bytes.len() > BEACON_MAX {
            return Err(BeaconError::TooLong(bytes.len()));
        }
        let mut r = Reader::new(bytes);
        if r.array::<4>().map_err(|_| BeaconError::NotABeacon)? != MAGIC {
            return Err(BeaconError::NotABeacon);
        }
        match r.u8()? {
            VERSION_OPEN if keys.is_empty() => Self::read(bytes.to_vec()),
            VERSION_OPEN => Err(BeaconError::Open),
            VERSION_SEALED => {
                let (head, sealed) = bytes.split_at_checked(HEAD).ok_or(BeaconError::Sealed)?;
                // Before any other work: a flood of them costs no more than this.
                if bytes.len() != LENGTH_SEALED {
                    return Err(BeaconError::Sealed);
                }
                let body = keys.iter().find_map(|key| key.open_beacon(head, sealed)).ok_or(BeaconError::Sealed)?;
                Self::read([head, &body].concat())
            }
            other => Err(BeaconError::Version(other)),
        }
    }

    /// Reads the signed bytes.
    fn read(mut bytes: Vec<u8>) -> Result<Unverified, BeaconError> {
        let mut r = Reader::new(&bytes);
        let (_, flags) = (r.array::<HEAD>()?, r.u8()?);
        let (device, incarnation) = (DeviceId(r.array()?), Incarnation(r.array()?));
        let (counter, port, network) = (r.u64()?, r.u16()?, NetworkId(r.array()?));
        let signature = r.array()?;
        r.finish()?;
        let fresh = flags & FRESH != 0;
        if flags & !(SETTLED | FRESH | GOODBYE) != 0 || (fresh && flags & SETTLED != 0) {
            return Err(DecodeError::Invalid("flags").into());
        }
        if fresh != (network.0 == [0; 16]) {
            return Err(DecodeError::Invalid("network").into());
        }
        if port == 0 {
            return Err(DecodeError::Invalid("port").into());
        }
        let beacon = Self {
            device,
            incarnation,
            counter,
            port,
            network: (!fresh).then_some(network),
            settled: flags & SETTLED != 0,
            goodbye: flags & GOODBYE != 0,
        };
        bytes.truncate(LENGTH.saturating_sub(64));
        Ok(Unverified { beacon, signed: bytes, signature })
    }
}

impl Unverified {
    /// What it claims.
    #[must_use]
    pub fn claim(&self) -> &Beacon {
        &self.beacon
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BeaconError::Signature`].
    pub fn verify(self) -> Result<Beacon, BeaconError> {
        let good = verify(&self.beacon.device, DOMAIN, &self.signed, &self.signature);
        if good { Ok(self.beacon) } else { Err(BeaconError::Signature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beacon() -> (DeviceKey, Beacon) {
        let key = DeviceKey::from_seed(&[3; 32]);
        let beacon = Beacon {
            device: key.id(),
            incarnation: Incarnation([9; 16]),
            counter: 77,
            port: 27475,
            network: Some(NetworkId([5; 16])),
            settled: true,
            goodbye: false,
        };
        (key, beacon)
    }

    #[test]
    fn what_was_sent_is_read() {
        let (key, mut b) = beacon();
        assert_eq!(b.encode(&key).len(), LENGTH);
        assert_eq!(Beacon::decode(&b.encode(&key)), Ok(b.clone()));
        (b.network, b.settled, b.goodbye) = (None, false, true);
        assert_eq!(Beacon::decode(&b.encode(&key)), Ok(b));
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let (key, b) = beacon();
        let bytes = b.encode(&key);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Beacon::decode(&bad).is_err(), "byte {at}");
            assert!(Beacon::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(Beacon::decode(&long), Err(BeaconError::Decode(DecodeError::Trailing(1))));
        long.resize(BEACON_MAX + 1, 0);
        assert_eq!(Beacon::decode(&long), Err(BeaconError::TooLong(BEACON_MAX + 1)));
        assert_eq!(Beacon::decode(b""), Err(BeaconError::NotABeacon));
        let other = DeviceKey::from_seed(&[4; 32]);
        assert_eq!(Beacon::decode(&b.encode(&other)), Err(BeaconError::Signature));
    }

    #[test]
    fn contradictions_and_later_versions_are_refused_even_when_signed() {
        let (key, b) = beacon();
        let sign = |mut bytes: Vec<u8>| {
            bytes.truncate(LENGTH - 64);
            let signature = key.sign(DOMAIN, &bytes);
            bytes.extend_from_slice(&signature);
            bytes
        };
        let with = |at: usize, v: u8| {
            let mut bytes = b.encode(&key);
            bytes[at] = v;
            Beacon::decode(&sign(bytes))
        };
        assert_eq!(with(5, SETTLED), Ok(b.clone()));
        assert_eq!(with(5, 0x80), Err(BeaconError::Decode(DecodeError::Invalid("flags"))));
        assert_eq!(with(5, FRESH | SETTLED), Err(BeaconError::Decode(DecodeError::Invalid("flags"))));
        assert_eq!(with(5, FRESH), Err(BeaconError::Decode(DecodeError::Invalid("network"))));
        assert_eq!(with(4, VERSION_SEALED), Err(BeaconError::Sealed));
        assert_eq!(
            Beacon::parse(&b.encode(&key), &[NetworkKey::from_secret(&[1; 32])]).unwrap_err(),
            BeaconError::Open
        );
        assert_eq!(with(4, 3), Err(BeaconError::Version(3)));
    }

    #[test]
    fn a_sealed_beacon_is_read_by_who_holds_the_key_and_tells_others_nothing() {
        let (key, b) = beacon();
        let [ours, old, other] = [1, 2, 3].map(|n| NetworkKey::from_secret(&[n; 32]));
        let keys = [ours.clone(), old.clone()];
        for sealed in [b.encode_sealed(&key, &ours), b.encode_sealed(&key, &old)] {
            assert_eq!(sealed.len(), LENGTH_SEALED);
            assert_eq!(Beacon::parse(&sealed, &keys).unwrap().verify(), Ok(b.clone()));
            assert_eq!(Beacon::parse(&sealed, std::slice::from_ref(&other)).unwrap_err(), BeaconError::Sealed);
            assert_eq!(Beacon::decode(&sealed), Err(BeaconError::Sealed));
            let shows = |part: &[u8]| sealed.windows(part.len()).any(|w| w == part);
            assert!(!shows(&b.device.0[..8]) && !shows(&b.incarnation.0[..8]) && !shows(&[5; 8]));
            for at in 0..sealed.len() {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                assert!(Beacon::parse(&bad, &keys).is_err(), "byte {at}");
                assert!(Beacon::parse(&sealed[..at], &keys).is_err(), "cut at {at}");
            }
        }
        // A member who opens one can pass it on neither as an open one nor as somebody else's.
        let sealed = b.encode_sealed(&key, &ours);
        let mut opened = sealed[..HEAD].to_vec();
        opened.extend(ours.open_beacon(&sealed[..HEAD], &sealed[HEAD..]).unwrap());
        opened[4] = VERSION_OPEN;
        assert_eq!(Beacon::decode(&opened), Err(BeaconError::Signature));
        let resealed = ours.seal_beacon(&sealed[..HEAD], &b.encode(&DeviceKey::from_seed(&[4; 32]))[HEAD..]);
        let resealed = [&sealed[..HEAD], &resealed].concat();
        assert_eq!(Beacon::parse(&resealed, &keys).unwrap().verify(), Err(BeaconError::Signature));
    }

    #[test]
    fn the_bytes_of_version_one_stay() {
        let (key, b) = beacon();
        let hash = blake3_of(&b.encode(&key));
        assert_eq!(hash, "gz9x5psc02c6wrnbmryrgad5e408t1mkmmsb37d6bd7dy0zvbdy0");
    }

    fn blake3_of(bytes: &[u8]) -> String {
        cairn_crdt::ids::base32(&cairn_crdt::ids::domain_hash("fixture", &[bytes]))
    }
}
