//! The device key: signing and strict verification.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::ids::DeviceId;

/// A device's secret key and its id.
#[derive(Clone)]
pub struct DeviceKey {
    key: SigningKey,
    id: DeviceId,
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceKey({})", self.id.short())
    }
}

impl DeviceKey {
    /// The key of a 32-byte Ed25519 seed (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let id = DeviceId(key.verifying_key().to_bytes());
        Self { key, id }
    }

    /// The seed, for the key file and for TLS.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Signs `domain`, a zero byte, and `message`.
    #[must_use]
    pub fn sign(&self, domain: &'static str, message: &[u8]) -> [u8; 64] {
        self.key.sign(&with_domain(domain, message)).to_bytes()
    }
}

/// Verifies a signature made by [`DeviceKey::sign`]; `verify_strict` only, since batch verification disagrees with it
/// on crafted signatures and replicas must agree.
#[must_use]
pub fn verify(device: &DeviceId, domain: &'static str, message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(&device.0)
        .is_ok_and(|key| key.verify_strict(&with_domain(domain, message), &Signature::from_bytes(signature)).is_ok())
}

fn with_domain(domain: &'static str, message: &[u8]) -> Vec<u8> {
    let mut m = Vec::with_capacity(domain.len() + 1 + message.len());
    m.extend_from_slice(domain.as_bytes());
    m.push(0);
    m.extend_from_slice(message);
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_key_domain_and_message() {
        let (a, b) = (DeviceKey::from_seed(&[1; 32]), DeviceKey::from_seed(&[2; 32]));
        let s = a.sign("d", b"m");
        assert!(verify(&a.id(), "d", b"m", &s));
        assert!(!verify(&b.id(), "d", b"m", &s));
        assert!(!verify(&a.id(), "e", b"m", &s));
        assert!(!verify(&a.id(), "d", b"n", &s));
        assert!(!verify(&DeviceId([0; 32]), "d", b"m", &s));
    }
}
