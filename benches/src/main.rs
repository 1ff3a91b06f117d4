//! Figures of Cairn in one table: `cargo run --release --manifest-path benches/Cargo.toml -- all`, or the names of some.
//!
//! Absolute values drift with the load of a machine, so whatever is compared alternates in one run, and the load is
//! printed beside the table.

mod binary;
mod catchup;
mod cold;
mod discovery;
mod echo;
mod figures;
mod ircd;
mod memory;
mod nodes;
mod proc;
mod redb_commit;
mod room;
mod say;
mod throughput;

use std::process::ExitCode;

use figures::Table;

/// What can go wrong in a bench is shown and ends it.
type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

const NAMES: &[&str] = &["bare", "ircd", "discovery", "say", "room", "throughput", "memory", "cold", "catchup"];

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let all = args.iter().any(|a| a == "all");
    if args.is_empty() || args.iter().any(|a| a != "all" && !NAMES.contains(&a.as_str())) {
        eprintln!("usage: cairn-benches all | {}", NAMES.join(" "));
        return ExitCode::from(2);
    }
    let mut table = Table::default();
    let mut failed = false;
    for name in NAMES.iter().filter(|n| all || args.iter().any(|a| a == **n)) {
        eprintln!("{name} ...");
        if let Err(e) = run(name, &mut table).await {
            eprintln!("{name} failed: {e}");
            failed = true;
        }
    }
    print!("{}", table.markdown());
    println!("load of the last minute at the end: {}", proc::load());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn run(name: &str, table: &mut Table) -> Outcome {
    match name {
        "bare" => bare(table).await,
        "ircd" => ircd::bench(table).await,
        "discovery" => discovery::bench(table).await,
        "say" => say::bench(table).await,
        "room" => room::bench(table).await,
        "throughput" => throughput::bench(table).await,
        "memory" => memory::bench(table).await,
        "cold" => cold::bench(table).await,
        "catchup" => catchup::bench(table).await,
        _ => Ok(()),
    }
}

/// The bare libraries alone, alternating: what a message can't beat.
async fn bare(table: &mut Table) -> Outcome {
    let echo = echo::Echo::start().await?;
    let commit = redb_commit::Commit::open()?;
    let (mut echoes, mut commits) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        for _ in 0..200 {
            echoes.push(echo.once().await?);
        }
        for _ in 0..200 {
            commits.push(commit.once()?);
        }
    }
    table.row("bare quinn echo of 100 B, p50 / p99", figures::p50_p99(&mut echoes), "");
    table.row("bare redb commit of 300 B, p50 / p99", figures::p50_p99(&mut commits), "");
    Ok(())
}
