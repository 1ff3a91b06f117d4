//! The one HPKE suite that is used, in base mode and for one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.

use std::convert::Infallible;

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{
    Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable, single_shot_open_inout_detached,
    single_shot_seal_inout_detached_with_rng,
};
use zeroize::{Zeroize, Zeroizing};

use crate::ids::domain_hash;

/// Length of a key, public or private, and of an encapsulated one.
pub(super) const KEY: usize = 32;
/// Length of a tag.
pub(super) const TAG: usize = 16;

/// Random bytes that were given, for a library that asks for a generator. It takes exactly 32; should it ever take more,
/// it gets a hash of those.
struct Given {
    seed: Zeroizing<[u8; 32]>,
    at: usize,
}

impl Given {
    fn byte(&mut self) -> u8 {
        if self.at >= self.seed.len() {
            *self.seed = domain_hash("cairn 2026 random bytes go on", &[self.seed.as_slice()]);
            self.at = 0;
        }
        let byte = self.seed.get(self.at).copied().unwrap_or_default();
        self.at = self.at.saturating_add(1);
        byte
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.iter_mut().for_each(|b| *b = self.byte());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

/// The key pair of 32 random bytes (RFC 9180, section 7.1.3): private, public.
pub(super) fn key_pair(random: &[u8; 32]) -> (Zeroizing<[u8; KEY]>, [u8; KEY]) {
    let (private, public) = X25519HkdfSha256::derive_keypair(random);
    let mut bytes = private.to_bytes();
    let pair = (Zeroizing::new(bytes.into()), public.to_bytes().into());
    bytes.zeroize();
    pair
}

/// The public half of a private key.
pub(super) fn public_of(private: &[u8; KEY]) -> Result<[u8; KEY], HpkeError> {
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(private)?;
    Ok(X25519HkdfSha256::sk_to_pk(&private).to_bytes().into())
}

/// Seals `text` in place; returns the encapsulated key and the tag. Fails where the public key is a point of low order.
pub(super) fn seal(
    random: &[u8; 32],
    public: &[u8; KEY],
    info: &[u8],
    associated: &[u8],
    text: &mut [u8],
) -> Result<([u8; KEY], [u8; TAG]), HpkeError> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public)?;
    let mut given = Given { seed: Zeroizing::new(*random), at: 0 };
    let (key, tag) = single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        info,
        InOutBuf::from(text),
        associated,
        &mut given,
    )?;
    Ok((key.to_bytes().into(), tag.to_bytes().into()))
}

/// Opens `text` in place. Where it fails, what is left in `text` is worthless.
pub(super) fn open(
    private: &[u8; KEY],
    key: &[u8; KEY],
    info: &[u8],
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), HpkeError> {
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(private)?;
    let key = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(key)?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag)?;
    single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &key,
        info,
        InOutBuf::from(text),
        associated,
        &tag,
    )
}
