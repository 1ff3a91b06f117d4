//! The secret of an epoch, its id, and the keys that are made of it.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{Domain, EpochId, SpaceId};

/// The secret of an epoch: 32 random bytes, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct EpochSecret([u8; 32]);

impl std::fmt::Debug for EpochSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EpochSecret")
    }
}

impl EpochSecret {
    /// A secret of 32 random bytes, or one that was stored.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The bytes, for the store.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the epoch that the secret is of, in a space: a commitment to both.
    #[must_use]
    pub fn id(&self, space: &SpaceId) -> EpochId {
        static DOMAIN: Domain = Domain::new("cairn 2026 epoch id");
        EpochId(DOMAIN.hash(&[&space.0, &self.0]))
    }
}

/// An epoch whose secret is known.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Epoch {
    #[zeroize(skip)]
    space: SpaceId,
    #[zeroize(skip)]
    id: EpochId,
    secret: EpochSecret,
    /// Seals content.
    pub(super) content: [u8; 32],
    /// Makes nonces.
    pub(super) nonce: [u8; 32],
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Epoch({})", self.id.short())
    }
}

impl Epoch {
    /// The epoch of a secret in a space.
    #[must_use]
    pub fn new(space: SpaceId, secret: EpochSecret) -> Self {
        let id = secret.id(&space);
        let content = derive("cairn 2026 epoch content key", &id, &secret);
        let nonce = derive("cairn 2026 epoch nonce key", &id, &secret);
        Self { space, id, secret, content, nonce }
    }

    /// The id, which entries name.
    #[must_use]
    pub fn id(&self) -> EpochId {
        self.id
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// The secret, for the store and for sealing it to others.
    #[must_use]
    pub fn secret(&self) -> &EpochSecret {
        &self.secret
    }
}

/// A key for one use: BLAKE3 in key derivation mode over id (which binds the space) and secret.
fn derive(context: &str, id: &EpochId, secret: &EpochSecret) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&id.0).update(secret.expose());
    let key = *hasher.finalize().as_bytes();
    hasher.zeroize();
    key
}
