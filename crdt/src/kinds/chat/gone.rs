//! What is gone of a conversation. Whole segments leave it; and where a cut was made within a segment that goes on, the
//! messages of that part are not shown.

use super::store::Messages;
use super::{Conversation, PART_MESSAGES, Span};
use crate::hlc::Hlc;
use crate::ids::DocumentId;
use crate::period::{Unit, period_of, segment};
use crate::replica::lies_in;
use crate::spans::Spans;

impl Conversation {
    /// Sets what is gone, and of which time single messages are not shown. Answers whether something may have come back:
    /// then whoever calls it tells of all segments again ([`Conversation::note`]).
    pub fn set_gone(&mut self, gone: &Spans, cut: &Spans) -> bool {
        let back = !(gone.contains(&self.gone) && cut.contains(&self.cut));
        if *gone == self.gone && *cut == self.cut {
            return false;
        }
        (self.gone, self.cut) = (gone.clone(), cut.clone());
        self.spans.retain(|id, _| !lies_in(id, gone));
        self.segments.retain(|id, _| !lies_in(id, gone));
        if !back {
            self.segments.values_mut().for_each(|s| s.hide(cut));
        } else {
            // What comes back within a segment is read again with it.
            let all: Vec<_> = self.segments.keys().copied().collect();
            for id in all {
                self.evict(&id);
            }
        }
        let spans = std::mem::take(&mut self.spans);
        self.spans = spans.into_iter().map(|(id, span)| (id, self.without_cut(span))).collect();
        back
    }

    /// What is gone.
    #[must_use]
    pub fn gone(&self) -> &Spans {
        &self.gone
    }

    /// Whether single messages are cut off at other times than these.
    #[must_use]
    pub fn is_cut_otherwise(&self, cut: &Spans) -> bool {
        self.cut != *cut
    }

    /// Sets how long the segments are that are written from now on.
    pub fn set_unit(&mut self, unit: Unit) {
        self.unit = unit;
    }

    /// A span that was cut off wholly holds no messages, though its segment may go on.
    pub(super) fn without_cut(&self, span: Span) -> Span {
        let cut = self.cut.covers(span.first.ms(), span.last.ms().saturating_add(1));
        Span { count: if cut { 0 } else { span.count }, ..span }
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

impl Messages {
    pub(super) fn hide(&mut self, cut: &Spans) {
        if self.hidden == *cut {
            return;
        }
        self.hidden = cut.clone();
        let rows = &mut self.rows;
        self.order.retain(|at| {
            let Some(row) = rows.get_mut(*at as usize).filter(|row| cut.holds(row.sent.ms())) else { return true };
            row.body = Box::default();
            row.extra = None;
            false
        });
        let mut gone = Vec::new();
        self.ids.retain(|(id, principal), at| {
            let stays = rows.get(*at as usize).is_none_or(|row| !cut.holds(row.sent.ms()));
            if !stays {
                gone.push((*id, *principal));
            }
            stays
        });
        if !self.abouts.is_empty() {
            for (id, principal) in gone {
                if let Some(principal) = self.principal(principal) {
                    self.abouts.remove(&id, &principal);
                }
            }
        }
    }
}
