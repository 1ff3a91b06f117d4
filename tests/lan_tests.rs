//! Every scenario as a test, at a tenth of its scale (`CAIRN_FULL=1`: in full), each in a sandbox of its own.

use std::io::Write;
use std::path::Path;
use std::sync::RwLock;

use cairn_tests::sandbox::{self, Outcome};
use cairn_tests::scenario::{self, Scale};

/// Scenarios that use much of the machine or measure time run alone.
static MACHINE: RwLock<()> = RwLock::new(());

fn hold(name: &str) {
    let scenario = scenario::by_name(name).unwrap_or_else(|| panic!("no scenario is called {name}"));
    let full = Scale::from_env().full;
    let ignore_poison = std::sync::PoisonError::into_inner;
    let (_alone, _together);
    if scenario.alone {
        _alone = MACHINE.write().unwrap_or_else(ignore_poison_write);
    } else {
        _together = MACHINE.read().unwrap_or_else(ignore_poison);
    }
    match sandbox::run(Path::new(env!("CARGO_BIN_EXE_lan-report")), name, full, scenario.limit(full)) {
        Outcome::Passed(figures) => figures.iter().for_each(|f| println!("{f:?}")),
        Outcome::Failed(printed) => panic!("{name}: {}\n{printed}", scenario.about),
        Outcome::Skipped(why) => {
            // Straight to the descriptor: the harness swallows what passing tests print.
            let line = format!("SKIPPED {name}: this machine refuses a virtual LAN: {why}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

fn ignore_poison_write<T>(e: std::sync::PoisonError<T>) -> T {
    e.into_inner()
}

/// One test a scenario; `every_scenario_is_a_test` holds that none is forgotten.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })+

        #[test]
        fn every_scenario_is_a_test() {
            let here: std::collections::BTreeSet<&str> = [$(stringify!($name)),+].into();
            let all = scenario::ALL.iter().map(|s| s.name).collect();
            assert_eq!(here, all);
        }
    };
}

scenarios! {
    the_lan_itself,
    only_broadcast,
    only_multicast_v4,
    only_v6,
    no_v4_at_all,
    no_default_route,
    configured_peer,
    one_host,
    full_mesh,
    idle_mesh,
    join_two,
    join_ten,
    partition,
    long_partition,
    briefing,
    three_partitions,
    courier,
    two_networks,
    power_cuts,
    silent_death,
    clean_exit,
    heavy_loss,
    direct_stays,
    said_offline,
    said_twice,
    receipts,
    folder_in_use,
    corrupt_store,
    bad_settings,
    wrong_usage,
    noise,
    full_disk,
}
