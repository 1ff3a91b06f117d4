//! What a run does: how many nodes, how they are linked, and the list of transitions; from a seed or from any bytes.

use super::dice::Dice;
use super::transition::{ACTS, Act, Transition};

/// Most nodes of a run, hostile ones and copies included.
pub const MAX_NODES: usize = 64;

/// Which links there are while nothing is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everybody with everybody.
    Mesh,
    /// A line: whoever stands between passes on.
    Line,
    /// A ring.
    Ring,
    /// Everybody with the first.
    Star,
    /// A ring with chords.
    Chords,
}

/// The nodes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Chooses keys and the order of delivery in the end.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: u8,
    /// Hostile members, linked with everybody.
    pub hostile: u8,
    /// The links.
    pub shape: Shape,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The nodes.
    pub config: Config,
    /// What happens.
    pub steps: Vec<Transition>,
}

/// Which troubles a run knows. Each run has some of them only, for a run that knows all is seldom deep in any (Groce et
/// al.: Swarm Testing, 2012).
#[derive(Debug, Clone, Copy)]
struct Troubles {
    frames: bool,
    links: bool,
    crashes: bool,
    disks: bool,
    copies: bool,
    forks: bool,
    clocks: bool,
    slow: bool,
}

impl Plan {
    /// The plan of a seed: 5 to 50 honest nodes.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xca1e_5eed_0000_0000);
        let nodes = match dice.below(20) {
            0 => dice.between(25, 50),
            1..=4 => dice.between(12, 24),
            _ => dice.between(5, 11),
        };
        let shape = match dice.below(8) {
            0 | 1 => Shape::Line,
            2 => Shape::Ring,
            3 => Shape::Star,
            4 => Shape::Chords,
            _ => Shape::Mesh,
        };
        let hostile = if dice.chance(40) { dice.between(1, 3) } else { 0 };
        let troubles = Troubles {
            frames: dice.chance(30),
            links: dice.chance(70),
            crashes: dice.chance(50),
            disks: dice.chance(40),
            copies: dice.chance(30),
            forks: dice.chance(25),
            clocks: dice.chance(25),
            slow: dice.chance(30),
        };
        let length = dice.between(60, 300);
        let config = Config { seed, nodes: nodes as u8, hostile: hostile as u8, shape };
        let mut steps: Vec<_> = (0..length).map(|_| step(&config, &troubles, &mut dice)).collect();
        if troubles.slow {
            // In the end all are linked and quiet, and then one reads so slowly that it misses what is pushed: nothing
            // but the end of its queue tells it.
            steps.push(Transition::Heal);
            steps.extend((0..config.nodes).map(Transition::Start));
            steps.extend([Transition::Tick(1), Transition::Deliver { n: 5_000, salt: dice.roll() as u32 }]);
            let behind = dice.below(config.nodes.into()) as u8;
            steps.push(Transition::SlowPeer(behind));
            // One after the other, so that more frames wait than its queue takes.
            let writers = (0..24).map(|n| (behind + n / 3) % config.nodes);
            steps.extend(writers.map(|node| Transition::Write { node, n: 1, part: 0, long: false }));
        }
        Self { config, steps }
    }

    /// The plan that a fuzzer's input says: the first byte chooses the nodes, the rest is transitions.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let first = bytes.next().unwrap_or(0);
        let shape = match (first >> 2) % 5 {
            0 => Shape::Mesh,
            1 => Shape::Line,
            2 => Shape::Ring,
            3 => Shape::Star,
            _ => Shape::Chords,
        };
        let config = Config { seed: u64::from(first), nodes: 3 + first % 4, hostile: first >> 6, shape };
        Self { config, steps: std::iter::from_fn(|| Transition::read(&mut bytes)).take(400).collect() }
    }

    /// The same plan with only the steps at these places.
    #[must_use]
    pub fn keep(&self, places: &[usize]) -> Self {
        let steps = places.iter().filter_map(|at| self.steps.get(*at)).copied().collect();
        Self { config: self.config.clone(), steps }
    }
}

fn step(config: &Config, on: &Troubles, dice: &mut Dice) -> Transition {
    let node = |dice: &mut Dice| dice.below(usize::from(config.nodes)) as u8;
    let salt = |dice: &mut Dice| dice.roll() as u32;
    loop {
        match dice.below(30) {
            0..=6 => {
                let long = dice.chance(1);
                // Long ones come in bursts that no frame can hold.
                let n = if long { dice.between(1, 24) } else { dice.between(1, 4) } as u8;
                return Transition::Write { node: node(dice), n, part: dice.below(3) as u8, long };
            }
            7..=12 => return Transition::Deliver { n: dice.between(1, 200) as u16, salt: salt(dice) },
            13 | 14 => return Transition::Tick(dice.between(1, 35) as u8),
            15 | 16 if on.links => {
                let (a, b) = (node(dice), node(dice));
                return match dice.below(8) {
                    0 => Transition::Cut { a, b },
                    1 => Transition::Join { a, b },
                    2 => Transition::Hold { from: a, to: b },
                    3 => Transition::Release { from: a, to: b },
                    4 | 5 => Transition::Part(dice.roll()),
                    6 => Transition::Mend,
                    _ => Transition::Heal,
                };
            }
            17 | 18 if on.frames => {
                return match dice.below(3) {
                    0 => Transition::Drop(salt(dice)),
                    1 => Transition::Duplicate(salt(dice)),
                    _ => Transition::Reorder(salt(dice)),
                };
            }
            19 if on.crashes => return Transition::Crash(node(dice)),
            20 if on.crashes => return Transition::Start(node(dice)),
            21 if on.disks => {
                return match dice.below(5) {
                    0 | 1 => Transition::SlowDisk(node(dice)),
                    2 | 3 => Transition::DiskFull(node(dice)),
                    _ => Transition::DiskRoom(node(dice)),
                };
            }
            22 if on.disks => {
                return if dice.chance(70) { Transition::Commit(node(dice)) } else { Transition::DiskRoom(node(dice)) };
            }
            23 if on.copies => {
                return match dice.below(5) {
                    0 | 1 => Transition::Backup(node(dice)),
                    2 | 3 => Transition::Restore(node(dice)),
                    _ => Transition::Clone(node(dice)),
                };
            }
            24 if on.forks => {
                return match dice.below(5) {
                    0 | 1 => Transition::Snapshot(node(dice)),
                    2 | 3 => Transition::Resume(node(dice)),
                    _ => Transition::Twin(node(dice)),
                };
            }
            25 if on.clocks => {
                let days = match dice.below(3) {
                    0 => dice.between(0, 20) as i16 - 10,
                    1 => dice.between(0, 8_000) as i16 - 4_000,
                    _ => 0,
                };
                return Transition::Clock { node: node(dice), days };
            }
            26 if on.clocks => {
                return Transition::Drift { node: node(dice), per_mille: dice.between(0, 100) as i8 - 50 };
            }
            27 if on.slow => {
                return if dice.chance(50) {
                    Transition::SlowPeer(node(dice))
                } else {
                    Transition::FastPeer(node(dice))
                };
            }
            28 | 29 if config.hostile > 0 => {
                let act = ACTS.get(dice.below(ACTS.len())).copied().unwrap_or(Act::Replay);
                let which = dice.below(usize::from(config.hostile)) as u8;
                return Transition::Hostile { node: which, act, victim: node(dice), salt: salt(dice) };
            }
            _ => {}
        }
    }
}
