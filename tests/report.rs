//! Runs every scenario in full and prints its figures as a table: `cargo run --release -p cairn-tests --bin lan-report
//! [-- [--tenth] NAME...]`. Ends with exit code 1 when a scenario fails or a target is missed.
//!
//! Inside a sandbox the same program runs one scenario (`--scenario NAME`) or plays a neighbour on the LAN (`--udp`).

use std::process::ExitCode;

use cairn_tests::figures::{Figure, table};
use cairn_tests::sandbox::{self, Outcome};
use cairn_tests::scenario::{self, Scale, Scenario};
use cairn_tests::{binary, udp};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--udp") => match udp::run(args.get(1..).unwrap_or_default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("{e}");
                ExitCode::FAILURE
            }
        },
        Some("--scenario") => {
            let Some(scenario) = args.get(1).and_then(|name| scenario::by_name(name)) else {
                eprintln!("no such scenario");
                return ExitCode::from(2);
            };
            sandbox::enter();
            (scenario.run)(&Scale::from_env());
            ExitCode::SUCCESS
        }
        Some("--list") => {
            for s in scenario::ALL {
                println!("{:<18} {}", s.name, s.about);
            }
            ExitCode::SUCCESS
        }
        _ => report(&args),
    }
}

/// Runs the named scenarios, or all, one after the other.
fn report(args: &[String]) -> ExitCode {
    let full = !args.iter().any(|a| a == "--tenth");
    let names: Vec<&String> = args.iter().filter(|a| *a != "--tenth").collect();
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in &names {
        match scenario::by_name(name) {
            Some(s) => chosen.push(s),
            None => {
                eprintln!("no scenario is called {name}; --list shows them");
                return ExitCode::from(2);
            }
        }
    }
    if names.is_empty() {
        chosen.extend(scenario::ALL);
    }
    binary::build();
    let Ok(me) = std::env::current_exe() else { return ExitCode::FAILURE };
    let (mut rows, mut passed, mut failed, mut skipped) = (Vec::<(String, Figure)>::new(), 0, Vec::new(), Vec::new());
    for s in chosen {
        let start = std::time::Instant::now();
        eprint!("{:<18} {} ... ", s.name, s.about);
        let outcome = sandbox::run(&me, s.name, full, s.limit(full));
        let took = start.elapsed().as_secs_f64();
        match outcome {
            Outcome::Passed(figures) => {
                passed += 1;
                rows.extend(figures.into_iter().map(|f| (s.name.to_owned(), f)));
                eprintln!("held ({took:.1} s)");
            }
            Outcome::Failed(printed) => {
                failed.push(s.name);
                eprintln!("FAILED ({took:.1} s)\n{printed}");
            }
            Outcome::Skipped(why) => {
                skipped.push(s.name);
                eprintln!("SKIPPED: {why}");
            }
        }
    }
    let missed = rows.iter().filter(|(_, f)| !f.met()).count();
    println!("{}", table(&rows));
    println!("{passed} scenarios held, {} failed, {} skipped, {missed} targets missed", failed.len(), skipped.len());
    for (what, names) in [("failed", &failed), ("skipped", &skipped)] {
        if !names.is_empty() {
            println!("{what}: {}", names.join(" "));
        }
    }
    let scale = if full { "" } else { " --tenth" };
    println!("repeat one: cargo run --release -p cairn-tests --bin lan-report --{scale} NAME");
    if failed.is_empty() && missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
