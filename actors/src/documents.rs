//! The documents actor: owns every space of this node, admits and applies what arrives, writes what is said, and
//! answers questions about conversations and networks.
//!
//! Everything durable goes through the writer first: an entry is acknowledged, shown and passed on only after its
//! commit. The actor keeps nothing that the store and the open sessions do not know, so a restart loses nothing.

pub(crate) mod about;
mod again;
pub(crate) mod briefings;
mod bulk;
mod commits;
mod counting;
mod forks;
pub(crate) mod groups;
mod keyed;
mod liking;
mod meeting;
mod newer;
mod progress;
mod requests;
pub(crate) mod retention;
mod room;
mod sealing;
pub(crate) mod show;
mod statements;
mod trust;
mod typing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Clock;
use cairn_crdt::ids::{DeviceId, MessageId, NetworkId, SpaceId};
use cairn_crdt::network::{Claim, Networks};
use cairn_crdt::sync::Output;
use cairn_crdt::sync::frame::Frame;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;

use crate::api::Said;
use crate::freeze::Freezer;
use crate::handle::{Reply, Request};
use crate::liking::Liking;
use crate::limits::{
    ANTI_ENTROPY, BATCH_BYTES, DISK_LOOK, FETCH_TICK, FROZEN_LOOK, NETWORK_SILENCE, RETENTION_FIRST, RETENTION_TICK,
    STATEMENT_INTERVAL,
};
use crate::own::Own;
use crate::quota::Strangers;
use crate::session::SessionInfo;
use crate::sessions::SessionsMsg;
use crate::space::Space;
use crate::store::StoreError;
use crate::wiring::Wiring;
use commits::Ticket;

/// How often changed summaries of conversations are told.
const SUMMARIES: std::time::Duration = std::time::Duration::from_millis(100);

/// A message to the documents actor.
#[derive(Debug)]
pub enum DocumentsMsg {
    /// A session opened.
    PeerUp(SessionInfo),
    /// A session closed.
    PeerDown {
        /// Whose.
        peer: DeviceId,
        /// Which.
        serial: u64,
    },
    /// A frame of replication arrived.
    Frame {
        /// From whom.
        peer: DeviceId,
        /// On which session.
        serial: u64,
        /// About which space, shared on that session.
        space: SpaceId,
        /// The frame.
        frame: Box<Frame>,
        /// Held until what the frame brought is durable.
        permit: OwnedSemaphorePermit,
    },
    /// The link has taken the last batch.
    Sent {
        /// To whom.
        peer: DeviceId,
        /// On which session.
        serial: u64,
        /// Of which space.
        space: SpaceId,
    },
    /// A peer that was behind has room again.
    Drained {
        /// Who.
        peer: DeviceId,
        /// On which session.
        serial: u64,
    },
    /// A peer says which networks it is in.
    Claims {
        /// Who.
        peer: DeviceId,
        /// Its networks, the primary first.
        claims: Vec<Claim>,
    },
    /// A peer says whom it gained and lost sessions with.
    Neighbours {
        /// Who.
        peer: DeviceId,
        /// On which session.
        serial: u64,
        /// Gained.
        up: Vec<DeviceId>,
        /// Lost.
        down: Vec<DeviceId>,
    },
    /// A commit ended.
    Committed(u64, Result<(), StoreError>),
    /// Shows and sends our own entries whose commits ended by now: what the writer committed together leaves together.
    Flush,
    /// Reads a slice of what came in bulk, or of what pages wait for.
    CatchUp,
    /// Time to seal keys of a group again to whoever lacks them.
    SealAgain(SpaceId),
    /// Counts a slice of what was written, for a reunion.
    Count,
    /// A beacon of a network was heard: a fresh device joins it.
    NetworkHeard(NetworkId),
    /// The network's keys changed.
    Keyed,
    /// A fresh device has listened long enough.
    Silence,
    /// Our display name changed.
    Renamed,
    /// A command or query, with its place among those that may wait.
    Request(Box<Request>, OwnedSemaphorePermit),
    /// Time to compare digests with everybody.
    Compare,
    /// Time to look for fetches that bring nothing.
    Fetches,
    /// Time to tell peers what became durable.
    State,
    /// Time to tell subscribers of changed summaries.
    Summaries,
    /// Time to look for what is too old.
    Retention,
    /// What others may make this device keep is another share now.
    Weigh,
}

/// A connected peer.
#[derive(Debug)]
struct PeerLink {
    info: SessionInfo,
    claims: Vec<Claim>,
    /// Whom it has sessions with, and itself; one set for all whose sets are equal.
    neighbours: Arc<BTreeSet<DeviceId>>,
    /// Spaces opened with it.
    spaces: BTreeSet<SpaceId>,
    /// A frame of the direct space came: it is open there too, so that what is sent there is taken.
    opened_there: bool,
}

/// The documents actor.
pub struct Documents;

/// Its state.
pub struct DocumentsState {
    wiring: Arc<Wiring>,
    networks: Networks,
    spaces: BTreeMap<SpaceId, Space>,
    own: Own,
    peers: BTreeMap<DeviceId, PeerLink>,
    clock: Clock,
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    /// Spaces in which a commit failed, with the ticket that came next: what was handed over before and has not ended is
    /// no longer known to their replication.
    unsure: BTreeMap<SpaceId, u64>,
    /// Our own entries that are durable and not yet shown and sent, with the messages whose speakers wait.
    fresh: BTreeMap<SpaceId, Vec<(Arc<Entry>, MessageId)>>,
    flushing: bool,
    bulk: bulk::Bulk,
    progress: BTreeMap<SpaceId, progress::Progress>,
    /// What peers hold of our logs and the store does not say yet, by key.
    held: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Messages on their way to the disk, with those who wait for an answer.
    saying: BTreeMap<(SpaceId, MessageId), Vec<Reply<Said>>>,
    /// Messages that wait to be written, by when they were said.
    again: BTreeMap<u64, again::Waiting>,
    /// Rooms that were left by folding, and where what is said in them goes now.
    folded: BTreeMap<SpaceId, SpaceId>,
    /// How often this fresh device gave others time to mint a network.
    silences: u32,
    /// Who asked for conversations before this device was in a network.
    waiting: Vec<Reply<Vec<crate::api::Conversation>>>,
    /// Spaces in which a person was told that something needs a newer Cairn.
    newer_told: BTreeSet<SpaceId>,
    /// Groups whose keys are to be sealed again soon.
    sealing_soon: BTreeSet<SpaceId>,
    /// Invitations that people were told of.
    invited: BTreeSet<groups::Told>,
    /// Read marks not yet written.
    marks: BTreeMap<SpaceId, cairn_crdt::kinds::order::OrderKey>,
    /// Starts that contradict themselves, of which people are to be told.
    accused: forks::Accused,
    /// Who is writing just now.
    typing: typing::Typing,
    /// How conversations are shown that are pinned or muted.
    liking: BTreeMap<SpaceId, Liking>,
    /// Who forked, and what was taken of them lately.
    freezer: Freezer,
    /// Seconds until it is looked at again who of them is held back no longer.
    frozen_look: u32,
    /// All direct spaces that were never written to from here.
    strangers: Strangers,
    /// The disk is nearly full.
    disk_low: bool,
    /// Seconds until it is looked at again.
    disk_look: u32,
    /// Notices when sides meet again.
    briefings: briefings::Briefings,
    me: ActorRef<DocumentsMsg>,
}

impl Actor for Documents {
    type Msg = DocumentsMsg;
    type State = DocumentsState;
    type Arguments = Arc<Wiring>;

    async fn pre_start(
        &self,
        me: ActorRef<DocumentsMsg>,
        wiring: Arc<Wiring>,
    ) -> Result<DocumentsState, ActorProcessingErr> {
        let state = DocumentsState::load(wiring, me.clone())?;
        me.send_interval(STATEMENT_INTERVAL, || DocumentsMsg::State);
        me.send_interval(FETCH_TICK, || DocumentsMsg::Fetches);
        me.send_interval(SUMMARIES, || DocumentsMsg::Summaries);
        me.send_after(state.wiring.env.jittered(ANTI_ENTROPY), || DocumentsMsg::Compare);
        me.send_after(NETWORK_SILENCE, || DocumentsMsg::Silence);
        me.send_after(RETENTION_FIRST, || DocumentsMsg::Retention);
        Ok(state)
    }

    async fn post_start(&self, _: ActorRef<DocumentsMsg>, s: &mut DocumentsState) -> Result<(), ActorProcessingErr> {
        s.resume();
        s.wiring.sessions.cast(SessionsMsg::Introduce);
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<DocumentsMsg>,
        msg: DocumentsMsg,
        s: &mut DocumentsState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            DocumentsMsg::PeerUp(info) => s.peer_up(info),
            DocumentsMsg::PeerDown { peer, serial } => {
                if s.is_session(&peer, serial) {
                    s.peer_down(&peer);
                }
            }
            DocumentsMsg::Frame { peer, serial, space, frame, permit } => {
                if s.is_session(&peer, serial) {
                    s.opened_there(space, peer);
                    let Some(sp) = s.spaces.get_mut(&space) else { return Ok(()) };
                    match *frame {
                        Frame::Note(note) => s.note(peer, space, note),
                        Frame::Lost(entries) => s.given_back(space, peer, &entries),
                        Frame::Said { log, first } => s.said_again(space, peer, &log, &first),
                        Frame::Typing(on) => s.typing_heard(space, peer, on),
                        Frame::Keys { prekey, lacked } => s.keys_told(space, peer, &prekey, &lacked),
                        frame => {
                            sp.sync.received(peer, frame);
                            s.carry_out(space, Some(permit));
                        }
                    }
                }
            }
            DocumentsMsg::Sent { peer, serial, space } => {
                if s.is_session(&peer, serial)
                    && let Some(sp) = s.spaces.get_mut(&space)
                {
                    sp.sync.sent(peer);
                    s.carry_out(space, None);
                }
            }
            DocumentsMsg::Drained { peer, serial } => {
                if s.is_session(&peer, serial) {
                    s.each_space(|sp| {
                        sp.sync.drained(peer);
                        sp.ledger.compare(peer);
                    });
                }
            }
            DocumentsMsg::Claims { peer, claims } => s.claims(peer, claims),
            DocumentsMsg::Neighbours { peer, serial, up, down } => s.neighbours(peer, serial, up, &down),
            DocumentsMsg::Committed(ticket, result) => s.committed(ticket, result),
            DocumentsMsg::Flush => s.flush(),
            DocumentsMsg::CatchUp => s.catch_up(),
            DocumentsMsg::SealAgain(space) => {
                s.sealing_soon.remove(&space);
                s.seal_again(space, None);
            }
            DocumentsMsg::Count => s.count_on(),
            DocumentsMsg::NetworkHeard(id) => s.join_first(id),
            DocumentsMsg::Keyed => s.keyed(),
            DocumentsMsg::Silence => s.silence(),
            DocumentsMsg::Renamed => s.write_profiles(),
            DocumentsMsg::Request(request, place) => s.answer(*request, place),
            DocumentsMsg::Compare => {
                s.each_space(|sp| {
                    sp.sync.compare_all();
                    sp.ledger.compare_all();
                });
                s.write_statements();
                s.look_at_goings();
                for space in s.spaces.keys().copied().collect::<Vec<_>>() {
                    s.say_again(space);
                    s.seal_again(space, None);
                    s.ask_keys(space);
                }
                me.send_after(s.wiring.env.jittered(ANTI_ENTROPY), || DocumentsMsg::Compare);
            }
            DocumentsMsg::Fetches => {
                s.each_space(|sp| sp.sync.tick());
                s.tick_briefings();
                s.tell_accused();
                if s.disk_look == 0 {
                    s.look_at_disk();
                }
                s.disk_look = s.disk_look.checked_sub(1).unwrap_or(DISK_LOOK);
                if s.frozen_look == 0 {
                    s.look_at_frozen();
                }
                s.frozen_look = s.frozen_look.checked_sub(1).unwrap_or(FROZEN_LOOK);
            }
            DocumentsMsg::State => {
                let wiring = s.wiring.clone();
                s.spaces.values_mut().for_each(|sp| sp.set_reference(&wiring));
                s.make_statements();
                s.write_marks();
                s.write_held();
            }
            DocumentsMsg::Summaries => {
                s.tell_progress();
                s.forget_typing();
                s.tell_names();
                s.tell_summaries();
            }
            DocumentsMsg::Weigh => s.weigh(),
            DocumentsMsg::Retention => {
                s.retention_tick();
                s.renew_prekey();
                me.send_after(RETENTION_TICK, || DocumentsMsg::Retention);
            }
        }
        Ok(())
    }
}

impl DocumentsState {
    fn is_session(&self, peer: &DeviceId, serial: u64) -> bool {
        self.peers.get(peer).is_some_and(|p| p.info.serial == serial)
    }

    /// Does something with every space and then what they ask for.
    fn each_space(&mut self, mut what: impl FnMut(&mut Space)) {
        for id in self.spaces.keys().copied().collect::<Vec<_>>() {
            if let Some(sp) = self.spaces.get_mut(&id) {
                what(sp);
            }
            self.carry_out(id, None);
            self.carry_out_ledger(id);
        }
    }

    /// Does what a space's replication asks for, until it asks for nothing.
    fn carry_out(&mut self, space: SpaceId, permit: Option<OwnedSemaphorePermit>) {
        let mut permit = permit;
        loop {
            let Some(sp) = self.spaces.get_mut(&space) else { return };
            let outputs = sp.sync.take();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.carry_out_one(space, output, &mut permit);
            }
        }
    }

    fn carry_out_one(&mut self, space: SpaceId, output: Output, permit: &mut Option<OwnedSemaphorePermit>) {
        match output {
            Output::Send(to, frame) => {
                let batch = matches!(frame, Frame::Entries { live: false, .. });
                self.send(space, to, &frame, batch);
            }
            Output::Push(to, entries) => {
                let body = bytes::Bytes::from(Frame::Entries { live: true, entries }.encode());
                for peer in to {
                    let full = self.peers.get(&peer).is_some_and(|p| p.info.outbox.push(space, body.clone()).is_err());
                    if full && let Some(sp) = self.spaces.get_mut(&space) {
                        sp.sync.behind(peer);
                    }
                }
            }
            Output::Commit { from, live, entries } => {
                self.commit_received(space, from, live, entries, permit.take());
            }
            Output::Read { to, log, from, upto } => {
                let read = self.wiring.store.entries(&space, &log, from, BATCH_BYTES);
                let entries = match read {
                    Ok(all) => all.into_iter().map(|s| s.entry).filter(|e| e.header().seq <= upto).collect(),
                    Err(e) => {
                        self.wiring.trouble("store_read", Some(e.to_string()));
                        Vec::new()
                    }
                };
                if let Some(sp) = self.spaces.get_mut(&space) {
                    sp.sync.read(to, log, entries);
                }
            }
            Output::HeldBack(author, entries) => self.dropped(space, author, entries),
            Output::Durable(peer, logs) => self.peer_holds(space, peer, Some(&logs)),
            Output::Equal(peer) => {
                self.briefings.briefer.equal(peer, space);
                self.peer_holds(space, peer, None);
            }
            Output::Examine { from, suspect } => self.examine(space, from, suspect),
            Output::Forked { from, log, cut } => self.forked(space, from, log, cut),
            Output::Trace { to, log, from } => {
                let read = self.wiring.store.entries(&space, &log, from, BATCH_BYTES).unwrap_or_default();
                let entries: Vec<_> = read.into_iter().map(|s| s.entry).collect();
                if let Some(sp) = self.spaces.get_mut(&space) {
                    sp.sync.traced(to, log, &entries);
                }
            }
            Output::Blame(peer, why) => {
                self.wiring.sessions.cast(SessionsMsg::Misbehaved { peer, why: why.to_string() });
            }
        }
    }

    fn send(&mut self, space: SpaceId, to: DeviceId, frame: &Frame, notify: bool) {
        let Some(p) = self.peers.get(&to) else { return };
        if p.info.outbox.send(space, frame.encode().into(), notify).is_err() {
            self.wiring.sessions.cast(SessionsMsg::Drop(to, "it stopped reading".into()));
        }
    }

    /// Our own stamp for what is written now, by mesh time.
    fn stamp(&mut self) -> cairn_crdt::hlc::Hlc {
        let now = self.wiring.mesh_ms();
        if self.wiring.mesh.agreed() {
            self.clock.set_back(now);
        }
        self.clock.tick(now)
    }
}

pub use about::{Amendment, is_reaction};
pub(crate) use commits::store_error;
pub use meeting::{load_networks, spaces_of};
pub use requests::check_body;
pub(crate) use requests::{no_conversation, no_message};
pub(crate) use trust::no_peer;

/// What the networks of a store make this device claim.
#[must_use]
pub fn claims_of(store: &dyn crate::store::Store) -> Vec<Claim> {
    load_networks(store).map(|n| n.claims()).unwrap_or_default()
}
