//! Sets of places in the graph.

/// A set of places; what lies below its first word costs nothing. Its first and last word hold something, so that equal
/// sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits {
    /// Words that are left out at the front.
    skip: usize,
    words: Vec<u64>,
}

const WORD: usize = 64;

impl Bits {
    /// An empty set for places from `start` up to, not including, `end`.
    pub(super) fn between(start: usize, end: usize) -> Self {
        let skip = start / WORD;
        Self { skip, words: vec![0; end.div_ceil(WORD).saturating_sub(skip)] }
    }

    /// Puts a place in. Those before the start that the set was made with are left out.
    pub(super) fn insert(&mut self, place: usize) {
        let Some(word) = (place / WORD).checked_sub(self.skip) else { return };
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(w) = self.words.get_mut(word) {
            *w |= 1 << (place % WORD);
        }
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        let word = (place / WORD).checked_sub(self.skip).and_then(|w| self.words.get(w));
        word.is_some_and(|w| w >> (place % WORD) & 1 == 1)
    }

    /// Puts in all that is in another set, as far as it lies in the stretch of this one.
    pub(super) fn union(&mut self, other: &Self) {
        let (from, to) = (other.skip.saturating_sub(self.skip), self.skip.saturating_sub(other.skip));
        let words = self.words.iter_mut().skip(from).zip(other.words.iter().skip(to));
        words.for_each(|(w, o)| *w |= o);
    }

    /// What is in both.
    pub(super) fn both(&self, other: &Self) -> Self {
        let skip = self.skip.max(other.skip);
        let a = self.words.iter().skip(skip - self.skip);
        let b = other.words.iter().skip(skip - other.skip);
        let mut both = Self { skip, words: a.zip(b).map(|(a, b)| a & b).collect() };
        both.trim();
        both
    }

    /// What is not in another set.
    pub(super) fn without(mut self, other: &Self) -> Self {
        for (n, word) in self.words.iter_mut().enumerate() {
            let theirs = (self.skip + n).checked_sub(other.skip).and_then(|n| other.words.get(n));
            *word &= !theirs.copied().unwrap_or(0);
        }
        self.trim();
        self
    }

    /// Frees what holds nothing.
    pub(super) fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
        let front = self.words.iter().take_while(|w| **w == 0).count();
        self.words.drain(..front);
        self.words.shrink_to_fit();
        self.skip = if self.words.is_empty() { 0 } else { self.skip + front };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// The places, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let skip = self.skip;
        self.words.iter().enumerate().flat_map(move |(n, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                if bit >= WORD {
                    return None;
                }
                left &= left - 1;
                Some((skip + n) * WORD + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Bits;

    #[test]
    fn sets_are_sets() {
        let (a, b) = ([70usize, 64, 130, 200, 640], [71usize, 130, 300, 640]);
        let set = |places: &[usize]| {
            let mut bits = Bits::between(65, 641);
            places.iter().for_each(|p| bits.insert(*p));
            bits
        };
        let (mut x, y) = (set(&a), set(&b));
        assert_eq!(x.both(&y).iter().collect::<Vec<_>>(), [130, 640]);
        assert_eq!(x.clone().without(&y).iter().collect::<Vec<_>>(), [64, 70, 200]);
        x.union(&y);
        let all: BTreeSet<usize> = a.iter().chain(&b).copied().collect();
        assert_eq!(x.iter().collect::<BTreeSet<_>>(), all);
        assert!(all.iter().all(|p| x.contains(*p)) && !x.contains(65) && !x.contains(10_000));
        let mut far = Bits::between(0, 5);
        far.insert(640);
        assert_eq!(far.both(&y), y.both(&set(&[640])), "equal sets are equal values");
        assert!(far.both(&set(&[70])).is_empty());
    }
}
