//! The settings: a readable JSON file, `settings.json` in the data folder, with this schema. Every field may be left
//! out; unknown ones are refused, so that a slip of the pen does not pass for a setting.
//!
//! | key | value | without it |
//! |---|---|---|
//! | `name` | display name, 1 to 64 bytes | the host's or user's name |
//! | `named` | whether a person chose or confirmed the name | `false` |
//! | `port` | QUIC port, 1 to 65535 | the remembered one, else the first free of 27475 to 27484 |
//! | `interfaces` | names of the network interfaces to use, at most 64 | all that are up |
//! | `peers` | addresses (`10.0.0.7:27475`, `[fe80::1%2]:27475`) reached without discovery, at most 64 | none |
//! | `discovery` | whether to send and hear beacons | `true` |
//! | `theme` | `system`, `light`, `dark`, `sunlight` or `night` | `system` |
//! | `scale` | size of the window's contents, 0.5 to 3.0 | `1.0` |
//! | `details` | whether the window shows the details column where there is room | `true` |
//! | `lock_after` | minutes without input after which the window locks, where the folder has a passphrase; 0: never | `15` |
//! | `read_receipts` | whether others are told how far this device's person has read, and that they are writing | `true` |
//! | `quota_author` | millions of bytes that one other device may make this one keep in one conversation, 1 to 1,000,000 | `512` |
//! | `quota_space` | millions of bytes that all others together may, in one conversation | `4096` |
//!
//! The file is at most 64 KiB. A bad one is reported with line and column and never written over.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{DataError, write_atomically};
use crate::limits::{MAX_CONFIGURED, NAME_MAX, QUOTA_AUTHOR, QUOTA_SPACE, QUOTAS};

/// Largest settings file in bytes.
pub const SETTINGS_MAX: usize = 64 * 1024;
/// Smallest and largest scale of the window.
pub const SCALE: std::ops::RangeInclusive<f32> = 0.5..=3.0;
/// Longest name of an interface in bytes: those of Windows can be 256 characters.
const INTERFACE_MAX: usize = 256;

/// Every key, with what it takes, in the order of the schema.
pub const KEYS: [(&str, &str); 13] = [
    ("name", "a display name of 1 to 64 bytes; empty for the host's or user's"),
    ("named", "true or false"),
    ("port", "a port from 1 to 65535; empty for any"),
    ("interfaces", "names of interfaces with commas between them; empty for all"),
    ("peers", "addresses like 10.0.0.7:27475 with commas between them; empty for none"),
    ("discovery", "true or false"),
    ("theme", "system, light, dark, sunlight or night"),
    ("scale", "a number from 0.5 to 3.0"),
    ("details", "true or false"),
    ("lock_after", "minutes from 0, for never, to 1440"),
    ("read_receipts", "true or false"),
    ("quota_author", "millions of bytes from 1 to 1000000"),
    ("quota_space", "millions of bytes from 1 to 1000000"),
];

/// Colours of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThemeChoice {
    /// As the desktop has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// High contrast for the open air.
    Sunlight,
    /// Dim and red for eyes that must stay used to the dark.
    Night,
}

impl ThemeChoice {
    /// All of them, in the order they are offered.
    pub const ALL: [Self; 5] = [Self::System, Self::Light, Self::Dark, Self::Sunlight, Self::Night];
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Display name; `None`: the host's or user's.
    pub name: Option<String>,
    /// Whether a person chose or confirmed the name.
    pub named: bool,
    /// QUIC port; `None`: the remembered one, else the first free one.
    pub port: Option<u16>,
    /// The interfaces to use; empty: all that are up.
    pub interfaces: Vec<String>,
    /// Peers reached without discovery.
    pub peers: Vec<SocketAddr>,
    /// Whether to send and hear beacons.
    pub discovery: bool,
    /// Colours of the window.
    pub theme: ThemeChoice,
    /// Size of the window's contents, in [`SCALE`].
    pub scale: f32,
    /// Whether the window shows the details column where there is room.
    pub details: bool,
    /// Minutes without input after which the window locks, where the folder has a passphrase; 0: never.
    pub lock_after: u16,
    /// Whether others are told how far this device's person has read.
    pub read_receipts: bool,
    /// Millions of bytes that one other device may make this one keep in one conversation.
    pub quota_author: u32,
    /// Millions of bytes that all others together may make it keep in one conversation.
    pub quota_space: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            named: false,
            port: None,
            interfaces: Vec::new(),
            peers: Vec::new(),
            discovery: true,
            theme: ThemeChoice::System,
            scale: 1.0,
            details: true,
            lock_after: 15,
            read_receipts: true,
            quota_author: QUOTA_AUTHOR,
            quota_space: QUOTA_SPACE,
        }
    }
}

/// Why settings cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is not settings. It is left as it is.
    #[error("{} is not right at line {line}, column {column}: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where the whole line is meant.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value in the file is out of bounds. The file is left as it is.
    #[error("{} is not right: {key} must be {expected}", path.display())]
    Bounds {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// The file is too large to be settings.
    #[error("{} is not right: it is larger than 64 KiB", .0.display())]
    TooLarge(PathBuf),
    /// There is no such key.
    #[error("there is no setting {key:?}: there are {}", KEYS.map(|(key, _)| key).join(", "))]
    UnknownKey {
        /// What was asked for, shortened.
        key: String,
    },
    /// The value is not one that the key takes.
    #[error("{key} must be {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl Settings {
    /// Reads the file; where there is none, the defaults.
    ///
    /// # Errors
    /// [`SettingsError`]; the file is as it was.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(DataError::io("read", path)(e).into()),
        };
        let mut bytes = Vec::new();
        file.take(SETTINGS_MAX as u64 + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
        Self::parse(&bytes, path)
    }

    /// Reads the text of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, SettingsError> {
        if bytes.len() > SETTINGS_MAX {
            return Err(SettingsError::TooLarge(path.to_owned()));
        }
        // Some editors put a byte order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        // A list would pass for the fields in order.
        if let Some(start) =
            bytes.iter().position(|b| !b.is_ascii_whitespace()).filter(|at| bytes.get(*at) == Some(&b'['))
        {
            let before = bytes.get(..start).unwrap_or_default();
            let line = before.iter().filter(|b| **b == b'\n').count().saturating_add(1);
            let column = before.iter().rev().take_while(|b| **b != b'\n').count().saturating_add(1);
            let reason = "expected settings in braces, not a list".into();
            return Err(SettingsError::Bad { path: path.to_owned(), line, column, reason });
        }
        let settings: Self = serde_json::from_slice(bytes).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            let reason = e.to_string();
            let reason = reason.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&reason);
            SettingsError::Bad { path: path.to_owned(), line, column, reason: reason.replace('`', "\"") }
        })?;
        match settings.out_of_bounds() {
            Some(key) => Err(SettingsError::Bounds { path: path.to_owned(), key, expected: expected(key) }),
            None => Ok(settings),
        }
    }

    /// Writes the file whole. A bad file that is there already is not written over.
    ///
    /// # Errors
    /// [`SettingsError`]; the old file is as it was.
    pub fn save(&self, path: &Path) -> Result<(), SettingsError> {
        if let Some(key) = self.out_of_bounds() {
            return Err(SettingsError::Value { key, expected: expected(key) });
        }
        Self::load(path)?;
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|e| DataError::io("write", path)(std::io::Error::new(ErrorKind::InvalidData, e)))?;
        text.push('\n');
        if text.len() > SETTINGS_MAX {
            return Err(SettingsError::TooLarge(path.to_owned()));
        }
        Ok(write_atomically(path, text.as_bytes())?)
    }

    /// The value of a key as JSON; objects within would be reached by dots.
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`].
    pub fn get(&self, key: &str) -> Result<Value, SettingsError> {
        let key = known(key)?;
        Ok(self.to_value().get(key).cloned().unwrap_or(Value::Null))
    }

    /// Sets a key from text: words as they are, lists with commas or as JSON, empty for "without it".
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`] and [`SettingsError::Value`]; nothing changes then.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), SettingsError> {
        let key = known(key)?;
        let text = text.trim();
        let wrong = || SettingsError::Value { key, expected: expected(key) };
        let mut whole = self.to_value();
        let value = if text.is_empty() {
            Self::default().get(key)?
        } else {
            match whole.get(key) {
                Some(Value::Array(_)) if !text.starts_with('[') => text.split(',').map(str::trim).collect(),
                Some(Value::Array(_) | Value::Bool(_) | Value::Number(_)) => {
                    serde_json::from_str(text).map_err(|_| wrong())?
                }
                _ if key == "port" => serde_json::from_str(text).map_err(|_| wrong())?,
                _ => Value::from(text),
            }
        };
        let Some(slot) = whole.get_mut(key) else { return Err(wrong()) };
        *slot = value;
        let changed: Self = serde_json::from_value(whole).map_err(|_| wrong())?;
        if changed.out_of_bounds().is_some() {
            return Err(wrong());
        }
        *self = changed;
        Ok(())
    }

    fn to_value(&self) -> Value {
        // Only a map with keys that are not text, or a failing `Serialize`, could fail; there is neither.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// The first key whose value is out of bounds.
    fn out_of_bounds(&self) -> Option<&'static str> {
        let line = |text: &str, max| {
            !text.trim().is_empty() && text.len() <= max && text.trim() == text && !text.chars().any(char::is_control)
        };
        if self.name.as_deref().is_some_and(|name| !line(name, NAME_MAX)) {
            return Some("name");
        }
        if self.port == Some(0) {
            return Some("port");
        }
        if self.interfaces.len() > MAX_CONFIGURED || !self.interfaces.iter().all(|name| line(name, INTERFACE_MAX)) {
            return Some("interfaces");
        }
        let unusable = |peer: &SocketAddr| peer.port() == 0 || peer.ip().is_unspecified();
        if self.peers.len() > MAX_CONFIGURED || self.peers.iter().any(unusable) {
            return Some("peers");
        }
        if !SCALE.contains(&self.scale) {
            return Some("scale");
        }
        if self.lock_after > 1440 {
            return Some("lock_after");
        }
        let quotas = [("quota_author", self.quota_author), ("quota_space", self.quota_space)];
        quotas.into_iter().find(|(_, mb)| !QUOTAS.contains(mb)).map(|(key, _)| key)
    }
}

fn known(key: &str) -> Result<&'static str, SettingsError> {
    let found = KEYS.iter().find(|(known, _)| *known == key).map(|(known, _)| *known);
    found.ok_or_else(|| SettingsError::UnknownKey { key: key.chars().take(80).collect() })
}

fn expected(key: &str) -> &'static str {
    KEYS.iter().find(|(known, _)| *known == key).map_or("something else", |(_, expected)| expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(text.as_bytes(), Path::new("settings.json"))
    }

    #[test]
    fn every_field_is_a_documented_key() {
        let whole = Settings::default().to_value();
        let fields: Vec<_> = whole.as_object().unwrap().keys().cloned().collect();
        let mut keys = KEYS.map(|(key, _)| key.to_string()).to_vec();
        keys.sort();
        let mut sorted = fields;
        sorted.sort();
        assert_eq!(sorted, keys);
    }

    #[test]
    fn a_file_round_trips_and_what_is_left_out_has_its_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        let mut settings = Settings::default();
        settings.set("name", "Ann").unwrap();
        settings.set("peers", "10.0.0.7:27475, [fe80::1%2]:27475").unwrap();
        settings.set("scale", "1.25").unwrap();
        settings.save(&path).unwrap();
        assert_eq!(Settings::load(&path).unwrap(), settings);
        assert_eq!(parse("{}").unwrap(), Settings::default());
        assert_eq!(parse("\u{feff}{\"theme\": \"night\"}").unwrap().theme, ThemeChoice::Night);
    }

    #[test]
    fn a_bad_file_is_named_with_line_and_column_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        let text = "{\n  \"name\": \"Ann\",\n  \"prot\": 5\n}\n";
        std::fs::write(&path, text).unwrap();
        let error = Settings::load(&path).unwrap_err();
        assert!(matches!(error, SettingsError::Bad { line: 3, .. }), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains("settings.json") && sentence.contains("line 3"), "{sentence}");
        assert!(sentence.contains("unknown field \"prot\""), "{sentence}");
        assert!(Settings::default().save(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn bad_texts() {
        for bad in [
            "",
            "{",
            "[]",
            "null",
            "\u{0}",
            "{\"port\": 70000}",
            "{\"port\": \"x\"}",
            "{\"theme\": \"pink\"}",
            "{\"peers\": [\"host\"]}",
            "{\"name\": 5}",
            "{\"named\": 1}",
            "{\"name\": \"a\", \"name\": \"b\"}",
            "{} x",
        ] {
            assert!(matches!(parse(bad), Err(SettingsError::Bad { .. })), "{bad:?}");
        }
        for (bad, key) in [
            ("{\"port\": 0}", "port"),
            ("{\"quota_author\": 0}", "quota_author"),
            ("{\"quota_space\": 1000001}", "quota_space"),
            ("{\"scale\": 0.1}", "scale"),
            ("{\"scale\": 1e30}", "scale"),
            ("{\"name\": \"\"}", "name"),
            ("{\"name\": \"a\\nb\"}", "name"),
            ("{\"interfaces\": [\"\"]}", "interfaces"),
            ("{\"peers\": [\"0.0.0.0:5\"]}", "peers"),
            (&format!("{{\"name\": \"{}\"}}", "x".repeat(65)), "name"),
            (&format!("{{\"interfaces\": [{}\"a\"]}}", "\"a\",".repeat(64)), "interfaces"),
        ] {
            assert!(matches!(parse(bad), Err(SettingsError::Bounds { key: k, .. }) if k == key), "{bad:?}");
        }
        let deep = "[".repeat(60_000);
        assert!(matches!(parse(&deep), Err(SettingsError::Bad { .. })));
        assert!(matches!(parse(&" ".repeat(SETTINGS_MAX + 1)), Err(SettingsError::TooLarge(_))));
    }

    #[test]
    fn get_and_set_by_key() {
        let mut s = Settings::default();
        for (key, text, value) in [
            ("name", "Ann of Ops", serde_json::json!("Ann of Ops")),
            ("name", "5", serde_json::json!("5")),
            ("name", "", Value::Null),
            ("named", "true", serde_json::json!(true)),
            ("port", "27480", serde_json::json!(27480)),
            ("port", "", Value::Null),
            ("interfaces", "eth0,wlan0", serde_json::json!(["eth0", "wlan0"])),
            ("interfaces", "[\"a,b\"]", serde_json::json!(["a,b"])),
            ("interfaces", "", serde_json::json!([])),
            ("peers", "10.0.0.7:5", serde_json::json!(["10.0.0.7:5"])),
            ("discovery", "false", serde_json::json!(false)),
            ("discovery", "", serde_json::json!(true)),
            ("theme", "sunlight", serde_json::json!("sunlight")),
            ("scale", "2", serde_json::json!(2.0)),
            ("details", "false", serde_json::json!(false)),
            ("details", "", serde_json::json!(true)),
            ("lock_after", "0", serde_json::json!(0)),
            ("lock_after", "", serde_json::json!(15)),
            ("quota_author", "2000", serde_json::json!(2000)),
            ("quota_author", "", serde_json::json!(512)),
        ] {
            s.set(key, text).unwrap_or_else(|e| panic!("{key} {text}: {e}"));
            assert_eq!(s.get(key).unwrap(), value, "{key}");
        }
        let before = s.clone();
        for (key, text) in [
            ("named", "yes"),
            ("port", "0"),
            ("port", "65536"),
            ("port", "x"),
            ("peers", "nowhere"),
            ("theme", "pink"),
            ("scale", "9"),
            ("scale", "NaN"),
            ("interfaces", "a,,b"),
            ("interfaces", "[1]"),
            ("discovery", "1"),
            ("details", "open"),
            ("lock_after", "1441"),
            ("lock_after", "-1"),
            ("quota_space", "0"),
            ("quota_space", "-1"),
            ("quota_space", "1e9"),
            ("quota_space", "plenty"),
        ] {
            let error = s.set(key, text).unwrap_err();
            assert!(matches!(&error, SettingsError::Value { key: k, .. } if *k == key), "{key} {text}: {error}");
        }
        assert_eq!(s, before);
        let error = s.get("prot").unwrap_err().to_string();
        assert!(error.contains("\"prot\"") && error.contains("port, interfaces"), "{error}");
        assert!(s.set("x", "y").is_err());
    }
}
