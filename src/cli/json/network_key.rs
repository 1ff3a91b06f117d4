//! The JSON of the network's key: what `network key` prints, and a part of `status`. The key itself is in `show` alone.

use cairn_actors::api::NetworkKeyState;
use cairn_crdt::ids::NetworkId;
use serde::Serialize;

use super::print;
use crate::cli::time::rfc3339;

/// Nulls where there is no key.
#[derive(Serialize)]
pub(super) struct NetworkKeyLine {
    code: Option<String>,
    since: Option<String>,
    old: Vec<OldKeyLine>,
}

#[derive(Serialize)]
struct OldKeyLine {
    code: String,
    until: String,
}

#[derive(Serialize)]
struct TextLine<'a> {
    key: &'a str,
    code: &'a str,
    network: NetworkId,
    name: &'a str,
}

pub(super) fn body(k: &NetworkKeyState) -> NetworkKeyLine {
    let old = k.old.iter().map(|o| OldKeyLine { code: o.code.clone(), until: rfc3339(o.until) }).collect();
    NetworkKeyLine { code: Some(k.code.clone()), since: Some(rfc3339(k.since)), old }
}

/// `network key`, all but `show`.
#[must_use]
pub fn network_key(k: Option<&NetworkKeyState>) -> String {
    print(&k.map_or(NetworkKeyLine { code: None, since: None, old: Vec::new() }, body))
}

/// `network key show`.
#[must_use]
pub fn network_key_text(key: &str, code: &str, network: NetworkId, name: &str) -> String {
    print(&TextLine { key, code, network, name })
}
