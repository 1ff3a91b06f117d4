//! Tests of the vault: what opens, what does not, and what a hostile lock costs.

use super::*;
use crate::netkey::PassphraseError;

const WORDS: &str = "correct horse battery staple";
const RANDOM_BYTES: [u8; RANDOM] = [9; RANDOM];

fn key(n: u8) -> DataKey {
    DataKey::new(&[n; 32])
}

fn lock(words: &str) -> Lock {
    Lock::new(words, &key(1), Cost::LEAST, &RANDOM_BYTES).unwrap()
}

#[test]
fn a_value_opens_in_its_place_with_its_key_and_unchanged() {
    let place: [&[u8]; 2] = [b"peers", b"key"];
    for len in [0, 1, 64, 300, 70_000] {
        let value = vec![7; len];
        let sealed = key(1).seal(&place, &value);
        assert_eq!(sealed.len(), len + OVERHEAD);
        assert_eq!(key(1).open(&place, &sealed), Some(value.clone()));
        assert_eq!(key(1).seal(&place, &value), sealed, "a write that is tried again is the same");
        assert_eq!(key(2).open(&place, &sealed), None);
        let elsewhere: [[&[u8]; 2]; 4] =
            [[b"peers", b"kez"], [b"peer", b"skey"], [b"peersk", b"ey"], [b"", b"peerskey"]];
        assert!(elsewhere.iter().all(|place| key(1).open(place, &sealed).is_none()));
    }
    let sealed = key(1).seal(&place, b"some text");
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(key(1).open(&place, &changed), None, "byte {at}");
        assert_eq!(key(1).open(&place, &sealed[..at]), None, "cut to {at}");
    }
}

#[test]
fn two_values_share_a_nonce_only_where_they_are_one() {
    let mut nonces = std::collections::BTreeSet::new();
    for place in 0..20u8 {
        for value in 0..50u8 {
            nonces.insert(key(1).seal(&[b"t", &[place]], &[value])[..NONCE].to_vec());
        }
    }
    assert_eq!(nonces.len(), 1_000);
}

#[test]
fn a_masked_row_keeps_its_length_and_shows_nothing() {
    let place: [&[u8]; 2] = [b"logs", b"key"];
    let row = [5u8; 64];
    let mut masked = row;
    let check = key(1).mask(&place, &mut masked);
    assert!(masked.iter().zip(&row).filter(|(m, r)| m == r).count() < 8);
    fn open(key: &DataKey, place: &[&[u8]], mut row: [u8; 64], check: &[u8; CHECK]) -> Option<[u8; 64]> {
        key.unmask(place, &mut row, check).then_some(row)
    }
    assert_eq!(open(&key(1), &place, masked, &check), Some(row));
    assert_eq!(open(&key(2), &place, masked, &check), None);
    assert_eq!(open(&key(1), &[b"logs", b"kez"], masked, &check), None);
    for at in 0..64 {
        let mut changed = masked;
        changed[at] ^= 1;
        assert_eq!(open(&key(1), &place, changed, &check), None, "byte {at}");
    }
    for at in 0..CHECK {
        let mut changed = check;
        changed[at] ^= 1;
        assert_eq!(open(&key(1), &place, masked, &changed), None, "byte {at} of the check");
    }
}

#[test]
fn a_lock_opens_with_its_passphrase_alone() {
    let one = lock(WORDS);
    assert_eq!(one.open(WORDS), Ok(key(1)));
    assert_eq!(one.open(&format!("  {}\n", WORDS.replace(' ', "   "))), Ok(key(1)), "as it counts");
    for wrong in ["correct horse battery stable", "Correct horse battery staple", "short", "", "a\u{7}b c d e f g h i"]
    {
        assert_eq!(one.open(wrong).unwrap_err(), LockError::Wrong, "{wrong}");
    }
    let text = one.text();
    assert_eq!(Lock::parse(text.as_bytes()), Ok(one.clone()));
    assert_eq!(Lock::parse(text.replace('\n', "\r\n").as_bytes()), Ok(one.clone()));
    assert!(!text.contains(&crate::ids::base32(&[1; 32])[..20]), "the data key is not in it");
    // The same words elsewhere make another lock.
    let other = Lock::new(WORDS, &key(1), Cost::LEAST, &[8; RANDOM]).unwrap();
    assert!(other.text() != text && other.open(WORDS) == Ok(key(1)));
    let short = Lock::new("too short", &key(1), Cost::LEAST, &RANDOM_BYTES);
    assert_eq!(short.unwrap_err(), LockError::Passphrase(PassphraseError::TooShort));
}

#[test]
fn what_the_product_makes_costs_what_it_promises() {
    assert_eq!(Cost::PRODUCT, Cost { kib: 64 * 1024, passes: 3 });
    let made = Lock::new(WORDS, &key(1), Cost::PRODUCT, &RANDOM_BYTES).unwrap();
    assert!(made.text().contains("\nargon2id 65536 3\n"));
    assert_eq!(Lock::parse(made.text().as_bytes()).unwrap().open(WORDS), Ok(key(1)));
}

/// The text with another body and the checksum of that.
fn checked(text: &str, from: &str, to: &str) -> String {
    let body = text.rsplit_once("check ").unwrap().0.replacen(from, to, 1);
    let check = crate::ids::base32(&crate::ids::domain_hash("cairn 2026 lock file", &[body.as_bytes()])[..16]);
    format!("{body}check {check}\n")
}

#[test]
fn a_changed_lock_is_damaged_and_a_made_up_one_costs_little() {
    let text = lock(WORDS).text();
    let mut bad = vec![Vec::new(), b"garbage".to_vec(), vec![0xff; 100], vec![b'a'; 10_000]];
    bad.extend((0..text.len() - 1).map(|n| text.as_bytes()[..n].to_vec()));
    for at in 0..text.len() - 1 {
        let mut flipped = text.clone().into_bytes();
        flipped[at] ^= 1;
        bad.push(flipped);
    }
    for bytes in bad {
        let error = Lock::parse(&bytes).unwrap_err();
        assert!(matches!(error, LockError::Damaged(_) | LockError::Newer), "{error} {bytes:?}");
    }
    assert_eq!(Lock::parse(checked(&text, "lock 1", "lock 2").as_bytes()), Err(LockError::Newer));
    // With a checksum that fits, by somebody who wants the owner's machine to choke.
    let costs =
        ["4294967295 1", "8 4294967295", "262145 1", "8 17", "0 1", "8 0", "7 1", "08 1", "+8 1", "8", "8 1 1", "-1 1"];
    for cost in costs {
        let hostile = checked(&text, "argon2id 8 1", &format!("argon2id {cost}"));
        assert!(matches!(Lock::parse(hostile.as_bytes()), Err(LockError::Damaged(_))), "{cost}");
    }
    // One that asks for less is another key: the costs are under the seal.
    let cheaper = checked(&text, "argon2id 8 1", "argon2id 9 1");
    assert_eq!(Lock::parse(cheaper.as_bytes()).unwrap().open(WORDS), Err(LockError::Wrong));
    let other = checked(&text, &crate::ids::base32(&key(1).tag().0), &crate::ids::base32(&key(2).tag().0));
    assert_eq!(Lock::parse(other.as_bytes()).unwrap().open(WORDS), Err(LockError::Wrong));
}

#[test]
fn a_proof_is_of_one_key_and_challenge() {
    let proof = *key(1).proof(&[3; 16]).as_bytes();
    assert!(key(1).proves(&[3; 16], &proof));
    assert!(!key(1).proves(&[4; 16], &proof) && !key(2).proves(&[3; 16], &proof));
}
