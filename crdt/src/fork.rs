//! Forks: what proves that a log has two branches, and which of them counts.
//!
//! A log forks when one start of a device writes two entries at one place: a virtual machine that goes on from a
//! snapshot, or a device that lies. Two runs of signed headers that follow one entry and differ in the next are the
//! proof; nobody but the log's author can make one.
//!
//! 1. Of the two branches the one counts whose entry at the fork has the lower hash, with whatever follows it.
//! 2. A second proof that decides otherwise ends the log before the first fork of all that are known. So whoever forks
//!    on purpose shortens a log that it wrote itself, and nothing else.
//!
//! What is decided depends on the proofs alone and not on the order in which they come: whoever knows the same ones
//! decides the same. At most two are kept of a log.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{Entry, SignedHeader};
use crate::ids::{EntryHash, LogId, SpaceId};
use crate::replica::VOUCHED_BYTES;

/// Most headers of one branch in a proof: one, where its author signs every entry; as many as admission lets stand
/// between two signatures that verify ([`VOUCHED_BYTES`] of entries of 300 bytes and more), where not.
pub const MAX_BRANCH: usize = VOUCHED_BYTES / 256;

/// Why something is no proof of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are none.
    #[error("a proof of a fork that cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// Of another space.
    #[error("a proof of a fork in another space")]
    WrongSpace,
    /// Headers that do not follow one another.
    #[error("a proof of a fork whose entries are no chain")]
    BrokenChain,
    /// The branches are not two, or do not follow one entry.
    #[error("a proof of a fork whose branches do not part")]
    NoFork,
    /// The last header of a branch is not signed by the log's author.
    #[error("a proof of a fork that the author of the log did not sign")]
    BadSignature,
}

/// Two branches of a log, as their author signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// From the fork to the first signature that verifies.
    low: Vec<SignedHeader>,
    high: Vec<SignedHeader>,
    log: LogId,
    space: SpaceId,
    place: u64,
    keeps: EntryHash,
}

impl Proof {
    /// Puts two branches together. Their signatures are checked by [`Self::verify`].
    ///
    /// # Errors
    /// [`ProofError`] where they do not show a fork.
    pub fn new(a: Vec<SignedHeader>, b: Vec<SignedHeader>) -> Result<Self, ProofError> {
        let (Some(x), Some(y)) = (a.first(), b.first()) else { return Err(ProofError::NoFork) };
        let place = |s: &SignedHeader| (s.header.space, s.header.log, s.header.seq, s.header.prev);
        if place(x) != place(y) || x.hash == y.hash || a.len().max(b.len()) > MAX_BRANCH {
            return Err(ProofError::NoFork);
        }
        if !is_chain(&a) || !is_chain(&b) {
            return Err(ProofError::BrokenChain);
        }
        let (space, log, place) = (x.header.space, x.header.log, x.header.seq);
        let (low, high) = if x.hash < y.hash { (a, b) } else { (b, a) };
        let keeps = low.first().map_or(EntryHash([0; 32]), |s| s.hash);
        Ok(Self { low, high, log, space, place, keeps })
    }

    /// Whether the log's author signed both branches, for this space.
    ///
    /// # Errors
    /// [`ProofError`]: whoever sent it made it up.
    pub fn verify(&self, space: &SpaceId) -> Result<(), ProofError> {
        if self.space != *space {
            return Err(ProofError::WrongSpace);
        }
        let signed = |branch: &[SignedHeader]| branch.last().is_some_and(SignedHeader::verify);
        if signed(&self.low) && signed(&self.high) { Ok(()) } else { Err(ProofError::BadSignature) }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.log
    }

    /// The sequence number at which the branches part.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place
    }

    /// The entry there that counts: the one with the lower hash.
    #[must_use]
    pub fn keeps(&self) -> EntryHash {
        self.keeps
    }

    /// The branch that counts, from the fork to its first signature that verifies.
    #[must_use]
    pub fn kept(&self) -> &[SignedHeader] {
        &self.low
    }

    fn decides(&self) -> (u64, EntryHash) {
        (self.place, self.keeps)
    }

    /// Appends the canonical bytes.
    pub fn write(&self, w: &mut Writer) {
        for branch in [&self.low, &self.high] {
            w.u16(u16::try_from(branch.len()).unwrap_or(u16::MAX));
            for signed in branch {
                w.bytes(&signed.encode());
            }
        }
    }

    /// Reads what [`Self::write`] wrote. Nothing is allocated beyond what the bytes can hold.
    ///
    /// # Errors
    /// [`ProofError`] where that is not two branches of one log, the lower first.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, ProofError> {
        let low = read_headers(r)?;
        let first = low.first().map(|s| s.hash);
        let proof = Self::new(low, read_headers(r)?)?;
        if first == Some(proof.keeps) { Ok(proof) } else { Err(DecodeError::Invalid("order of branches").into()) }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.write(&mut w);
        w.finish()
    }
}

/// Reads a number and so many signed headers, [`MAX_BRANCH`] at most.
pub(crate) fn read_headers(r: &mut Reader<'_>) -> Result<Vec<SignedHeader>, DecodeError> {
    let n = usize::from(r.u16()?);
    if n > MAX_BRANCH {
        return Err(DecodeError::Invalid("number of headers"));
    }
    (0..n).map(|_| SignedHeader::decode(r)).collect()
}

/// Whether headers follow one another in one log of one space.
#[must_use]
pub fn is_chain(headers: &[SignedHeader]) -> bool {
    headers.iter().zip(headers.iter().skip(1)).all(|(a, b)| {
        let (x, y) = (&a.header, &b.header);
        (x.space, x.log, x.seq.checked_add(1), a.hash) == (y.space, y.log, Some(y.seq), y.prev)
    })
}

/// What is known of a log that forked, and what that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    first: Proof,
    /// One that decides otherwise.
    second: Option<Proof>,
}

impl Fork {
    /// What one proof decides.
    #[must_use]
    pub fn new(proof: Proof) -> Self {
        Self { first: proof, second: None }
    }

    /// Takes another proof of the same log in; answers whether it changed what is decided.
    pub fn join(&mut self, proof: Proof) -> bool {
        if self.knows(&proof) {
            return false;
        }
        let lower = proof.decides() < self.first.decides();
        match &mut self.second {
            None if lower => self.second = Some(std::mem::replace(&mut self.first, proof)),
            None => self.second = Some(proof),
            Some(_) if proof.place < self.first.place => self.first = proof,
            Some(_) => return false,
        }
        true
    }

    /// Whether a proof says nothing that is not known.
    #[must_use]
    pub fn knows(&self, proof: &Proof) -> bool {
        let ended = self.second.is_some() && proof.place >= self.first.place;
        ended || self.proofs().any(|p| p.decides() == proof.decides())
    }

    /// The place from which on only one branch counts, or none.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.first.place
    }

    /// The entry that counts at that place; `None`: the log ends before it.
    #[must_use]
    pub fn keeps(&self) -> Option<EntryHash> {
        self.second.is_none().then_some(self.first.keeps)
    }

    /// Whether an entry at a place may stand in the log, as far as this decides it.
    #[must_use]
    pub fn allows(&self, seq: u64, hash: EntryHash) -> bool {
        seq < self.place() || self.keeps().is_some_and(|keeps| seq > self.place() || hash == keeps)
    }

    /// The proofs: one, or two where the log ends.
    pub fn proofs(&self) -> impl Iterator<Item = &Proof> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// What comparing a run of another's with one's own log shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// They do not part where both have entries.
    Same,
    /// They part here.
    Fork(Box<Proof>),
    /// They part before the run begins.
    Before,
}

/// Compares a chain whose last signature verifies with one's own log, whose entries `own` reads by their place.
pub fn compare(run: &[SignedHeader], own: &dyn Fn(u64) -> Option<Arc<Entry>>) -> Compared {
    for (i, theirs) in run.iter().enumerate() {
        let at = &theirs.header;
        let Some(ours) = own(at.seq) else {
            // It goes on where we end: on our last entry, or on another's.
            let before = at.seq.checked_sub(1).filter(|_| i == 0).and_then(own);
            return if before.is_some_and(|e| e.hash() != at.prev) { Compared::Before } else { Compared::Same };
        };
        if ours.hash() == theirs.hash {
            continue;
        }
        if ours.header().prev != at.prev {
            return Compared::Before;
        }
        let rest = run.get(i..).unwrap_or_default();
        let theirs = signed_part(rest.iter().cloned());
        let ours = branch(at.seq, own);
        return match theirs.zip(ours).map(|(a, b)| Proof::new(a, b)) {
            Some(Ok(proof)) => Compared::Fork(Box::new(proof)),
            _ => Compared::Same,
        };
    }
    Compared::Same
}

/// One's own branch from a place on, to the first signature that verifies.
pub fn branch(place: u64, own: &dyn Fn(u64) -> Option<Arc<Entry>>) -> Option<Vec<SignedHeader>> {
    signed_part((place..).map_while(|seq| own(seq).map(|e| e.signed.clone())))
}

/// Headers to the first signature that verifies, if there is one among the first few.
fn signed_part(headers: impl Iterator<Item = SignedHeader>) -> Option<Vec<SignedHeader>> {
    let mut part = Vec::new();
    for signed in headers.take(MAX_BRANCH) {
        let verifies = signed.verify();
        part.push(signed);
        if verifies {
            return Some(part);
        }
    }
    None
}
