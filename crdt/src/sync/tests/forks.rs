//! Logs that forked: whichever branch a replica got first, all end with the same.

use super::*;
use crate::fork::{Fork, MAX_BRANCH, Proof, ProofError};
use crate::sync::branches::UNHELD;

impl Writer {
    /// The same log from the same place: what a snapshot brings back.
    fn twin(&self) -> Self {
        Self { key: self.key.clone(), ..*self }
    }

    fn run(&mut self, name: &str, n: usize) -> Vec<Arc<Entry>> {
        (0..n).map(|i| self.write(&format!("{name} {i}"))).collect()
    }
}

/// Gives a node a log before it meets anybody.
fn hold(c: &mut Cluster, who: DeviceId, entries: &[Arc<Entry>]) {
    let n = c.nodes.get_mut(&who).unwrap();
    assert!(matches!(n.sync.replica_mut().admit(entries), Ok(Admitted::New(_))));
    n.disk.entry(entries[0].header().log).or_default().extend_from_slice(entries);
    n.sync.committed(None, true, entries);
    let _ = n.sync.take();
}

fn connect_all(c: &mut Cluster) {
    let ids = c.ids();
    for (i, a) in ids.iter().enumerate() {
        for b in &ids[i + 1..] {
            c.connect(*a, *b);
        }
    }
}

/// Lets time pass as the node does: seconds, and a comparison with everybody.
fn rounds(c: &mut Cluster, n: usize) {
    for _ in 0..n {
        c.settle();
        for who in c.ids() {
            let sync = &mut c.nodes.get_mut(&who).unwrap().sync;
            (0..15).for_each(|_| sync.tick());
            sync.compare_all();
            c.step_outputs(who);
        }
        c.settle();
    }
}

/// The hashes of a log at every node: one list, if they are equal.
fn log_of(c: &mut Cluster, log: &LogId) -> Vec<EntryHash> {
    c.assert_equal();
    let n = c.nodes.values().next().unwrap();
    n.disk.get(log).map(|l| l.iter().map(|e| e.hash()).collect()).unwrap_or_default()
}

fn hashes(parts: &[&[Arc<Entry>]]) -> Vec<EntryHash> {
    parts.iter().flat_map(|p| p.iter().map(|e| e.hash())).collect()
}

#[test]
fn three_replicas_that_got_different_branches_first_end_with_the_lower_one() {
    for (seed, (common, left, right)) in
        [(0, 1, 1), (0, 3, 7), (4, 1, 1), (4, 5, 2), (1, 2, 2), (900, 3, 40), (3, 700, 300)].into_iter().enumerate()
    {
        let mut c = Cluster::new(4, seed as u64);
        let ids = c.ids();
        let mut west = Writer::new(99);
        let log = west.log;
        let start = west.run("common", common);
        let mut east = west.twin();
        let (west, east) = (west.run("west", left), east.run("east", right));
        for (who, branch) in [(ids[0], &west), (ids[1], &east), (ids[2], &Vec::new())] {
            let all: Vec<_> = start.iter().chain(branch).cloned().collect();
            if !all.is_empty() {
                hold(&mut c, who, &all);
            }
        }
        // The third hears of one first, the fourth of nothing.
        c.connect(ids[1], ids[2]);
        c.settle();
        connect_all(&mut c);
        rounds(&mut c, 2);
        let lower = if west[0].hash() < east[0].hash() { &west } else { &east };
        assert_eq!(log_of(&mut c, &log), hashes(&[&start, lower]), "common {common}, {left} and {right} after it");
        for n in c.nodes.values() {
            assert!(n.sync.branches.is_quiet(), "nothing is looked for any more");
            let forks: Vec<_> = n.sync.replica().forks().map(|(l, f)| (*l, f.place(), f.keeps())).collect();
            assert_eq!(forks, [(log, common as u64 + 1, Some(lower[0].hash()))]);
        }
    }
}

#[test]
fn a_branch_that_counts_goes_on_and_one_that_does_not_is_taken_from_nobody() {
    let mut c = Cluster::new(3, 5);
    let ids = c.ids();
    let mut west = Writer::new(99);
    let start = west.run("common", 2);
    let mut east = west.twin();
    let (a, b) = (west.run("west", 1), east.run("east", 1));
    let (mut keeps, mut loses) = if a[0].hash() < b[0].hash() { (west, east) } else { (east, west) };
    hold(&mut c, ids[0], &[start.clone(), a.clone()].concat());
    hold(&mut c, ids[1], &[start.clone(), b.clone()].concat());
    connect_all(&mut c);
    rounds(&mut c, 1);
    let (more, lost) = (keeps.run("more", 3), loses.run("lost", 3));
    let from = keeps.key.id();
    for n in c.nodes.values_mut() {
        n.sync.opened(from);
        let _ = n.sync.take();
        n.sync.received(from, Frame::Entries { live: true, entries: lost.clone() });
        n.sync.received(from, Frame::Entries { live: true, entries: more.clone() });
    }
    for id in &ids {
        c.step_outputs(*id);
    }
    rounds(&mut c, 1);
    let lower = if a[0].hash() < b[0].hash() { &a } else { &b };
    assert_eq!(log_of(&mut c, &keeps.log), hashes(&[&start, lower, &more]));
}

#[test]
fn an_author_who_signs_sparsely_forks_no_better() {
    let mut c = Cluster::new(3, 6);
    let ids = c.ids();
    c.nodes.values_mut().for_each(|n| n.batch = VOUCHED_BYTES);
    let mut west = Writer::new(99);
    let log = west.log;
    let start = west.run("common", 3);
    let mut east = west.twin();
    // The entries at the fork carry no signature that verifies; later ones vouch for them.
    let (a, b) = (sparse(&mut west, 60, 20), sparse(&mut east, 40, 10));
    hold(&mut c, ids[0], &[start.clone(), a.clone()].concat());
    hold(&mut c, ids[1], &[start.clone(), b.clone()].concat());
    connect_all(&mut c);
    rounds(&mut c, 2);
    let lower = if a[0].hash() < b[0].hash() { a } else { b };
    assert_eq!(log_of(&mut c, &log), hashes(&[&start, &lower]));
}

#[test]
fn whoever_forks_at_will_shortens_a_log_and_everybody_agrees_how_far() {
    for seed in 0..40 {
        let mut c = Cluster::new(5, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut west = Writer::new(99);
        let log = west.log;
        let mut all = west.run("common", rng.random_range(0..4));
        let mut tips = vec![(west, all.clone())];
        // Branches of branches.
        for n in 0..rng.random_range(1..8) {
            let (tip, path) = &tips[rng.random_range(0..tips.len())];
            let (mut tip, mut path) = (tip.twin(), path.clone());
            path.extend(tip.run(&format!("branch {n}"), rng.random_range(1..5)));
            tips.push((tip, path));
        }
        for who in c.ids() {
            let path = &tips[rng.random_range(0..tips.len())].1;
            if !path.is_empty() {
                hold(&mut c, who, path);
            }
        }
        let ids = c.ids();
        for i in 1..ids.len() {
            let other = ids[rng.random_range(0..i)];
            c.connect(ids[i], other);
        }
        rounds(&mut c, 8);
        all = tips.iter().flat_map(|(_, path)| path.clone()).collect();
        let held = log_of(&mut c, &log);
        assert!(held.iter().all(|h| all.iter().any(|e| e.hash() == *h)));
        for n in c.nodes.values() {
            assert!(n.sync.replica().forks().all(|(_, f)| f.proofs().count() <= 2));
        }
    }
}

/// The proof of two writers that part after `common` entries.
fn proof(seed: u8, common: usize) -> Proof {
    let mut west = Writer::new(seed);
    west.run("common", common);
    let mut east = west.twin();
    let branch = |e: Arc<Entry>| vec![e.signed.clone()];
    Proof::new(branch(west.write("west")), branch(east.write("east"))).unwrap()
}

#[test]
fn what_is_decided_depends_on_the_proofs_and_not_on_their_order() {
    let mut west = Writer::new(99);
    let mut proofs = Vec::new();
    for n in 0..4 {
        let headers: Vec<_> = (0..3).map(|b| west.twin().write(&format!("{n} {b}")).signed.clone()).collect();
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            proofs.push(Proof::new(vec![headers[a].clone()], vec![headers[b].clone()]).unwrap());
        }
        west.write("on");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..200 {
        let n = rng.random_range(1..=proofs.len());
        let some: Vec<_> = (0..n).map(|_| proofs[rng.random_range(0..proofs.len())].clone()).collect();
        let decide = |order: &[Proof]| {
            let mut fork = Fork::new(order[0].clone());
            for p in &order[1..] {
                fork.join(p.clone());
            }
            (fork.place(), fork.keeps())
        };
        let mut backwards = some.clone();
        backwards.reverse();
        let mut shuffled = some.clone();
        shuffled.rotate_left(rng.random_range(0..n));
        assert_eq!(decide(&some), decide(&backwards));
        assert_eq!(decide(&some), decide(&shuffled));
    }
}

#[test]
fn a_forged_proof_is_refused_and_its_messenger_blamed() {
    let good = proof(7, 3);
    assert_eq!(good.verify(&space()), Ok(()));
    assert_eq!(good.verify(&SpaceId([1; 32])), Err(ProofError::WrongSpace));
    let bytes = good.encode();
    assert_eq!(Proof::read(&mut Reader::new(&bytes)).as_ref(), Ok(&good));
    // Every changed byte makes another proof or none, and none that verifies.
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let read = Proof::read(&mut Reader::new(&bad));
        assert!(read.is_err() || read.unwrap().verify(&space()).is_err(), "byte {at}");
    }
    let one = good.kept().to_vec();
    assert_eq!(Proof::new(one.clone(), one.clone()), Err(ProofError::NoFork));
    assert_eq!(Proof::new(one.clone(), proof(8, 3).kept().to_vec()), Err(ProofError::NoFork), "another's log");
    assert_eq!(Proof::new(one.clone(), proof(7, 2).kept().to_vec()), Err(ProofError::NoFork), "another place");
    assert_eq!(Proof::new(vec![one[0].clone(); MAX_BRANCH + 1], one.clone()), Err(ProofError::NoFork));
    let mut twin = Writer::new(7);
    twin.run("common", 3);
    let other = twin.write("other").signed.clone();
    assert_eq!(Proof::new(vec![other.clone(), one[0].clone()], one.clone()), Err(ProofError::BrokenChain));

    let unsigned = |s: &SignedHeader| {
        let mut s = s.clone();
        s.signature[5] ^= 1;
        SignedHeader::decode(&mut Reader::new(&s.encode())).unwrap()
    };
    let forged = Proof::new(one, vec![unsigned(&other)]).unwrap();
    assert_eq!(forged.verify(&space()), Err(ProofError::BadSignature));
    let (me, peer) = (Writer::new(1).key.id(), Writer::new(2).key.id());
    for (access, proof, why) in [
        (Access::Commons, forged, Rejection::Proof(ProofError::BadSignature)),
        (Access::Direct(me.principal(), peer.principal()), good, Rejection::NotAMember),
    ] {
        let mut s = SpaceSync::new(Replica::new(space(), access));
        s.opened(peer);
        let _ = s.take();
        s.received(peer, Frame::Fork(Box::new(proof)));
        assert_eq!(s.take(), [Output::Blame(peer, why)]);
        assert_eq!(s.replica().forks().count(), 0);
    }
}

#[test]
fn a_peer_that_shows_no_branch_it_was_asked_for_is_blamed_or_forgotten() {
    let mut west = Writer::new(99);
    let start = west.run("common", 40);
    let mut east = west.twin();
    let (a, b) = (west.run("west", 5), east.run("east", 6));
    let peer = Writer::new(2).key.id();
    let ask = || {
        let mut c = Cluster::new(1, 1);
        let me = c.ids()[0];
        hold(&mut c, me, &[start.clone(), a.clone()].concat());
        let n = c.nodes.get_mut(&me).unwrap();
        n.sync.opened(peer);
        let _ = n.sync.take();
        n.sync.received(peer, Frame::Entries { live: true, entries: b[3..].to_vec() });
        let Node { sync, disk, .. } = n;
        let outs = sync.take();
        let Some(Output::Examine { from, suspect }) = outs.into_iter().next() else { panic!("nothing to look at") };
        sync.examine(from, suspect, &|seq| disk.values().next()?.get(seq as usize - 1).cloned());
        let asked = sync.take();
        let [Output::Send(_, Frame::Trace { from, .. })] = asked[..] else { panic!("{asked:?}") };
        (c, me, from)
    };
    let log = west.log;
    let (_, _, from) = ask();
    assert_eq!(from, 28, "sixteen before the run");
    let all: Vec<_> = [start.clone(), b.clone()].concat().iter().map(|e| e.signed.clone()).collect();
    let at = from as usize - 1;
    let mut unsigned = all[at..].to_vec();
    unsigned.last_mut().unwrap().signature[0] ^= 1;
    let gap = [&all[at..at + 3], &all[at + 4..]].concat();
    for (headers, why) in [
        (unsigned, Some(Rejection::BadSignature)),
        (gap, Some(Rejection::BrokenChain)),
        (all[at + 1..].to_vec(), Some(Rejection::BrokenChain)),
        (Vec::new(), None),
    ] {
        let (mut c, me, _) = ask();
        let sync = &mut c.nodes.get_mut(&me).unwrap().sync;
        sync.received(peer, Frame::Branch { log, headers });
        assert_eq!(sync.take(), why.map(|w| Output::Blame(peer, w)).into_iter().collect::<Vec<_>>());
        // What comes unasked is passed over.
        sync.received(peer, Frame::Branch { log, headers: all.clone() });
        assert_eq!(sync.take(), []);
    }
}

#[test]
fn made_up_logs_of_one_device_take_bounded_room() {
    let (me, peer) = (Writer::new(1).key.id(), Writer::new(2).key.id());
    let mut s = SpaceSync::new(Replica::new(space(), Access::Direct(me.principal(), peer.principal())));
    s.opened(peer);
    let mut taken = 0;
    for n in 0..200u8 {
        let mut west = Writer::new(2);
        west.log.incarnation = Incarnation([n; 16]);
        let mut east = west.twin();
        let branch = |e: Arc<Entry>| vec![e.signed.clone()];
        let proof = Proof::new(branch(west.write("west")), branch(east.write("east"))).unwrap();
        s.received(peer, Frame::Fork(Box::new(proof)));
        for o in s.take() {
            if let Output::Examine { from, suspect } = o {
                s.examine(from, suspect, &|_| None);
                taken += 1;
            }
        }
        let _ = s.take();
    }
    assert_eq!((taken, s.replica().forks().count()), (UNHELD, UNHELD));
}

#[test]
fn what_cannot_be_looked_at_yet_is_looked_at_later() {
    let peer = Writer::new(2).key.id();
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    s.opened(peer);
    let (mut west, mut east) = (Writer::new(7), Writer::new(7));
    let branch = |e: Arc<Entry>| vec![e.signed.clone()];
    let proof = Proof::new(branch(west.write("west")), branch(east.write("east"))).unwrap();
    s.received(peer, Frame::Fork(Box::new(proof)));
    for _ in 0..2 {
        let outs = s.take();
        let Some(Output::Examine { from, suspect }) = outs.into_iter().next_back() else {
            panic!("nothing to look at")
        };
        s.later(from, suspect);
        assert_eq!(s.take(), [], "not before something has changed");
        s.tick();
    }
    let Some(Output::Examine { from, suspect }) = s.take().pop() else { panic!("nothing to look at") };
    s.examine(from, suspect, &|_| None);
    assert_eq!(s.replica().forks().count(), 1);
}
