//! What can happen to a set of nodes: one list, which simulation, fuzzing and whole nodes in simulation share.
//!
//! A transition is plain data and holds every choice that it makes, so a run is a function of its plan alone and any
//! part of a plan is a plan. Node numbers are taken modulo the number of nodes; one that makes no sense now (to start a
//! node that runs) does nothing.

/// What a hostile member with a valid key does to one victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Signs two entries at one place and sends one to the victim, the other to everybody else.
    Fork,
    /// Sends frames again that it got before.
    Replay,
    /// Sends an entry and keeps the one before it to itself.
    Gap,
    /// Sends an entry whose payload the guard must refuse.
    Bomb,
    /// Offers many documents that do not exist, and opens many logs.
    Flood,
    /// Asks with a frontier that it made up.
    ForgedFrontier,
    /// States that it holds what it does not, and digests of nothing.
    ForgedDigest,
    /// Sends entries in another's name.
    Forgery,
    /// Sends a run whose chain is broken in the middle.
    BrokenChain,
    /// Sends an entry of another space.
    ForeignSpace,
    /// Sends an entry without its payload.
    Erased,
    /// Sends an entry of a kind that nobody knows: no offence.
    UnknownKind,
    /// Offers documents that are really there, and stops answering.
    Withhold,
    /// Stops answering, or answers again.
    Mute,
}

/// Every act.
pub const ACTS: [Act; 14] = [
    Act::Fork,
    Act::Replay,
    Act::Gap,
    Act::Bomb,
    Act::Flood,
    Act::ForgedFrontier,
    Act::ForgedDigest,
    Act::Forgery,
    Act::BrokenChain,
    Act::ForeignSpace,
    Act::Erased,
    Act::UnknownKind,
    Act::Withhold,
    Act::Mute,
];

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// A node writes messages into one part of the week that its clock says.
    Write {
        /// Who.
        node: u8,
        /// How many.
        n: u8,
        /// Which part.
        part: u8,
        /// Whether they are long (20 KiB) instead of short.
        long: bool,
    },
    /// Frames arrive, each from the front of a random connection.
    Deliver {
        /// How many.
        n: u16,
        /// Chooses the connections.
        salt: u32,
    },
    /// A waiting frame is lost.
    Drop(u32),
    /// A waiting frame will arrive twice.
    Duplicate(u32),
    /// A waiting frame overtakes those before it.
    Reorder(u32),
    /// Nothing arrives in one direction of a link, but nothing is lost.
    Hold {
        /// Who sends.
        from: u8,
        /// Who hears nothing.
        to: u8,
    },
    /// That direction works again.
    Release {
        /// Who sends.
        from: u8,
        /// Who hears again.
        to: u8,
    },
    /// A cable between two is pulled; what was on its way is lost.
    Cut {
        /// One end.
        a: u8,
        /// The other.
        b: u8,
    },
    /// That cable is plugged in again.
    Join {
        /// One end.
        a: u8,
        /// The other.
        b: u8,
    },
    /// A partition between the nodes whose bits are set and all others. Partitions add up.
    Part(u64),
    /// The oldest partition ends.
    Mend,
    /// Every cable and partition is mended.
    Heal,
    /// Seconds pass: missing connections open, the protocol's timers run.
    Tick(u8),
    /// A node stops without a word and loses exactly what was not committed.
    Crash(u8),
    /// It starts again, as a new incarnation.
    Start(u8),
    /// A backup of its store is taken.
    Backup(u8),
    /// The backup is put back and the node starts on it, as a new incarnation.
    Restore(u8),
    /// A copy of its store is started elsewhere under the same key, as a new incarnation.
    Clone(u8),
    /// The state of the running machine is kept: store, memory and incarnation.
    Snapshot(u8),
    /// The machine goes on from the state kept, as the incarnation that it was.
    Resume(u8),
    /// A second machine goes on from the state kept while the first runs: one incarnation twice.
    Twin(u8),
    /// Its clock jumps by so many days.
    Clock {
        /// Whose.
        node: u8,
        /// Days forward, or back.
        days: i16,
    },
    /// Its clock runs fast or slow.
    Drift {
        /// Whose.
        node: u8,
        /// Parts per thousand.
        per_mille: i8,
    },
    /// Its commits take their time from now on.
    SlowDisk(u8),
    /// Its waiting commits end.
    Commit(u8),
    /// Its disk is full: commits fail.
    DiskFull(u8),
    /// There is room again.
    DiskRoom(u8),
    /// It reads slowly: whoever pushes to it finds the queue full.
    SlowPeer(u8),
    /// It reads as others do.
    FastPeer(u8),
    /// A hostile member acts.
    Hostile {
        /// Which of the hostile ones.
        node: u8,
        /// What it does.
        act: Act,
        /// To whom.
        victim: u8,
        /// Its choices.
        salt: u32,
    },
}

impl Transition {
    /// Reads the next transition of a fuzzer's input; `None` where it ends.
    pub fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Self> {
        let kind = bytes.next()?;
        let mut byte = || bytes.next().unwrap_or(0);
        Some(match kind % 35 {
            0..=3 => {
                let (node, rest) = (byte(), byte());
                Self::Write { node, n: 1 + rest % 4, part: (rest >> 2) % 4, long: rest >> 4 == 15 }
            }
            4..=7 => Self::Deliver { n: u16::from(byte()), salt: u32::from(byte()) },
            8 => Self::Drop(byte().into()),
            9 => Self::Duplicate(byte().into()),
            10 => Self::Reorder(byte().into()),
            11 => Self::Hold { from: byte(), to: byte() },
            12 => Self::Release { from: byte(), to: byte() },
            13 => Self::Cut { a: byte(), b: byte() },
            14 => Self::Join { a: byte(), b: byte() },
            15 => Self::Part(byte().into()),
            16 => Self::Mend,
            17 => Self::Heal,
            18 => Self::Tick(byte() % 64),
            19 => Self::Crash(byte()),
            20 => Self::Start(byte()),
            21 => Self::Backup(byte()),
            22 => Self::Restore(byte()),
            23 => Self::Clone(byte()),
            24 => Self::Snapshot(byte()),
            25 => Self::Resume(byte()),
            26 => Self::Twin(byte()),
            27 => Self::Clock { node: byte(), days: i16::from_be_bytes([byte(), byte()]) },
            28 => Self::Drift { node: byte(), per_mille: i8::from_be_bytes([byte()]) },
            29 => Self::SlowDisk(byte()),
            30 => Self::Commit(byte()),
            31 => Self::DiskFull(byte()),
            32 => Self::DiskRoom(byte()),
            33 => {
                let node = byte();
                if node & 128 == 0 { Self::SlowPeer(node) } else { Self::FastPeer(node & 127) }
            }
            _ => {
                let (node, act, victim) = (byte(), byte(), byte());
                let act = ACTS.get(usize::from(act) % ACTS.len()).copied().unwrap_or(Act::Replay);
                Self::Hostile { node, act, victim, salt: u32::from(byte()) }
            }
        })
    }
}
