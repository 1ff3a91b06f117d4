//! The pre-scan: reads a change chunk and each of its columns without heap, and holds every bound, so that what comes
//! next (Automerge's own parser) can be given neither a bomb nor another kind of chunk.
//!
//! The layout is Automerge's storage format: magic, checksum, type, length; dependencies, actor, seq, start, time,
//! message, other actors, column specifications; columns of LEB128 numbers under run-length, delta or boolean encoding.
//! What is read here only bounds; that the bytes say one thing only is held by encoding the change again.

use sha2::{Digest, Sha256};

use super::Refusal;
use super::limits::{
    MAX_ACTOR, MAX_ACTORS, MAX_BYTES, MAX_DEPS, MAX_EXPANDED, MAX_KEY, MAX_MARK_NAME, MAX_MESSAGE, MAX_OPS, MAX_PREDS,
    MAX_START_OP, MAX_TIME,
};

pub(crate) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// Magic, checksum and type.
const FRONT: usize = 4 + 4 + 1;
const CHANGE: u8 = 1;
/// The highest action: a mark. Six was a table.
const LAST_ACTION: u64 = 7;
const TABLE: u64 = 6;
/// Operation counters are 32 bits in Automerge.
const MAX_COUNTER: i64 = u32::MAX as i64;

type Res<T> = Result<T, Refusal>;

/// What the pre-scan learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// How many operations the change has.
    pub ops: u64,
    /// How many predecessors they name together.
    pub preds: u64,
}

/// A reader of LEB128 numbers.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, n: usize) -> Res<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Refusal::Malformed("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Res<u8> {
        let (&b, tail) = self.0.split_first().ok_or(Refusal::Malformed("it ends too early"))?;
        self.0 = tail;
        Ok(b)
    }

    pub(crate) fn unsigned(&mut self) -> Res<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let bits = u64::from(b & 0x7f);
            if shift == 63 && b > 1 {
                break;
            }
            out |= bits << shift;
            if b & 0x80 == 0 {
                return Ok(out);
            }
        }
        Err(Refusal::Malformed("a number is too long"))
    }

    pub(crate) fn signed(&mut self) -> Res<i64> {
        let mut out = 0i64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b != 0 && b != 0x7f {
                break;
            }
            out |= i64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                if shift < 57 && b & 0x40 != 0 {
                    out |= -1i64 << (shift + 7);
                }
                return Ok(out);
            }
        }
        Err(Refusal::Malformed("a number is too long"))
    }

    pub(crate) fn sized(&mut self, max: usize, what: &'static str) -> Res<&'a [u8]> {
        let n = self.unsigned()?;
        match usize::try_from(n) {
            Ok(n) if n <= max => self.take(n),
            _ => Err(Refusal::TooLarge(what)),
        }
    }

    pub(crate) fn done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Holds rules 1 and 2, and of 5 and 6 what the bytes alone can tell.
///
/// # Errors
/// [`Refusal::Malformed`] or [`Refusal::TooLarge`].
pub fn scan(raw: &[u8]) -> Res<Scan> {
    if raw.len() > MAX_BYTES {
        return Err(Refusal::TooLarge("bytes"));
    }
    let mut front = Bytes(raw);
    if front.take(4)? != MAGIC {
        return Err(Refusal::Malformed("the first bytes"));
    }
    let sum = front.take(4)?;
    if front.byte()? != CHANGE {
        return Err(Refusal::Malformed("the type of chunk"));
    }
    let len = front.unsigned()?;
    if u64::try_from(front.0.len()) != Ok(len) {
        return Err(Refusal::Malformed("the length"));
    }
    let found = body(front)?;
    // The checksum covers type, length and data: all that follows it.
    let hash = Sha256::digest(raw.get(FRONT - 1..).unwrap_or_default());
    if hash.get(..4) != Some(sum) {
        return Err(Refusal::Malformed("the checksum"));
    }
    Ok(found)
}

fn body(mut b: Bytes<'_>) -> Res<Scan> {
    let deps = b.unsigned()?;
    if deps > MAX_DEPS {
        return Err(Refusal::TooLarge("dependencies"));
    }
    for _ in 0..deps {
        b.take(32)?;
    }
    b.sized(MAX_ACTOR, "actor")?;
    let seq = b.unsigned()?;
    let start = b.unsigned()?;
    if seq == 0 || start == 0 {
        return Err(Refusal::Malformed("a zero number"));
    }
    if seq > u64::from(u32::MAX) || start > MAX_START_OP {
        return Err(Refusal::TooLarge("sequence or operation number"));
    }
    if !(0..=MAX_TIME).contains(&b.signed()?) {
        return Err(Refusal::TooLarge("time"));
    }
    let message = b.sized(MAX_MESSAGE, "message")?;
    if core::str::from_utf8(message).is_err() {
        return Err(Refusal::Malformed("the message"));
    }
    let others = b.unsigned()?;
    if others > MAX_ACTORS {
        return Err(Refusal::TooLarge("actors"));
    }
    let mut last: &[u8] = &[];
    for n in 0..others {
        let actor = b.sized(MAX_ACTOR, "actor")?;
        if n > 0 && actor <= last {
            return Err(Refusal::Malformed("the order of actors"));
        }
        last = actor;
    }
    columns(b, others.saturating_add(1))
}

fn columns(mut b: Bytes<'_>, actors: u64) -> Res<Scan> {
    let n = b.unsigned()?;
    if n > SPECS.len() as u64 {
        return Err(Refusal::Malformed("too many columns"));
    }
    // Once over the specifications for their order and sum, then over each with its data.
    let specs = b;
    let (mut last, mut total) = (0u64, 0u64);
    for _ in 0..n {
        let (spec, len) = (b.unsigned()?, b.unsigned()?);
        if spec <= last || len == 0 || !SPECS.iter().any(|&s| u64::from(s) == spec) {
            return Err(Refusal::Malformed("a column"));
        }
        last = spec;
        total = total.checked_add(len).ok_or(Refusal::Malformed("a column's length"))?;
    }
    if u64::try_from(b.0.len()) != Ok(total) {
        return Err(Refusal::Malformed("extra bytes"));
    }
    let (mut specs, mut data) = (specs, b);
    let mut seen = Columns { actors, ..Columns::default() };
    for _ in 0..n {
        let (spec, len) = (specs.unsigned()?, specs.unsigned()?);
        let len = usize::try_from(len).map_err(|_| Refusal::Malformed("a column's length"))?;
        seen.column(spec, Bytes(data.take(len)?))?;
    }
    seen.finish()
}

/// The columns that a change can have, by specification.
const SPECS: [u8; 14] = [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xa5];

#[derive(Default)]
struct Columns {
    actors: u64,
    ops: u64,
    longest: u64,
    preds: u64,
    value_bytes: u64,
    raw_bytes: u64,
    pred_actors: u64,
    pred_counters: u64,
}

impl Columns {
    fn column(&mut self, spec: u64, b: Bytes<'_>) -> Res<()> {
        let actors = self.actors;
        match spec {
            0x01 | 0x11 => {
                let n = numbers(b, MAX_OPS, |v, _| check(v < actors, "an actor's number"))?;
                self.longest = self.longest.max(n);
            }
            0x71 => self.pred_actors = numbers(b, MAX_PREDS, |v, _| check(v < actors, "an actor's number"))?,
            0x02 => {
                let n = numbers(b, MAX_OPS, |v, _| check(v <= MAX_COUNTER as u64, "an object's number"))?;
                self.longest = self.longest.max(n);
            }
            0x13 => self.longest = self.longest.max(deltas(b, MAX_OPS)?),
            0x73 => self.pred_counters = deltas(b, MAX_PREDS)?,
            0x15 => self.longest = self.longest.max(strings(b, MAX_KEY, "keys")?),
            0xa5 => self.longest = self.longest.max(strings(b, MAX_MARK_NAME, "names of marks")?),
            0x34 | 0x94 => self.longest = self.longest.max(booleans(b)?),
            0x42 => {
                self.ops =
                    numbers(b, MAX_OPS, |v, _| check(v <= LAST_ACTION && v != TABLE, "an action without meaning"))?;
            }
            0x56 => {
                let mut sum = 0u64;
                let n = numbers(b, MAX_OPS, |meta, run| {
                    // The length of a value stands above its type; each value of a run has its own bytes.
                    sum = (meta >> 4).checked_mul(run).and_then(|s| s.checked_add(sum)).unwrap_or(u64::MAX);
                    check(sum <= MAX_BYTES as u64, "the length of a value")
                })?;
                self.value_bytes = sum;
                self.longest = self.longest.max(n);
            }
            0x57 => self.raw_bytes = b.0.len() as u64,
            0x70 => {
                let mut sum = 0u64;
                let n = numbers(b, MAX_OPS, |v, run| {
                    sum = v.checked_mul(run).and_then(|s| s.checked_add(sum)).unwrap_or(u64::MAX);
                    if sum <= MAX_PREDS { Ok(()) } else { Err(Refusal::TooLarge("predecessors")) }
                })?;
                self.preds = sum;
                self.longest = self.longest.max(n);
            }
            _ => return Err(Refusal::Malformed("a column")),
        }
        Ok(())
    }

    fn finish(self) -> Res<Scan> {
        let preds_fit = self.preds == self.pred_actors && self.preds == self.pred_counters;
        if self.longest > self.ops || self.value_bytes != self.raw_bytes || !preds_fit {
            return Err(Refusal::Malformed("columns of unequal length"));
        }
        Ok(Scan { ops: self.ops, preds: self.preds })
    }
}

fn check(holds: bool, what: &'static str) -> Res<()> {
    if holds { Ok(()) } else { Err(Refusal::Malformed(what)) }
}

/// Adds a run to a column's count of values; the run is bounded before it is added.
fn count(n: &mut u64, run: u64, max: u64) -> Res<()> {
    if run == 0 {
        return Err(Refusal::Malformed("an empty run"));
    }
    if run > max || n.saturating_add(run) > max {
        return Err(Refusal::TooLarge(if max == MAX_PREDS { "predecessors" } else { "operations" }));
    }
    *n += run;
    Ok(())
}

/// Goes through a run-length column. `value` reads one value and is told for how many places it stands.
fn runs<'a>(mut b: Bytes<'a>, max: u64, mut value: impl FnMut(&mut Bytes<'a>, u64) -> Res<()>) -> Res<u64> {
    let mut n = 0u64;
    while !b.done() {
        let head = b.signed()?;
        if head == 0 {
            let run = b.unsigned()?;
            count(&mut n, run, max)?;
        } else if head > 0 {
            count(&mut n, head.unsigned_abs(), max)?;
            value(&mut b, head.unsigned_abs())?;
        } else {
            count(&mut n, head.unsigned_abs(), max)?;
            for _ in 0..head.unsigned_abs() {
                value(&mut b, 1)?;
            }
        }
    }
    Ok(n)
}

fn numbers(b: Bytes<'_>, max: u64, mut value: impl FnMut(u64, u64) -> Res<()>) -> Res<u64> {
    runs(b, max, |b, run| value(b.unsigned()?, run))
}

fn deltas(b: Bytes<'_>, max: u64) -> Res<u64> {
    let mut at = 0i64;
    runs(b, max, |b, run| {
        let step = b.signed()?;
        // Within a run the value moves one way, so its end bounds it all.
        at = i64::try_from(run)
            .ok()
            .and_then(|run| step.checked_mul(run))
            .and_then(|d| at.checked_add(d))
            .filter(|at| (0..=MAX_COUNTER).contains(at))
            .ok_or(Refusal::Malformed("an operation's number"))?;
        Ok(())
    })
}

fn strings(b: Bytes<'_>, longest: usize, what: &'static str) -> Res<u64> {
    let mut expanded = 0u64;
    runs(b, MAX_OPS, |b, run| {
        let s = b.sized(longest, what)?;
        expanded = expanded.saturating_add(run.saturating_mul(s.len() as u64));
        if expanded > MAX_EXPANDED { Err(Refusal::TooLarge(what)) } else { Ok(()) }
    })
}

fn booleans(mut b: Bytes<'_>) -> Res<u64> {
    let (mut n, mut first) = (0u64, true);
    while !b.done() {
        let run = b.unsigned()?;
        // Only the first run may be empty: the column starts with how many are false.
        if !(first && run == 0) {
            count(&mut n, run, MAX_OPS)?;
        }
        first = false;
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(bytes: &[u8]) -> Option<u64> {
        let mut b = Bytes(bytes);
        b.unsigned().ok().filter(|_| b.done())
    }

    fn signed(bytes: &[u8]) -> Option<i64> {
        let mut b = Bytes(bytes);
        b.signed().ok().filter(|_| b.done())
    }

    #[test]
    fn numbers_up_to_their_ends() {
        assert_eq!(unsigned(&[0]), Some(0));
        assert_eq!(unsigned(&[0x7f]), Some(127));
        assert_eq!(unsigned(&[0xe5, 0x8e, 0x26]), Some(624_485));
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(unsigned(&max), Some(u64::MAX));
        assert_eq!(unsigned(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(unsigned(&[0x80; 10]), None);
        assert_eq!(unsigned(&[0x80]), None);
        assert_eq!(unsigned(&[]), None);
        assert_eq!(signed(&[0]), Some(0));
        assert_eq!(signed(&[0x7f]), Some(-1));
        assert_eq!(signed(&[0x40]), Some(-64));
        assert_eq!(signed(&[0x3f]), Some(63));
        assert_eq!(signed(&[0xc0, 0xbb, 0x78]), Some(-123_456));
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        assert_eq!(signed(&max), Some(i64::MAX));
        let min = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
        assert_eq!(signed(&min), Some(i64::MIN));
        assert_eq!(signed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]), None);
        assert_eq!(signed(&[0xff; 11]), None);
    }

    #[test]
    fn runs_of_strings_and_deltas_are_bounded_before_they_are_added() {
        assert_eq!(strings(Bytes(&[2, 1, b'a', 0x7f, 1, b'b']), 8, "x"), Ok(3));
        assert_eq!(strings(Bytes(&[2, 9]), 8, "x"), Err(Refusal::TooLarge("x")));
        assert_eq!(deltas(Bytes(&[3, 2, 0x7f, 0x7a]), 10), Ok(4), "2, 4, 6, then 0");
        assert_eq!(deltas(Bytes(&[3, 2, 0x7f, 0x79]), 10), Err(Refusal::Malformed("an operation's number")));
        assert_eq!(deltas(Bytes(&[11, 0]), 10), Err(Refusal::TooLarge("operations")));
        assert_eq!(booleans(Bytes(&[0, 3, 2])), Ok(5));
        assert_eq!(booleans(Bytes(&[3, 0, 2])), Err(Refusal::Malformed("an empty run")));
    }
}
