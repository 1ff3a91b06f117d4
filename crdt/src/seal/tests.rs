//! Sealing: round trips, tampering at every byte, bounds, and the life of prekeys.

use zeroize::ZeroizeOnDrop;

use super::*;
use crate::entry::{Entry, Header, MAX_PAYLOAD, SignedHeader, payload_hash};
use crate::hlc::Hlc;
use crate::identity::DeviceKey;
use crate::ids::{DocumentId, EntryHash, EpochId, Incarnation, LogId, SpaceId};
use crate::period::{DAY_MS, HOUR_MS, WEEK_MS};
use crate::writer::{LogTip, LogWriter, Named, WriteError};

const SPACE: SpaceId = SpaceId([5; 32]);
const NOW: u64 = 2968 * WEEK_MS;

fn device(n: u8) -> DeviceKey {
    DeviceKey::from_seed(&[n; 32])
}

fn epoch(n: u8) -> Epoch {
    Epoch::new(SPACE, EpochSecret::new([n; 32]))
}

/// A device with a published prekey.
fn ring(n: u8) -> (PrekeyRing, Prekey) {
    let mut ring = PrekeyRing::new(device(n).id());
    let prekey = ring.make(&device(n), NOW, &[n; 32]);
    ring.published(prekey.number, NOW);
    (ring, prekey)
}

fn pen() -> LogWriter {
    let log = LogId { document: DocumentId::chat(1, 0), device: device(1).id(), incarnation: Incarnation([1; 16]) };
    LogWriter::new(device(1), SPACE, log, LogTip::EMPTY)
}

fn named(heads: &[u8]) -> Named {
    Named { control_heads: heads.iter().map(|n| EntryHash([*n; 32])).collect(), ..Named::default() }
}

/// `bytes` with each bit flipped in turn.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit, changed)
    })
}

#[test]
fn a_sealed_entry_opens_with_its_key_alone() {
    let (mut pen, e) = (pen(), epoch(1));
    for content in [&b""[..], b"x", b"the eagle lands at nine"] {
        let entry = pen.write_sealed(content, Hlc(7), named(&[1, 2]), &e).unwrap();
        assert!(entry.signed.verify());
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        let payload = entry.payload.clone().unwrap();
        assert_eq!((entry.header().epoch, payload.len()), (e.id(), content.len() + OVERHEAD));
        assert!(content.len() < 2 || !payload.windows(content.len()).any(|w| w == content));
        assert_eq!(e.open(entry.header(), &payload).unwrap(), content);
        assert_eq!(epoch(2).open(entry.header(), &payload), Err(OpenError::OtherEpoch));
        // A secret that claims the id of another one opens nothing.
        let header = Header { epoch: epoch(2).id(), ..entry.header().clone() };
        assert_eq!(epoch(2).open(&header, &payload), Err(OpenError::Forged));
        let elsewhere = Epoch::new(SpaceId([6; 32]), EpochSecret::new([1; 32]));
        assert_ne!(elsewhere.id(), e.id(), "the id commits to the space too");
        assert_eq!(elsewhere.open(entry.header(), &payload), Err(OpenError::OtherEpoch));
    }
}

#[test]
fn no_bit_of_payload_or_header_can_be_changed() {
    let e = epoch(1);
    let entry = pen().write_sealed(b"retreat", Hlc(7), named(&[1, 2]), &e).unwrap();
    let (header, payload) = (entry.header().clone(), entry.payload.clone().unwrap());
    for (bit, changed) in flips(&payload) {
        assert_eq!(e.open(&header, &changed), Err(OpenError::Forged), "bit {bit}");
    }
    let hash = payload_hash(&payload);
    let mut decoded = 0;
    for (bit, changed) in flips(&header.encode()) {
        let Ok(other) = Header::decode(&mut crate::codec::Reader::new(&changed)) else { continue };
        decoded += 1;
        if other.payload_hash == hash {
            let opened = e.open(&other, &payload);
            assert!(opened.is_err(), "bit {bit}");
        }
    }
    assert!(decoded > 1000, "most changed headers are headers: {decoded}");
    // The payload's hash is the signature's business: it cannot be known while the payload is sealed.
    let other = Header { payload_hash: [0; 32], ..header };
    assert!(e.open(&other, &payload).is_ok());
    let forged = SignedHeader { header: other, ..entry.signed };
    assert!(!forged.verify());
}

#[test]
fn lengths_are_bounded() {
    let e = epoch(1);
    let mut pen = pen();
    let entry = pen.write_sealed(&vec![7; MAX_CONTENT], Hlc(1), Named::default(), &e).unwrap();
    assert_eq!(entry.payload.as_ref().unwrap().len(), MAX_PAYLOAD);
    assert_eq!(e.open(entry.header(), entry.payload.as_ref().unwrap()).unwrap().len(), MAX_CONTENT);
    let tip = pen.tip();
    let more = pen.write_sealed(&vec![7; MAX_CONTENT + 1], Hlc(1), Named::default(), &e);
    assert_eq!(more, Err(WriteError::TooLarge(MAX_PAYLOAD + 1)));
    assert_eq!(pen.tip(), tip, "nothing was written");
    let header = Header { payload_len: (MAX_PAYLOAD + 1) as u32, ..entry.header().clone() };
    assert_eq!(e.seal(&header, &vec![7; MAX_CONTENT + 1]), Err(SealError::TooLarge(MAX_CONTENT + 1)));
    for len in 0..OVERHEAD {
        let header = Header { payload_len: len as u32, ..entry.header().clone() };
        assert_eq!(e.open(&header, &vec![0; len]), Err(OpenError::Length(len)));
    }
    let long = vec![0; MAX_PAYLOAD + 1];
    assert_eq!(e.open(&header, &long), Err(OpenError::Length(MAX_PAYLOAD + 1)));
    assert_eq!(e.open(entry.header(), &long[..50]), Err(OpenError::Length(50)));
    let header = Header { epoch: EpochId::NONE, ..entry.header().clone() };
    assert_eq!(e.seal(&header, b"x"), Err(SealError::Header));
    assert_eq!(e.seal(entry.header(), b"x"), Err(SealError::Header));
}

#[test]
fn two_lives_of_one_machine_never_share_a_nonce() {
    // Two copies of a pen go on from one place, as from one snapshot, with the same stamp and the same everything.
    let e = epoch(1);
    let nonce = |entry: &Entry| entry.payload.as_ref().unwrap()[..24].to_vec();
    let write = |content: &[u8]| pen().write_sealed(content, Hlc(7), Named::default(), &e).unwrap();
    let (a, b) = (write(b"yes"), write(b"no!"));
    assert_eq!((a.header().seq, a.header().hlc, a.header().prev), (b.header().seq, b.header().hlc, b.header().prev));
    assert_ne!(nonce(&a), nonce(&b));
    assert_eq!(write(b"yes"), a, "the same entry, not another with the same nonce");
    let later = pen().write_sealed(b"yes", Hlc(8), Named::default(), &e).unwrap();
    assert_ne!(nonce(&a), nonce(&later));
    let other = pen().write_sealed(b"yes", Hlc(7), Named::default(), &epoch(2)).unwrap();
    assert_ne!(nonce(&a), nonce(&other));
}

#[test]
fn a_share_opens_for_its_device_and_epoch_alone() {
    let ((a, to_a), (b, to_b)) = (ring(1), ring(2));
    let e = epoch(1);
    let share = Share::seal(&e, &to_a, &[3; 32]).unwrap();
    assert_eq!(share.encode().len(), Share::LEN);
    assert_eq!(Share::decode(&share.encode()).unwrap(), share);
    let opened = share.open(&SPACE, &e.id(), &a).unwrap();
    assert_eq!((opened.id(), opened.secret()), (e.id(), e.secret()));
    assert_eq!(share.open(&SPACE, &e.id(), &b).unwrap_err(), ShareError::NotOpened);
    assert_eq!(share.open(&SpaceId([6; 32]), &e.id(), &a).unwrap_err(), ShareError::NotOpened);
    assert_eq!(share.open(&SPACE, &epoch(2).id(), &a).unwrap_err(), ShareError::NotOpened);
    // The same random bytes for another device, or another secret, are another ephemeral key.
    let keys = |s: &Share| s.encode()[4..36].to_vec();
    let others = [Share::seal(&e, &to_b, &[3; 32]).unwrap(), Share::seal(&epoch(2), &to_a, &[3; 32]).unwrap()];
    assert!(others.iter().all(|o| keys(o) != keys(&share)));
    assert_eq!(Share::seal(&e, &to_a, &[3; 32]).unwrap(), share);
    assert_ne!(Share::seal(&e, &to_a, &[4; 32]).unwrap(), share);
}

#[test]
fn no_bit_of_a_share_can_be_changed_and_its_length_is_fixed() {
    let (a, to_a) = ring(1);
    let e = epoch(1);
    let share = Share::seal(&e, &to_a, &[3; 32]).unwrap();
    for (bit, changed) in flips(&share.encode()) {
        // The highest bit of an X25519 key is not looked at (RFC 7748), but the HPKE context holds the bytes as sent.
        let error = Share::decode(&changed).unwrap().open(&SPACE, &e.id(), &a).unwrap_err();
        let number = u32::from_be_bytes(changed[..4].try_into().unwrap());
        let expected = if bit < 32 { ShareError::NoPrekey(number) } else { ShareError::NotOpened };
        assert_eq!(error, expected, "bit {bit}");
    }
    for len in (0..=2 * Share::LEN).filter(|n| *n != Share::LEN) {
        assert!(Share::decode(&vec![0; len]).is_err());
    }
}

#[test]
fn a_share_that_holds_another_secret_is_a_missing_key() {
    // A member seals his own secret, under the id of another epoch.
    let (a, to_a) = ring(1);
    let (real, false_one) = (epoch(1), epoch(2));
    let mut info = b"cairn 2026 epoch share\0".to_vec();
    info.extend_from_slice(&SPACE.0);
    info.extend_from_slice(&real.id().0);
    info.extend_from_slice(&device(1).id().0);
    let mut sealed = *false_one.secret().expose();
    let (key, tag) = suite::seal(&[9; 32], &to_a.public, &info, &[], &mut sealed).unwrap();
    let mut bytes = to_a.number.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[&key[..], &sealed[..], &tag[..]].concat());
    let share = Share::decode(&bytes).unwrap();
    assert_eq!(share.open(&SPACE, &real.id(), &a).unwrap_err(), ShareError::OtherSecret);
}

#[test]
fn nothing_is_sealed_to_a_point_of_low_order() {
    let (_, mut to) = ring(1);
    // 0, 1, p - 1, p and p + 1 (Wycheproof, flag LowOrderPublic).
    let low = [
        [0; 32],
        core::array::from_fn(|i| u8::from(i == 0)),
        core::array::from_fn(|i| {
            if i == 0 {
                0xec
            } else if i == 31 {
                0x7f
            } else {
                0xff
            }
        }),
        core::array::from_fn(|i| {
            if i == 0 {
                0xed
            } else if i == 31 {
                0x7f
            } else {
                0xff
            }
        }),
        core::array::from_fn(|i| {
            if i == 0 {
                0xee
            } else if i == 31 {
                0x7f
            } else {
                0xff
            }
        }),
    ];
    for public in low {
        to.public = public;
        assert_eq!(Share::seal(&epoch(1), &to, &[3; 32]), Err(ShareError::BadPrekey(device(1).id())));
    }
}

#[test]
fn a_prekey_is_signed_by_its_device() {
    let (_, prekey) = ring(1);
    assert!(prekey.verify());
    let bytes = prekey.encode();
    assert_eq!((bytes.len(), Prekey::decode(&bytes).unwrap()), (Prekey::LEN, prekey));
    for (bit, changed) in flips(&bytes) {
        assert!(!Prekey::decode(&changed).unwrap().verify(), "bit {bit}");
    }
    for len in (0..=2 * Prekey::LEN).filter(|n| *n != Prekey::LEN) {
        assert!(Prekey::decode(&vec![0; len]).is_err());
    }
}

#[test]
fn a_prekey_lives_until_two_successors_are_published_and_sixty_days_have_passed() {
    let key = device(1);
    let mut ring = PrekeyRing::new(key.id());
    assert!(ring.is_due(NOW));
    let first = ring.make(&key, NOW, &[1; 32]);
    assert_eq!((ring.is_due(NOW + WEEK_MS - 1), ring.is_due(NOW + WEEK_MS)), (false, true));
    assert_eq!(ring.last(), Some((&first, false)));
    ring.published(first.number, NOW + 5);
    assert_eq!(ring.last(), Some((&first, true)));
    let second = ring.make(&key, NOW + WEEK_MS, &[1; 32]);
    assert_ne!(second.public, first.public, "the same random bytes on a copied machine make another key");
    ring.published(second.number, NOW + WEEK_MS);
    assert_eq!(ring.expire(NOW + 1000 * DAY_MS), 0, "one successor is not enough, however long ago");
    let third = ring.make(&key, NOW + 2 * WEEK_MS, &[3; 32]);
    assert_eq!(ring.expire(NOW + 1000 * DAY_MS), 0, "nor is one that nobody can know");
    ring.published(third.number, NOW + 2 * WEEK_MS);
    assert_eq!(ring.expire(NOW + WEEK_MS + 60 * DAY_MS - 1), 0);
    let share = Share::seal(&epoch(1), &first, &[3; 32]).unwrap();
    assert!(share.open(&SPACE, &epoch(1).id(), &ring).is_ok());
    assert_eq!(ring.expire(NOW + WEEK_MS + 60 * DAY_MS), 1);
    assert_eq!(share.open(&SPACE, &epoch(1).id(), &ring).unwrap_err(), ShareError::NoPrekey(1));
    assert_eq!(ring.expire(u64::MAX), 0, "the last two stay for ever");
    assert_eq!((ring.len(), ring.is_empty()), (2, false));
    assert_eq!([first, second, third].map(|p| p.number), [1, 2, 3]);
}

#[test]
fn a_year_of_weeks_keeps_ten_keys() {
    let key = device(1);
    let mut ring = PrekeyRing::new(key.id());
    for hour in 0..24 * 365 {
        let now = NOW + hour * HOUR_MS;
        if ring.is_due(now) {
            let prekey = ring.make(&key, now, &[1; 32]);
            ring.published(prekey.number, now);
        }
        ring.expire(now);
    }
    assert_eq!((ring.last().unwrap().0.number, ring.len()), (53, 10));
}

#[test]
fn a_restored_backup_overtakes_what_it_had_published() {
    let key = device(1);
    let (mut ring, _) = ring(1);
    let mut lost = ring.clone();
    for n in 1..4 {
        lost.make(&key, NOW + n * WEEK_MS, &[9; 32]);
    }
    let later = *lost.last().unwrap().0;
    assert!(!ring.is_due(NOW + DAY_MS));
    ring.seen(&later);
    assert!(ring.is_due(NOW + DAY_MS));
    let next = ring.make(&key, NOW + DAY_MS, &[2; 32]);
    assert!(next.rank() > later.rank() && next.verify());
    ring.seen(&next);
    assert!(!ring.is_due(NOW + 2 * DAY_MS), "what it has itself is not lost");
    // Two copies that run at once overtake each other once an hour at most.
    let mut copy = lost.clone();
    copy.seen(&next);
    lost.make(&key, NOW + 4 * WEEK_MS, &[7; 32]);
    copy.make(&key, NOW + 4 * WEEK_MS + 1, &[8; 32]);
    lost.seen(copy.last().unwrap().0);
    let at = NOW + 4 * WEEK_MS;
    assert_eq!((lost.is_due(at + HOUR_MS - 1), lost.is_due(at + HOUR_MS)), (false, true));
    // Another device's prekey is nobody's loss.
    let (_, mut other) = super::tests::ring(2);
    other.number = 99;
    lost.seen(&other);
    lost.make(&key, at + HOUR_MS, &[5; 32]);
    let numbers = [&copy, &lost].map(|ring| ring.last().unwrap().0.number);
    assert_eq!(numbers, [6, 7], "one more than the copy's");
}

#[test]
fn a_clock_that_was_years_ahead_delays_no_prekey() {
    let key = device(1);
    let mut ring = PrekeyRing::new(key.id());
    let ahead = ring.make(&key, NOW + 520 * WEEK_MS, &[1; 32]);
    assert!(ring.is_due(NOW));
    let right = ring.make(&key, NOW, &[1; 32]);
    assert!(right.rank() > ahead.rank() && !ring.is_due(NOW));
}

#[test]
fn stored_rings_come_back_whole_or_not_at_all() {
    let key = device(1);
    let (mut ring, _) = ring(1);
    ring.make(&key, NOW + WEEK_MS, &[4; 32]);
    let bytes = ring.encode();
    let back = PrekeyRing::decode(key.id(), &bytes).unwrap();
    assert_eq!((back.encode(), back.last()), (bytes.clone(), ring.last()));
    assert_eq!(PrekeyRing::decode(device(2).id(), &bytes).unwrap_err(), RingError::Damaged);
    assert_eq!(PrekeyRing::decode(key.id(), &[]).unwrap_err(), RingError::Decode(crate::codec::DecodeError::Truncated));
    assert_eq!(PrekeyRing::decode(key.id(), &[&[2][..], &bytes[1..]].concat()).unwrap_err(), RingError::Version(2));
    for len in 0..bytes.len() {
        assert!(PrekeyRing::decode(key.id(), &bytes[..len]).is_err(), "{len}");
    }
    assert!(PrekeyRing::decode(key.id(), &[&bytes[..], &[0]].concat()).is_err());
    // Every byte of both keys is checked; the times and the number that is lost are not.
    for n in [0, 1] {
        let from = 6 + n * (Prekey::LEN + 32 + 8);
        for at in from..from + Prekey::LEN + 32 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x10;
            assert!(PrekeyRing::decode(key.id(), &changed).is_err(), "{at}");
        }
    }
    let mut wild = PrekeyRing::new(key.id());
    for n in 0..100 {
        wild.make(&key, NOW + n, &[1; 32]);
    }
    assert_eq!((wild.len(), PrekeyRing::decode(key.id(), &wild.encode()).unwrap().len()), (64, 64));
}

#[test]
fn what_is_secret_is_wiped_and_never_printed() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<EpochSecret>();
    wiped::<Epoch>();
    let (ring, _) = ring(1);
    let text = format!("{:?} {:?} {ring:?}", epoch(0x41), epoch(0x41).secret());
    assert!(!text.contains("65") && !text.contains("AAAA") && !text.contains("private"), "{text}");
}

#[test]
fn the_suite_is_that_of_rfc_9180() {
    let text = include_str!("../../tests/pure/vectors/rfc9180.txt");
    let all = pairs(text);
    let get = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, b)| b.clone()).unwrap();
    let key = |name: &str| <[u8; 32]>::try_from(get(name)).unwrap();
    let (private, public) = suite::key_pair(&key("ikmR"));
    // The RFC gives the private key as it was derived; here it is clamped, as the curve takes it (RFC 7748).
    let mut clamped = key("skRm");
    clamped[0] &= 248;
    clamped[31] = clamped[31] & 127 | 64;
    assert_eq!((*private, public), (clamped, key("pkRm")));
    assert_eq!(suite::public_of(&key("skRm")), Ok(public));
    let mut text = get("pt");
    let (enc, tag) = suite::seal(&key("ikmE"), &public, &get("info"), &get("aad"), &mut text).unwrap();
    assert_eq!((enc, [&text[..], &tag[..]].concat()), (key("enc"), get("ct")));
    suite::open(&private, &enc, &get("info"), &get("aad"), &mut text, &tag).unwrap();
    assert_eq!(text, get("pt"));
}

/// Names and bytes, a line each.
fn pairs(text: &str) -> Vec<(&str, Vec<u8>)> {
    let bytes =
        |hex: &str| (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let lines = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(' '));
    lines
        .filter(|(name, _)| *name != "sequence_number")
        .map(|(name, hex)| (name, bytes(hex.trim_matches('-'))))
        .collect()
}
