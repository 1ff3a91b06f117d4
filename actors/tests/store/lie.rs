//! A disk that said it had synced, and had not: what it holds after a power cut may be any mixture. redb then may not
//! only fail but end the process. So such a file is opened by processes of their own, one after the other, as a person
//! would start Cairn again: after a few of them there must be a store that works and holds nothing but what was written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cairn_actors::store::{RedbStore, Store, StoreError, Table, Write};

use super::disk::Image;
use super::work;

/// Names the file to a child.
const FILE: &str = "CAIRN_TRIAL_LIED";
/// Starts until it has to work: two checks that may end the process, three attempts at saving, one after each step, and
/// one for the journal.
const STARTS: u32 = 10;

/// The file that this process is to open, if it is a child.
pub fn told() -> Option<PathBuf> {
    Some(std::env::var_os(FILE)?.into())
}

/// One start: says what is wrong, or what the store holds.
pub fn child(path: &Path) {
    let used = || -> Result<(), StoreError> {
        let store = RedbStore::open(path)?;
        store.verify()?;
        let held = work::dump(&store)?;
        store.rest()?;
        store.commit(&[Write::Put(Table::Durable, b"still".to_vec(), b"works".to_vec())])?;
        drop(store);
        for stored in held.logs.iter().flat_map(|log| &log.3) {
            println!("\ntrial entry {}", stored.entry.hash());
        }
        println!("\ntrial works");
        Ok(())
    };
    if let Err(e) = used() {
        println!("\ntrial wrong {e}");
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It works as it was found.
    Whole,
    /// It was reported and set aside.
    Reported,
    /// So, but it ended a process first.
    AfterDeath,
}

/// Starts children on an image until the store works. `written`: the hashes of all entries that may be in it.
///
/// # Errors
/// What went wrong.
pub fn opened(folder: &Path, image: &Image, arguments: &[&str], written: &BTreeSet<String>) -> Result<Came, String> {
    let path = folder.join("lied.redb");
    std::fs::write(&path, &image.store).map_err(|e| e.to_string())?;
    if !image.journal.is_empty() {
        std::fs::write(folder.join("lied.redb.journal"), &image.journal).map_err(|e| e.to_string())?;
    }
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut came = Came::Whole;
    for _ in 0..STARTS {
        let output = Command::new(&program)
            .args(arguments)
            .env(FILE, &path)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|e| format!("a child: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("trial ")).collect();
        if lines.contains(&"works") && output.status.success() {
            let strange = lines.iter().filter_map(|l| l.strip_prefix("entry ")).any(|hash| !written.contains(hash));
            for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())?.flatten() {
                if entry.file_name().to_string_lossy().starts_with("lied.redb") {
                    std::fs::remove_file(entry.path()).map_err(|e| e.to_string())?;
                }
            }
            return if strange { Err("it holds what was never written".into()) } else { Ok(came) };
        }
        came = match came {
            Came::AfterDeath => came,
            _ if output.status.success() => Came::Reported,
            _ => Came::AfterDeath,
        };
    }
    Err(format!("{} does not work after {STARTS} starts", path.display()))
}
