//! Two nodes on one host share the beacon port, take different QUIC ports, and meet each other and a third elsewhere.

use std::time::Duration;

use super::{Scale, discovery::crosses};
use crate::lan::Lan;
use crate::node::{Place, up_all, wait_mesh};

/// Runs it.
pub fn run(_: &Scale) {
    let lan = Lan::of(2);
    let nodes = up_all(&lan, &[Place::new(&lan, 0, "anna"), Place::new(&lan, 0, "ben"), Place::new(&lan, 1, "cleo")]);
    let [anna, ben, cleo] = nodes.as_slice() else { unreachable!("three places, three nodes") };
    assert_ne!(anna.port(), ben.port(), "each has a port of its own");
    wait_mesh(&[anna, ben, cleo], Duration::from_secs(10));
    crosses(&lan, anna, ben);
    crosses(&lan, cleo, ben);

    // The port is remembered, so that a firewall rule can name it.
    let (port, place) = (ben.port(), ben.place.clone());
    let mut nodes = nodes;
    nodes.remove(1).stop();
    let ben = place.up(&lan);
    assert_eq!(ben.port(), port, "the same port after a restart");
    wait_mesh(&[&nodes[0], &ben, &nodes[1]], Duration::from_secs(10));
}
