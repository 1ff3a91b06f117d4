//! The part of a conversation that is in memory: a run of messages without gaps, ordered by [`OrderKey`], grown by
//! pages at either end and cut at the far end when it becomes too long.

use cairn_actors::api::{DeliveryState, Message, OrderKey, Page, PageAt};
use cairn_crdt::ids::MessageId;

/// Messages asked for at a time: three screens or so.
pub const PAGE: usize = 200;
/// Messages kept in memory of one conversation; about 400 bytes each.
pub const KEEP: usize = 20_000;

/// What is known of a history.
#[derive(Debug, Clone, Default)]
pub struct History {
    messages: Vec<Message>,
    older: bool,
    newer: bool,
    total: u64,
    loaded: bool,
    failed: Option<String>,
    asked: Option<PageAt>,
    /// Messages of others after this key were new when the conversation was opened.
    pub new_after: Option<OrderKey>,
    /// The greatest key that was reported as read.
    pub read_to: OrderKey,
    /// A pass over what is in memory that is under way: read again from here on.
    refresh: Option<OrderKey>,
    /// More came in while that pass was under way: another one is due.
    refresh_late: bool,
    /// The newest page was asked for again, to learn what became of messages; and more happened since.
    tail: bool,
    tail_late: bool,
}

impl History {
    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether the first page has arrived.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.loaded
    }

    /// Why the last page did not arrive.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Whether there are older messages than those in memory.
    #[must_use]
    pub fn older(&self) -> bool {
        self.older
    }

    /// Whether there are newer messages than those in memory.
    #[must_use]
    pub fn newer(&self) -> bool {
        self.newer
    }

    /// Messages in the conversation in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.max(self.messages.len() as u64)
    }

    /// The newest message of ours in memory.
    #[must_use]
    pub fn last_own(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|m| m.mine)
    }

    /// Where a key stands among the messages in memory: the first message that is not before it.
    #[must_use]
    pub fn index_of(&self, key: &OrderKey) -> usize {
        self.messages.partition_point(|m| m.key < *key)
    }

    /// The first message of somebody else past the mark: the line above new messages stands above it.
    #[must_use]
    pub fn first_new(&self) -> Option<OrderKey> {
        let from = {
            let mark = self.new_after?;
            self.messages.partition_point(|m| m.key <= mark)
        };
        self.messages.get(from..)?.iter().find(|m| !m.mine).map(|m| m.key)
    }

    /// Which page to ask for so that the history grows this way; `None` while one is under way or there is nothing.
    pub fn ask(&mut self, at: PageAt) -> Option<PageAt> {
        let wanted = match at {
            PageAt::Newest => !self.loaded || self.newer || self.failed.is_some(),
            PageAt::Before(_) => self.older,
            PageAt::After(_) => self.newer,
        };
        if self.asked.is_some() || !wanted {
            return None;
        }
        let at = match (at, self.messages.first(), self.messages.last()) {
            (PageAt::Before(_), Some(first), _) => PageAt::Before(first.key),
            (PageAt::After(_), _, Some(last)) => PageAt::After(last.key),
            _ => PageAt::Newest,
        };
        self.asked = Some(at);
        self.failed = None;
        Some(at)
    }

    /// Starts to read everything in memory again, since messages may have come in between (after a partition healed).
    /// `None` while a pass is under way; another follows it then.
    pub fn ask_again(&mut self) -> Option<PageAt> {
        if self.refresh.is_some() {
            self.refresh_late = true;
            return None;
        }
        match self.messages.first().map(|m| m.key) {
            // The page starts after the first one, whose key is known; nothing can appear at it.
            Some(key) => {
                self.refresh = Some(key);
                Some(PageAt::After(key))
            }
            None => {
                self.loaded = false;
                self.ask(PageAt::Newest)
            }
        }
    }

    /// Asks for the newest page again, to learn what became of messages; once at a time.
    pub fn ask_tail(&mut self) -> Option<PageAt> {
        if std::mem::replace(&mut self.tail, true) {
            self.tail_late = true;
            return None;
        }
        Some(PageAt::Newest)
    }

    /// Forgets the messages, so that they are read afresh when they are looked at again.
    pub fn forget(&mut self) {
        *self = Self { new_after: self.new_after, read_to: self.read_to, ..Self::default() };
    }

    /// Takes in a page. Answers the next page of a pass that [`Self::ask_again`] began, if more of it is left.
    pub fn take(&mut self, at: PageAt, page: Page) -> Option<PageAt> {
        if self.asked == Some(at) {
            self.asked = None;
        }
        self.failed = None;
        self.total = page.total;
        let first_time = !self.loaded;
        self.loaded = true;
        let last = page.messages.last().map(|m| m.key);
        match at {
            PageAt::Newest => {
                let touches = page
                    .messages
                    .first()
                    .zip(self.messages.last())
                    .is_some_and(|(first, newest)| first.key <= newest.key);
                if first_time || !touches {
                    self.messages = page.messages;
                    self.older = page.older;
                } else {
                    self.merge(page.messages);
                }
                self.newer = page.newer;
                self.tail = false;
                if std::mem::take(&mut self.tail_late) {
                    return self.ask_tail();
                }
            }
            PageAt::Before(_) => {
                self.merge(page.messages);
                self.older = page.older;
                if self.messages.len() > KEEP {
                    self.messages.truncate(KEEP);
                    self.newer = true;
                }
            }
            PageAt::After(from) => {
                let newest = self.messages.last().map(|m| m.key);
                let more_of_ours = last < newest;
                self.merge(page.messages);
                if self.refresh == Some(from) {
                    self.refresh = last.filter(|_| page.newer && more_of_ours);
                    if let Some(next) = self.refresh {
                        return Some(PageAt::After(next));
                    }
                }
                if !more_of_ours {
                    self.newer = page.newer;
                }
                if self.refresh.is_none() && std::mem::take(&mut self.refresh_late) {
                    return self.ask_again();
                }
                let over = self.messages.len().saturating_sub(KEEP);
                if over > 0 {
                    self.messages.drain(..over);
                    self.older = true;
                }
            }
        }
        None
    }

    /// A page did not arrive.
    pub fn fail(&mut self, at: PageAt, why: String) {
        if self.asked == Some(at) {
            self.asked = None;
        }
        (self.refresh, self.refresh_late, self.tail, self.tail_late) = (None, false, false, false);
        self.failed = Some(why);
    }

    /// Takes in one message that became visible, or changed. Answers whether it is now in memory.
    pub fn insert(&mut self, message: Message) -> bool {
        if !self.loaded {
            return false;
        }
        match self.messages.binary_search_by(|m| m.key.cmp(&message.key)) {
            Ok(i) => {
                if let Some(slot) = self.messages.get_mut(i) {
                    *slot = message;
                }
                return true;
            }
            Err(i) => {
                self.total = self.total.saturating_add(1);
                let beyond = (i == self.messages.len() && self.newer) || (i == 0 && self.older);
                if beyond {
                    return false;
                }
                self.messages.insert(i, message);
            }
        }
        true
    }

    /// Takes note of what became of one message. Answers whether an older one of ours is behind it, so that reading
    /// the tail again may tell more.
    pub fn delivered(&mut self, id: MessageId, state: DeliveryState, to: u32, of: u32) -> bool {
        let Some(at) = self.messages.iter().rposition(|m| m.id == id) else { return false };
        if let Some(m) = self.messages.get_mut(at) {
            m.state = m.state.max(state);
            m.delivered_to = to;
            m.members = of;
        }
        self.messages
            .iter()
            .take(at)
            .rev()
            .take(PAGE)
            .any(|m| m.mine && (m.state < state || m.delivered_to < to.min(m.members)))
    }

    fn merge(&mut self, mut more: Vec<Message>) {
        let disjoint_after = self.messages.last().zip(more.first()).is_none_or(|(l, f)| l.key < f.key);
        if disjoint_after {
            self.messages.append(&mut more);
            return;
        }
        let disjoint_before = self.messages.first().zip(more.last()).is_none_or(|(f, l)| l.key < f.key);
        if disjoint_before {
            more.append(&mut self.messages);
            self.messages = more;
            return;
        }
        // The page is the truth where both have a message: put it last and keep the last of each key.
        self.messages.append(&mut more);
        self.messages.sort_by_key(|m| m.key);
        self.messages.dedup_by(|later, earlier| {
            let same = later.key == earlier.key;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    fn page(range: std::ops::Range<u64>, total: u64) -> Page {
        Page {
            messages: range.clone().map(sample::message).collect(),
            older: range.start > 0,
            newer: range.end < total,
            total,
        }
    }

    fn keys(h: &History) -> Vec<u64> {
        h.messages().iter().map(|m| m.sent - sample::NOON).collect()
    }

    #[test]
    fn grows_at_both_ends_without_doubling() {
        let mut h = History::default();
        assert_eq!(h.ask(PageAt::Newest), Some(PageAt::Newest));
        assert_eq!(h.ask(PageAt::Newest), None, "one page at a time");
        h.take(PageAt::Newest, page(8..10, 10));
        let before = h.ask(PageAt::Before(OrderKey::MIN)).unwrap();
        assert_eq!(before, PageAt::Before(sample::message(8).key));
        h.take(before, page(5..9, 10));
        assert_eq!(keys(&h), [5, 6, 7, 8, 9]);
        assert!(h.older() && !h.newer());
        assert!(h.insert(sample::message(11)), "a message at the tail");
        assert!(h.insert(sample::message(10)), "one that belongs before it");
        assert!(!h.insert(sample::message(2)), "an old one waits for its page");
        assert_eq!(keys(&h), [5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(h.total(), 13);
    }

    #[test]
    fn a_newest_page_that_does_not_touch_replaces() {
        let mut h = History::default();
        h.take(PageAt::Newest, page(0..3, 3));
        h.take(PageAt::Newest, page(500..503, 503));
        assert_eq!(keys(&h), [500, 501, 502]);
        assert!(h.older());
    }

    #[test]
    fn what_came_in_between_is_found_again() {
        let mut h = History::default();
        let mut some = page(0..10, 10);
        some.messages.retain(|m| m.sent % 2 == 0);
        h.take(PageAt::Newest, some);
        let at = h.ask_again().unwrap();
        assert_eq!(at, PageAt::After(sample::message(0).key));
        assert_eq!(h.ask_again(), None, "one pass at a time");
        let next = h.take(at, page(1..4, 10));
        assert_eq!(next, Some(PageAt::After(sample::message(3).key)), "more of what is in memory is left");
        assert_eq!(h.take(next.unwrap(), page(4..10, 10)), Some(at), "the second pass");
        assert_eq!(h.take(at, page(1..10, 10)), None);
        assert_eq!(keys(&h), (0..10).collect::<Vec<_>>());
        assert_eq!((h.ask_tail(), h.ask_tail()), (Some(PageAt::Newest), None));
        assert_eq!(h.take(PageAt::Newest, page(0..10, 10)), Some(PageAt::Newest), "once more for the second");
        assert_eq!(h.take(PageAt::Newest, page(0..10, 10)), None);
    }

    #[test]
    fn far_end_is_cut() {
        let mut h = History::default();
        let total = KEEP as u64 + 300;
        h.take(PageAt::Newest, page(200..total, total));
        let at = h.ask(PageAt::Before(OrderKey::MIN)).unwrap();
        h.take(at, page(0..200, total));
        assert_eq!(h.messages().len(), KEEP);
        assert!(h.newer() && !h.older());
        assert!(!h.insert(sample::message(total + 5)), "not at the tail any more");
        let at = h.ask(PageAt::After(OrderKey::MIN)).unwrap();
        h.take(at, page(KEEP as u64..total, total));
        assert!(h.older() && !h.newer());
    }

    #[test]
    fn delivery_never_goes_back() {
        let mut h = History::default();
        let mut p = page(0..3, 3);
        p.messages.iter_mut().for_each(|m| {
            (m.mine, m.state, m.delivered_to, m.members) = (true, DeliveryState::Queued, 0, 4);
        });
        let id = p.messages[2].id;
        h.take(PageAt::Newest, p);
        assert!(h.delivered(id, DeliveryState::Delivered, 2, 4), "older ones are behind");
        h.delivered(id, DeliveryState::Queued, 2, 4);
        assert_eq!(h.messages()[2].state, DeliveryState::Delivered);
    }

    #[test]
    fn a_failed_page_can_be_asked_again() {
        let mut h = History::default();
        let at = h.ask(PageAt::Newest).unwrap();
        h.fail(at, "the node has stopped".into());
        assert_eq!(h.failed(), Some("the node has stopped"));
        assert!(h.ask(PageAt::Newest).is_some());
    }
}
