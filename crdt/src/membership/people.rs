//! How everybody stands at a place of the graph. Places share what is the same.

use std::sync::Arc;

use super::Role;

/// Bits of a number that choose a branch of the tree of people.
const BITS: u32 = 3;
/// Branches of a fork.
const FANS: usize = 1 << BITS;

/// A grant of membership or of a role: where in the graph it stands, and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub at: usize,
    pub depth: u32,
    /// What it gives, or what demotions since have left of it.
    pub role: Role,
    /// Whether it takes somebody in; else it raises a member.
    pub adds: bool,
}

/// How a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// What it rests on; at least one of them adds.
    pub grants: Arc<[Grant]>,
    /// The highest role of the grants.
    pub role: Role,
    /// The least depth of a grant that makes an admin.
    pub rank: u32,
}

impl Standing {
    /// The standing that grants give; `None` where none of them adds.
    pub(super) fn of(grants: Vec<Grant>) -> Option<Self> {
        if !grants.iter().any(|g| g.adds) {
            return None;
        }
        let role = grants.iter().map(|g| g.role).max()?;
        let rank = grants.iter().filter(|g| g.role == Role::Admin).map(|g| g.depth).min().unwrap_or(u32::MAX);
        Some(Self { grants: grants.into(), role, rank })
    }
}

/// How everybody stands at a place: a tree of which a change copies one branch.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    tree: Tree,
    /// How high the tree is: people below `FANS` to its power plus one are in it.
    height: u32,
    pub members: usize,
    pub admins: usize,
    /// Places of what would have left no admin, in the order in which it is tried again.
    pub dormant: Vec<usize>,
}

#[derive(Debug, Clone, Default)]
enum Tree {
    #[default]
    Empty,
    Fork(Arc<[Tree; FANS]>),
    Leaf(Arc<Standing>),
}

impl Tree {
    fn set(&mut self, who: usize, height: u32, standing: Option<Standing>) {
        if let Self::Empty = self {
            *self = Self::Fork(Arc::default());
        }
        let Self::Fork(fork) = self else { return };
        let Some(slot) = Arc::make_mut(fork).get_mut(who >> (height * BITS) & (FANS - 1)) else { return };
        match height.checked_sub(1) {
            Some(height) => slot.set(who, height, standing),
            None => *slot = standing.map_or(Self::Empty, |s| Self::Leaf(Arc::new(s))),
        }
    }
}

impl State {
    /// How somebody stands; people have numbers.
    pub(super) fn get(&self, who: usize) -> Option<&Standing> {
        if who >> ((self.height + 1) * BITS) > 0 {
            return None;
        }
        let (mut tree, mut height) = (&self.tree, self.height + 1);
        while let Tree::Fork(fork) = tree {
            height = height.checked_sub(1)?;
            tree = fork.get(who >> (height * BITS) & (FANS - 1))?;
        }
        match tree {
            Tree::Leaf(standing) => Some(standing),
            _ => None,
        }
    }

    pub(super) fn role(&self, who: usize) -> Option<Role> {
        self.get(who).map(|s| s.role)
    }

    pub(super) fn set(&mut self, who: usize, standing: Option<Standing>) {
        let (was, is) = (self.role(who), standing.as_ref().map(|s| s.role));
        let step = |n: &mut usize, was: bool, is: bool| *n = (*n + usize::from(is)).saturating_sub(usize::from(was));
        step(&mut self.members, was.is_some(), is.is_some());
        step(&mut self.admins, was == Some(Role::Admin), is == Some(Role::Admin));
        while who >> ((self.height + 1) * BITS) > 0 {
            let mut fork: [Tree; FANS] = Default::default();
            if let Some(first) = fork.first_mut() {
                *first = std::mem::take(&mut self.tree);
            }
            self.tree = Tree::Fork(Arc::new(fork));
            self.height += 1;
        }
        self.tree.set(who, self.height, standing);
    }
}
