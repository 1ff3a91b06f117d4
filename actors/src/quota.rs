//! How much others may make this device keep: a share for each author of a space and one for all of them together, so
//! that one hostile or broken member fills nobody's disk; and how many logs and unasked chats, since each takes memory,
//! however short it is. The arithmetic; `documents::room` applies it.
//!
//! Admission is not asked: what goes over a share is held back ([`HeldBack`]), not refused, and comes when there is room.
//! One's own is never held back.

use std::collections::BTreeMap;

use cairn_crdt::ids::{DeviceId, LogId};
use cairn_crdt::replica::HeldBack;

use crate::api::WhyHeld;
use crate::care::checkup::size;
use crate::limits::{DISK_LOW, LOGS_AUTHOR, LOGS_SPACE, STRANGERS};
use crate::settings::Settings;

/// A million bytes, as the settings count.
const MB: u64 = 1_000_000;

/// What others may make this device keep, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// One author in one space.
    pub author: u64,
    /// All others in one space; and all direct spaces together that were never written to from here.
    pub space: u64,
}

impl Quota {
    /// What the settings say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let bytes = |mb: u32| u64::from(mb).saturating_mul(MB);
        Self { author: bytes(settings.quota_author), space: bytes(settings.quota_space) }
    }
}

/// What a space takes, in bytes of entries, payloads and lost branches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    authors: BTreeMap<DeviceId, u64>,
    /// Logs of each other device that are not gone.
    logs: BTreeMap<DeviceId, u64>,
    /// All of these together.
    all_logs: u64,
    /// All others together.
    pub others: u64,
    /// This device.
    pub own: u64,
}

impl Usage {
    /// What logs take, as the store says.
    #[must_use]
    pub fn of(me: &DeviceId, logs: impl Iterator<Item = (LogId, u64)>) -> Self {
        let mut usage = Self::default();
        logs.for_each(|(log, bytes)| usage.add(me, &log.device, bytes));
        usage
    }

    /// Something more of an author.
    pub fn add(&mut self, me: &DeviceId, author: &DeviceId, bytes: u64) {
        if author == me {
            self.own = self.own.saturating_add(bytes);
        } else {
            self.others = self.others.saturating_add(bytes);
            let of_author = self.authors.entry(*author).or_default();
            *of_author = of_author.saturating_add(bytes);
        }
    }

    /// Another has begun so many logs more.
    pub fn add_logs(&mut self, me: &DeviceId, author: &DeviceId, logs: u64) {
        if author != me && logs > 0 {
            self.all_logs = self.all_logs.saturating_add(logs);
            let of_author = self.logs.entry(*author).or_default();
            *of_author = of_author.saturating_add(logs);
        }
    }

    /// Whether an author, or all of them together, have begun as many logs as they may.
    #[must_use]
    pub fn has_many_logs(&self, author: &DeviceId) -> bool {
        self.all_logs >= LOGS_SPACE || self.logs.get(author).is_some_and(|n| *n >= LOGS_AUTHOR)
    }

    /// What one author takes.
    #[must_use]
    pub fn author(&self, author: &DeviceId) -> u64 {
        self.authors.get(author).copied().unwrap_or(0)
    }

    /// Others who have used up a share of `limit` bytes.
    fn over(&self, limit: u64) -> impl Iterator<Item = (DeviceId, u64)> {
        self.authors.iter().filter(move |(_, bytes)| **bytes >= limit).map(|(author, bytes)| (*author, *bytes))
    }
}

/// Whose entries a space does not take, and why: the author where it is one, bytes used, and the limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Whose.
    pub held: HeldBack,
    /// Why.
    pub why: Vec<(WhyHeld, Option<DeviceId>, u64, u64)>,
}

/// All direct spaces together that were never written to from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strangers {
    /// What they take.
    pub bytes: u64,
    /// Those of them in which something was said.
    pub chats: u64,
}

/// Judges a space. `strangers`: all direct spaces that were never written to from here, where this is one of them; `low`:
/// the disk is nearly full.
#[must_use]
pub fn judge(me: DeviceId, usage: &Usage, quota: &Quota, strangers: Option<Strangers>, low: bool) -> Held {
    let mut all = Held::default();
    if low {
        all.held.all_but = Some(me);
    }
    if usage.others >= quota.space {
        all.held.all_but = Some(me);
        all.why.push((WhyHeld::Conversation, None, usage.others, quota.space));
    } else if usage.all_logs >= LOGS_SPACE {
        all.held.all_but = Some(me);
        all.why.push((WhyHeld::Logs, None, usage.all_logs, LOGS_SPACE));
    } else if let Some(s) = strangers.filter(|s| s.bytes >= quota.space) {
        all.held.all_but = Some(me);
        all.why.push((WhyHeld::Strangers, None, s.bytes, quota.space));
    } else if let Some(s) = strangers.filter(|s| s.chats >= STRANGERS && usage.others == 0) {
        // Those that have begun go on.
        all.held.all_but = Some(me);
        all.why.push((WhyHeld::Chats, None, s.chats, STRANGERS));
    }
    for (author, bytes) in usage.over(quota.author) {
        all.held.authors.insert(author);
        all.why.push((WhyHeld::Author, Some(author), bytes, quota.author));
    }
    for (author, logs) in usage.logs.iter().filter(|(_, logs)| **logs >= LOGS_AUTHOR) {
        all.held.authors.insert(*author);
        all.why.push((WhyHeld::Logs, Some(*author), *logs, LOGS_AUTHOR));
    }
    all
}

/// Whether the disk counts as nearly full, now that it has so many bytes left; it does until a quarter more are.
#[must_use]
pub fn is_low(free: Option<u64>, before: bool) -> bool {
    let line = if before { DISK_LOW.saturating_add(DISK_LOW / 4) } else { DISK_LOW };
    free.is_some_and(|free| free < line)
}

/// What is said of it. `place`: the conversation in words; `author`: a name.
#[must_use]
pub fn sentence(why: WhyHeld, place: &str, author: &str, bytes: u64, limit: u64) -> String {
    let (count, most) = (bytes, limit);
    let (used, limit) = (size(bytes), size(limit));
    match why {
        WhyHeld::Logs if author.is_empty() => format!(
            "What others wrote in {place} is spread over {count} logs, one for each start of a device and each part of \
             the conversation, of {most} that may be: nothing more of theirs is kept here; what you write is. To have \
             it, keep messages for a shorter time."
        ),
        WhyHeld::Logs => format!(
            "{author} has begun {count} logs in {place}, one for each of its starts and each part of the conversation, \
             of {most} that one device may: nothing more that it writes there is kept here. To have it, keep messages \
             for a shorter time."
        ),
        WhyHeld::Chats => format!(
            "{count} devices that you never wrote to have sent you messages, of {most} that may: no first message of \
             another is kept here, until you answer some of them."
        ),
        WhyHeld::Author => format!(
            "{author} has used up what one device may make this one keep in {place} ({used} of {limit}): nothing more \
             that it writes there is kept here. To have it, raise quota_author, or keep messages for a shorter time."
        ),
        WhyHeld::Conversation => format!(
            "What others wrote in {place} takes {used} of {limit}: nothing more of theirs is kept here; what you write \
             is. To have it, raise quota_space, or keep messages for a shorter time."
        ),
        WhyHeld::Strangers => format!(
            "Direct messages of devices that you never wrote to take {used} of {limit}: no more of them are kept here, \
             until you answer or raise quota_space."
        ),
        WhyHeld::Forked => format!(
            "{author} wrote or stated two things where only one can be, so what it writes is taken slowly now, up to \
             {limit} a second. Nothing of it is lost: the rest comes later."
        ),
        WhyHeld::Disk => format!(
            "The disk is nearly full: less than {limit} are left. What others write is not kept here until there is \
             more room; what you write is, as long as there is any."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: DeviceId = DeviceId([9; 32]);
    const QUOTA: Quota = Quota { author: 100, space: 250 };

    fn usage(bytes: &[(u8, u64)]) -> Usage {
        let mut usage = Usage::default();
        bytes.iter().for_each(|(author, bytes)| usage.add(&ME, &DeviceId([*author; 32]), *bytes));
        usage
    }

    fn whys(held: &Held) -> Vec<WhyHeld> {
        held.why.iter().map(|(why, ..)| *why).collect()
    }

    #[test]
    fn an_author_alone_is_held_back_once_its_share_is_used_up() {
        let held = judge(ME, &usage(&[(1, 60), (1, 40), (2, 99), (9, 5_000)]), &QUOTA, None, false);
        assert!(held.held.holds(&DeviceId([1; 32])));
        assert!(!held.held.holds(&DeviceId([2; 32])) && !held.held.holds(&ME), "others and oneself are not");
        assert_eq!(held.why, [(WhyHeld::Author, Some(DeviceId([1; 32])), 100, 100)]);
    }

    #[test]
    fn all_others_are_once_the_space_is_full_and_oneself_never() {
        let held = judge(ME, &usage(&[(1, 90), (2, 80), (3, 80)]), &QUOTA, None, false);
        assert!(held.held.holds(&DeviceId([7; 32])) && !held.held.holds(&ME));
        assert_eq!(whys(&held), [WhyHeld::Conversation]);
        assert!(judge(ME, &usage(&[(1, 90), (2, 80), (3, 79)]), &QUOTA, None, false).held.is_empty());
        assert!(judge(ME, &usage(&[(9, 10_000)]), &QUOTA, None, false).held.is_empty());
    }

    #[test]
    fn strangers_share_one_space_and_a_disk_that_is_nearly_full_takes_nobody() {
        let one = usage(&[(1, 10)]);
        let strangers = |bytes| Some(Strangers { bytes, chats: 1 });
        assert!(judge(ME, &one, &QUOTA, strangers(249), false).held.is_empty());
        let held = judge(ME, &one, &QUOTA, strangers(250), false);
        assert_eq!((whys(&held), held.held.all_but), (vec![WhyHeld::Strangers], Some(ME)));
        let held = judge(ME, &one, &QUOTA, None, true);
        assert_eq!(
            (whys(&held), held.held.all_but),
            (vec![], Some(ME)),
            "the disk is told of once, not for each space"
        );
    }

    #[test]
    fn logs_are_counted_by_author_and_together_and_ones_own_are_not() {
        let other = DeviceId([1; 32]);
        let mut usage = usage(&[(1, 1)]);
        usage.add_logs(&ME, &ME, LOGS_SPACE);
        usage.add_logs(&ME, &other, LOGS_AUTHOR - 1);
        assert!(judge(ME, &usage, &QUOTA, None, false).held.is_empty() && !usage.has_many_logs(&other));
        usage.add_logs(&ME, &other, 1);
        let held = judge(ME, &usage, &QUOTA, None, false);
        assert!(held.held.holds(&other) && !held.held.holds(&DeviceId([2; 32])) && usage.has_many_logs(&other));
        assert_eq!(held.why, [(WhyHeld::Logs, Some(other), LOGS_AUTHOR, LOGS_AUTHOR)]);
        let said = sentence(WhyHeld::Logs, "the room", "Maya", LOGS_AUTHOR, LOGS_AUTHOR);
        assert!(said.starts_with("Maya has begun 16384 logs in the room"), "{said}");
        // Many who each stay below that.
        for n in 2..=u8::try_from(LOGS_SPACE / LOGS_AUTHOR + 2).unwrap() {
            usage.add_logs(&ME, &DeviceId([n; 32]), LOGS_AUTHOR - 1);
        }
        let held = judge(ME, &usage, &QUOTA, None, false);
        assert!(held.held.holds(&DeviceId([99; 32])) && !held.held.holds(&ME));
        assert_eq!(whys(&held), [WhyHeld::Logs, WhyHeld::Logs], "all of them, and the one");
    }

    #[test]
    fn beyond_a_number_of_strangers_no_other_begins_a_chat_and_those_that_have_go_on() {
        let full = Some(Strangers { bytes: 5, chats: STRANGERS });
        let held = judge(ME, &Usage::default(), &QUOTA, full, false);
        assert_eq!((whys(&held), held.held.all_but), (vec![WhyHeld::Chats], Some(ME)));
        assert!(judge(ME, &usage(&[(1, 10)]), &QUOTA, full, false).held.is_empty(), "it has begun");
        assert!(judge(ME, &Usage::default(), &QUOTA, None, false).held.is_empty(), "of somebody written to");
        let less = Some(Strangers { bytes: 5, chats: STRANGERS - 1 });
        assert!(judge(ME, &Usage::default(), &QUOTA, less, false).held.is_empty());
    }

    #[test]
    fn a_disk_about_the_line_does_not_flap() {
        assert!(is_low(Some(DISK_LOW - 1), false) && !is_low(Some(DISK_LOW), false));
        assert!(is_low(Some(DISK_LOW), true) && !is_low(Some(DISK_LOW + DISK_LOW / 4), true));
        assert!(!is_low(None, true), "a disk that cannot be asked is not full");
    }
}
