//! One QUIC connection as a [`Link`]: each direction of each lane is one unidirectional stream, opened with its first
//! frame; the stream's first byte names the lane, frames follow with a big-endian u32 length each.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cairn_crdt::ids::DeviceId;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::{Mutex, oneshot};

use crate::limits::FRAME_MAX;
use crate::link::{BoxFuture, Lane, Link, LinkError};

/// Longest reason of a close that is sent or believed, in bytes.
const REASON_MAX: usize = 200;
/// A frame up to this size is copied out of the datagram it came in, so that it does not keep 64 KiB alive.
const COPY_MAX: usize = 16 * 1024;
/// Application error codes of a close; the reason is what counts.
const CODE_CLOSED: VarInt = VarInt::from_u32(0);
const CODE_PROTOCOL: VarInt = VarInt::from_u32(1);

/// The lanes in the order of their bytes on the wire.
const LANES: [Lane; 2] = [Lane::Control, Lane::Sync];

fn lane_byte(lane: Lane) -> u8 {
    match lane {
        Lane::Control => 0,
        Lane::Sync => 1,
    }
}

/// One direction out: the stream once it is open, and what of the last frame is not written yet.
#[derive(Default)]
struct LaneOut {
    stream: Option<SendStream>,
    rest: Vec<Bytes>,
}

/// One direction in.
enum LaneIn {
    Waiting(oneshot::Receiver<RecvStream>),
    Open { stream: RecvStream, chunk: Bytes, frame: Option<(usize, BytesMut)>, head: BytesMut },
    Broken(LinkError),
}

/// A connection over QUIC.
pub struct QuicLink {
    conn: Connection,
    peer: DeviceId,
    dialled: bool,
    exporter: [u8; 32],
    closed_here: Arc<OnceLock<String>>,
    out: [Mutex<LaneOut>; 2],
    inn: [Mutex<LaneIn>; 2],
}

impl std::fmt::Debug for QuicLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuicLink({} at {})", self.peer.short(), self.remote())
    }
}

impl QuicLink {
    /// Takes a connection whose handshake is done.
    ///
    /// # Errors
    /// [`LinkError::Io`] if the connection shows no raw key or exports no secret.
    pub(super) fn new(conn: Connection, dialled: bool) -> Result<Self, LinkError> {
        let peer = peer_of(&conn).ok_or_else(|| LinkError::Io("the handshake shows no key".into()))?;
        let mut exporter = [0; 32];
        conn.export_keying_material(&mut exporter, b"EXPORTER-cairn-link", b"")
            .map_err(|_| LinkError::Io("the handshake exports no secret".into()))?;
        let (control, control_in) = oneshot::channel();
        let (sync, sync_in) = oneshot::channel();
        tokio::spawn(take_streams(conn.clone(), [Some(control), Some(sync)]));
        let inn = [Mutex::new(LaneIn::Waiting(control_in)), Mutex::new(LaneIn::Waiting(sync_in))];
        Ok(Self { conn, peer, dialled, exporter, closed_here: Arc::default(), out: Default::default(), inn })
    }

    fn out(&self, lane: Lane) -> &Mutex<LaneOut> {
        let [control, sync] = &self.out;
        match lane {
            Lane::Control => control,
            Lane::Sync => sync,
        }
    }

    fn inn(&self, lane: Lane) -> &Mutex<LaneIn> {
        let [control, sync] = &self.inn;
        match lane {
            Lane::Control => control,
            Lane::Sync => sync,
        }
    }

    /// Why the connection ended, as a person would say it.
    fn ended(&self, error: ConnectionError) -> LinkError {
        link_error(error, self.closed_here.get())
    }

    /// Why it ended, if it has; `what` otherwise.
    fn ended_or(&self, what: &str) -> LinkError {
        self.conn.close_reason().map_or_else(|| LinkError::Closed(what.to_owned()), |e| self.ended(e))
    }

    async fn send_frame(&self, lane: Lane, frame: Bytes) -> Result<(), LinkError> {
        let size = frame.len();
        let length = u32::try_from(size).ok().filter(|_| size <= FRAME_MAX).ok_or(LinkError::FrameTooLarge(size))?;
        let mut out = self.out(lane).lock().await;
        let LaneOut { stream, rest } = &mut *out;
        let mut head = BytesMut::with_capacity(5);
        if stream.is_none() {
            *stream = Some(self.conn.open_uni().await.map_err(|e| self.ended(e))?);
            head.put_u8(lane_byte(lane));
        }
        let Some(stream) = stream.as_mut() else { return Err(LinkError::Closed("the lane is closed".into())) };
        head.put_u32(length);
        // What a dropped call left unwritten goes first, so that a frame is sent whole or not at all.
        rest.push(head.freeze());
        rest.push(frame);
        while !rest.is_empty() {
            let written = stream.write_chunks(rest).await.map_err(|e| match e {
                WriteError::ConnectionLost(e) => self.ended(e),
                _ => self.ended_or("the peer stopped reading"),
            })?;
            rest.drain(..written.chunks);
        }
        Ok(())
    }

    async fn recv_frame(&self, lane: Lane) -> Result<Bytes, LinkError> {
        let mut inn = self.inn(lane).lock().await;
        if let LaneIn::Waiting(coming) = &mut *inn {
            let stream = coming.await;
            *inn = match stream {
                Ok(stream) => LaneIn::Open { stream, chunk: Bytes::new(), frame: None, head: BytesMut::new() },
                Err(_) => LaneIn::Broken(self.ended_or("the link has ended")),
            };
        }
        let result = match &mut *inn {
            LaneIn::Open { stream, chunk, frame, head } => next_frame(stream, chunk, frame, head).await,
            LaneIn::Broken(error) => return Err(error.clone()),
            LaneIn::Waiting(_) => return Err(LinkError::Closed("the link has ended".into())),
        };
        result.map_err(|fault| {
            let error = match fault {
                Fault::Lost(e) => self.ended(e),
                Fault::Finished => self.ended_or("the peer closed the lane"),
                Fault::TooLarge(n) => {
                    self.conn.close(CODE_PROTOCOL, b"a frame is larger than allowed");
                    LinkError::FrameTooLarge(n)
                }
            };
            *inn = LaneIn::Broken(error.clone());
            error
        })
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        self.conn.close(CODE_CLOSED, b"the link was dropped");
    }
}

impl Link for QuicLink {
    fn peer(&self) -> DeviceId {
        self.peer
    }

    fn dialled(&self) -> bool {
        self.dialled
    }

    fn remote(&self) -> SocketAddr {
        canonical(self.conn.remote_address())
    }

    fn exporter(&self) -> [u8; 32] {
        self.exporter
    }

    fn rtt(&self) -> Duration {
        self.conn.rtt()
    }

    fn send(&self, lane: Lane, frame: Bytes) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.send_frame(lane, frame))
    }

    fn recv(&self, lane: Lane) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(self.recv_frame(lane))
    }

    fn close(&self, reason: &str) {
        let reason = clip(reason);
        let _ = self.closed_here.set(reason.clone());
        self.conn.close(CODE_CLOSED, reason.as_bytes());
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(async { self.ended(self.conn.closed().await) })
    }
}

/// Why no further frame comes.
enum Fault {
    Lost(ConnectionError),
    Finished,
    TooLarge(usize),
}

/// Reads one frame. What is read so far stays in the arguments, so that a dropped call loses nothing.
async fn next_frame(
    stream: &mut RecvStream,
    chunk: &mut Bytes,
    frame: &mut Option<(usize, BytesMut)>,
    head: &mut BytesMut,
) -> Result<Bytes, Fault> {
    loop {
        if frame.is_none() {
            head.extend_from_slice(&chunk.split_to(chunk.len().min(4usize.saturating_sub(head.len()))));
            if head.len() == 4 {
                let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
                head.clear();
                if length > FRAME_MAX {
                    return Err(Fault::TooLarge(length));
                }
                if chunk.len() >= length {
                    let whole = chunk.split_to(length);
                    return Ok(if length <= COPY_MAX { Bytes::copy_from_slice(&whole) } else { whole });
                }
                *frame = Some((length, BytesMut::with_capacity(length.min(COPY_MAX))));
            }
        }
        if let Some((length, data)) = frame {
            // Memory follows the bytes that arrive, not the length that was claimed.
            data.extend_from_slice(&chunk.split_to(chunk.len().min(length.saturating_sub(data.len()))));
            if data.len() == *length {
                let whole = std::mem::take(data).freeze();
                *frame = None;
                return Ok(whole);
            }
        }
        match stream.read_chunk(usize::MAX, true).await {
            Ok(Some(next)) => *chunk = next.bytes,
            Err(ReadError::ConnectionLost(e)) => return Err(Fault::Lost(e)),
            Ok(None) | Err(_) => return Err(Fault::Finished),
        }
    }
}

/// Hands each stream that the peer opens to its lane. A second stream for a lane or an unknown lane ends the link.
async fn take_streams(conn: Connection, lanes: [Option<oneshot::Sender<RecvStream>>; 2]) {
    let lanes = Arc::new(std::sync::Mutex::new(lanes));
    while let Ok(mut stream) = conn.accept_uni().await {
        let (conn, lanes) = (conn.clone(), lanes.clone());
        tokio::spawn(async move {
            let mut first = [0u8; 1];
            if stream.read_exact(&mut first).await.is_err() {
                return;
            }
            let lane = LANES.iter().position(|&l| [lane_byte(l)] == first);
            let slot = lane.and_then(|at| lanes.lock().ok()?.get_mut(at)?.take());
            match slot {
                Some(slot) => drop(slot.send(stream)),
                None => conn.close(CODE_PROTOCOL, b"an unknown or repeated lane"),
            }
        });
    }
}

/// The key that the handshake proved.
fn peer_of(conn: &Connection) -> Option<DeviceId> {
    let identity = conn.peer_identity()?.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok()?;
    super::tls::device_of_spki(identity.first()?)
}

/// Why a connection ended; `here` is the reason of our own close.
pub(super) fn link_error(error: ConnectionError, here: Option<&String>) -> LinkError {
    match error {
        ConnectionError::ApplicationClosed(close) => LinkError::Closed(believable(&close.reason)),
        ConnectionError::ConnectionClosed(close) => LinkError::Closed(match believable(&close.reason) {
            reason if reason.is_empty() => close.error_code.to_string(),
            reason => reason,
        }),
        ConnectionError::TimedOut => LinkError::TimedOut,
        ConnectionError::Reset => LinkError::Closed("the peer started anew".into()),
        ConnectionError::LocallyClosed => {
            LinkError::Closed(here.map_or_else(|| "closed on this side".to_owned(), Clone::clone))
        }
        other => LinkError::Io(other.to_string()),
    }
}

/// A peer's reason, fit to be logged and shown.
fn believable(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason.get(..reason.len().min(REASON_MAX)).unwrap_or_default());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Our own reason, cut at a character.
pub(super) fn clip(reason: &str) -> String {
    reason.get(..reason.floor_char_boundary(REASON_MAX)).unwrap_or_default().to_owned()
}

/// IPv4 in its own form, as a dual-stack socket doesn't give it.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match (addr, addr.ip().to_canonical()) {
        (SocketAddr::V6(v6), IpAddr::V4(v4)) => SocketAddr::from((v4, v6.port())),
        _ => addr,
    }
}
