//! The part of a conversation that is in memory: a run of messages without gaps, ordered by [`OrderKey`], grown by
//! pages at either end and cut at the far end when it becomes too long.

use cairn_actors::api::{Badge, DeliveryState, Message, OrderKey, Page, PageAt};
use cairn_crdt::ids::{DeviceId, MessageId};

/// What the node tells of a message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// What became of it.
    pub state: DeliveryState,
    /// Addressees that hold it.
    pub to: u32,
    /// Addressees in all.
    pub of: u32,
    /// Addressees who have read it.
    pub read_by: u32,
    /// Devices that hold it for those who lack it.
    pub carried_by: u32,
}

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
    /// Messages before the first one in memory.
    before: u64,
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

    /// How many messages lie before the first one in memory.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Where the message of a number (0: the oldest of the conversation) lies in memory, if it does.
    #[must_use]
    pub fn index_of_number(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.before)?).ok()?;
        (index < self.messages.len()).then_some(index)
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
            PageAt::Number(number) => self.index_of_number(number).is_none(),
        };
        if self.asked.is_some() || !wanted {
            return None;
        }
        let at = match (at, self.messages.first(), self.messages.last()) {
            (PageAt::Before(_), Some(first), _) => PageAt::Before(first.key),
            (PageAt::After(_), _, Some(last)) => PageAt::After(last.key),
            // Half of the page above it, so that there is something to scroll to both ways.
            (PageAt::Number(number), ..) => PageAt::Number(number.saturating_sub(PAGE as u64 / 2)),
            _ => PageAt::Newest,
        };
        self.asked = Some(at);
        self.failed = None;
        Some(at)
    }

    /// Sees to it that a message is in memory. Answers what to ask for, unless it is: what is in memory is forgotten
    /// then, and read afresh from there on.
    pub fn seek(&mut self, key: &OrderKey) -> Option<PageAt> {
        if self.loaded && self.messages.binary_search_by(|m| m.key.cmp(key)).is_ok() {
            return None;
        }
        self.forget();
        let at = PageAt::After(key.earlier());
        self.asked = Some(at);
        Some(at)
    }

    /// Starts to read everything in memory again, since messages may have come in between (after a partition healed).
    /// `None` while a pass is under way; another follows it then.
    pub fn ask_again(&mut self) -> Option<PageAt> {
        if self.refresh.is_some() {
            self.refresh_late = true;
            return None;
        }
        // Of a place of messages that need a newer Cairn there may be more now: it is read again too.
        let first = self.messages.first().map(|m| if m.is_placeholder() { m.key.earlier() } else { m.key });
        match first {
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

    /// A device is shown in another way now.
    pub fn shown_as(&mut self, device: &DeviceId, name: &str, badge: Badge) {
        for m in self.messages.iter_mut().filter(|m| m.author == *device && !m.mine) {
            name.clone_into(&mut m.author_name);
            m.badge = badge;
        }
    }

    /// Forgets the messages, so that they are read afresh when they are looked at again.
    pub fn forget(&mut self) {
        *self = Self { new_after: self.new_after, read_to: self.read_to, ..Self::default() };
    }

    /// Takes in a page. Answers the next page of a pass that [`Self::ask_again`] began, if more of it is left.
    pub fn take(&mut self, at: PageAt, page: Page) -> Option<PageAt> {
        let asked = self.asked == Some(at);
        if asked {
            self.asked = None;
        }
        self.failed = None;
        self.total = page.total;
        let first_time = !self.loaded;
        self.loaded = true;
        self.drop_placeholders(at, &page);
        let (first, last) = (page.messages.first().map(|m| m.key), page.messages.last().map(|m| m.key));
        let before = page.before;
        let next = self.take_page(at, page, asked || first_time, last);
        // The node knows where its page stands.
        if first.is_some() && first == self.messages.first().map(|m| m.key) {
            self.before = before;
        }
        next
    }

    fn take_page(&mut self, at: PageAt, page: Page, asked: bool, last: Option<OrderKey>) -> Option<PageAt> {
        match at {
            PageAt::Newest => {
                let touches = page
                    .messages
                    .first()
                    .zip(self.messages.last())
                    .is_some_and(|(first, newest)| first.key <= newest.key);
                if touches {
                    self.merge(page.messages);
                    self.newer = page.newer;
                } else if asked || !self.newer {
                    self.replace(page);
                }
                self.tail = false;
                if std::mem::take(&mut self.tail_late) {
                    return self.ask_tail();
                }
            }
            PageAt::Number(_) => self.replace(page),
            PageAt::Before(_) if asked => {
                self.merge(page.messages);
                self.older = page.older;
                if self.messages.len() > KEEP {
                    self.messages.truncate(KEEP);
                    self.newer = true;
                }
            }
            // Read afresh from a place in the middle.
            PageAt::After(_) if asked && self.messages.is_empty() => self.replace(page),
            PageAt::After(from) if asked || self.refresh == Some(from) => {
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
                    self.before = self.before.saturating_add(over as u64);
                }
            }
            // It was asked for beside what is no longer in memory.
            PageAt::Before(_) | PageAt::After(_) => {}
        }
        None
    }

    /// Another part of the conversation takes the place of what is in memory; passes over that have lost their sense.
    fn replace(&mut self, page: Page) {
        (self.messages, self.older, self.newer) = (page.messages, page.older, page.newer);
        (self.refresh, self.refresh_late) = (None, false);
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

    /// Takes in what a message is now that was visible before, if it is in memory.
    pub fn changed(&mut self, message: Message) {
        let quoted = (message.id, message.body.clone(), message.about.deleted);
        for m in &mut self.messages {
            if m.key == message.key {
                m.clone_from(&message);
            } else if let Some(q) = m.about.reply_to.as_mut().filter(|q| q.id == quoted.0) {
                q.text = quoted.1.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                q.deleted = quoted.2;
            }
        }
    }

    /// Takes note of what became of one message. Answers whether an older one of ours is behind it, so that reading
    /// the tail again may tell more.
    pub fn delivered(&mut self, id: MessageId, told: &Delivered) -> bool {
        let Delivered { state, to, of, read_by, carried_by } = *told;
        let Some(at) = self.messages.iter().rposition(|m| m.id == id) else { return false };
        if let Some(m) = self.messages.get_mut(at) {
            m.state = m.state.max(state);
            (m.delivered_to, m.members, m.read_by, m.carried_by) = (to, of, read_by, carried_by);
        }
        self.messages
            .iter()
            .take(at)
            .rev()
            .take(PAGE)
            .any(|m| m.mine && (m.state < state || m.delivered_to < to.min(m.members) || m.read_by < read_by))
    }

    /// Forgets the places of messages that need a newer Cairn where a page tells of them anew: one may have moved when
    /// an earlier one came, or be two when a message came between.
    fn drop_placeholders(&mut self, at: PageAt, page: &Page) {
        let (first, last) = (page.messages.first().map(|m| m.key), page.messages.last().map(|m| m.key));
        let from = match at {
            PageAt::After(key) => key,
            _ if page.older => first.unwrap_or(OrderKey::MAX),
            _ => OrderKey::MIN,
        };
        let to = match at {
            PageAt::Before(key) => key,
            _ if page.newer => last.unwrap_or(OrderKey::MIN),
            _ => OrderKey::MAX,
        };
        self.messages.retain(|m| !m.is_placeholder() || m.key <= from || m.key >= to);
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
            before: range.start,
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
    fn a_page_by_number_takes_the_place_of_what_was_in_memory() {
        let mut h = History::default();
        h.take(PageAt::Newest, page(900..1_000, 1_000));
        assert_eq!((h.before(), h.index_of_number(950), h.index_of_number(899)), (900, Some(50), None));
        assert_eq!(h.ask(PageAt::Number(950)), None, "it is there");
        // A pass and a look at the tail are under way when the person goes elsewhere.
        let (pass, tail) = (h.ask_again().unwrap(), h.ask_tail().unwrap());
        let at = h.ask(PageAt::Number(300)).unwrap();
        assert_eq!(at, PageAt::Number(200), "with messages above it");
        assert_eq!(h.ask(PageAt::Number(600)), None, "one page at a time");
        h.take(at, page(200..400, 1_000));
        assert_eq!((h.before(), h.index_of_number(300), h.older(), h.newer()), (200, Some(100), true, true));
        // Their pages come late and leave no gap in what is in memory.
        assert_eq!(h.take(pass, page(901..1_000, 1_000)), None);
        assert_eq!(h.take(tail, page(800..1_000, 1_000)), None);
        assert_eq!(keys(&h), (200..400).collect::<Vec<_>>());
        let older = h.ask(PageAt::Before(OrderKey::MIN)).unwrap();
        h.take(older, page(0..200, 1_000));
        assert_eq!((h.before(), h.older()), (0, false));
        let newest = h.ask(PageAt::Newest).unwrap();
        h.take(newest, page(800..1_000, 1_000));
        assert_eq!((h.before(), h.newer()), (800, false));
        assert_eq!(keys(&h), (800..1_000).collect::<Vec<_>>());
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
        let told = |state, read_by| Delivered { state, to: 2, of: 4, read_by, carried_by: 2 };
        assert!(h.delivered(id, &told(DeliveryState::Delivered, 0)), "older ones are behind");
        h.delivered(id, &told(DeliveryState::Queued, 0));
        assert_eq!(h.messages()[2].state, DeliveryState::Delivered);
        h.messages.iter_mut().for_each(|m| (m.state, m.delivered_to) = (DeliveryState::Read, 2));
        assert!(h.delivered(id, &told(DeliveryState::Read, 1)), "older ones were read too");
        assert_eq!((h.messages()[2].read_by, h.messages()[2].carried_by), (1, 2));
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
