//! Finds the `cairn` binary under test: `CAIRN_BIN`, else beside this executable, else built once.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where the binary is. `cargo test --workspace` builds it, because the root package has an integration test; with
/// `-p cairn-tests` alone it may be missing, and is then built.
///
/// # Panics
/// When there is none and it can't be built.
pub fn cairn() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("CAIRN_BIN") {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "CAIRN_BIN names {}, which is not a file", path.display());
            return path;
        }
        let path = beside();
        if !path.is_file() {
            build();
        }
        assert!(path.is_file(), "no cairn binary at {}", path.display());
        path
    })
}

/// Builds the binary in the profile of this executable, where its caller is cargo. Does nothing when `CAIRN_BIN` names
/// one.
///
/// # Panics
/// When cargo fails.
pub fn build() {
    if std::env::var_os("CAIRN_BIN").is_some() {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "cairn", "--bin", "cairn"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "the cairn binary does not build");
}

/// `target/<profile>/cairn`, from `target/<profile>/lan-report` or `target/<profile>/deps/lan-...`.
fn beside() -> PathBuf {
    let exe = std::env::current_exe().expect("this executable has a path");
    let mut folder = exe.parent().expect("it lies in a folder").to_path_buf();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join(format!("cairn{}", std::env::consts::EXE_SUFFIX))
}
