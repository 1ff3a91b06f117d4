//! The behaviours that the product promises on a LAN, one a file. A scenario builds its LAN, lets things happen and
//! panics where a promise is broken; `figures` carries out what it measured.

use std::time::Duration;

mod bad_files;
mod briefing;
mod clean_exit;
mod configured_peer;
mod direct;
mod discovery;
mod full_disk;
mod full_mesh;
mod groups;
mod heavy_loss;
mod idle_mesh;
mod joining;
mod long_partition;
mod network_key;
mod noise;
mod one_host;
mod partition;
mod power_cuts;
mod receipts;
mod saying;
mod silent_death;
mod the_lan_itself;
mod two_networks;
mod wrong_usage;

/// How much of a scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// All of it, with the figures' targets held; else a tenth.
    pub full: bool,
}

impl Scale {
    /// In full with `CAIRN_FULL=1`.
    #[must_use]
    pub fn from_env() -> Self {
        Self { full: std::env::var("CAIRN_FULL").is_ok_and(|v| v == "1") }
    }

    /// The first in full, else the second.
    pub fn pick<T>(&self, full: T, tenth: T) -> T {
        if self.full { full } else { tenth }
    }
}

/// When a scenario must have the machine to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// Never: it waits more than it works.
    Never,
    /// In full, where its figures have targets; a tenth has lax limits.
    Figures,
    /// Always: it holds to a limit that a busy machine may break.
    Always,
    /// Never, and it disturbs nobody who must: nearly all of it is waiting.
    Quiet,
}
use Alone::{Always, Figures, Never, Quiet};

/// A behaviour.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line and as a test.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
    /// When it must have the machine to itself.
    pub alone: Alone,
    /// Runs it inside a sandbox.
    pub run: fn(&Scale),
}

impl Scenario {
    /// Whether it must have the machine to itself at this scale.
    #[must_use]
    pub fn is_alone(&self, scale: Scale) -> bool {
        self.alone == Always || (self.alone == Figures && scale.full)
    }

    /// How long it may take before it counts as stuck.
    #[must_use]
    pub fn limit(&self, full: bool) -> Duration {
        Duration::from_secs(if full { 1200 } else { 150 })
    }
}

/// A scenario by name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name == name)
}

const fn scenario(name: &'static str, about: &'static str, alone: Alone, run: fn(&Scale)) -> Scenario {
    Scenario { name, about, alone, run }
}

/// All of them.
pub static ALL: &[Scenario] = &[
    // The longest one first: the others are run beside it.
    scenario("briefing", "sides that meet again are told who came back and what was written", Quiet, briefing::run),
    scenario("the_lan_itself", "the virtual LAN passes, blocks, parts and loses as told", Never, the_lan_itself::run),
    scenario("only_broadcast", "nodes meet where only broadcast passes", Never, discovery::only_broadcast),
    scenario("only_multicast_v4", "nodes meet where only IPv4 multicast passes", Never, discovery::only_multicast_v4),
    scenario("only_v6", "nodes meet where beacons pass over IPv6 only", Never, discovery::only_v6),
    scenario("no_v4_at_all", "nodes meet on link-local IPv6 addresses alone", Never, discovery::no_v4_at_all),
    scenario("no_default_route", "nodes meet without a default route", Never, discovery::no_default_route),
    scenario("configured_peer", "a configured peer is enough where no beacon passes", Never, configured_peer::run),
    scenario("one_host", "two nodes on one host and a third elsewhere all meet", Never, one_host::run),
    scenario("full_mesh", "thirty hosts that start at once form a full mesh", Figures, full_mesh::run),
    scenario("idle_mesh", "sixty hosts in a full mesh cost each other little", Figures, idle_mesh::run),
    scenario("join_two", "a second node is seen, session open both ways, at once", Figures, joining::two),
    scenario("join_ten", "the tenth node on a LAN of ten sees all others at once", Figures, joining::ten),
    scenario("partition", "two sides of a pulled trunk agree soon after it is back", Figures, partition::run),
    scenario("long_partition", "a minute apart with much said, then equal at once", Figures, long_partition::long),
    scenario("three_partitions", "three partitions that overlap merge", Figures, long_partition::overlapping),
    scenario("courier", "a carried laptop keeps two LANs that never meet up to date", Never, long_partition::courier),
    scenario(
        "two_networks",
        "two groups that talked apart ask, and hold both rooms after six yeses",
        Never,
        two_networks::run,
    ),
    scenario(
        "groups",
        "five who change a group apart come to the same; who is removed gets nothing new",
        Never,
        groups::run,
    ),
    scenario(
        "network_key",
        "without the network's key nobody is met; it is changed while people talk",
        Never,
        network_key::run,
    ),
    scenario("power_cuts", "kill -9 at random moments loses and doubles nothing", Figures, power_cuts::run),
    scenario("silent_death", "a dead machine shows as offline within seconds", Always, silent_death::run),
    scenario("clean_exit", "a clean exit shows at once", Never, clean_exit::run),
    scenario("heavy_loss", "a fifth of all frames lost marks nobody offline", Figures, heavy_loss::run),
    scenario("direct_stays", "direct messages stay between the two", Never, direct::run),
    scenario("said_offline", "what is said while no node runs is delivered by the next", Never, saying::offline),
    scenario("said_twice", "saying one id twice is one message", Never, saying::twice),
    scenario("receipts", "receipts reach delivered m of k, a member at a time", Never, receipts::run),
    scenario("folder_in_use", "a second node on a data folder is told so", Never, bad_files::in_use),
    scenario("corrupt_store", "a corrupt store is reported and kept aside", Never, bad_files::corrupt_store),
    scenario("bad_settings", "a bad settings file is reported and left alone", Never, bad_files::bad_settings),
    scenario("wrong_usage", "wrong arguments end with 2, failures with 1 and one sentence", Never, wrong_usage::run),
    scenario("noise", "floods of garbage, replayed and spoilt beacons disturb nobody", Figures, noise::run),
    scenario("full_disk", "a full disk is reported and loses nothing acknowledged", Never, full_disk::run),
];
