//! The signed statement: what a device says of itself in one space, and nobody else can say for it. How far it holds
//! every log (the root of a tree, [`crate::frontier`]; its own tips are among the leaves), the stamp below which it
//! will not write any more (its floor) and how far its person has read.
//!
//! Only the latest counts. The counter grows over all starts of a device, so an old statement never stands over a newer
//! one; a device that was restored from a backup learns from others how far it had counted. Of two that bear one number
//! the one with the lower hash counts, so that all end with the same.

use std::cmp::Reverse;

use crate::codec::{DecodeError, Reader, Writer};
use crate::frontier::NodeHash;
use crate::hlc::Hlc;
use crate::identity::{DeviceKey, verify};
use crate::ids::{DeviceId, Incarnation, MessageId, SpaceId, domain_hash};
use crate::kinds::order::OrderKey;

const DOMAIN: &str = "cairn 2026 statement";
const VERSION: u8 = 1;

/// What a device says of itself in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Who says it.
    pub device: DeviceId,
    /// Its start.
    pub incarnation: Incarnation,
    /// Grows with every statement of this device in this space.
    pub counter: u64,
    /// When it was said, in mesh time.
    pub at: Hlc,
    /// Nothing is written below this stamp any more; zero where no floor is stated (the commons).
    pub floor: Hlc,
    /// The root over its durable frontier.
    pub root: NodeHash,
    /// Everything up to this place is read; `None` if it does not say.
    pub read: Option<OrderKey>,
}

impl Statement {
    /// Of two statements of one device the one that ranks higher counts: it bears the higher number or, where they bear
    /// one, has the lower hash. Two that rank the same say the same.
    #[must_use]
    pub fn rank(&self) -> (u64, Reverse<[u8; 32]>) {
        (self.counter, Reverse(self.hash()))
    }

    /// A hash of what it says, whatever the signature.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut w = Writer::with_capacity(Signed::MAX);
        write(self, &mut w);
        domain_hash("cairn 2026 what a statement says", &[&w.finish()])
    }
}

/// Why a statement was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not a statement.
    #[error("a statement that cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// Its device does not belong to the space.
    #[error("a statement by somebody who does not belong here")]
    NotAMember,
    /// Not signed by the device it speaks for, or said of another space.
    #[error("a statement that its device did not sign for this space")]
    BadSignature,
    /// A newer one is known: a replay, or merely late.
    #[error("a statement that is no newer than the one that is known")]
    Old,
    /// No room for another device.
    #[error("statements of too many devices")]
    TooMany,
}

/// A statement with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub statement: Statement,
    /// Over space and statement.
    pub signature: [u8; 64],
}

impl Signed {
    /// Length of the bytes of a statement that says how far its person has read; the others are shorter.
    pub const MAX: usize = 1 + 32 + 16 + 8 + 8 + 8 + 32 + 1 + (8 + 32 + 16) + 64;

    /// Signs a statement about a space.
    #[must_use]
    pub fn sign(statement: Statement, space: &SpaceId, key: &DeviceKey) -> Self {
        let signature = key.sign(DOMAIN, &signed_bytes(&statement, space));
        Self { statement, signature }
    }

    /// Whether the device it speaks for signed it for this space.
    #[must_use]
    pub fn verify(&self, space: &SpaceId) -> bool {
        verify(&self.statement.device, DOMAIN, &signed_bytes(&self.statement, space), &self.signature)
    }

    /// The canonical bytes. The space is not among them: it is known where they go, and signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::MAX);
        write(&self.statement, &mut w);
        w.bytes(&self.signature);
        w.finish()
    }

    /// Reads a statement from the front of `r`.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are not a statement.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.u8()? != VERSION {
            return Err(DecodeError::Invalid("version of a statement"));
        }
        let (device, incarnation, counter) = (DeviceId(r.array()?), Incarnation(r.array()?), r.u64()?);
        let (at, floor, root) = (Hlc(r.u64()?), Hlc(r.u64()?), r.array()?);
        let read = match r.u8()? {
            0 => None,
            1 => Some(OrderKey { stamp: Hlc(r.u64()?), device: DeviceId(r.array()?), id: MessageId(r.array()?) }),
            _ => return Err(DecodeError::Invalid("read position")),
        };
        // The last number stays free, so that there is always a next one.
        if counter == 0 || counter == u64::MAX {
            return Err(DecodeError::Invalid("counter of a statement"));
        }
        let statement = Statement { device, incarnation, counter, at, floor, root, read };
        Ok(Self { statement, signature: r.array()? })
    }
}

fn write(s: &Statement, w: &mut Writer) {
    w.u8(VERSION).bytes(&s.device.0).bytes(&s.incarnation.0).u64(s.counter).u64(s.at.0).u64(s.floor.0).bytes(&s.root);
    match &s.read {
        None => w.u8(0),
        Some(k) => w.u8(1).u64(k.stamp.0).bytes(&k.device.0).bytes(&k.id.0),
    };
}

fn signed_bytes(s: &Statement, space: &SpaceId) -> Vec<u8> {
    let mut w = Writer::with_capacity(SpaceId::LEN + Signed::MAX);
    w.bytes(&space.0);
    write(s, &mut w);
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(key: &DeviceKey) -> Statement {
        Statement {
            device: key.id(),
            incarnation: Incarnation([3; 16]),
            counter: 7,
            at: Hlc::from_ms(9_000),
            floor: Hlc::from_ms(8_000),
            root: [5; 32],
            read: Some(OrderKey { stamp: Hlc(5), device: DeviceId([6; 32]), id: MessageId([7; 16]) }),
        }
    }

    #[test]
    fn a_statement_comes_back_from_its_one_encoding_and_nothing_shorter_does() {
        let key = DeviceKey::from_seed(&[1; 32]);
        let space = SpaceId([9; 32]);
        for read in [None, statement(&key).read] {
            let signed = Signed::sign(Statement { read, ..statement(&key) }, &space, &key);
            let bytes = signed.encode();
            assert!(bytes.len() <= Signed::MAX && signed.verify(&space));
            let mut r = Reader::new(&bytes);
            assert_eq!(Signed::read(&mut r), Ok(signed));
            assert_eq!(r.remaining(), 0);
            for n in 0..bytes.len() {
                assert!(Signed::read(&mut Reader::new(&bytes[..n])).is_err(), "{n}");
            }
        }
        for counter in [0, u64::MAX] {
            let signed = Signed::sign(Statement { counter, ..statement(&key) }, &space, &key);
            assert!(Signed::read(&mut Reader::new(&signed.encode())).is_err());
        }
    }

    #[test]
    fn every_byte_is_signed_and_so_is_the_space() {
        let key = DeviceKey::from_seed(&[1; 32]);
        let space = SpaceId([9; 32]);
        let signed = Signed::sign(statement(&key), &space, &key);
        assert!(!signed.verify(&SpaceId([8; 32])), "said of another space");
        let bytes = signed.encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let read = Signed::read(&mut Reader::new(&flipped));
            assert!(!read.is_ok_and(|s| s.verify(&space)), "byte {at}");
        }
        let other = DeviceKey::from_seed(&[2; 32]);
        let forged = Signed::sign(statement(&key), &space, &other);
        assert!(!forged.verify(&space), "in another's name");
    }
}
