//! The presence actor: sends heartbeats, runs the failure detector, keeps the table of people up to date and tells
//! subscribers who came and went.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::DeviceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::api::Event;
use crate::limits::{HEARTBEAT, HEARTBEAT_SESSIONS_PER_SECOND};
use crate::proto::clock::{self, Echoes, Reading};
use crate::proto::lag::{self, Lag};
use crate::proto::presence::{Presence as Detector, Verdict};
use crate::proto::session::Control;
use crate::session::SessionInfo;
use crate::sessions::SessionsMsg;
use crate::wiring::Wiring;

/// What the round trip of a heartbeat is taken for while it is not measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(200);
/// How long a device counts as here whose link gave way to a newer one that is not open on this side yet.
const REPLACED: Duration = Duration::from_secs(1);
/// How often changed records of people are stored.
const STORE_EVERY: Duration = Duration::from_secs(10);

/// A message to the presence actor.
#[derive(Debug)]
pub enum PresenceMsg {
    /// A session opened.
    PeerUp(SessionInfo),
    /// A session closed.
    PeerDown {
        /// Whose.
        peer: DeviceId,
        /// Which.
        serial: u64,
        /// A newer one with it is there or about to be: nobody is told for a second.
        replaced: bool,
    },
    /// A heartbeat arrived.
    Heartbeat {
        /// Whose.
        peer: DeviceId,
        /// Whether its person is away.
        away: bool,
        /// Its raw clock in milliseconds since 1970.
        clock: u64,
        /// Its number.
        beat: u32,
        /// The last heartbeat of ours that came there, and how many milliseconds before.
        echo: Option<(u32, u32)>,
        /// When it came, as time since the start of this node.
        at: Duration,
    },
    /// A peer changed its name.
    Named {
        /// Who.
        peer: DeviceId,
        /// To what.
        name: String,
    },
    /// A peer asks when we heard a device.
    Probe {
        /// Who asks.
        asker: DeviceId,
        /// About whom.
        device: DeviceId,
    },
    /// A peer answers when it heard a device.
    Heard {
        /// About whom.
        device: DeviceId,
        /// How long ago, if at all.
        ago_ms: Option<u32>,
    },
    /// Look at everybody; the clock said so at that time.
    Tick(Duration),
    /// Send a heartbeat.
    Beat,
    /// Send one at once, since what it says has changed.
    SayNow,
    /// Store changed records.
    Store,
}

/// The presence actor.
pub struct Presence;

/// Its state.
pub struct PresenceState {
    wiring: Arc<Wiring>,
    detector: Detector,
    serials: BTreeMap<DeviceId, u64>,
    echoes: Echoes,
    lag: Lag,
}

impl Actor for Presence {
    type Msg = PresenceMsg;
    type State = PresenceState;
    type Arguments = Arc<Wiring>;

    async fn pre_start(
        &self,
        me: ActorRef<PresenceMsg>,
        wiring: Arc<Wiring>,
    ) -> Result<PresenceState, ActorProcessingErr> {
        let clock = wiring.clone();
        me.send_interval(lag::EVERY, move || PresenceMsg::Tick(clock.env.mono()));
        me.send_interval(STORE_EVERY, || PresenceMsg::Store);
        me.cast(PresenceMsg::Beat)?;
        Ok(PresenceState {
            wiring,
            detector: Detector::default(),
            serials: BTreeMap::new(),
            echoes: Echoes::default(),
            lag: Lag::default(),
        })
    }

    async fn post_start(&self, _: ActorRef<PresenceMsg>, s: &mut PresenceState) -> Result<(), ActorProcessingErr> {
        // After a restart: whoever was thought to be here is, only if a session says so.
        for device in s.wiring.people.here() {
            s.wiring.people.offline(device);
        }
        s.wiring.sessions.cast(SessionsMsg::Introduce);
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<PresenceMsg>,
        msg: PresenceMsg,
        s: &mut PresenceState,
    ) -> Result<(), ActorProcessingErr> {
        let now = s.wiring.env.mono();
        match msg {
            PresenceMsg::PeerUp(info) => s.up(&info, now),
            PresenceMsg::PeerDown { peer, serial, replaced: true } => {
                me.send_after(REPLACED, move || PresenceMsg::PeerDown { peer, serial, replaced: false });
            }
            PresenceMsg::PeerDown { peer, serial, replaced: false } => {
                if s.serials.get(&peer) == Some(&serial) {
                    s.down(peer);
                }
            }
            PresenceMsg::Heartbeat { peer, away, clock, beat, echo, at } => {
                s.detector.heard(&peer, now);
                s.wiring.clocks.lock().unwrap_or_else(PoisonError::into_inner).heard(peer, clock, at);
                s.measured(peer, clock, beat, echo, at);
                s.wiring.people.seen(peer, s.wiring.env.now_ms());
                if s.wiring.people.away(peer, away) {
                    s.changed(&peer);
                }
            }
            PresenceMsg::Named { peer, name } => {
                s.wiring.people.named(peer, &name, Hlc::from_ms(s.wiring.env.now_ms()));
                s.changed(&peer);
            }
            PresenceMsg::Probe { asker, device } => {
                let ago_ms = if device == s.wiring.me {
                    Some(0)
                } else {
                    s.detector.age(&device, now).map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX))
                };
                s.wiring.sessions.cast(SessionsMsg::Tell(asker, Control::Heard { device, ago_ms }));
            }
            PresenceMsg::Heard { device, ago_ms } => {
                if let Some(ms) = ago_ms {
                    let interval = s.interval();
                    s.detector.indirect(&device, Duration::from_millis(ms.into()), interval, now);
                }
            }
            PresenceMsg::Tick(given) => s.tick(given, now),
            PresenceMsg::Beat => {
                s.beat(None);
                me.send_after(s.interval(), || PresenceMsg::Beat);
            }
            PresenceMsg::SayNow => s.beat(None),
            PresenceMsg::Store => s.store(),
        }
        Ok(())
    }
}

impl PresenceState {
    fn interval(&self) -> Duration {
        let sessions = u32::try_from(self.serials.len()).unwrap_or(u32::MAX);
        HEARTBEAT.max(Duration::from_secs(1) * sessions / HEARTBEAT_SESSIONS_PER_SECOND)
    }

    fn reading(&self) -> Reading {
        Reading { mono: self.wiring.env.mono(), wall: self.wiring.env.now_ms() }
    }

    /// Sends a heartbeat to one peer or to all.
    fn beat(&mut self, only: Option<DeviceId>) {
        let away = self.wiring.away.load(Ordering::Relaxed);
        let Reading { mono, wall: clock } = self.reading();
        let beat = self.echoes.beat(mono);
        let frame =
            |peer: &DeviceId| (*peer, Control::Heartbeat { away, clock, beat, echo: self.echoes.echo(peer, mono) });
        let frames = match only {
            Some(peer) => vec![frame(&peer)],
            None => self.serials.keys().map(frame).collect(),
        };
        self.wiring.sessions.cast(SessionsMsg::TellEach(frames));
    }

    /// A heartbeat carried a clock. Whoever shares a network with us or is a verified contact has a vote.
    fn measured(&mut self, peer: DeviceId, clock: u64, beat: u32, echo: Option<(u32, u32)>, at: Duration) {
        // It may have waited here: its clock is held against ours as it was then.
        let now = self.reading();
        let waited = u64::try_from(now.mono.saturating_sub(at).as_millis()).unwrap_or(0);
        let then = Reading { mono: at, wall: now.wall.saturating_sub(waited) };
        let round_trip = self.echoes.heard(peer, beat, echo, at);
        // The first names none of ours: what the link measured must do.
        let round_trip = round_trip.unwrap_or_else(|| self.wiring.people.round_trip(&peer).max(FIRST_ROUND_TRIP));
        let votes = self.wiring.people.may_vote(&peer, &self.wiring.networks());
        let mut mesh = self.wiring.mesh.machine.lock().unwrap_or_else(PoisonError::into_inner);
        mesh.heard(peer, clock, round_trip, votes, then);
        let ahead = mesh.offset_of(&peer).map(|raw| raw.saturating_sub(mesh.offset()));
        drop(mesh);
        if ahead.is_some_and(|ms| self.wiring.people.clock(peer, ms)) {
            self.changed(&peer);
        }
    }

    fn up(&mut self, info: &SessionInfo, now: Duration) {
        let ms = self.wiring.env.now_ms();
        self.wiring.people.online(info.peer, info.link.clone(), ms);
        self.wiring.people.named(info.peer, &info.hello.name, Hlc::from_ms(ms));
        let networks: Vec<_> = info.hello.claims.iter().map(|c| c.id).collect();
        self.wiring.people.in_networks(info.peer, networks);
        if self.serials.insert(info.peer, info.serial) != Some(info.serial) {
            self.detector.up(info.peer, now);
            // It learns at once what our clock shows, before anything is stamped by a wrong one.
            self.beat(Some(info.peer));
            self.changed(&info.peer);
            self.status();
        }
    }

    fn down(&mut self, peer: DeviceId) {
        self.serials.remove(&peer);
        self.echoes.gone(&peer);
        self.detector.down(&peer);
        self.wiring.people.offline(peer);
        self.changed(&peer);
        self.status();
        self.store();
    }

    fn changed(&self, peer: &DeviceId) {
        if self.wiring.events.receiver_count() > 0
            && let Some(p) = self.wiring.people.peer(peer)
        {
            self.wiring.emit(Event::Peer(Box::new(p)));
        }
    }

    fn status(&self) {
        if self.wiring.events.receiver_count() > 0 {
            self.wiring.emit(Event::Status(Box::new(self.wiring.status())));
        }
    }

    fn tick(&mut self, given: Duration, now: Duration) {
        let lag = self.lag.tick(given, now);
        self.wiring.lag.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let reading = self.reading();
        let mut mesh = self.wiring.mesh.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let (offset, votes) = (mesh.tick(reading), mesh.votes(reading));
        drop(mesh);
        self.wiring.mesh.set(offset, votes > 0);
        self.wiring.trouble("clock", clock::sentence(offset));
        for verdict in self.detector.tick(now, self.interval(), lag) {
            match verdict {
                Verdict::Probe { suspect, ask } => {
                    for peer in ask {
                        self.wiring.sessions.cast(SessionsMsg::Tell(peer, Control::Probe(suspect)));
                    }
                }
                Verdict::Offline(peer) => {
                    self.wiring.sessions.cast(SessionsMsg::Drop(peer, "silent for too long".into()));
                    self.down(peer);
                }
            }
        }
        let cut_off = self.detector.suspects_oneself();
        let sentence = "Many went quiet at once: this laptop may have lost the network.";
        self.wiring.trouble("cut_off", cut_off.then(|| sentence.to_owned()));
    }

    fn store(&self) {
        let writes = self.wiring.people.changes();
        if !writes.is_empty()
            && let Some(c) = self.wiring.committer()
        {
            // A lost record costs a name or a time last seen; it is written again at the next change.
            c.commit(writes, Box::new(|_| ()));
        }
    }
}
