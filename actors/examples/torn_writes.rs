//! Power cuts on a simulated disk, as many as told: `cargo run --release -p cairn-actors --example torn_writes --
//! --images 20000 [--seed N]`. Prints what was tried; ends with a sentence and status 1 at the first thing lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/store/disk.rs"]
mod disk;
#[path = "../tests/store/lie.rs"]
mod lie;
#[path = "../tests/store/torn.rs"]
mod torn;
#[path = "../tests/store/work.rs"]
mod work;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if let Some(path) = lie::told() {
        lie::child(&path);
        return ExitCode::SUCCESS;
    }
    let (mut images, mut seed) = (20_000, 0);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        match (name.as_str(), args.next().and_then(|v| v.parse().ok())) {
            ("--images", Some(n)) => images = n,
            ("--seed", Some(n)) => seed = n,
            _ => {
                eprintln!("usage: torn_writes [--images N] [--seed N]");
                return ExitCode::from(2);
            }
        }
    }
    let start = Instant::now();
    match torn::run(seed, images, &[], |figures| eprintln!("{figures}")) {
        Ok(figures) => {
            println!("{figures}; nothing lost, in {:.1} s", start.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}
