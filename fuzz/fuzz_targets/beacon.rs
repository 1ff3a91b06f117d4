//! Beacons, open and sealed: any datagram is refused or read, a signed one has a single encoding, and nothing panics.
#![no_main]

use std::sync::LazyLock;

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::netkey::NetworkKey;
use cairn_fuzz::proto::beacon::{Beacon, BeaconError, HEAD, LENGTH, LENGTH_SEALED, MAGIC, VERSION_SEALED};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<DeviceKey> = LazyLock::new(|| DeviceKey::from_seed(&[3; 32]));
static KEYS: LazyLock<[NetworkKey; 2]> = LazyLock::new(|| [40, 50].map(|n| NetworkKey::from_secret(&[n; 32])));

/// Magic, version and flags come before the device.
const DEVICE: std::ops::Range<usize> = 6..38;

fuzz_target!(|data: &[u8]| {
    if let Ok(unverified) = Beacon::parse(data, &[]) {
        let claim = unverified.claim().clone();
        assert_eq!(data.len(), LENGTH);
        assert_eq!(claim.encode(&KEY)[..LENGTH - 64], data[..LENGTH - 64], "one encoding");
        let verdict = unverified.verify();
        assert!(verdict == Ok(claim) || verdict == Err(BeaconError::Signature));
    }
    assert!(Beacon::parse(data, &KEYS[..]).is_err(), "nobody guesses a sealed one");
    // Signed by a key that we hold, so that what stands in a beacon is reached without guessing a signature.
    let mut body = data[..data.len().min(LENGTH - 64)].to_vec();
    body.resize(LENGTH - 64, 0);
    body[DEVICE].copy_from_slice(&KEY.id().0);
    body.extend_from_slice(&KEY.sign("cairn 2026 beacon", &body));
    match Beacon::decode(&body) {
        Ok(beacon) => {
            assert_eq!(beacon.encode(&KEY), body);
            let sealed = beacon.encode_sealed(&KEY, &KEYS[1]);
            assert_eq!(Beacon::parse(&sealed, &KEYS[..]).map(|b| b.claim().clone()), Ok(beacon));
        }
        Err(e) => assert_ne!(e, BeaconError::Signature),
    }
    // Sealed by a member who means no good: what is inside is anything.
    let head = [&MAGIC[..], &[VERSION_SEALED]].concat();
    let sealed = [&head[..], &KEYS[0].seal_beacon(&head, data)].concat();
    if let Ok(inside) = Beacon::parse(&sealed, &KEYS[..]) {
        assert_eq!((sealed.len(), data.len()), (LENGTH_SEALED, LENGTH - HEAD));
        assert!(inside.claim().port != 0);
    }
});
