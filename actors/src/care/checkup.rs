//! A check of everything in a data folder: what `cairn doctor` says. Nothing is changed by it.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::api::{Checkup, Finding, Health};
use cairn_crdt::netkey::NetworkKey;

use crate::data::{DataFolder, key_path, parse_key, settings_path, store_path};
use crate::limits::{DISK_LOW, QUIC_PORT_COUNT, QUIC_PORT_FIRST};
use crate::netkeys;
use crate::settings::Settings;
use crate::store::{Examination, RedbStore, Seal, StoreError};
use crate::vault;

/// What a folder without a passphrase means, in one sentence.
pub const UNSEALED: &str = "there is no passphrase: other users of this machine are kept out, but whoever gets the disk, or \
                            a copy of the folder, reads everything in it";
/// What one with a passphrase means.
pub const SEALED: &str = "the folder is sealed with a passphrase: whoever gets the disk, or a copy, reads nothing that was \
                          written or said, and no key";

/// Largest key file that is read.
const KEY_MAX: u64 = 4096;

fn finding(check: &str, health: Health, message: impl Into<String>) -> Finding {
    Finding { check: check.into(), health, message: message.into() }
}

/// Checks a data folder on which no node runs. `all`: every signature, not only some of each log.
///
/// # Errors
/// [`StoreError`] where the store cannot be read for another reason than damage.
pub fn check_folder(folder: &DataFolder, all: bool) -> Result<Checkup, StoreError> {
    let data = folder.path();
    let mut findings = around(data, folder.seal());
    findings.extend(folder.warnings().iter().map(|w| finding("folder", Health::Warning, w)));
    findings.push(port(data));
    let path = store_path(data);
    if path.symlink_metadata().is_err() {
        findings.push(finding("store", Health::Ok, "there is no store yet"));
        return Ok(Checkup { findings, logs: 0, entries: 0, erased: 0, bytes: 0, file_bytes: 0, signatures: 0 });
    }
    match RedbStore::examine_file(&path, folder.seal(), all) {
        Ok(found) => Ok(told(findings, &found, data)),
        Err(e @ StoreError::Newer { .. }) => {
            findings.push(finding("store", Health::Damaged, e.to_string()));
            Ok(told(findings, &Examination::default(), data))
        }
        Err(e) => Err(e),
    }
}

/// What was found in a store, with what was found around it.
pub(super) fn told(mut findings: Vec<Finding>, found: &Examination, data: &Path) -> Checkup {
    let file_bytes = std::fs::metadata(store_path(data)).map_or(0, |m| m.len());
    if found.damage.is_empty() && !findings.iter().any(|f| f.check == "store") {
        let erased = if found.erased == 0 { String::new() } else { format!(" ({} erased)", found.erased) };
        let message = format!(
            "{} entries{erased} in {} logs and {} other records are in order: {} in a file of {}; {} signatures checked",
            found.entries,
            found.logs,
            found.rows,
            size(found.bytes),
            size(file_bytes),
            found.signatures
        );
        findings.push(finding("store", Health::Ok, message));
    }
    findings.extend(found.damage.iter().map(|d| finding("store", Health::Damaged, d.to_string())));
    Checkup {
        findings,
        logs: found.logs,
        entries: found.entries,
        erased: found.erased,
        bytes: found.bytes,
        file_bytes,
        signatures: found.signatures,
    }
}

/// Bytes for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Everything around the store: folder, key, settings, room on the disk, what was kept aside.
pub(super) fn around(data: &Path, seal: &Seal) -> Vec<Finding> {
    let mut findings = vec![folder(data), passphrase(data, seal), key(data, seal), settings(data), disk(data)];
    findings.extend(network_key(data, seal));
    findings.extend(kept_aside(data));
    findings
}

fn folder(data: &Path) -> Finding {
    let shown = data.display();
    match data.metadata() {
        Err(e) => finding("folder", Health::Damaged, format!("{shown} cannot be read: {e}")),
        Ok(found) if found.permissions().readonly() => {
            finding("folder", Health::Damaged, format!("{shown} cannot be written to"))
        }
        Ok(found) => match others(&found) {
            Some(mode) => finding("folder", Health::Warning, format!("others can look into {shown} (mode {mode:03o})")),
            None => finding("folder", Health::Ok, format!("{shown} is for its owner alone")),
        },
    }
}

/// The mode, where others than the owner may do something.
#[cfg(unix)]
fn others(found: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn others(_found: &std::fs::Metadata) -> Option<u32> {
    None
}

/// What it means that the folder has a passphrase, or none.
fn passphrase(data: &Path, seal: &Seal) -> Finding {
    match (vault::lock_of(data), seal.key()) {
        (Ok(None), _) => finding("passphrase", Health::Ok, UNSEALED),
        (Ok(Some(lock)), Some(key)) if lock.tag() == key.tag() => finding("passphrase", Health::Ok, SEALED),
        (Ok(Some(_)), _) => {
            finding("passphrase", Health::Damaged, "the file of the passphrase holds another key than the folder's")
        }
        (Err(e), _) => finding("passphrase", Health::Damaged, e.to_string()),
    }
}

fn key(data: &Path, seal: &Seal) -> Finding {
    use std::io::Read;
    let path = key_path(data);
    let read = || -> std::io::Result<(Option<u32>, Vec<u8>)> {
        let file = std::fs::File::open(&path)?;
        let mode = others(&file.metadata()?);
        let mut bytes = Vec::new();
        file.take(KEY_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok((mode, bytes))
    };
    match read() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && store_path(data).exists() => {
            finding("key", Health::Damaged, format!("{} is missing: the next start makes a new device", path.display()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => finding("key", Health::Ok, "there is no key yet"),
        Err(e) => finding("key", Health::Damaged, format!("{} cannot be read: {e}", path.display())),
        Ok((mode, bytes)) => match (vault::open_file(seal, &path, &bytes).and_then(|key| parse_key(&key, &path)), mode)
        {
            (Err(e), _) => finding("key", Health::Damaged, e.to_string()),
            (Ok(_), Some(mode)) => {
                let message = format!("others can read {} (mode {mode:03o}): it may have been copied", path.display());
                finding("key", Health::Warning, message)
            }
            (Ok(key), None) => finding("key", Health::Ok, format!("this device is {}", key.id().code())),
        },
    }
}

fn settings(data: &Path) -> Finding {
    match Settings::load(&settings_path(data)) {
        Ok(_) => finding("settings", Health::Ok, "the settings are in order"),
        Err(e) => finding("settings", Health::Damaged, e.to_string()),
    }
}

/// Nothing where the network is open.
fn network_key(data: &Path, seal: &Seal) -> Option<Finding> {
    let found = netkeys::load(&netkeys::file_in(data), seal);
    match found.map(|ring| ring.key().map(NetworkKey::code)) {
        Ok(code) => Some(finding("network_key", Health::Ok, format!("the network's key is {}", code?))),
        Err(e) => Some(finding("network_key", Health::Damaged, e.to_string())),
    }
}

fn disk(data: &Path) -> Finding {
    match fs4::available_space(data) {
        Ok(free) if free < DISK_LOW => finding("disk", Health::Warning, nearly_full(free)),
        Ok(free) => finding("disk", Health::Ok, format!("{} are free on this disk", size(free))),
        Err(e) => finding("disk", Health::Warning, format!("how much room the disk has is not known: {e}")),
    }
}

/// What is said where the disk has so many bytes left.
pub(crate) fn nearly_full(free: u64) -> String {
    format!("The disk is nearly full: {} are left. Once it is full, nothing more can be saved.", size(free))
}

/// The port of sessions, on which no node of this folder listens now.
fn port(data: &Path) -> Finding {
    let wanted = Settings::load(&settings_path(data)).ok().and_then(|settings| settings.port);
    let free = |port: u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    match wanted {
        Some(port) if free(port) => finding("port", Health::Ok, format!("UDP port {port} is free")),
        Some(port) => finding(
            "port",
            Health::Damaged,
            format!("UDP port {port}, which the settings ask for, is in use or not allowed"),
        ),
        None => {
            let last = QUIC_PORT_FIRST.saturating_add(QUIC_PORT_COUNT.saturating_sub(1));
            match (QUIC_PORT_FIRST..=last).find(|port| free(*port)) {
                Some(port) => finding("port", Health::Ok, format!("UDP port {port} is free")),
                None => {
                    let message =
                        format!("no UDP port of {QUIC_PORT_FIRST} to {last} is free: any other will be taken");
                    finding("port", Health::Warning, message)
                }
            }
        }
    }
}

fn kept_aside(data: &Path) -> Option<Finding> {
    let names = std::fs::read_dir(data).ok()?.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut kept: Vec<_> =
        names.filter(|n| n.starts_with("cairn.redb.damaged-") || n.starts_with("replaced-")).collect();
    kept.sort();
    let message = format!("kept aside, and yours to remove: {}", kept.join(", "));
    (!kept.is_empty()).then(|| finding("kept_aside", Health::Warning, message))
}

/// What a running node adds: where it listens, and what is wrong.
pub(super) fn running(port: u16, troubles: Vec<String>) -> Vec<Finding> {
    let mut findings = vec![finding("port", Health::Ok, format!("sessions are taken on UDP port {port}"))];
    findings.extend(troubles.into_iter().map(|t| finding("trouble", Health::Warning, t)));
    findings
}
