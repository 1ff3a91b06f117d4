//! Exchanging what a data folder holds (keys, settings, store) for what lies ready in it, so that a crash at any moment
//! leaves the old or the new, never some of each: the new is made in `restore.new`, which becomes `restore.ready` by
//! one renaming once it is whole. From then on whoever opens the folder first moves the old into `replaced-TIME` and
//! the new into its place, part by part, and does what is left of that after a crash. The old is never deleted, but where a passphrase was set or
//! removed: then it goes to `outgoing-old` and is destroyed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DataError, sync_folder, write_atomically};
use crate::vault;

/// Where the new is made.
const NEW: &str = "restore.new";
/// Where it lies once it is whole.
const READY: &str = "restore.ready";
/// In it, the name of the folder that takes the old.
const KEPT: &str = "kept";
/// What that name begins with.
const KEPT_FRONT: &str = "replaced-";
/// What is exchanged.
const PARTS: [&str; 5] = ["device.key", "network.key", "settings.json", "cairn.redb", "passphrase.key"];
/// End of the name of a mark in the new: it has no such part, and the old one goes.
const GONE: &str = ".gone";
/// What the name of the folder that takes the old begins with where the old is to be destroyed.
const OUT_FRONT: &str = "outgoing-";
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

/// Marks in the new that it has no such part.
///
/// # Errors
/// What the system refuses.
pub(crate) fn mark_gone(new: &Path, part: &str) -> Result<(), DataError> {
    write_atomically(&new.join(format!("{part}{GONE}")), &[])
}

/// The new is whole and takes the place of the old, which is destroyed.
///
/// # Errors
/// What the system refuses; nothing has changed then.
pub(crate) fn ready_to_replace(folder: &Path) -> Result<(), DataError> {
    ready_as(folder, OUT_FRONT, "old")
}

/// The new is whole: it takes its place now or, after a crash, when the folder is opened next. `time` as
/// `20261121T013107Z`.
///
/// # Errors
/// What the system refuses; nothing has changed then.
pub(crate) fn ready(folder: &Path, time: &str) -> Result<(), DataError> {
    ready_as(folder, KEPT_FRONT, time)
}

fn ready_as(folder: &Path, front: &str, time: &str) -> Result<(), DataError> {
    let (new, ready) = (folder.join(NEW), folder.join(READY));
    let mut name = format!("{front}{time}");
    for n in 2u32.. {
        if folder.join(&name).symlink_metadata().is_err() {
            break;
        }
        name = format!("{front}{time}-{n}");
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
            destroy_outgoing(folder)?;
            // Removed last of all: an empty folder may be left.
            return match std::fs::remove_dir(&ready) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io("remove", &ready)(e)),
                _ => Ok(None),
            };
        }
        Err(e) => return Err(DataError::io("read", &note)(e)),
    };
    let front = [KEPT_FRONT, OUT_FRONT].into_iter().find_map(|front| name.strip_prefix(front));
    if !front.is_some_and(|t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')) {
        return Err(DataError::io("use", &note)(std::io::Error::from(ErrorKind::InvalidData)));
    }
    let kept = folder.join(name);
    for part in BESIDE.iter().chain(&PARTS) {
        let (new, here, old) = (ready.join(part), folder.join(part), kept.join(part));
        // A part of the new that does not lie here any more is in its place.
        let (is_new, is_here) = (new.symlink_metadata().is_ok(), here.symlink_metadata().is_ok());
        let mark = ready.join(format!("{part}{GONE}"));
        let is_gone = mark.symlink_metadata().is_ok();
        if is_here && (is_new || is_gone || BESIDE.contains(part)) {
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
        if is_gone {
            std::fs::remove_file(&mark).map_err(DataError::io("remove", &mark))?;
        }
    }
    std::fs::remove_file(&note).map_err(DataError::io("remove", &note))?;
    std::fs::remove_dir(&ready).and_then(|()| sync_folder(&ready)).map_err(DataError::io("remove", &ready))?;
    destroy_outgoing(folder)?;
    Ok(kept.exists().then_some(kept))
}

/// Destroys what was exchanged and is not to be kept.
fn destroy_outgoing(folder: &Path) -> Result<(), DataError> {
    for name in names(folder)?.into_iter().filter(|name| name.starts_with(OUT_FRONT)) {
        destroy_folder(&folder.join(name))?;
    }
    Ok(())
}

/// Destroys a folder of files.
fn destroy_folder(path: &Path) -> Result<(), DataError> {
    for name in names(path)? {
        vault::destroy(&path.join(name))?;
    }
    std::fs::remove_dir(path).and_then(|()| sync_folder(path)).map_err(DataError::io("remove", path))
}

fn names(folder: &Path) -> Result<Vec<String>, DataError> {
    let all = std::fs::read_dir(folder).map_err(DataError::io("read", folder))?;
    Ok(all.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// What was kept aside in a folder, by name, sorted: it is as it was, whatever happened to the rest since.
pub(crate) fn copies(folder: &Path) -> Vec<String> {
    let kept = |name: &String| name.starts_with(KEPT_FRONT) || name.starts_with("cairn.redb.damaged-");
    let mut names: Vec<_> = names(folder).unwrap_or_default().into_iter().filter(kept).collect();
    names.sort();
    names
}

/// Destroys everything of Cairn in a folder but its lock.
///
/// # Errors
/// What the system refuses; another call goes on from there.
pub(crate) fn remove_all(folder: &Path) -> Result<(), DataError> {
    let ours = |name: &str| {
        PARTS.iter().any(|part| name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest == ".new"))
            || [KEPT_FRONT, OUT_FRONT, "cairn.redb.", "cairn.sock"].iter().any(|front| name.starts_with(front))
            || [NEW, READY].contains(&name)
    };
    for name in names(folder)?.into_iter().filter(|name| ours(name)) {
        let path = folder.join(&name);
        match path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            true => destroy_folder(&path)?,
            false => vault::destroy(&path)?,
        }
    }
    Ok(())
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
        let all =
            ["cairn.redb", "device.key", "network.key", "passphrase.key", "replaced-20261121T013107Z", "settings.json"];
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
        assert_eq!(names(dir.path()), ["cairn.redb", "device.key", "network.key", "passphrase.key", "settings.json"]);
    }

    /// Every state that a crash can leave, made by hand: the first `n` of the steps below are done.
    #[test]
    fn a_crash_at_any_step_is_gone_on_from() {
        for n in 0..16 {
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
