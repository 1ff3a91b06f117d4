//! Membership as the rules say it, for every set of operations anew. Sets are the bits of a number, so a history has at
//! most 64 operations; each comes after what it follows.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::ids::{EntryHash, PrincipalId};
use crate::membership::{Action, Operation, Role};

type Set = u64;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Grant {
    at: usize,
    role: Role,
    adds: bool,
}

/// What a set of operations comes to.
#[derive(Debug, Clone, Default)]
pub struct State {
    grants: BTreeMap<PrincipalId, Vec<Grant>>,
    /// What does not count.
    pub void: Set,
    /// Departures that wait for an admin.
    pub waiting: Vec<usize>,
}

fn role_of(grants: &[Grant]) -> Option<Role> {
    if grants.iter().any(|g| g.adds) { grants.iter().map(|g| g.role).max() } else { None }
}

impl State {
    pub fn role(&self, who: &PrincipalId) -> Option<Role> {
        role_of(self.grants.get(who)?)
    }

    pub fn members(&self) -> BTreeMap<PrincipalId, Role> {
        self.grants.keys().filter_map(|who| Some((*who, self.role(who)?))).collect()
    }

    fn admins(&self) -> usize {
        self.members().values().filter(|r| **r == Role::Admin).count()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Grant,
    Removal,
    Demotion,
    Own,
    Seen,
    Act,
}

#[derive(Clone)]
struct Basis {
    sort: Sort,
    seniority: (usize, PrincipalId),
    grants: Vec<Grant>,
}

pub struct Naive<'a> {
    ops: &'a [Operation],
    past: Vec<Set>,
    depth: Vec<usize>,
    basis: Vec<Option<Basis>>,
    states: BTreeMap<Set, Rc<State>>,
}

fn bits(set: Set) -> impl Iterator<Item = usize> {
    (0..64).filter(move |i| set >> i & 1 == 1)
}

impl<'a> Naive<'a> {
    pub fn new(ops: &'a [Operation]) -> Self {
        let mut naive = Self { ops, past: vec![], depth: vec![], basis: vec![], states: BTreeMap::new() };
        let place: BTreeMap<EntryHash, usize> = ops.iter().enumerate().map(|(i, o)| (o.id, i)).collect();
        for op in ops {
            let parents: Vec<usize> = op.parents.iter().map(|p| place[p]).collect();
            naive.past.push(parents.iter().fold(0, |set, p| set | naive.past[*p] | 1 << p));
            naive.depth.push(parents.iter().map(|p| naive.depth[*p] + 1).max().unwrap_or(0));
        }
        for i in 0..ops.len() {
            let basis = naive.judge(i);
            naive.basis.push(basis);
        }
        naive
    }

    /// What all of it comes to.
    pub fn all(&mut self) -> Rc<State> {
        self.state(if self.ops.len() == 64 { Set::MAX } else { (1 << self.ops.len()) - 1 })
    }

    /// What an operation's author knew.
    pub fn before(&mut self, i: usize) -> Rc<State> {
        self.state(self.past[i])
    }

    fn follows(&self, later: usize, earlier: usize) -> bool {
        self.past[later] >> earlier & 1 == 1
    }

    fn concurrent(&self, a: usize, b: usize) -> bool {
        a != b && !self.follows(a, b) && !self.follows(b, a)
    }

    /// Rule 1.
    fn judge(&mut self, i: usize) -> Option<Basis> {
        let op = &self.ops[i];
        if i == 0 {
            return Some(Basis { sort: Sort::Grant, seniority: (0, op.author), grants: vec![] });
        }
        let state = self.state(self.past[i]);
        let is = state.role(&op.author)?;
        let target = op.action.target().and_then(|who| state.role(&who));
        let sort = match &op.action {
            Action::Create => return None,
            Action::Add { .. } if target.is_none() => Sort::Grant,
            Action::Remove { who, .. } if target.is_some() && *who != op.author => Sort::Removal,
            Action::SetRole { role, .. } if target.is_some_and(|was| was < *role) => Sort::Grant,
            Action::SetRole { who, role, .. } if target.is_some_and(|was| was > *role) => {
                if *who == op.author {
                    Sort::Own
                } else {
                    Sort::Demotion
                }
            }
            Action::Leave => Sort::Own,
            Action::Seen { removal } => {
                let of = bits(self.past[i]).find(|r| self.ops[*r].id == *removal)?;
                self.basis[of].as_ref().filter(|b| b.sort == Sort::Removal)?;
                Sort::Seen
            }
            Action::Act { .. } => Sort::Act,
            _ => return None,
        };
        if is < op.action.needs() || sort == Sort::Own && state.waiting.iter().any(|w| self.ops[*w].author == op.author)
        {
            return None;
        }
        let grants = state.grants[&op.author].clone();
        let admin = grants.iter().filter(|g| g.role == Role::Admin).map(|g| self.depth[g.at]).min();
        Some(Basis { sort, seniority: (admin.unwrap_or(usize::MAX), op.author), grants })
    }

    /// What a set of operations comes to that holds whatever they follow.
    fn state(&mut self, set: Set) -> Rc<State> {
        if let Some(state) = self.states.get(&set) {
            return Rc::clone(state);
        }
        let state = if set == 1 {
            let grants = vec![Grant { at: 0, role: Role::Admin, adds: true }];
            State { grants: BTreeMap::from([(self.ops[0].author, grants)]), ..State::default() }
        } else {
            let narrow = bits(set).filter(|b| bits(set).all(|x| x == *b || !self.concurrent(x, *b))).max().unwrap();
            let before = self.past[narrow] | 1 << narrow;
            let before = if before == set { self.past[narrow] } else { before };
            let base = self.state(before);
            self.decide(&base, set & !before)
        };
        let state = Rc::new(state);
        self.states.insert(set, Rc::clone(&state));
        state
    }

    /// Rule 4: whether enough members speak for a removal that have not seen its rival.
    fn backed(&mut self, removal: usize, rival: usize, set: Set) -> bool {
        let then = self.state(self.past[removal]).members();
        let op = &self.ops[removal];
        if self.basis[removal].as_ref().is_none_or(|b| b.sort != Sort::Removal) {
            return false;
        }
        let mut voices = BTreeSet::new();
        for s in bits(set) {
            let by = self.ops[s].author;
            let speaks = self.ops[s].action == (Action::Seen { removal: op.id }) && self.basis[s].is_some();
            if speaks
                && !self.follows(s, rival)
                && by != op.author
                && Some(by) != op.action.target()
                && then.contains_key(&by)
            {
                voices.insert(by);
            }
        }
        voices.len() >= 2 && (voices.len() + 1) * 2 > then.len()
    }

    fn left(&self, cut: usize) -> Option<Role> {
        match &self.ops[cut].action {
            Action::SetRole { role, .. } => Some(*role),
            _ => None,
        }
    }

    /// What cuts leave of a grant.
    fn remains(&self, grant: &Grant, cuts: impl Iterator<Item = usize>) -> Option<Grant> {
        let mut left = *grant;
        for cut in cuts.filter(|cut| !self.follows(grant.at, *cut)) {
            left.role = left.role.min(self.left(cut)?);
        }
        Some(left)
    }

    fn against<'b>(&'b self, counted: &'b [usize], who: PrincipalId) -> impl Iterator<Item = usize> + 'b {
        counted.iter().copied().filter(move |c| self.ops[*c].action.target() == Some(who))
    }

    /// Rule 3: whether what an operation rests on still reaches.
    fn entitled(&self, x: usize, void: Set, counted: &[usize]) -> bool {
        let op = &self.ops[x];
        let cuts = || self.against(counted, op.author).filter(|c| !self.follows(*c, x));
        let grants = self.basis[x].iter().flat_map(|b| &b.grants).filter(|g| void >> g.at & 1 == 0);
        let left: Vec<Grant> = grants.filter_map(|g| self.remains(g, cuts())).collect();
        role_of(&self.worth(left)).is_some_and(|role| role >= op.action.needs())
    }

    /// A raise is worth nothing without an add that it follows.
    fn worth(&self, mut grants: Vec<Grant>) -> Vec<Grant> {
        let all = grants.clone();
        grants.retain(|g| g.adds || all.iter().any(|a| a.adds && self.follows(g.at, a.at)));
        grants
    }

    /// How everybody stands, departures aside.
    fn standing(&self, base: &State, set: Set, void: Set, counted: &[usize]) -> State {
        let mut state = State { void: base.void | void, waiting: base.waiting.clone(), ..State::default() };
        let mut grants = base.grants.clone();
        for g in bits(set & !void).filter(|g| self.basis[*g].as_ref().is_some_and(|b| b.sort == Sort::Grant)) {
            match &self.ops[g].action {
                Action::Add { who, role } => {
                    grants.entry(*who).or_default().push(Grant { at: g, role: *role, adds: true })
                }
                Action::SetRole { who, role, .. } => {
                    grants.entry(*who).or_default().push(Grant { at: g, role: *role, adds: false });
                }
                _ => {}
            }
        }
        for (who, grants) in grants {
            let left: Vec<Grant> = grants.iter().filter_map(|g| self.remains(g, self.against(counted, who))).collect();
            state.grants.insert(who, self.worth(left));
        }
        state
    }

    fn decide(&mut self, base: &State, set: Set) -> State {
        let void_by_past = bits(set).filter(|i| self.basis[*i].is_none()).fold(0, |s, i| s | 1 << i);
        let sort = |naive: &Self, i: usize| naive.basis[i].as_ref().map(|b| b.sort);
        let (mut void, mut counted): (Set, Vec<usize>) = (void_by_past, vec![]);
        let mut undecided: Vec<usize> =
            bits(set).filter(|i| matches!(sort(self, *i), Some(Sort::Removal | Sort::Demotion))).collect();
        undecided.sort_by_key(|i| (self.basis[*i].as_ref().unwrap().seniority, self.depth[*i], self.ops[*i].id));
        loop {
            undecided.retain(|i| void >> i & 1 == 0 && !counted.contains(i));
            let Some(senior) = undecided.first().copied() else { break };
            let mut next = None;
            for x in undecided.clone() {
                let mut held = false;
                for r in undecided.clone() {
                    held |= self.concurrent(r, x) && self.backed(r, x, set) && !self.backed(x, r, set);
                }
                if !held {
                    next = Some(x);
                    break;
                }
            }
            let next = next.unwrap_or(senior);
            counted.push(next);
            let mut after = void;
            while let Some(x) = bits(set & !after).find(|x| {
                !counted.contains(x) && sort(self, *x) != Some(Sort::Seen) && !self.entitled(*x, after, &counted)
            }) {
                after |= 1 << x;
            }
            if self.standing(base, set, after, &counted).admins() == 0 {
                counted.pop();
                void |= 1 << next;
            } else {
                void = after;
            }
        }
        let mut state = self.standing(base, set, void, &counted);
        // Rule 5, for the verdict on what a concurrent cut has ended.
        for g in bits(set & !void).filter(|g| sort(self, *g) == Some(Sort::Grant)) {
            let who = self.ops[g].action.target().unwrap();
            let ended = self.against(&counted, who).filter(|c| self.concurrent(g, *c)).any(|c| match self.left(c) {
                None => true,
                Some(left) => matches!(&self.ops[g].action, Action::SetRole { role, .. } if *role > left),
            });
            state.void |= Set::from(ended) << g;
        }
        // Rule 7.
        let mut own: Vec<usize> = bits(set & !void).filter(|x| sort(self, *x) == Some(Sort::Own)).collect();
        own.sort_by_key(|i| (self.depth[*i], self.basis[*i].as_ref().unwrap().seniority, self.ops[*i].id));
        for x in std::mem::take(&mut state.waiting).into_iter().chain(own) {
            let who = self.ops[x].author;
            let Some(was) = state.role(&who) else {
                state.void &= !(1 << x);
                continue;
            };
            let mut grants = state.grants[&who].clone();
            match self.left(x) {
                Some(left) => {
                    grants.iter_mut().filter(|g| !self.follows(g.at, x)).for_each(|g| g.role = g.role.min(left))
                }
                None => grants.retain(|g| self.follows(g.at, x)),
            }
            if was == Role::Admin && role_of(&self.worth(grants.clone())) != Some(Role::Admin) && state.admins() == 1 {
                state.waiting.push(x);
                state.void |= 1 << x;
            } else {
                state.void &= !(1 << x);
                state.grants.insert(who, self.worth(grants));
            }
        }
        state
    }
}
