//! The supervisor of sessions: takes links, settles double ones, tells the others who came and went. Sessions are
//! temporary children: one that dies is not restarted, its peer is dialled again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cairn_crdt::ids::DeviceId;
use cairn_crdt::netkey::KeyTag;
use cairn_crdt::network::Claim;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::discovery::DiscoveryMsg;
use crate::documents::DocumentsMsg;
use crate::limits::{BAN, CLAIMS_RATE, NEIGHBOURS_AFTER, NEIGHBOURS_AFTER_EACH, RATES_KEPT, SESSIONS_MAX};
use crate::link::Link;
use crate::presence::PresenceMsg;
use crate::proto::bucket::{Bucket, network_of};
use crate::proto::proof::{KEY_ENDED, NO_KEY};
use crate::proto::session::{Control, Neighbour};
use crate::rates::AllRates;
use crate::session::{NEWER_LINK, OTHER_LINK, Session, SessionArgs, SessionInfo, SessionMsg, our_hello};
use crate::wiring::Wiring;

/// A message to the supervisor of sessions.
#[derive(Debug)]
pub enum SessionsMsg {
    /// A link was made or taken, handshake done, and past the gate.
    Linked(LinkBox),
    /// A session got its hello.
    Greeted(SessionInfo, ActorRef<SessionMsg>),
    /// A session ended.
    Closed {
        /// Whose.
        peer: DeviceId,
        /// Which.
        serial: u64,
        /// With a goodbye.
        clean: bool,
        /// The peer has another link with us.
        replaced: bool,
    },
    /// A peer says which networks it is in.
    PeerClaims {
        /// Who.
        peer: DeviceId,
        /// On which session.
        serial: u64,
        /// Its networks, the primary first.
        claims: Vec<Claim>,
    },
    /// A peer changed its name.
    PeerNamed {
        /// Who.
        peer: DeviceId,
        /// On which session.
        serial: u64,
        /// To what.
        name: String,
    },
    /// The keys of our network that are accepted changed.
    KeysChanged,
    /// A peer has another network key, or one where we have none; whether we dialled it.
    Refused(DeviceId, bool),
    /// A peer broke the protocol.
    Misbehaved {
        /// Who.
        peer: DeviceId,
        /// How.
        why: String,
    },
    /// Sends a control frame to one peer.
    Tell(DeviceId, Control),
    /// Sends each of these its own control frame.
    TellEach(Vec<(DeviceId, Control)>),
    /// Sends a control frame to all peers.
    TellAll(Control),
    /// Closes a peer's session.
    Drop(DeviceId, String),
    /// The networks changed.
    Claims(Vec<Claim>),
    /// Documents, presence or discovery were restarted: tell them of every session again.
    Introduce,
    /// Time to tell peers of gained and lost sessions.
    TellNeighbours,
    /// Time to tell peers of our networks, which changed again soon after they were told.
    TellClaims,
    /// Kills one session, any: the hook of the supervision tests.
    KillOne,
}

/// A link in a message, and the network key that it was proved with; `None` where ours is open.
#[derive(Clone)]
pub struct LinkBox(pub Arc<dyn Link>, pub Option<KeyTag>);

impl std::fmt::Debug for LinkBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.0.peer().short())
    }
}

/// A session that was started.
struct Started {
    peer: DeviceId,
    serial: u64,
    /// What counts as one source of sessions.
    from: IpAddr,
    /// The network key that the link was proved with.
    proved: Option<KeyTag>,
    actor: ActorRef<SessionMsg>,
}

/// The supervisor of sessions.
pub struct Sessions;

/// Its state.
pub struct SessionsState {
    wiring: Arc<Wiring>,
    claims: Vec<Claim>,
    open: BTreeMap<DeviceId, (SessionInfo, ActorRef<SessionMsg>)>,
    /// Every session that was started and has not ended, greeted or not.
    started: BTreeMap<ractor::ActorId, Started>,
    rates: AllRates,
    /// How often peers are told our networks, and whether they wait to be told.
    claims_rate: Bucket,
    claims_wait: bool,
    banned: BTreeMap<DeviceId, Duration>,
    told: BTreeSet<DeviceId>,
    /// When gained and lost sessions will be told.
    telling: Option<Duration>,
    /// When sessions ended, of devices that have none.
    lost: BTreeMap<DeviceId, Duration>,
}

impl Actor for Sessions {
    type Msg = SessionsMsg;
    type State = SessionsState;
    type Arguments = (Arc<Wiring>, Vec<Claim>);

    async fn pre_start(
        &self,
        _: ActorRef<SessionsMsg>,
        (wiring, claims): Self::Arguments,
    ) -> Result<SessionsState, ActorProcessingErr> {
        let claims_rate = Bucket::new(CLAIMS_RATE.0, CLAIMS_RATE.1, wiring.env.mono());
        Ok(SessionsState {
            wiring,
            claims,
            open: BTreeMap::new(),
            started: BTreeMap::new(),
            rates: AllRates::default(),
            claims_rate,
            claims_wait: false,
            banned: BTreeMap::new(),
            told: BTreeSet::new(),
            telling: None,
            lost: BTreeMap::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<SessionsMsg>,
        msg: SessionsMsg,
        s: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            SessionsMsg::Linked(link) => s.linked(&me, link).await,
            SessionsMsg::KeysChanged => s.keys_changed(),
            SessionsMsg::Refused(peer, dialled) => {
                s.wiring.other_key(&peer, dialled);
                s.wiring.discovery.cast(DiscoveryMsg::Refused(peer));
            }
            SessionsMsg::Greeted(info, actor) => s.greeted(&me, info, actor),
            SessionsMsg::Closed { peer, serial, clean, replaced } => s.closed(&me, peer, serial, clean, replaced),
            SessionsMsg::PeerClaims { peer, serial, claims } => {
                // Kept with the hello, so that whoever is introduced again hears the latest.
                if let Some(info) = s.session(&peer, serial) {
                    info.hello.claims.clone_from(&claims);
                    s.wiring.documents.cast(DocumentsMsg::Claims { peer, claims });
                }
            }
            SessionsMsg::PeerNamed { peer, serial, name } => {
                if let Some(info) = s.session(&peer, serial) {
                    info.hello.name.clone_from(&name);
                    s.wiring.presence.cast(PresenceMsg::Named { peer, name });
                }
            }
            SessionsMsg::Misbehaved { peer, why } => s.misbehaved(peer, &why),
            SessionsMsg::Tell(peer, frame) => s.tell(&peer, frame),
            SessionsMsg::TellEach(frames) => frames.into_iter().for_each(|(peer, frame)| s.tell(&peer, frame)),
            SessionsMsg::TellAll(frame) => s.tell_all(&frame),
            SessionsMsg::Drop(peer, why) => {
                if let Some((_, actor)) = s.open.get(&peer) {
                    let _ = actor.cast(SessionMsg::Close(why));
                }
            }
            SessionsMsg::Claims(claims) => {
                if s.claims != claims {
                    s.claims = claims;
                    s.tell_claims(&me);
                }
            }
            SessionsMsg::TellClaims => {
                s.claims_wait = false;
                s.tell_claims(&me);
            }
            SessionsMsg::Introduce => s.introduce(),
            SessionsMsg::TellNeighbours => s.tell_neighbours(),
            SessionsMsg::KillOne => {
                if let Some((_, actor)) = s.open.values().next() {
                    actor.kill();
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<SessionsMsg>,
        event: SupervisionEvent,
        s: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, failed) = match event {
            SupervisionEvent::ActorTerminated(cell, _, _) => (cell, None),
            SupervisionEvent::ActorFailed(cell, why) => (cell, Some(why)),
            _ => return Ok(()),
        };
        if let Some(Started { peer, serial, .. }) = s.started.remove(&cell.get_id()) {
            if let Some(why) = failed {
                tracing::error!(peer = %peer.short(), %why, "a session failed");
            }
            // One that was killed could not say so itself. Notices like this one overtake messages: what it did say
            // comes first.
            let _ = me.cast(SessionsMsg::Closed { peer, serial, clean: false, replaced: false });
        }
        Ok(())
    }
}

impl SessionsState {
    fn session(&mut self, peer: &DeviceId, serial: u64) -> Option<&mut SessionInfo> {
        self.open.get_mut(peer).map(|(info, _)| info).filter(|info| info.serial == serial)
    }

    /// Ends the sessions that were proved with a key which does not count any more: with one that has ended, or with
    /// none where there is one now.
    fn keys_changed(&self) {
        for s in self.started.values().filter(|s| !self.wiring.accepts(s.proved)) {
            let why = if s.proved.is_some() && !self.wiring.keys().is_open() { KEY_ENDED } else { NO_KEY };
            let _ = s.actor.cast(SessionMsg::Close(why.into()));
        }
    }

    async fn linked(&mut self, me: &ActorRef<SessionsMsg>, LinkBox(link, proved): LinkBox) {
        let (peer, now) = (link.peer(), self.wiring.env.mono());
        self.banned.retain(|_, until| *until > now);
        if peer == self.wiring.me {
            link.close("this is my own key");
        } else if !self.wiring.accepts(proved) {
            // The key was changed while it was proved.
            link.close(KEY_ENDED);
        } else if self.banned.contains_key(&peer) {
            link.close("you broke the protocol; try again in a minute");
        } else if self.started.len() >= SESSIONS_MAX && !self.make_room(link.remote()) {
            link.close("too many sessions here");
        } else {
            let rates = self.rates.of(peer, now);
            let serial = self.wiring.next_serial();
            let hello = our_hello(&self.wiring, serial, self.claims.clone());
            let args = SessionArgs { wiring: self.wiring.clone(), link: link.clone(), serial, hello, rates };
            match Actor::spawn_linked(None, Session, args, me.get_cell()).await {
                Ok((actor, _)) => {
                    let from = network_of(link.remote().ip());
                    self.started.insert(actor.get_id(), Started { peer, serial, from, proved, actor });
                }
                Err(e) => {
                    tracing::error!("a session could not start: {e}");
                    link.close("internal error");
                }
            }
        }
    }

    /// Every place is taken: the address that holds most of them gives one to an address that holds fewer, so that one
    /// machine cannot keep all others out.
    fn make_room(&mut self, for_addr: SocketAddr) -> bool {
        let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for s in self.started.values() {
            *held.entry(s.from).or_default() += 1;
        }
        let own = held.get(&network_of(for_addr.ip())).copied().unwrap_or(0);
        let Some((most, n)) = held.into_iter().max_by_key(|(_, n)| *n) else { return false };
        if n <= own.saturating_add(1) {
            return false;
        }
        let youngest = self.started.iter().filter(|(_, s)| s.from == most).max_by_key(|(_, s)| s.serial);
        let Some(id) = youngest.map(|(id, _)| *id) else { return false };
        let Some(Started { peer, serial, actor, .. }) = self.started.remove(&id) else { return false };
        let _ = actor.cast(SessionMsg::Close("too many sessions from your address".into()));
        if self.open.get(&peer).is_some_and(|(info, _)| info.serial == serial) {
            self.open.remove(&peer);
            self.gone(peer, serial, true, false);
        }
        true
    }

    /// Tells every peer our networks: at once, but in a row at most as [`CLAIMS_RATE`] says.
    fn tell_claims(&mut self, me: &ActorRef<SessionsMsg>) {
        let now = self.wiring.env.mono();
        if self.claims_wait {
            return;
        }
        if self.claims_rate.take(now) {
            self.tell_all(&Control::Claims(self.claims.clone()));
        } else {
            self.claims_wait = true;
            me.send_after(self.claims_rate.ready_at(now).saturating_sub(now), || SessionsMsg::TellClaims);
        }
    }

    fn greeted(&mut self, me: &ActorRef<SessionsMsg>, mut info: SessionInfo, actor: ActorRef<SessionMsg>) {
        // Before anybody notes that it is here now.
        info.heard = self.wiring.people.record(&info.peer).and_then(|r| r.last_seen);
        info.since = self.wiring.env.now_ms();
        info.gap = self.lost.get(&info.peer).map(|at| self.wiring.env.mono().saturating_sub(*at));
        if let Some((old, old_actor)) = self.open.get(&info.peer) {
            let same_start = old.hello.incarnation == info.hello.incarnation;
            let wins = info.rank().beats(old.rank(), &self.wiring.me, &info.peer);
            if same_start && !wins {
                let _ = actor.cast(SessionMsg::Close(OTHER_LINK.into()));
                return;
            }
            let _ = old_actor.cast(SessionMsg::Close(NEWER_LINK.into()));
            let (peer, serial) = (old.peer, old.serial);
            self.gone(peer, serial, true, same_start);
        }
        let peer = info.peer;
        self.open.insert(peer, (info, actor));
        self.lost.remove(&peer);
        self.introduce_one(&peer);
        self.neighbours_soon(me, neighbours_after(self.open.len()));
        // Our claims or name may have changed while the link was being made.
        self.tell(&peer, Control::Claims(self.claims.clone()));
    }

    fn closed(&mut self, me: &ActorRef<SessionsMsg>, peer: DeviceId, serial: u64, clean: bool, replaced: bool) {
        if self.open.get(&peer).is_some_and(|(info, _)| info.serial == serial) {
            self.open.remove(&peer);
            self.gone(peer, serial, clean, replaced);
            self.neighbours_soon(me, NEIGHBOURS_AFTER.0);
        }
    }

    /// A session ended; `replaced`: a newer one with the same start of the same device is there or about to be.
    fn gone(&mut self, peer: DeviceId, serial: u64, clean: bool, replaced: bool) {
        self.lost.insert(peer, self.wiring.env.mono());
        if self.lost.len() > RATES_KEPT {
            self.lost.pop_first();
        }
        self.wiring.documents.cast(DocumentsMsg::PeerDown { peer, serial });
        self.wiring.presence.cast(PresenceMsg::PeerDown { peer, serial, replaced });
        self.wiring.discovery.cast(DiscoveryMsg::PeerDown { device: peer, missed: !clean });
    }

    fn introduce(&self) {
        for peer in self.open.keys() {
            self.introduce_one(peer);
        }
    }

    fn introduce_one(&self, peer: &DeviceId) {
        if let Some((info, _)) = self.open.get(peer) {
            self.wiring.presence.cast(PresenceMsg::PeerUp(info.clone()));
            self.wiring.documents.cast(DocumentsMsg::PeerUp(info.clone()));
            self.wiring.discovery.cast(DiscoveryMsg::PeerUp {
                device: *peer,
                addr: info.link.remote(),
                incarnation: Some(info.hello.incarnation),
            });
        }
    }

    fn misbehaved(&mut self, peer: DeviceId, why: &str) {
        let until = self.wiring.env.mono() + BAN;
        if self.banned.len() < SESSIONS_MAX * 4 && self.banned.insert(peer, until).is_none() {
            tracing::warn!(peer = %peer.short(), %why, "a peer broke the protocol");
        }
        let name = self.wiring.name_of(&peer);
        let sentence = format!("{name} sent something it may not send ({why}) and was cut off");
        self.wiring.notice_about(&peer, "peer_misbehaved", sentence);
        if let Some((_, actor)) = self.open.get(&peer) {
            let _ = actor.cast(SessionMsg::Close(why.to_owned()));
        }
    }

    fn tell(&self, peer: &DeviceId, frame: Control) {
        if let Some((_, actor)) = self.open.get(peer) {
            let _ = actor.cast(SessionMsg::Send(frame));
        }
    }

    fn tell_all(&self, frame: &Control) {
        for (_, actor) in self.open.values() {
            let _ = actor.cast(SessionMsg::Send(frame.clone()));
        }
    }

    /// What was lost does not wait for the gains that are being gathered: until others know of it they pass nothing on in
    /// its place, while an unknown gain costs no more than a frame sent twice.
    fn neighbours_soon(&mut self, me: &ActorRef<SessionsMsg>, after: Duration) {
        let due = self.wiring.env.mono().saturating_add(after);
        if self.telling.is_none_or(|at| due < at) {
            self.telling = Some(due);
            me.send_after(after, || SessionsMsg::TellNeighbours);
        }
    }

    /// Tells every peer which sessions came and went; one that is new gets them all.
    fn tell_neighbours(&mut self) {
        self.telling = None;
        let now: BTreeSet<_> = self.open.keys().copied().collect();
        let at = |d: &DeviceId| self.open.get(d).map(|(info, _)| Neighbour::new(*d, info.link.remote()));
        let up: Vec<_> = now.difference(&self.told).filter_map(at).collect();
        let down: Vec<_> = self.told.difference(&now).copied().collect();
        for (peer, (_, actor)) in &self.open {
            let known = self.told.contains(peer);
            let up = if known { up.clone() } else { now.iter().filter(|d| *d != peer).filter_map(at).collect() };
            let down = if known { down.clone() } else { Vec::new() };
            if !up.is_empty() || !down.is_empty() {
                let _ = actor.cast(SessionMsg::Send(Control::Neighbours { up, down }));
            }
        }
        self.told = now;
    }
}

/// How long gained sessions are gathered for before all of so many peers are told.
fn neighbours_after(peers: usize) -> Duration {
    let each = NEIGHBOURS_AFTER_EACH.saturating_mul(u32::try_from(peers).unwrap_or(u32::MAX));
    each.clamp(NEIGHBOURS_AFTER.0, NEIGHBOURS_AFTER.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_peers_are_told_the_longer_is_gathered() {
        let ms = [0, 1, 5, 60, 512, usize::MAX].map(|n| neighbours_after(n).as_millis());
        assert_eq!(ms, [50, 50, 50, 600, 2_000, 2_000]);
    }
}
