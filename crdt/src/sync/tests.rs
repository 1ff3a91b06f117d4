//! A cluster of pure halves with a seeded network between them: order, loss of links, partitions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod coming;
mod disk;
mod forks;
mod gone;
mod held;
mod lost;
mod ranges;

use super::frame::Frame;
use super::{Output, SpaceSync};
use crate::codec::Reader;
use crate::entry::{Entry, Header, PAYLOAD_VERSION, SignedHeader, VERSION, payload_hash};
use crate::hlc::Hlc;
use crate::identity::DeviceKey;
use crate::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation, LogId, NetworkId, SpaceId};
use crate::replica::{Access, Admitted, Rejection, Replica, VOUCHED_BYTES};

fn space() -> SpaceId {
    SpaceId::commons(&NetworkId([7; 16]))
}

struct Writer {
    key: DeviceKey,
    log: LogId,
    seq: u64,
    prev: EntryHash,
}

impl Writer {
    fn new(seed: u8) -> Self {
        let key = DeviceKey::from_seed(&[seed; 32]);
        let log = LogId { document: DocumentId::chat(1, 0), device: key.id(), incarnation: Incarnation([seed; 16]) };
        Self { key, log, seq: 0, prev: EntryHash([0; 32]) }
    }

    fn write(&mut self, text: &str) -> Arc<Entry> {
        self.write_signed(text, true)
    }

    /// Writes an entry with its signature, or with one that does not verify.
    fn write_signed(&mut self, text: &str, well: bool) -> Arc<Entry> {
        self.seq += 1;
        let payload = text.as_bytes().to_vec();
        let header = Header {
            version: VERSION,
            space: space(),
            log: self.log,
            seq: self.seq,
            prev: self.prev,
            deps_on_prev: self.seq > 1,
            deps: Vec::new(),
            control_heads: Vec::new(),
            hlc: Hlc::from_ms(self.seq),
            epoch: EpochId::NONE,
            payload_version: PAYLOAD_VERSION,
            payload_hash: payload_hash(&payload),
            payload_len: payload.len() as u32,
        };
        let mut signed = SignedHeader::sign(header, &self.key);
        if !well {
            signed.signature[3] ^= 1;
            let bytes = signed.encode();
            signed = SignedHeader::decode(&mut Reader::new(&bytes)).unwrap();
        }
        self.prev = signed.hash;
        Arc::new(Entry { signed, payload: Some(payload) })
    }
}

struct Node {
    writer: Writer,
    sync: SpaceSync,
    disk: BTreeMap<LogId, Vec<Arc<Entry>>>,
    taken: usize,
    /// Entries that came for which there was no room.
    refused: usize,
    /// Bytes read at once.
    batch: usize,
}

struct Cluster {
    nodes: BTreeMap<DeviceId, Node>,
    wire: BTreeMap<(DeviceId, DeviceId), VecDeque<Vec<u8>>>,
    rng: ChaCha8Rng,
    bytes: usize,
    frames: usize,
}

impl Cluster {
    fn new(n: u8, seed: u64) -> Self {
        let nodes = (1..=n)
            .map(|i| {
                let writer = Writer::new(i);
                let sync = SpaceSync::new(Replica::new(space(), Access::Commons));
                (writer.key.id(), Node { writer, sync, disk: BTreeMap::new(), taken: 0, refused: 0, batch: 3_000 })
            })
            .collect();
        Self { nodes, wire: BTreeMap::new(), rng: ChaCha8Rng::seed_from_u64(seed), bytes: 0, frames: 0 }
    }

    fn ids(&self) -> Vec<DeviceId> {
        self.nodes.keys().copied().collect()
    }

    fn connect(&mut self, a: DeviceId, b: DeviceId) {
        for (x, y) in [(a, b), (b, a)] {
            self.wire.insert((x, y), VecDeque::new());
            self.nodes.get_mut(&x).unwrap().sync.opened(y);
        }
        self.neighbours();
        self.step_outputs(a);
        self.step_outputs(b);
    }

    fn cut(&mut self, a: DeviceId, b: DeviceId) {
        for (x, y) in [(a, b), (b, a)] {
            if self.wire.remove(&(x, y)).is_some() {
                self.nodes.get_mut(&x).unwrap().sync.closed(y);
                self.step_outputs(x);
            }
        }
        self.neighbours();
    }

    fn neighbours(&mut self) {
        let edges: Vec<_> = self.wire.keys().copied().collect();
        for (me, peer) in &edges {
            let theirs: BTreeSet<_> = edges.iter().filter(|(x, _)| x == peer).map(|(_, y)| *y).collect();
            self.nodes.get_mut(me).unwrap().sync.neighbours(*peer, theirs);
        }
    }

    fn say(&mut self, who: DeviceId, text: &str) {
        let n = self.nodes.get_mut(&who).unwrap();
        let e = n.writer.write(text);
        n.sync.replica_mut().admit_own(&e);
        n.disk.entry(e.header().log).or_default().push(e.clone());
        n.sync.committed(None, true, &[e]);
        self.step_outputs(who);
    }

    fn step_outputs(&mut self, who: DeviceId) {
        loop {
            let outs = self.nodes.get_mut(&who).unwrap().sync.take();
            if outs.is_empty() {
                return;
            }
            for o in outs {
                let n = self.nodes.get_mut(&who).unwrap();
                match o {
                    Output::Send(to, f) => {
                        let batch = matches!(f, Frame::Entries { live: false, .. });
                        self.put(who, to, &f);
                        if batch {
                            self.nodes.get_mut(&who).unwrap().sync.sent(to);
                        }
                    }
                    Output::Push(to, entries) => {
                        for t in to {
                            self.put(who, t, &Frame::Entries { live: true, entries: entries.clone() });
                        }
                    }
                    Output::Commit { from, live, entries } => {
                        n.taken += entries.len();
                        for e in &entries {
                            let log = n.disk.entry(e.header().log).or_default();
                            assert_eq!(log.len() as u64 + 1, e.header().seq, "appended in order");
                            log.push(e.clone());
                        }
                        n.sync.committed(Some(from), live, &entries);
                    }
                    Output::Read { to, log, from, upto } => {
                        let all = &n.disk[&log];
                        let mut bytes = 0;
                        let wanted = all[from as usize - 1..upto as usize].iter();
                        let batch = wanted.enumerate().take_while(|(i, e)| {
                            bytes += e.whole_len();
                            *i == 0 || bytes <= n.batch
                        });
                        let batch = batch.map(|(_, e)| e.clone()).collect();
                        n.sync.read(to, log, batch);
                    }
                    Output::Examine { from, suspect } => {
                        let log = suspect.log().unwrap();
                        let Node { sync, disk, .. } = n;
                        let all = disk.get(&log).cloned().unwrap_or_default();
                        sync.examine(from, suspect, &|seq| all.get(seq as usize - 1).cloned());
                    }
                    Output::Forked { from, log, cut } => {
                        if let Some(all) = n.disk.get_mut(&log)
                            && let Some(first) = cut
                        {
                            all.truncate(first as usize - 1);
                        }
                        n.disk.retain(|_, l| !l.is_empty());
                        n.sync.settled(from, &log);
                    }
                    Output::Trace { to, log, from } => {
                        let batch: Vec<_> = n.disk[&log][from as usize - 1..].iter().take(40).cloned().collect();
                        n.sync.traced(to, log, &batch);
                    }
                    Output::HeldBack(_, entries) => n.refused += entries,
                    Output::Durable(..) | Output::Equal(_) => {}
                    Output::Blame(p, why) => panic!("{p:?} blamed: {why}"),
                }
            }
        }
    }

    fn put(&mut self, from: DeviceId, to: DeviceId, f: &Frame) {
        let bytes = f.encode();
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(f));
        if let Some(q) = self.wire.get_mut(&(from, to)) {
            self.bytes += bytes.len();
            self.frames += 1;
            q.push_back(bytes);
        }
    }

    /// Delivers frames in a seeded order until the network is quiet.
    fn settle(&mut self) {
        for _ in 0..2_000_000 {
            if !self.deliver_one() {
                return;
            }
        }
        panic!("the network never became quiet");
    }

    /// Delivers one frame; answers whether there was any.
    fn deliver_one(&mut self) -> bool {
        let busy: Vec<_> = self.wire.iter().filter(|(_, q)| !q.is_empty()).map(|(k, _)| *k).collect();
        if busy.is_empty() {
            return false;
        }
        let (from, to) = busy[self.rng.random_range(0..busy.len())];
        let bytes = self.wire.get_mut(&(from, to)).unwrap().pop_front().unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        self.nodes.get_mut(&to).unwrap().sync.received(from, frame);
        self.step_outputs(to);
        true
    }

    fn assert_equal(&mut self) {
        let digests: BTreeSet<_> = self.nodes.values_mut().map(|n| n.sync.replica_mut().digest()).collect();
        assert_eq!(digests.len(), 1);
        let disks: BTreeSet<_> = self
            .nodes
            .values()
            .map(|n| {
                n.disk.iter().map(|(l, v)| (*l, v.iter().map(|e| e.hash()).collect::<Vec<_>>())).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(disks.len(), 1);
    }
}

#[test]
fn sides_that_wrote_apart_are_equal_after_healing() {
    for seed in 0..40 {
        let mut c = Cluster::new(6, seed);
        let ids = c.ids();
        for side in [&ids[..3], &ids[3..]] {
            for i in 0..3 {
                for j in i + 1..3 {
                    c.connect(side[i], side[j]);
                }
            }
        }
        for k in 0..60 {
            let who = ids[c.rng.random_range(0..6)];
            c.say(who, &format!("m{k}"));
        }
        c.settle();
        for a in &ids[..3] {
            for b in &ids[3..] {
                c.connect(*a, *b);
            }
        }
        c.settle();
        c.assert_equal();
    }
}

#[test]
fn links_that_come_and_go_lose_nothing() {
    for seed in 0..40 {
        let mut c = Cluster::new(5, 1000 + seed);
        let ids = c.ids();
        for k in 0..120 {
            let (a, b) = (ids[c.rng.random_range(0..5)], ids[c.rng.random_range(0..5)]);
            match c.rng.next_u32() % 4 {
                0 if a != b && !c.wire.contains_key(&(a, b)) => c.connect(a, b),
                1 => c.cut(a, b),
                _ => c.say(a, &format!("m{k}")),
            }
            if c.rng.next_u32().is_multiple_of(5) {
                c.settle();
            }
        }
        for i in 0..5 {
            for j in i + 1..5 {
                if !c.wire.contains_key(&(ids[i], ids[j])) {
                    c.connect(ids[i], ids[j]);
                }
            }
        }
        c.settle();
        c.assert_equal();
    }
}

#[test]
fn equal_replicas_need_one_round_trip_and_less_than_a_kilobyte() {
    let mut c = Cluster::new(2, 1);
    let ids = c.ids();
    c.connect(ids[0], ids[1]);
    for k in 0..50 {
        c.say(ids[k % 2], "x");
    }
    c.settle();
    c.cut(ids[0], ids[1]);
    (c.bytes, c.frames) = (0, 0);
    c.connect(ids[0], ids[1]);
    c.settle();
    assert!(c.bytes < 1_000 && c.frames <= 4, "{} bytes, {} frames", c.bytes, c.frames);
}

#[test]
fn a_newcomer_among_ten_gets_each_entry_once() {
    let mut c = Cluster::new(11, 3);
    let ids = c.ids();
    for i in 0..10 {
        for j in i + 1..10 {
            c.connect(ids[i], ids[j]);
        }
    }
    for k in 0..200 {
        c.say(ids[k % 10], "x");
    }
    c.settle();
    let before = c.bytes;
    for i in 0..10 {
        c.connect(ids[i], ids[10]);
    }
    c.settle();
    c.assert_equal();
    assert_eq!(c.nodes[&ids[10]].taken, 200);
    // 200 entries of about 330 bytes come once; digests, frontiers and acknowledgements may double that, not more.
    assert!(c.bytes - before < 2 * 200 * 330, "{} bytes", c.bytes - before);
}

#[test]
fn a_node_in_the_middle_passes_on_at_once() {
    let mut c = Cluster::new(3, 4);
    let ids = c.ids();
    c.connect(ids[0], ids[1]);
    c.connect(ids[1], ids[2]);
    c.settle();
    c.say(ids[0], "to the far side");
    c.settle();
    c.assert_equal();
}

#[test]
fn in_a_full_mesh_an_entry_crosses_each_link_once() {
    let mut c = Cluster::new(8, 5);
    let ids = c.ids();
    for i in 0..8 {
        for j in i + 1..8 {
            c.connect(ids[i], ids[j]);
        }
    }
    c.settle();
    (c.bytes, c.frames) = (0, 0);
    c.say(ids[0], "x");
    c.settle();
    assert_eq!(c.frames, 7 + 7, "seven pushes and seven acknowledgements");
}

#[test]
fn a_hostile_run_is_refused_whole() {
    let mut w = Writer::new(1);
    let run: Vec<_> = (0..5).map(|i| w.write(&format!("{i}"))).collect();
    let fresh = || Replica::new(space(), Access::Commons);

    let mut bad = run.clone();
    let mut e = (*bad[4]).clone();
    e.signed.signature[3] ^= 1;
    bad[4] = Arc::new(e);
    assert_eq!(fresh().admit(&bad), Err(Rejection::BadSignature));

    let mut bad = run.clone();
    let mut e = (*bad[2]).clone();
    e.signed.header.hlc = Hlc(99);
    bad[2] = Arc::new(Entry::decode(&e.encode()).unwrap());
    assert_eq!(fresh().admit(&bad), Err(Rejection::BrokenChain), "a changed header has another hash");

    assert!(matches!(fresh().admit(&run[1..]), Ok(super::Admitted::Gap)));

    let (a, b) = (DeviceKey::from_seed(&[8; 32]).id().principal(), DeviceKey::from_seed(&[9; 32]).id().principal());
    let mut direct = Replica::new(space(), Access::Direct(a, b));
    assert_eq!(direct.admit(&run), Err(Rejection::NotAMember));
    let mut other = Replica::new(SpaceId::direct(&a, &b), Access::Commons);
    assert_eq!(other.admit(&run), Err(Rejection::WrongSpace));

    let mut twin = Writer::new(1);
    let fork = vec![twin.write("another first entry")];
    let mut r = fresh();
    assert!(r.admit(&run[..1]).is_ok());
    assert_eq!(r.admit(&fork), Ok(Admitted::Forked));
    let mut erased = (*run[1]).clone();
    erased.payload = None;
    assert_eq!(r.admit(&[Arc::new(erased)]), Err(Rejection::NoPayload));
    assert!(matches!(r.admit(&run), Ok(super::Admitted::New(n)) if n.len() == 4));
}

/// A log in which only every so many-th signature verifies, and the last.
fn sparse(w: &mut Writer, n: u64, every: u64) -> Vec<Arc<Entry>> {
    let body = "x".repeat(1_000);
    (1..=n).map(|i| w.write_signed(&body, i % every == 0 || i == n)).collect()
}

#[test]
fn an_author_who_signs_sparsely_cannot_stall_a_relay() {
    let entry = Writer::new(9).write(&"x".repeat(1_000)).whole_len();
    assert_eq!(entry, Writer::new(9).write(&"x".repeat(1_000)).encode().len());
    let most = (VOUCHED_BYTES / entry) as u64;
    let admit = |run: &[Arc<Entry>]| Replica::new(space(), Access::Commons).admit(run);
    // As far apart as a batch: admitted, whole or in parts.
    let log = sparse(&mut Writer::new(9), 4 * most, most);
    assert_eq!(admit(&log), Ok(super::Admitted::New(log.clone())));
    let mut parts = Replica::new(space(), Access::Commons);
    for part in log.chunks(2 * most as usize) {
        assert!(matches!(parts.admit(part), Ok(super::Admitted::New(_))));
    }
    // One entry further apart: refused, wherever the run begins.
    let far = sparse(&mut Writer::new(9), 4 * most, most + 1);
    assert_eq!(admit(&far), Err(Rejection::BadSignature));
    let mut w = Writer::new(7);
    let good = w.write("a verifying one before");
    let after: Vec<_> = (0..=most).map(|i| w.write_signed(&"x".repeat(1_000), i == most)).collect();
    let mut begun = Replica::new(space(), Access::Commons);
    assert!(matches!(begun.admit(std::slice::from_ref(&good)), Ok(super::Admitted::New(_))));
    assert_eq!(begun.admit(&after), Err(Rejection::BadSignature));
    assert_eq!(admit(&[vec![good], after].concat()), Err(Rejection::BadSignature), "cut otherwise, judged alike");
    // An entry larger than a batch stands alone.
    let mut w = Writer::new(6);
    let large = [w.write(&"x".repeat(2 * VOUCHED_BYTES)), w.write(&"x".repeat(2 * VOUCHED_BYTES)), w.write("small")];
    assert!(matches!(admit(&large), Ok(super::Admitted::New(n)) if n.len() == 3));

    // What was admitted reaches a third node through a relay, with the author gone.
    let mut c = Cluster::new(2, 11);
    let ids = c.ids();
    for n in c.nodes.values_mut() {
        n.batch = VOUCHED_BYTES;
    }
    let (relay, other, author) = (ids[0], ids[1], DeviceKey::from_seed(&[9; 32]).id());
    c.nodes.get_mut(&relay).unwrap().sync.opened(author);
    c.nodes.get_mut(&relay).unwrap().sync.received(author, Frame::Entries { live: false, entries: log.clone() });
    c.step_outputs(relay);
    c.nodes.get_mut(&relay).unwrap().sync.closed(author);
    c.connect(relay, other);
    c.settle();
    c.assert_equal();
    assert_eq!(c.nodes[&other].taken, log.len());
}

#[test]
fn frames_of_noise_are_refused_without_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut w = Writer::new(1);
    let good = Frame::Entries { live: true, entries: vec![w.write("a"), w.write("b")] }.encode();
    for _ in 0..20_000 {
        let mut b = good.clone();
        for _ in 0..rng.random_range(1..4) {
            let i = rng.random_range(0..b.len());
            b[i] = rng.random();
        }
        b.truncate(rng.random_range(0..=b.len()));
        if let Ok(f) = Frame::decode(&b) {
            assert_eq!(f.encode(), b, "one encoding each");
        }
    }
}

/// What a node asked `peer` for since the last call, and whether it sent it a digest.
fn asked(s: &mut SpaceSync, peer: DeviceId) -> (Vec<DocumentId>, bool) {
    let mut digest = false;
    let mut wants = Vec::new();
    for o in s.take() {
        match o {
            Output::Send(to, Frame::Want { document, .. }) if to == peer => wants.push(document),
            Output::Send(to, Frame::Digest(_)) if to == peer => digest = true,
            _ => {}
        }
    }
    (wants, digest)
}

fn offer(documents: impl Iterator<Item = DocumentId>) -> Frame {
    let docs: BTreeMap<_, _> = documents.map(|d| (d, [9; 32])).collect();
    Frame::Docs { more: false, ask: false, docs: docs.into_iter().collect() }
}

#[test]
fn a_peer_that_offers_much_and_brings_nothing_delays_others_by_seconds() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let (liar, honest) = (DeviceId([1; 32]), DeviceId([2; 32]));
    s.opened(liar);
    s.opened(honest);
    let _ = s.take();
    for part in 0..4u16 {
        s.received(liar, offer((0..8_192).map(|week| DocumentId::chat(week, part))));
    }
    let (wants, _) = asked(&mut s, liar);
    assert_eq!(wants.len(), super::fetch::FETCHES, "of 32,768 offers");
    let (held, waiting) = (wants[0], DocumentId::chat(5, 0));
    // What only waits for the liar is fetched from the honest peer at once, and what nobody offered before too.
    s.received(honest, offer([held, waiting, DocumentId::chat(9_000, 0)].into_iter()));
    let (wants, _) = asked(&mut s, honest);
    assert_eq!(BTreeSet::from_iter(wants), BTreeSet::from([waiting, DocumentId::chat(9_000, 0)]));
    for document in [waiting, DocumentId::chat(9_000, 0)] {
        s.received(honest, Frame::Served(document));
    }
    // What the liar holds comes free after a while.
    let mut seconds = 0;
    while !asked(&mut s, honest).1 {
        s.tick();
        seconds += 1;
        assert!(seconds <= super::fetch::PATIENCE, "the honest peer is asked again");
    }
    s.received(honest, offer([held].into_iter()));
    assert_eq!(asked(&mut s, honest).0, [held]);
    s.received(liar, offer((0..100).map(|week| DocumentId::chat(week, 9))));
    assert_eq!(asked(&mut s, liar).0, [], "nothing is fetched from the liar for a while");
    for _ in 0..super::fetch::PENANCE {
        s.tick();
    }
    assert!(asked(&mut s, liar).1, "then it may try again");
}

#[test]
fn a_peer_that_trickles_keeps_its_own_fetches_but_not_a_document_that_another_offers() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let (slow, honest) = (DeviceId([1; 32]), DeviceId([2; 32]));
    s.opened(slow);
    s.opened(honest);
    let mut w = Writer::new(1);
    let held = DocumentId::chat(2, 0);
    s.received(slow, offer([held, w.log.document].into_iter()));
    assert_eq!(asked(&mut s, slow).0.len(), 2);
    for i in 0..30 {
        s.tick();
        if i % 5 == 0 {
            let entries = vec![w.write("now and then")];
            s.received(slow, Frame::Entries { live: false, entries: entries.clone() });
            s.committed(Some(slow), false, &entries);
        }
    }
    let _ = s.take();
    s.received(honest, offer([held, w.log.document].into_iter()));
    assert_eq!(asked(&mut s, honest).0, [held]);
}

#[test]
fn a_frame_of_bad_signatures_is_blamed_once() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let liar = DeviceId([1; 32]);
    s.opened(liar);
    let _ = s.take();
    let entries = (0..200u8).map(|seed| {
        let mut e = (*Writer::new(seed).write("x")).clone();
        e.signed.signature = [seed; 64];
        Arc::new(e)
    });
    s.received(liar, Frame::Entries { live: true, entries: entries.collect() });
    assert_eq!(s.take(), [Output::Blame(liar, Rejection::BadSignature)]);
}
