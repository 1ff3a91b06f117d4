//! Real nodes in this process, on loopback and on the disk, and what the benches ask of them. The one file here that
//! knows how a node is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use cairn_actors::api::{ConversationKind, Event, NodeOptions, PeerState};
use cairn_actors::handle::Handle;
use cairn_actors::node::Node;
use cairn_actors::start::start as start_node;
use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

/// What the benches fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Longest wait for what takes milliseconds.
const SOON: Duration = Duration::from_secs(60);

/// A node and its data folder, which goes with it.
pub struct Running {
    /// The door.
    pub handle: Handle,
    /// Its key.
    pub id: DeviceId,
    /// Where its sessions end.
    pub address: SocketAddr,
    /// Where it lies, if it goes with the node.
    folder: Option<tempfile::TempDir>,
    _node: Node,
}

/// Starts a node that knows these peers and sends no beacons; with a beacon port it knows nobody and finds them.
///
/// # Errors
/// What the node answers.
pub async fn start(name: &str, peers: Vec<SocketAddr>, beacon_port: Option<u16>) -> Result<Running, Error> {
    let folder = tempfile::tempdir()?;
    let mut node = start_on(name, folder.path(), peers, beacon_port).await?;
    node.folder = Some(folder);
    Ok(node)
}

/// Starts a node on a folder that stays; it knows these peers and sends no beacons.
///
/// # Errors
/// What the node answers.
pub async fn start_in(name: &str, data: &Path, peers: Vec<SocketAddr>) -> Result<Running, Error> {
    start_on(name, data, peers, None).await
}

async fn start_on(name: &str, data: &Path, peers: Vec<SocketAddr>, beacon_port: Option<u16>) -> Result<Running, Error> {
    let options = NodeOptions {
        data: data.to_owned(),
        name: Some(name.to_owned()),
        peers,
        no_discovery: beacon_port.is_none(),
        loopback_only: true,
        beacon_port,
        ..NodeOptions::default()
    };
    let node = start_node(options).await?;
    let handle = node.handle.clone();
    let status = handle.status().await?;
    let address = (Ipv4Addr::LOCALHOST, status.port).into();
    Ok(Running { handle, id: status.id, address, folder: None, _node: node })
}

/// So many nodes that all see each other, in one network; and its Everyone room.
///
/// # Errors
/// Where that does not come about.
pub async fn mesh(count: usize) -> Result<(Vec<Running>, SpaceId), Error> {
    let mut nodes: Vec<Running> = Vec::new();
    for n in 0..count {
        // On loopback nobody tells others where it is reached: each is told of all.
        let known = nodes.iter().map(|n| n.address).collect();
        nodes.push(start(&format!("n{n}"), known, None).await?);
    }
    let deadline = Instant::now() + SOON;
    loop {
        let mut rooms = Vec::new();
        for node in &nodes {
            let here = node.handle.peers().await?.iter().filter(|p| p.state != PeerState::Offline).count();
            if here + 1 == count {
                rooms.push(everyone(&node.handle).await?);
            }
        }
        let first = rooms.first().copied();
        if let Some(room) = first.filter(|room| rooms.len() == count && rooms.iter().all(|r| r == room)) {
            return Ok((nodes, room));
        }
        if Instant::now() > deadline {
            return Err(format!("{count} nodes don't form one network within {SOON:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The primary Everyone room, which comes first in the list.
///
/// # Errors
/// Where there is none.
pub async fn everyone(handle: &Handle) -> Result<SpaceId, Error> {
    let all = handle.conversations().await?;
    let room = all.iter().find(|c| c.kind == ConversationKind::Everyone);
    Ok(room.ok_or("no Everyone room")?.id)
}

/// Stamps each message that becomes visible on a node from now on.
pub fn arrivals(handle: &Handle) -> mpsc::UnboundedReceiver<(MessageId, Instant)> {
    let mut events = handle.subscribe();
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(Event::Message(message)) => {
                    if tx.send((message.id, Instant::now())).is_err() {
                        break;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    });
    rx
}

/// When a message arrived, by a channel of [`arrivals`].
///
/// # Errors
/// Where it does not.
pub async fn arrival(of: MessageId, rx: &mut mpsc::UnboundedReceiver<(MessageId, Instant)>) -> Result<Instant, Error> {
    let found = async {
        while let Some((id, at)) = rx.recv().await {
            if id == of {
                return Ok(at);
            }
        }
        Err(Error::from("the node stopped"))
    };
    tokio::time::timeout(SOON, found).await?
}

/// Says many messages with many under way at once, as a busy program does; the last one.
///
/// # Errors
/// What the node answers.
pub async fn say_many(handle: &Handle, room: SpaceId, count: usize) -> Result<MessageId, Error> {
    const UNDER_WAY: usize = 512;
    let mut tasks = tokio::task::JoinSet::new();
    let body = "x".repeat(100);
    for lane in 0..UNDER_WAY {
        let (handle, body) = (handle.clone(), body.clone());
        let share = count / UNDER_WAY + usize::from(lane < count % UNDER_WAY);
        tasks.spawn(async move {
            for _ in 0..share {
                handle.say(room, &body, None).await?;
            }
            Ok::<(), Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(handle.say(room, "last", None).await?.id)
}

/// Waits until a node shows so many messages in a room.
///
/// # Errors
/// Where it does not within ten minutes.
pub async fn wait_total(handle: &Handle, room: SpaceId, total: u64) -> Result<(), Error> {
    let deadline = Instant::now() + SOON * 10;
    while handle.page(room, cairn_actors::api::PageAt::Newest, 1).await?.total < total {
        if Instant::now() > deadline {
            return Err(format!("not {total} messages within {:?}", SOON * 10).into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
