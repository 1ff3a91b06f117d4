//! What honest editors do: every edit that Automerge's API offers but `put` within a text, at random places.

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::Choices;

const KEYS: [&str; 6] = ["a", "b", "title", "items", "body", "键"];
const WORDS: [&str; 8] = ["x", "hello", "山の上", "👩‍👩‍👧", "a b\nc", "é", "-", "0123456789"];
const MARKS: [&str; 3] = ["bold", "link", "comment:7"];

/// Objects that exist, down to a depth of eight.
fn objects(doc: &Automerge) -> Vec<(ObjId, ObjType)> {
    let mut all = vec![(ROOT, ObjType::Map)];
    let mut todo = vec![(ROOT, ObjType::Map, 0)];
    while let Some((obj, kind, depth)) = todo.pop() {
        let mut found = Vec::new();
        if kind == ObjType::Map {
            for key in doc.keys(&obj) {
                found.extend(doc.get(&obj, key).unwrap());
            }
        } else {
            for at in 0..doc.length(&obj).min(12) {
                found.extend(doc.get(&obj, at).unwrap_or(None));
            }
        }
        for (value, id) in found {
            if let Value::Object(kind) = value
                && depth < 7
            {
                all.push((id.clone(), kind));
                todo.push((id, kind, depth + 1));
            }
        }
    }
    all
}

/// Commits up to six edits as one change; whether there was anything to commit.
pub fn commit(doc: &mut Automerge, who: usize, c: &mut dyn Choices) -> bool {
    let options = CommitOptions::default().with_time(c.below(60_000) as i64);
    let before = doc.get_heads();
    if c.once_in(25) {
        doc.empty_commit(options);
        return true;
    }
    let objects = objects(doc);
    let mut tx = doc.transaction();
    for _ in 0..=c.below(6) {
        let (obj, kind) = &objects[c.below(objects.len())];
        match kind {
            ObjType::Map => map(&mut tx, obj, who, c),
            ObjType::List => list(&mut tx, obj, c),
            _ => text(&mut tx, obj, c),
        }
    }
    if c.once_in(30) {
        tx.rollback();
        return false;
    }
    tx.commit_with(options);
    doc.get_heads() != before
}

fn scalar(c: &mut dyn Choices) -> ScalarValue {
    match c.below(9) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(c.once_in(2)),
        2 => ScalarValue::Int(c.below(1000) as i64 - 500),
        3 => ScalarValue::Uint(c.below(1000) as u64),
        4 => ScalarValue::F64(c.below(1000) as f64 / 8.0),
        5 => ScalarValue::counter(c.below(100) as i64),
        6 => ScalarValue::Timestamp(1_700_000_000_000 + c.below(1000) as i64),
        7 => ScalarValue::Bytes(vec![7; c.below(40)]),
        _ => ScalarValue::Str(WORDS[c.below(WORDS.len())].into()),
    }
}

fn kind(c: &mut dyn Choices) -> ObjType {
    [ObjType::Map, ObjType::List, ObjType::Text, ObjType::Text][c.below(4)]
}

fn map(tx: &mut Transaction<'_>, obj: &ObjId, who: usize, c: &mut dyn Choices) {
    let shared = KEYS[c.below(KEYS.len())].to_owned();
    let key = if c.once_in(4) { format!("{who}-{shared}") } else { shared };
    match c.below(8) {
        0 | 1 => drop(tx.put(obj, key, scalar(c))),
        2 | 3 => {
            let kind = kind(c);
            let new = tx.put_object(obj, key, kind).unwrap();
            // Fill it in the same change, so that operations name others of their own change.
            match kind {
                ObjType::Map => map_value(tx, &new, c),
                ObjType::List => list(tx, &new, c),
                _ => text(tx, &new, c),
            }
        }
        4 => drop(tx.delete(obj, key)),
        5 => drop(tx.increment(obj, key, c.below(9) as i64 - 4)),
        6 => {
            // The winner of a conflict again: deletes the others.
            if let Some((Value::Scalar(v), _)) = tx.get(obj, key.as_str()).unwrap() {
                let same = v.into_owned();
                drop(tx.put(obj, key, same));
            }
        }
        _ => {
            let n = automerge::hydrate::Value::from(ScalarValue::Int(1));
            let inner = automerge::hydrate::Value::List(vec![n.clone()].into());
            let value = automerge::hydrate::Value::List(vec![n, inner].into());
            drop(tx.batch_create_object(obj, key, &value, false));
        }
    }
}

fn map_value(tx: &mut Transaction<'_>, obj: &ObjId, c: &mut dyn Choices) {
    for _ in 0..=c.below(3) {
        tx.put(obj, KEYS[c.below(KEYS.len())], scalar(c)).unwrap();
    }
}

fn list(tx: &mut Transaction<'_>, obj: &ObjId, c: &mut dyn Choices) {
    let len = tx.length(obj);
    match c.below(8) {
        0 | 1 => tx.insert(obj, c.below(len + 1), scalar(c)).unwrap(),
        2 => {
            let new = tx.insert_object(obj, c.below(len + 1), kind(c)).unwrap();
            if tx.object_type(&new) == Ok(ObjType::Map) {
                map_value(tx, &new, c);
            }
        }
        3 if len > 0 => drop(tx.put(obj, c.below(len), scalar(c))),
        4 if len > 0 => tx.delete(obj, c.below(len)).unwrap(),
        5 if len > 0 => drop(tx.increment(obj, c.below(len), 3)),
        6 if len > 0 => drop(tx.put_object(obj, c.below(len), kind(c))),
        _ => {
            let at = c.below(len + 1);
            let cut = c.below(len - at + 1).min(3);
            let new: Vec<ScalarValue> = (0..c.below(4)).map(|_| scalar(c)).collect();
            tx.splice(obj, at, cut as isize, new).unwrap();
        }
    }
}

fn text(tx: &mut Transaction<'_>, obj: &ObjId, c: &mut dyn Choices) {
    let len = tx.length(obj);
    let at = c.below(len + 1);
    match c.below(12) {
        0..=3 => {
            let cut = c.below((len - at).min(6) + 1);
            let word = if c.once_in(3) { "" } else { WORDS[c.below(WORDS.len())] };
            drop(tx.splice_text(obj, at, cut as isize, word));
        }
        4 | 5 if len > 0 => {
            let end = at + c.below(len - at + 1);
            let expand = [ExpandMark::None, ExpandMark::Before, ExpandMark::After, ExpandMark::Both][c.below(4)];
            let name = MARKS[c.below(MARKS.len())].to_owned();
            if c.once_in(4) {
                drop(tx.unmark(obj, &name, at, end, expand));
            } else {
                drop(tx.mark(obj, Mark::new(name, scalar(c), at, end), expand));
            }
        }
        6 => {
            if let Ok(block) = tx.split_block(obj, at) {
                drop(tx.put(&block, "type", "paragraph"));
            }
        }
        7 if len > 0 => drop(tx.join_block(obj, at.min(len - 1))),
        8 if len > 0 => {
            if let Ok(block) = tx.replace_block(obj, at.min(len - 1)) {
                drop(tx.put(&block, "type", "heading"));
            }
        }
        9 => {
            let words: Vec<&str> = (0..c.below(4)).map(|_| WORDS[c.below(WORDS.len())]).collect();
            drop(tx.update_text(obj, words.join(" ")));
        }
        // Typed over, not put over: no editor of Cairn's puts a value over an element of a text, and the guard (its
        // tests say why) lets none.
        10 if len > 0 => drop(tx.splice_text(obj, at.min(len - 1), 1, WORDS[c.below(WORDS.len())])),
        _ => drop(tx.insert(obj, at, WORDS[c.below(WORDS.len())])),
    }
}
