//! Trees that are built in any order, changed, sent in pieces, and made up by a liar.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::ids::{DeviceId, DocumentId, Incarnation};

fn end(n: u32, seq: u64) -> End {
    let mut device = [0; 32];
    device[..4].copy_from_slice(&n.to_be_bytes());
    let log = LogId { document: DocumentId::chat(1, 0), device: DeviceId(device), incarnation: Incarnation([1; 16]) };
    End { log, seq, hash: EntryHash([seq as u8; 32]) }
}

fn fetch(root: NodeHash, from: &Pool, to: &mut Pool) -> Result<(Tree, usize), TreeError> {
    let mut assembly = Assembly::new(root, to);
    let mut fetched = 0;
    loop {
        if let Some(done) = assembly.finish(to) {
            return done.map(|t| (t, fetched));
        }
        for hash in assembly.missing(usize::MAX) {
            assembly.take(&from.node(&hash).unwrap(), to)?;
            fetched += 1;
        }
    }
}

#[test]
fn the_root_depends_on_what_is_held_and_not_on_how_it_came() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for n in [0u32, 1, 16, 17, 40, 500] {
        let mut ends: Vec<_> = (0..n).map(|i| end(i, 1 + u64::from(i % 7))).collect();
        let mut pool = Pool::default();
        let all = Tree::default().with(&mut pool, &ends);
        assert_eq!((all.len(), all.is_empty()), (u64::from(n), n == 0));
        ends.shuffle(&mut rng);
        // In another pool, one by one, with detours: more logs than needed that go again, and older ends before.
        let (mut other, mut tree) = (Pool::default(), Tree::default());
        for i in n..n + 30 {
            tree = tree.with(&mut other, &[end(i, 3)]);
        }
        for e in &ends {
            tree = tree.with(&mut other, &[End { seq: 9, ..*e }]);
            tree = tree.with(&mut other, &[*e]);
        }
        for i in n..n + 30 {
            tree = tree.with(&mut other, &[End { seq: 0, ..end(i, 0) }]);
        }
        assert_eq!(tree.root(), all.root(), "{n}");
        assert_eq!(tree, all);
        for e in &ends {
            assert_eq!(tree.seq(&e.log), e.seq);
        }
        assert_eq!(tree.seq(&end(9_999, 1).log), 0);
        let mut back = tree.ends();
        back.sort_by_key(|e| e.log);
        ends.sort_by_key(|e| e.log);
        assert_eq!(back, ends);
    }
}

#[test]
fn every_difference_changes_the_root() {
    let mut pool = Pool::default();
    let ends: Vec<_> = (0..100).map(|i| end(i, 5)).collect();
    let tree = Tree::default().with(&mut pool, &ends);
    let mut roots = BTreeSet::from([tree.root(), EMPTY]);
    for e in &ends {
        for changed in [End { seq: 6, ..*e }, End { hash: EntryHash([9; 32]), ..*e }, End { seq: 0, ..*e }] {
            assert!(roots.insert(tree.with(&mut pool, &[changed]).root()));
        }
    }
    assert_eq!(tree.with(&mut pool, &ends), tree);
}

#[test]
fn equal_trees_are_one_in_memory_and_dead_ones_go() {
    let mut pool = Pool::default();
    let ends: Vec<_> = (0..2_000).map(|i| end(i, 1)).collect();
    let mine = Tree::default().with(&mut pool, &ends);
    let before = pool.len();
    let others: Vec<_> = (0..60).map(|_| Tree::default().with(&mut pool, &ends)).collect();
    assert_eq!(pool.len(), before, "sixty devices that hold the same cost nothing more");
    assert!(others.iter().all(|t| *t == mine));
    let mut tree = mine.clone();
    for i in 0..20_000u64 {
        tree = tree.with(&mut pool, &[end((i % 2_000) as u32, 2 + i)]);
    }
    assert!(pool.len() < 4 * before + 2_048, "{} of {before}", pool.len());
    assert_eq!(mine.seq(&end(0, 1).log), 1, "a tree never changes");
}

#[test]
fn of_an_unknown_tree_only_what_differs_is_fetched() {
    let ends: Vec<_> = (0..5_000).map(|i| end(i, 1)).collect();
    let (mut here, mut there) = (Pool::default(), Pool::default());
    let _mine = Tree::default().with(&mut here, &ends);
    let theirs = Tree::default().with(&mut there, &ends).with(&mut there, &[end(77, 2), end(9_000, 1)]);
    let (tree, fetched) = fetch(theirs.root(), &there, &mut here).unwrap();
    assert_eq!(tree, theirs);
    assert_eq!((tree.seq(&end(77, 0).log), tree.seq(&end(9_000, 0).log), tree.seq(&end(3, 0).log)), (2, 1, 1));
    assert!(fetched <= 8, "{fetched} nodes");
    let (whole, fetched) = fetch(theirs.root(), &there, &mut Pool::default()).unwrap();
    assert!(whole == theirs && fetched > 300, "{fetched}");
}

#[test]
fn nodes_are_kept_and_read_back_as_they_were() {
    let mut pool = Pool::default();
    let tree = Tree::default().with(&mut pool, &(0..300).map(|i| end(i, 4)).collect::<Vec<_>>());
    let mut known = BTreeSet::new();
    let nodes = tree.nodes(&mut known);
    assert!(nodes.iter().all(|(h, b)| hash_node(b) == *h && b.len() <= MAX_NODE && known.contains(h)));
    assert!(tree.nodes(&mut known).is_empty(), "they are known now");
    let mut hashes = BTreeSet::new();
    tree.hashes(&mut hashes);
    assert_eq!(hashes, known);
    let mut fresh = Pool::default();
    let mut assembly = Assembly::new(tree.root(), &fresh);
    let kept: BTreeMap<_, _> = nodes.into_iter().collect();
    while let Some(hash) = assembly.missing(1).pop() {
        assembly.take(&kept[&hash], &fresh).unwrap();
    }
    assert_eq!(assembly.finish(&mut fresh), Some(Ok(tree)));
}

#[test]
fn what_was_not_asked_for_or_is_no_node_is_refused() {
    let (mut here, mut there) = (Pool::default(), Pool::default());
    let tree = Tree::default().with(&mut there, &(0..40).map(|i| end(i, 1)).collect::<Vec<_>>());
    let mut assembly = Assembly::new(tree.root(), &here);
    let root = there.node(&tree.root()).unwrap();
    let mut flipped = root.clone();
    flipped[5] ^= 1;
    assert_eq!(assembly.take(&flipped, &here), Err(TreeError::Unasked));
    assert_eq!(assembly.finish(&mut here), None);
    assembly.take(&root, &here).unwrap();
    assert_eq!(assembly.take(&root, &here), Err(TreeError::Unasked), "twice");
    // Bytes that hash as promised and are no node.
    for bad in [&[][..], &[2, 0, 0], &[0, 0, 0], &[0, 0, 1, 7], &[1, 0, 3, 1], &[1, 0, 0], &[1, 0, 0, 0]] {
        let mut lie = Assembly::new(hash_node(bad), &here);
        assert!(matches!(lie.take(bad, &here), Err(TreeError::Unreadable(_))), "{bad:?}");
    }
    let two = [end(1, 1), end(2, 1)];
    let mut placed: Vec<_> = two.iter().map(|e| (place(&e.log), *e)).collect();
    placed.sort_by_key(order);
    placed.reverse();
    let unsorted = encode_leaf(&placed);
    assert!(Assembly::new(hash_node(&unsorted), &here).take(&unsorted, &here).is_err());
    let zero = encode_leaf(&[(place(&two[0].log), End { seq: 0, ..two[0] })]);
    assert!(Assembly::new(hash_node(&zero), &here).take(&zero, &here).is_err());
}

#[test]
fn a_tree_that_names_one_node_a_billion_times_is_too_much() {
    let mut here = Pool::default();
    let ends: Vec<_> = (0..16).map(|i| (place(&end(i, 1).log), end(i, 1))).collect();
    let mut sorted = ends;
    sorted.sort_by_key(order);
    let leaf = encode_leaf(&sorted);
    let mut nodes = BTreeMap::from([(hash_node(&leaf), leaf.clone())]);
    let mut child = hash_node(&leaf);
    for _ in 0..30 {
        let bytes = encode_branch(&[child; 16]);
        child = hash_node(&bytes);
        nodes.insert(child, bytes);
    }
    let mut assembly = Assembly::new(child, &here);
    while let Some(hash) = assembly.missing(1).pop() {
        assembly.take(&nodes[&hash], &here).unwrap();
    }
    assert_eq!(assembly.finish(&mut here), Some(Err(TreeError::TooMuch)));
}

#[test]
fn random_changes_agree_with_a_map() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut pool, mut tree, mut model) = (Pool::default(), Tree::default(), BTreeMap::new());
    for _ in 0..400 {
        let changes: Vec<_> =
            (0..rng.random_range(1..6)).map(|_| end(rng.random_range(0..120), rng.random_range(0..4))).collect();
        tree = tree.with(&mut pool, &changes);
        for e in changes {
            model.insert(e.log, e);
        }
        model.retain(|_, e| e.seq > 0);
        let whole = Tree::default().with(&mut Pool::default(), &model.values().copied().collect::<Vec<_>>());
        assert_eq!((tree.root(), tree.len()), (whole.root(), model.len() as u64));
    }
}

#[test]
fn what_one_holds_beyond_another_is_found_and_equal_parts_are_not_walked() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..60u32 {
        let n = [0, 3, 16, 17, 60, 700][round as usize % 6];
        let mut pool = Pool::default();
        let ends: Vec<End> = (0..n).map(|i| end(i, 5)).collect();
        let base = Tree::default().with(&mut pool, &ends);
        let mut change = |tree: &Tree| {
            let changes: Vec<End> = (0..rng.random_range(0..12))
                .map(|_| end(rng.random_range(0..n + 20), rng.random_range(0..9)))
                .collect();
            tree.with(&mut pool, &changes)
        };
        let (a, b) = (change(&base), change(&base));
        for (a, b) in [(&a, &b), (&b, &a), (&a, &Tree::default()), (&Tree::default(), &b), (&a, &a)] {
            let mut found = Vec::new();
            a.beyond(b, |e, there| found.push((e.log, e.seq, there)));
            found.sort_unstable();
            let mut expected: Vec<_> = a.ends().iter().map(|e| (e.log, e.seq, b.seq(&e.log))).collect();
            expected.retain(|(_, here, there)| here > there);
            expected.sort_unstable();
            assert_eq!(found, expected, "round {round}");
        }
    }
}
