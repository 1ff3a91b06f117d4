//! The secret of an epoch, sealed to one device.

use zeroize::{Zeroize, Zeroizing};

use super::suite::{self, KEY, TAG};
use super::{Epoch, EpochSecret, Prekey, PrekeyRing};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{DeviceId, EpochId, SpaceId};

/// Why a secret was not sealed to a device, or why a share gives no key. Whoever cannot open a share lacks a key; that is
/// never a verdict on what is sealed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The prekey is one of the few points to which everything is the same.
    #[error("nothing can be sealed to the key that {} published", .0.code())]
    BadPrekey(DeviceId),
    /// The private half of the prekey is not here (any more).
    #[error("it is sealed to key {0} of this device, which is not here")]
    NoPrekey(u32),
    /// It does not open.
    #[error("it was not sealed to this device for this key, or was damaged")]
    NotOpened,
    /// It holds another secret than the id commits to.
    #[error("it holds another key than it says")]
    OtherSecret,
}

/// The secret of an epoch, sealed to one prekey of one device. Neither epoch nor device are named in it, both are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The number of the prekey.
    pub prekey: u32,
    key: [u8; KEY],
    sealed: [u8; 32],
    tag: [u8; TAG],
}

/// What a share is for.
fn info(space: &SpaceId, epoch: &EpochId, device: &DeviceId) -> Vec<u8> {
    let mut info = b"cairn 2026 epoch share\0".to_vec();
    info.extend_from_slice(&space.0);
    info.extend_from_slice(&epoch.0);
    info.extend_from_slice(&device.0);
    info
}

impl Share {
    /// Length of the canonical bytes: prekey u32 · encapsulated key 32 · sealed secret 32 · tag 16.
    pub const LEN: usize = 4 + KEY + 32 + TAG;

    /// Seals the secret of an epoch to a prekey, whose signature was verified. The same 32 random bytes serve for all
    /// devices of an epoch: each ephemeral key is made of them, the secret and the prekey, so that random bytes which come
    /// twice, as on a copied machine, give the same share again or one that has nothing in common with it.
    ///
    /// # Errors
    /// [`ShareError::BadPrekey`].
    pub fn seal(epoch: &Epoch, to: &Prekey, random: &[u8; 32]) -> Result<Self, ShareError> {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026 epoch share ephemeral key");
        hasher.update(random).update(epoch.secret().expose()).update(&epoch.space().0);
        hasher.update(&to.device.0).update(&to.public);
        let ephemeral = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        let mut sealed = *epoch.secret().expose();
        let info = info(&epoch.space(), &epoch.id(), &to.device);
        match suite::seal(&ephemeral, &to.public, &info, &[], &mut sealed) {
            Ok((key, tag)) => Ok(Self { prekey: to.number, key, sealed, tag }),
            Err(_) => {
                sealed.zeroize();
                Err(ShareError::BadPrekey(to.device))
            }
        }
    }

    /// Opens a share of an epoch of a space with the private prekeys of the device that it is for.
    ///
    /// # Errors
    /// [`ShareError`]: the key is missing then.
    pub fn open(&self, space: &SpaceId, epoch: &EpochId, ring: &PrekeyRing) -> Result<Epoch, ShareError> {
        let private = ring.private(self.prekey).ok_or(ShareError::NoPrekey(self.prekey))?;
        let info = info(space, epoch, &ring.device());
        let mut secret = Zeroizing::new(self.sealed);
        suite::open(private, &self.key, &info, &[], secret.as_mut_slice(), &self.tag)
            .map_err(|_| ShareError::NotOpened)?;
        let opened = Epoch::new(*space, EpochSecret::new(*secret));
        if opened.id() == *epoch { Ok(opened) } else { Err(ShareError::OtherSecret) }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.u32(self.prekey).bytes(&self.key).bytes(&self.sealed).bytes(&self.tag);
        w.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] where they have another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let share = Self { prekey: r.u32()?, key: r.array()?, sealed: r.array()?, tag: r.array()? };
        r.finish()?;
        Ok(share)
    }
}
