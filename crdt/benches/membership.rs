//! What it costs to decide who belongs to a group: `cargo bench -p cairn-crdt --bench membership`, with a number of
//! operations other than 10,000 and a part of a name after `--`. Each history is taken in whole, and then one operation
//! more. The first ones are what groups do; the others are what an admin could do to make everybody else calculate.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use cairn_crdt::ids::{EntryHash, PrincipalId};
use cairn_crdt::membership::{Action, Cut, Membership, Operation, Role};

const ROUNDS: usize = 5;

/// Small numbers by chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }
}

fn who(n: usize) -> PrincipalId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(n as u64).to_be_bytes());
    PrincipalId(id)
}

fn id(n: usize) -> EntryHash {
    EntryHash(*blake3::hash(&n.to_be_bytes()).as_bytes())
}

/// A history on its way.
struct History(Vec<Operation>);

impl History {
    /// A founder, and admins and members whom he takes in.
    fn new(admins: usize, members: usize) -> Self {
        let mut history = Self(Vec::new());
        history.write(0, &[], Action::Create);
        for n in 1..admins + members {
            let role = if n < admins { Role::Admin } else { Role::Member };
            history.write(0, &[n - 1], Action::Add { who: who(n), role });
        }
        history
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&mut self, author: usize, parents: &[usize], action: Action) -> usize {
        let n = self.len();
        let parents = parents.iter().map(|p| id(*p)).collect();
        self.0.push(Operation { id: id(n), author: who(author), parents, action });
        n
    }
}

fn add(n: usize) -> Action {
    Action::Add { who: who(n), role: Role::Member }
}

fn admin(n: usize) -> Action {
    Action::Add { who: who(n), role: Role::Admin }
}

fn remove(n: usize) -> Action {
    Action::Remove { who: who(n), cut: Cut::new() }
}

/// Admins take people in and out, and all say that they have seen it; everybody has heard of all but the last few.
fn ordinary(n: usize) -> History {
    let (mut h, mut dice) = (History::new(5, 195), Dice(1));
    let mut removal = h.len() - 1;
    while h.len() < n {
        let last = h.len() - 1;
        let late = last - dice.below(4);
        let parents = if dice.below(5) == 0 { vec![late] } else { vec![last] };
        let (author, target) = (dice.below(5), 5 + dice.below(195));
        match dice.below(40) {
            0 => removal = h.write(author, &parents, remove(target)),
            1 => drop(h.write(author, &parents, add(target))),
            2..5 => drop(h.write(author, &parents, Action::Act { needs: Role::Member })),
            _ => drop(h.write(target, &parents, Action::Seen { removal: id(removal) })),
        }
    }
    h
}

/// One after the other.
fn chain(n: usize) -> History {
    let mut h = History::new(2, 0);
    while h.len() < n {
        let last = h.len() - 1;
        h.write(last % 2, &[last], if last % 4 < 2 { add(2 + last) } else { remove(last) });
    }
    h
}

/// A thousand members each say at once that they have seen a removal, naming up to 64 others who have.
fn words(n: usize) -> History {
    let (mut h, mut dice) = (History::new(5, 995), Dice(2));
    let mut heads = vec![h.len() - 1];
    while h.len() + 400 < n {
        let removal = h.write(0, &heads[heads.len().saturating_sub(64)..], remove(999 - h.len() / 1500));
        heads = vec![removal];
        for member in 1..900 {
            if h.len() >= n {
                break;
            }
            let known = dice.below(heads.len().min(64)) + 1;
            let parents: Vec<usize> = (0..known).map(|_| heads[dice.below(heads.len())]).collect();
            let seen = h.write(member, &parents, Action::Seen { removal: id(removal) });
            heads.push(seen);
        }
    }
    h
}

/// Everything at once, and then brought together.
fn wide(n: usize) -> History {
    let mut h = History::new(10, 0);
    while h.len() < n {
        let author = h.len() % 10;
        let what = if h.len().is_multiple_of(3) { remove(1 + h.len() % 9) } else { add(20 + h.len()) };
        h.write(author, &[9], if h.len() % 10 == h.len() % 9 + 1 { add(20 + h.len()) } else { what });
    }
    h
}

/// Two sides that do not hear each other.
fn two_sides(n: usize) -> History {
    let mut h = History::new(2, 0);
    let mut ends = [1, 1];
    while h.len() < n {
        let side = h.len() % 2;
        ends[side] = h.write(side, &[ends[side]], add(2 + h.len()));
    }
    h
}

/// Two admins who always hear each other late.
fn ladder(n: usize) -> History {
    let mut h = History::new(2, 0);
    let mut sides = [vec![1], vec![1]];
    while h.len() < n {
        let side = h.len() % 2;
        let (own, other) = (*sides[side].last().unwrap(), &sides[1 - side]);
        let other = other[other.len().saturating_sub(5)];
        let next = h.write(side, &[own, other], add(2 + h.len()));
        sides[side].push(next);
    }
    h
}

/// An admin who was removed goes on writing as of long ago, and each operation of the others has seen one of his more.
fn ghost(n: usize) -> History {
    let mut h = History::new(3, 0);
    let mut end = h.write(0, &[2], remove(2));
    while h.len() + 1 < n {
        let ghost = h.write(2, &[2], add(3 + h.len()));
        end = h.write(h.len() / 2 % 2, &[end, ghost], add(3 + h.len()));
    }
    h
}

/// The same by a founder whom nobody stops.
fn founder(n: usize) -> History {
    let mut h = History::new(3, 0);
    let mut end = 2;
    while h.len() + 1 < n {
        let ghost = h.write(0, &[2], add(3 + h.len()));
        end = h.write(1 + h.len() / 2 % 2, &[end, ghost], add(3 + h.len()));
    }
    h
}

/// Two long branches, and many operations that each bring them together at another place.
fn crossings(n: usize) -> History {
    let mut h = History::new(3, 0);
    let (mut a, mut b) = (vec![2], vec![2]);
    while h.len() < 2 * n / 3 {
        let next = h.write(0, &[*a.last().unwrap()], add(3 + h.len()));
        a.push(next);
        let next = h.write(1, &[*b.last().unwrap()], add(3 + h.len()));
        b.push(next);
    }
    for i in (0..a.len()).cycle() {
        if h.len() >= n {
            break;
        }
        h.write(2, &[a[a.len() - 1 - i], b[i]], add(3 + h.len()));
    }
    h
}

/// One principal is taken in and out without end on one side, and each operation of the other side has seen some of it.
fn churn(n: usize) -> History {
    let mut h = History::new(3, 1);
    let (mut a, mut b) = (3, 3);
    let mut turn = 0;
    while h.len() + 3 < n {
        turn += 1;
        a = h.write(0, &[a], remove(3));
        a = h.write(0, &[a], Action::Add { who: who(3), role: Role::Admin });
        let own = h.write(3, &[a], add(10 + turn));
        b = h.write(1, &[b, own], add(n + turn));
        a = own;
    }
    h
}

/// A hundred admins who all remove each other, and operations that bring some of it together.
fn war(n: usize) -> History {
    let (mut h, mut dice) = (History::new(100, 0), Dice(3));
    let begun = h.len();
    while h.len() < n {
        let (author, target) = (dice.below(100), dice.below(100));
        if author == target {
            continue;
        }
        let from = h.len() - begun;
        let parents = if from > 200 && dice.below(2) == 0 {
            vec![begun + dice.below(from), begun + dice.below(from)]
        } else {
            vec![begun - 1]
        };
        match dice.below(3) {
            0 => h.write(author, &parents, admin(1000 + dice.below(50))),
            1 if from > 200 => {
                let of = begun + dice.below(from);
                h.write(author, &[of], Action::Seen { removal: id(of) })
            }
            _ => h.write(author, &parents, remove(target)),
        };
    }
    h
}

fn main() {
    let n = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(10_000);
    println!(
        "{n} operations, medians of {ROUNDS}: {:<28} {:>12} {:>14} {:>8}",
        "", "all, ms", "one more, ms", "members"
    );
    type Make = fn(usize) -> History;
    let shapes: &[(&str, Make)] = &[
        ("ordinary", ordinary),
        ("one after the other", chain),
        ("words of a thousand members", words),
        ("all at once", wide),
        ("two sides", two_sides),
        ("always late", ladder),
        ("a removed admin goes on", ghost),
        ("a founder as of long ago", founder),
        ("many crossings of two branches", crossings),
        ("in and out", churn),
        ("war of a hundred", war),
    ];
    let wanted = std::env::args().skip(1).rfind(|a| a.parse::<usize>().is_err() && !a.starts_with("--"));
    for (name, make) in shapes.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|w| name.contains(w.as_str()))) {
        let history = make(n).0;
        let (mut all, mut more) = (Vec::new(), Vec::new());
        let mut members = 0;
        for _ in 0..ROUNDS {
            let mut membership = Membership::new(id(0));
            let operations = history.clone();
            let start = Instant::now();
            membership.extend(operations);
            all.push(start.elapsed());
            let heads = membership.heads();
            let parents = heads.iter().take(64).copied().collect();
            let one = Operation { id: id(usize::MAX), author: who(0), parents, action: add(usize::MAX) };
            let start = Instant::now();
            membership.extend([one]);
            more.push(start.elapsed());
            members = membership.members().len();
        }
        all.sort_unstable();
        more.sort_unstable();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        println!("{name:<54} {:>12.1} {:>14.3} {members:>8}", ms(all[ROUNDS / 2]), ms(more[ROUNDS / 2]));
    }
}
