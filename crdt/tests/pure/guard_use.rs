//! The guard in the ways that nodes use it: chains by one writer, many heads folded, large pastes split, changes
//! checked before others are taken in.
use crate::world::{actor, check, content, document, reload};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, Change, ChangeHash, ObjType, ROOT, ReadDoc};
use cairn_crdt::guard::{Action, Facts, Guard, Key, Refusal, limits};

fn last(doc: &Automerge) -> Change {
    doc.get_last_local_change().unwrap()
}

/// One message in a document that holds only its author's chain.
fn say(own: &mut Automerge, who: usize, n: usize) -> Change {
    let mut tx = own.transaction();
    let block = format!("block-{who}");
    let block = match tx.get(ROOT, block.as_str()).unwrap() {
        Some((_, id)) => id,
        None => tx.put_object(ROOT, block, ObjType::Map).unwrap(),
    };
    let message = tx.put_object(&block, format!("{n:04}"), ObjType::Map).unwrap();
    tx.put(&message, "sent", n as i64).unwrap();
    tx.put(&message, "body", "hello").unwrap();
    tx.commit();
    last(own)
}

/// Only the incarnation's own key at the root, and nothing overwritten.
fn chat(own: usize) -> impl Fn(&cairn_crdt::guard::OpView) -> bool {
    move |op| {
        let first = matches!(op.path.first(), Some(Key::Map(k)) if *k == format!("block-{own}"));
        first && !op.overwrites && matches!(op.action, Action::MakeMap | Action::Put(_))
    }
}

#[test]
fn chains_by_one_writer_merge_whatever_their_order() {
    let mut chains: Vec<Automerge> = (0..4).map(|n| document(actor(n))).collect();
    let mut logs: Vec<Vec<Change>> = Vec::new();
    for (who, own) in chains.iter_mut().enumerate() {
        logs.push((0..20).map(|n| say(own, who, n)).collect());
    }
    let mut shown = Vec::new();
    for shift in 0..4 {
        let (mut guard, mut doc) = (Guard::new(), document(actor(99)));
        for n in 0..80 {
            // Round robin, or one author after the other.
            let (who, at) = if shift % 2 == 0 { ((n + shift) % 4, n / 4) } else { (n / 20, n % 20) };
            let change = &logs[who][at];
            let deps: Vec<ChangeHash> = at.checked_sub(1).map(|p| logs[who][p].hash()).into_iter().collect();
            let actor = actor(who);
            let facts = Facts { actor: actor.to_bytes(), seq: at as u64 + 1, deps: &deps };
            let may = chat(who);
            let checked = guard.check(&facts, change.raw_bytes(), &mut |op| may(op)).unwrap();
            let other = chat(who + 1);
            let refused = guard.check(&facts, change.raw_bytes(), &mut |op| other(op)).err();
            assert!(matches!(refused, Some(Refusal::Forbidden(_))));
            guard.accept(&checked);
            doc.apply_changes([checked.change]).unwrap();
        }
        shown.push(content(&reload(&doc)));
    }
    assert!(shown.windows(2).all(|w| w[0] == w[1]));
}

#[test]
fn many_heads_are_folded_by_empty_changes() {
    let mut base = document(actor(200));
    let mut guard = Guard::new();
    base.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "a", 1)).unwrap();
    guard.accept(&check(&guard, last(&base).raw_bytes()).unwrap());
    let mut doc = base.fork().with_actor(actor(201));
    for n in 0..100 {
        let mut other = base.fork().with_actor(actor(n));
        other.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "a", 10 + n as i64)).unwrap();
        let change = last(&other);
        guard.accept(&check(&guard, change.raw_bytes()).unwrap());
        doc.apply_changes([change]).unwrap();
    }
    assert_eq!(doc.get_heads().len(), 100);
    let mut all = doc.clone();
    let fold = all.empty_commit(CommitOptions::default());
    let fold = all.get_change_by_hash(&fold).unwrap();
    assert_eq!(check(&guard, fold.raw_bytes()).err(), Some(Refusal::TooLarge("dependencies")));
    // The author folds 64 at a time in a scratch document that holds only those.
    while doc.get_heads().len() > 64 {
        // Its own last change must be among what it folds.
        let mut heads = doc.get_heads();
        heads.sort_unstable_by_key(|h| Some(*h) != doc.get_last_local_change().map(|c| c.hash()));
        heads.truncate(64);
        let mut scratch = doc.fork_at(&heads).unwrap().with_actor(actor(201));
        let fold = scratch.empty_commit(CommitOptions::default());
        let fold = scratch.get_change_by_hash(&fold).unwrap();
        guard.accept(&check(&guard, fold.raw_bytes()).unwrap());
        doc.apply_changes([fold]).unwrap();
    }
    let mut tx = doc.transaction();
    tx.put(ROOT, "a", "settled").unwrap();
    tx.commit();
    let checked = check(&guard, last(&doc).raw_bytes()).unwrap();
    assert!(checked.ops[0].overwrites);
    assert_eq!(scan_preds(&last(&doc)), 100);
    assert_eq!(content(&reload(&doc)), content(&doc));
}

fn scan_preds(change: &Change) -> u64 {
    cairn_crdt::guard::scan(change.raw_bytes()).unwrap().preds
}

#[test]
fn an_author_splits_what_is_too_large() {
    let mut doc = document(actor(1));
    let mut guard = Guard::new();
    let mut tx = doc.transaction();
    let text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
    tx.commit();
    guard.accept(&check(&guard, last(&doc).raw_bytes()).unwrap());
    let paste = "字".repeat(25_000);
    let mut whole = doc.clone();
    let mut tx = whole.transaction();
    tx.splice_text(&text, 0, 0, &paste).unwrap();
    tx.commit();
    let raw = last(&whole).raw_bytes().to_vec();
    assert!(matches!(guard.check_own(&raw, &mut |_| true), Err(Refusal::TooLarge(_))));
    let chars: Vec<char> = paste.chars().collect();
    for part in chars.chunks(limits::MAX_OPS as usize) {
        let mut tx = doc.transaction();
        let end = tx.length(&text);
        tx.splice_text(&text, end, 0, &part.iter().collect::<String>()).unwrap();
        tx.commit();
        guard.accept(&guard.check_own(last(&doc).raw_bytes(), &mut |_| true).unwrap());
    }
    assert_eq!(doc.text(&text).unwrap(), paste);
    assert_eq!(guard.written_by(actor(1).to_bytes()), (4, 25_001));
}

/// Changes of two authors are checked first and taken in later, in either order.
#[test]
fn checking_runs_ahead_of_accepting() {
    let mut base = document(actor(0));
    let mut tx = base.transaction();
    let text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, "ab").unwrap();
    tx.commit();
    let first = last(&base);
    let edit = |n: usize| {
        let mut doc = base.fork().with_actor(actor(n));
        let mut tx = doc.transaction();
        let map = tx.put_object(ROOT, format!("m{n}"), ObjType::Map).unwrap();
        tx.put(&map, "k", 1).unwrap();
        tx.splice_text(&text, n, 1, "xyz").unwrap();
        tx.commit();
        doc
    };
    let (mut one, mut two) = (edit(0).with_actor(actor(3)), edit(1));
    for flip in [false, true] {
        let mut guard = Guard::new();
        guard.accept(&check(&guard, first.raw_bytes()).unwrap());
        let mut pair = [&one, &two].map(|d| {
            let change = d.get_changes(&[first.hash()]).remove(0);
            check(&guard, change.raw_bytes())
        });
        assert!(pair[1].is_ok());
        if flip {
            pair.reverse();
        }
        for checked in pair.into_iter().flatten() {
            guard.accept(&checked);
        }
        let mut both = one.fork().with_actor(actor(9));
        both.merge(&mut two).unwrap();
        let mut tx = both.transaction();
        let map = tx.get(ROOT, "m1").unwrap().unwrap().1;
        tx.put(&map, "k", 2).unwrap();
        tx.splice_text(&text, 0, 3, "end").unwrap();
        tx.commit();
        let checked = check(&guard, last(&both).raw_bytes()).unwrap();
        assert_eq!(checked.ops[0].path, vec![Key::Map("m1".into()), Key::Map("k".into())]);
        assert_eq!(content(&reload(&both)), content(&both));
    }
    one.merge(&mut two).unwrap();
}

/// Orphans are turned away at once, they are never kept; so a flood of them costs nothing.
#[test]
fn orphans_wait_outside() {
    let mut doc = document(actor(1));
    let changes: Vec<Change> = (0..50).map(|n| say(&mut doc, 1, n)).collect();
    let mut guard = Guard::new();
    for change in &changes[1..] {
        let refused = check(&guard, change.raw_bytes()).err();
        assert_eq!(refused, Some(Refusal::Mismatch("the sequence number")));
    }
    assert!(guard.is_empty());
    for change in &changes {
        guard.accept(&check(&guard, change.raw_bytes()).unwrap());
    }
    assert_eq!(guard.len(), 151);
}
