//! Connection ids and reset tokens derived from the device key, so that a node that was killed and started again tells
//! its old peers at once that their connections are gone, instead of letting them run into the idle timeout.

use std::sync::Arc;

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::domain_hash;
use quinn::EndpointConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn_proto::HashedConnectionIdGenerator;

/// The endpoint's configuration; the same for every start of one device.
pub(super) fn endpoint_config(key: &DeviceKey) -> EndpointConfig {
    let secret = |domain| domain_hash(domain, &[&key.seed()]);
    let [a, b, c, d, e, f, g, h, ..] = secret("cairn 2026 quic connection ids");
    let ids = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(secret("cairn 2026 quic reset key"))));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// Makes the token of a connection id: whoever shows it may reset the connection.
struct ResetKey([u8; 32]);

impl ResetKey {
    fn token(&self, data: &[u8]) -> [u8; 32] {
        domain_hash("cairn 2026 quic reset token", &[&self.0, data])
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.iter_mut().zip(self.token(data)).for_each(|(s, t)| *s = t);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if self.token(data) == *signature { Ok(()) } else { Err(CryptoError) }
    }
}
