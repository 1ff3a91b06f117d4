//! The devices this node knows: names, badges, when and where each was last here.
//!
//! One table behind one lock, held for the length of a look-up. Presence and documents write it; everybody reads.
//! Records go to the store lazily: a lost one costs a name or a time last seen, nothing that was promised. Who took whose
//! name is stored with the name that was taken, in one commit: where both are lost, it is found out again.

mod alike;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, NetworkId, SpaceId};
use serde::{Deserialize, Serialize};

use crate::api::{Badge, Peer, PeerState, Warning, told_apart};
use crate::link::Link;
use crate::proto::clock;
use crate::proto::session::{MAX_CLAIMS, clean_name};
use crate::store::{Store, StoreError, Table, Write};
use alike::{Names, Taken};

/// Devices remembered.
pub const MAX_PEOPLE: usize = 20_000;
/// Addresses remembered of a device.
const MAX_ADDRESSES: usize = 4;
/// When a device was last heard is stored this often, in milliseconds, and when it goes.
const SEEN_KEPT_MS: u64 = 60_000;
/// A device counts as a member of an open network for a day after it was last seen, in milliseconds.
pub const MEMBER_FOR_MS: u64 = 24 * 3600 * 1000;

/// What is stored of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it calls itself; empty while unknown.
    pub name: String,
    /// When it said so.
    pub named: Hlc,
    /// What the person here calls it.
    pub petname: Option<String>,
    /// Safety number compared in person.
    pub verified: bool,
    /// When it was last here, milliseconds since 1970.
    pub last_seen: Option<u64>,
    /// Where, newest first.
    pub addresses: Vec<SocketAddr>,
    /// The networks it was in.
    pub networks: BTreeSet<NetworkId>,
}

impl Record {
    /// Petname, else its own name.
    fn shown(&self) -> Option<String> {
        self.petname.clone().or_else(|| (!self.name.is_empty()).then(|| self.name.clone()))
    }

    /// Whether the person here has said who it is.
    fn trusted(&self) -> bool {
        self.verified || self.petname.is_some()
    }
}

#[derive(Debug, Default)]
struct Person {
    record: Record,
    /// Known from an earlier start.
    before: bool,
    /// When it was last heard as far as the store knows.
    kept_seen: u64,
    state: Option<Online>,
}

struct Online {
    link: Arc<dyn Link>,
    away: bool,
    /// How far its clock is ahead of mesh time, in milliseconds.
    clock: Option<i64>,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Online({}, away {})", self.link.remote(), self.away)
    }
}

#[derive(Debug, Default)]
struct Inner {
    all: BTreeMap<DeviceId, Person>,
    dirty: BTreeSet<DeviceId>,
    names: Names,
    taken: Taken,
    news: News,
}

/// What is to be told of names.
#[derive(Debug, Default)]
pub struct News {
    /// Who is shown in another way, because of what others are called.
    pub touched: BTreeSet<DeviceId>,
    /// Who took a name, and has not been told of yet.
    pub took: BTreeSet<DeviceId>,
}

impl Inner {
    /// A device may bear other names than before, or be trusted more or less; `named`: it gave itself a name just now.
    fn renamed(&mut self, me: &DeviceId, device: DeviceId, named: bool) {
        let Some(person) = self.all.get(&device) else { return };
        let trusted = person.record.trusted();
        let touched = self.names.set(device, &person.record);
        self.news.touched.extend(touched);
        // Who is trusted took nobody's name. Else a name is taken when it is given, not by being there.
        let whose = if trusted { None } else { self.taken_from(me, &device) };
        let news =
            if named || trusted || self.taken.from(&device).is_none() { self.taken.set(device, whose) } else { false };
        if news {
            self.news.touched.insert(device);
            if named && whose.is_some() {
                self.news.took.insert(device);
            }
        }
    }

    /// Whose name a device claims: ours, or that of the one known best who did not take a name as well.
    fn taken_from(&self, me: &DeviceId, device: &DeviceId) -> Option<DeviceId> {
        if self.names.claims_ours(device) {
            return Some(*me);
        }
        let known = self.names.claimed_of(device).filter(|d| self.taken.from(d).is_none()).filter_map(|d| {
            let p = self.all.get(&d)?;
            let rank = (p.record.verified, p.record.petname.is_some(), p.before);
            (rank > (false, false, false)).then_some((rank, std::cmp::Reverse(d)))
        });
        known.max().map(|(_, std::cmp::Reverse(d))| d)
    }

    fn badge(&self, device: &DeviceId, p: &Person) -> Badge {
        if p.record.verified {
            Badge::Verified
        } else if self.taken.from(device).is_some() {
            Badge::Warning
        } else if p.before || p.record.petname.is_some() {
            Badge::Contact
        } else {
            Badge::Unknown
        }
    }

    fn warning(&self, me: &DeviceId, device: &DeviceId) -> Option<Warning> {
        let of = self.taken.from(device)?;
        let name = |d: &DeviceId| {
            told_apart(&self.all.get(d).and_then(|p| p.record.shown()).unwrap_or_else(|| "Somebody".into()), d)
        };
        let who = name(device);
        let sentence = if of == *me {
            format!(
                "{who} uses your name, but is another device. If it is not a laptop of yours, somebody pretends to be you."
            )
        } else {
            let verified = self.all.get(&of).is_some_and(|p| p.record.verified);
            let contact = if verified { ", whom you verified" } else { "" };
            format!(
                "{who} uses the name of your contact {}{contact}, but is another device. Either that person has another or \
                 a reinstalled laptop, or somebody pretends to be them: compare the safety number before you trust it.",
                name(&of)
            )
        };
        Some(Warning { of, mine: of == *me, sentence })
    }
}

/// The table.
#[derive(Debug)]
pub struct People {
    me: DeviceId,
    inner: Mutex<Inner>,
}

impl People {
    /// Reads the table. Records that cannot be read are dropped.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn load(me: DeviceId, store: &dyn Store) -> Result<Self, StoreError> {
        let mut inner = Inner::default();
        for (key, value) in store.scan(Table::Peers, &[])?.into_iter().take(MAX_PEOPLE) {
            let id = <[u8; 32]>::try_from(key.as_slice()).map(DeviceId);
            if let (Ok(id), Ok(record)) = (id, postcard::from_bytes::<Record>(&value)) {
                let kept_seen = record.last_seen.unwrap_or(0);
                drop(inner.names.set(id, &record));
                inner.all.insert(id, Person { record, before: true, kept_seen, state: None });
            }
        }
        inner.taken = Taken::load(store)?;
        Ok(Self { me, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a record. A device beyond [`MAX_PEOPLE`] takes the place of the one not seen for longest.
    pub fn update(&self, device: DeviceId, change: impl FnOnce(&mut Record)) {
        self.change(device, false, change);
    }

    fn change(&self, device: DeviceId, named: bool, change: impl FnOnce(&mut Record)) {
        if device == self.me {
            return;
        }
        let mut inner = self.lock();
        if !inner.all.contains_key(&device) && inner.all.len() >= MAX_PEOPLE {
            let oldest = inner
                .all
                .iter()
                .filter(|(_, p)| p.state.is_none() && p.record.petname.is_none() && !p.record.verified)
                .min_by_key(|(_, p)| p.record.last_seen)
                .map(|(id, _)| *id);
            if let Some(id) = oldest {
                inner.all.remove(&id);
                inner.taken.set(id, None);
                let touched = inner.names.remove(&id);
                inner.news.touched.extend(touched);
            }
        }
        let person = inner.all.entry(device).or_default();
        let before = person.record.clone();
        change(&mut person.record);
        let what = |r: &Record| (r.name.clone(), r.petname.clone(), r.verified);
        let renamed = what(&person.record) != what(&before);
        let named = named && person.record.name != before.name;
        if person.record != before {
            inner.dirty.insert(device);
        }
        if renamed {
            inner.renamed(&self.me, device, named);
        }
    }

    /// What we are called ourselves, and whether a person chose that.
    pub fn own_name(&self, name: &str, chosen: bool) {
        let mut inner = self.lock();
        let touched = inner.names.set_own(name, chosen);
        inner.news.touched.extend(touched);
    }

    /// What is to be told of names since the last call.
    #[must_use]
    pub fn news(&self) -> News {
        std::mem::take(&mut self.lock().news)
    }

    /// A device's own name, by the greater stamp. One that is not as names are shown is not taken.
    pub fn named(&self, device: DeviceId, name: &str, at: Hlc) {
        if clean_name(name).as_deref() != Some(name) {
            return;
        }
        self.change(device, true, |r| {
            if at >= r.named || r.name.is_empty() {
                name.clone_into(&mut r.name);
                r.named = at;
            }
        });
    }

    /// A device says that it is in these networks. Of more than a peer may claim the latest told stay.
    pub fn in_networks(&self, device: DeviceId, networks: impl IntoIterator<Item = NetworkId>) {
        let told: BTreeSet<_> = networks.into_iter().take(MAX_CLAIMS).collect();
        self.update(device, |r| {
            if r.networks.union(&told).count() > MAX_CLAIMS {
                r.networks.clear();
            }
            r.networks.extend(told);
        });
    }

    /// A session opened.
    pub fn online(&self, device: DeviceId, link: Arc<dyn Link>, now: u64) {
        let address = link.remote();
        self.update(device, |r| {
            r.last_seen = Some(now);
            r.addresses.retain(|a| *a != address);
            r.addresses.insert(0, address);
            r.addresses.truncate(MAX_ADDRESSES);
        });
        if let Some(p) = self.lock().all.get_mut(&device) {
            p.state = Some(Online { link, away: false, clock: None });
        }
    }

    /// A session closed.
    pub fn offline(&self, device: DeviceId) {
        let mut inner = self.lock();
        if let Some(p) = inner.all.get_mut(&device)
            && p.state.take().is_some()
        {
            p.kept_seen = p.record.last_seen.unwrap_or(0);
            inner.dirty.insert(device);
        }
    }

    /// A peer went away from its keyboard or came back. `true` if that is new.
    pub fn away(&self, device: DeviceId, away: bool) -> bool {
        let mut inner = self.lock();
        let state = inner.all.get_mut(&device).and_then(|p| p.state.as_mut());
        state.is_some_and(|s| std::mem::replace(&mut s.away, away) != away)
    }

    /// How far the clock of a device that is here is ahead of mesh time, in milliseconds. `true` where a person is told
    /// something else of it than before.
    pub fn clock(&self, device: DeviceId, offset_ms: i64) -> bool {
        let mut inner = self.lock();
        let state = inner.all.get_mut(&device).and_then(|p| p.state.as_mut());
        let told = |offset: Option<i64>| offset.and_then(clock::words);
        state.is_some_and(|s| told(s.clock.replace(offset_ms)) != told(s.clock))
    }

    /// A device that is here was heard. The first heartbeat of a session may come before the session itself is noted:
    /// then it must still be known when the device was heard before.
    pub fn seen(&self, device: DeviceId, now: u64) {
        let mut inner = self.lock();
        let Some(p) = inner.all.get_mut(&device).filter(|p| p.state.is_some()) else { return };
        p.record.last_seen = Some(now);
        if now.abs_diff(p.kept_seen) >= SEEN_KEPT_MS {
            p.kept_seen = now;
            inner.dirty.insert(device);
        }
    }

    /// The records of those who are here are to be stored: the node stops.
    pub fn stopping(&self) {
        let mut inner = self.lock();
        let here: Vec<DeviceId> = inner.all.iter().filter(|(_, p)| p.state.is_some()).map(|(d, _)| *d).collect();
        inner.dirty.extend(here);
    }

    /// Petname, else its own name, each with the code where another device is shown under that name; else its code. Our
    /// own name is asked of the settings, not here.
    #[must_use]
    pub fn name(&self, device: &DeviceId) -> String {
        let inner = self.lock();
        match inner.all.get(device).and_then(|p| p.record.shown()) {
            Some(name) if inner.names.namesake(device) => told_apart(&name, device),
            Some(name) => name,
            None => device.code(),
        }
    }

    /// Whether the device has told its name.
    #[must_use]
    pub fn has_name(&self, device: &DeviceId) -> bool {
        self.lock().all.get(device).is_some_and(|p| !p.record.name.is_empty())
    }

    /// The round trip to a device that is here; zero to one that is not.
    #[must_use]
    pub fn round_trip(&self, device: &DeviceId) -> Duration {
        let inner = self.lock();
        inner.all.get(device).and_then(|p| p.state.as_ref()).map_or(Duration::ZERO, |s| s.link.rtt())
    }

    /// Whether a device's clock has a vote: it is a verified contact, or in one of these networks.
    #[must_use]
    pub fn may_vote(&self, device: &DeviceId, networks: &BTreeSet<NetworkId>) -> bool {
        let inner = self.lock();
        inner.all.get(device).is_some_and(|p| p.record.verified || !p.record.networks.is_disjoint(networks))
    }

    /// How well a device is known.
    #[must_use]
    pub fn badge(&self, device: &DeviceId) -> Badge {
        let inner = self.lock();
        inner.all.get(device).map_or(Badge::Unknown, |p| inner.badge(device, p))
    }

    /// The record of a device.
    #[must_use]
    pub fn record(&self, device: &DeviceId) -> Option<Record> {
        self.lock().all.get(device).map(|p| p.record.clone())
    }

    /// A device as shown.
    #[must_use]
    pub fn peer(&self, device: &DeviceId) -> Option<Peer> {
        let inner = self.lock();
        inner.all.get(device).map(|p| self.show(&inner, *device, p))
    }

    /// Every device, those here first, then by name.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        let inner = self.lock();
        let mut all: Vec<_> = inner.all.iter().map(|(id, p)| self.show(&inner, *id, p)).collect();
        all.sort_by(|a, b| {
            (a.state == PeerState::Offline, a.name.to_lowercase(), a.id).cmp(&(
                b.state == PeerState::Offline,
                b.name.to_lowercase(),
                b.id,
            ))
        });
        all
    }

    fn show(&self, inner: &Inner, id: DeviceId, p: &Person) -> Peer {
        let r = &p.record;
        let own_name = Some(r.name.clone()).filter(|n| !n.is_empty());
        Peer {
            id,
            name: r.petname.clone().or_else(|| own_name.clone()).unwrap_or_else(|| id.code()),
            petname: r.petname.clone(),
            own_name,
            code: id.code(),
            state: match &p.state {
                None => PeerState::Offline,
                Some(s) if s.away => PeerState::Away,
                Some(_) => PeerState::Online,
            },
            address: p.state.as_ref().map(|s| s.link.remote()).or_else(|| r.addresses.first().copied()),
            rtt_ms: p.state.as_ref().map(|s| s.link.rtt().as_secs_f64() * 1000.0),
            badge: inner.badge(&id, p),
            namesake: inner.names.namesake(&id),
            warning: inner.warning(&self.me, &id),
            last_seen: r.last_seen,
            clock_offset_ms: p.state.as_ref().and_then(|s| s.clock),
            conversation: SpaceId::direct(&self.me.principal(), &id.principal()),
        }
    }

    /// Devices of a network seen within a day before `now`, and how many of them are here.
    #[must_use]
    pub fn members(&self, network: &NetworkId, now: u64) -> (Vec<DeviceId>, u32) {
        let inner = self.lock();
        let mut here = 0;
        let members = inner
            .all
            .iter()
            .filter(|(_, p)| p.record.networks.contains(network))
            .filter(|(_, p)| {
                p.state.is_some() || p.record.last_seen.is_some_and(|t| now < t.saturating_add(MEMBER_FOR_MS))
            })
            .map(|(id, p)| {
                here += u32::from(p.state.is_some());
                *id
            })
            .collect();
        (members, here)
    }

    /// Devices here.
    #[must_use]
    pub fn here(&self) -> Vec<DeviceId> {
        self.lock().all.iter().filter(|(_, p)| p.state.is_some()).map(|(id, _)| *id).collect()
    }

    /// Devices with their last addresses that were seen after `since`, for discovery to probe.
    #[must_use]
    pub fn recent(&self, since: u64) -> Vec<(DeviceId, Vec<SocketAddr>, u64)> {
        let inner = self.lock();
        inner
            .all
            .iter()
            .filter_map(|(id, p)| Some((*id, p.record.addresses.clone(), p.record.last_seen?)))
            .filter(|(_, _, t)| *t >= since)
            .collect()
    }

    /// Every device known, with the addresses it had last.
    #[must_use]
    pub fn known(&self) -> Vec<DeviceId> {
        self.lock().all.keys().copied().collect()
    }

    /// The records changed since the last call, to be stored.
    #[must_use]
    pub fn changes(&self) -> Vec<Write> {
        let inner = &mut *self.lock();
        let records = std::mem::take(&mut inner.dirty).into_iter().filter_map(|id| {
            let r = &inner.all.get(&id)?.record;
            Some(Write::Put(Table::Peers, id.0.to_vec(), postcard::to_stdvec(r).ok()?))
        });
        records.chain(inner.taken.changes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Transport;
    use crate::link::memory::Switch;
    use crate::store::MemoryStore;

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_or_after_a_session_does_not_count_as_heard() {
        let (lan, me, other) = (Switch::new(1), DeviceId([1; 32]), DeviceId([2; 32]));
        let (here, there) = (lan.attach(me), lan.attach(other));
        let link = here.transport.dial(there.addr, Some(other)).await.unwrap();
        let people = People::load(me, &MemoryStore::new()).unwrap();
        let heard = || people.record(&other).and_then(|r| r.last_seen);
        people.update(other, |r| r.last_seen = Some(1_000));
        people.seen(other, 40_000);
        assert_eq!(heard(), Some(1_000), "it was away until now");
        people.online(other, link, 40_001);
        people.seen(other, 41_000);
        assert_eq!(heard(), Some(41_000));
        people.offline(other);
        people.seen(other, 42_000);
        assert_eq!(heard(), Some(41_000));
    }
}
