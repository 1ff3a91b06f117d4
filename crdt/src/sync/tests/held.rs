//! Want of room: who holds an author back gets none of it, keeps nobody from being equal, and asks ever more rarely.

use super::*;
use crate::replica::HeldBack;
use crate::sync::frame::MAX_HELD;

fn hold(c: &mut Cluster, who: DeviceId, authors: &[DeviceId]) {
    let held = HeldBack { authors: authors.iter().copied().collect(), ..HeldBack::default() };
    set(c, who, held);
}

fn set(c: &mut Cluster, who: DeviceId, held: HeldBack) {
    c.nodes.get_mut(&who).unwrap().sync.set_held_back(held);
    c.step_outputs(who);
    c.settle();
}

/// Everybody compares with everybody, as every half minute.
fn compare(c: &mut Cluster) {
    for id in c.ids() {
        c.nodes.get_mut(&id).unwrap().sync.compare_all();
        c.step_outputs(id);
    }
    c.settle();
}

fn mesh(c: &mut Cluster) {
    let ids = c.ids();
    for (i, a) in ids.iter().enumerate() {
        for b in &ids[i + 1..] {
            c.connect(*a, *b);
        }
    }
    c.settle();
}

/// Entries of an author that a node holds.
fn held(c: &Cluster, who: &DeviceId, author: u8) -> usize {
    c.nodes[who].disk.get(&Writer::new(author).log).map_or(0, Vec::len)
}

fn id(seed: u8) -> DeviceId {
    Writer::new(seed).key.id()
}

#[test]
fn one_author_is_held_back_and_everybody_else_becomes_equal() {
    let mut c = Cluster::new(4, 1);
    // 1 writes too much; 2 has no room for it; 4 was away.
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        c.connect(id(a), id(b));
    }
    c.say(id(1), "fits");
    c.settle();
    hold(&mut c, id(2), &[id(1)]);
    for n in 0..200 {
        c.say(id(1), &format!("too much {n}"));
        c.say(id(3), &format!("fine {n}"));
    }
    c.settle();
    assert_eq!((held(&c, &id(2), 1), held(&c, &id(3), 1)), (1, 201));
    assert_eq!(held(&c, &id(2), 3), 200, "who shares the document with it is not held up");
    // Who has no room serves others with all that it has, and says nothing of what it lacks.
    c.cut(id(1), id(2));
    c.cut(id(2), id(3));
    c.connect(id(2), id(4));
    c.settle();
    assert_eq!((held(&c, &id(4), 1), held(&c, &id(4), 3)), (1, 200));
    mesh(&mut c);
    for _ in 0..3 {
        compare(&mut c);
    }
    assert_eq!((held(&c, &id(4), 1), held(&c, &id(2), 1)), (201, 1));
    // What is written while it holds back is not sent to it at all.
    let before = c.nodes[&id(2)].refused;
    c.say(id(1), "and more");
    c.settle();
    assert_eq!((c.nodes[&id(2)].refused, held(&c, &id(4), 1)), (before, 202));
    // Room again: all of it comes without anybody's doing.
    hold(&mut c, id(2), &[]);
    assert_eq!(held(&c, &id(2), 1), 202);
    let digests: BTreeSet<_> = c.ids().iter().map(|id| c.nodes.get_mut(id).unwrap().sync.replica.digest()).collect();
    assert_eq!(digests.len(), 1);
}

#[test]
fn what_stays_different_is_asked_for_ever_more_rarely() {
    let mut c = Cluster::new(2, 2);
    hold(&mut c, id(2), &[id(1)]);
    mesh(&mut c);
    for n in 0..100 {
        c.say(id(1), &format!("too much {n}"));
    }
    c.settle();
    let mut costs = Vec::new();
    for _ in 0..130 {
        (c.bytes, c.frames) = (0, 0);
        compare(&mut c);
        costs.push((c.frames, c.bytes));
    }
    assert_eq!((held(&c, &id(2), 1), c.nodes[&id(2)].refused), (0, 0), "nothing is sent in vain");
    assert!(costs.iter().all(|(_, bytes)| *bytes < 2_000), "{costs:?}");
    // Where nothing is asked for, digests and lists of documents are all that goes.
    let quiet = costs.iter().map(|(frames, _)| *frames).min().unwrap();
    let asked = costs.iter().filter(|(frames, _)| *frames > quiet).count();
    assert!((2..20).contains(&asked), "{asked} of {} comparisons: {costs:?}", costs.len());
    // A word of somebody else in that document: it is not passed over for that.
    let mut third = Writer::new(3);
    let e = third.write("hello");
    let n = c.nodes.get_mut(&id(1)).unwrap();
    n.sync.replica_mut().admit_own(&e);
    n.disk.entry(third.log).or_default().push(e.clone());
    n.sync.replica.committed(&e);
    compare(&mut c);
    assert_eq!(held(&c, &id(2), 3), 1);
}

#[test]
fn without_room_for_others_ones_own_comes_back_all_the_same() {
    let mut c = Cluster::new(3, 3);
    mesh(&mut c);
    for seed in 1..=3 {
        c.say(id(seed), "before");
    }
    c.settle();
    // 2 starts anew from an old backup, on a full disk.
    c.cut(id(1), id(2));
    c.cut(id(2), id(3));
    let n = c.nodes.get_mut(&id(2)).unwrap();
    n.disk.clear();
    n.sync = SpaceSync::new(Replica::new(space(), Access::Commons));
    let all_but = HeldBack { all_but: Some(id(2)), ..HeldBack::default() };
    set(&mut c, id(2), all_but.clone());
    mesh(&mut c);
    compare(&mut c);
    assert_eq!([1, 2, 3].map(|seed| held(&c, &id(2), seed)), [0, 1, 0]);
    c.say(id(2), "written without room for others");
    c.settle();
    assert_eq!((held(&c, &id(1), 2), held(&c, &id(3), 2)), (2, 2));
    set(&mut c, id(2), HeldBack::default());
    assert_eq!([1, 2, 3].map(|seed| held(&c, &id(2), seed)), [1, 2, 1]);
    assert!(all_but.exceeds(&HeldBack::default()) && !HeldBack::default().exceeds(&all_but));
    assert!(!all_but.exceeds(&all_but) && all_but.holds(&id(1)) && !all_but.holds(&id(2)));
}

#[test]
fn what_comes_under_way_when_room_ends_is_dropped_and_counted() {
    let mut c = Cluster::new(2, 4);
    for n in 0..300 {
        c.say(id(1), &format!("one of many {n} {}", "x".repeat(3_000)));
    }
    c.connect(id(1), id(2));
    // Some has come when it turns out to be too much.
    while held(&c, &id(2), 1) == 0 {
        assert!(c.deliver_one(), "nothing came");
    }
    hold(&mut c, id(2), &[id(1)]);
    let (came, refused) = (held(&c, &id(2), 1), c.nodes[&id(2)].refused);
    assert!(came < 150 && refused > 0, "{came} taken, {refused} dropped");
    assert!(c.nodes[&id(1)].sync.within_bounds() && c.nodes[&id(2)].sync.within_bounds());
    hold(&mut c, id(2), &[]);
    assert_eq!(held(&c, &id(2), 1), 300);
}

#[test]
fn what_is_being_sent_ends_when_it_is_held_back() {
    let mut c = Cluster::new(1, 6);
    for n in 0..9 {
        c.say(id(1), &format!("{n}"));
    }
    let log = Writer::new(1).log;
    let n = c.nodes.get_mut(&id(1)).unwrap();
    let entries = n.disk[&log].clone();
    let s = &mut n.sync;
    s.opened(id(2));
    s.received(id(2), Frame::Want { document: log.document, logs: Vec::new() });
    let reads = |all: Vec<Output>| all.iter().filter(|o| matches!(o, Output::Read { .. })).count();
    assert_eq!(reads(s.take()), 1);
    // While a batch is read for it, it says that it wants no more of this author.
    s.received(id(2), Frame::HeldBack(HeldBack { authors: [id(1)].into(), ..HeldBack::default() }));
    s.read(id(2), log, entries[..3].to_vec());
    let out = s.take();
    assert!(out.contains(&Output::Send(id(2), Frame::Served(log.document))), "{out:?}");
    assert_eq!(reads(out), 0, "nothing more is read");
    // Nor is it when it asks again, until it says that there is room.
    s.sent(id(2));
    s.received(id(2), Frame::Want { document: log.document, logs: Vec::new() });
    assert_eq!(reads(s.take()), 0);
    s.received(id(2), Frame::HeldBack(HeldBack::default()));
    s.received(id(2), Frame::Want { document: log.document, logs: Vec::new() });
    assert_eq!(reads(s.take()), 1);
}

#[test]
fn the_frame_has_one_form_and_a_bound() {
    let authors: Vec<_> =
        (0..=MAX_HELD).map(|n| DeviceId([n as u8, (n >> 8) as u8].repeat(16).try_into().unwrap())).collect();
    let whole = HeldBack { authors: authors.iter().copied().collect(), ..HeldBack::default() };
    let good = Frame::HeldBack(whole.first(MAX_HELD));
    assert_eq!(Frame::decode(&good.encode()), Ok(good));
    assert!(Frame::decode(&Frame::HeldBack(whole).encode()).is_err(), "too many");
    let two = Frame::HeldBack(HeldBack { authors: [id(1), id(2)].into(), ..HeldBack::default() }).encode();
    let mut turned = two.clone();
    turned[6..38].copy_from_slice(&two[38..70]);
    turned[38..70].copy_from_slice(&two[6..38]);
    assert!(Frame::decode(&two).is_ok() && Frame::decode(&turned).is_err(), "out of order");
    // A peer that holds everybody back is sent nothing, and asks for nothing that is not its own.
    let mut c = Cluster::new(2, 5);
    c.say(id(1), "hello");
    set(&mut c, id(2), HeldBack { all_but: Some(id(9)), ..HeldBack::default() });
    mesh(&mut c);
    assert_eq!(c.nodes[&id(2)].taken, 0);
}

#[test]
fn one_start_of_a_device_is_held_back_and_another_is_not() {
    let mut c = Cluster::new(3, 7);
    mesh(&mut c);
    c.say(id(1), "as the start that forked");
    c.settle();
    let old = Writer::new(1).log;
    let frozen = HeldBack { starts: [(old.device, old.incarnation)].into(), ..HeldBack::default() };
    assert!(frozen.holds_log(&old) && !frozen.holds(&old.device) && !frozen.is_empty());
    assert!(frozen.exceeds(&HeldBack::default()) && !HeldBack::default().exceeds(&frozen) && !frozen.exceeds(&frozen));
    let whole = HeldBack { authors: [old.device].into(), ..HeldBack::default() };
    assert!(!frozen.exceeds(&whole) && whole.exceeds(&frozen), "the device is more than a start of it");
    set(&mut c, id(2), frozen);
    let refused = c.nodes[&id(2)].refused;
    c.say(id(1), "too much of it");
    // The same device goes on as another start.
    let mut fresh = Writer { log: LogId { incarnation: Incarnation([9; 16]), ..old }, ..Writer::new(1) };
    let e = fresh.write("as another start");
    let n = c.nodes.get_mut(&id(1)).unwrap();
    n.sync.replica_mut().admit_own(&e);
    n.disk.entry(fresh.log).or_default().push(e.clone());
    n.sync.committed(None, true, std::slice::from_ref(&e));
    c.step_outputs(id(1));
    c.settle();
    assert_eq!((c.nodes[&id(2)].refused, held(&c, &id(2), 1), held(&c, &id(3), 1)), (refused, 1, 2));
    assert_eq!(c.nodes[&id(2)].disk[&fresh.log].len(), 1, "which is heard at once");
    for _ in 0..3 {
        compare(&mut c);
    }
    assert_eq!(held(&c, &id(2), 1), 1);
    set(&mut c, id(2), HeldBack::default());
    assert_eq!(held(&c, &id(2), 1), 2, "later, and nothing is lost");
}
