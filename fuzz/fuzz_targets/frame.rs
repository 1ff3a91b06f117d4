//! Frames of replication: what decodes is canonical, byte for byte, and nothing panics.
#![no_main]

use cairn_crdt::sync::frame::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(frame) = Frame::decode(data) {
        assert_eq!(frame.encode(), data, "one encoding");
        let mut longer = data.to_vec();
        longer.push(0);
        assert!(Frame::decode(&longer).is_err());
    }
});
