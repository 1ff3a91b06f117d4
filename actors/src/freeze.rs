//! Freezing whoever forks: what a start of a device writes that forked, or that contradicted itself in what it stated, is
//! taken slowly; after three such starts, whatever the device writes. The arithmetic; `documents::room` applies it.
//!
//! It slows and never refuses: who has written more than its rate allows is held back ([`HeldBack`]) until it has some
//! credit again, and then all of it comes. A fork is known by its proofs, which the store keeps, so this survives every
//! restart. Any number of proofs of one start count as one: a machine that was set back forks each log that it goes on
//! in, in every conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn_crdt::ids::{DeviceId, Incarnation, LogId};
use cairn_crdt::replica::HeldBack;

use crate::limits::{FREEZE_DEVICE, FROZEN_DEVICES, FROZEN_RATE, FROZEN_UNIT};
use crate::proto::bucket::Bucket;

/// What is frozen: one start of a device, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Frozen(DeviceId, Option<Incarnation>);

/// What somebody frozen may still write.
#[derive(Debug)]
struct Credit {
    bucket: Bucket,
    held: bool,
    /// It was held back since it last had all its credit.
    slowed: bool,
}

/// Who forked, and how much of theirs was taken lately.
#[derive(Debug, Default)]
pub struct Freezer {
    proven: BTreeMap<DeviceId, BTreeSet<Incarnation>>,
    /// Of those of whom something was taken since their credit was whole.
    credits: BTreeMap<Frozen, Credit>,
}

impl Freezer {
    /// A start of a device forked, or contradicted itself. Answers whether that is news.
    pub fn prove(&mut self, device: DeviceId, start: Incarnation) -> bool {
        if !self.proven.contains_key(&device) && self.proven.len() >= FROZEN_DEVICES {
            return false;
        }
        let starts = self.proven.entry(device).or_default();
        if starts.len() >= FREEZE_DEVICE || !starts.insert(start) {
            return false;
        }
        if starts.len() >= FREEZE_DEVICE {
            self.credits.retain(|Frozen(frozen, _), _| *frozen != device);
        }
        true
    }

    /// Whether all that a device writes is taken slowly.
    #[must_use]
    pub fn is_whole(&self, device: &DeviceId) -> bool {
        self.proven.get(device).is_some_and(|starts| starts.len() >= FREEZE_DEVICE)
    }

    fn frozen(&self, log: &LogId) -> Option<Frozen> {
        if self.is_whole(&log.device) {
            return Some(Frozen(log.device, None));
        }
        let proven = self.proven.get(&log.device)?.contains(&log.incarnation);
        proven.then_some(Frozen(log.device, Some(log.incarnation)))
    }

    /// An entry of a log goes to the disk, of so many bytes. Answers whether its author is held back from now on.
    pub fn takes(&mut self, log: &LogId, bytes: u64, now: Duration) -> bool {
        let Some(frozen) = self.frozen(log) else { return false };
        let (rate, burst) = FROZEN_RATE;
        let new = || Credit { bucket: Bucket::new(rate, burst, now), held: false, slowed: false };
        let credit = self.credits.entry(frozen).or_insert_with(new);
        let owes = !credit.bucket.spend(bytes.div_ceil(FROZEN_UNIT).max(1) as f64, now).is_zero();
        credit.slowed |= owes;
        owes && !std::mem::replace(&mut credit.held, true)
    }

    /// Time has passed. Answers whether somebody is held back no longer, or is not slowed any more.
    pub fn thaw(&mut self, now: Duration) -> bool {
        let mut changed = false;
        self.credits.retain(|_, credit| {
            let part = credit.bucket.part(now);
            // Half of it at once, so that peers need not compare for each entry.
            changed |= credit.held && part >= 0.5;
            credit.held &= part < 0.5;
            changed |= credit.slowed && part >= 1.0;
            part < 1.0
        });
        changed
    }

    /// Adds those who are held back now to whom a space holds back for want of room.
    pub fn add_to(&self, held: &mut HeldBack, admits: impl Fn(&DeviceId) -> bool) {
        for (Frozen(device, start), _) in self.credits.iter().filter(|(f, credit)| credit.held && admits(&f.0)) {
            match start {
                Some(start) => drop(held.starts.insert((*device, *start))),
                None => drop(held.authors.insert(*device)),
            }
        }
    }

    /// Whether anybody is held back now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.credits.values().any(|credit| credit.held)
    }

    /// Devices that write more than is taken of them.
    #[must_use]
    pub fn slowed(&self) -> BTreeSet<DeviceId> {
        self.credits.iter().filter(|(_, credit)| credit.slowed).map(|(Frozen(device, _), _)| *device).collect()
    }
}

#[cfg(test)]
mod tests {
    use cairn_crdt::ids::DocumentId;

    use super::*;

    const RATE: u32 = FROZEN_RATE.0;
    const BURST: u32 = FROZEN_RATE.1;

    fn log(device: u8, start: u8) -> LogId {
        LogId {
            document: DocumentId::chat(1, 0),
            device: DeviceId([device; 32]),
            incarnation: Incarnation([start; 16]),
        }
    }

    fn prove(f: &mut Freezer, device: u8, start: u8) -> bool {
        f.prove(DeviceId([device; 32]), Incarnation([start; 16]))
    }

    fn held(f: &Freezer) -> HeldBack {
        let mut held = HeldBack::default();
        f.add_to(&mut held, |_| true);
        held
    }

    /// Entries that are taken of a log in a time, where it writes as much as it can.
    fn taken(f: &mut Freezer, log: &LogId, seconds: u64, bytes: u64) -> u64 {
        let mut n = 0;
        for ms in (0..seconds * 1_000).step_by(100) {
            let now = Duration::from_millis(ms);
            if ms % 5_000 == 0 {
                f.thaw(now);
            }
            // A frame of ten entries is taken as a whole.
            for _ in 0..10 {
                if held(f).holds_log(log) {
                    break;
                }
                for _ in 0..10 {
                    f.takes(log, bytes, now);
                    n += 1;
                }
            }
        }
        n
    }

    #[test]
    fn a_start_that_forked_is_slowed_and_no_other() {
        let mut f = Freezer::default();
        assert!(prove(&mut f, 1, 1));
        assert!(!prove(&mut f, 1, 1), "the same start again, in another log perhaps");
        let all = taken(&mut f, &log(1, 1), 600, 300);
        let allowed = u64::from(BURST) + 600 * u64::from(RATE);
        assert!((allowed / 2..=allowed + 20).contains(&all), "{all} of {allowed}");
        assert_eq!(f.slowed(), [DeviceId([1; 32])].into());
        assert!(!held(&f).holds_log(&log(1, 2)) && !held(&f).holds_log(&log(2, 1)));
        for _ in 0..100_000 {
            assert!(!f.takes(&log(1, 2), 300, Duration::from_secs(600)), "another start of it");
            assert!(!f.takes(&log(2, 1), 300, Duration::from_secs(600)), "somebody else");
        }
        // Long entries count as many.
        let mut f = Freezer::default();
        prove(&mut f, 1, 1);
        let long = taken(&mut f, &log(1, 1), 600, FROZEN_UNIT * 10);
        assert!(long <= (allowed + 200) / 10, "{long}");
        // Once it is quiet all is as before.
        assert!(f.thaw(Duration::from_secs(700)) && f.slowed().is_empty() && held(&f).is_empty());
        assert!(!f.thaw(Duration::from_secs(701)), "told once");
        assert!(f.credits.is_empty());
    }

    #[test]
    fn a_device_is_slowed_as_a_whole_after_three_starts() {
        let mut f = Freezer::default();
        assert!(prove(&mut f, 1, 1) && prove(&mut f, 1, 2) && !f.is_whole(&DeviceId([1; 32])));
        for _ in 0..=BURST {
            f.takes(&log(1, 1), 1, Duration::ZERO);
        }
        assert_eq!((held(&f).starts.len(), held(&f).authors.len()), (1, 0));
        assert!(prove(&mut f, 1, 3) && f.is_whole(&DeviceId([1; 32])));
        assert!(held(&f).is_empty(), "counted anew, as one");
        for start in 0..BURST {
            assert!(!f.takes(&log(1, start as u8), 1, Duration::ZERO), "what each start wrote counts");
        }
        assert!(f.takes(&log(1, 200), 1, Duration::ZERO) && !f.takes(&log(1, 201), 1, Duration::ZERO));
        assert_eq!((held(&f).starts.len(), held(&f).authors.len()), (0, 1));
        assert!(!prove(&mut f, 1, 4), "nothing more can happen to it");
        // Only where it may write at all.
        let mut nowhere = HeldBack::default();
        f.add_to(&mut nowhere, |_| false);
        assert!(nowhere.is_empty());
    }

    #[test]
    fn no_more_devices_are_remembered_than_there_is_room_for() {
        let mut f = Freezer::default();
        for n in 0..FROZEN_DEVICES as u32 + 10 {
            let mut device = [1; 32];
            device[..4].copy_from_slice(&n.to_be_bytes());
            assert_eq!(f.prove(DeviceId(device), Incarnation([1; 16])), n < FROZEN_DEVICES as u32);
        }
    }
}
