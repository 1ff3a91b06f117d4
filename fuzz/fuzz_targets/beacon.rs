//! Beacons: any datagram is refused or read, a signed one has a single encoding, and nothing panics.
#![no_main]

use std::sync::LazyLock;

use cairn_crdt::identity::DeviceKey;
use cairn_fuzz::proto::beacon::{Beacon, BeaconError, LENGTH};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<DeviceKey> = LazyLock::new(|| DeviceKey::from_seed(&[3; 32]));

/// Magic, version and flags come before the device.
const DEVICE: std::ops::Range<usize> = 6..38;

fuzz_target!(|data: &[u8]| {
    if let Ok(unverified) = Beacon::parse(data) {
        let claim = unverified.claim().clone();
        assert_eq!(data.len(), LENGTH);
        assert_eq!(claim.encode(&KEY)[..LENGTH - 64], data[..LENGTH - 64], "one encoding");
        let verdict = unverified.verify();
        assert!(verdict == Ok(claim) || verdict == Err(BeaconError::Signature));
    }
    // Signed by a key that we hold, so that what stands in a beacon is reached without guessing a signature.
    let mut body = data[..data.len().min(LENGTH - 64)].to_vec();
    body.resize(LENGTH - 64, 0);
    body[DEVICE].copy_from_slice(&KEY.id().0);
    body.extend_from_slice(&KEY.sign("cairn 2026 beacon", &body));
    match Beacon::decode(&body) {
        Ok(beacon) => assert_eq!(beacon.encode(&KEY), body),
        Err(e) => assert_ne!(e, BeaconError::Signature),
    }
});
