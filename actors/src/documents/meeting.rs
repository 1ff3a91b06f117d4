//! Peers and networks: who shares which space, and what meeting somebody of another network means.

use std::collections::BTreeSet;

use cairn_crdt::author::AuthorError;
use cairn_crdt::hlc::{Clock, Hlc};
use cairn_crdt::ids::{DeviceId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::kinds::order::OrderKey;
use cairn_crdt::network::{Change, Claim, Networks, Standing};
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::again::Waiting;
use super::briefings::Briefings;
use super::commits::{After, Ticket};
use super::{DocumentsMsg, DocumentsState, PeerLink};
use crate::api::Event;
use crate::discovery::DiscoveryMsg;
use crate::freeze::Freezer;
use crate::limits::{NETWORK_SILENCE, SESSIONS_MAX, STRANGERS};
use crate::own::Own;
use crate::pen::PenError;
use crate::quota::{Strangers, is_low};
use crate::session::SessionInfo;
use crate::sessions::SessionsMsg;
use crate::space::saying::Words;
use crate::space::{GroupRow, Space, SpaceKind};
use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

const NETWORKS_KEY: &[u8] = b"networks";
/// How often a fresh device gives another time to mint a network before it does so itself.
const SILENCES: u32 = 3;

/// The networks of a store.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub fn load_networks(store: &dyn Store) -> Result<Networks, StoreError> {
    let bytes = store.get(Table::Networks, NETWORKS_KEY)?;
    Ok(bytes.and_then(|b| postcard::from_bytes(&b).ok()).unwrap_or_default())
}

/// The conversations of a store: commons of networks joined, direct spaces, and groups.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub fn spaces_of(store: &dyn Store, networks: &Networks) -> Result<Vec<(SpaceId, SpaceKind)>, StoreError> {
    let mut all: Vec<_> = networks
        .iter()
        .filter(|(_, k)| matches!(k.standing, Standing::Joined | Standing::Folded(_)))
        .map(|(id, _)| (SpaceId::commons(&id), SpaceKind::Commons(id)))
        .collect();
    for (key, value) in store.scan(Table::Meta, b"direct/")? {
        let space = key.get(7..).and_then(|k| <[u8; 32]>::try_from(k).ok());
        if let (Some(space), Ok(peer)) = (space, <[u8; 32]>::try_from(value.as_slice())) {
            all.push((SpaceId(space), SpaceKind::Direct(DeviceId(peer))));
        }
    }
    all.extend(GroupRow::all(store)?.into_iter().map(|row| (row.origin.space(), SpaceKind::Group(row.origin))));
    Ok(all)
}

impl DocumentsState {
    /// Reads everything that this actor owns.
    pub(super) fn load(wiring: Arc<Wiring>, me: ActorRef<DocumentsMsg>) -> Result<Self, StoreError> {
        let networks = load_networks(wiring.store.as_ref())?;
        let own = Own::load(&wiring.me, wiring.pen(), wiring.store.as_ref())?;
        // Before the names that others give themselves.
        own.tell(&wiring.me, &wiring.people);
        // What was sealed to this device opens with these.
        let damaged = wiring.prekeys.load(&wiring)?;
        let mut spaces = BTreeMap::new();
        let mut last = Hlc::default();
        for (id, kind) in spaces_of(wiring.store.as_ref(), &networks)? {
            let space = Space::load(id, kind, &wiring)?;
            for d in space.sync.replica().documents() {
                let own = space.sync.replica().frontier(&d).filter(|(l, _)| l.device == wiring.me);
                last = own.map(|(_, t)| t.hlc).max().unwrap_or(last).max(last);
            }
            for (device, name, at) in space.profiles() {
                wiring.people.named(device, name, at);
            }
            spaces.insert(id, space);
        }
        let (briefings, settled) = Briefings::load(&wiring)?;
        let mut this = Self {
            networks,
            spaces,
            own,
            peers: BTreeMap::new(),
            clock: Clock::after(last),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            unsure: BTreeMap::new(),
            saying: BTreeMap::new(),
            again: BTreeMap::new(),
            fresh: BTreeMap::new(),
            flushing: false,
            bulk: super::bulk::Bulk::default(),
            progress: BTreeMap::new(),
            held: BTreeMap::new(),
            folded: BTreeMap::new(),
            waiting: Vec::new(),
            silences: 0,
            newer_told: BTreeSet::new(),
            sealing_soon: BTreeSet::new(),
            invited: BTreeSet::new(),
            marks: BTreeMap::new(),
            accused: BTreeMap::new(),
            typing: super::typing::Typing::default(),
            liking: crate::liking::all(wiring.store.as_ref())?.into_iter().collect(),
            freezer: Freezer::default(),
            frozen_look: 0,
            strangers: Strangers::default(),
            disk_low: false,
            disk_look: 0,
            briefings,
            me,
            wiring,
        };
        this.commit_small(Vec::from_iter(damaged));
        this.resume_briefings(&settled);
        this.disk_low = is_low(this.wiring.store.free(), false);
        for space in this.spaces.keys().copied().collect::<Vec<_>>() {
            this.know_forks(space);
        }
        this.weigh();
        Ok(this)
    }

    /// After a start: finishes what an earlier one left undone.
    pub(super) fn resume(&mut self) {
        let folded: Vec<_> = self
            .networks
            .iter()
            .filter_map(|(id, k)| if let Standing::Folded(into) = k.standing { Some((id, into)) } else { None })
            .collect();
        for (from, into) in folded {
            self.issue_again(from, into);
        }
        self.keyed();
        self.renew_prekey();
        if let Some((prekey, true)) = self.wiring.prekeys.last() {
            self.prekeys_stored(prekey.number);
        }
        for space in self.spaces.keys().copied().collect::<Vec<_>>() {
            self.save_keys(space);
        }
        self.resume_groups();
        self.write_profiles();
        self.sign_outbox();
        self.announce();
        self.count_newer();
        self.each_dirty();
    }

    fn each_dirty(&mut self) {
        for sp in self.spaces.values_mut() {
            sp.dirty = true;
        }
    }

    /// Opens a direct space that was not there.
    pub(super) fn direct(&mut self, peer: DeviceId) -> SpaceId {
        let id = SpaceId::direct(&self.wiring.me.principal(), &peer.principal());
        self.open_space(id, SpaceKind::Direct(peer));
        id
    }

    pub(super) fn open_space(&mut self, id: SpaceId, kind: SpaceKind) {
        if !self.spaces.contains_key(&id) {
            match Space::load(id, kind, &self.wiring) {
                Ok(mut space) => {
                    space.dirty = true;
                    self.spaces.insert(id, space);
                    self.save_keys(id);
                    self.know_forks(id);
                    // Whoever is held back everywhere is here too.
                    if self.disk_low || self.freezer.holds() || self.strangers.chats >= STRANGERS {
                        self.weigh();
                    }
                }
                Err(e) => self.wiring.trouble("store_read", Some(e.to_string())),
            }
        }
    }

    pub(super) fn peer_up(&mut self, info: SessionInfo) {
        let (peer, claims) = (info.peer, info.hello.claims.clone());
        if self.is_session(&peer, info.serial) || self.peers.len() > SESSIONS_MAX {
            return;
        }
        self.peer_down(&peer);
        self.direct(peer);
        let fresh = info.clone();
        let neighbours = Arc::new(BTreeSet::from([peer]));
        let link = PeerLink { info, claims: Vec::new(), neighbours, spaces: BTreeSet::new(), opened_there: false };
        self.peers.insert(peer, link);
        self.claims(peer, claims);
        self.came_back(&fresh);
    }

    pub(super) fn peer_down(&mut self, peer: &DeviceId) {
        let Some(link) = self.peers.remove(peer) else { return };
        self.lost(peer);
        for id in link.spaces {
            self.typing_ended(id, peer);
            if let Some(sp) = self.spaces.get_mut(&id) {
                sp.sync.closed(*peer);
                sp.ledger.closed(*peer);
                sp.dirty = true;
            }
            self.carry_out(id, None);
        }
        // Nothing was ever said there: it is opened again when it is asked for. Else every passer-by would stay.
        let direct = SpaceId::direct(&self.wiring.me.principal(), &peer.principal());
        if self.spaces.get(&direct).is_some_and(|sp| !sp.registered) {
            self.spaces.remove(&direct);
        }
    }

    pub(super) fn neighbours(&mut self, peer: DeviceId, serial: u64, up: Vec<DeviceId>, down: &[DeviceId]) {
        if !self.is_session(&peer, serial) {
            return;
        }
        let Some(link) = self.peers.get(&peer) else { return };
        let mut neighbours = BTreeSet::clone(&link.neighbours);
        neighbours.extend(up);
        for d in down {
            neighbours.remove(d);
        }
        // Itself among them: where all see all, what they see is the same set, and one is kept for all.
        neighbours.insert(peer);
        while neighbours.len() > SESSIONS_MAX.saturating_add(1) {
            neighbours.pop_last();
        }
        let spaces = link.spaces.clone();
        let same = self.peers.values().map(|l| &l.neighbours).find(|n| ***n == neighbours).cloned();
        let neighbours = same.unwrap_or_else(|| Arc::new(neighbours));
        if let Some(link) = self.peers.get_mut(&peer) {
            link.neighbours = neighbours.clone();
        }
        for id in spaces {
            if let Some(sp) = self.spaces.get_mut(&id) {
                sp.sync.neighbours(peer, neighbours.clone());
                sp.ledger.neighbours(peer, neighbours.clone());
            }
        }
    }

    /// A peer says which networks it is in: learns from it, perhaps folds or asks, and shares what both are in.
    pub(super) fn claims(&mut self, peer: DeviceId, claims: Vec<Claim>) {
        let Some(link) = self.peers.get_mut(&peer) else { return };
        link.claims.clone_from(&claims);
        let networks: BTreeSet<_> = claims.iter().map(|c| c.id).collect();
        self.wiring.people.in_networks(peer, networks);
        let changes = self.networks.met(&claims);
        let folds: Vec<_> = changes
            .iter()
            .filter_map(|c| if let Change::Folded { from, into } = c { Some((*from, *into)) } else { None })
            .collect();
        if !changes.is_empty() {
            self.networks_changed();
        }
        for change in changes {
            match change {
                Change::Joined(id) => self.joined_first(id),
                Change::Ask(id) | Change::Updated(id) => self.tell_network(&id),
                Change::Folded { into, .. } => self.tell_network(&into),
            }
        }
        for (from, into) in folds {
            self.issue_again(from, into);
        }
        self.share(peer);
    }

    /// Our networks changed: keeps them, opens their rooms, tells peers and discovery.
    pub(super) fn networks_changed(&mut self) {
        self.networks_changed_then(None);
    }

    /// The same; `after` hears when they are kept.
    pub(super) fn networks_changed_then(&mut self, after: Option<After>) {
        if let Ok(bytes) = postcard::to_stdvec(&self.networks) {
            let write = Write::Put(Table::Networks, NETWORKS_KEY.to_vec(), bytes);
            self.commit(vec![write], Ticket::Small(after));
        }
        for id in self.networks.joined() {
            self.open_space(SpaceId::commons(&id), SpaceKind::Commons(id));
        }
        self.write_profiles();
        self.announce();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.share(peer);
        }
    }

    fn announce(&self) {
        let claims = self.networks.claims();
        let joined = self.networks.joined().into_iter().collect();
        *self.wiring.networks.write().unwrap_or_else(std::sync::PoisonError::into_inner) = joined;
        if let Some(primary) = claims.first() {
            self.wiring.discovery.cast(DiscoveryMsg::SetNetwork(Some((primary.id, primary.settled))));
        }
        self.wiring.sessions.cast(SessionsMsg::Claims(claims));
    }

    /// Opens the spaces that we and a peer share now, closes the others.
    pub(super) fn share(&mut self, peer: DeviceId) {
        let Some(link) = self.peers.get_mut(&peer) else { return };
        let theirs: BTreeSet<_> = link.claims.iter().map(|c| c.id).collect();
        let mut shared: BTreeSet<_> = self
            .networks
            .joined()
            .into_iter()
            .filter(|id| theirs.contains(id))
            .map(|id| SpaceId::commons(&id))
            .collect();
        shared.insert(SpaceId::direct(&self.wiring.me.principal(), &peer.principal()));
        let groups = self.spaces.values().filter(|sp| matches!(sp.kind, SpaceKind::Group(_)));
        shared.extend(groups.filter(|sp| sp.shares_with(&peer)).map(|sp| sp.id));
        let before = std::mem::replace(&mut link.spaces, shared.clone());
        link.info.shared.set(&link.info.link.exporter(), shared.iter().copied());
        let neighbours = link.neighbours.clone();
        for id in before.symmetric_difference(&shared) {
            if let Some(sp) = self.spaces.get_mut(id) {
                if shared.contains(id) {
                    sp.sync.opened(peer);
                    sp.sync.neighbours(peer, neighbours.clone());
                    sp.ledger.opened(peer);
                    sp.ledger.neighbours(peer, neighbours.clone());
                } else {
                    sp.sync.closed(peer);
                    sp.ledger.closed(peer);
                }
                sp.dirty = true;
            }
            if shared.contains(id) {
                // Before all else: what is written next is sealed to whoever is here.
                self.tell_keys(*id, peer);
            }
            self.carry_out(*id, None);
            self.carry_out_ledger(*id);
            self.give_back(*id, peer);
        }
    }

    /// A fresh device joins the network that it heard.
    pub(super) fn join_first(&mut self, id: NetworkId) {
        if self.networks.join_first(id).is_some() {
            self.joined_first(id);
        }
    }

    fn joined_first(&mut self, id: NetworkId) {
        self.networks_changed();
        self.tell_network(&id);
        self.sign_outbox();
        for reply in std::mem::take(&mut self.waiting) {
            let _ = reply.send(Ok(self.conversations()));
        }
    }

    /// A fresh device that heard of no network mints one. Where several fresh ones are connected, as when a whole LAN
    /// is switched on, only the lowest key does, so that they need not fold; the others give it time.
    pub(super) fn silence(&mut self) {
        if self.networks.primary().is_some() {
            return;
        }
        if let Some(id) = self.wiring.keys().network() {
            // All who begin with this key take the same.
            self.join_first(id);
        } else if self.peers.keys().any(|p| *p < self.wiring.me) && self.silences < SILENCES {
            self.silences += 1;
            self.me.send_after(NETWORK_SILENCE / 2, || DocumentsMsg::Silence);
        } else {
            self.join_first(NetworkId(self.wiring.env.random()));
        }
    }

    /// Messages became visible in a commons: with another's message in it, the network is settled.
    pub(super) fn settle(&mut self, space: SpaceId, shown: &[OrderKey]) {
        let Some(SpaceKind::Commons(id)) = self.spaces.get(&space).map(|sp| sp.kind) else { return };
        if shown.iter().any(|k| k.device != self.wiring.me) && self.networks.settle(&id) {
            self.networks_changed();
            self.tell_network(&id);
        }
    }

    /// Our network folded: our own messages go over under their old ids, then the old room is forgotten.
    pub(super) fn issue_again(&mut self, from: NetworkId, into: NetworkId) {
        let (old, new) = (SpaceId::commons(&from), SpaceId::commons(&into));
        self.flush();
        self.open_space(old, SpaceKind::Commons(from));
        self.open_space(new, SpaceKind::Commons(into));
        let wiring = self.wiring.clone();
        let Some(mut sp) = self.spaces.remove(&old) else { return };
        let mut at = At::After(OrderKey::MIN);
        loop {
            if let Err(e) = sp.ensure(&at, 256, &wiring) {
                wiring.trouble("store_read", Some(e.to_string()));
                return;
            }
            // What is edited goes over as it is now, what is deleted not at all.
            let page: Vec<(OrderKey, Option<Words>)> =
                sp.chat.page(&at, 256).messages.iter().map(|m| (m.key, (!m.deleted).then(|| Words::of(m)))).collect();
            let Some((last, _)) = page.last() else { break };
            at = At::After(*last);
            let ours = page.into_iter().filter(|(k, _)| k.device == wiring.me);
            for (key, words) in ours.filter_map(|(k, words)| Some((k, words?))) {
                let known =
                    self.spaces.get(&new).is_some_and(|sp| sp.chat.get(&wiring.me.principal(), &key.id).is_some());
                if !known && !self.go_over(new, key.id, words) {
                    return;
                }
            }
        }
        for to in self.folded.values_mut().filter(|to| **to == old) {
            *to = new;
        }
        // What is on its way to the disk now goes over when it is there.
        self.folded.insert(old, new);
        self.networks.forget(&from);
        if let Ok(bytes) = postcard::to_stdvec(&self.networks) {
            // Queued behind the messages that go over: the writer keeps their order.
            self.commit_small(vec![Write::Put(Table::Networks, NETWORKS_KEY.to_vec(), bytes)]);
        }
    }

    /// A message of a room that was left goes over to another under its old id. `false` if it could not be written.
    pub(super) fn go_over(&mut self, to: SpaceId, id: MessageId, words: Words) -> bool {
        let written = self.write_message(to, id, words, Vec::new());
        if let Err(e) = &written {
            self.wiring.trouble("fold", Some(format!("A message could not go over to the new network: {e}")));
        }
        written.is_ok()
    }

    /// Signs a message and sends it to the writer, or does so a little later. `also` goes into the same commit.
    pub(super) fn write_message(
        &mut self,
        space: SpaceId,
        id: MessageId,
        words: Words,
        also: Vec<Write>,
    ) -> Result<(), PenError> {
        if !self.is_unsure(space) {
            return self.write_now(space, id, words, also, 0);
        }
        let number = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.wait(number, Waiting { space, id, words, also, tries: 0 });
        Ok(())
    }

    /// The same at once. `tries`: how often it was written before.
    pub(super) fn write_now(
        &mut self,
        space: SpaceId,
        id: MessageId,
        words: Words,
        also: Vec<Write>,
        tries: u32,
    ) -> Result<(), PenError> {
        self.renew_cut_pen(space);
        self.prepare_key(space);
        let hlc = self.stamp();
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space) else {
            return Err(PenError::Author(AuthorError::UnknownKind));
        };
        let entry = sp.write_message(id, &words, hlc, &wiring)?;
        let said = [&space.0[..], &id.0].concat();
        let mut writes = Vec::from_iter(sp.with_key(&entry.header().epoch));
        writes.extend([
            Write::Append { entry: entry.clone(), received: wiring.env.now_ms() },
            Write::Put(Table::Said, said, entry.header().log.document.0.to_vec()),
        ]);
        writes.extend(self.register(space));
        writes.extend(also.iter().cloned());
        self.saying.entry((space, id)).or_default();
        self.commit(writes, Ticket::Said { entry, message: Waiting { space, id, words, also, tries } });
        Ok(())
    }

    /// Writes our name into every commons that says another.
    pub(super) fn write_profiles(&mut self) {
        let (wiring, name) = (self.wiring.clone(), self.wiring.name());
        for id in self.networks.joined() {
            let (space, hlc) = (SpaceId::commons(&id), self.stamp());
            let Some(sp) = self.spaces.get_mut(&space) else { continue };
            match sp.write_profile(&name, hlc, &wiring) {
                Ok(Some(entry)) => {
                    let writes = vec![Write::Append { entry: entry.clone(), received: wiring.env.now_ms() }];
                    let ticket = Ticket::Entries { space, from: None, live: true, entries: vec![entry], _permit: None };
                    self.commit(writes, ticket);
                }
                Ok(None) => {}
                Err(e) => wiring.trouble("profile", Some(format!("Your name could not be written: {e}"))),
            }
        }
    }

    /// Signs what was said while no node ran.
    pub(super) fn sign_outbox(&mut self) {
        let waiting = match self.wiring.store.scan(Table::Outbox, &[]) {
            Ok(waiting) => waiting,
            Err(e) => return self.wiring.trouble("store_read", Some(e.to_string())),
        };
        for (key, value) in waiting {
            let Some(intent) = crate::outbox_table::Intent::read(&value) else {
                tracing::warn!("an outbox record that cannot be read was left where it is");
                continue;
            };
            let Some(space) = self.resolve_intent(&intent) else { continue };
            if self.saying.contains_key(&(space, intent.id)) {
                continue;
            }
            let also = vec![Write::Delete(Table::Outbox, key)];
            if self.said_before(space, &intent.id) {
                self.commit_small(also);
                continue;
            }
            let mentions = self.mentioned(space, &intent.body).0;
            let words = Words { body: intent.body.into(), reply_to: intent.reply_to, mentions };
            if let Err(e) = self.write_message(space, intent.id, words, also) {
                self.wiring.trouble("outbox", Some(format!("A message that was said offline waits still: {e}")));
            }
        }
    }

    fn resolve_intent(&mut self, intent: &crate::outbox_table::Intent) -> Option<SpaceId> {
        match intent.to {
            crate::outbox_table::To::Everyone => self.networks.primary().map(|id| SpaceId::commons(&id)),
            crate::outbox_table::To::Space(id) => self.spaces.contains_key(&id).then_some(id),
            crate::outbox_table::To::Person(device) => Some(self.direct(device)),
        }
    }

    /// Whether this device said a message with this id in a space, in any start.
    pub(super) fn said_before(&self, space: SpaceId, id: &MessageId) -> bool {
        let key = [&space.0[..], &id.0].concat();
        matches!(self.wiring.store.get(Table::Said, &key), Ok(Some(_)))
    }

    pub(super) fn tell_network(&self, id: &NetworkId) {
        if let Some(n) = self.network(id) {
            self.wiring.emit(Event::Network(Box::new(n)));
        }
    }
}
