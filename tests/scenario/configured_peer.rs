//! A configured peer is enough where no beacon passes, whether switched off or swallowed.

use std::time::Duration;

use super::{Scale, discovery::crosses};
use crate::lan::Lan;
use crate::node::{Place, wait_mesh};
use crate::rules::Traffic;

/// Runs it.
pub fn run(_: &Scale) {
    let mut lan = Lan::of(3);
    for kind in [Traffic::Broadcast, Traffic::MulticastV4, Traffic::V6] {
        lan.block(kind);
    }
    let anna = Place::new(&lan, 0, "anna").up(&lan);
    let address = format!("{}:{}", lan.v4(0), anna.port());
    let ben = Place::new(&lan, 1, "ben").with(&["--peer", &address]).up(&lan);
    wait_mesh(&[&anna, &ben], Duration::from_secs(10));
    crosses(&lan, &anna, &ben);
    crosses(&lan, &ben, &anna);

    // Peers tell each other of peers: who knows one knows all.
    let cleo = Place::new(&lan, 2, "cleo").with(&["--no-discovery", "--peer", &address]).up(&lan);
    wait_mesh(&[&anna, &ben, &cleo], Duration::from_secs(20));
    crosses(&lan, &cleo, &ben);
}
