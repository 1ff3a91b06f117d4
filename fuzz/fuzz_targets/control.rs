//! Control frames and proofs of a network key: what decodes is within the bounds and is read back as it was, and nothing panics.
#![no_main]

use cairn_crdt::ids::DeviceId;
use cairn_crdt::netkey::{Bond, NetworkKey};
use cairn_fuzz::limits::{NAME_MAX, SESSIONS_MAX};
use cairn_fuzz::proto::proof::{answer, check, is_proof};
use cairn_fuzz::proto::session::{Control, MAX_CLAIMS, VERSION, clean_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(name) = clean_name(text)
    {
        assert!(name.len() <= NAME_MAX);
        assert_eq!(clean_name(&name).as_deref(), Some(name.as_str()), "a clean name stays as it is");
    }
    // The gate before the first control frame: nobody guesses a proof.
    let keys = [NetworkKey::from_secret(&[40; 32])];
    let bond = Bond { exporter: [1; 32], dialler: DeviceId([2; 32]), acceptor: DeviceId([3; 32]) };
    assert!(answer(&keys, &bond, data).is_err() && check(&keys, &bond, data).is_err());
    let Ok(frame) = Control::decode(data) else { return };
    assert!(!is_proof(data), "no frame is both");
    match &frame {
        Control::Hello(hello) => {
            assert_eq!(hello.version, VERSION);
            assert!(hello.name.len() <= NAME_MAX && hello.claims.len() <= MAX_CLAIMS);
        }
        Control::Name(name) => assert!(!name.is_empty() && name.len() <= NAME_MAX),
        Control::Claims(claims) => assert!(claims.len() <= MAX_CLAIMS),
        Control::Neighbours { up, down } => assert!(up.len() <= SESSIONS_MAX && down.len() <= SESSIONS_MAX),
        _ => {}
    }
    let bytes = frame.encode();
    assert!(bytes.len() <= data.len(), "ours is the shortest encoding");
    assert_eq!(Control::decode(&bytes), Ok(frame));
});
