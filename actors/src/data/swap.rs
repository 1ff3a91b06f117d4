//! Exchanging what a data folder holds (keys, settings, store) for what lies ready in it, so that a crash at any moment
//! leaves the old or the new, never some of each: the new is made in `restore.new`, which becomes `restore.ready` by
//! one renaming once it is whole. From then on whoever opens the folder first moves the old into `replaced-TIME` and
//! the new into its place, part by part, and does what is left of that after a crash. The old is never deleted.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DataError, sync_folder, write_atomically};

/// Where the new is made.
const NEW: &str = "restore.new";
/// Where it lies once it is whole.
const READY: &str = "restore.ready";
/// In it, the name of the folder that takes the old.
const KEPT: &str = "kept";
/// What that name begins with.
const KEPT_FRONT: &str = "replaced-";
/// What is exchanged.
const PARTS: [&str; 4] = ["device.key", "network.key", "settings.json", "cairn.redb"];
/// What belongs to the old store alone and has no successor: a note about it, what was saved of it when it was damaged,
/// where that has not taken its place yet, and its journal.
const BESIDE: [&str; 3] = ["cairn.redb.check", "cairn.redb.salvaged", "cairn.redb.journal"];

/// Whether a folder holds nothing that an exchange would move aside.
#[must_use]
pub(crate) fn is_empty(folder: &Path) -> bool {
    PARTS.iter().all(|part| folder.join(part).symlink_metadata().is_err())
}

/// An empty folder to make the new in; what an earlier attempt has left of one is removed.
///
/// # Errors
/// What the system refuses.
pub(crate) fn begin(folder: &Path) -> Result<PathBuf, DataError> {
    let new = folder.join(NEW);
    abandon(folder)?;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only a mode changes it"))]
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&new).map_err(DataError::io("make", &new))?;
    Ok(new)
}

/// Removes what was made so far.
///
/// # Errors
/// What the system refuses.
pub(crate) fn abandon(folder: &Path) -> Result<(), DataError> {
    let new = folder.join(NEW);
    match std::fs::remove_dir_all(&new) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io("remove", &new)(e)),
        _ => Ok(()),
    }
}

/// The new is whole: it takes its place now or, after a crash, when the folder is opened next. `time` as
/// `20261121T013107Z`.
///
/// # Errors
/// What the system refuses; nothing has changed then.
pub(crate) fn ready(folder: &Path, time: &str) -> Result<(), DataError> {
    let (new, ready) = (folder.join(NEW), folder.join(READY));
    let mut name = format!("{KEPT_FRONT}{time}");
    for n in 2u32.. {
        if folder.join(&name).symlink_metadata().is_err() {
            break;
        }
        name = format!("{KEPT_FRONT}{time}-{n}");
    }
    write_atomically(&new.join(KEPT), name.as_bytes())?;
    std::fs::rename(&new, &ready).and_then(|()| sync_folder(&ready)).map_err(DataError::io("make", &ready))
}

/// Does the exchange where something lies ready. Answers where the old is now, if there was any.
///
/// # Errors
/// What the system refuses; the next call goes on from there.
pub(crate) fn finish(folder: &Path) -> Result<Option<PathBuf>, DataError> {
    let ready = folder.join(READY);
    let note = ready.join(KEPT);
    let name = match std::fs::read_to_string(&note) {
        Ok(name) => name,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Removed last of all: an empty folder may be left.
            return match std::fs::remove_dir(&ready) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io("remove", &ready)(e)),
                _ => Ok(None),
            };
        }
        Err(e) => return Err(DataError::io("read", &note)(e)),
    };
    let named =
        name.strip_prefix(KEPT_FRONT).is_some_and(|t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    if !named {
        return Err(DataError::io("use", &note)(std::io::Error::from(ErrorKind::InvalidData)));
    }
    let kept = folder.join(name);
    for part in BESIDE.iter().chain(&PARTS) {
        let (new, here, old) = (ready.join(part), folder.join(part), kept.join(part));
        // A part of the new that does not lie here any more is in its place.
        let (is_new, is_here) = (new.symlink_metadata().is_ok(), here.symlink_metadata().is_ok());
        if is_here && (is_new || BESIDE.contains(part)) {
            match std::fs::create_dir(&kept) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(DataError::io("make", &kept)(e)),
                _ => {}
            }
            std::fs::rename(&here, &old).map_err(DataError::io("keep aside", &here))?;
            sync_folder(&old).and_then(|()| sync_folder(&here)).map_err(DataError::io("keep aside", &here))?;
        }
        if is_new {
            std::fs::rename(&new, &here)
                .and_then(|()| sync_folder(&here))
                .map_err(DataError::io("put in place", &here))?;
        }
    }
    std::fs::remove_file(&note).map_err(DataError::io("remove", &note))?;
    std::fs::remove_dir(&ready).and_then(|()| sync_folder(&ready)).map_err(DataError::io("remove", &ready))?;
    Ok(kept.exists().then_some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn old(folder: &Path) {
        for part in BESIDE.iter().chain(&PARTS) {
            std::fs::write(folder.join(part), format!("old {part}")).unwrap();
        }
    }

    fn make_new(folder: &Path) {
        let new = begin(folder).unwrap();
        for part in PARTS {
            std::fs::write(new.join(part), format!("new {part}")).unwrap();
        }
        ready(folder, "20261121T013107Z").unwrap();
    }

    fn is_exchanged(folder: &Path) {
        for part in PARTS {
            assert_eq!(std::fs::read_to_string(folder.join(part)).unwrap(), format!("new {part}"));
        }
        let kept = folder.join("replaced-20261121T013107Z");
        let all = ["cairn.redb", "device.key", "network.key", "replaced-20261121T013107Z", "settings.json"];
        assert_eq!(names(folder), all);
        for part in BESIDE.iter().chain(&PARTS) {
            assert_eq!(std::fs::read_to_string(kept.join(part)).unwrap(), format!("old {part}"));
        }
    }

    #[test]
    fn the_new_takes_its_place_and_the_old_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_empty(dir.path()));
        old(dir.path());
        assert!(!is_empty(dir.path()));
        assert_eq!(finish(dir.path()).unwrap(), None);
        begin(dir.path()).unwrap();
        assert_eq!(finish(dir.path()).unwrap(), None, "what is not whole changes nothing");
        make_new(dir.path());
        assert_eq!(finish(dir.path()).unwrap(), Some(dir.path().join("replaced-20261121T013107Z")));
        is_exchanged(dir.path());
        assert_eq!(finish(dir.path()).unwrap(), None);
        make_new(dir.path());
        let second = finish(dir.path()).unwrap().unwrap();
        assert!(second.ends_with("replaced-20261121T013107Z-2"), "no name twice");
        assert_eq!(names(&second).len(), PARTS.len());
    }

    #[test]
    fn an_empty_folder_takes_the_new_and_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        make_new(dir.path());
        assert_eq!(finish(dir.path()).unwrap(), None);
        assert_eq!(names(dir.path()), ["cairn.redb", "device.key", "network.key", "settings.json"]);
    }

    /// Every state that a crash can leave, made by hand: the first `n` of the steps below are done.
    #[test]
    fn a_crash_at_any_step_is_gone_on_from() {
        for n in 0..14 {
            let dir = tempfile::tempdir().unwrap();
            old(dir.path());
            make_new(dir.path());
            let (ready, kept) = (dir.path().join(READY), dir.path().join("replaced-20261121T013107Z"));
            let mut steps: Vec<Box<dyn Fn()>> = vec![];
            let make = kept.clone();
            steps.push(Box::new(move || std::fs::create_dir(&make).unwrap()));
            for part in BESIDE.iter().chain(&PARTS) {
                let (here, kept, ready) = (dir.path().join(part), kept.join(part), ready.join(part));
                let back = here.clone();
                steps.push(Box::new(move || std::fs::rename(&here, &kept).unwrap()));
                if PARTS.contains(part) {
                    steps.push(Box::new(move || std::fs::rename(&ready, &back).unwrap()));
                }
            }
            let note = ready.join(KEPT);
            steps.push(Box::new(move || std::fs::remove_file(&note).unwrap()));
            steps.iter().take(n).for_each(|step| step());
            finish(dir.path()).unwrap();
            is_exchanged(dir.path());
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        old(dir.path());
        make_new(dir.path());
        for name in ["replaced-../../x", "elsewhere", ""] {
            std::fs::write(dir.path().join(READY).join(KEPT), name).unwrap();
            assert!(finish(dir.path()).is_err(), "{name}");
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("device.key")).unwrap(), "old device.key");
    }
}
