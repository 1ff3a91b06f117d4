//! The custody view: who holds a conversation up to where, by what devices acknowledged and stated. It asks nobody, so
//! it tells of those who are away as well, and without a running node as far as the store knows.

use std::collections::BTreeMap;

use cairn_crdt::frontier::{End, place};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, Kind, LogId};
use cairn_crdt::period::period_of;

use crate::api::{Custody, DocumentCustody, Holder, PeerState, count};
use crate::limits::{CUSTODY_LISTED, CUSTODY_READS};
use crate::space::Space;
use crate::wiring::Wiring;

/// Stamps of the first entries that somebody lacks, read from the store once each and not without bound.
struct Stamps<'a> {
    space: &'a Space,
    wiring: &'a Wiring,
    read: BTreeMap<(LogId, u64), Option<Hlc>>,
}

impl Stamps<'_> {
    fn of(&mut self, log: &LogId, seq: u64) -> Option<Hlc> {
        let tip = self.space.sync.replica().durable(log);
        if tip.seq == seq {
            return Some(tip.hlc);
        }
        if let Some(known) = self.read.get(&(*log, seq)) {
            return *known;
        }
        if self.read.len() >= CUSTODY_READS {
            return None;
        }
        // One that cannot be read is told of where it matters: when it is served or shown.
        let found = self.wiring.store.entries(&self.space.id, log, seq, 1).unwrap_or_default();
        let stamp = found.first().map(|s| s.entry.header()).filter(|h| h.seq == seq).map(|h| h.hlc);
        self.read.insert((*log, seq), stamp);
        stamp
    }
}

/// What a device lacks of some logs.
#[derive(Default)]
struct Lack {
    holds: u64,
    /// The first entry that it lacks of each log.
    missing: Vec<(LogId, u64)>,
    ahead: u64,
}

fn lack(space: &Space, device: &DeviceId, ends: &[(u64, End)], only: Option<&DocumentId>) -> Lack {
    let mut out = Lack::default();
    let same = space.ledger.tree(device).is_some_and(|t| t == space.ledger.mine());
    for (place, end) in ends {
        let theirs = if same { end.seq } else { space.known_held(device, &end.log, *place) };
        out.holds = out.holds.saturating_add(theirs.min(end.seq));
        if theirs < end.seq {
            out.missing.push((end.log, theirs.saturating_add(1)));
        }
    }
    let tree = space.ledger.tree(device).filter(|_| !same);
    let theirs = tree.map(|t| t.ends()).unwrap_or_default();
    for end in theirs.iter().filter(|e| only.is_none_or(|d| e.log.document == *d)) {
        out.ahead = out.ahead.saturating_add(end.seq.saturating_sub(space.ledger.mine().seq(&end.log)));
    }
    out
}

fn kind(document: &DocumentId) -> String {
    match document.kind() {
        Kind::Control => "control".into(),
        Kind::Chat => "chat".into(),
        Kind::Profile => "profile".into(),
        Kind::Contacts => "contacts".into(),
        Kind::ReadMarks => "read_marks".into(),
        Kind::Unknown(code) => code.to_string(),
    }
}

/// Who holds a space, or one document of it.
pub(crate) fn of(space: &Space, only: Option<DocumentId>, wiring: &Wiring) -> Custody {
    let now = wiring.mesh_ms();
    let asked_for = |e: &End| only.is_none_or(|d| e.log.document == d);
    let ends: Vec<_> = space.ledger.mine().ends().into_iter().filter(asked_for).map(|e| (place(&e.log), e)).collect();
    let entries = ends.iter().fold(0u64, |n, (_, e)| n.saturating_add(e.seq));
    let (others, _) = space.members(wiring);
    let mut all: BTreeMap<DeviceId, bool> = space.known_devices().into_iter().map(|d| (d, false)).collect();
    all.extend(others.into_iter().chain([wiring.me]).map(|d| (d, true)));

    let mut documents: BTreeMap<DocumentId, (u64, usize)> = BTreeMap::new();
    for (_, end) in &ends {
        let of = documents.entry(end.log.document).or_default();
        of.0 = of.0.saturating_add(end.seq);
    }
    let members = all.values().filter(|member| **member).count();
    let mut stamps = Stamps { space, wiring, read: BTreeMap::new() };
    let mut devices = Vec::new();
    for (id, member) in all {
        let me = id == wiring.me;
        let lack = if me { Lack { holds: entries, ..Lack::default() } } else { lack(space, &id, &ends, only.as_ref()) };
        if !member && lack.holds == 0 && lack.ahead == 0 {
            continue;
        }
        if member {
            let mut lacking: Vec<_> = lack.missing.iter().map(|(log, _)| log.document).collect();
            lacking.sort_unstable();
            lacking.dedup();
            for document in lacking {
                if let Some(of) = documents.get_mut(&document) {
                    of.1 = of.1.saturating_add(1);
                }
            }
        }
        // Of a device that is known to hold nothing, "everything before the first message" would be said.
        let first = if lack.holds == 0 {
            None
        } else {
            lack.missing.iter().map(|(log, seq)| stamps.of(log, *seq)).collect::<Option<Vec<_>>>()
        };
        let stated = space.ledger.statement(&id).map(|s| s.at.ms().min(now));
        let peer = wiring.people.peer(&id);
        devices.push(Holder {
            id,
            name: wiring.name_of(&id),
            me,
            member,
            state: if me { PeerState::Online } else { peer.as_ref().map_or(PeerState::Offline, |p| p.state) },
            holds: lack.holds,
            complete: lack.missing.is_empty(),
            up_to: first.and_then(|all| all.into_iter().min()).map(Hlc::ms),
            ahead: lack.ahead,
            stated,
            last_seen: peer.and_then(|p| p.last_seen).max(stated).filter(|_| !me),
        });
    }
    let holders = devices.iter().filter(|d| d.member && d.complete).count();
    devices.sort_by_cached_key(|d| (!d.me, !d.member, std::cmp::Reverse(d.holds), d.name.to_lowercase(), d.id));
    devices.truncate(CUSTODY_LISTED);
    let documents = documents.into_iter().rev().take(CUSTODY_LISTED).map(|(id, (entries, lacking))| DocumentCustody {
        id,
        kind: kind(&id),
        from: period_of(&id).map(|p| p.start),
        entries,
        holders: count(members.saturating_sub(lacking)),
        members: count(members),
    });
    Custody {
        conversation: space.id,
        document: only,
        entries,
        members: count(members),
        holders: count(holders),
        devices,
        documents: documents.collect(),
    }
}
