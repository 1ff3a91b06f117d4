//! Published test vectors of the primitives that sealing and signing are made of: Project Wycheproof (X25519,
//! ChaCha20-Poly1305, XChaCha20-Poly1305, Ed25519) and RFC 9180 (HPKE, the suite that is used). Origins and licences stand
//! in the files.

use std::convert::Infallible;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, XChaCha20Poly1305};
use ed25519_dalek::{Signature, VerifyingKey};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};

type Aead = hpke::aead::ChaCha20Poly1305;

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('-');
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split(' ').collect())
}

#[test]
fn x25519() {
    let mut count = 0;
    for row in rows(include_str!("vectors/x25519.txt")) {
        let [test, public, private, shared] = row[..] else { panic!("{row:?}") };
        let private = x25519_dalek::StaticSecret::from(array::<32>(private));
        let got = private.diffie_hellman(&array::<32>(public).into());
        assert_eq!(got.as_bytes(), &array(shared), "test {test}");
        count += 1;
    }
    assert_eq!(count, 518);
}

/// Seals and opens as every row says; returns how many were to open and how many not.
fn aead<A: AeadInOut + KeyInit>(text: &str) -> (u32, u32) {
    let mut count = (0, 0);
    for row in rows(text) {
        let [test, result, key, nonce, associated, message, sealed, tag] = row[..] else { panic!("{row:?}") };
        let cipher = A::new_from_slice(&hex(key)).unwrap();
        let nonce = hex(nonce);
        let nonce = nonce.as_slice().try_into().unwrap();
        let (associated, message, sealed, tag) = (hex(associated), hex(message), hex(sealed), hex(tag));
        let mut buffer = sealed.clone();
        let mark = tag.as_slice().try_into().unwrap();
        let opened = cipher.decrypt_inout_detached(nonce, &associated, InOutBuf::from(&mut buffer[..]), mark).is_ok();
        assert_eq!(opened, result == "valid", "test {test}");
        if !opened {
            count.1 += 1;
            continue;
        }
        assert_eq!(buffer, message, "test {test}");
        let made = cipher.encrypt_inout_detached(nonce, &associated, InOutBuf::from(&mut buffer[..])).unwrap();
        assert_eq!((buffer, made.to_vec()), (sealed, tag), "test {test}");
        count.0 += 1;
    }
    count
}

#[test]
fn chacha20_poly1305() {
    assert_eq!(aead::<ChaCha20Poly1305>(include_str!("vectors/chacha20_poly1305.txt")), (166, 60));
}

#[test]
fn xchacha20_poly1305() {
    assert_eq!(aead::<XChaCha20Poly1305>(include_str!("vectors/xchacha20_poly1305.txt")), (176, 60));
}

#[test]
fn ed25519_verified_strictly() {
    let mut count = (0, 0);
    for row in rows(include_str!("vectors/ed25519.txt")) {
        let [test, result, public, message, signature] = row[..] else { panic!("{row:?}") };
        let key = VerifyingKey::from_bytes(&array(public)).unwrap();
        let signature = hex(signature);
        // Signatures are 64 bytes long by their type here; the vectors know others too.
        let good = Signature::from_slice(&signature).is_ok_and(|s| key.verify_strict(&hex(message), &s).is_ok());
        assert_eq!(good, result == "valid", "test {test}");
        if good { count.0 += 1 } else { count.1 += 1 }
    }
    assert_eq!(count, (86, 63));
}

/// A generator that gives what it was given.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are asked for")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are asked for")
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.copy_from_slice(&self.0.drain(..dst.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

/// A private key as the curve takes it (RFC 7748); RFC 9180 gives it as it was derived.
fn clamped(mut key: Vec<u8>) -> Vec<u8> {
    key[0] &= 248;
    key[31] = key[31] & 127 | 64;
    key
}

#[test]
fn hpke_base_mode() {
    let all: Vec<(String, String)> =
        rows(include_str!("vectors/rfc9180.txt")).map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let get = |name: &str| hex(&all.iter().find(|(n, _)| n == name).unwrap().1);
    let (private, public) = X25519HkdfSha256::derive_keypair(&get("ikmR"));
    assert_eq!((private.to_bytes().to_vec(), public.to_bytes().to_vec()), (clamped(get("skRm")), get("pkRm")));
    let (ephemeral, _) = X25519HkdfSha256::derive_keypair(&get("ikmE"));
    assert_eq!(ephemeral.to_bytes().to_vec(), clamped(get("skEm")));
    let mut rng = Given(get("ikmE"));
    let (enc, mut sender) =
        setup_sender_with_rng::<Aead, HkdfSha256, X25519HkdfSha256>(&OpModeS::Base, &public, &get("info"), &mut rng)
            .unwrap();
    assert_eq!((enc.to_bytes().to_vec(), rng.0.len()), (get("enc"), 0));
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&get("enc")).unwrap();
    let mut receiver =
        setup_receiver::<Aead, HkdfSha256, X25519HkdfSha256>(&OpModeR::Base, &private, &enc, &get("info")).unwrap();
    let (mut sealed, mut exported, mut next) = (0, 0, 0);
    for lines in all.windows(4) {
        let (names, values): (Vec<&str>, Vec<&str>) = lines.iter().map(|(n, v)| (n.as_str(), v.as_str())).unzip();
        if names == ["sequence_number", "pt", "aad", "ct"] {
            let (at, text, aad, expected) =
                (values[0].parse().unwrap(), hex(values[1]), hex(values[2]), hex(values[3]));
            // Both sides count; the vectors leave some out.
            loop {
                let mut buffer = text.clone();
                let tag = sender.seal_inout_detached(InOutBuf::from(&mut buffer[..]), &aad).unwrap();
                let got = [&buffer[..], &tag.to_bytes()[..]].concat();
                receiver.open_inout_detached(InOutBuf::from(&mut buffer[..]), &aad, &tag).unwrap();
                assert_eq!(buffer, text);
                next += 1;
                if next > at {
                    assert_eq!(got, expected, "number {at}");
                    break;
                }
            }
            sealed += 1;
        }
        if names[..2] == ["exporter_context", "exported_value"] {
            let (mut ours, mut theirs) = ([0; 32], [0; 32]);
            sender.export(&hex(values[0]), &mut ours).unwrap();
            receiver.export(&hex(values[0]), &mut theirs).unwrap();
            assert_eq!((ours.to_vec(), ours), (hex(values[1]), theirs));
            exported += 1;
        }
    }
    // The windows are four lines long, so the last of three exports is looked at on its own.
    let (context, value) = (&all[all.len() - 2], &all[all.len() - 1]);
    let mut last = [0; 32];
    sender.export(&hex(&context.1), &mut last).unwrap();
    assert_eq!((sealed, exported, last.to_vec()), (6, 2, hex(&value.1)));
}
