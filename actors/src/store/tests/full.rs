//! A disk that is really full: a small tmpfs in namespaces of its own, in which this test binary runs itself again.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use super::super::conformance::{ALL, Author, put};
use super::super::{RedbStore, Store, StoreError, Table, Write};

/// Where the small filesystem is mounted, for the inner run.
const FOLDER: &str = "CAIRN_TEST_SMALL_DISK";

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let allowed = Command::new("unshare").args(["-Urm", "true"]).status().is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("SKIPPED: the kernel refuses namespaces here, so there is no small disk to fill");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=6m tmpfs \"$CAIRN_TEST_SMALL_DISK\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::full::on_the_small_disk", "--include-ignored", "--nocapture"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[test]
#[ignore = "runs inside a small filesystem, started by the test above"]
fn on_the_small_disk() {
    let folder = std::env::var_os(FOLDER).expect("started by the other test");
    let folder = Path::new(&folder);
    let filler = folder.join("filler");
    std::fs::write(&filler, vec![1; 2 * 1024 * 1024]).unwrap();
    let path = folder.join("cairn.redb");
    let store = RedbStore::open(&path).unwrap();
    let mut author = Author::new(1, 1, 1);
    let mut kept = 0;
    let mut fulls = 0;
    // Full while the file grows, full once more after room was made, then nothing is left to free.
    for round in 0..2 {
        let refused: Vec<Write> = loop {
            let batch = author.appends(16, 4_000);
            match store.commit(&batch) {
                Ok(()) => kept += batch.len(),
                Err(StoreError::Full) => break batch,
                Err(error) => panic!("{error}"),
            }
            assert!(kept < 10_000, "the disk never fills");
        };
        for _ in 0..3 {
            fulls += 1;
            assert_eq!(store.commit(&refused), Err(StoreError::Full));
            let entries = store.entries(&author.space, &author.log, 1, ALL).unwrap();
            assert_eq!(entries.len(), kept, "reads go on, and nothing that was committed is gone");
            assert_eq!(store.tips(&author.space).unwrap()[0].1.seq, kept as u64);
        }
        if round == 0 {
            std::fs::remove_file(&filler).unwrap();
            store.commit(&refused).expect("there is room again");
            kept += refused.len();
        }
    }
    drop(store);
    // Even on the full disk it opens again.
    let store = RedbStore::open(&path).unwrap();
    store.verify().unwrap();
    assert_eq!(store.entries(&author.space, &author.log, 1, ALL).unwrap().len(), kept);
    assert_eq!(store.get(Table::Peers, b"k").unwrap(), None);
    drop(store);
    // A new store on the full disk is refused, and leaves no half of one behind.
    let other = folder.join("other.redb");
    std::fs::write(folder.join("rest"), vec![1; 8 * 1024 * 1024]).expect_err("it is full");
    assert_eq!(RedbStore::open(&other).unwrap_err(), StoreError::Full);
    assert!(!other.exists());
    std::fs::remove_file(folder.join("rest")).unwrap();
    let small = put(Table::Peers, b"k", b"v");
    let store = RedbStore::open(&path).unwrap();
    match store.commit(std::slice::from_ref(&small)) {
        Ok(()) => assert_eq!(store.get(Table::Peers, b"k").unwrap().unwrap(), b"v"),
        Err(error) => assert_eq!(error, StoreError::Full),
    }
    println!("{kept} entries kept, refused {fulls} times");
}
