//! The key of a network: vectors, wrong keys, changed bits, and what is typed by people.

use super::*;
use crate::ids::domain_hash;

fn key(n: u8) -> NetworkKey {
    NetworkKey::from_secret(&[n; 32])
}

fn bond() -> Bond {
    Bond { exporter: [1; 32], dialler: DeviceId([2; 32]), acceptor: DeviceId([3; 32]) }
}

#[test]
fn argon2id_is_that_of_rfc_9106() {
    // Section 5.3.
    let params = argon2::ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(argon2::AssociatedData::new(&[4; 12]).unwrap())
        .output_len(32)
        .build()
        .unwrap();
    let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut out = [0; 32];
    argon2.hash_password_into(&[1; 32], &[2; 16], &mut out).unwrap();
    let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

#[test]
fn a_passphrase_gives_one_key_however_it_is_spaced() {
    let key = NetworkKey::from_passphrase("correct horse battery staple").unwrap();
    // As the reference implementation in C has it, through argon2-cffi: `hash_secret_raw(b"correct horse battery staple",
    // b"cairn 2026 network key", 3, 65536, 1, 32, Type.ID)`.
    let hex: String = key.secret().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "c00e0a2bcafbcaaa07b248420126b587ec21676d56ab9feb683dfdeb44e2d1ff");
    assert_eq!(NetworkKey::from_passphrase(" correct  horse\tbattery staple\r\n").unwrap(), key);
    assert_eq!(format!("{key:?}"), "NetworkKey", "no log shows it");
}

#[test]
fn a_passphrase_that_is_none_is_refused() {
    let clean = |raw: &str| clean_passphrase(raw).map(|c| c.as_str().to_owned());
    assert_eq!(clean("  a b\n c d e f g "), Ok("a b c d e f g".into()));
    assert_eq!(clean("eleven char"), Err(PassphraseError::TooShort));
    assert_eq!(clean(&" ".repeat(40)), Err(PassphraseError::TooShort));
    assert_eq!(clean("北岭指挥所的十二个汉字呀"), Ok("北岭指挥所的十二个汉字呀".into()));
    assert_eq!(clean("cafe\u{301} at the north ridge"), Err(PassphraseError::Combining));
    assert_eq!(clean("with a bell \u{7} in the middle"), Err(PassphraseError::Control));
    assert_eq!(clean(&"x".repeat(MAX_PASSPHRASE)).unwrap().len(), MAX_PASSPHRASE);
    assert_eq!(clean(&"x".repeat(MAX_PASSPHRASE + 1)), Err(PassphraseError::TooLong));
}

#[test]
fn each_use_has_a_key_of_its_own() {
    let k = key(1);
    let all = [&k.0.secret, &k.0.beacon, &k.0.nonce, &k.0.proof];
    for (i, a) in all.iter().enumerate() {
        assert!(all.iter().skip(i + 1).all(|b| a != b));
    }
    assert_ne!(k, key(2));
    assert_ne!(k.network(), key(2).network());
    assert_eq!(k.network(), key(1).network());
    let code = k.code();
    assert!(code.len() == 9 && code != key(2).code(), "{code}");
}

#[test]
fn a_sealed_beacon_opens_with_its_key_alone_and_no_bit_may_change() {
    let (head, body) = (b"CRNB\x02", [7; 139]);
    let sealed = key(1).seal_beacon(head, &body);
    assert_eq!(sealed.len(), body.len() + OVERHEAD);
    assert_eq!(key(1).open_beacon(head, &sealed).as_deref(), Some(&body[..]));
    assert_eq!(key(2).open_beacon(head, &sealed), None);
    assert_eq!(key(1).open_beacon(b"CRNB\x03", &sealed), None);
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert_eq!(key(1).open_beacon(head, &bad), None, "byte {at}");
        assert_eq!(key(1).open_beacon(head, &sealed[..at]), None, "cut at {at}");
    }
    // The same beacon is sealed alike, and any other has another nonce.
    assert_eq!(key(1).seal_beacon(head, &body), sealed);
    assert_ne!(key(1).seal_beacon(head, &[8; 139])[..24], sealed[..24]);
    assert_ne!(key(2).seal_beacon(head, &body)[..24], sealed[..24]);
}

#[test]
fn a_proof_is_bound_to_key_role_link_and_ends() {
    let (k, b) = (key(1), bond());
    let proof = k.proof(Role::Dialler, &b);
    assert!(k.proves(Role::Dialler, &b, &proof));
    assert!(!key(2).proves(Role::Dialler, &b, &proof), "another key");
    assert!(!k.proves(Role::Acceptor, &b, &proof), "turned back");
    let others = [
        Bond { exporter: [9; 32], ..b },
        Bond { dialler: b.acceptor, acceptor: b.dialler, ..b },
        Bond { dialler: DeviceId([9; 32]), ..b },
        Bond { acceptor: DeviceId([9; 32]), ..b },
    ];
    assert!(others.iter().all(|other| !k.proves(Role::Dialler, other, &proof)), "another link");
    for bit in 0..256 {
        let mut bad = proof;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(!k.proves(Role::Dialler, &b, &bad));
    }
}

#[test]
fn the_bytes_of_version_one_stay() {
    let k = key(5);
    let sealed = k.seal_beacon(b"head", b"body");
    let proofs = [k.proof(Role::Dialler, &bond()), k.proof(Role::Acceptor, &bond())];
    let all = domain_hash("fixture", &[&k.network().0, &k.tag().0, &sealed, &proofs[0], &proofs[1]]);
    assert_eq!(base32(&all), "8tpxjk41wqabqb3r6c2x8cvp561jn0qmqgjxqvxywtcfga19ymv0");
}

mod text {
    use super::*;

    fn invite(name: &str) -> Invite {
        Invite { key: key(9), network: NetworkId([4; 16]), name: name.into() }
    }

    #[test]
    fn a_key_goes_into_text_and_back() {
        for name in ["", "North Ridge", "北岭", &"é".repeat(32)] {
            let text = invite(name).to_string();
            assert!(text.len() <= MAX_TEXT && text.starts_with("cairn:net:"), "{text}");
            assert_eq!(text.parse(), Ok(invite(name)));
            assert_eq!(format!("  {}\r\n", text.to_uppercase()).parse(), Ok(invite(name)), "as a QR code has it");
        }
        let long = invite(&"é".repeat(100)).to_string();
        assert_eq!(long.parse(), Ok(invite(&"é".repeat(32))), "a name is cut between characters");
        assert!(!format!("{:?}", invite("")).contains(&base32(&[9; 8])[..8]), "no log shows the key");
    }

    #[test]
    fn what_is_mistyped_cut_or_made_up_is_refused() {
        let text = invite("North Ridge").to_string();
        for at in "cairn:net:".len()..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[at] = if bad[at] == b'7' { b'8' } else { b'7' };
            let bad = String::from_utf8(bad).unwrap();
            // The version comes first: a mistyped one is from the future.
            assert!(matches!(bad.parse::<Invite>(), Err(InviteError::Broken | InviteError::Newer)), "{at}");
            assert!(text[..at].parse::<Invite>().is_err(), "cut at {at}");
        }
        assert_eq!("correct horse battery".parse::<Invite>(), Err(InviteError::Foreign));
        assert_eq!("cairn:net:".parse::<Invite>(), Err(InviteError::Broken));
        assert_eq!(format!("cairn:net:{}", "0".repeat(100_000)).parse::<Invite>(), Err(InviteError::Broken));
        assert!(!Invite::is_meant("cairn") && !Invite::is_meant("é"));
        assert!(Invite::is_meant(" CAIRN:NET:x"));
    }
}

mod ring {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_changed_key_keeps_the_network_and_the_old_one_ends() {
        let mut ring = Ring::default();
        assert!(ring.is_open() && ring.accepts(None, 5) && !ring.accepts(Some(key(1).tag()), 5));
        assert_eq!(ring.change(key(1), 5, 9), Err(RingError::NoKey));
        ring.set(key(1), key(1).network(), 100).unwrap();
        assert_eq!(ring.set(key(2), key(2).network(), 100), Err(RingError::HasKey));
        assert_eq!(ring.change(key(1), 100, 200), Err(RingError::Same));
        assert_eq!((ring.accepted(100), ring.ends(100)), (vec![key(1)], None));
        ring.change(key(2), 200, 200 + DAY).unwrap();
        assert_eq!((ring.network(), ring.since()), (Some(key(1).network()), Some(200)));
        assert_eq!(ring.accepted(200), [key(2), key(1)], "the present one first");
        assert_eq!(ring.ends(200), Some(200 + DAY));
        assert!(ring.accepts(Some(key(1).tag()), 199 + DAY) && !ring.accepts(None, 200));
        assert_eq!((ring.accepted(200 + DAY), ring.ends(200 + DAY)), (vec![key(2)], None));
        assert!(!ring.accepts(Some(key(1).tag()), 200 + DAY));
    }

    #[test]
    fn few_old_keys_are_kept_and_they_can_be_dropped() {
        let mut ring = Ring::default();
        ring.set(key(0), key(0).network(), 0).unwrap();
        for n in 1..=4u8 {
            ring.change(key(n), u64::from(n), DAY + u64::from(n)).unwrap();
        }
        assert_eq!(ring.accepted(5), [key(4), key(3), key(2)]);
        // Back to an old one: it is no old one any more.
        ring.change(key(3), 6, DAY).unwrap();
        assert_eq!(ring.accepted(6), [key(3), key(2), key(4)]);
        assert_eq!((ring.drop_old(6), ring.drop_old(6)), (Ok(2), Ok(0)));
        assert_eq!(ring.accepted(6), [key(3)]);
        ring.remove().unwrap();
        assert_eq!((ring.remove(), ring.drop_old(6)), (Err(RingError::NoKey), Err(RingError::NoKey)));
        assert!(ring.accepts(None, 6));
    }
}
