//! Entries: what decodes is canonical, byte for byte, and nothing panics.
#![no_main]

use cairn_crdt::codec::Reader;
use cairn_crdt::entry::{Entry, Header, MAX_HEADER, SignedHeader, payload_hash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = Entry::decode(data) {
        assert_eq!(entry.encode(), data);
    }
    let mut r = Reader::new(data);
    if let Ok(signed) = SignedHeader::decode(&mut r) {
        let used = data.len() - r.remaining();
        assert_eq!(signed.encode(), &data[..used]);
        assert!(!signed.verify() || data.len() >= 64);
    }
    let mut r = Reader::new(data);
    if let Ok(mut header) = Header::decode(&mut r) {
        let used = data.len() - r.remaining();
        let bytes = header.encode();
        assert!(bytes.len() <= MAX_HEADER);
        assert_eq!(bytes, &data[..used]);
        // What follows becomes the payload, so that whole entries are reached without guessing a hash.
        let rest = &data[used..];
        header.payload_hash = payload_hash(rest);
        header.payload_len = rest.len() as u32;
        let mut whole = header.encode();
        whole.extend_from_slice(&[7; 64]);
        whole.push(1);
        whole.extend_from_slice(rest);
        let entry = Entry::decode(&whole).expect("an entry with a right payload");
        assert_eq!(entry.encode(), whole);
        assert_eq!(entry.payload.as_deref(), Some(rest));
        whole.push(0);
        assert!(Entry::decode(&whole).is_err());
    }
});
