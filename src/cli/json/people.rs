//! The JSON lines of people: who is known, and what two people compare.

use std::net::SocketAddr;

use cairn_actors::api::{Badge, Peer, PeerState, Safety};
use cairn_crdt::ids::DeviceId;
use serde::Serialize;

use super::print;

#[derive(Serialize)]
struct WarningLine<'a> {
    of: DeviceId,
    mine: bool,
    message: &'a str,
}

/// A device.
#[derive(Serialize)]
pub(super) struct PeerLine<'a> {
    id: DeviceId,
    name: &'a str,
    code: &'a str,
    state: PeerState,
    address: Option<SocketAddr>,
    rtt_ms: Option<f64>,
    badge: Badge,
    petname: Option<&'a str>,
    own_name: Option<&'a str>,
    clock_offset_ms: Option<i64>,
    namesake: bool,
    warning: Option<WarningLine<'a>>,
}

#[derive(Serialize)]
struct SafetyLine<'a> {
    id: DeviceId,
    name: &'a str,
    code: &'a str,
    badge: Badge,
    verified: bool,
    digits: &'a [String],
    words: &'a [String],
    qr: &'a str,
}

/// A device as a line and as an event.
pub(super) fn body(p: &Peer) -> PeerLine<'_> {
    // Microseconds are as fine as a round trip is known.
    let rtt_ms = p.rtt_ms.filter(|r| r.is_finite()).map(|r| (r * 1000.0).round() / 1000.0);
    PeerLine {
        id: p.id,
        name: &p.name,
        code: &p.code,
        state: p.state,
        address: p.address,
        rtt_ms,
        badge: p.badge,
        petname: p.petname.as_deref(),
        own_name: p.own_name.as_deref(),
        clock_offset_ms: p.clock_offset_ms,
        namesake: p.namesake,
        warning: p.warning.as_ref().map(|w| WarningLine { of: w.of, mine: w.mine, message: &w.sentence }),
    }
}

/// A line of `peers`.
#[must_use]
pub fn peer(p: &Peer) -> String {
    print(&body(p))
}

/// `verify`.
#[must_use]
pub fn safety(s: &Safety) -> String {
    print(&SafetyLine {
        id: s.peer.id,
        name: &s.peer.name,
        code: &s.peer.code,
        badge: s.peer.badge,
        verified: s.peer.badge == Badge::Verified,
        digits: &s.digits,
        words: &s.words,
        qr: &s.code,
    })
}
