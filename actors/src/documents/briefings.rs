//! Reunions in a running node: what the pure half is told of, what of it is kept, and how a record is shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, Incarnation, Kind, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::kinds::order::OrderKey;

use super::DocumentsState;
use super::commits::{After, Ticket};
use super::counting::{Count, Whose};
use crate::api::{
    Absent, ApiError, Briefing, ConversationKind, Event, Line, MetAt, Missing, PeerState, Side, SideMember, Wrote,
    Wrotes,
};
use crate::handle::Reply;
use crate::limits::{
    BRIEFING_ABSENT, BRIEFING_GATHER, BRIEFING_LINES, BRIEFING_OPEN, BRIEFING_READS, BRIEFING_TOGETHER,
    BRIEFING_UPDATE, BRIEFINGS_KEPT,
};
use crate::proto::briefing::{Briefer, Coming, Now, Reunion, Tally};
use crate::session::SessionInfo;
use crate::space::{Space, SpaceKind};
use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

/// A session is new for so long, in milliseconds; one that is introduced later again tells of no return.
const FRESH_MS: u64 = 5_000;
/// A node that has run for so long was not off just now.
const RUNNING: Duration = Duration::from_secs(30);

/// From when on what the others wrote may have come: some of it through one whom they met a moment earlier than us.
fn came_from(began: u64) -> u64 {
    began.saturating_sub(u64::try_from(BRIEFING_GATHER.as_millis()).unwrap_or(u64::MAX))
}

fn now_of(wiring: &Wiring) -> Now {
    Now { ms: wiring.env.now_ms(), mono: wiring.env.mono() }
}

fn write_of(reunion: &Reunion) -> Option<Write> {
    let value = serde_json::to_vec(reunion).ok()?;
    Some(Write::Put(Table::Briefings, reunion.id.to_be_bytes().to_vec(), value))
}

/// The records of a store, oldest first; what cannot be read is left out.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub(crate) fn kept(store: &dyn Store) -> Result<Vec<Reunion>, StoreError> {
    let rows = store.scan(Table::Briefings, &[])?;
    Ok(rows.into_iter().filter_map(|(_, value)| serde_json::from_slice(&value).ok()).collect())
}

/// Those that are shown, of records in order: the last few that were told.
pub(crate) fn last_told<'a>(all: impl DoubleEndedIterator<Item = &'a Reunion>) -> impl Iterator<Item = &'a Reunion> {
    let mut last: Vec<&Reunion> = all.rev().filter(|r| r.told).take(BRIEFINGS_KEPT).collect();
    last.reverse();
    last.into_iter()
}

/// When this device is known to have run last before this start.
fn alive_before(wiring: &Wiring) -> Result<Option<u64>, StoreError> {
    let prefix = b"incarnation/";
    let own = [&prefix[..], &wiring.incarnation.0].concat();
    let starts = wiring.store.scan(Table::Meta, prefix)?;
    let started = starts.into_iter().filter(|(key, _)| *key != own && key.len() == prefix.len() + Incarnation::LEN);
    let started = started.filter_map(|(_, v)| v.try_into().ok().map(u64::from_be_bytes));
    let heard = wiring.people.peers().into_iter().filter_map(|p| p.last_seen);
    Ok(started.chain(heard).max())
}

/// What this actor knows of reunions.
#[derive(Debug)]
pub(super) struct Briefings {
    /// Notices them.
    pub(super) briefer: Briefer,
    /// The records, as the store has them or is about to.
    kept: BTreeMap<u64, Reunion>,
    /// Counts under way, and whether [`super::DocumentsMsg::Count`] is.
    pub(super) counting: VecDeque<Count>,
    pub(super) count_under_way: bool,
    /// When digests of a space were compared for their sake, since the node started.
    compared: BTreeMap<SpaceId, Duration>,
}

impl Briefings {
    /// What an earlier start left, and of that the records which are settled now.
    pub(super) fn load(wiring: &Wiring) -> Result<(Self, Vec<Reunion>), StoreError> {
        let now = now_of(wiring);
        let alive = if now.mono > RUNNING { Some(now.ms) } else { alive_before(wiring)? };
        let kept = kept(wiring.store.as_ref())?;
        let (briefer, settled) = Briefer::new(wiring.me, now, alive, &kept);
        let kept = kept.into_iter().map(|r| (r.id, r)).collect();
        let (counting, compared) = (VecDeque::new(), BTreeMap::new());
        Ok((Self { briefer, kept, counting, count_under_way: false, compared }, settled))
    }
}

impl DocumentsState {
    /// After a start: settles what was growing too long ago, and counts again what still grows.
    pub(super) fn resume_briefings(&mut self, settled: &[Reunion]) {
        settled.iter().for_each(|reunion| self.keep(reunion));
        let growing: Vec<Reunion> = self.briefings.briefer.growing().cloned().collect();
        for reunion in growing {
            self.count_theirs(&reunion);
        }
    }

    /// Whether a peer shares a conversation with us: a room, or a direct one in which something was said.
    fn shares_with(&self, peer: &DeviceId) -> bool {
        let spaces = self.peers.get(peer).map(|p| &p.spaces);
        spaces.into_iter().flatten().filter_map(|id| self.spaces.get(id)).any(|sp| match sp.kind {
            SpaceKind::Commons(_) => true,
            SpaceKind::Direct(_) | SpaceKind::Group(_) => sp.registered,
        })
    }

    /// A session opened: perhaps somebody is back.
    pub(super) fn came_back(&mut self, info: &SessionInfo) {
        let now = now_of(&self.wiring);
        if now.ms.saturating_sub(info.since) > FRESH_MS {
            return;
        }
        let peer = info.peer;
        let coming = Coming { peer, heard: info.heard, gap: info.gap, shares: self.shares_with(&peer) };
        // Nobody comes back who was never here: who starts among hundreds need not look at all of them for each.
        let back = coming.shares && coming.heard.is_some();
        let here = self.peers.keys().copied().filter(|d| back && self.shares_with(d)).collect();
        if let Some(reunion) = self.briefings.briefer.back(&coming, &here, now) {
            self.count_ours(&reunion);
            if !self.briefings.kept.contains_key(&reunion.id) {
                self.keep(&reunion);
            }
        }
        if self.briefings.briefer.counts() {
            let spaces = self.peers.get(&peer).map(|p| p.spaces.clone()).unwrap_or_default();
            self.briefings.briefer.shares(peer, spaces);
        }
    }

    /// A session ended.
    pub(super) fn lost(&mut self, peer: &DeviceId) {
        let now = now_of(&self.wiring);
        self.briefings.briefer.gone(peer, now);
    }

    /// What was written on our side while the others were away, by when it became durable here: clocks may be wrong.
    fn count_ours(&mut self, reunion: &Reunion) {
        let of = |d: &DeviceId| self.peers.get(d).map(|p| &p.spaces);
        let shared: BTreeSet<SpaceId> = reunion.back.keys().filter_map(of).flatten().copied().collect();
        // What others brought a moment before they came themselves is not ours.
        let brought = reunion.theirs.iter().map(|t| t.author).filter(|d| !reunion.here.contains(d));
        let others: BTreeSet<DeviceId> = brought.chain(reunion.back.keys().copied()).collect();
        self.begin_count(Count::new(reunion, Whose::Ours(others), reunion.since, shared));
    }

    /// What is here of what the others wrote, by when it became durable here and, since more may have been said after
    /// they came, by the authors' stamps.
    fn count_theirs(&mut self, reunion: &Reunion) {
        let all: BTreeSet<SpaceId> = self.spaces.values().filter(|sp| self.is_listed(sp)).map(|sp| sp.id).collect();
        self.begin_count(Count::new(reunion, Whose::Theirs, came_from(reunion.began), all));
    }

    /// Entries that were fetched became durable.
    pub(super) fn fetched(&mut self, space: SpaceId, from: DeviceId, entries: &[Arc<Entry>]) {
        let now = now_of(&self.wiring);
        let mut tallies: BTreeMap<DeviceId, Tally> = BTreeMap::new();
        for entry in entries {
            let h = entry.header();
            let message = match h.log.document.kind() {
                Kind::Profile | Kind::Control => continue,
                kind => kind == Kind::Chat,
            };
            let one = Tally::one(space, h.log.device, from, h.hlc, message);
            tallies.entry(h.log.device).and_modify(|t| t.add(&one)).or_insert(one);
        }
        tallies.values().for_each(|t| self.briefings.briefer.arrived(t, now));
    }

    /// Tells of reunions what is due, and keeps it.
    pub(super) fn tick_briefings(&mut self) {
        let now = now_of(&self.wiring);
        // Digests are compared when a session opens and every half minute: once what lacked is fetched, ask at once.
        let waiting = self.briefings.briefer.waiting();
        let spaces: BTreeSet<SpaceId> = waiting.iter().map(|(_, space)| *space).collect();
        for id in spaces {
            let last = self.briefings.compared.get(&id);
            let asked = last.is_some_and(|at| now.mono.saturating_sub(*at) < BRIEFING_UPDATE * 3);
            if let Some(sp) = self.spaces.get_mut(&id).filter(|sp| !asked && !sp.sync.is_fetching()) {
                sp.sync.compare_all();
                self.briefings.compared.insert(id, now.mono);
                self.carry_out(id, None);
            }
        }
        if waiting.is_empty() {
            self.briefings.compared.clear();
        }
        for reunion in self.briefings.briefer.tick(now) {
            let reunion = self.filled(reunion);
            self.keep(&reunion);
            if reunion.told && self.wiring.events.receiver_count() > 0 {
                let briefing = self.briefing(&reunion);
                self.wiring.emit(Event::Briefing(Box::new(briefing)));
            }
        }
    }

    /// A record with who is absent and how much is lacking.
    fn filled(&self, mut reunion: Reunion) -> Reunion {
        reunion.absent = self.absent(&reunion);
        for lacking in &mut reunion.lacking {
            let differs = self.spaces.get(&lacking.space).and_then(|sp| sp.differs(&lacking.from));
            (lacking.entries, lacking.owed) = differs.unzip();
        }
        reunion
    }

    /// Keeps a record, and of settled ones no more than the last few; one that nobody is to hear of is forgotten.
    fn keep(&mut self, reunion: &Reunion) {
        let mut writes = Vec::new();
        if reunion.settled && !reunion.told {
            self.briefings.kept.remove(&reunion.id);
            writes.push(Write::Delete(Table::Briefings, reunion.id.to_be_bytes().to_vec()));
        } else {
            self.briefings.kept.insert(reunion.id, reunion.clone());
            writes.extend(write_of(reunion));
        }
        while self.briefings.kept.len() > BRIEFINGS_KEPT.saturating_add(BRIEFING_OPEN) {
            let Some((id, _)) = self.briefings.kept.pop_first() else { break };
            writes.push(Write::Delete(Table::Briefings, id.to_be_bytes().to_vec()));
        }
        self.commit_small(writes);
    }

    fn absent(&self, reunion: &Reunion) -> BTreeMap<DeviceId, u64> {
        let together = u64::try_from(BRIEFING_TOGETHER.as_millis()).unwrap_or(u64::MAX);
        let from = reunion.since.saturating_sub(together);
        let joined = self.networks.joined();
        let mut all: Vec<(u64, DeviceId)> = Vec::new();
        for p in self.wiring.people.peers() {
            let seen = p.last_seen.filter(|t| *t >= from && p.state == PeerState::Offline);
            let Some(seen) = seen.filter(|_| !reunion.back.contains_key(&p.id)) else { continue };
            let record = self.wiring.people.record(&p.id).unwrap_or_default();
            let direct = self.spaces.get(&p.conversation).is_some_and(|sp| sp.registered);
            if direct || joined.iter().any(|n| record.networks.contains(n)) {
                all.push((seen, p.id));
            }
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().take(BRIEFING_ABSENT).map(|(seen, id)| (id, seen)).collect()
    }

    /// The last briefings, oldest first.
    pub(super) fn briefings(&mut self) -> Vec<Briefing> {
        let told: Vec<Reunion> = last_told(self.briefings.kept.values()).cloned().collect();
        told.iter().map(|reunion| self.briefing(reunion)).collect()
    }

    /// Its person has closed a briefing; answers once that is kept.
    pub(super) fn briefing_seen(&mut self, id: u64, reply: Reply<()>) {
        self.briefings.briefer.seen(id);
        let found = self.briefings.kept.get_mut(&id).filter(|r| r.told);
        let write = found.and_then(|r| {
            r.seen = true;
            write_of(r)
        });
        match write {
            Some(write) => self.commit(vec![write], Ticket::Small(Some(After::reply(reply, ())))),
            None => drop(reply.send(Err(ApiError::new("no_such_briefing", "there is no such briefing here")))),
        }
    }

    fn briefing(&mut self, reunion: &Reunion) -> Briefing {
        let wiring = self.wiring.clone();
        let titles: BTreeMap<SpaceId, (ConversationKind, String)> = spaces_of(reunion)
            .filter_map(|id| self.spaces.get(&id).map(|sp| (id, self.conversation(sp))))
            .map(|(id, c)| (id, (c.kind, c.title)))
            .collect();
        let most = if reunion.settled { BRIEFING_READS.1 } else { BRIEFING_READS.0 };
        self.spaces.values_mut().filter(|sp| !sp.is_behind()).for_each(|sp| sp.make_room(&wiring));
        show(reunion, &wiring, &titles, most, &mut self.spaces)
    }
}

/// The conversations that a record speaks of.
pub(crate) fn spaces_of(reunion: &Reunion) -> impl Iterator<Item = SpaceId> {
    let wrote = reunion.theirs.iter().chain(&reunion.ours).map(|t| t.space);
    wrote.chain(reunion.lacking.iter().map(|l| l.space)).chain(reunion.met.iter().map(|m| m.space))
}

/// A record as shown, with the first lines of what was written in `spaces`, as far as that is in memory or can be
/// read with about `most` entries of each conversation.
pub(crate) fn show(
    reunion: &Reunion,
    wiring: &Wiring,
    titles: &BTreeMap<SpaceId, (ConversationKind, String)>,
    most: usize,
    spaces: &mut BTreeMap<SpaceId, Space>,
) -> Briefing {
    let title = |id: &SpaceId| titles.get(id).cloned().unwrap_or((ConversationKind::Direct, id.short()));
    let member = |id: &DeviceId| {
        let back = reunion.back.get(id);
        SideMember { id: *id, name: wiring.name_of(id), heard: back.and_then(|b| b.heard), back: back.map(|b| b.back) }
    };
    let mut last_wrote: BTreeMap<DeviceId, u64> = BTreeMap::new();
    let mut side = |here: bool, members: Vec<DeviceId>, tallies: &[Tally]| {
        let mut by_space: BTreeMap<SpaceId, Vec<&Tally>> = BTreeMap::new();
        for t in tallies {
            by_space.entry(t.space).or_default().push(t);
        }
        let mut conversations: Vec<Wrote> = by_space
            .into_iter()
            .map(|(id, tallies)| {
                let (kind, title) = title(&id);
                let found = spaces.get_mut(&id).filter(|_| !here);
                let lines = found.map(|sp| lines(sp, &tallies, reunion.began, most, wiring)).unwrap_or_default();
                let mut authors: Vec<Wrotes> = tallies.iter().map(|t| author(t, wiring)).collect();
                authors.sort_by_key(|a| (std::cmp::Reverse(a.messages), a.id));
                Wrote {
                    conversation: id,
                    kind,
                    title,
                    messages: sum(&tallies, |t| t.messages),
                    changes: sum(&tallies, |t| t.changes),
                    first: tallies.iter().map(|t| t.first.ms()).min().unwrap_or(0),
                    last: tallies.iter().map(|t| t.last.ms()).max().unwrap_or(0),
                    authors,
                    lines,
                }
            })
            .collect();
        conversations.sort_by_key(|w| (std::cmp::Reverse(w.messages), w.conversation));
        Side {
            here,
            members: members.iter().map(member).collect(),
            messages: conversations.iter().fold(0, |n, w| n.saturating_add(w.messages)),
            changes: conversations.iter().fold(0, |n, w| n.saturating_add(w.changes)),
            conversations,
        }
    };
    let mut sides = vec![side(true, reunion.here.iter().copied().collect(), &reunion.ours)];
    sides.extend(reunion.sides().into_iter().zip(reunion.wrote()).map(|(who, wrote)| side(false, who, &wrote)));
    for tally in &reunion.theirs {
        let last = last_wrote.entry(tally.author).or_default();
        *last = tally.last.ms().max(*last);
    }
    let mut not_back: Vec<Absent> = reunion
        .absent
        .iter()
        .map(|(id, seen)| Absent {
            id: *id,
            name: wiring.name_of(id),
            last_seen: *seen,
            last_wrote: last_wrote.get(id).copied(),
        })
        .collect();
    not_back.sort_by_key(|a| (std::cmp::Reverse(a.last_seen), a.id));
    Briefing {
        id: reunion.id,
        cause: reunion.cause(),
        since: reunion.since,
        began: reunion.began,
        updated: reunion.updated,
        is_final: reunion.settled,
        seen: reunion.seen,
        sides,
        missing: reunion
            .lacking
            .iter()
            .map(|l| Missing {
                conversation: l.space,
                title: title(&l.space).1,
                from: l.from,
                from_name: wiring.name_of(&l.from),
                entries: l.entries,
                owed: l.owed,
            })
            .collect(),
        not_back,
        met: reunion.met.iter().map(|m| MetAt { conversation: m.space, places: m.places }).collect(),
    }
}

fn author(t: &Tally, wiring: &Wiring) -> Wrotes {
    Wrotes {
        id: t.author,
        name: wiring.name_of(&t.author),
        messages: t.messages,
        changes: t.changes,
        first: t.first.ms(),
        last: t.last.ms(),
    }
}

fn sum(tallies: &[&Tally], what: impl Fn(&Tally) -> u64) -> u64 {
    tallies.iter().fold(0, |n, t| n.saturating_add(what(t)))
}

/// The first messages of those that the others wrote in a conversation and that came since they are back.
fn lines(sp: &mut Space, tallies: &[&Tally], began: u64, most: usize, wiring: &Wiring) -> Vec<Line> {
    /// Messages looked at for the first lines, and how often.
    const LOOK: (usize, usize) = (128, 4);
    let first = tallies.iter().filter(|t| t.messages > 0).map(|t| t.first).min();
    let Some(mut at) = first.map(|stamp| OrderKey { stamp, ..OrderKey::MIN }.earlier()) else { return Vec::new() };
    let mut out: Vec<Line> = Vec::new();
    for _ in 0..LOOK.1 {
        // While much comes in, what stands first is read by and by, as everything else is.
        if !sp.prepare(&At::After(at), LOOK.0, most, wiring).is_ok_and(|ready| ready) {
            break;
        }
        let page = sp.chat.page(&At::After(at), LOOK.0);
        for m in &page.messages {
            if m.received >= came_from(began) && tallies.iter().any(|t| t.author == m.key.device) {
                out.push(Line {
                    id: m.key.id,
                    key: m.key,
                    author: m.key.device,
                    author_name: wiring.name_of(&m.key.device),
                    sent: m.sent.ms(),
                    text: shorten(m.body),
                });
            }
            if out.len() >= BRIEFING_LINES.0 {
                return out;
            }
        }
        match page.messages.last() {
            Some(last) if page.newer => at = last.key,
            _ => break,
        }
    }
    out
}

/// One line of a text.
fn shorten(body: &str) -> String {
    body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(BRIEFING_LINES.1).collect()
}
