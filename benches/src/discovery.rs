//! From a node's start to an open session both ways, found by beacons on loopback. (`lan-report` measures the same of
//! processes on two hosts.)

use std::time::Instant;

use cairn_actors::api::{Event, PeerState};
use cairn_actors::handle::Handle;
use cairn_crdt::ids::DeviceId;

use crate::Outcome;
use crate::figures::{Table, p50_p99};
use crate::nodes::{Error, start};

const JOINS: usize = 20;
/// A beacon port of this bench alone, so that a node that runs on this machine does not take part.
const PORT: u16 = 27_464;

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let first = start("first", Vec::new(), Some(PORT)).await?;
    let mut times = Vec::new();
    for n in 0..JOINS {
        let seen = tokio::spawn(online(first.handle.clone(), None));
        let begun = Instant::now();
        let second = start(&format!("join{n}"), Vec::new(), Some(PORT)).await?;
        let sees = online(second.handle.clone(), Some(first.id)).await?;
        times.push(seen.await??.max(sees) - begun);
        second.handle.stop().await?;
    }
    table.row("discovery: start of a node to session both ways, p50 / p99", p50_p99(&mut times), "p50 <= 30 ms");
    first.handle.stop().await?;
    Ok(())
}

/// When a peer (that one, or any new one) is online.
async fn online(handle: Handle, wanted: Option<DeviceId>) -> Result<Instant, Error> {
    let mut events = handle.subscribe();
    // It may have been faster than the subscription.
    if let Some(id) = wanted
        && handle.peers().await?.iter().any(|p| p.id == id && p.state == PeerState::Online)
    {
        return Ok(Instant::now());
    }
    loop {
        if let Event::Peer(peer) = events.recv().await?
            && peer.state == PeerState::Online
            && wanted.is_none_or(|id| id == peer.id)
        {
            return Ok(Instant::now());
        }
    }
}
