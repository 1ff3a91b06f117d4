//! Trials of the store on disk: power cuts at any write, processes killed at any moment. Some hundred of each; the
//! examples `torn_writes` and `kill_loops` run as many as they are told to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;
mod kill;
mod lie;
mod torn;
mod work;

/// What makes this program run one of the tests that are children.
const fn child(test: &str) -> [&str; 5] {
    ["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]
}

#[test]
fn nothing_acknowledged_is_lost_to_a_power_cut() {
    let figures = torn::run(0, 400, &child("the_process_that_opens"), |_| {}).unwrap_or_else(|why| panic!("{why}"));
    assert!(figures.cuts >= 400 && figures.on_opening > 20 && figures.on_recovery > 20, "{figures}");
    assert!(figures.migrations > 5 && figures.compactions > 5 && figures.lies > 20 && figures.rests > 20, "{figures}");
    println!("{figures}");
}

/// Disks that lied have left stores that end the process which opens or closes them.
#[test]
fn a_store_that_ends_its_process_is_set_aside() {
    for seed in [1459, 1707, 4285] {
        torn::run(seed, 1, &child("the_process_that_opens"), |_| {}).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
#[ignore = "started by the tests above"]
fn the_process_that_opens() {
    if let Some(path) = lie::told() {
        lie::child(&path);
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let figures = kill::run(dir.path(), &child("the_process_that_is_killed"), 100, 0, |_| {})
        .unwrap_or_else(|why| panic!("{why}"));
    assert!(figures.acknowledged > 100 && figures.while_writing > 20, "{figures}");
    println!("{figures}");
}

#[test]
#[ignore = "started and killed by the test above"]
fn the_process_that_is_killed() {
    if let Some((path, seed)) = kill::told() {
        kill::child(&path, seed);
    }
}
