//! Epochs of people who come and go, meet and part, lie, and lack keys.

use super::*;
use crate::identity::DeviceKey;
use crate::membership::{Action, Cut, Operation as Op, Role};
use crate::period::{HOUR_MS, WEEK_MS};

const SPACE: SpaceId = SpaceId([5; 32]);
const NOW: u64 = 2968 * WEEK_MS;

fn key(n: u8) -> DeviceKey {
    DeviceKey::from_seed(&[n + 1; 32])
}

fn p(n: u8) -> PrincipalId {
    key(n).id().principal()
}

/// An operation of the control log: what it does to the group, and to the keys.
#[derive(Clone)]
struct Written(Op, Option<KeyOperation>);

/// The operations of a control log that anybody has written.
#[derive(Default)]
struct World {
    all: Vec<Written>,
}

/// A member's node: what it has seen of the log.
struct Node {
    key: DeviceKey,
    ring: PrekeyRing,
    membership: Membership,
    epochs: Epochs,
    has: BTreeSet<usize>,
    dice: u8,
}

impl Node {
    fn new(n: u8) -> Self {
        let key = key(n);
        let mut ring = PrekeyRing::new(key.id());
        ring.make(&key, NOW, &[n; 32]);
        let epochs = Epochs::new(SPACE, key.id());
        Self { ring, membership: Membership::new(id(0)), epochs, has: BTreeSet::new(), dice: n, key }
    }

    fn group(&self) -> Group<'_> {
        Group::new(&self.membership)
    }

    fn take(&mut self, world: &World, which: impl IntoIterator<Item = usize>) {
        for n in which {
            if self.has.insert(n) {
                let Written(op, keys) = &world.all[n];
                self.membership.extend([op.clone()]);
                self.epochs.extend(keys.clone(), &Group::new(&self.membership));
            }
        }
        self.epochs.extend([], &Group::new(&self.membership));
        self.epochs.open(&self.ring);
    }

    fn sync(&mut self, world: &World) {
        self.take(world, 0..world.all.len());
    }

    fn write(&mut self, world: &mut World, action: Action, keys: Option<Operation>, at: u64) -> usize {
        let (n, parents) = (world.all.len(), self.membership.heads());
        let op = Op { id: id(n), author: self.key.id().principal(), parents: parents.clone(), action };
        let by = self.key.id();
        let keys = keys.map(|operation| KeyOperation { id: id(n), by, at: Hlc::from_ms(at), parents, operation });
        world.all.push(Written(op, keys));
        self.take(world, [n]);
        n
    }

    fn act(&mut self, world: &mut World, operation: Operation, at: u64) -> usize {
        self.write(world, Action::Act { needs: Role::Reader }, Some(operation), at)
    }

    fn publish(&mut self, world: &mut World) {
        let prekey = *self.ring.last().unwrap().0;
        self.act(world, Operation::Prekey(prekey), NOW);
    }

    fn random(&mut self) -> [u8; 32] {
        self.dice = self.dice.wrapping_add(50);
        [self.dice; 32]
    }

    fn make(&mut self, world: &mut World, at: u64) -> EpochId {
        let (secret, random) = (EpochSecret::new(self.random()), self.random());
        let made = self.epochs.make(secret, &random, &self.group()).unwrap();
        self.epochs.hold(made.epoch.secret().clone());
        for operation in made.operations {
            self.act(world, operation, at);
        }
        made.epoch.id()
    }

    fn seal_again(&mut self, world: &mut World, history: bool) -> usize {
        let lacking = self.epochs.lacking(history, &self.group());
        let operations: Vec<_> =
            lacking.iter().flat_map(|l| self.epochs.seal_again(l, &[9; 32], &self.group())).collect();
        operations.into_iter().map(|o| self.act(world, o, NOW)).count()
    }

    fn choose(&self, now: u64) -> Choice {
        self.epochs.choose(now, &self.group())
    }

    fn uses(&self) -> Option<EpochId> {
        self.choose(NOW).epoch
    }

    fn explain(&self, epoch: &EpochId) -> Option<String> {
        let name = |who: &PrincipalId| {
            (0..26).find(|n| p(*n) == *who).map_or_else(|| "?".to_owned(), |n| char::from(b'A' + n).to_string())
        };
        self.epochs.explain(epoch, &self.group(), &name)
    }
}

fn id(n: usize) -> EntryHash {
    EntryHash(*blake3::hash(&n.to_be_bytes()).as_bytes())
}

fn add(n: u8) -> Action {
    Action::Add { who: p(n), role: Role::Admin }
}

fn remove(n: u8) -> Action {
    Action::Remove { who: p(n), cut: Cut::new() }
}

/// A group of admins A, B, C … who have all published a prekey and know of each other.
fn group(n: u8) -> (World, Vec<Node>) {
    let mut world = World::default();
    let mut nodes: Vec<Node> = (0..n).map(Node::new).collect();
    nodes[0].write(&mut world, Action::Create, None, NOW);
    for other in 1..n {
        nodes[0].write(&mut world, add(other), None, NOW);
    }
    for node in &mut nodes {
        node.sync(&world);
        node.publish(&mut world);
    }
    nodes.iter_mut().for_each(|node| node.sync(&world));
    (world, nodes)
}

#[test]
fn all_members_use_the_epoch_that_one_of_them_made() {
    let (mut world, mut nodes) = group(3);
    assert_eq!(nodes[1].choose(NOW), Choice { epoch: None, due: Some(Due::None) });
    let e = nodes[1].make(&mut world, NOW);
    for node in &mut nodes {
        node.sync(&world);
        assert_eq!(node.choose(NOW), Choice { epoch: Some(e), due: None });
        assert_eq!((node.epochs.key(&e).map(Epoch::id), node.explain(&e)), (Some(e), None));
        assert_eq!(node.epochs.lacking(true, &node.group()), []);
    }
    nodes[2].epochs.forget(&e);
    assert_eq!(nodes[2].choose(NOW).epoch, None);
    assert_eq!(nodes[2].explain(&e).unwrap(), "A key that B made has not come to this device yet.");
}

#[test]
fn concurrent_epochs_are_all_kept_and_all_choose_the_same() {
    let (mut world, mut nodes) = group(3);
    let made: Vec<EpochId> = (0..3).map(|n| nodes[n].make(&mut world, NOW + n as u64)).collect();
    assert_eq!(nodes[0].uses(), Some(made[0]), "before they meet each uses its own");
    for (node, order) in nodes.iter_mut().zip([[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
        node.take(&world, order.iter().map(|n| world.all.len() - 3 + n));
        assert!(made.iter().all(|e| node.epochs.key(e).is_some()));
        assert_eq!(node.choose(NOW), Choice { epoch: Some(made[2]), due: None });
    }
}

#[test]
fn a_removed_member_is_never_a_recipient_again() {
    let (mut world, mut nodes) = group(4);
    let old = nodes[0].make(&mut world, NOW);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    nodes[0].write(&mut world, remove(3), None, NOW);
    assert_eq!(nodes[0].choose(NOW), Choice { epoch: None, due: Some(Due::None) }, "not even for one message");
    assert_eq!(
        nodes[0].explain(&old).unwrap(),
        "A key that A made is not used any more: D has it and does not belong here now."
    );
    assert_eq!(nodes[1].uses(), Some(old), "who has not heard of it goes on");
    let new = nodes[0].make(&mut world, NOW + 1);
    for node in &mut nodes {
        node.sync(&world);
        assert_eq!(
            (node.uses(), node.epochs.key(&new).is_some()),
            if node.key.id() == key(3).id() { (None, false) } else { (Some(new), true) }
        );
    }
    // Neither the removed one's word nor an honest node's mistake gives it to him.
    nodes[3].sync(&world);
    assert_eq!(nodes[3].seal_again(&mut world, true), 0);
    for node in &mut nodes[..3] {
        node.sync(&world);
        assert_eq!(node.epochs.lacking(true, &node.group()), []);
        let to = Lacking { epoch: new, devices: vec![key(3).id()] };
        assert_eq!(node.epochs.seal_again(&to, &[9; 32], &node.group()), []);
    }
}

#[test]
fn who_adds_and_removes_concurrently_meets_in_a_new_epoch() {
    let (mut world, mut nodes) = group(5);
    let old = nodes[0].make(&mut world, NOW);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    // Two sides that do not hear each other: A removes C, B removes D; each makes a key for those who are left.
    nodes[0].write(&mut world, remove(2), None, NOW);
    let a = nodes[0].make(&mut world, NOW + 1);
    nodes[1].write(&mut world, remove(3), None, NOW);
    let b = nodes[1].make(&mut world, NOW + 2);
    assert_eq!((nodes[0].uses(), nodes[1].uses()), (Some(a), Some(b)));
    for n in [0, 1, 4] {
        nodes[n].sync(&world);
        assert_eq!(nodes[n].choose(NOW), Choice { epoch: None, due: Some(Due::None) });
        for e in [old, a, b] {
            assert!(nodes[n].epochs.key(&e).is_some(), "what was written meanwhile stays readable");
            assert!(matches!(nodes[n].epochs.usable(&e, &nodes[n].group()), Err(Unused::Gone(_))));
        }
    }
    let new = nodes[4].make(&mut world, NOW + 3);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    let uses: Vec<_> = nodes.iter().map(Node::uses).collect();
    assert_eq!(uses, [Some(new), Some(new), None, None, Some(new)]);
    assert!(nodes[2].epochs.key(&new).is_none() && nodes[3].epochs.key(&new).is_none());
}

#[test]
fn who_comes_in_gets_a_new_epoch_and_the_old_ones_only_with_the_history() {
    let (mut world, mut nodes) = group(2);
    let old = nodes[0].make(&mut world, NOW);
    nodes.push(Node::new(2));
    nodes[0].write(&mut world, add(2), None, NOW);
    nodes[0].sync(&world);
    assert_eq!(nodes[0].choose(NOW), Choice { epoch: Some(old), due: Some(Due::Members) });
    let new = nodes[0].make(&mut world, NOW + 1);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    assert_eq!((nodes[1].uses(), nodes[2].uses()), (Some(new), None), "C has published no prekey");
    assert_eq!(nodes[1].epochs.lacking(true, &nodes[1].group()), [], "nothing can be sealed to C yet");
    nodes[2].publish(&mut world);
    nodes[1].sync(&world);
    let c = vec![key(2).id()];
    assert_eq!(nodes[1].epochs.lacking(false, &nodes[1].group()), [Lacking { epoch: new, devices: c.clone() }]);
    assert_eq!(nodes[1].seal_again(&mut world, false), 1);
    nodes[2].sync(&world);
    assert_eq!((nodes[2].uses(), nodes[2].epochs.key(&old).is_some()), (Some(new), false));
    nodes[0].sync(&world);
    assert_eq!(nodes[0].epochs.lacking(false, &nodes[0].group()), [], "B did it");
    assert_eq!(nodes[0].epochs.lacking(true, &nodes[0].group()), [Lacking { epoch: old, devices: c }]);
    assert_eq!(nodes[0].seal_again(&mut world, true), 1);
    nodes[2].sync(&world);
    assert!(nodes[2].epochs.key(&old).is_some());
    assert_eq!(nodes[2].choose(NOW), Choice { epoch: Some(new), due: None }, "the old one was not made for C");
}

#[test]
fn an_epoch_sealed_to_a_stranger_is_not_used_and_it_is_said_whose_work_that_is() {
    let (mut world, mut nodes) = group(3);
    let stranger = Node::new(7);
    let seal = |epoch: &Epoch, to: &[&Node]| {
        let share = |node: &&Node| (node.key.id(), Share::seal(epoch, node.ring.last().unwrap().0, &[1; 32]).unwrap());
        Operation::Epoch { epoch: epoch.id(), shares: to.iter().map(share).collect() }
    };
    let evil = Epoch::new(SPACE, EpochSecret::new([66; 32]));
    let operation = seal(&evil, &[&nodes[0], &nodes[1], &stranger]);
    nodes[1].act(&mut world, operation, NOW);
    nodes[0].sync(&world);
    assert_eq!(nodes[0].choose(NOW), Choice { epoch: None, due: Some(Due::None) });
    assert_eq!(
        nodes[0].explain(&evil.id()).unwrap(),
        "A key that B made is not used: B gave it to H, who did not belong here."
    );
    assert!(nodes[0].epochs.key(&evil.id()).is_some(), "what B writes with it can be read");
    assert_eq!(nodes[0].epochs.lacking(true, &nodes[0].group()), [], "nor is it given to C");
    // An honest key that C gives to a stranger is used no more either, the first time.
    let honest = nodes[0].make(&mut world, NOW);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    let operation = seal(nodes[2].epochs.key(&honest).unwrap(), &[&stranger]);
    nodes[2].act(&mut world, operation, NOW);
    nodes[0].sync(&world);
    assert_eq!(
        nodes[0].explain(&honest).unwrap(),
        "A key that A made is not used: C gave it to H, who did not belong here."
    );
    assert_eq!(nodes[0].choose(NOW).due, Some(Due::None));
    let next = nodes[0].make(&mut world, NOW + 1);
    // However often B and C do it again: no others are made on their account.
    for _ in 0..3 {
        for n in [1, 2] {
            nodes[n].sync(&world);
            let operation = seal(nodes[n].epochs.key(&next).unwrap(), &[&stranger]);
            nodes[n].act(&mut world, operation, NOW);
        }
    }
    nodes[0].sync(&world);
    assert_eq!(nodes[0].choose(NOW), Choice { epoch: Some(next), due: None });
    // Nor is one used that they make so, however often they did it.
    let again = Epoch::new(SPACE, EpochSecret::new([67; 32]));
    let operation = seal(&again, &[&nodes[0], &nodes[1], &nodes[2], &stranger]);
    nodes[1].act(&mut world, operation, NOW + HOUR_MS / 2);
    nodes[0].sync(&world);
    assert_eq!(nodes[0].uses(), Some(next));
    assert!(matches!(nodes[0].epochs.usable(&again.id(), &nodes[0].group()), Err(Unused::Stranger { .. })));
}

#[test]
fn what_a_removed_member_says_of_keys_at_the_same_time_does_not_count() {
    let (mut world, mut nodes) = group(3);
    let before = nodes[0].make(&mut world, NOW);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    nodes[0].write(&mut world, remove(2), None, NOW);
    let e = nodes[0].make(&mut world, NOW + 1);
    // C, who has not seen that, makes a key, and names the new one (whose id he has heard) as given to a stranger.
    let his = nodes[2].make(&mut world, NOW + 5);
    let share = Share::seal(nodes[2].epochs.key(&his).unwrap(), Node::new(7).ring.last().unwrap().0, &[1; 32]).unwrap();
    let shares = [(key(7).id(), share)].into();
    nodes[2].act(&mut world, Operation::Epoch { epoch: e, shares }, NOW + 6);
    for n in [0, 1] {
        nodes[n].sync(&world);
        assert_eq!(nodes[n].choose(NOW), Choice { epoch: Some(e), due: None });
        assert_eq!(nodes[n].epochs.usable(&his, &nodes[n].group()), Err(Unused::Void));
        assert_eq!(
            nodes[n].explain(&his).unwrap(),
            "A key that C made is not used: whoever made it was not entitled to."
        );
        assert!(nodes[n].epochs.key(&his).is_some(), "what he wrote with it before he knew can be read");
        assert!(matches!(nodes[n].epochs.usable(&before, &nodes[n].group()), Err(Unused::Gone(_))));
    }
}

#[test]
fn a_day_later_the_first_writer_makes_a_new_one_and_a_clock_that_is_ahead_stops_nobody() {
    let (mut world, mut nodes) = group(2);
    let first = nodes[0].make(&mut world, NOW);
    assert_eq!(nodes[0].choose(NOW + DAILY_MS - 1), Choice { epoch: Some(first), due: None });
    assert_eq!(nodes[0].choose(NOW + DAILY_MS), Choice { epoch: Some(first), due: Some(Due::Day) });
    nodes[1].sync(&world);
    let ahead = nodes[1].make(&mut world, NOW + 520 * WEEK_MS);
    nodes[0].sync(&world);
    assert_eq!(
        nodes[0].choose(NOW),
        Choice { epoch: Some(first), due: None },
        "the one from the year after next is not taken"
    );
    nodes[0].epochs.forget(&first);
    assert_eq!(nodes[0].choose(NOW), Choice { epoch: Some(ahead), due: Some(Due::Day) });
    let second = nodes[0].make(&mut world, NOW + DAILY_MS);
    assert_eq!(nodes[0].choose(NOW + DAILY_MS), Choice { epoch: Some(second), due: None });
}

#[test]
fn a_false_share_is_a_missing_key_until_an_honest_one_comes() {
    let (mut world, mut nodes) = group(3);
    let e = nodes[0].make(&mut world, NOW);
    // B seals to C what is not the key.
    let false_one = Epoch::new(SPACE, EpochSecret::new([66; 32]));
    let share = Share::seal(&false_one, nodes[2].ring.last().unwrap().0, &[1; 32]).unwrap();
    let b = nodes[1].act(&mut world, Operation::Epoch { epoch: e, shares: [(key(2).id(), share)].into() }, NOW);
    nodes[2].take(&world, [b]);
    assert_eq!(nodes[2].explain(&e).unwrap(), "A key that B made has not come to this device yet.");
    nodes[2].sync(&world);
    assert_eq!(nodes[2].uses(), Some(e));
}

#[test]
fn operations_wait_for_what_their_authors_had_seen() {
    let (mut world, mut nodes) = group(3);
    let e = nodes[0].make(&mut world, NOW);
    let mut late = Node::new(1);
    late.take(&world, (0..world.all.len()).rev());
    assert_eq!((late.uses(), late.epochs.waiting.len()), (Some(e), 0));
    nodes[1].sync(&world);
    assert_eq!(nodes[1].choose(NOW), late.choose(NOW));
    // What never comes is waited for within bounds.
    let mut alone = Node::new(2);
    for _ in 0..MAX_WAITING + 5 {
        alone.epochs.extend(world.all.last().unwrap().1.clone(), &Group::new(&alone.membership));
    }
    assert_eq!(alone.epochs.waiting.len(), MAX_WAITING);
}

#[test]
fn two_who_never_met_write_at_once_and_read_when_they_do() {
    let (a, b) = (Node::new(0), Node::new(1));
    let fixed = Fixed([p(0), p(1)].into());
    let mut ours = Epochs::new(SPACE, a.key.id());
    let mut theirs = Epochs::new(SPACE, b.key.id());
    assert_eq!(ours.make(EpochSecret::new([1; 32]), &[2; 32], &fixed).unwrap_err(), NoPrekeys);
    ours.publish(a.ring.last().unwrap().0);
    let made = ours.make(EpochSecret::new([1; 32]), &[2; 32], &fixed).unwrap();
    assert_eq!((made.operations.len(), made.without), (1, vec![p(1)]));
    let e = ours.hold(made.epoch.secret().clone());
    let op = |n: usize, by: &Node, operation: Operation| KeyOperation {
        id: id(n),
        by: by.key.id(),
        at: Hlc::from_ms(NOW),
        parents: Vec::new(),
        operation,
    };
    let first = op(1, &a, made.operations[0].clone());
    ours.extend([first.clone()], &fixed);
    assert_eq!(ours.choose(NOW, &fixed), Choice { epoch: Some(e), due: None });
    theirs.extend([first], &fixed);
    assert_eq!((theirs.open(&b.ring), theirs.choose(NOW, &fixed).due), (vec![], Some(Due::None)));
    ours.extend([op(2, &b, Operation::Prekey(*b.ring.last().unwrap().0))], &fixed);
    let lacking = ours.lacking(false, &fixed);
    let again = ours.seal_again(&lacking[0], &[3; 32], &fixed);
    theirs.extend(again.into_iter().map(|o| op(3, &a, o)), &fixed);
    assert_eq!(theirs.open(&b.ring), [e]);
    assert_eq!(theirs.choose(NOW, &fixed), Choice { epoch: Some(e), due: None });
}

#[test]
fn a_prekey_that_is_forged_or_old_is_passed_over() {
    let mut node = Node::new(0);
    let first = *node.ring.last().unwrap().0;
    let second = node.ring.make(&key(0), NOW + WEEK_MS, &[1; 32]);
    node.epochs.publish(&second);
    node.epochs.publish(&first);
    let mut forged = second;
    forged.number = 9;
    node.epochs.publish(&forged);
    assert_eq!(node.epochs.prekey(&key(0).id()), Some(&second));
}

#[test]
fn the_wait_before_a_new_epoch_grows_with_the_group_within_bounds() {
    for (members, most) in [(0, 250), (2, 270), (50, 750), (100_000, 3000)] {
        let waits: BTreeSet<u64> = (0..10_000).map(|n| delay_ms(n, members)).collect();
        assert_eq!((waits.first().copied(), waits.last().copied()), (Some(0), Some(most - 1)));
    }
}

#[test]
fn a_key_that_the_log_shows_no_more_is_due_to_all_again_and_prekeys_are_known_beside_it() {
    let (mut world, mut nodes) = group(3);
    let made = nodes[0].make(&mut world, NOW);
    nodes.iter_mut().for_each(|node| node.sync(&world));
    assert_eq!(nodes[1].epochs.unshown(&nodes[1].group()), []);
    // The branch that showed it does not count: what is left is the key, and the prekeys.
    let fresh = nodes[1].epochs.without_log();
    let all: Vec<DeviceId> = nodes[1].group().now().iter().map(PrincipalId::founder).collect();
    let lost = fresh.unshown(&nodes[1].group());
    assert_eq!(lost, [Lacking { epoch: made, devices: all.clone() }]);
    let again = fresh.seal_again(&lost[0], &[9; 32], &nodes[1].group());
    assert!(matches!(&again[..], [Operation::Epoch { epoch, shares }] if *epoch == made && shares.len() == 3));
    assert_eq!(fresh.made().count(), 0, "nothing says when it was made");
    // What was let go is neither held nor opened again.
    let mut dropped = nodes[1].epochs.without_log();
    dropped.forget(&made);
    assert_eq!((dropped.without_log().unshown(&nodes[1].group()), dropped.key(&made).is_none()), (vec![], true));
    // A device that was set back says an earlier prekey than others know: it counts, if the device signed it.
    let mut ring = PrekeyRing::new(key(2).id());
    let old = ring.make(&key(2), NOW, &[77; 32]);
    let mut epochs = nodes[0].epochs.without_log();
    let mut later = ring.clone();
    let newest = (1..5).map(|n| later.make(&key(2), NOW + n, &[78; 32])).last().unwrap();
    epochs.publish(&newest);
    epochs.publish(&old);
    assert_eq!(epochs.prekey(&key(2).id()), Some(&newest));
    assert!(epochs.told(&old));
    assert_eq!(epochs.prekey(&key(2).id()), Some(&old));
    let mut forged = newest;
    forged.made += 1;
    assert!(!epochs.told(&forged));
    assert_eq!(epochs.prekey(&key(2).id()), Some(&old));
    // Who asks gets what is held here, if he belongs here.
    let group = nodes[0].group();
    let unknown = EpochId([1; 32]);
    assert_eq!(
        epochs.asked(&key(2).id(), &[made, unknown], &group),
        [Lacking { epoch: made, devices: vec![key(2).id()] }]
    );
    assert_eq!(epochs.asked(&key(9).id(), &[made], &group), []);
}
