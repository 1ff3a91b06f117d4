//! Messages that are written again. After a failed commit the pens of its space begin again at what the store holds;
//! while something else is still on its way there, they would take a place that is taken. So whatever is said then waits
//! until all of that has ended, and so does a message whose place went with the one that failed: both are written under
//! their own ids, in the order in which they were said, and whoever said them hears nothing of it.

use cairn_crdt::ids::{MessageId, SpaceId};

use super::DocumentsState;
use crate::api::ApiError;
use crate::limits::SAY_AGAIN;
use crate::space::saying::Words;
use crate::store::{StoreError, Write};

/// A message that is to be written once nothing is on its way any more that was when a commit of its space failed.
#[derive(Debug)]
pub(super) struct Waiting {
    pub space: SpaceId,
    pub id: MessageId,
    pub words: Words,
    /// Goes into the same commit.
    pub also: Vec<Write>,
    /// How often it was written already.
    pub tries: u32,
}

impl Waiting {
    /// Whether a message that could not be stored is to be written again: not its own place, but what it follows is
    /// missing.
    pub(super) fn helps(&self, e: &StoreError) -> bool {
        *e == StoreError::Gap && self.tries < SAY_AGAIN
    }
}

impl DocumentsState {
    /// Whether something is still on its way to the disk that was when a commit of this space failed: what of it is
    /// stored is not known, and its replication and its pens have forgotten it.
    pub(super) fn is_unsure(&mut self, space: SpaceId) -> bool {
        let Some(next) = self.unsure.get(&space) else { return false };
        let waits = self.tickets.first_key_value().is_some_and(|(number, _)| number < next);
        if !waits {
            self.unsure.remove(&space);
        }
        waits
    }

    /// A message waits, in its place among those that were said before and after it.
    pub(super) fn wait(&mut self, number: u64, waiting: Waiting) {
        self.saying.entry((waiting.space, waiting.id)).or_default();
        self.again.insert(number, waiting);
    }

    /// Writes what waits and need not any more.
    pub(super) fn write_again(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let all: Vec<_> = self.again.iter().map(|(number, w)| (*number, w.space)).collect();
        let ready: Vec<_> = all.into_iter().filter(|(_, space)| !self.is_unsure(*space)).collect();
        for (number, _) in ready {
            let Some(Waiting { space, id, words, also, tries }) = self.again.remove(&number) else { continue };
            if self.folded.contains_key(&space) {
                self.moved(space, id, words);
            } else if let Err(e) = self.write_now(space, id, words, also, tries) {
                for reply in self.saying.remove(&(space, id)).unwrap_or_default() {
                    let _ = reply.send(Err(ApiError::new("not_written", e.to_string())));
                }
            }
        }
    }

    /// The room was left while a message was on its way to the disk: whoever said it hears when it has gone over.
    pub(super) fn moved(&mut self, space: SpaceId, id: MessageId, words: Words) {
        let to = self.folded.get(&space).copied().unwrap_or(space);
        let replies = self.saying.remove(&(space, id)).unwrap_or_default();
        if self.go_over(to, id, words) {
            self.saying.entry((to, id)).or_default().extend(replies);
        }
    }
}
