//! [`Transport`] over QUIC: one UDP port for everything that is dialled and accepted. Keys are pinned by `tls`; `conn`
//! is one connection. Handshakes, connections, windows and times are bounded by `limits`.

mod arriving;
mod conn;
mod reset;
pub mod tls;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::DeviceId;
use quinn::{ClientConfig, Connecting, Endpoint, IdleTimeout, Incoming, ServerConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use self::arriving::Arriving;
use self::conn::{QuicLink, canonical, clip, link_error};
use self::tls::Tls;
use crate::limits::{
    CONNECTION_WINDOW, HANDSHAKE_TIMEOUT, HANDSHAKES_BEFORE_RETRY, HANDSHAKES_MAX, IDLE_TIMEOUT, INITIAL_RTT,
    QUIC_PORT_COUNT, QUIC_PORT_FIRST, SESSIONS_MAX, SHUTDOWN_WAIT, STREAM_WINDOW, STREAMS_MAX,
};
use crate::link::{BoxFuture, Link, LinkError, Transport};

/// Which port to bind, and where.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuicOptions {
    /// Exactly this port, or an error.
    pub port: Option<u16>,
    /// The port of the last start: tried first when no exact one is asked for.
    pub remembered: Option<u16>,
    /// Bind 127.0.0.1 only.
    pub loopback_only: bool,
}

/// Why the endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port asked for is not free.
    #[error("UDP port {port} can't be opened: {source}")]
    Port {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No port at all.
    #[error("no UDP port can be opened: {0}")]
    Any(#[from] io::Error),
    /// The key or the crypto provider.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The QUIC endpoint of a node.
pub struct QuicTransport {
    me: DeviceId,
    endpoint: Endpoint,
    port: u16,
    tls: Tls,
    transport: Arc<TransportConfig>,
    arrived: Mutex<mpsc::Receiver<Arc<dyn Link>>>,
    acceptor: JoinHandle<()>,
    arriving: Arc<Arriving>,
}

impl std::fmt::Debug for QuicTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuicTransport({} on port {})", self.me.short(), self.port)
    }
}

impl QuicTransport {
    /// Binds the port and starts to accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError::Port`] if the port asked for is not free; else if none is.
    pub fn bind(key: &DeviceKey, options: &QuicOptions) -> Result<Self, BindError> {
        let tls = Tls::new(key)?;
        let transport = Arc::new(transport_config());
        let mut server = ServerConfig::with_crypto(Arc::new(tls.server()?));
        server
            .transport_config(transport.clone())
            .max_incoming(HANDSHAKES_MAX)
            .incoming_buffer_size(16 * 1024)
            .incoming_buffer_size_total(1024 * 1024);
        let socket = bind(options)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(reset::endpoint_config(key), Some(server), socket, runtime)?;
        let port = endpoint.local_addr()?.port();
        let (arrive, arrived) = mpsc::channel(HANDSHAKES_BEFORE_RETRY);
        let arriving = Arc::<Arriving>::default();
        let acceptor = tokio::spawn(accept_all(endpoint.clone(), arrive, arriving.clone()));
        Ok(Self { me: key.id(), endpoint, port, tls, transport, arrived: Mutex::new(arrived), acceptor, arriving })
    }

    /// Connections under way or open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    async fn dial_link(&self, to: SocketAddr, expect: Option<DeviceId>) -> Result<Arc<dyn Link>, LinkError> {
        if expect == Some(self.me) {
            return Err(LinkError::Oneself);
        }
        // Whoever is there dials us already: two links would cost both ends twice as much, and one would be closed again.
        if let Some(peer) = self.arriving.from(to).await
            && expect.is_none_or(|expected| expected == peer)
        {
            return Err(LinkError::CameFirst);
        }
        let (crypto, verdict) = self.tls.client(expect).map_err(|e| LinkError::Io(e.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.transport.clone());
        let connecting = self.endpoint.connect_with(config, to, "cairn").map_err(|e| LinkError::Io(e.to_string()))?;
        match finish_handshake(connecting, true).await {
            Err(_) if verdict.oneself() => Err(LinkError::Oneself),
            Err(_) if verdict.wrong_peer() => Err(LinkError::WrongPeer),
            other => other,
        }
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.endpoint.close(VarInt::from_u32(0), b"stopped");
    }
}

impl Transport for QuicTransport {
    fn port(&self) -> u16 {
        self.port
    }

    fn dial(&self, to: SocketAddr, expect: Option<DeviceId>) -> BoxFuture<'_, Result<Arc<dyn Link>, LinkError>> {
        Box::pin(self.dial_link(to, expect))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async { self.arrived.lock().await.recv().await })
    }

    fn network_changed(&self) {
        // The socket is bound to the wildcard (or to loopback), so addresses may come and go under it: the system
        // picks the source of every packet anew and QUIC validates the new path.
        tracing::debug!(port = self.port, "addresses changed; the QUIC socket stays");
    }

    fn shutdown(&self, reason: &str) -> BoxFuture<'_, ()> {
        let reason = clip(reason);
        Box::pin(async move {
            self.endpoint.close(VarInt::from_u32(0), reason.as_bytes());
            let _ = tokio::time::timeout(SHUTDOWN_WAIT, self.endpoint.wait_idle()).await;
        })
    }
}

/// Takes every incoming handshake within bounds and hands the finished links on.
async fn accept_all(endpoint: Endpoint, arrive: mpsc::Sender<Arc<dyn Link>>, arriving: Arc<Arriving>) {
    let under_way = Arc::new(AtomicUsize::new(0));
    while let Some(incoming) = endpoint.accept().await {
        let now = under_way.load(Ordering::Relaxed);
        if now >= HANDSHAKES_MAX || endpoint.open_connections() >= SESSIONS_MAX.saturating_add(HANDSHAKES_MAX) {
            incoming.refuse();
            continue;
        }
        if now >= HANDSHAKES_BEFORE_RETRY && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let under_way = Underway::begin(&under_way);
        let arrive = arrive.clone();
        let from = canonical(incoming.remote_address());
        let arrival = arriving.begin(from);
        tokio::spawn(async move {
            match take(incoming).await {
                Ok(link) => {
                    arrival.ended(link.peer());
                    drop(arrive.send(link).await);
                }
                Err(error) => tracing::debug!(%from, %error, "no link came of a handshake"),
            }
            drop(under_way);
        });
    }
}

/// Counts a handshake for as long as it lives.
struct Underway(Arc<AtomicUsize>);

impl Underway {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn take(incoming: Incoming) -> Result<Arc<dyn Link>, LinkError> {
    let connecting = incoming.accept().map_err(|e| link_error(e, None))?;
    finish_handshake(connecting, false).await
}

async fn finish_handshake(connecting: Connecting, dialled: bool) -> Result<Arc<dyn Link>, LinkError> {
    let conn = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| LinkError::TimedOut)?
        .map_err(|e| link_error(e, None))?;
    Ok(Arc::new(QuicLink::new(conn, dialled)?))
}

/// Windows, times and stream counts of every connection.
fn transport_config() -> TransportConfig {
    let mut t = TransportConfig::default();
    let idle_ms = u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    t.max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
        .keep_alive_interval(None)
        .initial_rtt(INITIAL_RTT)
        .datagram_receive_buffer_size(None);
    t
}

fn bind(options: &QuicOptions) -> Result<std::net::UdpSocket, BindError> {
    if let Some(port) = options.port {
        return bind_port(port, options.loopback_only).map_err(|source| BindError::Port { port, source });
    }
    let usual = (0..QUIC_PORT_COUNT).map(|n| QUIC_PORT_FIRST.saturating_add(n));
    let mut tries = options.remembered.into_iter().chain(usual);
    let free = tries.find_map(|port| bind_port(port, options.loopback_only).ok());
    free.map_or_else(|| Ok(bind_port(0, options.loopback_only)?), Ok)
}

/// Binds a port on every address of both families, else of IPv4.
fn bind_port(port: u16, loopback_only: bool) -> io::Result<std::net::UdpSocket> {
    if loopback_only {
        return open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        Err(e) if e.kind() != io::ErrorKind::AddrInUse => open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        bound_or_taken => bound_or_taken,
    }
}

fn open(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&addr.into())?;
    // Best effort: room for a burst from many peers while this process waits for its turn on the processor.
    for size in [1 << 21, 1 << 19] {
        let _ = socket.set_send_buffer_size(size);
        if socket.set_recv_buffer_size(size).is_ok() {
            break;
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
