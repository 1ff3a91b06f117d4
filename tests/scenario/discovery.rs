//! Nodes meet, and a message crosses, where only one way of discovery passes.

use std::time::Duration;

use super::Scale;
use crate::lan::{Lan, LanOptions};
use crate::node::{Node, Place, SOON, up_all, wait_mesh};
use crate::rules::Traffic;

/// Nothing but broadcast.
pub fn only_broadcast(_: &Scale) {
    meet(LanOptions::default(), &[Traffic::MulticastV4, Traffic::V6]);
}

/// Nothing but IPv4 multicast.
pub fn only_multicast_v4(_: &Scale) {
    meet(LanOptions::default(), &[Traffic::Broadcast, Traffic::V6]);
}

/// Beacons over IPv6 only; IPv4 unicast passes.
pub fn only_v6(_: &Scale) {
    meet(LanOptions::default(), &[Traffic::Broadcast, Traffic::MulticastV4]);
}

/// No IPv4 address anywhere: link-local addresses must do, with their zones.
pub fn no_v4_at_all(_: &Scale) {
    meet(LanOptions { v4: false, ..LanOptions::default() }, &[]);
}

/// No default route: multicast has no route of its own then.
pub fn no_default_route(_: &Scale) {
    let options = LanOptions { default_route: false, ..LanOptions::default() };
    meet(options, &[]);
}

fn meet(options: LanOptions, blocked: &[Traffic]) {
    let mut lan = Lan::new(options);
    blocked.iter().for_each(|kind| lan.block(*kind));
    let nodes = up_all(&lan, &[Place::new(&lan, 0, "anna"), Place::new(&lan, 1, "ben")]);
    let [anna, ben] = nodes.as_slice() else { unreachable!("two places, two nodes") };
    wait_mesh(&[anna, ben], Duration::from_secs(10));
    crosses(&lan, anna, ben);
    crosses(&lan, ben, anna);
}

/// A message said on one node shows on the other, once, as an event and in its log.
pub(super) fn crosses(lan: &Lan, from: &Node, to: &Node) {
    let text = format!("from {} to {}", from.place.name, to.place.name);
    let id = from.place.say(lan, "everyone", &text);
    let lines = to.wait_log(lan, "everyone", SOON, "message", |l| l.iter().any(|l| l.id == id));
    let found: Vec<_> = lines.iter().filter(|l| l.id == id || l.body == text).collect();
    assert_eq!(found.len(), 1, "once: {lines:?}");
    assert_eq!((found[0].author.as_str(), found[0].body.as_str()), (from.id.as_str(), text.as_str()));
}
