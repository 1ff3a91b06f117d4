//! How far catching up is, as the node tells it. What is not told again goes by itself: the node tells it every second
//! while it lasts, so that an event that was lost leaves nothing behind.

use std::collections::BTreeMap;

use cairn_actors::api::CatchUp;
use cairn_crdt::ids::SpaceId;

use crate::words;

/// How long one stays that is not told again, in milliseconds.
pub const STALE: u64 = 5_000;

#[derive(Debug, Clone)]
struct Told {
    what: CatchUp,
    /// When a frame saw it first.
    since: Option<u64>,
}

/// Conversations that are catching up.
#[derive(Debug, Clone, Default)]
pub struct CatchingUp(BTreeMap<SpaceId, Told>);

/// What the status line shows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// How much of it is there, from 0 to 1.
    pub part: f32,
    /// In a few words.
    pub words: String,
    /// A line a conversation.
    pub lines: Vec<String>,
}

impl CatchingUp {
    /// The node said how far it is.
    pub fn told(&mut self, what: CatchUp) {
        if what.left == 0 {
            self.0.remove(&what.conversation);
        } else {
            self.0.insert(what.conversation, Told { what, since: None });
        }
    }

    /// Lets time pass. Answers when the next one goes.
    pub fn tick(&mut self, now: u64) -> Option<u64> {
        self.0.retain(|_, t| now < t.since.get_or_insert(now).saturating_add(STALE));
        self.0.values().filter_map(|t| t.since).min().map(|t| t.saturating_add(STALE))
    }

    /// What to show, if there is anything.
    #[must_use]
    pub fn bar(&self) -> Option<Bar> {
        let sum = |of: fn(&CatchUp) -> u64| self.0.values().map(|t| of(&t.what)).fold(0, u64::saturating_add);
        let (came, left) = (sum(|c| c.came), sum(|c| c.left));
        let first = &self.0.values().next()?.what;
        let of = format!("{} of {}", words::thousands(came), words::thousands(came.saturating_add(left)));
        let words = match self.0.len() {
            1 => format!("Catching up: {}", words::catch_up(first)),
            n => format!("Catching up in {n} conversations: {of}"),
        };
        let lines = self.0.values().map(|t| format!("{}: {}", t.what.title, words::catch_up(&t.what)));
        Some(Bar { part: came as f32 / (came.saturating_add(left)).max(1) as f32, words, lines: lines.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    #[test]
    fn it_ends_when_nothing_is_left_or_nobody_tells_of_it_any_more() {
        let mut all = CatchingUp::default();
        all.told(sample::catch_up(sample::everyone(), 25, 75));
        let bar = all.bar().unwrap();
        assert_eq!((bar.part, bar.words.as_str()), (0.25, "Catching up: 25 of 100 from Maya Okafor"));
        assert_eq!(all.tick(1_000), Some(1_000 + STALE));
        all.told(sample::catch_up(sample::everyone(), 100, 0));
        assert_eq!(all.bar(), None);
        all.told(sample::catch_up(sample::everyone(), 1_000, 2_000));
        all.told(sample::catch_up(sample::direct(1), 0, 1_000));
        let bar = all.bar().unwrap();
        assert_eq!((bar.part, bar.words.as_str()), (0.25, "Catching up in 2 conversations: 1,000 of 4,000"));
        assert_eq!(bar.lines[1], "Everyone: 1,000 of 3,000 from Maya Okafor");
        all.tick(2_000);
        all.told(sample::catch_up(sample::direct(1), 10, 990));
        assert_eq!(all.tick(2_000 + STALE - 1), Some(2_000 + STALE));
        assert_eq!(all.tick(2_000 + STALE), Some(2_000 + STALE * 2 - 1), "only the one that was told of again stays");
        assert!(all.bar().unwrap().words.contains("10 of 1,000"));
        assert_eq!(all.tick(2_000 + STALE * 2), None);
    }
}
