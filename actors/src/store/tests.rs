//! Tests of the store on disk: damage, versions, failing media, a full disk.

mod damage;
mod faults;
mod full;
mod journal;
mod schema;
mod sealed;

use std::path::{Path, PathBuf};

use super::conformance::{Author, put};
use super::{RedbStore, Store, Table};

/// A folder with a closed store of some size in it.
fn filled() -> (tempfile::TempDir, PathBuf, Author) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cairn.redb");
    let author = fill(&path);
    (dir, path, author)
}

fn fill(path: &Path) -> Author {
    let store = RedbStore::open(path).unwrap();
    let mut author = Author::new(1, 1, 1);
    for round in 0..5u8 {
        let mut batch = author.appends(60, 300);
        batch.push(put(Table::Peers, &[round], b"peer"));
        store.commit(&batch).unwrap();
    }
    author
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
