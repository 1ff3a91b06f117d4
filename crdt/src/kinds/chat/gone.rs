//! What is gone of a conversation: whole segments leave it; of a segment that is gone in part the messages of that part
//! are not shown.

use super::segment::ChatSegment;
use super::store::Messages;
use super::{Conversation, PART_MESSAGES, Span};
use crate::hlc::Hlc;
use crate::ids::DocumentId;
use crate::period::{Unit, period_of, segment};
use crate::replica::lies_in;
use crate::spans::Spans;

impl Conversation {
    /// Sets what is gone and lets go of it. Whoever calls it tells of segments that came back ([`Conversation::note`]).
    pub fn set_gone(&mut self, gone: &Spans) {
        if *gone == self.gone {
            return;
        }
        // What comes back within a segment is read again with it.
        let whole = gone.contains(&self.gone);
        self.gone = gone.clone();
        self.spans.retain(|id, _| !lies_in(id, gone));
        self.segments.retain(|id, _| !lies_in(id, gone));
        if whole {
            self.segments.values_mut().for_each(|s| s.hide(gone));
        } else {
            let all: Vec<_> = self.segments.keys().copied().collect();
            for id in all {
                self.evict(&id);
            }
        }
        let spans = std::mem::take(&mut self.spans);
        self.spans = spans.into_iter().map(|(id, span)| (id, self.without_gone(span))).collect();
    }

    /// What is gone.
    #[must_use]
    pub fn gone(&self) -> &Spans {
        &self.gone
    }

    /// Sets how long the segments are that are written from now on.
    pub fn set_unit(&mut self, unit: Unit) {
        self.unit = unit;
    }

    /// A span that lies wholly in what is gone holds no messages, though its segment may go on.
    pub(super) fn without_gone(&self, span: Span) -> Span {
        let gone = self.gone.covers(span.first.ms(), span.last.ms().saturating_add(1));
        Span { count: if gone { 0 } else { span.count }, ..span }
    }

    /// The stamp that a message gets where one's own clock says `hlc`: the same, unless that lies in a segment that is
    /// gone, as when the clock has stood still for a year. Then it is the first moment after it.
    #[must_use]
    pub fn live(&self, hlc: Hlc) -> Hlc {
        let mut at = hlc;
        // One stretch that is gone may end within a segment that another begins in.
        for _ in 0..=self.gone.len() {
            match period_of(&segment(self.unit, at.ms(), 0)) {
                Some(p) if self.gone.covers(p.start, p.end) => at = Hlc::from_ms(self.gone.after(p.start)).max(at),
                _ => break,
            }
        }
        at
    }

    /// Where a message stamped `hlc` goes: the first part of its time that holds fewer than [`PART_MESSAGES`].
    #[must_use]
    pub fn target(&self, hlc: Hlc) -> DocumentId {
        self.target_where(hlc, |_| true)
    }

    /// The same among the parts that `fits` takes.
    #[must_use]
    pub fn target_where(&self, hlc: Hlc, fits: impl Fn(&DocumentId) -> bool) -> DocumentId {
        let part = |part: u16| segment(self.unit, hlc.ms(), part);
        let open = |id: &DocumentId| self.count_of(id) < PART_MESSAGES && fits(id);
        (0..u16::MAX).map(part).find(open).unwrap_or_else(|| part(u16::MAX))
    }
}

impl ChatSegment {
    /// Hides the messages that were written in what is gone, those of later entries too.
    pub(super) fn hide(&mut self, gone: &Spans) {
        self.messages.hide(gone);
    }
}

impl Messages {
    fn hide(&mut self, gone: &Spans) {
        if self.hidden == *gone {
            return;
        }
        self.hidden = gone.clone();
        let rows = &mut self.rows;
        self.order.retain(|at| {
            let Some(row) = rows.get_mut(*at as usize).filter(|row| gone.holds(row.sent.ms())) else { return true };
            row.body = Box::default();
            row.extra = None;
            false
        });
        self.ids.retain(|_, at| rows.get(*at as usize).is_none_or(|row| !gone.holds(row.sent.ms())));
    }
}
