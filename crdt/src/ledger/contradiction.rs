//! Two statements of one start that cannot both be true: both under one number and not the same, or the later one takes
//! back a floor that the earlier one promised. The pair is proof, since nobody but the device can make it.
//!
//! A start writes its statements one after the other, so an honest one never makes such a pair. It is a device that
//! lies, or a virtual machine of which two lives went on from one snapshot. What another start says proves nothing: a
//! restored backup counts over again what it forgot.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{DeviceId, Incarnation, SpaceId};
use crate::statement::Signed;

/// Most starts of one device of which such a pair is kept. Of who has so many nobody needs more.
pub const CONTRADICTIONS: usize = 3;

/// Two statements that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction {
    /// The one that does not count.
    lower: Signed,
    /// The one that counts of the two.
    higher: Signed,
}

impl Contradiction {
    /// Puts two statements together, if one start made both and they contradict each other. Their signatures are
    /// checked by [`Self::verify`].
    #[must_use]
    pub fn of(a: &Signed, b: &Signed) -> Option<Self> {
        let (x, y) = (&a.statement, &b.statement);
        if (x.device, x.incarnation) != (y.device, y.incarnation) {
            return None;
        }
        let (lower, higher) = if x.rank() < y.rank() { (*a, *b) } else { (*b, *a) };
        let (before, after) = (&lower.statement, &higher.statement);
        let one_place = before.counter == after.counter && before.rank() != after.rank();
        (one_place || after.floor < before.floor).then_some(Self { lower, higher })
    }

    /// Whether their device signed both for this space.
    #[must_use]
    pub fn verify(&self, space: &SpaceId) -> bool {
        self.lower.verify(space) && self.higher.verify(space)
    }

    /// Who contradicts itself.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.higher.statement.device
    }

    /// The start of it that does.
    #[must_use]
    pub fn start(&self) -> Incarnation {
        self.higher.statement.incarnation
    }

    /// The statement that counts of the two.
    #[must_use]
    pub fn counts(&self) -> &Signed {
        &self.higher
    }

    /// Appends the canonical bytes.
    pub fn write(&self, w: &mut Writer) {
        w.bytes(&self.lower.encode()).bytes(&self.higher.encode());
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] where that is not two statements that contradict each other, the one that counts last.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (lower, higher) = (Signed::read(r)?, Signed::read(r)?);
        let pair = Self::of(&lower, &higher).filter(|pair| pair.higher == higher);
        pair.ok_or(DecodeError::Invalid("two statements of one start"))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Signed::MAX * 2);
        self.write(&mut w);
        w.finish()
    }

    /// Reads bytes that hold nothing else, as they were stored. `None` where they are damaged or not signed for a space.
    #[must_use]
    pub fn stored(bytes: &[u8], space: &SpaceId) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let pair = Self::read(&mut r).ok()?;
        (r.remaining() == 0 && pair.verify(space)).then_some(pair)
    }
}
