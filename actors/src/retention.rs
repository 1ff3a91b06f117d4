//! What one space lets go of, and when: the arithmetic, and the record that is kept of it ([`Table::Retired`]).
//!
//! Three things make a part of a conversation go. **Retired**: in a direct space either side sets how long messages are
//! kept, and signed retires in its control log hide what is older, at once and on both sides. **Left behind**: in the
//! room of a network each device sets that for itself, and its window moves on with the time that others agree on.
//! **Forgotten**: a person deletes their own copy. What was hidden by a setting is erased here once other clocks agree
//! that it is too old and [`GRACE_MS`] have passed since it was hidden here by such a time; what was forgotten is erased at once.

use cairn_crdt::ids::SpaceId;
use cairn_crdt::kinds::control::unit_for;
use cairn_crdt::period::{DAY_MS, HOUR_MS};
use cairn_crdt::spans::Spans;
use serde::{Deserialize, Serialize};

use crate::api::What;
use crate::store::{Store, StoreError, Table, Write};

/// How long what was hidden stays on the disk, in milliseconds of agreed time: until then a longer setting brings it
/// back.
pub const GRACE_MS: u64 = 7 * DAY_MS;
/// How much later than the first side the other one retires what the first has not.
pub const SECOND_MS: u64 = HOUR_MS;

/// A stretch that is hidden and not yet erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// From, in milliseconds since 1970.
    pub from: u64,
    /// Up to, not included.
    pub upto: u64,
    /// The agreed time when it was first found hidden.
    pub since: u64,
}

/// What is kept of a space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// In the room of a network: for how many milliseconds this device keeps messages; `None`: for ever.
    pub keep: Option<u64>,
    /// In the room of a network: the agreed time from which that is counted back.
    pub looked: u64,
    /// What the person deleted here.
    pub forgotten: Spans,
    /// What was erased here.
    pub erased: Spans,
    /// What is hidden by a setting and waits to be erased.
    pub waiting: Vec<Waiting>,
}

/// Before when everything is too old, in milliseconds since 1970: whole segments, and for short times some together, so
/// that a day's setting does not make an entry every hour.
#[must_use]
pub fn too_old(now: u64, keep: u64) -> u64 {
    let unit = unit_for(Some(keep)).ms();
    let step = unit.saturating_mul((keep / 8 / unit).max(1));
    let before = now.saturating_sub(keep);
    before.saturating_sub(before % step)
}

impl Record {
    /// Reads the record of a space. One that cannot be read is an error: by guessing, what was deleted would come back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(store: &dyn Store, space: &SpaceId) -> Result<Self, StoreError> {
        let Some(bytes) = store.get(Table::Retired, &space.0)? else { return Ok(Self::default()) };
        postcard::from_bytes(&bytes).map_err(|_| StoreError::Damaged {
            reason: "the record of what was deleted in a conversation cannot be read".into(),
        })
    }

    /// The write that keeps it.
    #[must_use]
    pub fn write(&self, space: &SpaceId) -> Write {
        match postcard::to_stdvec(self) {
            Ok(bytes) if *self != Self::default() => Write::Put(Table::Retired, space.0.to_vec(), bytes),
            _ => Write::Delete(Table::Retired, space.0.to_vec()),
        }
    }

    /// What this device leaves behind in the room of a network.
    #[must_use]
    pub fn window(&self) -> Spans {
        self.keep.map_or(Spans::EMPTY, |keep| Spans::one(0, too_old(self.looked, keep)))
    }

    /// All that is gone, where `hidden` is what a setting hides.
    #[must_use]
    pub fn gone(&self, hidden: &Spans) -> Spans {
        hidden.union(&self.forgotten).union(&self.erased)
    }

    /// Notes at an agreed time what a setting hides. `true` if anything is new.
    pub fn note(&mut self, hidden: &Spans, agreed: u64) -> bool {
        let before = std::mem::take(&mut self.waiting);
        let mut known = self.erased.clone();
        for w in &before {
            let all = Spans::one(w.from, w.upto);
            // What a longer setting brought back waits no more.
            let still = all.minus(&all.minus(hidden));
            self.waiting.extend(still.iter().map(|(from, upto)| Waiting { from, upto, ..*w }));
            known = known.union(&still);
        }
        let new = hidden.minus(&known);
        self.waiting.extend(new.iter().map(|(from, upto)| Waiting { from, upto, since: agreed }));
        self.waiting != before
    }

    /// What may be erased at an agreed time, where messages are kept for `keep` milliseconds.
    #[must_use]
    pub fn erasable(&self, agreed: u64, keep: Option<u64>) -> Spans {
        let Some(keep) = keep else { return Spans::EMPTY };
        let old = agreed.saturating_sub(keep);
        let waited = self.waiting.iter().filter(|w| agreed >= w.since.saturating_add(GRACE_MS));
        waited.map(|w| (w.from, w.upto.min(old))).collect()
    }

    /// These were erased.
    pub fn erased(&mut self, what: &Spans) {
        self.erased = self.erased.union(what);
        let waiting = std::mem::take(&mut self.waiting);
        for w in waiting {
            let rest = Spans::one(w.from, w.upto).minus(&self.erased);
            self.waiting.extend(rest.iter().map(|(from, upto)| Waiting { from, upto, ..w }));
        }
    }

    /// When the first of what waits may be erased, in milliseconds since 1970.
    #[must_use]
    pub fn next_erasure(&self) -> Option<u64> {
        self.waiting.iter().map(|w| w.since.saturating_add(GRACE_MS)).min()
    }
}

/// A time to keep messages for in words: `4 weeks`.
#[must_use]
pub fn words(keep: Option<u64>) -> String {
    let Some(ms) = keep else { return "ever".into() };
    let units = [(365 * DAY_MS, "year"), (7 * DAY_MS, "week"), (DAY_MS, "day"), (HOUR_MS, "hour")];
    let (n, unit) =
        units.iter().find(|(unit, _)| ms.is_multiple_of(*unit)).map_or((0, "hour"), |(u, name)| (ms / u, name));
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// What a setting does, in a sentence or two. `shared`: both sides of a direct chat follow it.
#[must_use]
pub fn sentence(keep: Option<u64>, shared: bool) -> String {
    let kept = words(keep);
    match (keep, shared) {
        (None, true) => "Messages between you are kept for ever, on both sides.".into(),
        (None, false) => "This device keeps the messages of this room for ever.".into(),
        (Some(_), true) => format!(
            "Messages between you are kept for {kept}. Older ones are hidden on both sides, a whole segment at a time, and              removed from this app a week later. Who copied them elsewhere still has them."
        ),
        (Some(_), false) => format!(
            "This device keeps the messages of this room for {kept}. Older ones are hidden here, a whole segment at a              time, and removed from this app a week later. Other devices decide for themselves."
        ),
    }
}

/// What a person is told when a part of a conversation goes or comes: a stable code and a sentence.
#[must_use]
pub fn notice(what: What, place: &str) -> Option<(&'static str, String)> {
    match what {
        What::Hidden => {
            Some(("messages_hidden", format!("Old messages in {place} are hidden now and will be removed in a week.")))
        }
        What::Back => Some(("messages_back", format!("Messages in {place} that were hidden are shown again."))),
        What::Erased => Some(("messages_erased", format!("Old messages in {place} were removed from this app."))),
        What::Forgotten => None,
    }
}

#[cfg(test)]
mod tests {
    use cairn_crdt::period::WEEK_MS;

    use super::*;
    use crate::store::MemoryStore;

    const NOW: u64 = 2968 * WEEK_MS + 3 * DAY_MS + 5_000;

    #[test]
    fn too_old_is_what_whole_segments_say() {
        let month = 28 * DAY_MS;
        assert_eq!(too_old(NOW, month), 2964 * WEEK_MS);
        assert_eq!(too_old(NOW, 7 * DAY_MS), 2967 * WEEK_MS + 3 * DAY_MS);
        assert_eq!(too_old(NOW, DAY_MS) % (3 * HOUR_MS), 0);
        for keep in [DAY_MS, 3 * DAY_MS, 5 * DAY_MS, 27 * DAY_MS, month, 366 * DAY_MS] {
            let before = too_old(NOW, keep);
            assert!(before + keep <= NOW && NOW - (before + keep) < keep / 3 + HOUR_MS, "{keep}");
            assert_eq!(before % unit_for(Some(keep)).ms(), 0);
        }
        assert_eq!(too_old(5, month), 0, "a clock of 1970");
    }

    #[test]
    fn times_are_said_in_their_largest_whole_unit() {
        let said = [1, 3, 7, 28, 30, 365, 730].map(|days| words(Some(days * DAY_MS)));
        assert_eq!(said, ["1 day", "3 days", "1 week", "4 weeks", "30 days", "1 year", "2 years"]);
        assert_eq!((words(Some(30 * HOUR_MS)).as_str(), words(None).as_str()), ("30 hours", "ever"));
    }

    #[test]
    fn what_is_hidden_waits_a_week_of_agreed_time_and_for_the_setting() {
        let mut r = Record::default();
        let keep = Some(28 * DAY_MS);
        let hidden = Spans::one(0, NOW - 28 * DAY_MS);
        assert!(r.note(&hidden, NOW));
        assert!(!r.note(&hidden, NOW + DAY_MS), "nothing new");
        assert_eq!(r.erasable(NOW + GRACE_MS - 1, keep), Spans::EMPTY);
        assert_eq!(r.erasable(NOW + GRACE_MS, keep), hidden);
        assert_eq!(r.erasable(NOW + GRACE_MS, None), Spans::EMPTY, "kept for ever again");
        let longer = Some(35 * DAY_MS + HOUR_MS);
        assert_eq!(
            r.erasable(NOW + GRACE_MS, longer),
            Spans::one(0, NOW - 28 * DAY_MS - HOUR_MS),
            "some is young again"
        );
        // What comes back and goes once more waits anew.
        assert!(r.note(&Spans::EMPTY, NOW + DAY_MS));
        assert!(r.note(&hidden, NOW + 2 * DAY_MS));
        assert_eq!(r.erasable(NOW + GRACE_MS, keep), Spans::EMPTY);
        assert_eq!(r.next_erasure(), Some(NOW + 2 * DAY_MS + GRACE_MS));
        // More is hidden later: each part has its own week.
        let more = Spans::one(0, NOW - 21 * DAY_MS);
        assert!(r.note(&more, NOW + 7 * DAY_MS));
        assert_eq!(r.erasable(NOW + 9 * DAY_MS, keep), hidden);
        r.erased(&hidden);
        assert_eq!(r.erasable(NOW + 14 * DAY_MS, keep), Spans::one(NOW - 28 * DAY_MS, NOW - 21 * DAY_MS));
        assert!(!r.note(&more, NOW + 20 * DAY_MS), "what was erased does not wait again");
        r.erased(&more);
        assert_eq!((r.waiting.len(), r.gone(&Spans::EMPTY)), (0, more));
    }

    #[test]
    fn a_record_is_kept_and_one_that_cannot_be_read_is_not_guessed() {
        let (store, space) = (MemoryStore::new(), SpaceId([7; 32]));
        let mut r = Record { keep: Some(DAY_MS), looked: NOW, forgotten: Spans::one(3, 9), ..Record::default() };
        r.note(&r.window(), NOW);
        store.commit(&[r.write(&space)]).unwrap();
        assert_eq!(Record::read(&store, &space), Ok(r.clone()));
        assert_eq!(r.window(), Spans::one(0, too_old(NOW, DAY_MS)));
        store.commit(&[Record::default().write(&space)]).unwrap();
        assert_eq!(store.get(Table::Retired, &space.0), Ok(None));
        store.commit(&[Write::Put(Table::Retired, space.0.to_vec(), vec![9, 9, 9])]).unwrap();
        assert!(matches!(Record::read(&store, &space), Err(StoreError::Damaged { .. })));
    }
}
