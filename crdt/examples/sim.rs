//! Runs seeds of the simulator of the pure halves, in which everything goes wrong, and says what they came to.
//!
//! ```text
//! cargo run --release -p cairn-crdt --features planted --example sim -- --seeds 10000
//!     --from K          the first seed (0)
//!     --seed K          one seed; --keep 3,9-12 only these transitions of it, printed
//!     --fault NAME      plants a fault (see `planted`); --fault all: each in turn until it is caught
//! ```
//! Failing seeds are named, and the first is shrunk and printed with the command that repeats it; the exit code is then 1.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cairn_crdt::planted::{FAULTS, Fault, plant};
use cairn_crdt::sim::{Plan, Stats, places, run, shrink};

/// Runs spent on making a failing run small.
const SHRINK_RUNS: usize = 2_000;

struct Args {
    seeds: u64,
    from: u64,
    keep: Option<Vec<usize>>,
    one: bool,
    fault: Option<String>,
}

fn args() -> Result<Args, String> {
    let mut out = Args { seeds: 100, from: 0, keep: None, one: false, fault: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{word} {value}: {e}"));
        match word.as_str() {
            "--seeds" => out.seeds = number()?,
            "--from" => out.from = number()?,
            "--seed" => (out.from, out.seeds, out.one) = (number()?, 1, true),
            "--keep" => out.keep = Some(kept(&value)?),
            "--fault" => out.fault = Some(value),
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(out)
}

/// `3,9-12` as places.
fn kept(text: &str) -> Result<Vec<usize>, String> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |n: &str| n.parse::<usize>().map_err(|e| format!("{part}: {e}"));
        out.extend(number(from)?..=number(to)?);
    }
    Ok(out)
}

fn add(sum: &mut Stats, one: &Stats) {
    sum.transitions += one.transitions;
    sum.frames += one.frames;
    sum.bytes += one.bytes;
    sum.entries += one.entries;
    sum.said += one.said;
}

fn plan_of(args: &Args, seed: u64) -> Plan {
    let plan = Plan::seeded(seed);
    args.keep.as_ref().map_or_else(|| plan.clone(), |keep| plan.keep(keep))
}

/// Runs seeds on all processors; those that fail are named, and the first of them is shrunk.
fn seeds(args: &Args, fault: Option<Fault>) -> bool {
    let start = Instant::now();
    let next = AtomicU64::new(args.from);
    let results = Mutex::new((Stats::default(), 0u64, BTreeMap::new()));
    let work = || {
        plant(fault);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.from.saturating_add(args.seeds) {
                return;
            }
            let plan = plan_of(args, seed);
            if args.one {
                println!("{:?}\n{:#?}", plan.config, plan.steps);
            }
            let result = run(&plan);
            let Ok(mut sum) = results.lock() else { return };
            sum.1 += u64::from(plan.config.nodes);
            match result {
                Ok(stats) => add(&mut sum.0, &stats),
                Err(f) => {
                    println!("seed {seed}: {f}");
                    sum.2.insert(seed, f);
                }
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(work);
        }
    });
    let Ok((sum, nodes, failed)) = results.into_inner() else { return false };
    println!(
        "{} of {} seeds held in {:.1} s: {nodes} nodes, {} transitions, {} messages acknowledged, {} entries made \
         durable, {} frames, {:.1} MB",
        args.seeds.saturating_sub(failed.len() as u64),
        args.seeds,
        start.elapsed().as_secs_f64(),
        sum.transitions,
        sum.said,
        sum.entries,
        sum.frames,
        sum.bytes as f64 / 1e6
    );
    if let Some(seed) = failed.keys().next().filter(|_| args.keep.is_none()) {
        plant(fault);
        let plan = plan_of(args, *seed);
        let small = shrink(&plan, SHRINK_RUNS);
        println!("seed {seed} needs {:#?}", plan.keep(&small).steps);
        let command = "cargo run --release -p cairn-crdt --features planted --example sim --";
        println!("{command} --seed {seed} --keep {}", places(&small));
    }
    failed.is_empty()
}

/// Plants faults until each is caught.
fn faults(args: &Args, which: &[Fault]) -> bool {
    let mut all = true;
    for fault in which {
        plant(Some(*fault));
        let caught = (args.from..args.from.saturating_add(args.seeds)).find_map(|seed| {
            let f = run(&Plan::seeded(seed)).err()?;
            Some(format!("caught at seed {seed}: {}", f.violation.rule))
        });
        plant(None);
        all &= caught.is_some();
        println!("{fault:?}: {}", caught.unwrap_or_else(|| format!("not caught in {} seeds", args.seeds)));
    }
    all
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    let named = |name: &str| FAULTS.into_iter().find(|f| format!("{f:?}") == name);
    let good = match args.fault.as_deref() {
        None => seeds(&args, None),
        Some("all") => faults(&args, &FAULTS),
        Some(name) => match named(name) {
            Some(fault) if args.one => seeds(&args, Some(fault)),
            Some(fault) => faults(&args, &[fault]),
            None => {
                eprintln!("{name} is not a fault; there are {FAULTS:?}");
                return ExitCode::from(2);
            }
        },
    };
    if good { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
