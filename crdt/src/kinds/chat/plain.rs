//! The change that nearly every message is: made without Automerge, and known by making it again.
//!
//! Most changes of a chat segment make one plain message in their author's last block. All their bytes follow from the
//! chain before them and the few things that the message says. So these are read out of the bytes, however carelessly,
//! and the change is made of them anew. If both are equal byte for byte, it is what guard and rule let through
//! (the tests hold both against each other), at a tenth of their cost. Everything else goes the long
//! way: changes that open a block, records, and whatever a newer or a hostile author writes.
//!
//! The layout is Automerge's for a change chunk, see [`crate::guard::scan`].

use sha2::{Digest, Sha256};

use super::{MAX_BODY, TEXT};
use crate::guard::limits::{MAX_BYTES, MAX_START_OP};
use crate::guard::{Bytes, MAGIC};
use crate::hlc::Hlc;
use crate::ids::{MessageId, base32};
use crate::kinds::order::OrderKey;

/// Where a chain stands before its next change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain<'a> {
    /// The Automerge actor of the log.
    pub actor: &'a [u8; 32],
    /// The next sequence number.
    pub seq: u64,
    /// The next operation's counter.
    pub start: u64,
    /// Hash of the last change.
    pub last: &'a [u8; 32],
    /// Counter of the operation that made the last block.
    pub block: u64,
    /// The next entry's stamp.
    pub hlc: Hlc,
}

/// What a plain message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    pub(crate) id: MessageId,
    pub(crate) body: &'a str,
    pub(crate) after: Option<&'a str>,
    pub(crate) reply_to: Option<&'a str>,
}

/// A plain message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Its id.
    pub id: MessageId,
    /// What it says.
    pub body: Box<str>,
    /// The stamp of the last message that the author had seen.
    pub after: Option<Hlc>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The change's hash.
    pub hash: [u8; 32],
    /// How many operations it has.
    pub ops: u32,
}

/// Columns that a change of a plain message has, by their specification, in their order.
const OBJECT_ACTOR: u64 = 0x01;
const OBJECT_COUNTER: u64 = 0x02;
const KEY: u64 = 0x15;
const INSERT: u64 = 0x34;
const ACTION: u64 = 0x42;
const VALUE_META: u64 = 0x56;
const VALUE: u64 = 0x57;
const PREDECESSORS: u64 = 0x70;

/// Types of values in their metadata.
const NULL: u64 = 0;
const INT: u64 = 4;
const STR: u64 = 6;

/// Room to work in, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Room {
    columns: Vec<u8>,
    body: Vec<u8>,
    made: Vec<u8>,
}

/// The message of a change that is the next of a chain and plain; `None` sends it the long way.
pub(crate) fn recognise(raw: &[u8], chain: &Chain<'_>, room: &mut Room) -> Option<Plain> {
    if raw.len() > MAX_BYTES || chain.start > MAX_START_OP || chain.seq > u64::from(u32::MAX) {
        return None;
    }
    let said = read(raw)?;
    let after = match said.after {
        Some(text) => {
            let key: OrderKey = text.parse().ok()?;
            // Ids parse in capitals too, but are written in one way.
            if text.bytes().any(|b| b.is_ascii_uppercase()) {
                return None;
            }
            Some(key.stamp)
        }
        None => None,
    };
    let reply_to = match said.reply_to {
        Some(text) if text.bytes().any(|b| b.is_ascii_uppercase()) => return None,
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    if said.body.len() > MAX_BODY {
        return None;
    }
    let (hash, ops) = write(chain, &said, room)?;
    (room.made == raw).then(|| Plain { id: said.id, body: said.body.into(), after, reply_to, hash, ops })
}

/// The change of a plain message that is the next of a chain: its bytes, hash and number of operations. `None` where it
/// would exceed a bound.
pub(crate) fn make(chain: &Chain<'_>, said: &Said<'_>, room: &mut Room) -> Option<(Vec<u8>, [u8; 32], u32)> {
    if said.body.len() > MAX_BODY || chain.start > MAX_START_OP || chain.seq > u64::from(u32::MAX) {
        return None;
    }
    let (hash, ops) = write(chain, said, room)?;
    (room.made.len() <= MAX_BYTES).then(|| (room.made.clone(), hash, ops))
}

/// Reads what the message would say if the change were plain.
fn read(raw: &[u8]) -> Option<Said<'_>> {
    // Magic, checksum, type; length; dependencies; actor; seq, start, time; message; other actors.
    let mut b = Bytes::new(raw);
    b.take(9).ok()?;
    b.unsigned().ok()?;
    let deps = usize::try_from(b.unsigned().ok()?).ok().filter(|n| *n == 1)?;
    b.take(deps * 32).ok()?;
    b.sized(64, "").ok()?;
    for _ in 0..2 {
        b.unsigned().ok()?;
    }
    b.signed().ok()?;
    if b.unsigned().ok()? != 0 || b.unsigned().ok()? != 0 {
        return None;
    }
    let mut lengths = [0usize; 8];
    if b.unsigned().ok()? != lengths.len() as u64 {
        return None;
    }
    for length in &mut lengths {
        b.unsigned().ok()?;
        *length = usize::try_from(b.unsigned().ok()?).ok()?;
    }
    let [object_actor, object_counter, key, insert, action, meta, value, _] = lengths;
    b.take(object_actor.checked_add(object_counter)?).ok()?;
    let mut keys = Bytes::new(b.take(key).ok()?);
    b.take(insert.checked_add(action)?).ok()?;
    let mut meta = Bytes::new(b.take(meta).ok()?);
    let mut value = Bytes::new(b.take(value).ok()?);

    let n = keys.signed().ok()?;
    let id = core::str::from_utf8(keys.sized(64, "").ok()?).ok()?;
    for expected in ["sent", "kind", "body"] {
        if keys.sized(64, "").ok()? != expected.as_bytes() {
            return None;
        }
    }
    let (mut has_after, mut has_reply) = (false, false);
    for _ in 4..n.unsigned_abs().min(6) {
        match keys.sized(64, "").ok()? {
            b"after" => has_after = true,
            b"reply_to" => has_reply = true,
            _ => return None,
        }
    }
    // Metadata: runs of numbers, each the length of a value above its type.
    let mut sizes = [0usize; 6];
    let mut at = 0;
    while !meta.done() {
        let run = meta.signed().ok()?;
        let (times, each) = if run > 0 { (1, run.unsigned_abs()) } else { (run.unsigned_abs(), 1) };
        for _ in 0..times {
            let size = usize::try_from(meta.unsigned().ok()? >> 4).ok()?;
            for _ in 0..each {
                *sizes.get_mut(at)? = size;
                at += 1;
            }
        }
    }
    let [_, sent, kind, body, mut rest @ ..] = sizes;
    value.take(sent).ok()?;
    value.take(kind).ok()?;
    let body = core::str::from_utf8(value.take(body).ok()?).ok()?;
    let mut next = |has: bool| -> Option<Option<&str>> {
        if !has {
            return Some(None);
        }
        let size = rest[0];
        rest.rotate_left(1);
        Some(Some(core::str::from_utf8(value.take(size).ok()?).ok()?))
    };
    let after = next(has_after)?;
    let reply_to = next(has_reply)?;
    if id.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Some(Said { id: id.parse().ok()?, body, after, reply_to })
}

/// Makes the change in `room.made`. Gives its hash and the number of its operations.
fn write(chain: &Chain<'_>, said: &Said<'_>, room: &mut Room) -> Option<([u8; 32], u32)> {
    let id = base32(&said.id.0);
    let fields =
        [Some("sent"), Some("kind"), Some("body"), said.after.map(|_| "after"), said.reply_to.map(|_| "reply_to")];
    let ops = 1 + fields.iter().flatten().count() as u64;
    let sent = i64::try_from(chain.hlc.0).ok()?;

    let Room { columns, body, made: out } = room;
    columns.clear();
    let mut columns = Columns { begun: [(0, 0); 8], n: 0, data: columns };
    columns.begin(OBJECT_ACTOR);
    signed(columns.data, ops as i64);
    unsigned(columns.data, 0);
    columns.begin(OBJECT_COUNTER);
    signed(columns.data, -1);
    unsigned(columns.data, chain.block);
    signed(columns.data, ops as i64 - 1);
    unsigned(columns.data, chain.start);
    columns.begin(KEY);
    signed(columns.data, -(ops as i64));
    for key in [id.as_str()].into_iter().chain(fields.into_iter().flatten()) {
        unsigned(columns.data, key.len() as u64);
        columns.data.extend_from_slice(key.as_bytes());
    }
    columns.begin(INSERT);
    unsigned(columns.data, ops);
    columns.begin(ACTION);
    signed(columns.data, -1);
    unsigned(columns.data, 0);
    signed(columns.data, ops as i64 - 1);
    unsigned(columns.data, 1);
    columns.begin(VALUE_META);
    let of = |text: &str| (text.len() as u64) << 4 | STR;
    let metas = [
        Some(NULL),
        Some(signed_len(sent) << 4 | INT),
        Some(of(TEXT)),
        Some(of(said.body)),
        said.after.map(of),
        said.reply_to.map(of),
    ];
    run_lengths(columns.data, metas.into_iter().flatten());
    columns.begin(VALUE);
    signed(columns.data, sent);
    for text in [TEXT, said.body].into_iter().chain(said.after).chain(said.reply_to) {
        columns.data.extend_from_slice(text.as_bytes());
    }
    columns.begin(PREDECESSORS);
    signed(columns.data, ops as i64);
    unsigned(columns.data, 0);

    body.clear();
    unsigned(body, 1);
    body.extend_from_slice(chain.last);
    unsigned(body, chain.actor.len() as u64);
    body.extend_from_slice(chain.actor);
    unsigned(body, chain.seq);
    unsigned(body, chain.start);
    signed(body, i64::try_from(chain.hlc.ms() / 1000).ok()?);
    unsigned(body, 0);
    unsigned(body, 0);
    columns.finish(body);

    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.push(CHANGE);
    unsigned(out, body.len() as u64);
    out.extend_from_slice(body);
    let hash: [u8; 32] = Sha256::digest(out.get(FRONT..)?).into();
    out.get_mut(MAGIC.len()..FRONT)?.copy_from_slice(hash.get(..4)?);
    Some((hash, u32::try_from(ops).ok()?))
}

/// The type of chunk that a change is.
const CHANGE: u8 = 1;
/// Magic and checksum; the hash covers what follows.
const FRONT: usize = 8;

/// Columns on their way: specification and where each begins.
struct Columns<'a> {
    begun: [(u64, usize); 8],
    n: usize,
    data: &'a mut Vec<u8>,
}

impl Columns<'_> {
    fn begin(&mut self, spec: u64) {
        if let Some(slot) = self.begun.get_mut(self.n) {
            *slot = (spec, self.data.len());
            self.n += 1;
        }
    }

    fn finish(&self, out: &mut Vec<u8>) {
        unsigned(out, self.n as u64);
        let ends = self.begun.iter().skip(1).map(|b| b.1).chain([self.data.len()]);
        for ((spec, begin), end) in self.begun.iter().zip(ends) {
            unsigned(out, *spec);
            unsigned(out, end.saturating_sub(*begin) as u64);
        }
        out.extend_from_slice(self.data);
    }
}

/// A run-length column: equal neighbours as a run, the others together as they are.
fn run_lengths(out: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let mut all = [0u64; 6];
    let n = all.iter_mut().zip(values).map(|(slot, v)| *slot = v).count();
    let mut rest = all.get(..n).unwrap_or_default();
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|v| *v == first).count();
        if run > 1 {
            signed(out, run as i64);
            unsigned(out, *first);
            rest = rest.get(run..).unwrap_or_default();
            continue;
        }
        let alone = rest.iter().zip(rest.iter().skip(1).map(Some).chain([None]));
        let n = alone.take_while(|(v, next)| Some(*v) != *next).count();
        signed(out, -(n as i64));
        for v in rest.iter().take(n) {
            unsigned(out, *v);
        }
        rest = rest.get(n..).unwrap_or_default();
    }
}

/// LEB128.
fn unsigned(out: &mut Vec<u8>, mut v: u64) {
    while v > 0x7f {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// The length of a number in signed LEB128.
fn signed_len(v: i64) -> u64 {
    let bits = 65 - u64::from(if v < 0 { !v } else { v }.leading_zeros());
    bits.div_ceil(7)
}

/// Signed LEB128.
fn signed(out: &mut Vec<u8>, mut v: i64) {
    loop {
        let byte = (v & 0x7f) as u8;
        v >>= 7;
        if (v == 0 && byte & 0x40 == 0) || (v == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests;
