//! A change chunk taken apart, so that tests can build what no encoder writes.

use super::mutate::{body, chunk, uleb};

/// The fields of a change chunk.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    pub deps: Vec<[u8; 32]>,
    pub actor: Vec<u8>,
    pub seq: u64,
    pub start: u64,
    pub time: i64,
    pub message: Vec<u8>,
    pub others: Vec<Vec<u8>>,
    pub columns: Vec<(u64, Vec<u8>)>,
    pub extra: Vec<u8>,
}

/// Appends a signed LEB128 number.
pub fn sleb(out: &mut Vec<u8>, mut n: i64) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if (n == 0 && low & 0x40 == 0) || (n == -1 && low & 0x40 != 0) {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_uleb(b: &mut &[u8]) -> u64 {
    let (mut n, mut shift) = (0, 0);
    loop {
        let low = b[0];
        *b = &b[1..];
        n |= u64::from(low & 0x7f) << shift;
        if low & 0x80 == 0 {
            return n;
        }
        shift += 7;
    }
}

fn read_sleb(b: &mut &[u8]) -> i64 {
    let (mut n, mut shift) = (0i64, 0);
    loop {
        let low = b[0];
        *b = &b[1..];
        n |= i64::from(low & 0x7f) << shift;
        shift += 7;
        if low & 0x80 == 0 {
            return if low & 0x40 != 0 && shift < 64 { n | (-1 << shift) } else { n };
        }
    }
}

fn sized(b: &mut &[u8]) -> Vec<u8> {
    let n = read_uleb(b) as usize;
    let (head, tail) = b.split_at(n);
    *b = tail;
    head.to_vec()
}

impl Raw {
    /// Takes an honest chunk apart.
    pub fn parse(raw: &[u8]) -> Self {
        let b = &mut body(raw);
        let deps = (0..read_uleb(b))
            .map(|_| {
                let (head, tail) = b.split_first_chunk::<32>().unwrap();
                *b = tail;
                *head
            })
            .collect();
        let (actor, seq, start) = (sized(b), read_uleb(b), read_uleb(b));
        let (time, message) = (read_sleb(b), sized(b));
        let others = (0..read_uleb(b)).map(|_| sized(b)).collect();
        let specs: Vec<(u64, u64)> = (0..read_uleb(b)).map(|_| (read_uleb(b), read_uleb(b))).collect();
        let columns = specs
            .into_iter()
            .map(|(spec, len)| {
                let (head, tail) = b.split_at(len as usize);
                *b = tail;
                (spec, head.to_vec())
            })
            .collect();
        Self { deps, actor, seq, start, time, message, others, columns, extra: b.to_vec() }
    }

    /// The chunk, with a right length and checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        uleb(&mut out, self.deps.len() as u64);
        out.extend(self.deps.iter().flatten());
        uleb(&mut out, self.actor.len() as u64);
        out.extend(&self.actor);
        uleb(&mut out, self.seq);
        uleb(&mut out, self.start);
        sleb(&mut out, self.time);
        uleb(&mut out, self.message.len() as u64);
        out.extend(&self.message);
        uleb(&mut out, self.others.len() as u64);
        for other in &self.others {
            uleb(&mut out, other.len() as u64);
            out.extend(other);
        }
        uleb(&mut out, self.columns.len() as u64);
        for (spec, data) in &self.columns {
            uleb(&mut out, *spec);
            uleb(&mut out, data.len() as u64);
        }
        for (_, data) in &self.columns {
            out.extend(data);
        }
        out.extend(&self.extra);
        chunk(1, &out)
    }

    /// A column's data.
    pub fn column(&mut self, spec: u64) -> &mut Vec<u8> {
        let at = match self.columns.binary_search_by_key(&spec, |c| c.0) {
            Ok(at) => at,
            Err(at) => {
                self.columns.insert(at, (spec, Vec::new()));
                at
            }
        };
        &mut self.columns[at].1
    }
}

/// A run of one value, its bytes given.
pub fn run(times: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sleb(&mut out, times);
    out.extend(value);
    out
}
