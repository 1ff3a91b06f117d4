//! The decision against the naive one, in many orders of delivery: all short histories, and random longer ones.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::naive::Naive;
use super::{add, id, op, p, remove, seen, set};
use crate::membership::{Action, Membership, Operation, Role, Verdict, Void};

use Role::{Admin, Member, Reader};

fn show(ops: &[Operation]) -> String {
    ops.iter().map(|o| format!("{o:?}\n")).collect()
}

fn membership(ops: &[Operation]) -> Membership {
    let mut membership = Membership::new(ops[0].id);
    membership.extend(ops.iter().cloned());
    membership
}

/// Holds a history against the naive decision; there is an admin, at the end and in everybody's past.
fn check(ops: &[Operation]) -> Membership {
    let membership = membership(ops);
    let mut naive = Naive::new(ops);
    let state = naive.all();
    let members = membership.members();
    assert_eq!(members, state.members(), "members of\n{}", show(ops));
    assert!(members.values().any(|r| *r == Admin), "no admin is left by\n{}", show(ops));
    let verdicts = membership.verdicts();
    for (i, o) in ops.iter().enumerate() {
        let got = membership.verdict(&o.id).unwrap();
        assert_eq!(got == Verdict::Counts, state.void >> i & 1 == 0, "{o:?}: {got:?} of\n{}", show(ops));
        assert_eq!(verdicts[&o.id], got);
        if i > 0 {
            let then = naive.before(i).members();
            for who in 0..6 {
                let got = membership.role_at(&o.parents, &p(who)).unwrap();
                assert_eq!(got, then.get(&p(who)).copied(), "{who} before {o:?} of\n{}", show(ops));
            }
        }
    }
    membership
}

/// Delivers a history in another order, in parts, and holds all that may be asked against the first.
fn same(first: &Membership, ops: &[Operation], mut order: Vec<usize>, mut part: impl FnMut(usize) -> usize) {
    let mut other = Membership::new(ops[0].id);
    while !order.is_empty() {
        let n = part(order.len());
        other.extend(order.drain(..n).map(|i| ops[i].clone()));
    }
    assert_eq!(other.members(), first.members(), "in another order\n{}", show(ops));
    assert_eq!(other.verdicts(), first.verdicts(), "in another order\n{}", show(ops));
    let heads = |m: &Membership| m.heads().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(heads(&other), heads(first));
}

fn shuffled(first: &Membership, ops: &[Operation], seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..ops.len()).collect();
    order.shuffle(&mut rng);
    same(first, ops, order, |left| rng.random_range(1..=left));
}

/// Every order of delivery, each operation alone.
fn every_order(first: &Membership, ops: &[Operation]) -> u64 {
    fn go(first: &Membership, ops: &[Operation], order: &mut Vec<usize>) -> u64 {
        if order.len() == ops.len() {
            same(first, ops, order.clone(), |_| 1);
            return 1;
        }
        let mut n = 0;
        for i in 0..ops.len() {
            if !order.contains(&i) {
                order.push(i);
                n += go(first, ops, order);
                order.pop();
            }
        }
        n
    }
    go(first, ops, &mut Vec::new())
}

/// A random history. Most begin with a group of admins and members whom everybody has seen; from there on authors see
/// each other's operations now and then, and mostly do what they are entitled to.
fn history(seed: u64, len: usize, people: u8) -> Vec<Operation> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let founder = rng.random_range(0..people);
    let mut ops = vec![op(0, founder, &[], Action::Create)];
    if rng.random_bool(0.8) {
        let admins: f64 = [0.4, 0.7, 1.0][rng.random_range(0..3)];
        for who in (0..people).filter(|who| *who != founder) {
            if rng.random_bool(0.9) {
                let role = if rng.random_bool(admins) { Admin } else { Member };
                ops.push(op(ops.len(), founder, &[ops.len() - 1], add(who, role)));
            }
        }
    }
    let begun = ops.len();
    let mut group = membership(&ops);
    let mut heads: Vec<BTreeSet<usize>> = (0..people).map(|_| BTreeSet::from([begun - 1])).collect();
    let (mixing, cutting) = (rng.random_range(0.05..0.7), rng.random_range(0.2..0.9));
    // Some write as if they had not seen what they have.
    let lying = if rng.random_bool(0.5) { rng.random_range(0.0..1.0) } else { 0.0 };
    // In some groups all are at war.
    let war = rng.random_bool(0.3);
    for _ in 0..len * 20 {
        let n = ops.len();
        if n == begun + len {
            break;
        }
        let author = rng.random_range(0..people);
        if rng.random_bool(mixing) {
            let theirs = heads[usize::from(rng.random_range(0..people))].clone();
            heads[usize::from(author)].extend(theirs);
        }
        let mut parents: Vec<usize> = heads[usize::from(author)].iter().copied().collect();
        if rng.random_bool(lying) {
            parents = (0..rng.random_range(1..4)).map(|_| rng.random_range(begun - 1..n)).collect();
        }
        let removals: Vec<usize> = (0..n).filter(|i| matches!(ops[*i].action, Action::Remove { .. })).collect();
        let word = (war && !removals.is_empty() && rng.random_bool(0.4))
            .then(|| removals[rng.random_range(0..removals.len())]);
        if let Some(removal) = word.filter(|_| rng.random_bool(0.7)) {
            parents = vec![removal];
        }
        let ids: Vec<_> = parents.iter().map(|n| id(*n)).collect();
        let role_of = |who: u8| group.role_at(&ids, &p(who)).unwrap();
        let who = rng.random_range(0..people);
        let role = [Reader, Member, Admin, Admin][rng.random_range(0..4)];
        let action = match rng.random_range(0..20) {
            _ if word.is_some() => seen(word.unwrap()),
            ..19 if war => remove(who),
            0..7 if !removals.is_empty() => seen(removals[rng.random_range(0..removals.len())]),
            7..15 if role_of(who).is_none() => add(who, role),
            0..15 if rng.random_bool(cutting) => remove(who),
            0..17 => set(who, role),
            17 => Action::Leave,
            18 => add(who, role),
            _ => Action::Act { needs: role },
        };
        // Few do what they may not.
        let bad = role_of(author).is_none_or(|r| r < action.needs());
        if bad && rng.random_bool(0.97) {
            continue;
        }
        let one = op(n, author, &parents, action);
        group.extend([one.clone()]);
        ops.push(one);
        heads[usize::from(author)] = BTreeSet::from([n]);
    }
    ops
}

/// How often each reason for not counting came up.
#[derive(Default, Debug)]
struct Reasons([u64; 7]);

impl Reasons {
    fn note(&mut self, membership: &Membership) {
        for verdict in membership.verdicts().values() {
            let Verdict::Void(void) = verdict else { continue };
            let n = match void {
                Void::AuthorCut { .. } => 0,
                Void::AuthorGone { .. } => 1,
                Void::Outranked { .. } => 2,
                Void::Outvoted { .. } => 3,
                Void::TargetCut { .. } => 4,
                Void::GrantVoid { .. } => 5,
                Void::NobodyLeft => 6,
                _ => continue,
            };
            self.0[n] += 1;
        }
    }
}

fn random(seeds: std::ops::Range<u64>) -> Reasons {
    let mut reasons = Reasons::default();
    for seed in seeds {
        let len = 2 + (seed % 23) as usize;
        let ops = history(seed, len, 4 + (seed % 3) as u8);
        let membership = check(&ops);
        shuffled(&membership, &ops, seed);
        reasons.note(&membership);
    }
    reasons
}

#[test]
fn random_histories_are_decided_as_the_rules_say() {
    let reasons = random(0..4_000);
    assert!(reasons.0.iter().all(|n| *n > 0), "every reason comes up: {reasons:?}");
}

/// A million: `cargo test --release -p cairn-crdt --lib membership -- --ignored --nocapture a_million`.
#[test]
#[ignore = "takes many minutes; the test above is its beginning"]
fn a_million_random_histories() {
    println!("{:?}", random(0..1_000_000));
}

/// What the operations of all histories are chosen from.
struct Space {
    people: u8,
    /// Whether only removals are written, or all sorts.
    removals: bool,
    /// How many operations come before those that vary.
    begun: usize,
    /// Each history of this many operations in all is counted.
    len: usize,
    /// Of how many histories one is delivered in every order; the others backwards.
    orders: u64,
}

/// (what an operation follows, author, number of the action): the order in which operations of one depth are written.
type Key = (u32, Vec<usize>, u8, usize);

#[derive(Default, Debug)]
struct Found {
    histories: u64,
    orders: u64,
    reasons: Reasons,
}

impl Space {
    fn actions(&self, author: u8, ops: &[Operation]) -> Vec<Action> {
        let others = |who: &u8| *who != author;
        if self.removals {
            return (0..self.people).filter(others).map(remove).collect();
        }
        let mut actions = vec![Action::Leave];
        for who in 0..self.people {
            actions.extend([add(who, Admin), set(who, Member), set(who, Admin)]);
            actions.extend(others(&who).then(|| remove(who)));
        }
        actions.extend((0..ops.len()).filter(|n| matches!(ops[*n].action, Action::Remove { .. })).map(seen));
        actions
    }

    /// Every history once, up to the order of writing and, where nobody is there to begin with, the names of people: by
    /// depth, then by what an operation follows, its author and its action. Each operation is entitled by what it follows;
    /// what is not is void and changes nothing, which the random histories hold.
    fn all(&self, ops: &mut Vec<Operation>, keys: &mut Vec<Key>, found: &mut Found) {
        let n = ops.len();
        if n == self.len {
            let membership = check(ops);
            found.histories += 1;
            if found.histories.is_multiple_of(self.orders) {
                found.orders += every_order(&membership, ops);
            } else {
                same(&membership, ops, (0..n).rev().collect(), |left| left);
            }
            found.reasons.note(&membership);
            return;
        }
        let known = ops.iter().filter_map(|o| o.action.target()).map(|who| who.0[0]).max().unwrap_or(1);
        for parents in antichains(ops, self.begun) {
            let depth = parents.iter().map(|p| keys[*p].0 + 1).max().unwrap_or(0);
            for author in 0..self.people {
                for (i, action) in self.actions(author, ops).into_iter().enumerate() {
                    let key = (depth, parents.clone(), author, i);
                    let new = action.target().is_some_and(|who| who.0[0] > known + 1);
                    if n > self.begun && key < keys[n - 1] || new && self.begun == 1 {
                        continue;
                    }
                    let one = op(n, author, &parents, action);
                    let mut then = group_of(ops, &one);
                    then.extend([one.clone()]);
                    if matches!(then.verdict(&one.id), Some(Verdict::Void(why)) if by_past(why)) {
                        continue;
                    }
                    ops.push(one);
                    keys.push(key);
                    self.all(ops, keys, found);
                    ops.pop();
                    keys.pop();
                }
            }
        }
    }

    /// All histories that follow a beginning.
    fn search(&self, mut ops: Vec<Operation>) -> Found {
        assert_eq!(ops.len(), self.begun);
        let mut keys: Vec<Key> = (0..ops.len()).map(|n| (n as u32, vec![], 0, 0)).collect();
        let mut found = Found::default();
        self.all(&mut ops, &mut keys, &mut found);
        found
    }
}

/// The group as the author of an operation knew it, which is all that it takes to judge it.
fn group_of(ops: &[Operation], one: &Operation) -> Membership {
    let mut known: BTreeSet<_> = one.parents.iter().copied().collect();
    for o in ops.iter().rev() {
        if known.contains(&o.id) {
            known.extend(&o.parents);
        }
    }
    let mut membership = Membership::new(ops[0].id);
    membership.extend(ops.iter().filter(|o| known.contains(&o.id)).cloned());
    membership
}

/// Whether something did not count by its own past.
fn by_past(why: Void) -> bool {
    !matches!(why, Void::LastAdmin)
}

/// Sets of operations of which none follows another; of the beginning only its end.
fn antichains(ops: &[Operation], begun: usize) -> Vec<Vec<usize>> {
    let first = begun - 1;
    let mut pasts: Vec<BTreeSet<usize>> = vec![];
    for o in ops {
        let parents = (0..pasts.len()).filter(|i| o.parents.contains(&ops[*i].id));
        let past = parents.flat_map(|i| pasts[i].iter().copied().chain([i])).collect();
        pasts.push(past);
    }
    let mut found = Vec::new();
    for bits in 1u32..1 << (ops.len() - first) {
        let set: Vec<usize> = (first..ops.len()).filter(|i| bits >> (i - first) & 1 == 1).collect();
        if set.iter().all(|a| set.iter().all(|b| !pasts[*a].contains(b))) {
            found.push(set);
        }
    }
    found
}

/// A founder and three more admins, each taken in by the founder after the one before.
fn four_admins() -> Vec<Operation> {
    let mut ops = vec![op(0, 0, &[], Action::Create)];
    (1..4).for_each(|who| ops.push(op(usize::from(who), 0, &[usize::from(who) - 1], add(who, Admin))));
    ops
}

fn from_nothing(len: usize, orders: u64) -> Found {
    let space = Space { people: 4, removals: false, begun: 1, len, orders };
    space.search(vec![op(0, 0, &[], Action::Create)])
}

fn of_four_admins(more: usize, removals: bool, orders: u64) -> Found {
    Space { people: 4, removals, begun: 4, len: 4 + more, orders }.search(four_admins())
}

#[test]
fn all_histories_of_four_operations_in_every_order() {
    let found = from_nothing(4, 1);
    println!("{found:?}");
    assert!(found.histories > 100);
}

#[test]
fn all_histories_of_two_more_operations_of_four_admins() {
    let found = of_four_admins(2, false, 200);
    println!("{found:?}");
    assert!(found.histories > 1_000);
}

#[test]
fn all_histories_of_three_removals_among_four_admins() {
    let found = of_four_admins(3, true, 500);
    println!("{found:?}");
    assert!(found.histories > 2_000);
}

/// `cargo test --release -p cairn-crdt --lib membership -- --ignored --nocapture all_histories_of_six`.
#[test]
#[ignore = "takes many minutes"]
fn all_histories_of_six_operations() {
    println!("six operations: {:?}", from_nothing(6, 5_000));
}

#[test]
#[ignore = "takes many minutes"]
fn all_histories_of_three_more_operations_of_four_admins() {
    println!("three more of four admins: {:?}", of_four_admins(3, false, 5_000));
}

#[test]
#[ignore = "takes many minutes"]
fn all_histories_of_five_removals_among_four_admins() {
    println!("five removals among four admins: {:?}", of_four_admins(5, true, 50_000));
}
