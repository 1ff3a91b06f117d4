//! The JSON of catching up: an event of `node`, and a part of `status`.

use cairn_actors::api::CatchUp;
use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct CatchUpLine<'a> {
    conversation: SpaceId,
    title: &'a str,
    came: u64,
    left: u64,
    from: Vec<BringerLine<'a>>,
}

#[derive(Serialize)]
struct BringerLine<'a> {
    id: DeviceId,
    name: &'a str,
    left: u64,
}

pub(super) fn body(c: &CatchUp) -> CatchUpLine<'_> {
    let from = c.from.iter().map(|b| BringerLine { id: b.id, name: &b.name, left: b.left });
    CatchUpLine { conversation: c.conversation, title: &c.title, came: c.came, left: c.left, from: from.collect() }
}
