//! `peers`: who is known, who is here; and waiting until enough are.

use std::path::Path;
use std::time::Duration;

use cairn_actors::api::{ApiError, Event, Peer, PeerState};

use super::backend::{Backend, no_node};
use super::error::Failure;
use super::text::Out;
use super::time::now_ms;
use super::{human, json};
use crate::local::client::Client;

/// Every device known.
///
/// # Errors
/// What the backend answers.
pub async fn peers(backend: &mut impl Backend, out: &mut Out) -> Result<(), Failure> {
    let peers = backend.peers().await?;
    print(&peers, out)
}

fn print(peers: &[Peer], out: &mut Out) -> Result<(), Failure> {
    if out.json { out.lines(peers.iter().map(json::peer)) } else { out.lines(human::peers(peers, now_ms(), out.style)) }
}

fn online(peers: &[Peer]) -> usize {
    peers.iter().filter(|p| p.state != PeerState::Offline).count()
}

/// Waits until `n` peers are online, then prints all that are known; a node that is still starting is waited for too.
///
/// # Errors
/// `timeout` where they are not within `timeout`, after printing; `no_node` where no node came up either.
pub async fn wait(data: &Path, out: &mut Out, n: u32, timeout: Duration) -> Result<(), Failure> {
    let wanted = usize::try_from(n).unwrap_or(usize::MAX);
    let mut peers = None;
    match tokio::time::timeout(timeout, enough(data, wanted, &mut peers)).await {
        Ok(result) => result?,
        Err(_) => {
            let Some(peers) = peers else { return Err(no_node(data).into()) };
            print(&peers, out)?;
            let message = format!("{} of {n} peers are online after {} s", online(&peers), timeout.as_secs_f64());
            return Err(Failure::failed("timeout", message));
        }
    }
    print(&peers.unwrap_or_default(), out)
}

/// How often it is looked whether a node has come up: no event tells.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

async fn enough(data: &Path, wanted: usize, peers: &mut Option<Vec<Peer>>) -> Result<(), ApiError> {
    loop {
        if let Some(client) = Client::connect(data).await? {
            match watch(data, client, wanted, peers).await {
                Err(e) if e.code == "stopped" => {}
                result => return result,
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Resolves when enough are online on the node behind `client`.
async fn watch(data: &Path, client: Client, wanted: usize, peers: &mut Option<Vec<Peer>>) -> Result<(), ApiError> {
    // Events first, then the list, so that nobody comes between the two unseen.
    let mut events = client.subscribe().await?;
    let mut client = Client::connect(data).await?.ok_or_else(|| ApiError::new("stopped", "the node has stopped"))?;
    loop {
        let list = peers.insert(client.peers().await?);
        if online(list) >= wanted {
            return Ok(());
        }
        loop {
            match events.next().await? {
                // Someone came or went: the list has it whole and in order.
                Event::Peer(_) | Event::Lagged => break,
                _ => {}
            }
        }
    }
}
