//! The decision itself: what counts of operations, on top of what was decided before them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::bits::Bits;
use super::judge::{Seniority, Sort};
use super::people::{Grant, Standing, State};
use super::{Action, Membership, Role, Void};
use crate::ids::EntryHash;

/// What operations add up to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub state: State,
    /// What of them does not count, by place, though its author was entitled to it.
    pub void: BTreeMap<usize, Void>,
}

/// A removal or demotion whose turn comes: by seniority, and between those of one author by depth.
type Turn = (Seniority, u32, EntryHash, usize);

/// A removal for which enough members speak, against whatever they had not seen.
struct Backed {
    removal: usize,
    seen: Vec<usize>,
    members: usize,
}

/// A decision on its way.
struct Decision<'a> {
    graph: &'a Membership,
    base: &'a State,
    /// The first place that is not decided in `base`.
    start: usize,
    known: &'a Bits,
    void: BTreeMap<usize, Void>,
    /// Removals and demotions that count.
    counted: BTreeSet<usize>,
    /// Those, by whom they are against.
    against: BTreeMap<usize, Vec<Against>>,
    /// What takes somebody in or raises a role, by whom it is for.
    grants: BTreeMap<usize, Vec<usize>>,
    /// Who is an admin, of those for whom anything here matters, and how many admins there are in all.
    admin: BTreeMap<usize, bool>,
    admins: usize,
}

impl Membership {
    /// Decides what is known from the place `start` on, on top of `base`.
    pub(super) fn decide_on(&self, base: &State, start: usize, known: &Bits) -> Decided {
        let mut decision = Decision {
            graph: self,
            base,
            start,
            known,
            void: BTreeMap::new(),
            counted: BTreeSet::new(),
            against: BTreeMap::new(),
            grants: BTreeMap::new(),
            admin: BTreeMap::new(),
            admins: base.admins,
        };
        let (mut turns, mut own) = (Vec::new(), Vec::new());
        for place in known.both(&self.effective).iter() {
            let (Some(node), Some(basis)) = (self.nodes.get(place), self.basis(place)) else { continue };
            match (basis.sort, node.target) {
                (Sort::Removal | Sort::Demotion, _) => turns.push((basis.seniority, node.depth, node.op.id, place)),
                (Sort::Own, _) => own.push((node.depth, basis.seniority, node.op.id, place)),
                (Sort::Grant, Some(who)) => decision.grants.entry(who).or_default().push(place),
                _ => {}
            }
        }
        if !turns.is_empty() {
            turns.sort_unstable();
            let who: Vec<usize> = decision.grants.keys().copied().collect();
            who.into_iter().for_each(|who| decision.count_admin(who));
            decision.cut(&turns);
        }
        own.sort_unstable();
        decision.finish(own.into_iter().map(|(.., place)| place))
    }
}

/// A cut: its place, and the role that it leaves.
pub(super) type Against = (usize, Option<Role>);

impl Membership {
    /// What an operation gives that takes somebody in or raises a role.
    fn grant(&self, at: usize) -> Option<Grant> {
        let node = self.nodes.get(at)?;
        match &node.op.action {
            Action::Add { role, .. } => Some(Grant { at, depth: node.depth, role: *role, adds: true }),
            Action::SetRole { role, .. } => Some(Grant { at, depth: node.depth, role: *role, adds: false }),
            _ => None,
        }
    }

    /// How somebody stands by grants: a raise is worth nothing without an add that it follows.
    pub(super) fn stand(&self, mut grants: Vec<Grant>) -> Option<Standing> {
        let adds: Vec<usize> = grants.iter().filter(|g| g.adds).map(|g| g.at).collect();
        grants.retain(|g| g.adds || adds.iter().any(|add| self.follows(g.at, *add)));
        Standing::of(grants)
    }

    /// A removal or demotion as what it does to its target.
    fn against(&self, cut: usize) -> Against {
        match self.nodes.get(cut).map(|n| &n.op.action) {
            Some(Action::SetRole { role, .. }) => (cut, Some(*role)),
            _ => (cut, None),
        }
    }

    /// What removals and demotions leave of a grant.
    fn remains(&self, grant: &Grant, cuts: &[Against]) -> Option<Role> {
        let mut role = grant.role;
        for (cut, left) in cuts.iter().rev() {
            if !self.follows(grant.at, *cut) {
                role = role.min((*left)?);
            }
        }
        Some(role)
    }

    /// What `new` adds to a state, where no removal or demotion meets anything concurrent that its target did, and nobody
    /// leaves: then the order is no matter. `known` is all beyond the place that was decided for good.
    pub(super) fn add_to(&self, state: &State, new: &Bits, (up, known): (usize, &Bits)) -> State {
        let mut state = state.clone();
        let mut touched: BTreeMap<usize, Vec<Grant>> = BTreeMap::new();
        for place in new.iter() {
            let (Some(target), Some(basis)) = (self.nodes.get(place).and_then(|n| n.target), self.basis(place)) else {
                continue;
            };
            let line = touched.entry(target).or_default();
            line.extend(self.grant(place).filter(|_| basis.sort == Sort::Grant));
        }
        for (who, new) in touched {
            let cuts = self.cuts_of.get(who).map(Vec::as_slice).unwrap_or_default();
            let from = cuts.partition_point(|c| *c <= up);
            let cuts: Vec<Against> =
                cuts.iter().skip(from).filter(|c| known.contains(**c)).map(|c| self.against(*c)).collect();
            let old = state.get(who).map(|s| s.grants.to_vec()).unwrap_or_default();
            let all = old.into_iter().chain(new);
            let left = all.filter_map(|g| self.remains(&g, &cuts).map(|role| Grant { role, ..g })).collect();
            state.set(who, self.stand(left));
        }
        state
    }
}

impl Decision<'_> {
    /// Decides removals and demotions, each in its turn.
    fn cut(&mut self, turns: &[Turn]) {
        let backed = self.backed(turns);
        let mut left: VecDeque<&Turn> = turns.iter().collect();
        let mut held: Vec<(&Turn, Vec<usize>)> = Vec::new();
        loop {
            // Those that waited for a removal that is decided now come first: they are senior to all that is left.
            held.iter_mut().for_each(|(_, by)| by.retain(|b| self.stands(*b)));
            let free = held.iter().position(|(turn, by)| by.is_empty() || !self.stands(turn.3));
            let turn = match free {
                Some(n) => held.remove(n).0,
                None => match left.pop_front() {
                    Some(turn) => {
                        let open = backed.iter().filter(|b| self.stands(b.removal));
                        let by: Vec<usize> =
                            open.filter(|b| self.goes_before(b, turn, &backed)).map(|b| b.removal).collect();
                        if self.stands(turn.3) && !by.is_empty() {
                            held.push((turn, by));
                            continue;
                        }
                        turn
                    }
                    None if held.is_empty() => return,
                    None => held.remove(0).0,
                },
            };
            if self.stands(turn.3) {
                self.decide(turn.3);
            }
        }
    }

    /// The removals that enough members have said to have seen, in the order of seniority.
    fn backed(&self, turns: &[Turn]) -> Vec<Backed> {
        if turns.len() < 2 {
            return Vec::new();
        }
        let of = |turn: &Turn| {
            let removal = turn.3;
            let seen: Vec<usize> =
                self.graph.seen.get(&removal)?.iter().copied().filter(|s| self.known.contains(*s)).collect();
            let members = self.graph.basis(removal)?.then.as_ref()?.members;
            let backed = Backed { removal, seen, members };
            self.enough(&backed, None).then_some(backed)
        };
        turns.iter().filter_map(of).collect()
    }

    /// Whether more than half of the members of its time speak for a removal, its author among them and at least two
    /// more; who has seen the rival does not speak against it.
    fn enough(&self, backed: &Backed, rival: Option<usize>) -> bool {
        let (Some(node), Some(basis)) = (self.graph.nodes.get(backed.removal), self.graph.basis(backed.removal)) else {
            return false;
        };
        let mut voices = BTreeSet::new();
        for seen in &backed.seen {
            let Some(author) = self.graph.nodes.get(*seen).map(|n| n.author) else { continue };
            let member = basis.then.as_ref().is_some_and(|then| then.get(author).is_some());
            let spoke = member && author != node.author && Some(author) != node.target;
            if spoke && rival.is_none_or(|rival| !self.graph.follows(*seen, rival)) {
                voices.insert(author);
            }
        }
        voices.len() >= 2 && 2 * (voices.len() + 1) > backed.members
    }

    /// Whether a removal goes before another one, or a demotion, whoever is senior.
    fn goes_before(&self, backed: &Backed, turn: &Turn, all: &[Backed]) -> bool {
        let rival = turn.3;
        let against = |b: &Backed, rival| self.graph.concurrent(b.removal, rival) && self.enough(b, Some(rival));
        let answered = || all.iter().find(|b| b.removal == rival).is_some_and(|b| against(b, backed.removal));
        against(backed, rival) && !answered()
    }

    /// Decides a removal or demotion, whose turn it is.
    fn decide(&mut self, cut: usize) {
        let Some(node) = self.graph.nodes.get(cut) else { return };
        let Some(target) = node.target else { return };
        self.counted.insert(cut);
        self.against.entry(target).or_default().push(self.graph.against(cut));
        let mut fallen = Vec::new();
        for x in self.done_by(target) {
            let falls = x != cut && self.stands(x) && !self.graph.follows(cut, x) && !self.entitled(x);
            if falls {
                let rank = |place: usize| self.graph.basis(place).map(|b| b.seniority);
                let void = match self.graph.basis(x).is_some_and(|b| b.sort.cuts()) {
                    _ if self.graph.follows(x, cut) => Void::AuthorGone { by: node.op.id },
                    true if rank(x) < rank(cut) => Void::Outvoted { by: node.op.id },
                    true => Void::Outranked { by: node.op.id },
                    false => Void::AuthorCut { by: node.op.id },
                };
                fallen.push((x, void));
            }
        }
        let (mut all, mut touched) = (Vec::new(), BTreeSet::from([target]));
        while !fallen.is_empty() {
            let mut dirty = BTreeSet::new();
            for (x, void) in fallen.drain(..) {
                self.void.insert(x, void);
                all.push(x);
                let grants = self.graph.basis(x).is_some_and(|b| b.sort == Sort::Grant);
                dirty.extend(self.graph.nodes.get(x).and_then(|n| n.target).filter(|_| grants));
            }
            for who in &dirty {
                for y in self.done_by(*who).filter(|y| self.stands(*y) && !self.entitled(*y)) {
                    fallen.extend(self.void_grant(y).map(|grant| (y, Void::GrantVoid { grant })));
                }
            }
            touched.extend(dirty);
        }
        let before: Vec<(usize, Option<bool>)> =
            touched.iter().map(|who| (*who, self.admin.get(who).copied())).collect();
        let admins = self.admins;
        touched.iter().for_each(|who| self.count_admin(*who));
        if self.admins == 0 {
            // Nobody would be left who could take anybody in: as if it had not been.
            self.admins = admins;
            for (who, was) in before {
                match was {
                    Some(was) => self.admin.insert(who, was),
                    None => self.admin.remove(&who),
                };
            }
            all.iter().for_each(|x| {
                self.void.remove(x);
            });
            self.counted.remove(&cut);
            if let Some(line) = self.against.get_mut(&target) {
                line.pop();
            }
            self.void.insert(cut, Void::NobodyLeft);
        }
    }

    /// What somebody did, of what is known and not decided in the base.
    fn done_by(&self, who: usize) -> impl Iterator<Item = usize> + use<'_> {
        let line = self.graph.by_author.get(who).map(Vec::as_slice).unwrap_or_default();
        let from = line.partition_point(|p| *p < self.start);
        line.iter().skip(from).copied().filter(|p| self.known.contains(*p))
    }

    /// Whether an operation may still fall: what was decided stays.
    fn stands(&self, place: usize) -> bool {
        !self.void.contains_key(&place) && !self.counted.contains(&place)
    }

    /// Whether what an operation rests on still reaches: the grants by which its author was a member and had the role.
    fn entitled(&self, place: usize) -> bool {
        let Some((node, basis)) = self.graph.nodes.get(place).zip(self.graph.basis(place)) else { return false };
        let cuts = self.against.get(&node.author).map(Vec::as_slice).unwrap_or_default();
        // What the operation precedes was no matter for it.
        let cuts: Vec<_> = cuts.iter().filter(|(cut, _)| !self.graph.follows(*cut, place)).copied().collect();
        let alive = basis.grants.iter().filter(|grant| !self.void.contains_key(&grant.at));
        let left = alive.filter_map(|g| self.graph.remains(g, &cuts).map(|role| Grant { role, ..*g }));
        let (mut adds, mut raises) = (Vec::new(), Vec::new());
        for grant in left {
            if grant.adds {
                if grant.role >= basis.needs {
                    return true;
                }
                adds.push(grant.at);
            } else if grant.role >= basis.needs {
                raises.push(grant.at);
            }
        }
        raises.iter().any(|raise| adds.iter().any(|add| self.graph.follows(*raise, *add)))
    }

    /// The first grant, by depth, of what an operation rests on that is void.
    fn void_grant(&self, place: usize) -> Option<EntryHash> {
        let void = self.graph.basis(place)?.grants.iter().filter(|g| self.void.contains_key(&g.at));
        void.map(|g| (g.depth, self.graph.id(g.at))).min().map(|(_, id)| id)
    }

    /// How somebody stands as far as it is decided.
    fn standing(&self, who: usize) -> Option<Standing> {
        let cuts = self.against.get(&who).map(Vec::as_slice).unwrap_or_default();
        let mut grants = Vec::new();
        let mut take =
            |grant: Grant| grants.extend(self.graph.remains(&grant, cuts).map(|role| Grant { role, ..grant }));
        self.base.get(who).iter().flat_map(|s| s.grants.iter()).for_each(|g| take(*g));
        let new = self.grants.get(&who).into_iter().flatten().filter(|at| !self.void.contains_key(at));
        new.filter_map(|at| self.graph.grant(*at)).for_each(take);
        self.graph.stand(grants)
    }

    /// Looks anew whether somebody is an admin.
    fn count_admin(&mut self, who: usize) {
        let is = self.standing(who).is_some_and(|s| s.role == Role::Admin);
        let was = self.admin.insert(who, is).unwrap_or(self.base.role(who) == Some(Role::Admin));
        self.admins = (self.admins + usize::from(is)).saturating_sub(usize::from(was));
    }

    /// What remains once all removals and demotions are decided; `own` are the departures in their order.
    fn finish(mut self, own: impl Iterator<Item = usize>) -> Decided {
        let mut state = self.base.clone();
        let touched: BTreeSet<usize> = self.grants.keys().chain(self.against.keys()).copied().collect();
        for who in &touched {
            state.set(*who, self.standing(*who));
        }
        for (who, grants) in &self.grants {
            let Some(cuts) = self.against.get(who) else { continue };
            for at in grants {
                let Some(node) = self.graph.nodes.get(*at).filter(|_| self.stands(*at)) else { continue };
                let lost = |left: &Option<Role>| match (&node.op.action, left) {
                    (_, None) => true,
                    (Action::SetRole { role, .. }, Some(left)) => role > left,
                    _ => false,
                };
                let cut = cuts.iter().find(|(cut, left)| lost(left) && self.graph.concurrent(*at, *cut));
                if let Some((cut, _)) = cut {
                    self.void.insert(*at, Void::TargetCut { by: self.graph.id(*cut) });
                }
            }
        }
        let waiting = std::mem::take(&mut state.dormant);
        for place in
            waiting.into_iter().chain(own).filter(|p| *p < self.start || !self.void.contains_key(p)).collect::<Vec<_>>()
        {
            self.depart(place, &mut state);
        }
        Decided { state, void: self.void }
    }

    /// Lets somebody leave or lower his own role, unless no admin would be left.
    fn depart(&mut self, place: usize, state: &mut State) {
        let Some(node) = self.graph.nodes.get(place) else { return };
        let Some(before) = state.get(node.author).cloned() else { return };
        let mut grants = Vec::new();
        for grant in before.grants.iter() {
            match &node.op.action {
                _ if self.graph.follows(grant.at, place) => grants.push(*grant),
                Action::SetRole { role, .. } => grants.push(Grant { role: grant.role.min(*role), ..*grant }),
                _ => {}
            }
        }
        let after = self.graph.stand(grants);
        let goes = before.role == Role::Admin && after.as_ref().is_none_or(|s| s.role != Role::Admin);
        if goes && state.admins <= 1 {
            state.dormant.push(place);
            if place >= self.start {
                self.void.insert(place, Void::LastAdmin);
            }
            return;
        }
        state.set(node.author, after);
    }
}
