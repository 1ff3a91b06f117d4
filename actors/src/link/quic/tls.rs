//! TLS 1.3 with raw Ed25519 public keys both ways (RFC 7250): the key in the handshake is the device's id, so there are
//! no certificates, no names and no authorities. No resumption, no early data, X25519 only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::DeviceId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme};

/// The application protocol; a break of the wire format raises the number.
pub const ALPN: &[u8] = b"cairn/1";

/// What stands before the 32 key bytes in the only form of an Ed25519 SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the seed in a PKCS#8 Ed25519 private key (RFC 8410).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The public key of a device as DER.
#[must_use]
pub fn spki(device: &DeviceId) -> Vec<u8> {
    let mut der = Vec::with_capacity(44);
    der.extend_from_slice(&SPKI_PREFIX);
    der.extend_from_slice(&device.0);
    der
}

/// The device of a DER public key: exactly the one encoding of an Ed25519 key, else `None`.
#[must_use]
pub fn device_of_spki(der: &[u8]) -> Option<DeviceId> {
    let key = der.strip_prefix(&SPKI_PREFIX)?;
    Some(DeviceId(key.try_into().ok()?))
}

/// What the verifier of one dial found out, for an error that says more than an alert does.
#[derive(Debug, Default)]
pub struct DialVerdict(AtomicU8);

impl DialVerdict {
    const WRONG: u8 = 1;
    const ONESELF: u8 = 2;

    /// Whether the peer proved another key than expected.
    pub fn wrong_peer(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::WRONG
    }

    /// Whether the peer is this very device.
    pub fn oneself(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ONESELF
    }
}

/// Both halves of the TLS configuration of one device.
#[derive(Debug, Clone)]
pub struct Tls {
    me: DeviceId,
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
}

impl Tls {
    /// The configuration of a device.
    ///
    /// # Errors
    /// If the crypto provider refuses the key, which a seed of 32 bytes never makes it do.
    pub fn new(key: &DeviceKey) -> Result<Self, Error> {
        let mut provider = ring::default_provider();
        provider.kx_groups = vec![ring::kx_group::X25519];
        let mut der = PKCS8_PREFIX.to_vec();
        der.extend_from_slice(&key.seed());
        let signing = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)))?;
        let certified = CertifiedKey::new(vec![CertificateDer::from(spki(&key.id()))], signing);
        Ok(Self { me: key.id(), provider: Arc::new(provider), key: Arc::new(certified) })
    }

    /// The accepting half.
    ///
    /// # Errors
    /// If the provider lacks TLS 1.3, which ring does not.
    pub fn server(&self) -> Result<QuicServerConfig, Error> {
        let verifier = Arc::new(Verifier::new(self, None, Arc::default()));
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        QuicServerConfig::try_from(config).map_err(|e| Error::General(e.to_string()))
    }

    /// The dialling half, for one dial: the peer must prove `expect`, if given, before we show our own key.
    ///
    /// # Errors
    /// If the provider lacks TLS 1.3, which ring does not.
    pub fn client(&self, expect: Option<DeviceId>) -> Result<(QuicClientConfig, Arc<DialVerdict>), Error> {
        let verdict = Arc::new(DialVerdict::default());
        let verifier = Arc::new(Verifier::new(self, expect, verdict.clone()));
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.key.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        let quic = QuicClientConfig::try_from(config).map_err(|e| Error::General(e.to_string()))?;
        Ok((quic, verdict))
    }
}

/// Accepts exactly raw Ed25519 keys; the signature over the handshake proves that the peer holds the secret half.
#[derive(Debug)]
struct Verifier {
    me: DeviceId,
    expect: Option<DeviceId>,
    verdict: Arc<DialVerdict>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(tls: &Tls, expect: Option<DeviceId>, verdict: Arc<DialVerdict>) -> Self {
        Self { me: tls.me, expect, verdict, algorithms: tls.provider.signature_verification_algorithms }
    }

    fn check(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
        let device = device_of_spki(end_entity).filter(|_| intermediates.is_empty());
        let device = device.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if device == self.me {
            self.verdict.0.store(DialVerdict::ONESELF, Ordering::Relaxed);
        } else if self.expect.is_some_and(|e| e != device) {
            self.verdict.0.store(DialVerdict::WRONG, Ordering::Relaxed);
        } else {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

fn no_tls12() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic)
}

/// What both verifier traits ask of the signature over the handshake, in the same words.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(no_tls12())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.check_signature(message, cert, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_encoding_of_an_ed25519_key_is_a_device() {
        let id = DeviceKey::from_seed(&[7; 32]).id();
        let der = spki(&id);
        assert_eq!(device_of_spki(&der), Some(id));
        assert_eq!(device_of_spki(&der[..43]), None);
        let mut longer = der.clone();
        longer.push(0);
        assert_eq!(device_of_spki(&longer), None);
        let mut other = der;
        other[8] = 0x6e; // X25519
        assert_eq!(device_of_spki(&other), None);
    }
}
