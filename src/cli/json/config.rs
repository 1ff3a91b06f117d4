//! The JSON line of a setting.

use serde::Serialize;

use super::print;

#[derive(Serialize)]
struct ConfigLine<'a, T> {
    key: &'a str,
    value: T,
}

/// A line of `config get`.
#[must_use]
pub fn config(key: &str, value: &serde_json::Value) -> String {
    print(&ConfigLine { key, value })
}
