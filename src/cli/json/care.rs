//! Checks, repairs and backups, as JSON.

use std::path::Path;

use cairn_actors::api::{BackedUp, Checkup, Compacted, Finding, Health, Restored};
use cairn_crdt::ids::DeviceId;
use serde::Serialize;

use super::print;
use crate::cli::time::rfc3339;

#[derive(Serialize)]
struct FindingLine<'a> {
    check: &'a str,
    state: Health,
    message: &'a str,
}

#[derive(Serialize)]
struct CompactedLine<'a> {
    #[serde(flatten)]
    finding: FindingLine<'a>,
    before: u64,
    after: u64,
}

#[derive(Serialize)]
struct CheckupLine<'a> {
    check: &'a str,
    state: Health,
    logs: u64,
    entries: u64,
    erased: u64,
    bytes: u64,
    file_bytes: u64,
    signatures: u64,
}

#[derive(Serialize)]
struct BackedUpLine {
    file: String,
    id: DeviceId,
    created: String,
    entries: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct RestoredLine {
    id: DeviceId,
    created: String,
    entries: u64,
    kept: Option<String>,
    data: String,
}

/// A line of `doctor`: one thing looked at.
#[must_use]
pub fn finding(f: &Finding) -> String {
    print(&FindingLine { check: &f.check, state: f.health, message: &f.message })
}

/// The line of `doctor --compact`.
#[must_use]
pub fn compacted(c: &Compacted) -> String {
    let message = crate::cli::human::compacted(c);
    let finding = FindingLine { check: "compact", state: Health::Ok, message: &message };
    print(&CompactedLine { finding, before: c.before, after: c.after })
}

/// The last line of `doctor`.
#[must_use]
pub fn checkup(c: &Checkup) -> String {
    print(&CheckupLine {
        check: "summary",
        state: c.findings.iter().map(|f| f.health).max().unwrap_or(Health::Ok),
        logs: c.logs,
        entries: c.entries,
        erased: c.erased,
        bytes: c.bytes,
        file_bytes: c.file_bytes,
        signatures: c.signatures,
    })
}

/// `backup`.
#[must_use]
pub fn backed_up(b: &BackedUp) -> String {
    let file = b.file.to_string_lossy().into_owned();
    print(&BackedUpLine { file, id: b.id, created: rfc3339(b.created), entries: b.entries, bytes: b.bytes })
}

/// `restore`.
#[must_use]
pub fn restored(r: &Restored, data: &Path) -> String {
    let text = |p: &Path| p.to_string_lossy().into_owned();
    let (created, kept) = (rfc3339(r.created), r.kept.as_deref().map(text));
    print(&RestoredLine { id: r.id, created, entries: r.entries, kept, data: text(data) })
}
