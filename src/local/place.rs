//! Where the local socket of a data folder is: `cairn.sock` in the folder; where the path is too long or the folder
//! can't hold sockets (exFAT, some network drives), in a runtime folder of the user under a name made of a hash of
//! the folder's canonical path; on Windows always a named pipe of such a name.

use std::io;
use std::path::{Path, PathBuf};

use cairn_crdt::ids::{base32, domain_hash};
use interprocess::local_socket::{GenericFilePath, Name, ToFsName};

/// The name of the socket in the data folder.
pub const FILE: &str = "cairn.sock";
/// Longest path of a Unix socket that every system takes (`sun_path` is 104 bytes on macOS, 108 on Linux).
pub const MAX_PATH: usize = 100;

/// A place where the socket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// The path of the Unix socket or the named pipe.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The name for the socket library.
    ///
    /// # Errors
    /// Where the system can't hold such a name.
    pub fn name(&self) -> io::Result<Name<'_>> {
        self.0.as_path().to_fs_name::<GenericFilePath>()
    }
}

/// The name that a folder has outside itself: sixteen characters of a hash of its canonical path.
fn hashed(folder: &Path) -> String {
    let hash = domain_hash("cairn 2026 local socket", &[folder.as_os_str().as_encoded_bytes()]);
    base32(hash.get(..10).unwrap_or_default())
}

/// Where to look for, or put, the socket of a data folder, the best place first. `make` creates runtime folders, as a
/// server needs; without it only those are named that exist and belong to this user alone.
///
/// # Errors
/// Where the folder does not exist or can't be looked at.
#[cfg(unix)]
pub fn places(data: &Path, make: bool) -> io::Result<Vec<Place>> {
    let folder = data.canonicalize()?;
    let mut found = Vec::new();
    let in_folder = folder.join(FILE);
    if fits(&in_folder) {
        found.push(Place(in_folder));
    }
    let file = format!("{}.sock", hashed(&folder));
    for runtime in unix::runtime_folders() {
        let path = runtime.join(&file);
        if fits(&path) && unix::is_ours(&runtime, make) && !found.iter().any(|p| p.0 == path) {
            found.push(Place(path));
        }
    }
    Ok(found)
}

/// Where to look for, or put, the socket of a data folder.
///
/// # Errors
/// Where the folder does not exist or can't be looked at.
#[cfg(windows)]
pub fn places(data: &Path, _make: bool) -> io::Result<Vec<Place>> {
    let folder = data.canonicalize()?;
    Ok(vec![Place(PathBuf::from(format!(r"\\.\pipe\cairn-{}", hashed(&folder))))])
}

#[cfg(unix)]
fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_PATH
}

#[cfg(unix)]
mod unix {
    //! Runtime folders that belong to this user alone.

    use std::fs::{DirBuilder, symlink_metadata};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    use std::path::{Path, PathBuf};

    /// The folders that may hold our sockets, best first. A command may run with another environment than the node
    /// (over ssh, from cron), so all of them are looked at.
    pub fn runtime_folders() -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let mut found = Vec::new();
        if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute()) {
            found.push(dir.join("cairn"));
        }
        found.push(PathBuf::from(format!("/run/user/{user}/cairn")));
        found.push(std::env::temp_dir().join(format!("cairn-{user}")));
        found.push(PathBuf::from(format!("/tmp/cairn-{user}")));
        found
    }

    /// Whether a folder is a real folder of this user that nobody else can enter; with `make`, made if missing.
    pub fn is_ours(folder: &Path, make: bool) -> bool {
        if make {
            // Whether it was made or was there already, what counts is what it is now.
            let _ = DirBuilder::new().mode(0o700).create(folder);
        }
        symlink_metadata(folder)
            .is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw() && m.mode() & 0o077 == 0)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_short_folder_holds_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(dir.path(), false).unwrap();
        assert_eq!(places[0].path(), dir.path().canonicalize().unwrap().join(FILE));
    }

    #[test]
    fn a_long_path_moves_to_a_runtime_folder_and_is_the_same_by_any_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(60)).join("e".repeat(60));
        std::fs::create_dir_all(&long).unwrap();
        let link = dir.path().join("short");
        symlink(&long, &link).unwrap();
        let by_name = places(&long, true).unwrap();
        assert!(!by_name.is_empty());
        assert!(by_name.iter().all(|p| p.path().as_os_str().len() <= MAX_PATH && !p.path().starts_with(&long)));
        assert_eq!(by_name, places(&link, false).unwrap());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("ours");
        assert!(!unix::is_ours(&ours, false));
        assert!(unix::is_ours(&ours, true));
        let link = dir.path().join("link");
        symlink(&ours, &link).unwrap();
        assert!(!unix::is_ours(&link, true));
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!unix::is_ours(&ours, true));
    }

    #[test]
    fn a_folder_that_does_not_exist_has_no_places() {
        assert!(places(Path::new("/nowhere/at/all"), false).is_err());
    }
}
