//! Every scenario as a test, at a tenth of its scale (`CAIRN_FULL=1`: in full), each in a sandbox of its own. Scenarios
//! mostly wait, so more of them run at once than there are cores; those with limits in time run alone, after the others.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::RwLock;

use cairn_tests::sandbox::{self, Outcome};
use cairn_tests::scenario::{self, Alone, Scale, Scenario};
use libtest_mimic::{Arguments, Failed, Trial};

/// Scenarios at once for each core.
const A_CORE: usize = 3;

/// Held alone by whoever must have the machine for itself.
static MACHINE: RwLock<()> = RwLock::new(());

fn hold(scenario: &Scenario, scale: Scale) -> Result<(), Failed> {
    let (_alone, _together);
    if scenario.alone == Alone::Quiet && !scale.full {
        // It holds nobody up.
    } else if scenario.is_alone(scale) {
        _alone = MACHINE.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    } else {
        _together = MACHINE.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    let (name, limit) = (scenario.name, scenario.limit(scale.full));
    match sandbox::run(Path::new(env!("CARGO_BIN_EXE_lan-report")), name, scale.full, limit) {
        Outcome::Passed(figures) => {
            if scale.full {
                figures.iter().for_each(|f| println!("{f:?}"));
            }
            Ok(())
        }
        Outcome::Failed(printed) => Err(format!("{name}: {}\n{printed}", scenario.about).into()),
        Outcome::Skipped(why) => {
            let line = format!("SKIPPED {name}: this machine refuses a virtual LAN: {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    args.test_threads.get_or_insert(cores * A_CORE);
    let scale = Scale::from_env();
    let mut all: Vec<&'static Scenario> = scenario::ALL.iter().collect();
    all.sort_by_key(|s| s.is_alone(scale));
    let trials = all.into_iter().map(|s| Trial::test(s.name, move || hold(s, scale))).collect();
    libtest_mimic::run(&args, trials).exit_code()
}
