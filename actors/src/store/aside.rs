//! What becomes of a damaged file: what can be saved of it takes its place, and the file itself is kept aside under a
//! name that tells when. Beside a file that is to be checked lies a note (`.check`). It also counts attempts, since a
//! damaged file can end the process that reads it: whoever opens it next goes one step further instead of dying of it
//! again.
//!
//! | note | next opening |
//! |---|---|
//! | `checking N` | a check did not come to its end; after the second one the file counts as damaged |
//! | `saving N` | saving did not come to its end; after the third attempt the file is set aside as it is |
//! | anything else | why there is to be a check of everything |

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fault::{Fault, guarded, io_error};
use super::open::{Opener, abandon, create};
use super::salvage::{Salvaged, salvage};
use super::sealing::Seal;
use super::{StoreError, overlay};

/// Ends of the names of what is saved of a damaged file: while it is being made, and when it is whole.
const SALVAGING: &str = ".salvaging";
pub(super) const SALVAGED: &str = ".salvaged";
/// End of the name of the note.
const NOTE: &str = ".check";
/// Checks and attempts at saving that may fail to come to their end.
const CHECKS: u32 = 2;
const SAVINGS: u32 = 3;

/// What the note beside a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// There is none.
    None,
    /// Everything is to be checked, and why.
    Check(String),
    /// A check is under way, for the so many-th time.
    Checking(u32),
    /// What can be saved is being saved, for the so many-th time.
    Saving(u32),
}

fn read(path: &Path) -> Note {
    match std::fs::read(beside(path, NOTE)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let count = |word: &str| text.strip_prefix(word).and_then(|n| n.trim().parse().ok());
            match (count("checking "), count("saving ")) {
                (Some(n), _) => Note::Checking(n),
                (_, Some(n)) => Note::Saving(n),
                _ => Note::Check(text),
            }
        }
        Err(_) => Note::None,
    }
}

/// Leaves a note beside a file.
///
/// # Errors
/// What the system refuses.
pub(super) fn write(path: &Path, note: &Note) -> std::io::Result<()> {
    let text = match note {
        Note::None => return remove(path),
        Note::Check(reason) => reason.clone(),
        Note::Checking(n) => format!("checking {n}"),
        Note::Saving(n) => format!("saving {n}"),
    };
    std::fs::write(beside(path, NOTE), text)
}

/// Leaves a note beside a file where there is none: called while a panic begins, which may end the process.
pub(super) fn note_panic(path: &Path) {
    if read(path) == Note::None {
        // There is nobody to tell.
        let _ = write(path, &Note::Check("reading it failed".into()));
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(beside(path, NOTE)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whether everything is to be checked. Notes that the check has begun.
///
/// # Errors
/// Damage, where too many checks or attempts at saving did not come to their end.
pub(super) fn begin_check(path: &Path) -> Result<bool, Fault> {
    let n = match read(path) {
        Note::None => return Ok(false),
        Note::Check(_) => 0,
        Note::Checking(n) if n < CHECKS => n,
        Note::Checking(_) => return Err(Fault::Damaged("checking it does not come to an end".into())),
        Note::Saving(_) => return Err(Fault::Damaged("saving it did not come to an end".into())),
    };
    write(path, &Note::Checking(n.saturating_add(1))).map_err(redb::Error::Io)?;
    Ok(true)
}

/// Notes that everything is in order.
///
/// # Errors
/// What the system refuses.
pub(super) fn end_check(path: &Path) -> Result<(), Fault> {
    Ok(remove(path).map_err(redb::Error::Io)?)
}

/// Puts what can be saved of a damaged file in its place; the file gets a name of its own, which no file has.
pub(super) fn exchange(path: &Path, seal: &Seal, reason: String) -> StoreError {
    if let Some(refused) = unfit(path, seal) {
        return refused;
    }
    let attempts = if let Note::Saving(n) = read(path) { n } else { 0 };
    let mut saved = None;
    if attempts < SAVINGS {
        if let Err(e) = write(path, &Note::Saving(attempts.saturating_add(1))) {
            return io_error(&e);
        }
        match save(path, seal) {
            Ok(all) => saved = Some(all),
            Err(fault) if fault.damage().is_some() => tracing::error!(?fault, "nothing can be saved of the store"),
            Err(fault) => {
                // It is the new file that failed (a full disk), and no reason to try less the next time.
                let _ = write(path, &Note::Check(reason));
                return fault.into_error();
            }
        }
    }
    let with_journal = saved.is_none_or(|(_, goes_on)| !goes_on);
    let exchanged = set_aside(path, with_journal).and_then(|kept| {
        if saved.is_some() {
            std::fs::rename(beside(path, SALVAGED), path)?;
            crate::data::sync_folder(path)?;
        }
        Ok(kept)
    });
    match exchanged {
        Ok(kept) => {
            StoreError::Corrupt { reason, kept: kept.display().to_string(), saved: saved.unwrap_or_default().0 }
        }
        Err(e) => io_error(&e),
    }
}

/// Why nothing can be said of a damaged file, where its key is not at hand: nothing would be saved of it then.
fn unfit(path: &Path, seal: &Seal) -> Option<StoreError> {
    let db = overlay::open(path).ok()?;
    let outcome = guarded(|| seal.fits(&db));
    abandon(Some(db));
    match outcome {
        Err(Fault::Refused(error)) => Some(error),
        _ => None,
    }
}

/// Makes a new file, whole before it has its name, of what can be read of the damaged one; answers too whether the journal
/// goes on with it.
fn save(path: &Path, seal: &Seal) -> Result<(Salvaged, bool), Fault> {
    let new = beside(path, SALVAGING);
    let saved = guarded(|| {
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(redb::Error::Io(e).into()),
            _ => {}
        }
        let opener = Opener::file();
        create(&new, seal)?;
        let db = opener.open(&new)?;
        let saved = salvage(path, &db, seal);
        if saved.is_err() {
            abandon(Some(db));
        }
        saved
    })
    .and_then(|saved| {
        std::fs::rename(&new, beside(path, SALVAGED)).map_err(redb::Error::Io)?;
        crate::data::sync_folder(path).map_err(redb::Error::Io)?;
        Ok(saved)
    });
    if saved.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&new);
    }
    saved
}

/// Gives a damaged journal another name.
///
/// # Errors
/// What the system refuses.
pub(super) fn keep_journal(store: &Path, journal: &Path) -> std::io::Result<PathBuf> {
    let kept = free_name(store, super::journal::SUFFIX);
    std::fs::rename(journal, &kept)?;
    crate::data::sync_folder(store)?;
    Ok(kept)
}

/// Gives the damaged file another name, with the note about it gone; its journal too where that does not go on.
fn set_aside(path: &Path, with_journal: bool) -> std::io::Result<PathBuf> {
    let kept = free_name(path, "");
    if with_journal {
        match std::fs::rename(super::journal::path_of(path), super::journal::path_of(&kept)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    std::fs::rename(path, &kept)?;
    remove(path)?;
    crate::data::sync_folder(path)?;
    Ok(kept)
}

/// A name that tells when something was set aside, and that no file has.
fn free_name(path: &Path, suffix: &str) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut kept = beside(path, &format!(".damaged-{}{suffix}", utc(seconds)));
    for n in 2u32.. {
        if kept.symlink_metadata().is_err() {
            break;
        }
        kept = beside(path, &format!(".damaged-{}-{n}{suffix}", utc(seconds)));
    }
    kept
}

/// The path with something appended to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Seconds since 1970 as `20261121T013107Z` (days to date: Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
pub(crate) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days.saturating_add(719_468);
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_of_damaged_files() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_827_696), "20000229T123456Z");
        assert_eq!(utc(1_795_224_667), "20261121T013107Z");
    }
}
