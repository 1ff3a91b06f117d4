//! Sets of stretches of time: which part of a conversation is gone.

use serde::{Deserialize, Serialize};

/// Stretches of time in milliseconds since 1970, each from its first millisecond up to, not including, its last.
/// Ascending; no two overlap or touch, so that a set has one form.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Spans(Vec<(u64, u64)>);

impl From<Vec<(u64, u64)>> for Spans {
    fn from(list: Vec<(u64, u64)>) -> Self {
        list.into_iter().collect()
    }
}

impl From<Spans> for Vec<(u64, u64)> {
    fn from(spans: Spans) -> Self {
        spans.0
    }
}

impl FromIterator<(u64, u64)> for Spans {
    fn from_iter<T: IntoIterator<Item = (u64, u64)>>(iter: T) -> Self {
        let mut all: Vec<_> = iter.into_iter().filter(|(from, upto)| from < upto).collect();
        all.sort_unstable();
        let mut out: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (from, upto) in all {
            match out.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(upto),
                _ => out.push((from, upto)),
            }
        }
        Self(out)
    }
}

impl Spans {
    /// The empty set.
    pub const EMPTY: Self = Self(Vec::new());

    /// One stretch; empty unless `from` is before `upto`.
    #[must_use]
    pub fn one(from: u64, upto: u64) -> Self {
        [(from, upto)].into_iter().collect()
    }

    /// The stretches.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + ExactSizeIterator + '_ {
        self.0.iter().copied()
    }

    /// How many stretches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The end of the last stretch; 0 of none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |(_, upto)| *upto)
    }

    /// Both together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.0.iter().all(|(from, upto)| self.covers(*from, *upto)) {
            return self.clone();
        }
        self.iter().chain(other.iter()).collect()
    }

    /// The stretch that begins last at or before a time.
    fn at(&self, ms: u64) -> Option<(u64, u64)> {
        let at = self.0.partition_point(|(from, _)| *from <= ms).checked_sub(1)?;
        self.0.get(at).copied()
    }

    /// Whether all of a stretch lies in the set.
    #[must_use]
    pub fn covers(&self, from: u64, upto: u64) -> bool {
        from >= upto || self.at(from).is_some_and(|(_, end)| end >= upto)
    }

    /// Whether a moment lies in the set.
    #[must_use]
    pub fn holds(&self, ms: u64) -> bool {
        self.at(ms).is_some_and(|(_, end)| end > ms)
    }

    /// Whether all of another set lies in this one.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(from, upto)| self.covers(from, upto))
    }

    /// The first moment from `ms` on that is not in the set.
    #[must_use]
    pub fn after(&self, ms: u64) -> u64 {
        self.at(ms).map_or(ms, |(_, end)| end.max(ms))
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        for (mut from, upto) in self.iter() {
            let first = other.0.partition_point(|(_, end)| *end <= from);
            for (start, end) in other.0.iter().skip(first).take_while(|(start, _)| *start < upto) {
                if from < *start {
                    out.push((from, *start));
                }
                from = *end;
            }
            if from < upto {
                out.push((from, upto));
            }
        }
        Self(out)
    }

    /// The `n` longest stretches of the set.
    #[must_use]
    pub fn longest(&self, n: usize) -> Self {
        let mut all = self.0.clone();
        all.sort_by_key(|(from, upto)| std::cmp::Reverse(upto.saturating_sub(*from)));
        all.truncate(n);
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set as the numbers below 64 that are in it.
    fn bits(s: &Spans) -> u64 {
        (0..64).filter(|ms| s.holds(*ms)).fold(0, |b, ms| b | 1 << ms)
    }

    #[test]
    fn sets_are_what_a_set_of_moments_is() {
        let mut seed = 7u64;
        let mut roll = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..2_000 {
            let mut make = || (0..roll(6)).map(|_| (roll(60), roll(60))).collect::<Spans>();
            let (a, b) = (make(), make());
            assert!(a.iter().zip(a.iter().skip(1)).all(|(x, y)| x.1 < y.0), "{a:?}");
            assert_eq!(bits(&a.union(&b)), bits(&a) | bits(&b));
            assert_eq!(bits(&a.minus(&b)), bits(&a) & !bits(&b));
            assert_eq!(a.contains(&b), bits(&b) & !bits(&a) == 0);
            assert_eq!(a.minus(&b).union(&b), a.union(&b), "one form each");
            let (from, upto) = (roll(60), roll(60));
            assert_eq!(a.covers(from, upto), (from..upto).all(|ms| a.holds(ms)));
            assert_eq!(a.after(from), (from..=64).find(|ms| !a.holds(*ms)).unwrap());
        }
    }

    #[test]
    fn the_longest_are_kept() {
        let all: Spans = vec![(0, 1), (10, 30), (40, 45), (50, 52)].into();
        assert_eq!(all.longest(2), vec![(10, 30), (40, 45)].into());
        assert_eq!((all.end(), all.len(), Spans::EMPTY.end(), Spans::one(5, 5).is_empty()), (52, 4, 0, true));
    }
}
