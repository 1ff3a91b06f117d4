//! The chat segment: a week, or part of a week, of a conversation.
//!
//! Schema. The root holds maps keyed `{incarnation}.{block}`, the incarnation in its text form and the block number as
//! six digits, from 000000 on without gaps; an incarnation writes only at keys of its own. A block holds at most
//! [`BLOCK_MESSAGES`] messages, because Automerge's cost of applying a change grows with the object that it touches.
//! ```text
//! {incarnation}.{block} -> {message id} -> {
//!     sent: int         the entry's HLC
//!     kind: str         "text"; unknown kinds are kept and shown as needing a newer Cairn
//!     body: str         at most 64 KiB
//!     after: str        order key (stamp.device.id) of the last message that the author had seen; absent at the first
//!     reply_to: str     message id; absent when it answers nothing
//!     mentions: map     principal -> name as the body says it behind an `@`; absent when it mentions nobody
//!     attachments: list absent when there are none
//! }
//! {incarnation}.r{block} -> records (edits, deletions, reactions): the author's own, append-only ([`Record`])
//! ```
//! Blocks hold only new messages: nothing in them is ever overwritten, and a message's fields come in the change that
//! makes it. Fields that this build does not know are let through within bounds.
//!
//! A week is a whole number of 7 x 86,400,000 ms since 1970-01-01T00:00Z, a Thursday, so weeks begin on Thursdays.
//! Where messages are kept for a short time only, a segment is a day or an hour of a week ([`crate::period`]). A message
//! lies in a segment whose time holds its own stamp, and the stamps of a log only grow; both are rules, so that the span
//! of a segment that is not in memory is known from the first and last stamps of its logs. Records lie in the segment of
//! their message, however late they come; retention takes them with it.

mod about;
mod compose;
mod conversation;
mod gone;
pub mod mention;
pub(crate) mod plain;
mod record;
pub(crate) mod rule;
mod segment;
mod store;

pub use about::{About, Reaction, Version};
pub use compose::{ChatAuthor, Draft};
pub use conversation::{Conversation, OpaqueRun, Page, PageAt, Span};
pub use record::Record;
pub use segment::{Applied, ChatSegment, Opaque, Unread};
pub use store::MessageView;

use crate::ids::{DocumentId, Incarnation};
pub use crate::period::WEEK_MS;

/// Messages in a block.
pub const BLOCK_MESSAGES: u32 = 512;
/// Messages in a part; an author goes on to the next part when the one it sees holds as many.
pub const PART_MESSAGES: u64 = 16_384;
/// Largest body in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Longest reaction in bytes: the longest emoji of Unicode 16, a family or a flag with tags, has 35.
pub const MAX_EMOJI: usize = 64;
/// Different reactions of one person to one message, those taken back among them. Of more the lowest in the order of their
/// bytes count, so that it matters to nobody in which order they came.
pub const MAX_REACTIONS: usize = 16;
/// The kind of a plain message.
pub const TEXT: &str = "text";

/// The UTC week of a time in milliseconds since 1970: whole weeks since 1970-01-01T00:00Z (a Thursday).
#[must_use]
pub fn week_of(ms: u64) -> u32 {
    u32::try_from(ms / WEEK_MS).unwrap_or(u32::MAX)
}

/// When a week begins, in milliseconds since 1970.
#[must_use]
pub fn week_start(week: u32) -> u64 {
    u64::from(week).saturating_mul(WEEK_MS)
}

/// Whether a segment begins more than a week ahead of mesh time: such a one is shown apart, flagged.
#[must_use]
pub fn is_ahead(segment: &DocumentId, now_ms: u64) -> bool {
    segment.chat_week().is_some_and(|(week, _)| week_start(week) > now_ms.saturating_add(WEEK_MS))
}

/// The root key of a block.
pub(crate) fn block_key(incarnation: &Incarnation, block: u32) -> String {
    format!("{incarnation}.{block:06}")
}
