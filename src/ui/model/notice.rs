//! Notices: sentences that are shown for a while.

use super::Model;

/// How long a notice stays, in milliseconds.
pub(super) const NOTICE_FOR: u64 = 8_000;
/// Notices shown at once.
pub(super) const NOTICES: usize = 4;

/// A sentence for a person, shown for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Counts up.
    pub id: u64,
    /// Stable name of what happened.
    pub code: String,
    /// The sentence.
    pub text: String,
    /// Whether something went wrong.
    pub bad: bool,
    /// When it appeared, once a frame has seen it.
    since: Option<u64>,
}

impl Model {
    /// Sentences to show, oldest first.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter()
    }

    /// Lets time pass: notices go, and what is not told of any more. Answers when the next one goes, in milliseconds since 1970.
    pub fn tick(&mut self, now: u64) -> Option<u64> {
        self.notices.retain_mut(|n| now < n.since.get_or_insert(now).saturating_add(NOTICE_FOR));
        let notice = self.notices.iter().filter_map(|n| n.since).min().map(|t| t.saturating_add(NOTICE_FOR));
        notice.into_iter().chain(self.catching_up.tick(now)).min()
    }

    /// Shows a sentence.
    pub fn notify(&mut self, code: &str, text: String, bad: bool) {
        if self.notices.iter().any(|n| n.code == code && n.text == text) {
            return;
        }
        self.next_notice += 1;
        self.notices.push_back(Notice { id: self.next_notice, code: code.to_owned(), text, bad, since: None });
        while self.notices.len() > NOTICES {
            self.notices.pop_front();
        }
    }
}
