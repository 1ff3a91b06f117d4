//! The JSON of room on the disk: a part of `status`.

use cairn_actors::api::{Compaction, HeldBack, WhyHeld};
use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::Serialize;

use crate::cli::time::rfc3339;

#[derive(Serialize)]
pub(super) struct CompactionLine {
    at: String,
    before: u64,
    after: u64,
}

#[derive(Serialize)]
pub(super) struct HeldBackLine<'a> {
    why: WhyHeld,
    conversation: Option<SpaceId>,
    author: Option<DeviceId>,
    author_name: Option<&'a str>,
    bytes: u64,
    limit: u64,
    message: &'a str,
}

pub(super) fn compaction(c: &Compaction) -> CompactionLine {
    CompactionLine { at: rfc3339(c.at), before: c.room.before, after: c.room.after }
}

pub(super) fn held_back(h: &HeldBack) -> HeldBackLine<'_> {
    HeldBackLine {
        why: h.why,
        conversation: h.conversation,
        author: h.author,
        author_name: h.author_name.as_deref(),
        bytes: h.bytes,
        limit: h.limit,
        message: &h.sentence,
    }
}
