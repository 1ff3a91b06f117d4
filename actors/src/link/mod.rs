//! `Link`: what a session needs of a transport, and nothing else. `quic` is the real one, `memory` its in-memory twin
//! for simulation on a paused clock.
//!
//! A link is one connection to one authenticated peer. It carries a few independent, ordered, reliable lanes; each
//! lane is a stream of frames (length-prefixed byte strings of at most [`crate::limits::FRAME_MAX`]). Sending on a
//! lane waits while the peer's window is full; that is the only back-pressure.

pub mod memory;
pub mod quic;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use cairn_crdt::ids::DeviceId;

/// A boxed future, so that links can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The lanes of a link. Each direction of each lane is a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Hello, heartbeats, goodbye.
    Control,
    /// Replication.
    Sync,
}

/// Why a link ended or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The other side closed it, with its reason.
    #[error("closed by the peer: {0}")]
    Closed(String),
    /// Nothing was heard for too long.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer proved another identity than the one dialled.
    #[error("the peer at this address has another key")]
    WrongPeer,
    /// The address leads to this very device.
    #[error("this address is our own")]
    Oneself,
    /// A link from there came about while a dial to it was to begin.
    #[error("a link from there came first")]
    CameFirst,
    /// The ends don't hold the same network key.
    #[error("the device there has another network key, or none")]
    NoKey,
    /// The peer broke the framing.
    #[error("the peer sent a frame of {0} bytes, more than allowed")]
    FrameTooLarge(usize),
    /// The operating system refused.
    #[error("{0}")]
    Io(String),
}

/// One connection to one authenticated peer.
pub trait Link: Send + Sync + 'static {
    /// Who is at the other end, proven by the handshake.
    fn peer(&self) -> DeviceId;
    /// Whether this side dialled.
    fn dialled(&self) -> bool;
    /// Where the other end is.
    fn remote(&self) -> SocketAddr;
    /// A secret that both ends of this link share and nobody else, for tags.
    fn exporter(&self) -> [u8; 32];
    /// Smoothed round trip time.
    fn rtt(&self) -> Duration;
    /// Sends one frame. Resolves when the transport has taken it (its window had room). A call that is dropped midway
    /// sends its frame whole, with the next one, or not at all. Last words belong into the reason of [`Link::close`]:
    /// a close may overtake frames that are still on their way.
    fn send(&self, lane: Lane, frame: Bytes) -> BoxFuture<'_, Result<(), LinkError>>;
    /// The next frame of a lane. One caller a lane.
    fn recv(&self, lane: Lane) -> BoxFuture<'_, Result<Bytes, LinkError>>;
    /// Closes with a reason that the other end will see; returns at once, the close is sent in the background.
    fn close(&self, reason: &str);
    /// Resolves when the link has ended.
    fn closed(&self) -> BoxFuture<'_, LinkError>;
}

/// Makes and takes links. Bound to one port.
pub trait Transport: Send + Sync + 'static {
    /// The UDP port.
    fn port(&self) -> u16;
    /// Dials an address. With `expect`, a peer with another key is refused.
    fn dial(
        &self,
        to: SocketAddr,
        expect: Option<DeviceId>,
    ) -> BoxFuture<'_, Result<std::sync::Arc<dyn Link>, LinkError>>;
    /// The next link that somebody else made to us, handshake done. `None` once the transport is closed. One caller.
    fn accept(&self) -> BoxFuture<'_, Option<std::sync::Arc<dyn Link>>>;
    /// Addresses changed: rebind what is bound to gone ones.
    fn network_changed(&self);
    /// Closes every link with a reason and waits briefly until the closes are sent.
    fn shutdown(&self, reason: &str) -> BoxFuture<'_, ()>;
}
