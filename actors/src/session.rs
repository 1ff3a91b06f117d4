//! One session with one peer: hello, heartbeats and the two lanes of a link. It reads the next frame only when the last
//! was taken, so a peer can fill neither a mailbox nor the disk's queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_crdt::codec::DecodeError;
use cairn_crdt::ids::DeviceId;
use cairn_crdt::sync::frame::Frame;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::discovery::DiscoveryMsg;
use crate::documents::DocumentsMsg;
use crate::gate::{is_refusal, is_renewal};
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::link::{Lane, Link, LinkError};
use crate::outbox::{Outbox, Shared};
use crate::presence::PresenceMsg;
use crate::proto::proof::OPEN_HERE;
use crate::proto::session::{Control, ControlError, Hello, LinkRank, Neighbour, VERSION};
use crate::rates::Rates;
use crate::sessions::SessionsMsg;
use crate::wiring::Wiring;

/// Frames of one peer that may be on their way through documents and the disk.
const FRAMES_IN_FLIGHT: usize = 16;
/// Control frames that may wait to be sent.
const CONTROL_QUEUE: usize = 256;

/// A message to a session.
#[derive(Debug)]
pub enum SessionMsg {
    /// Sends a control frame.
    Send(Control),
    /// Closes the link with a reason, cleanly if there is time for a goodbye.
    Close(String),
    /// A control frame arrived.
    Received(Box<Control>, OwnedSemaphorePermit),
    /// No hello came in time.
    HelloOverdue,
    /// The peer speaks another version of the protocol.
    OtherVersion(String),
    /// The peer wants to see a network key, and we have none.
    WantsKey,
    /// A frame was not what it should be: the peer broke the protocol.
    Broken(String),
    /// The link ended.
    LinkEnded(LinkError),
}

/// Why a link is closed whose place a newer one takes.
pub(crate) const NEWER_LINK: &str = "a newer link between us stays";
/// Why a link is closed that came after the one that stays.
pub(crate) const OTHER_LINK: &str = "another link between us stays";

/// A session as documents, presence and the supervisor see it.
#[derive(Clone)]
pub struct SessionInfo {
    /// Who is at the other end.
    pub peer: DeviceId,
    /// Number of this session within the node.
    pub serial: u64,
    /// What the peer said first.
    pub hello: Hello,
    /// The link.
    pub link: Arc<dyn Link>,
    /// The way out.
    pub outbox: Outbox,
    /// The spaces that the peer may speak about.
    pub shared: Arc<Shared>,
    /// When the session opened, milliseconds since 1970.
    pub since: u64,
    /// When the peer had been heard before it, milliseconds since 1970.
    pub heard: Option<u64>,
    /// How long ago the session before it ended, if there was one since this node started.
    pub gap: Option<Duration>,
}

impl SessionInfo {
    /// What both ends go by if there is another link between them.
    #[must_use]
    pub fn rank(&self) -> LinkRank {
        LinkRank { ours: self.serial, theirs: self.hello.link, dialled: self.link.dialled() }
    }
}

impl std::fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionInfo({}, {})", self.peer.short(), self.serial)
    }
}

/// The session actor.
pub struct Session;

/// What a session begins with.
pub struct SessionArgs {
    /// The node.
    pub wiring: Arc<Wiring>,
    /// The link, handshake done.
    pub link: Arc<dyn Link>,
    /// Number of this session within the node.
    pub serial: u64,
    /// Our first frame.
    pub hello: Hello,
    /// What the peer may send.
    pub rates: Rates,
}

/// Its state.
pub struct SessionState {
    wiring: Arc<Wiring>,
    link: Arc<dyn Link>,
    serial: u64,
    control: mpsc::Sender<Control>,
    outbox: Outbox,
    shared: Arc<Shared>,
    greeted: bool,
    clean: bool,
    /// The peer closed this link because it has another one with us.
    replaced: bool,
    /// Readers and writer; they end with the actor.
    tasks: JoinSet<()>,
}

impl Actor for Session {
    type Msg = SessionMsg;
    type State = SessionState;
    type Arguments = SessionArgs;

    async fn pre_start(&self, me: ActorRef<SessionMsg>, args: SessionArgs) -> Result<SessionState, ActorProcessingErr> {
        let SessionArgs { wiring, link, serial, hello, rates } = args;
        let (control, control_rx) = mpsc::channel(CONTROL_QUEUE);
        control.try_send(Control::Hello(hello))?;
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(write_control(link.clone(), control_rx));
        tasks.spawn(read_control(link.clone(), me.clone(), wiring.clone(), rates.clone()));
        let from = Reading { link: link.clone(), serial, shared: shared.clone(), rates };
        tasks.spawn(read_sync(from, me.clone(), wiring.clone()));
        let (watched, watcher) = (link.clone(), me.clone());
        tasks.spawn(async move {
            let why = watched.closed().await;
            let _ = watcher.cast(SessionMsg::LinkEnded(why));
        });
        me.send_after(HANDSHAKE_TIMEOUT, || SessionMsg::HelloOverdue);
        let outbox = Outbox::start(wiring.clone(), link.clone(), serial);
        Ok(SessionState {
            wiring,
            link,
            serial,
            control,
            outbox,
            shared,
            greeted: false,
            clean: false,
            replaced: false,
            tasks,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<SessionMsg>,
        msg: SessionMsg,
        s: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            SessionMsg::Send(frame) => {
                if s.control.try_send(frame).is_err() {
                    s.end(&me, "the peer stopped reading");
                }
            }
            SessionMsg::Close(reason) => {
                // Whoever lacks the key is not searched for; who has a newer one links again at once.
                s.clean |= is_refusal(&reason);
                s.replaced |= is_renewal(&reason);
                s.end(&me, &reason);
            }
            SessionMsg::WantsKey => {
                s.wiring.sessions.cast(SessionsMsg::Refused(s.link.peer(), s.link.dialled()));
                s.end(&me, OPEN_HERE);
            }
            SessionMsg::Received(frame, permit) => {
                s.received(&me, *frame);
                drop(permit);
            }
            SessionMsg::HelloOverdue if !s.greeted => s.end(&me, "no hello in time"),
            SessionMsg::HelloOverdue => {}
            SessionMsg::Broken(why) => {
                s.wiring.sessions.cast(SessionsMsg::Misbehaved { peer: s.link.peer(), why: why.clone() });
                s.end(&me, &why);
            }
            SessionMsg::OtherVersion(why) => {
                let peer = s.link.peer();
                let name = s.wiring.name_of(&peer);
                let sentence = format!("{name} cannot be talked to: {why}");
                s.wiring.notice_about(&peer, "other_version", sentence);
                s.end(&me, &why);
            }
            SessionMsg::LinkEnded(why) => {
                let reason = if let LinkError::Closed(reason) = &why { reason.as_str() } else { "" };
                s.clean |= matches!(why, LinkError::Closed(_)) && !is_renewal(reason);
                s.replaced = reason == NEWER_LINK || reason == OTHER_LINK || is_renewal(reason);
                if is_refusal(reason) {
                    s.wiring.sessions.cast(SessionsMsg::Refused(s.link.peer(), s.link.dialled()));
                }
                tracing::debug!(peer = %s.link.peer().short(), %why, "link ended");
                me.stop(None);
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<SessionMsg>, s: &mut SessionState) -> Result<(), ActorProcessingErr> {
        s.tasks.abort_all();
        let (peer, serial) = (s.link.peer(), s.serial);
        s.wiring.sessions.cast(SessionsMsg::Closed { peer, serial, clean: s.clean, replaced: s.replaced });
        Ok(())
    }
}

impl SessionState {
    fn end(&mut self, me: &ActorRef<SessionMsg>, reason: &str) {
        self.link.close(reason);
        me.stop(None);
    }

    fn received(&mut self, me: &ActorRef<SessionMsg>, frame: Control) {
        let peer = self.link.peer();
        match frame {
            Control::Hello(hello) if !self.greeted => {
                self.greeted = true;
                let info = SessionInfo {
                    peer,
                    serial: self.serial,
                    hello,
                    link: self.link.clone(),
                    outbox: self.outbox.clone(),
                    shared: self.shared.clone(),
                    // Its supervisor knows.
                    since: 0,
                    heard: None,
                    gap: None,
                };
                self.wiring.sessions.cast(SessionsMsg::Greeted(info, me.clone()));
            }
            _ if !self.greeted => {
                let _ = me.cast(SessionMsg::Broken("the first frame was not a hello".into()));
            }
            Control::Hello(_) => {
                let _ = me.cast(SessionMsg::Broken("a second hello".into()));
            }
            Control::Heartbeat { away, clock, beat, echo } => {
                let at = self.wiring.env.mono();
                self.wiring.presence.cast(PresenceMsg::Heartbeat { peer, away, clock, beat, echo, at });
            }
            Control::Name(name) => {
                self.wiring.sessions.cast(SessionsMsg::PeerNamed { peer, serial: self.serial, name });
            }
            Control::Claims(claims) => {
                self.wiring.sessions.cast(SessionsMsg::PeerClaims { peer, serial: self.serial, claims });
            }
            Control::Neighbours { up, down } => {
                // Peer exchange: where configured peers stand in for beacons, others are found through them.
                let others = up.iter().filter(|n| n.device != self.wiring.me).filter_map(|n| {
                    // Judged again here: the peer may say what an honest one would not.
                    Some((n.device, n.address.and_then(|a| Neighbour::new(n.device, a).address)?))
                });
                let others: Vec<_> = others.collect();
                if !others.is_empty() {
                    self.wiring.discovery.cast(DiscoveryMsg::Learned { teller: peer, others });
                }
                let up = up.into_iter().map(|n| n.device).collect();
                self.wiring.documents.cast(DocumentsMsg::Neighbours { peer, serial: self.serial, up, down });
            }
            Control::Probe(device) => {
                self.wiring.presence.cast(PresenceMsg::Probe { asker: peer, device });
            }
            Control::Heard { device, ago_ms } => {
                self.wiring.presence.cast(PresenceMsg::Heard { device, ago_ms });
            }
            Control::Goodbye => self.clean = true,
        }
    }
}

async fn write_control(link: Arc<dyn Link>, mut rx: mpsc::Receiver<Control>) {
    while let Some(frame) = rx.recv().await {
        if link.send(Lane::Control, frame.encode().into()).await.is_err() {
            return;
        }
    }
}

async fn read_control(link: Arc<dyn Link>, session: ActorRef<SessionMsg>, wiring: Arc<Wiring>, rates: Rates) {
    let window = Arc::new(Semaphore::new(FRAMES_IN_FLIGHT));
    while let Some(bytes) = next(link.as_ref(), Lane::Control, &wiring).await {
        pause(rates.control(bytes.len(), wiring.env.mono())).await;
        let Ok(permit) = window.clone().acquire_owned().await else { return };
        let frame = match Control::decode(&bytes) {
            Ok(frame) => frame,
            // Nothing after it is read.
            Err(e) => {
                let why = e.to_string();
                let _ = session.cast(match e {
                    ControlError::Version(_) => SessionMsg::OtherVersion(why),
                    ControlError::WantsKey => SessionMsg::WantsKey,
                    _ => SessionMsg::Broken(why),
                });
                return;
            }
        };
        if session.cast(SessionMsg::Received(Box::new(frame), permit)).is_err() {
            return;
        }
    }
}

/// The next frame of a lane. A broken framing is the peer's fault and said to be.
async fn next(link: &dyn Link, lane: Lane, wiring: &Wiring) -> Option<Bytes> {
    match link.recv(lane).await {
        Ok(bytes) => Some(bytes),
        Err(e) => {
            // Not through the session: the link is closed already, and the session may hear of that first.
            if matches!(e, LinkError::FrameTooLarge(_)) {
                wiring.sessions.cast(SessionsMsg::Misbehaved { peer: link.peer(), why: e.to_string() });
            }
            None
        }
    }
}

async fn pause(wait: Duration) {
    if wait > Duration::ZERO {
        tokio::time::sleep(wait).await;
    }
}

/// The sync lane of one session.
struct Reading {
    link: Arc<dyn Link>,
    serial: u64,
    shared: Arc<Shared>,
    rates: Rates,
}

async fn read_sync(from: Reading, session: ActorRef<SessionMsg>, wiring: Arc<Wiring>) {
    let Reading { link, serial, shared, rates } = from;
    let window = Arc::new(Semaphore::new(FRAMES_IN_FLIGHT));
    let peer = link.peer();
    while let Some(bytes) = next(link.as_ref(), Lane::Sync, &wiring).await {
        let Ok(permit) = window.clone().acquire_owned().await else { return };
        match decode(&bytes) {
            Ok((tag, frame)) => {
                pause(rates.sync(bytes.len(), &frame, wiring.env.mono())).await;
                if matches!(frame, Frame::Typing(_)) && !rates.typing(wiring.env.mono()) {
                    continue;
                }
                // A space that is not shared (yet): its digest comes again once it is.
                if let Some(space) = shared.space(&tag) {
                    wiring.documents.cast(DocumentsMsg::Frame { peer, serial, space, frame: Box::new(frame), permit });
                }
            }
            Err(e) => {
                let _ = session.cast(SessionMsg::Broken(format!("a frame that cannot be read: {e}")));
                return;
            }
        }
    }
}

fn decode(bytes: &[u8]) -> Result<([u8; 8], Frame), DecodeError> {
    let (tag, body) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    Ok((*tag, Frame::decode(body)?))
}

/// The hello of this node now, on the link of this number.
#[must_use]
pub fn our_hello(wiring: &Wiring, link: u64, claims: Vec<cairn_crdt::network::Claim>) -> Hello {
    Hello {
        version: VERSION,
        incarnation: wiring.incarnation,
        link,
        name: wiring.name(),
        claims,
        port: wiring.transport.port(),
    }
}
