//! The tree of frontiers: how far a device holds every log of a space, under one hash.
//!
//! A radix tree over a hash of each log's id, sixteen ways a level. A node is a leaf of at most 16 log ends or a branch
//! over more, so its shape depends on what it holds and on nothing else, and equal frontiers have equal roots. Nodes
//! never change and are found by their hash ([`Pool`]): sixty devices that hold the same cost as much as one, a change
//! costs one path, and of a tree that is unknown only the nodes that differ have to be fetched ([`Assembly`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{EntryHash, LogId, domain_hash};

/// Most log ends in a leaf.
const LEAF: usize = 16;
/// Levels after which a leaf takes any number: 64 bits of hash are used up.
const DEPTH: u32 = 16;
/// Most log ends that a tree of another device may hold.
pub const MAX_ENDS: u64 = 65_536;
/// Most bytes of a node as sent: a leaf of 16 ends, or of as many as share 64 bits of a hash by accident.
pub const MAX_NODE: usize = 4 * 1024;
/// Nodes in use beyond which no made-up frontier is taken in any more: 64 MiB, if every leaf is full.
const CROWDED: usize = 32_768;
/// Most nodes fetched of one tree.
const MAX_FETCHED: usize = 8_192;
/// Length of an end as bytes.
const END: usize = LogId::LEN + 8 + 32;

/// The hash of a node; all zero for the empty tree.
pub type NodeHash = [u8; 32];

/// The hash of the empty tree.
pub const EMPTY: NodeHash = [0; 32];

/// How far a log is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The log.
    pub log: LogId,
    /// Entries held; zero takes the log out of a tree.
    pub seq: u64,
    /// Hash of the last.
    pub hash: EntryHash,
}

impl End {
    /// Appends the canonical bytes.
    pub fn write(&self, w: &mut Writer) {
        w.bytes(&self.log.to_bytes()).u64(self.seq).bytes(&self.hash.0);
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { log: LogId::from_bytes(&r.array()?), seq: r.u64()?, hash: EntryHash(r.array()?) })
    }

    /// Length of the canonical bytes.
    pub const LEN: usize = END;
}

/// Where a log stands in the tree.
#[must_use]
pub fn place(log: &LogId) -> u64 {
    let h = domain_hash("cairn 2026 frontier place", &[&log.to_bytes()]);
    h.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b))
}

/// Which child of a branch at `depth` a place belongs to.
fn way(place: u64, depth: u32) -> usize {
    ((place >> (60 - 4 * depth.min(15))) & 15) as usize
}

/// Ends with their places; they sort by both, and no two have the same log.
type Placed = (u64, End);

#[derive(Debug)]
enum Kind {
    Leaf(Vec<Placed>),
    Branch(Box<[Option<Arc<Node>>; 16]>),
}

#[derive(Debug)]
struct Node {
    hash: NodeHash,
    /// Ends below.
    count: u64,
    kind: Kind,
}

impl Node {
    fn encode(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Leaf(ends) => encode_leaf(ends),
            Kind::Branch(children) => encode_branch(&std::array::from_fn(|i| hash_of(children[i].as_ref()))),
        }
    }
}

fn hash_of(node: Option<&Arc<Node>>) -> NodeHash {
    node.map_or(EMPTY, |n| n.hash)
}

fn encode_leaf(ends: &[Placed]) -> Vec<u8> {
    let mut w = Writer::with_capacity(3 + ends.len() * END);
    w.u8(0).u16(u16::try_from(ends.len()).unwrap_or(u16::MAX));
    ends.iter().for_each(|(_, e)| e.write(&mut w));
    w.finish()
}

fn encode_branch(children: &[NodeHash; 16]) -> Vec<u8> {
    let mut w = Writer::with_capacity(3 + 16 * 32);
    let there = children.iter().enumerate().filter(|(_, h)| **h != EMPTY).fold(0u16, |bits, (i, _)| bits | 1 << i);
    w.u8(1).u16(there);
    for child in children.iter().filter(|h| **h != EMPTY) {
        w.bytes(child);
    }
    w.finish()
}

fn hash_node(bytes: &[u8]) -> NodeHash {
    domain_hash("cairn 2026 frontier node", &[bytes])
}

/// A node as it was sent.
#[derive(Debug)]
enum Sent {
    Leaf(Vec<Placed>),
    Branch(Box<[NodeHash; 16]>),
}

impl Sent {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let sent = match (r.u8()?, r.u16()?) {
            (0, n) => {
                if usize::from(n) * END != r.remaining() || n == 0 {
                    return Err(DecodeError::Invalid("leaf of a frontier"));
                }
                let mut ends: Vec<Placed> = Vec::with_capacity(n.into());
                for _ in 0..n {
                    let end = End::read(&mut r)?;
                    let new = (place(&end.log), end);
                    if end.seq == 0 || ends.last().is_some_and(|last| order(last) >= order(&new)) {
                        return Err(DecodeError::Invalid("leaf of a frontier"));
                    }
                    ends.push(new);
                }
                Self::Leaf(ends)
            }
            (1, there) if there != 0 => {
                let mut children = [EMPTY; 16];
                for (i, child) in children.iter_mut().enumerate() {
                    if there & (1 << i) != 0 {
                        *child = r.array()?;
                    }
                }
                Self::Branch(Box::new(children))
            }
            _ => return Err(DecodeError::Invalid("node of a frontier")),
        };
        r.finish()?;
        Ok(sent)
    }
}

fn order(placed: &Placed) -> (u64, LogId) {
    (placed.0, placed.1.log)
}

/// Every node in memory, by hash, so that equal ones are one.
#[derive(Debug, Default)]
pub struct Pool {
    nodes: BTreeMap<NodeHash, Weak<Node>>,
    sweep_at: usize,
}

impl Pool {
    /// The tree with a root, if it is in memory.
    #[must_use]
    pub fn tree(&self, root: &NodeHash) -> Option<Tree> {
        if *root == EMPTY {
            return Some(Tree::default());
        }
        self.nodes.get(root).and_then(Weak::upgrade).map(|n| Tree(Some(n)))
    }

    /// The bytes of a node, if it is in memory.
    #[must_use]
    pub fn node(&self, hash: &NodeHash) -> Option<Vec<u8>> {
        self.nodes.get(hash).and_then(Weak::upgrade).map(|n| n.encode())
    }

    /// Nodes in memory, those that are no longer used and not yet swept among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether so many nodes are in use that only frontiers which are here already should be taken in.
    #[must_use]
    pub fn crowded(&mut self) -> bool {
        if self.nodes.len() >= CROWDED {
            self.sweep();
        }
        self.nodes.len() >= CROWDED
    }

    fn sweep(&mut self) {
        self.nodes.retain(|_, n| n.strong_count() > 0);
        self.sweep_at = self.nodes.len().saturating_mul(2).max(1_024);
    }

    fn intern(&mut self, hash: NodeHash, count: u64, kind: Kind) -> Arc<Node> {
        if let Some(node) = self.nodes.get(&hash).and_then(Weak::upgrade) {
            return node;
        }
        if self.nodes.len() >= self.sweep_at {
            self.sweep();
        }
        let node = Arc::new(Node { hash, count, kind });
        self.nodes.insert(hash, Arc::downgrade(&node));
        node
    }

    fn leaf(&mut self, ends: Vec<Placed>) -> Arc<Node> {
        let hash = hash_node(&encode_leaf(&ends));
        self.intern(hash, ends.len() as u64, Kind::Leaf(ends))
    }

    fn branch(&mut self, children: [Option<Arc<Node>>; 16]) -> Arc<Node> {
        let count = children.iter().flatten().fold(0u64, |n, c| n.saturating_add(c.count));
        let hash = hash_node(&encode_branch(&std::array::from_fn(|i| hash_of(children[i].as_ref()))));
        self.intern(hash, count, Kind::Branch(Box::new(children)))
    }

    /// The node over ends that are sorted by place.
    fn over(&mut self, ends: Vec<Placed>, depth: u32) -> Option<Arc<Node>> {
        if ends.is_empty() {
            return None;
        }
        if ends.len() <= LEAF || depth == DEPTH {
            return Some(self.leaf(ends));
        }
        let children = std::array::from_fn(|i| {
            let below: Vec<_> = ends.iter().filter(|(p, _)| way(*p, depth) == i).copied().collect();
            self.over(below, depth + 1)
        });
        Some(self.branch(children))
    }

    fn update(&mut self, node: Option<&Arc<Node>>, changes: &[Placed], depth: u32) -> Option<Arc<Node>> {
        if changes.is_empty() {
            return node.cloned();
        }
        let Some(Kind::Branch(children)) = node.map(|n| &n.kind) else {
            let old = match node.map(|n| &n.kind) {
                Some(Kind::Leaf(ends)) => ends.as_slice(),
                _ => &[],
            };
            let mut ends: BTreeMap<_, _> = old.iter().map(|p| (order(p), p.1)).collect();
            for change in changes {
                ends.insert(order(change), change.1);
            }
            return self.over(ends.into_iter().map(|((p, _), e)| (p, e)).filter(|(_, e)| e.seq > 0).collect(), depth);
        };
        let mut new: [Option<Arc<Node>>; 16] = std::array::from_fn(|_| None);
        for (i, (slot, child)) in new.iter_mut().zip(children.iter()).enumerate() {
            let below: Vec<_> = changes.iter().filter(|(p, _)| way(*p, depth) == i).copied().collect();
            *slot = self.update(child.as_ref(), &below, depth + 1);
        }
        let count = new.iter().flatten().fold(0u64, |n, c| n.saturating_add(c.count));
        if count > LEAF as u64 {
            return Some(self.branch(new));
        }
        let mut ends = Vec::new();
        new.iter().flatten().for_each(|n| gather(n, &mut |p| ends.push(*p)));
        self.over(ends, depth)
    }
}

fn gather(node: &Node, to: &mut impl FnMut(&Placed)) {
    match &node.kind {
        Kind::Leaf(ends) => ends.iter().for_each(to),
        Kind::Branch(children) => {
            for child in children.iter().flatten() {
                gather(child, to);
            }
        }
    }
}

/// Walks what of a node is held further there than in another tree; `other` is what stands at the node's place in it.
fn ahead(node: &Arc<Node>, other: Option<&Arc<Node>>, all: &Tree, each: &mut impl FnMut(&End, u64)) {
    if node.hash == hash_of(other) {
        return;
    }
    match (&node.kind, other.map(|o| &o.kind)) {
        (Kind::Branch(ours), Some(Kind::Branch(theirs))) => {
            for (ours, theirs) in ours.iter().zip(theirs.iter()) {
                ours.iter().for_each(|n| ahead(n, theirs.as_ref(), all, each));
            }
        }
        _ => gather(node, &mut |(place, end)| {
            let there = all.seq_at(*place, &end.log);
            if end.seq > there {
                each(end, there);
            }
        }),
    }
}

/// A frontier: the ends of logs, under one hash. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tree(Option<Arc<Node>>);

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Tree {}

impl Tree {
    /// The hash over all of it.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        hash_of(self.0.as_ref())
    }

    /// How many logs it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |n| n.count)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How far a log is held; zero where it is not.
    #[must_use]
    pub fn seq(&self, log: &LogId) -> u64 {
        self.seq_at(place(log), log)
    }

    /// The same for whoever asks many trees and has the log's [`place`].
    #[must_use]
    pub fn seq_at(&self, place: u64, log: &LogId) -> u64 {
        let at = (place, *log);
        let (mut node, mut depth) = (self.0.as_ref(), 0);
        while let Some(n) = node {
            match &n.kind {
                Kind::Leaf(ends) => {
                    let found = ends.binary_search_by(|p| order(p).cmp(&at)).ok();
                    return found.and_then(|i| ends.get(i)).map_or(0, |(_, e)| e.seq);
                }
                Kind::Branch(children) => {
                    node = children.get(way(at.0, depth)).and_then(Option::as_ref);
                    depth += 1;
                }
            }
        }
        0
    }

    /// The same with some ends set; an end of zero entries takes its log out.
    #[must_use]
    pub fn with(&self, pool: &mut Pool, changes: &[End]) -> Self {
        let placed: Vec<_> = changes.iter().map(|e| (place(&e.log), *e)).collect();
        Self(pool.update(self.0.as_ref(), &placed, 0))
    }

    /// Calls `each` for every log that is held further here than in `other`, with how far it is held there. Parts that
    /// are equal cost nothing.
    pub fn beyond(&self, other: &Self, mut each: impl FnMut(&End, u64)) {
        if let Some(node) = &self.0 {
            ahead(node, other.0.as_ref(), other, &mut each);
        }
    }

    /// Every end, in the order of the tree.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        let mut all = Vec::new();
        if let Some(node) = &self.0 {
            gather(node, &mut |(_, e)| all.push(*e));
        }
        all
    }

    /// The bytes of every node that `known` does not name, with their hashes; `known` learns them.
    #[must_use]
    pub fn nodes(&self, known: &mut BTreeSet<NodeHash>) -> Vec<(NodeHash, Vec<u8>)> {
        let (mut out, mut open) = (Vec::new(), Vec::from_iter(self.0.clone()));
        while let Some(node) = open.pop() {
            if known.insert(node.hash) {
                out.push((node.hash, node.encode()));
                if let Kind::Branch(children) = &node.kind {
                    open.extend(children.iter().flatten().cloned());
                }
            }
        }
        out
    }

    /// The hashes of every node.
    pub fn hashes(&self, into: &mut BTreeSet<NodeHash>) {
        let mut open = Vec::from_iter(self.0.clone());
        while let Some(node) = open.pop() {
            if into.insert(node.hash)
                && let Kind::Branch(children) = &node.kind
            {
                open.extend(children.iter().flatten().cloned());
            }
        }
    }
}

/// Why a tree could not be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A node that was not asked for, or whose hash is another.
    #[error("a node of a frontier that nobody asked for")]
    Unasked,
    /// Not a node.
    #[error("a node of a frontier that cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// More than a device can hold.
    #[error("a frontier with too much in it")]
    TooMuch,
}

/// A tree that is fetched node by node.
#[derive(Debug)]
pub struct Assembly {
    root: NodeHash,
    missing: BTreeSet<NodeHash>,
    sent: BTreeMap<NodeHash, Sent>,
    /// Keeps nodes that were in the pool already.
    held: BTreeMap<NodeHash, Tree>,
}

impl Assembly {
    /// The tree with a root, of which the pool may have parts.
    #[must_use]
    pub fn new(root: NodeHash, pool: &Pool) -> Self {
        let mut new = Self { root, missing: BTreeSet::new(), sent: BTreeMap::new(), held: BTreeMap::new() };
        new.need(root, pool);
        new
    }

    fn need(&mut self, hash: NodeHash, pool: &Pool) {
        if hash == EMPTY || self.sent.contains_key(&hash) || self.held.contains_key(&hash) {
            return;
        }
        match pool.tree(&hash) {
            Some(tree) => drop(self.held.insert(hash, tree)),
            None => drop(self.missing.insert(hash)),
        }
    }

    /// Nodes to ask for, at most `n`.
    #[must_use]
    pub fn missing(&self, n: usize) -> Vec<NodeHash> {
        self.missing.iter().take(n).copied().collect()
    }

    /// Takes a node.
    ///
    /// # Errors
    /// [`TreeError`]; the assembly is as it was.
    pub fn take(&mut self, bytes: &[u8], pool: &Pool) -> Result<(), TreeError> {
        let hash = hash_node(bytes);
        if !self.missing.contains(&hash) {
            return Err(TreeError::Unasked);
        }
        let node = Sent::decode(bytes)?;
        if self.sent.len().saturating_add(self.missing.len()) > MAX_FETCHED {
            return Err(TreeError::TooMuch);
        }
        self.missing.remove(&hash);
        let children = if let Sent::Branch(children) = &node { **children } else { [EMPTY; 16] };
        self.sent.insert(hash, node);
        children.into_iter().for_each(|child| self.need(child, pool));
        Ok(())
    }

    /// The tree, once nothing is missing.
    ///
    /// # Errors
    /// [`TreeError::TooMuch`]: deeper or larger than any tree of a device that keeps to the bounds.
    pub fn finish(&self, pool: &mut Pool) -> Option<Result<Tree, TreeError>> {
        if !self.missing.is_empty() {
            return None;
        }
        let mut made = BTreeMap::new();
        Some(self.build(self.root, 0, pool, &mut made).map(Tree))
    }

    fn build(
        &self,
        hash: NodeHash,
        depth: u32,
        pool: &mut Pool,
        made: &mut BTreeMap<NodeHash, Option<Arc<Node>>>,
    ) -> Result<Option<Arc<Node>>, TreeError> {
        if let Some(node) = made.get(&hash) {
            return Ok(node.clone());
        }
        let node = match (self.sent.get(&hash), self.held.get(&hash)) {
            (None, held) => held.and_then(|t| t.0.clone()),
            (Some(Sent::Leaf(ends)), _) => Some(pool.leaf(ends.clone())),
            (Some(Sent::Branch(_)), _) if depth >= DEPTH => return Err(TreeError::TooMuch),
            (Some(Sent::Branch(below)), _) => {
                let mut children: [Option<Arc<Node>>; 16] = std::array::from_fn(|_| None);
                for (slot, child) in children.iter_mut().zip(below.iter()) {
                    *slot = self.build(*child, depth + 1, pool, made)?;
                }
                Some(pool.branch(children))
            }
        };
        // Nodes may be named more than once: what such a tree claims to hold is bounded, not how often it says it.
        if node.as_ref().is_some_and(|n| n.count > MAX_ENDS) {
            return Err(TreeError::TooMuch);
        }
        made.insert(hash, node.clone());
        Ok(node)
    }
}

#[cfg(test)]
mod tests;
