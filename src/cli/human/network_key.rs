//! The network's key as people read of it on a terminal.

use cairn_actors::api::NetworkKeyState;

use crate::cli::time::rfc3339;

/// Whether there is one, since when, and what else is accepted.
#[must_use]
pub fn network_key(key: Option<&NetworkKeyState>) -> Vec<String> {
    let Some(key) = key else { return vec!["no key: the network is open".to_owned()] };
    let old = key.old.iter().map(|o| format!("the old one, {}, is accepted until {}", o.code, rfc3339(o.until)));
    std::iter::once(format!("{} since {}", key.code, rfc3339(key.since))).chain(old).collect()
}
