//! Starts that say two things under one number, or take back what they promised: everybody ends with the same statement
//! and the same proof, and nobody is proven guilty who is not.

use super::*;
use crate::ledger::contradiction::CONTRADICTIONS;

fn start(n: u8) -> Incarnation {
    Incarnation([n; 16])
}

fn signed(key: &DeviceKey, by: Incarnation, counter: u64, floor: u64, root: u8) -> Signed {
    let (at, root) = (Hlc(1), [root; 32]);
    let statement = Statement { device: key.id(), incarnation: by, counter, at, floor: Hlc(floor), root, read: None };
    Signed::sign(statement, &commons(), key)
}

/// A member of the commons that writes nothing.
fn liar() -> DeviceKey {
    DeviceKey::from_seed(&[77; 32])
}

/// Tells one node of it, as somebody who is connected does.
fn hear(net: &mut Net, who: usize, from: DeviceId, said: Signed) {
    net.nodes[who].ledger.received(from, Note::Told(vec![Told { signed: said, changes: Vec::new() }]));
}

fn counts(net: &Net, who: usize, device: &DeviceId) -> Option<Signed> {
    net.nodes[who].ledger.all.get(device).map(|k| k.signed)
}

fn proven(net: &Net, who: usize) -> Vec<Incarnation> {
    net.nodes[who].ledger.contradictions().map(Contradiction::start).collect()
}

/// Five in a line who talk to each other.
fn line() -> Net {
    let mut net = Net::new(5, 9);
    (1..5).for_each(|i| net.link(i - 1, i));
    (0..5).for_each(|i| net.write(i));
    for _ in 0..6 {
        net.tick();
    }
    net
}

#[test]
fn of_two_statements_with_one_number_all_keep_the_same_and_all_get_the_proof() {
    let mut starts = BTreeSet::new();
    for root in 1..9 {
        let (mut net, key) = (line(), liar());
        let (west, east) = (signed(&key, start(5), 7, 0, 100 + root), signed(&key, start(5), 7, 0, root));
        for (who, said) in [(0, west), (4, east)] {
            net.nodes[who].ledger.opened(key.id());
            hear(&mut net, who, key.id(), said);
            net.nodes[who].ledger.closed(key.id());
        }
        for _ in 0..6 {
            net.tick();
        }
        let lower = if west.statement.hash() < east.statement.hash() { west } else { east };
        starts.insert(lower == west);
        for who in 0..5 {
            assert_eq!(counts(&net, who, &key.id()), Some(lower), "the lower hash, whichever came first");
            assert_eq!(proven(&net, who), [start(5)]);
            assert_eq!(net.nodes[who].contradicted, [start(5)], "each is told once");
        }
        // Nothing more is said of it: what they compare is the same.
        let digests: BTreeSet<_> = net.nodes.iter().map(|n| n.ledger.digest()).collect();
        assert_eq!(digests.len(), 1);
        let before = net.notes;
        net.nodes.iter_mut().for_each(|n| n.ledger.compare_all());
        net.settle();
        assert_eq!(net.notes - before, 8, "a digest each way of each link, and no answer");
    }
    assert_eq!(starts.len(), 2, "either counted in some of the runs");
}

#[test]
fn who_takes_back_a_floor_is_proven_and_what_it_promised_holds() {
    let (space, _, mut a, mut b) = direct();
    let log = a.log();
    a.hold(log, 1);
    b.hold(log, 1);
    let promised = a.state(200, false).unwrap();
    let from = a.id();
    assert_eq!(tell(&mut b, from, promised, vec![]), None);
    b.ledger.tick(&b.replica);
    assert_eq!(b.ledger.safe(&from), Hlc(200));
    let back = Statement { counter: 9, floor: Hlc(150), ..promised.statement };
    b.ledger.received(from, Note::Told(vec![Told { signed: Signed::sign(back, &space, &a.key), changes: vec![] }]));
    let out = b.ledger.take();
    let pair = out.iter().find_map(|o| if let Output::Contradicted(pair) = o { Some(**pair) } else { None }).unwrap();
    assert_eq!((pair.device(), pair.start(), pair.counts().statement), (from, Incarnation([1; 16]), back));
    assert!(pair.verify(&space) && !pair.verify(&commons()));
    b.ledger.tick(&b.replica);
    assert_eq!((b.ledger.statement(&from), b.ledger.safe(&from)), (Some(&back), Hlc(200)));
    // It is told of that itself, with what it had promised: an honest one was set back to an older state.
    assert!(out.contains(&Output::Send(vec![from], Note::Contradiction(Box::new(pair)))));
    a.ledger.received(b.id(), Note::Contradiction(Box::new(pair)));
    let heard = a.ledger.take();
    assert!(heard.contains(&Output::Contradicted(Box::new(pair))), "{heard:?}");
    assert!(heard.contains(&Output::Elsewhere(Hlc(150), Incarnation([1; 16]))));
    assert!(a.state(300, false).unwrap().statement.counter > 9, "it counts on past it");
    // Stored, and read back.
    let kept = Contradiction::stored(&pair.encode(), &space).unwrap();
    assert_eq!(Contradiction::stored(&pair.encode(), &commons()), None);
    assert_eq!(Contradiction::stored(&pair.encode()[1..], &space), None);
    let mut again = Ledger::new(space, b.id(), b.ledger.access);
    again.restore_contradiction(kept);
    assert_eq!(again.statement(&from), Some(&back), "where its statement was not stored yet");
    assert_eq!(again.contradictions().count(), 1);
    again.restore(Signed::sign(Statement { counter: 20, ..back }, &space, &a.key), Hlc(0), None);
    assert_eq!(again.contradictions().count(), 1, "what it says later does not clear it");
}

#[test]
fn nothing_else_is_a_proof() {
    let key = liar();
    let (one, other) = (signed(&key, start(1), 7, 5, 1), signed(&key, start(1), 7, 5, 2));
    let of = |a: &Signed, b: &Signed| Contradiction::of(a, b).is_some();
    assert!(of(&one, &other) && of(&other, &one), "in either order");
    assert!(!of(&one, &one), "the same twice");
    let resigned = Signed { signature: [9; 64], ..one };
    assert!(!of(&one, &resigned), "the same, signed otherwise");
    assert!(!of(&one, &signed(&key, start(2), 7, 5, 2)), "another start: a restored backup");
    assert!(!of(&one, &signed(&key, start(1), 8, 5, 2)), "one after the other");
    assert!(!of(&one, &signed(&key, start(2), 8, 1, 2)), "another start does not know of the floor");
    assert!(!of(&one, &signed(&DeviceKey::from_seed(&[3; 32]), start(1), 7, 5, 2)), "two devices");
    assert!(of(&one, &signed(&key, start(1), 8, 4, 2)), "a floor taken back");
    // Forged, by a stranger, in the wrong order, of another space.
    let (space, access, _, mut b) = direct();
    let a = DeviceKey::from_seed(&[1; 32]);
    let say = |key: &DeviceKey, device: DeviceId, root: u8, in_space: &SpaceId| {
        let statement = Statement { device, root: [root; 32], ..signed(key, start(1), 7, 0, 0).statement };
        Signed::sign(statement, in_space, key)
    };
    let refused = |b: &mut Node, from: DeviceId, x: Signed, y: Signed| {
        b.ledger.received(from, Note::Contradiction(Box::new(Contradiction::of(&x, &y).unwrap())));
        let out = b.ledger.take();
        assert!(!out.iter().any(|o| matches!(o, Output::Contradicted(_))), "{out:?}");
        assert_eq!(b.ledger.contradictions().count(), 0);
        out.into_iter().find_map(|o| if let Output::Refused(_, why) = o { Some(why) } else { None })
    };
    let (id, bad) = (a.id(), Some(StatementError::BadSignature));
    let (thief, stranger) = (DeviceKey::from_seed(&[2; 32]), DeviceKey::from_seed(&[3; 32]));
    assert_eq!(refused(&mut b, id, say(&a, id, 1, &space), say(&thief, id, 2, &space)), bad, "half of it is forged");
    assert_eq!(refused(&mut b, id, say(&a, id, 1, &space), say(&a, id, 2, &commons())), bad, "of another space");
    let foreign = [1, 2].map(|root| say(&stranger, stranger.id(), root, &space));
    assert_eq!(refused(&mut b, id, foreign[0], foreign[1]), Some(StatementError::NotAMember));
    assert!(!access.admits(&stranger.id()));
    let pair = Contradiction::of(&one, &other).unwrap();
    let (low, high) = (if *pair.counts() == one { other } else { one }, *pair.counts());
    let turned = [high.encode(), low.encode()].concat();
    assert!(Contradiction::read(&mut crate::codec::Reader::new(&turned)).is_err(), "one form each");
    for cut in 0..pair.encode().len() {
        assert_eq!(Contradiction::stored(&pair.encode()[..cut], &commons()), None);
    }
}

#[test]
fn of_who_contradicts_itself_again_and_again_a_few_proofs_are_enough() {
    let (mut net, key) = (line(), liar());
    for who in [0, 4] {
        net.nodes[who].ledger.opened(key.id());
    }
    for n in 1..40u8 {
        // Each side hears of the starts in another order.
        for (who, by) in [(0, n), (4, 40 - n)] {
            for root in [1, 2] {
                hear(&mut net, who, key.id(), signed(&key, start(by), 100 + u64::from(n), 0, root));
            }
        }
        if n % 13 == 0 {
            net.tick();
        }
    }
    for who in [0, 4] {
        net.nodes[who].ledger.closed(key.id());
    }
    for _ in 0..4 {
        net.tick();
        net.nodes.iter_mut().for_each(|n| n.ledger.compare_all());
        net.settle();
    }
    for n in &net.nodes {
        assert_eq!(n.ledger.contradictions().count(), CONTRADICTIONS);
        assert_eq!(n.contradicted.len(), CONTRADICTIONS);
    }
    let digests: BTreeSet<_> = net.nodes.iter().map(|n| n.ledger.digest()).collect();
    assert_eq!(digests.len(), 1, "which of them does not matter");
}

/// Two lives of one machine go on from one snapshot, and both count on from there.
#[test]
fn two_lives_of_one_start_learn_of_each_other_and_all_end_with_the_same() {
    let mut counted_on = BTreeSet::new();
    for part in 3..11 {
        let mut net = line();
        let mut twin = Node::new(3, commons(), Access::Commons);
        let kept = net.nodes[2].ledger.all[&net.nodes[2].id()].signed;
        for end in net.nodes[2].ledger.mine().ends() {
            twin.hold(end.log, end.seq);
        }
        let tree = twin.ledger.mine().clone();
        twin.ledger.restore(kept, Hlc(0), Some(tree));
        // Both state something new under the next number.
        net.write(2);
        twin.hold(log_of(&twin.key, part), 1);
        let (id, far) = (twin.id(), net.nodes[4].id());
        let other = twin.state(0, false).unwrap();
        net.nodes[4].ledger.opened(id);
        hear(&mut net, 4, id, other);
        net.nodes[4].ledger.closed(id);
        for _ in 0..6 {
            net.tick();
        }
        assert!(net.nodes.iter().all(|n| n.ledger.contradictions().count() == 1));
        assert_eq!(net.nodes[2].contradicted, [start(1)], "it hears of itself");
        // Whose statement does not count says the next one.
        let last: BTreeSet<_> = (0..5).map(|who| counts(&net, who, &id).unwrap().statement).map(|s| s.hash()).collect();
        assert_eq!(last.len(), 1, "all go by the same");
        let on = !net.nodes[2].elsewhere.is_empty();
        counted_on.insert(on);
        assert_eq!(counts(&net, 0, &id).unwrap().statement.counter, other.statement.counter + u64::from(on));
        // So does the twin hear, when it is connected.
        twin.ledger.opened(far);
        for pair in net.nodes[4].ledger.contradictions() {
            twin.ledger.received(far, Note::Contradiction(Box::new(*pair)));
        }
        assert!(twin.ledger.take().iter().any(|o| matches!(o, Output::Contradicted(_))));
    }
    assert_eq!(counted_on.len(), 2, "either life had the lower hash in some of the runs");
}

#[test]
fn after_any_trouble_a_liar_has_everybody_end_with_the_same() {
    for seed in 0..40 {
        let (mut net, key) = (Net::new(6, 1_000 + seed), liar());
        net.loss = 0.3;
        let mut counter = 1;
        for _ in 0..120 {
            let (a, b) = (net.rng.random_range(0..6), net.rng.random_range(0..6));
            match net.rng.random_range(0..8) {
                0 => net.write(a),
                1 | 2 if a != b => net.link(a, b),
                3 if a != b => net.part(a, b),
                4..=6 => {
                    counter += net.rng.random_range(0..2);
                    let (by, floor) = (net.rng.random_range(1..4), net.rng.random_range(0..3));
                    let said = signed(&key, start(by), counter, floor, net.rng.random_range(0..4));
                    net.nodes[a].ledger.opened(key.id());
                    hear(&mut net, a, key.id(), said);
                    net.nodes[a].ledger.closed(key.id());
                }
                _ => net.tick(),
            }
        }
        net.loss = 0.0;
        (1..6).for_each(|i| net.link(i - 1, i));
        for _ in 0..40 {
            net.tick();
            net.nodes.iter_mut().for_each(|n| n.ledger.compare_all());
            net.settle();
        }
        let first = (counts(&net, 0, &key.id()), proven(&net, 0));
        assert!(first.0.is_some(), "seed {seed}");
        for who in 1..6 {
            assert_eq!((counts(&net, who, &key.id()), proven(&net, who)), first, "seed {seed}, node {who}");
        }
        let honest = net.nodes.iter().flat_map(|n| n.ledger.contradictions()).all(|p| p.device() == key.id());
        assert!(honest, "seed {seed}: nobody else is proven guilty");
        let digests: BTreeSet<_> = net.nodes.iter().map(|n| n.ledger.digest()).collect();
        assert_eq!(digests.len(), 1, "seed {seed}");
    }
}
