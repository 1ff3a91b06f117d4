//! Ledgers that talk over lossy links, and statements that must not be taken.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::identity::DeviceKey;
use crate::ids::{DocumentId, EntryHash, NetworkId};
use crate::replica::Tip;

fn commons() -> SpaceId {
    SpaceId::commons(&NetworkId([7; 16]))
}

struct Node {
    key: DeviceKey,
    ledger: Ledger,
    replica: Replica,
    counter: u64,
    read: Option<OrderKey>,
    news: BTreeSet<DeviceId>,
    refused: Vec<StatementError>,
    elsewhere: Vec<Hlc>,
    contradicted: Vec<Incarnation>,
}

impl Node {
    fn new(seed: u8, space: SpaceId, access: Access) -> Self {
        let key = DeviceKey::from_seed(&[seed; 32]);
        Self {
            ledger: Ledger::new(space, key.id(), access),
            replica: Replica::new(space, access),
            key,
            counter: 0,
            read: None,
            news: BTreeSet::new(),
            refused: Vec::new(),
            elsewhere: Vec::new(),
            contradicted: Vec::new(),
        }
    }

    fn id(&self) -> DeviceId {
        self.key.id()
    }

    fn log(&self) -> LogId {
        log_of(&self.key, 0)
    }

    fn hold(&mut self, log: LogId, seq: u64) {
        self.replica.restore(&log, Tip { seq, hash: EntryHash([seq as u8; 32]), hlc: Hlc(seq) });
        self.ledger.update(&[End { log, seq, hash: EntryHash([seq as u8; 32]) }]);
    }

    fn state(&mut self, floor: u64, anyway: bool) -> Option<Signed> {
        let statement = self.ledger.draft(Incarnation([1; 16]), Hlc(floor), Hlc(floor), self.read, anyway)?;
        let signed = Signed::sign(statement, &self.ledger.space, &self.key);
        self.ledger.stated(signed);
        Some(signed)
    }
}

fn log_of(key: &DeviceKey, part: u16) -> LogId {
    LogId { document: DocumentId::chat(1, part), device: key.id(), incarnation: Incarnation([1; 16]) }
}

struct Net {
    nodes: Vec<Node>,
    links: BTreeSet<(usize, usize)>,
    rng: ChaCha8Rng,
    loss: f64,
    asked: usize,
    notes: usize,
}

impl Net {
    fn new(n: u8, seed: u64) -> Self {
        let nodes = (1..=n).map(|i| Node::new(i, commons(), Access::Commons)).collect();
        let (links, rng) = (BTreeSet::new(), ChaCha8Rng::seed_from_u64(seed));
        Self { nodes, links, rng, loss: 0.0, asked: 0, notes: 0 }
    }

    fn link(&mut self, a: usize, b: usize) {
        let (ia, ib) = (self.nodes[a].id(), self.nodes[b].id());
        if self.links.insert((a.min(b), a.max(b))) {
            self.nodes[a].ledger.opened(ib);
            self.nodes[b].ledger.opened(ia);
            self.neighbours();
        }
    }

    fn part(&mut self, a: usize, b: usize) {
        let (ia, ib) = (self.nodes[a].id(), self.nodes[b].id());
        if self.links.remove(&(a.min(b), a.max(b))) {
            self.nodes[a].ledger.closed(ib);
            self.nodes[b].ledger.closed(ia);
            self.neighbours();
        }
    }

    fn neighbours(&mut self) {
        let of = |links: &BTreeSet<(usize, usize)>, nodes: &[Node], a: usize| -> BTreeSet<DeviceId> {
            let other = |(x, y): &(usize, usize)| if *x == a { Some(*y) } else { (*y == a).then_some(*x) };
            links.iter().filter_map(other).map(|i| nodes[i].id()).collect()
        };
        for (a, b) in self.links.clone() {
            for (x, y) in [(a, b), (b, a)] {
                let (seen, id) = (of(&self.links, &self.nodes, y), self.nodes[y].id());
                self.nodes[x].ledger.neighbours(id, seen);
            }
        }
    }

    /// Delivers until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for a in 0..self.nodes.len() {
                for output in self.nodes[a].ledger.take() {
                    let Output::Send(to, note) = output else {
                        match output {
                            Output::News(d) => drop(self.nodes[a].news.insert(d)),
                            Output::Refused(_, why) => self.nodes[a].refused.push(why),
                            Output::Elsewhere(floor, _) => self.nodes[a].elsewhere.push(floor),
                            Output::Contradicted(pair) => self.nodes[a].contradicted.push(pair.start()),
                            Output::Send(..) => {}
                        }
                        continue;
                    };
                    let mut w = crate::codec::Writer::default();
                    note.write(&mut w);
                    let bytes = w.finish();
                    let mut r = crate::codec::Reader::new(&bytes);
                    let kind = r.u8().unwrap();
                    let back = Note::read(kind, &mut r).unwrap();
                    assert_eq!((&back, r.remaining()), (&note, 0), "one encoding");
                    self.asked += usize::from(matches!(note, Note::AskNodes(_)));
                    let from = self.nodes[a].id();
                    for peer in to {
                        let Some(b) = self.nodes.iter().position(|n| n.id() == peer) else { continue };
                        self.notes += 1;
                        // Parted meanwhile, or lost.
                        if !self.links.contains(&(a.min(b), a.max(b))) || self.rng.random_bool(self.loss) {
                            continue;
                        }
                        self.nodes[b].ledger.received(from, note.clone());
                        moved = true;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn tick(&mut self) {
        for n in &mut self.nodes {
            n.state(0, false);
            n.ledger.tick(&n.replica);
        }
        self.settle();
    }

    fn write(&mut self, who: usize) {
        let log = self.nodes[who].log();
        self.nodes[who].counter += 1;
        let seq = self.nodes[who].counter;
        self.nodes[who].hold(log, seq);
    }

    /// What one holds the other takes over.
    fn copy(&mut self, from: usize, to: usize) {
        for end in self.nodes[from].ledger.mine().ends() {
            if self.nodes[to].ledger.mine().seq(&end.log) < end.seq {
                self.nodes[to].hold(end.log, end.seq);
            }
        }
    }
}

mod contradictions;

#[test]
fn a_device_learns_what_one_holds_whom_it_never_met() {
    let mut net = Net::new(3, 1);
    net.link(0, 1);
    net.write(0);
    net.copy(0, 1);
    net.tick();
    let (a, b, c) = (net.nodes[0].id(), net.nodes[1].id(), net.nodes[2].id());
    let log = net.nodes[0].log();
    assert!(net.nodes[0].ledger.holds(&b, &log, 1) && net.nodes[1].ledger.holds(&a, &log, 1));
    // The middle one is carried over.
    net.part(0, 1);
    net.link(1, 2);
    net.copy(1, 2);
    net.tick();
    assert!(net.nodes[2].ledger.holds(&a, &log, 1), "the absent author's own statement came along");
    assert!(!net.nodes[0].ledger.holds(&c, &log, 1));
    net.part(1, 2);
    net.link(0, 1);
    net.settle();
    assert!(net.nodes[0].ledger.holds(&c, &log, 1) && net.nodes[0].news.contains(&c));
    // In a line, what one end states reaches the other while both are there.
    net.link(1, 2);
    net.write(0);
    net.copy(0, 1);
    net.copy(1, 2);
    net.tick();
    net.tick();
    assert!(net.nodes[0].ledger.holds(&c, &log, 2));
    assert!(net.nodes.iter().flat_map(|n| &n.refused).all(|e| *e == StatementError::Old), "told twice at most");
    assert_eq!(net.asked, 0, "everything was told or known");
}

#[test]
fn how_far_somebody_read_is_passed_on_and_covers_only_what_they_hold() {
    let mut net = Net::new(3, 3);
    let key = |stamp: u64| OrderKey { stamp: Hlc(stamp), ..OrderKey::MIN };
    net.link(0, 1);
    net.link(1, 2);
    net.write(0);
    net.copy(0, 1);
    net.copy(1, 2);
    net.tick();
    let (c, log) = (net.nodes[2].id(), net.nodes[0].log());
    let read = |net: &Net, seq: u64, at: u64| net.nodes[0].ledger.has_read(&c, &log, seq, &key(at));
    net.tick();
    assert!(net.nodes[0].ledger.holds(&c, &log, 1) && !read(&net, 1, 0), "it holds it and says nothing of reading");
    net.nodes[2].read = Some(key(10));
    net.tick();
    net.tick();
    assert!(read(&net, 1, 10) && !read(&net, 1, 11), "through one who knows both");
    // What the author wrote since is below that place, but is not held.
    net.write(0);
    net.tick();
    assert!(!read(&net, 2, 5));
    // Switched off: nothing is said any more.
    net.nodes[2].read = None;
    net.tick();
    net.tick();
    assert!(!read(&net, 1, 0));
}

#[test]
fn an_unknown_frontier_is_fetched_and_absent_devices_are_vouched_for() {
    let mut net = Net::new(3, 2);
    // The first holds a history that nobody else has, and goes away for good.
    for part in 0..400 {
        let log = log_of(&net.nodes[0].key, part);
        net.nodes[0].hold(log, 3);
    }
    net.link(0, 1);
    for _ in 0..12 {
        net.tick();
    }
    assert!(net.asked > 0);
    let (a, log) = (net.nodes[0].id(), log_of(&net.nodes[0].key, 17));
    assert_eq!(net.nodes[1].ledger.held(&a, &log), 3);
    net.part(0, 1);
    net.link(1, 2);
    for _ in 0..12 {
        net.tick();
    }
    assert_eq!(net.nodes[2].ledger.held(&a, &log), 3, "from one who has its frontier only");
    assert_eq!(net.nodes[2].ledger.tree(&a), Some(net.nodes[0].ledger.mine()));
    // What it states next is told as a change against what was fetched.
    let asked = net.asked;
    net.nodes[0].hold(log, 4);
    net.link(0, 2);
    net.tick();
    assert_eq!((net.nodes[2].ledger.held(&a, &log), net.asked), (4, asked));
}

#[test]
fn after_any_trouble_and_a_quiet_time_everybody_knows_what_everybody_holds() {
    for seed in 0..40 {
        let mut net = Net::new(6, seed);
        net.loss = 0.2;
        for _ in 0..60 {
            let (a, b) = (net.rng.random_range(0..6), net.rng.random_range(0..6));
            match net.rng.random_range(0..6) {
                0 | 1 => net.write(a),
                2 if a != b => net.link(a, b),
                3 if a != b => net.part(a, b),
                4 if net.links.contains(&(a.min(b), a.max(b))) => net.copy(a, b),
                _ => net.tick(),
            }
        }
        net.loss = 0.0;
        for i in 1..6 {
            net.link(i - 1, i);
        }
        for _ in 0..250 {
            net.tick();
            net.nodes.iter_mut().for_each(|n| n.ledger.compare_all());
            net.settle();
        }
        for x in &net.nodes {
            assert!(x.refused.iter().all(|e| *e == StatementError::Old), "seed {seed}: {:?}", x.refused);
            for y in net.nodes.iter().filter(|y| !y.ledger.mine().is_empty()) {
                assert_eq!(x.ledger.tree(&y.id()), Some(y.ledger.mine()), "seed {seed}");
            }
        }
        let before = net.notes;
        net.tick();
        assert_eq!(net.notes, before, "seed {seed}: quiet is quiet");
    }
}

fn direct() -> (SpaceId, Access, Node, Node) {
    let p = |i: u8| DeviceKey::from_seed(&[i; 32]).id().principal();
    let (space, access) = (SpaceId::direct(&p(1), &p(2)), Access::Direct(p(1), p(2)));
    let (mut a, mut b) = (Node::new(1, space, access), Node::new(2, space, access));
    a.ledger.opened(b.id());
    b.ledger.opened(a.id());
    (space, access, a, b)
}

fn tell(to: &mut Node, from: DeviceId, signed: Signed, changes: Vec<End>) -> Option<StatementError> {
    to.ledger.received(from, Note::Told(vec![Told { signed, changes }]));
    to.ledger.take().into_iter().find_map(|o| if let Output::Refused(_, why) = o { Some(why) } else { None })
}

#[test]
fn what_is_forged_foreign_replayed_or_rolled_back_is_refused() {
    let (space, _, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 1);
    let first = a.state(100, false).unwrap();
    a.hold(log, 2);
    let second = a.state(200, false).unwrap();
    let from = a.id();
    assert_eq!(tell(&mut b, from, second, vec![]), None);
    assert_eq!(tell(&mut b, from, first, vec![]), Some(StatementError::Old), "a replay");
    assert_eq!(tell(&mut b, from, second, vec![]), Some(StatementError::Old), "once more");
    // In another's name, by another key.
    let thief = DeviceKey::from_seed(&[2; 32]);
    let forged = Signed::sign(Statement { counter: 99, ..second.statement }, &space, &thief);
    assert_eq!(tell(&mut b, from, forged, vec![]), Some(StatementError::BadSignature));
    let elsewhere = Signed::sign(Statement { counter: 99, ..second.statement }, &commons(), &a.key);
    assert_eq!(tell(&mut b, from, elsewhere, vec![]), Some(StatementError::BadSignature), "of another space");
    let stranger = DeviceKey::from_seed(&[3; 32]);
    let foreign = Signed::sign(Statement { device: stranger.id(), ..second.statement }, &space, &stranger);
    assert_eq!(tell(&mut b, from, foreign, vec![]), Some(StatementError::NotAMember));
    assert_eq!(b.ledger.statement(&from), Some(&second.statement));
    // Another start of the device may take back a floor: it was restored. What it promised before still holds.
    let restored = Statement { counter: 99, floor: Hlc(150), incarnation: Incarnation([9; 16]), ..second.statement };
    assert_eq!(tell(&mut b, from, Signed::sign(restored, &space, &a.key), vec![]), None);
}

#[test]
fn changes_that_do_not_lead_to_the_root_are_not_believed() {
    let (_, _, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 1);
    let signed = a.state(100, false).unwrap();
    let from = a.id();
    let lie = End { log, seq: 50, hash: EntryHash([1; 32]) };
    assert_eq!(tell(&mut b, from, signed, vec![lie]), None);
    assert!(!b.ledger.holds(&from, &log, 1), "nothing is known of it yet");
    b.hold(log, 1);
    b.ledger.tick(&b.replica);
    assert_eq!(b.ledger.held(&from, &log), 1, "it holds just what we hold");
}

#[test]
fn a_floor_counts_once_everything_below_it_is_here() {
    let (_, _, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 5);
    let signed = a.state(700, false).unwrap();
    assert_eq!(a.ledger.safe(&a.id()), Hlc(700));
    let told = a.ledger.take().into_iter().find_map(|o| if let Output::Send(_, n) = o { Some(n) } else { None });
    b.ledger.received(a.id(), told.unwrap());
    b.ledger.tick(&b.replica);
    assert_eq!(b.ledger.held(&a.id(), &log), 5);
    assert_eq!(b.ledger.safe(&a.id()), Hlc(0), "its entries are not here");
    b.hold(log, 4);
    b.ledger.tick(&b.replica);
    assert_eq!(b.ledger.safe(&a.id()), Hlc(0));
    b.hold(log, 6);
    let _ = b.ledger.take();
    b.ledger.tick(&b.replica);
    assert_eq!(b.ledger.safe(&a.id()), Hlc(700), "more than that is fine");
    assert!(b.ledger.take().contains(&Output::News(a.id())));
    // Kept and read back; a restored start with a lower floor takes nothing back.
    let rows = b.ledger.unsaved();
    assert_eq!(rows.len(), 1);
    assert!(b.ledger.unsaved().is_empty());
    let (device, kept, safe, tree) = rows[0].clone();
    assert_eq!((device, kept, safe, tree.seq(&log)), (a.id(), signed, Hlc(700), 5));
    assert_eq!(b.ledger.stored(&kept.encode()), Some((signed, None)));
    let with_root = [&kept.encode()[..], &[8; 32]].concat();
    assert_eq!(b.ledger.stored(&with_root), Some((signed, Some([8; 32]))));
    assert_eq!(b.ledger.stored(&with_root[..with_root.len() - 1]), None);
    assert_eq!(b.ledger.stored(&kept.encode()[1..]), None);
    let mut flipped = kept.encode();
    flipped[60] ^= 1;
    assert_eq!(b.ledger.stored(&flipped), None);
}

#[test]
fn a_floor_never_goes_back_and_nothing_is_said_of_nothing() {
    let (_, _, mut a, _) = direct();
    assert_eq!(a.state(5, true), None, "an empty space");
    let log = a.log();
    a.hold(log, 1);
    assert_eq!(a.state(100, false).unwrap().statement.floor, Hlc(100));
    assert_eq!(a.state(120, false), None, "nothing new");
    let again = a.state(50, true).unwrap().statement;
    assert_eq!((again.floor, again.counter), (Hlc(100), 2));
    // A statement that could not be stored is said again.
    a.hold(log, 2);
    let lost = a.ledger.draft(Incarnation([1; 16]), Hlc(200), Hlc(200), None, false).unwrap();
    assert_eq!(a.ledger.draft(Incarnation([1; 16]), Hlc(201), Hlc(201), None, true), None, "one at a time");
    a.ledger.not_stated();
    let _ = a.ledger.take();
    let next = a.state(300, false).unwrap().statement;
    assert!(next.counter > lost.counter && next.root == lost.root);
    let out = a.ledger.take();
    let Some(Output::Send(_, Note::Told(told))) = out.iter().find(|o| matches!(o, Output::Send(..))) else { panic!() };
    assert_eq!(told[0].changes.len(), 1, "with what changed since the last one that was sent");
}

#[test]
fn a_restored_device_learns_how_far_it_had_counted() {
    let (space, access, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 1);
    let mut newest = a.state(1, false).unwrap();
    for i in 2..20 {
        a.hold(log, i);
        newest = a.state(i * 100, false).unwrap();
    }
    let from = a.id();
    assert_eq!(tell(&mut b, from, newest, vec![]), None);
    // The same device from an early backup.
    let mut old = Node::new(1, space, access);
    old.hold(log, 1);
    old.ledger.opened(b.id());
    old.state(1, false).unwrap();
    let _ = old.ledger.take();
    let from = b.id();
    assert_eq!(tell(&mut old, from, newest, vec![]), None);
    let back = old.ledger.draft(Incarnation([2; 16]), Hlc(5), Hlc(1_950), None, false).unwrap();
    assert!(back.counter > newest.statement.counter, "it says again what it holds, and that stands");
    let mut forged = newest;
    forged.statement.counter = u64::MAX - 1;
    assert_eq!(
        tell(&mut old, from, forged, vec![]),
        Some(StatementError::BadSignature),
        "nobody else can make it count on"
    );
}

#[test]
fn a_restored_device_hears_of_its_old_floor_though_it_has_counted_as_far_again() {
    let (space, access, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 1);
    let before = a.state(1_000, false).unwrap();
    let from = a.id();
    assert_eq!(tell(&mut b, from, before, vec![]), None);
    // From a backup older than that, another start says something else under the same count.
    let mut old = Node::new(1, space, access);
    old.hold(log, 1);
    let draft = old.ledger.draft(Incarnation([2; 16]), Hlc(5), Hlc(5), None, false).unwrap();
    assert_eq!(draft.counter, before.statement.counter);
    old.ledger.stated(Signed::sign(draft, &space, &old.key));
    old.ledger.opened(b.id());
    let _ = old.ledger.take();
    // What a comparison brings: b's answer to the vector of the restored device.
    let all = old.ledger.vector();
    b.ledger.received(from, Note::Vector { ask: false, all });
    let answers = b.ledger.take();
    let told = answers.iter().find_map(|o| if let Output::Send(_, Note::Told(told)) = o { told.first() } else { None });
    let told = told.expect("the same count is no reason to be silent").clone();
    assert_eq!(told.signed, before);
    old.ledger.received(b.id(), Note::Told(vec![told]));
    let heard = old.ledger.take();
    assert!(heard.contains(&Output::Elsewhere(before.statement.floor, Incarnation([1; 16]))), "{heard:?}");
    // Once it has stated a floor past that one, the old statement says nothing new.
    old.hold(log, 2);
    let draft = old.ledger.draft(Incarnation([2; 16]), Hlc(2_000), Hlc(2_000), None, true).unwrap();
    old.ledger.stated(Signed::sign(draft, &space, &old.key));
    assert_eq!(tell(&mut old, b.id(), before, vec![]), Some(StatementError::Old));
}

#[test]
fn strangers_cannot_crowd_out_those_who_wrote_something() {
    let mut n = Node::new(1, commons(), Access::Commons);
    let writer = DeviceKey::from_seed(&[2; 32]);
    let peer = DeviceKey::from_seed(&[3; 32]).id();
    n.ledger.opened(peer);
    n.hold(log_of(&writer, 0), 1);
    let say = |key: &DeviceKey| {
        let root = crate::frontier::EMPTY;
        let (incarnation, at) = (Incarnation([1; 16]), Hlc(1));
        let statement = Statement { device: key.id(), incarnation, counter: 1, at, floor: Hlc(0), root, read: None };
        Signed::sign(statement, &commons(), key)
    };
    assert_eq!(tell(&mut n, peer, say(&writer), vec![]), None);
    for i in 0..=(MAX_STATEMENTS as u32) {
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&i.to_be_bytes());
        assert_eq!(tell(&mut n, peer, say(&DeviceKey::from_seed(&seed)), vec![]), None);
    }
    assert_eq!(n.ledger.statements().count(), MAX_STATEMENTS);
    assert!(n.ledger.statement(&writer.id()).is_some());
}

#[test]
fn notes_beyond_the_bounds_cannot_be_read() {
    use crate::sync::frame::Frame;
    let key = DeviceKey::from_seed(&[1; 32]);
    let end = End { log: log_of(&key, 0), seq: 1, hash: EntryHash([1; 32]) };
    let statement = Statement {
        device: key.id(),
        incarnation: Incarnation([1; 16]),
        counter: 1,
        at: Hlc(1),
        floor: Hlc(0),
        root: [1; 32],
        read: None,
    };
    let signed = Signed::sign(statement, &commons(), &key);
    let told = |n: usize, changes: usize| vec![Told { signed, changes: vec![end; changes] }; n];
    let device = |i: u32| DeviceId(std::array::from_fn(|b| i.to_be_bytes().get(b).copied().unwrap_or(0)));
    let line = |i: u32| note::Line { device: device(i), counter: 1, print: [2; 32] };
    let vector = |n: u32| (0..n).map(line).collect::<Vec<_>>();
    let max = MAX_VECTOR as u32;
    let fits = [
        Note::Digest([1; 32]),
        Note::Vector { ask: true, all: vector(max) },
        Note::Told(told(MAX_TOLD, MAX_CHANGES)),
        Note::AskNodes(vec![[1; 32]; note::MAX_NODES]),
        Note::Nodes(vec![vec![1; crate::frontier::MAX_NODE]; note::MAX_NODES]),
    ];
    for note in fits {
        let bytes = Frame::Note(note.clone()).encode();
        assert!(bytes.len() < 900 * 1024, "fits a frame: {}", bytes.len());
        assert_eq!(Frame::decode(&bytes), Ok(Frame::Note(note)));
        for cut in [1, bytes.len() / 2, bytes.len() - 1] {
            assert!(Frame::decode(&bytes[..cut]).is_err());
        }
    }
    let beyond = [
        Note::Vector { ask: false, all: vector(max + 1) },
        Note::Vector { ask: false, all: vec![line(2), line(1)] },
        Note::Told(told(MAX_TOLD + 1, 0)),
        Note::Told(told(1, MAX_CHANGES + 1)),
        Note::AskNodes(vec![[1; 32]; note::MAX_NODES + 1]),
        Note::Nodes(vec![vec![1]; note::MAX_NODES + 1]),
        Note::Nodes(vec![vec![1; crate::frontier::MAX_NODE + 1]]),
    ];
    for note in beyond {
        assert!(Frame::decode(&Frame::Note(note).encode()).is_err());
    }
}
