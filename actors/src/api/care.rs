//! What checking, saving and bringing back a data folder answers, as plain data.

use std::path::PathBuf;

use cairn_crdt::ids::DeviceId;
use serde::{Deserialize, Serialize};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkup {
    /// One thing looked at each.
    pub findings: Vec<Finding>,
    /// Logs in the store.
    pub logs: u64,
    /// Entries in them.
    pub entries: u64,
    /// Entries whose payloads were erased.
    pub erased: u64,
    /// Bytes that entries and payloads take.
    pub bytes: u64,
    /// Length of the store's file.
    pub file_bytes: u64,
    /// Signatures that were checked.
    pub signatures: u64,
}

impl Checkup {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.findings.iter().all(|f| f.health != Health::Damaged)
    }

    /// Adds what was repaired before the check, a sentence each.
    pub fn repaired(&mut self, sentences: Vec<String>) {
        let finding = |message| Finding { check: "repaired".into(), health: Health::Warning, message };
        self.findings.extend(sentences.into_iter().map(finding));
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name of what was looked at.
    pub check: String,
    /// How it is.
    pub health: Health,
    /// One sentence.
    pub message: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It is damaged, or in the way.
    Damaged,
}

/// Room that was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Length of the store's file before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Room that was given back without anybody asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How much.
    pub room: Compacted,
}

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// The file.
    pub file: PathBuf,
    /// The device that it holds the key of.
    pub id: DeviceId,
    /// When it was written.
    pub created: u64,
    /// Entries in it.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
}

/// A backup that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The device that this folder is now.
    pub id: DeviceId,
    /// When the backup was written.
    pub created: u64,
    /// Entries in it.
    pub entries: u64,
    /// Where what it replaced is kept.
    pub kept: Option<PathBuf>,
}
