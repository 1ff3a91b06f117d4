//! One connection over the switch, seen from both ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_crdt::ids::{DeviceId, domain_hash};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Instance, Net, lock};
use crate::limits::{FRAME_MAX, IDLE_TIMEOUT, STREAM_WINDOW};
use crate::link::{BoxFuture, Lane, Link, LinkError};

/// First wait of QUIC before it sends a lost packet again on a LAN; it doubles, and heartbeats cap it at a second.
const FIRST_PROBE: Duration = Duration::from_millis(50);
const LAST_PROBE: Duration = Duration::from_secs(1);

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// Who is at an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party {
    pub(super) addr: SocketAddr,
    pub(super) instance: Instance,
    pub(super) device: DeviceId,
}

/// Frames towards one end on one lane. `None`: lost in a partition, sent again once it heals.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(Option<Instant>, Bytes)>,
    bytes: usize,
}

#[derive(Debug)]
struct End {
    lanes: [Queue; 2],
    idle_from: Instant,
    sent_unheard: bool,
    ended: Option<(Instant, LinkError)>,
}

impl End {
    fn new(now: Instant) -> Self {
        Self { lanes: Default::default(), idle_from: now, sent_unheard: false, ended: None }
    }

    fn lane(&mut self, lane: Lane) -> &mut Queue {
        let [control, sync] = &mut self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Sync => sync,
        }
    }

    fn heard(&mut self, at: Instant) {
        self.idle_from = self.idle_from.max(at);
        self.sent_unheard = false;
    }

    /// Why this end is over at `now`, if it is; the idle timeout counts here.
    fn over(&mut self, now: Instant) -> Option<LinkError> {
        if self.ended.is_none() && now >= self.idle_from + IDLE_TIMEOUT {
            self.ended = Some((now, LinkError::TimedOut));
        }
        self.ended.as_ref().filter(|(at, _)| *at <= now).map(|(_, e)| e.clone())
    }

    fn end(&mut self, at: Instant, error: LinkError) {
        if self.ended.as_ref().is_none_or(|(t, _)| *t > at) {
            self.ended = Some((at, error));
        }
    }

    /// When this end has to look again if nothing else happens.
    fn deadline(&self) -> Instant {
        self.ended.as_ref().map_or(self.idle_from + IDLE_TIMEOUT, |(at, _)| *at)
    }
}

struct State {
    down_since: Option<Instant>,
    dialler: End,
    acceptor: End,
}

impl State {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}

/// A connection.
pub(super) struct Wire {
    net: Arc<Mutex<Net>>,
    parties: [Party; 2],
    exporter: [u8; 32],
    state: Mutex<State>,
    changed: [Notify; 2],
}

impl Wire {
    pub(super) fn new(net: Arc<Mutex<Net>>, number: u64, dialler: Party, acceptor: Party) -> Arc<Self> {
        let now = Instant::now();
        let exporter =
            domain_hash("cairn 2026 memory link", &[&number.to_be_bytes(), &dialler.device.0, &acceptor.device.0]);
        let state = State { down_since: None, dialler: End::new(now), acceptor: End::new(now) };
        Arc::new(Self {
            net,
            parties: [dialler, acceptor],
            exporter,
            state: Mutex::new(state),
            changed: [Notify::new(), Notify::new()],
        })
    }

    pub(super) fn ends(&self) -> [(SocketAddr, Instance); 2] {
        self.parties.map(|p| (p.addr, p.instance))
    }

    fn party(&self, side: Side) -> Party {
        let [dialler, acceptor] = self.parties;
        match side {
            Side::Dialler => dialler,
            Side::Acceptor => acceptor,
        }
    }

    fn changed(&self, side: Side) -> &Notify {
        let [dialler, acceptor] = &self.changed;
        match side {
            Side::Dialler => dialler,
            Side::Acceptor => acceptor,
        }
    }

    fn tell_both(&self) {
        self.changed.iter().for_each(Notify::notify_waiters);
    }

    /// The path came or went. What was under way when it went is lost, and sent again by the first probe after it is
    /// back, as QUIC's probes double.
    pub(super) fn set_path(&self, up: bool, now: Instant) {
        let mut state = lock(&self.state);
        match (up, state.down_since) {
            (false, None) => {
                state.down_since = Some(now);
                for side in [Side::Dialler, Side::Acceptor] {
                    let end = state.end(side);
                    end.idle_from = end.idle_from.min(now);
                    if end.ended.as_ref().is_some_and(|(at, _)| *at > now) {
                        end.ended = None;
                    }
                    let late = end.lanes.iter_mut().flat_map(|q| &mut q.frames);
                    late.filter(|(at, _)| at.is_some_and(|t| t > now)).for_each(|(at, _)| *at = None);
                }
            }
            (true, Some(since)) => {
                state.down_since = None;
                let (mut probe, mut wait) = (since, FIRST_PROBE);
                while probe <= now {
                    probe += wait;
                    wait = wait.saturating_mul(2).min(LAST_PROBE);
                }
                for side in [Side::Dialler, Side::Acceptor] {
                    let peer_over = state.end(side.other()).over(now).is_some();
                    let end = state.end(side);
                    let over = end.over(now).is_some();
                    let lost = end.lanes.iter_mut().flat_map(|q| &mut q.frames).filter(|(at, _)| at.is_none());
                    let again = lost.map(|(at, _)| *at = Some(probe)).count();
                    if again > 0 && !peer_over && !over {
                        end.heard(probe);
                        state.end(side.other()).heard(probe);
                    }
                }
            }
            _ => {}
        }
        drop(state);
        self.tell_both();
    }

    /// Takes a frame if the window has room.
    fn try_send(&self, from: Side, lane: Lane, frame: &Bytes) -> Result<bool, LinkError> {
        let delay = lock(&self.net).delay();
        let now = Instant::now();
        let mut state = lock(&self.state);
        if let Some(error) = state.end(from).over(now) {
            return Err(error);
        }
        let up = state.down_since.is_none();
        let peer_over = state.end(from.other()).over(now).is_some();
        let queue = state.end(from.other()).lane(lane);
        let full = queue.bytes.saturating_add(frame.len()) > usize::try_from(STREAM_WINDOW).unwrap_or(usize::MAX);
        if full && !queue.frames.is_empty() {
            return Ok(false);
        }
        let after = queue.frames.back().and_then(|(at, _)| *at).unwrap_or(now);
        queue.frames.push_back((up.then(|| after.max(now + delay)), frame.clone()));
        queue.bytes = queue.bytes.saturating_add(frame.len());
        if up && peer_over {
            // The other end has forgotten this connection and says so to any packet of it.
            let reset = LinkError::Closed("the peer started anew".into());
            state.end(from).end(now + delay + delay, reset);
        } else if up {
            state.end(from.other()).heard(now + delay);
            state.end(from).heard(now + delay + delay);
        } else if !state.end(from).sent_unheard {
            let end = state.end(from);
            (end.idle_from, end.sent_unheard) = (now, true);
        }
        drop(state);
        let mut net = lock(&self.net);
        if let Some(heard) = &mut net.heard {
            heard.push(frame.clone());
        }
        let traffic = &mut net.traffic;
        traffic.frames = traffic.frames.saturating_add(1);
        traffic.bytes = traffic.bytes.saturating_add(frame.len() as u64);
        drop(net);
        self.tell_both();
        Ok(true)
    }

    /// The next frame, or when to look again.
    fn try_recv(&self, side: Side, lane: Lane) -> Result<Result<Bytes, Instant>, LinkError> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let end = state.end(side);
        let over = end.over(now);
        let until = end.deadline();
        let queue = end.lane(lane);
        let due = queue.frames.front().and_then(|(at, _)| *at);
        if due.is_some_and(|at| at <= now)
            && !matches!(over, Some(LinkError::TimedOut))
            && let Some((_, frame)) = queue.frames.pop_front()
        {
            queue.bytes = queue.bytes.saturating_sub(frame.len());
            drop(state);
            self.changed(side.other()).notify_waiters();
            return Ok(Ok(frame));
        }
        match over {
            Some(error) => Err(error),
            None => Ok(Err(due.map_or(until, |at| at.min(until)))),
        }
    }

    fn close(&self, side: Side, error: LinkError) {
        let delay = lock(&self.net).delay();
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.end(side).over(now).is_some() {
            return;
        }
        let up = state.down_since.is_none();
        let peer = state.end(side.other());
        let last = peer.lanes.iter().filter_map(|q| q.frames.back().and_then(|(at, _)| *at)).max();
        if up {
            peer.end(last.unwrap_or(now).max(now + delay), error.clone());
        }
        let end = state.end(side);
        end.end(now, error);
        end.lanes = Default::default();
        drop(state);
        self.tell_both();
    }
}

/// One end of a wire.
pub(super) struct MemoryLink {
    wire: Arc<Wire>,
    side: Side,
}

impl MemoryLink {
    pub(super) fn pair(wire: Arc<Wire>) -> (Self, Self) {
        (Self { wire: wire.clone(), side: Side::Dialler }, Self { wire, side: Side::Acceptor })
    }

    /// Waits for `check` to give something: it is asked again after every change and at the time it names.
    async fn wait<T>(
        &self,
        mut check: impl FnMut() -> Result<Result<T, Instant>, LinkError> + Send,
    ) -> Result<T, LinkError> {
        loop {
            let mut changed = std::pin::pin!(self.wire.changed(self.side).notified());
            changed.as_mut().enable();
            match check()? {
                Ok(done) => return Ok(done),
                Err(until) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    fn deadline(&self) -> Instant {
        lock(&self.wire.state).end(self.side).deadline()
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.wire.close(self.side, LinkError::Closed("the link was dropped".into()));
    }
}

impl Link for MemoryLink {
    fn peer(&self) -> DeviceId {
        self.wire.party(self.side.other()).device
    }

    fn dialled(&self) -> bool {
        self.side == Side::Dialler
    }

    fn remote(&self) -> SocketAddr {
        self.wire.party(self.side.other()).addr
    }

    fn exporter(&self) -> [u8; 32] {
        self.wire.exporter
    }

    fn rtt(&self) -> Duration {
        let net = lock(&self.wire.net);
        net.latency.saturating_mul(2).saturating_add(net.jitter)
    }

    fn send(&self, lane: Lane, frame: Bytes) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            if frame.len() > FRAME_MAX {
                return Err(LinkError::FrameTooLarge(frame.len()));
            }
            self.wait(|| match self.wire.try_send(self.side, lane, &frame)? {
                true => Ok(Ok(())),
                false => Ok(Err(self.deadline())),
            })
            .await
        })
    }

    fn recv(&self, lane: Lane) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        Box::pin(self.wait(move || self.wire.try_recv(self.side, lane)))
    }

    fn close(&self, reason: &str) {
        self.wire.close(self.side, LinkError::Closed(reason.to_owned()));
    }

    fn closed(&self) -> BoxFuture<'_, LinkError> {
        Box::pin(async {
            let ended = self.wait(|| {
                let mut state = lock(&self.wire.state);
                let end = state.end(self.side);
                match end.over(Instant::now()) {
                    Some(error) => Ok(Ok(error)),
                    None => Ok(Err(end.deadline())),
                }
            });
            ended.await.unwrap_or_else(|error| error)
        })
    }
}
