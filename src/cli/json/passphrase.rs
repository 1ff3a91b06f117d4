//! The JSON of `passphrase`, `lock`, `unlock` and `wipe`.

use serde::Serialize;

use super::print;

#[derive(Serialize)]
struct PassphraseLine<'a> {
    sealed: bool,
    message: &'a str,
}

#[derive(Serialize)]
struct WipedLine<'a> {
    wiped: &'a str,
}

#[derive(Serialize)]
struct LockedLine {
    locked: bool,
}

/// `lock` and `unlock`.
#[must_use]
pub fn locked(locked: bool) -> String {
    print(&LockedLine { locked })
}

/// `passphrase`.
#[must_use]
pub fn passphrase(sealed: bool, message: &str) -> String {
    print(&PassphraseLine { sealed, message })
}

/// `wipe`.
#[must_use]
pub fn wiped(folder: &str) -> String {
    print(&WipedLine { wiped: folder })
}
