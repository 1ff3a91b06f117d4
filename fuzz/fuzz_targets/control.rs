//! Control frames: what decodes is within the bounds and is read back as it was, and nothing panics.
#![no_main]

use cairn_fuzz::limits::{NAME_MAX, SESSIONS_MAX};
use cairn_fuzz::proto::session::{Control, MAX_CLAIMS, VERSION, clean_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(name) = clean_name(text)
    {
        assert!(name.len() <= NAME_MAX);
        assert_eq!(clean_name(&name).as_deref(), Some(name.as_str()), "a clean name stays as it is");
    }
    let Ok(frame) = Control::decode(data) else { return };
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
