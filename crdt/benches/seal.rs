//! What sealing costs: `cargo bench -p cairn-crdt --bench seal`. Medians of eleven rounds that alternate in one process;
//! beside each stands the physical limit, the bare primitive on the same bytes, and how many times that it takes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use cairn_crdt::entry::Header;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, SpaceId};
use cairn_crdt::seal::{Epoch, EpochSecret, OVERHEAD, Prekey, PrekeyRing, Share};
use cairn_crdt::writer::{LogTip, LogWriter, Named};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use x25519_dalek::{PublicKey, StaticSecret};

const ROUNDS: usize = 11;
const MEMBERS: usize = 1000;
const SPACE: SpaceId = SpaceId([5; 32]);

/// Microseconds that each of `n` runs takes.
fn time(n: usize, mut run: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    (0..n).for_each(&mut run);
    start.elapsed().as_secs_f64() * 1e6 / n as f64
}

/// Takes what was made, so that it is made.
fn keep<T>(made: T) {
    black_box(made);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Runs both in turn and prints their medians.
fn line(what: &str, mut ours: impl FnMut() -> f64, limit: &str, mut bare: impl FnMut() -> f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        b.push(bare());
    }
    let (a, b) = (median(a), median(b));
    println!("{what:<38} {a:>12.2}   {limit:<34} {b:>12.2} {:>7.2}", a / b);
}

fn device(n: usize) -> (PrekeyRing, Prekey) {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    let key = DeviceKey::from_seed(&seed);
    let mut ring = PrekeyRing::new(key.id());
    let prekey = ring.make(&key, 1, &seed);
    (ring, prekey)
}

/// The header of a sealed message.
fn header(epoch: &Epoch, content: &[u8]) -> Header {
    let key = DeviceKey::from_seed(&[1; 32]);
    let log = LogId { document: DocumentId::chat(1, 0), device: key.id(), incarnation: Incarnation([1; 16]) };
    let mut pen = LogWriter::new(key, SPACE, log, LogTip::EMPTY);
    pen.write_sealed(content, Hlc(7), Named::default(), epoch).unwrap().signed.header
}

fn main() {
    let devices: Vec<_> = (0..MEMBERS).map(device).collect();
    let epoch = Epoch::new(SPACE, EpochSecret::new([7; 32]));
    println!("{:<38} {:>12}   {:<34} {:>12} {:>7}", "us each", "ours", "the limit", "limit", "ratio");

    // Two products with a fixed point (the ephemeral key, made and then taken again) are not needed: the limit is one, and
    // one with the prekey.
    let secrets: Vec<_> = (0..MEMBERS).map(|n| StaticSecret::from([n as u8 | 1; 32])).collect();
    let publics: Vec<_> = devices.iter().map(|(_, p)| PublicKey::from(p.public)).collect();
    line(
        "an epoch sealed to 1,000 members",
        || time(1, |_| devices.iter().for_each(|(_, p)| keep(Share::seal(&epoch, p, &[3; 32]).unwrap()))),
        "X25519, 1,000 key pairs and secrets",
        || {
            time(1, |_| {
                for (secret, public) in secrets.iter().zip(&publics) {
                    black_box((PublicKey::from(secret), secret.diffie_hellman(public)));
                }
            })
        },
    );
    let (ring, prekey) = &devices[0];
    let share = Share::seal(&epoch, prekey, &[3; 32]).unwrap();
    line(
        "a share opened",
        || time(100, |_| keep(share.open(&SPACE, &epoch.id(), ring).unwrap())),
        "X25519, one secret",
        || time(100, |n| keep(secrets[n].diffie_hellman(&publics[n]))),
    );
    line(
        "a prekey verified",
        || time(100, |_| assert!(black_box(prekey.verify()))),
        "X25519, one secret",
        || time(100, |n| keep(secrets[n].diffie_hellman(&publics[n]))),
    );
    for len in [100, 300, 3000, 100_000] {
        let content = vec![b'x'; len];
        let header = header(&epoch, &content);
        let runs = if len > 10_000 { 50 } else { 2000 };
        let payload = epoch.seal(&header, &content).unwrap();
        assert_eq!(payload.len(), len + OVERHEAD);
        let bare = || {
            let mut buffer = content.clone();
            let (cipher, nonce) = (XChaCha20Poly1305::new(&[7; 32].into()), XNonce::from([9; 24]));
            time(runs, |_| {
                let tag = cipher.encrypt_inout_detached(&nonce, &[0; 232], InOutBuf::from(&mut buffer[..])).unwrap();
                black_box(tag);
            })
        };
        let limit = format!("XChaCha20-Poly1305, {len} bytes in place");
        line(
            &format!("a message of {len} bytes sealed"),
            || time(runs, |_| keep(epoch.seal(&header, &content).unwrap())),
            &limit,
            bare,
        );
        line(
            &format!("a message of {len} bytes opened"),
            || time(runs, |_| keep(epoch.open(&header, &payload).unwrap())),
            &limit,
            bare,
        );
    }
}
