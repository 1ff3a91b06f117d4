//! Processes killed while they write to a real store, as many as told: `cargo run --release -p cairn-actors --example
//! kill_loops -- --loops 10000 [--seed N] [--folder DIR]`. Prints what was tried; ends with a sentence and status 1 at
//! the first thing lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/store/kill.rs"]
mod kill;
#[path = "../tests/store/work.rs"]
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some((path, seed)) = kill::told() {
        kill::child(&path, seed);
        return ExitCode::FAILURE;
    }
    let (mut loops, mut seed, mut folder) = (10_000, 0, None);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next();
        match (name.as_str(), &value, value.as_ref().and_then(|v| v.parse().ok())) {
            ("--loops", _, Some(n)) => loops = n,
            ("--seed", _, Some(n)) => seed = n,
            ("--folder", Some(path), _) => folder = Some(PathBuf::from(path)),
            _ => {
                eprintln!("usage: kill_loops [--loops N] [--seed N] [--folder DIR]");
                return ExitCode::from(2);
            }
        }
    }
    let own = match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(e) => {
            println!("no folder: {e}");
            return ExitCode::FAILURE;
        }
    };
    let folder = folder.unwrap_or_else(|| own.path().to_owned());
    match kill::run(&folder, &[], loops, seed, |figures| eprintln!("{figures}")) {
        Ok(figures) => {
            println!("{figures}; nothing lost");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}; the store stays in {}", own.keep().display());
            ExitCode::FAILURE
        }
    }
}
