//! Finds programs: others' on the path, and ours where it was built.

use std::path::PathBuf;

/// A program on the path, or where daemons are.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|f| f.join(name)).find(|p| p.is_file())
}

/// The release build of `cairn`: `CAIRN_BIN`, else built now in the workspace beside this one.
///
/// # Errors
/// Where it can't be built.
pub fn cairn() -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(path) = std::env::var_os("CAIRN_BIN") {
        return Ok(path.into());
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--release", "--package", "cairn", "--bin", "cairn", "--target-dir"])
        .arg(&target)
        .current_dir(&root)
        .status()?;
    if !built.success() {
        return Err("the cairn binary does not build".into());
    }
    Ok(target.join("release/cairn"))
}
