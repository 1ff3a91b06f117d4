//! Hostile changes, made from honest ones: fields of operations, facts and bytes exchanged, checksums repaired.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType};
use automerge::{Change, ExpandedChange, ObjType, ScalarValue};
use sha2::{Digest, Sha256};

use super::{Choices, actor};

/// A hostile relative of an honest change.
pub fn mutant(change: &Change, log: &[Vec<u8>], c: &mut dyn Choices) -> Option<Vec<u8>> {
    if c.once_in(3) {
        return Some(bytes(change.raw_bytes(), c));
    }
    let mut wide = change.decode();
    for _ in 0..=c.below(3) {
        structure(&mut wide, log, c);
    }
    // Encoding may itself refuse by panicking; then there is nothing to send.
    let raw = catch_unwind(AssertUnwindSafe(|| Change::from(wide).raw_bytes().to_vec())).ok()?;
    Some(if c.once_in(8) { bytes(&raw, c) } else { raw })
}

/// Changes a few bytes of a chunk's body, then length and checksum so that they fit.
pub fn bytes(raw: &[u8], c: &mut dyn Choices) -> Vec<u8> {
    let mut body = body(raw).to_vec();
    for _ in 0..=c.below(3) {
        let at = c.below(body.len());
        match c.below(5) {
            0 => body[at] ^= 1 << c.below(8),
            1 => body[at] = c.below(256) as u8,
            2 => body.insert(at, c.below(256) as u8),
            3 if body.len() > 1 => drop(body.remove(at)),
            _ => body[at] = [0, 1, 0x7f, 0x80, 0xff][c.below(5)],
        }
    }
    chunk(1, &body)
}

/// What follows a chunk's header.
pub fn body(raw: &[u8]) -> &[u8] {
    let mut at = 9;
    while raw[at] & 0x80 != 0 {
        at += 1;
    }
    &raw[at + 1..]
}

/// A chunk of a type with a right checksum.
pub fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut tail = vec![kind];
    uleb(&mut tail, body.len() as u64);
    tail.extend_from_slice(body);
    let sum = Sha256::digest(&tail);
    let mut out = vec![0x85, 0x6f, 0x4a, 0x83];
    out.extend_from_slice(&sum[..4]);
    out.extend_from_slice(&tail);
    out
}

/// Appends an unsigned LEB128 number.
pub fn uleb(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn other<'a>(log: &'a [Vec<u8>], c: &mut dyn Choices) -> Option<(Change, &'a [u8])> {
    let raw = log.get(c.below(log.len()))?;
    Some((Change::try_from(&raw[..]).ok()?, raw))
}

fn some_id(wide: &ExpandedChange, log: &[Vec<u8>], c: &mut dyn Choices) -> OpId {
    match c.below(4) {
        0 => OpId(wide.start_op.get() + c.below(wide.operations.len() + 2) as u64, wide.actor_id.clone()),
        1 => OpId(1 + c.below(40) as u64, actor(c.below(6))),
        _ => match other(log, c) {
            Some((change, _)) => {
                OpId(change.start_op().get() + c.below(change.len()) as u64, change.actor_id().clone())
            }
            None => OpId(1, wide.actor_id.clone()),
        },
    }
}

fn structure(wide: &mut ExpandedChange, log: &[Vec<u8>], c: &mut dyn Choices) {
    let n = wide.operations.len();
    if n == 0 || c.once_in(8) {
        facts(wide, log, c);
        return;
    }
    let (at, from) = (c.below(n), c.below(n));
    let id = some_id(wide, log, c);
    match c.below(14) {
        0 => wide.operations[at].obj = ObjectId::Id(id),
        1 => wide.operations[at].obj = ObjectId::Root,
        2 => wide.operations[at].key = Key::Seq(ElementId::Id(id)),
        3 => wide.operations[at].key = Key::Seq(ElementId::Head),
        4 => wide.operations[at].key = Key::Map(["a", "", "b", "title"][c.below(4)].into()),
        5 => {
            let mut pred: Vec<OpId> = wide.operations[at].pred.iter().cloned().collect();
            pred.push(id);
            wide.operations[at].pred = pred.into();
        }
        6 => wide.operations[at].pred = Vec::new().into(),
        7 => wide.operations[at].insert ^= true,
        8 => wide.operations[at].action = action(c),
        9 => wide.operations.swap(at, from),
        10 => drop(wide.operations.remove(at)),
        11 => {
            let copy = wide.operations[from].clone();
            wide.operations.insert(at, copy);
        }
        12 => {
            // An operation of another change, as it was.
            if let Some((change, _)) = other(log, c) {
                let theirs = change.decode().operations;
                if !theirs.is_empty() {
                    wide.operations.insert(at, theirs[c.below(theirs.len())].clone());
                }
            }
        }
        _ => {
            let key = wide.operations[from].key.clone();
            let obj = wide.operations[from].obj.clone();
            let new = Op { action: action(c), obj, key, pred: vec![id].into(), insert: c.once_in(2) };
            wide.operations.insert(at, new);
        }
    }
}

fn facts(wide: &mut ExpandedChange, log: &[Vec<u8>], c: &mut dyn Choices) {
    match c.below(8) {
        0 => wide.start_op = NonZeroU64::new(1 + c.below(60) as u64).unwrap(),
        1 => wide.start_op = NonZeroU64::new([1 << 31, u64::from(u32::MAX), 1 << 40][c.below(3)]).unwrap(),
        2 => wide.seq = [0, 1, wide.seq + 1, 1 << 40][c.below(4)],
        3 => wide.time = [i64::MIN, i64::MAX, -1, 1 << 53, (1 << 53) + 1][c.below(5)],
        4 => wide.extra_bytes = vec![1, 2, 3],
        5 => {
            if let Some((change, _)) = other(log, c) {
                wide.deps.push(change.hash());
                wide.deps.sort_unstable();
            }
        }
        6 => drop(wide.deps.pop()),
        _ => wide.actor_id = actor(c.below(6)),
    }
}

fn action(c: &mut dyn Choices) -> OpType {
    let value = || -> Vec<ScalarValue> {
        vec![
            ScalarValue::Str("é".into()),
            ScalarValue::Str("".into()),
            ScalarValue::Str("x".repeat(65).into()),
            ScalarValue::counter(1),
            ScalarValue::counter(i64::MAX),
            ScalarValue::counter(1 << 40),
            ScalarValue::Unknown { type_code: 12, bytes: vec![1] },
            ScalarValue::Null,
            ScalarValue::F64(f64::NAN),
            ScalarValue::Timestamp(i64::MIN),
            ScalarValue::Bytes(Vec::new()),
        ]
    };
    match c.below(10) {
        0 => OpType::Make(ObjType::Map),
        1 => OpType::Make(ObjType::List),
        2 => OpType::Make(ObjType::Text),
        3 => OpType::Make(ObjType::Table),
        4 => OpType::Delete,
        5 => OpType::Increment([1, -1, i64::MAX, i64::MIN, 1 << 40][c.below(5)]),
        6 => {
            let value = value().swap_remove(c.below(11));
            OpType::MarkBegin(MarkData { name: ["bold", "link", ""][c.below(3)].into(), value, expand: c.once_in(2) })
        }
        7 => OpType::MarkEnd(c.once_in(2)),
        _ => OpType::Put(value().swap_remove(c.below(11))),
    }
}
