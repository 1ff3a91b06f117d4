//! Which stretch of time a document is about, as its name says: what is retired is retired by the time it is about.
//!
//! Chat segments are about a UTC week, or about a day or an hour of one where messages are kept for a short time only,
//! so that "after a day" need not mean "after a day and up to a week". The name begins with the week in every case, so
//! segments of a conversation sort by week whatever their length, and both sides of a partition choose the same names.

use crate::ids::DocumentId;

/// Milliseconds in an hour.
pub const HOUR_MS: u64 = 3_600_000;
/// Milliseconds in a day.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// Milliseconds in a week.
pub const WEEK_MS: u64 = 7 * DAY_MS;

/// How long a segment is. Weeks are whole numbers of 7 days since 1970-01-01T00:00Z, a Thursday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    #[default]
    Week,
}

impl Unit {
    /// Its length in milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
            Self::Week => WEEK_MS,
        }
    }
}

/// A stretch of time in milliseconds since 1970, its end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// Its first millisecond.
    pub start: u64,
    /// The first one after it.
    pub end: u64,
}

impl Period {
    /// Whether a moment lies in it.
    #[must_use]
    pub fn holds(&self, ms: u64) -> bool {
        self.start <= ms && ms < self.end
    }
}

/// The number of the slot that is the whole week; 1 to 7 are its days, 8 to 175 its hours.
const WHOLE: u8 = 0;
const DAYS: u8 = 1;
const HOURS: u8 = 8;
/// The greatest number of a slot.
pub const MAX_SLOT: u8 = HOURS + 7 * 24 - 1;

/// The segment of a moment in milliseconds since 1970, in segments of a length.
#[must_use]
pub fn segment(unit: Unit, ms: u64, part: u16) -> DocumentId {
    let week = u32::try_from(ms / WEEK_MS).unwrap_or(u32::MAX);
    let within = ms.saturating_sub(u64::from(week).saturating_mul(WEEK_MS)).min(WEEK_MS - 1);
    let nth = u8::try_from(within / unit.ms()).unwrap_or(0);
    let slot = match unit {
        Unit::Week => WHOLE,
        Unit::Day => DAYS.saturating_add(nth),
        Unit::Hour => HOURS.saturating_add(nth),
    };
    DocumentId::chat_slot(week, part, slot)
}

/// The stretch of time that a document is about; `None` for kinds that are about no time.
#[must_use]
pub fn period_of(document: &DocumentId) -> Option<Period> {
    let (week, _) = document.chat_week()?;
    let start = u64::from(week).saturating_mul(WEEK_MS);
    let (nth, unit) = match document.slot() {
        WHOLE => (0, Unit::Week),
        day @ DAYS..HOURS => (day - DAYS, Unit::Day),
        hour => (hour - HOURS, Unit::Hour),
    };
    let start = start.saturating_add(u64::from(nth).saturating_mul(unit.ms()));
    Some(Period { start, end: start.saturating_add(unit.ms()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Kind;

    #[test]
    fn every_moment_has_its_segment_of_each_length_and_names_sort_by_time() {
        let noon = 2968 * WEEK_MS + 3 * DAY_MS + 12 * HOUR_MS + 17;
        for unit in [Unit::Hour, Unit::Day, Unit::Week] {
            let mut last = None;
            for step in 0..400 {
                let at = noon + step * HOUR_MS;
                let id = segment(unit, at, 0);
                let period = period_of(&id).unwrap();
                assert!(
                    period.holds(at)
                        && period.end - period.start == unit.ms()
                        && period.start.is_multiple_of(unit.ms())
                );
                assert_eq!(id.chat_week().map(|(w, _)| w), Some((at / WEEK_MS) as u32));
                assert!(last.is_none_or(|l| l <= id));
                last = Some(id);
            }
        }
        assert_eq!(segment(Unit::Week, noon, 3), DocumentId::chat(2968, 3), "weeks are named as ever");
    }

    #[test]
    fn what_is_no_segment_has_no_time() {
        let beyond = DocumentId::chat_slot(5, 0, MAX_SLOT);
        assert!(period_of(&beyond).is_some());
        let mut odd = beyond;
        odd.0[8] += 1;
        assert_eq!(period_of(&odd), None);
        assert_eq!(period_of(&DocumentId::singleton(Kind::Control)), None);
        let last = segment(Unit::Hour, u64::MAX, 9);
        assert!(period_of(&last).is_some_and(|p| p.start < p.end));
    }
}
