//! Whether others agree on the time. Nothing is retired or erased by a clock alone: a dead battery boots a laptop in
//! 2036. So what is too old is asked of several clocks, our own among them, and the one that is furthest behind decides.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_crdt::ids::DeviceId;

/// Clocks that are this far apart agree, in milliseconds: what is erased is older by weeks.
pub const TOLERANCE_MS: u64 = 3_600_000;
/// What a clock showed counts for so long.
pub const FRESH: Duration = Duration::from_secs(3_600);
/// Devices whose clocks are remembered.
const MAX_HEARD: usize = 1_024;

/// Whose clocks must agree with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// Those of so many others.
    Others(usize),
    /// That of one device.
    With(DeviceId),
}

/// What other clocks showed.
#[derive(Debug, Default)]
pub struct Clocks {
    /// What each showed, and when that was heard by the time since the node's start: our own clock may be set meanwhile.
    heard: BTreeMap<DeviceId, (u64, Duration)>,
}

impl Clocks {
    /// A device's clock shows `clock` (milliseconds since 1970).
    pub fn heard(&mut self, device: DeviceId, clock: u64, mono: Duration) {
        if self.heard.len() >= MAX_HEARD && !self.heard.contains_key(&device) {
            let oldest = self.heard.iter().min_by_key(|(_, (_, at))| *at).map(|(id, _)| *id);
            oldest.and_then(|id| self.heard.remove(&id));
        }
        self.heard.insert(device, (clock, mono));
    }

    /// The time in milliseconds since 1970, if it is agreed on: of the clocks that agree, the one furthest behind.
    #[must_use]
    pub fn agreed(&self, quorum: Quorum, wall: u64, mono: Duration) -> Option<u64> {
        let (needed, only) = match quorum {
            Quorum::Others(n) => (n, None),
            Quorum::With(device) => (1, Some(device)),
        };
        let shows = |(device, (clock, at)): (&DeviceId, &(u64, Duration))| {
            let since = mono.checked_sub(*at).filter(|since| *since <= FRESH)?;
            let now = clock.saturating_add(u64::try_from(since.as_millis()).ok()?);
            let counts = only.is_none_or(|d| d == *device) && now.abs_diff(wall) <= TOLERANCE_MS;
            counts.then_some(now)
        };
        let others: Vec<u64> = self.heard.iter().filter_map(shows).collect();
        let behind = others.iter().copied().min().filter(|_| others.len() >= needed)?;
        Some(behind.min(wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_248_000_000;
    const YEAR: u64 = 365 * 86_400_000;

    fn id(n: u8) -> DeviceId {
        DeviceId([n; 32])
    }

    fn clocks(list: &[(u8, u64)]) -> Clocks {
        let mut c = Clocks::default();
        list.iter().for_each(|(n, clock)| c.heard(id(*n), *clock, Duration::ZERO));
        c
    }

    #[test]
    fn two_others_must_agree_and_the_one_behind_decides() {
        let two = Quorum::Others(2);
        let at = |list: &[(u8, u64)]| clocks(list).agreed(two, NOW, Duration::ZERO);
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[(1, NOW)]), None);
        assert_eq!(at(&[(1, NOW + 5_000), (2, NOW + 9_000)]), Some(NOW));
        assert_eq!(at(&[(1, NOW - 5_000), (2, NOW + 9_000)]), Some(NOW - 5_000));
        // One that is years off does no harm, and helps nobody.
        assert_eq!(at(&[(1, NOW), (2, NOW), (3, NOW + 10 * YEAR)]), Some(NOW));
        assert_eq!(at(&[(1, NOW), (3, NOW + 10 * YEAR)]), None);
        // Ours is the one that is off: whatever the others agree on.
        assert_eq!(at(&[(1, NOW - 10 * YEAR), (2, NOW - 10 * YEAR), (3, NOW - 10 * YEAR)]), None);
    }

    #[test]
    fn in_a_direct_chat_the_other_side_must_agree_and_lately() {
        let c = clocks(&[(1, NOW), (2, NOW), (3, NOW + 10 * YEAR)]);
        let later = NOW + u64::try_from(FRESH.as_millis()).unwrap();
        let with = |n| c.agreed(Quorum::With(id(n)), later, FRESH);
        assert_eq!((with(1), with(3), with(4)), (Some(later), None, None));
        assert_eq!(c.agreed(Quorum::With(id(1)), later + 1_000, FRESH + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_clock_that_is_set_or_slept_agrees_with_nobody_until_they_are_heard_again() {
        let mut c = clocks(&[(1, NOW), (2, NOW)]);
        let minute = Duration::from_secs(60);
        assert_eq!(c.agreed(Quorum::Others(2), NOW + 10 * YEAR, minute), None, "somebody set it to 2036");
        assert_eq!(c.agreed(Quorum::Others(2), NOW + 9 * 3_600_000, minute), None, "a night's sleep");
        for n in [1, 2] {
            c.heard(id(n), NOW + 9 * 3_600_000, minute);
        }
        assert!(c.agreed(Quorum::Others(2), NOW + 9 * 3_600_000, minute).is_some());
    }

    #[test]
    fn clocks_at_the_ends_of_time_overflow_nothing() {
        let mut c = Clocks::default();
        c.heard(id(1), u64::MAX, Duration::ZERO);
        c.heard(id(2), u64::MAX - 5, Duration::ZERO);
        assert_eq!(c.agreed(Quorum::Others(1), 0, Duration::ZERO), None);
        assert_eq!(c.agreed(Quorum::Others(2), u64::MAX, FRESH), Some(u64::MAX));
        for n in 0..2_000u64 {
            let mut device = [0; 32];
            device[..8].copy_from_slice(&n.to_be_bytes());
            c.heard(DeviceId(device), 5, Duration::from_secs(n));
        }
        assert_eq!(c.heard.len(), MAX_HEARD);
    }
}
