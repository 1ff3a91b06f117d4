//! Document kinds: one module each with its schema, its `may` (the [`Rule`]), its edits and its read model.
//!
//! All kinds so far are single-writer: an incarnation writes only at root keys of its own, its changes depend on
//! nothing but its previous one, and readers merge what the incarnations say.

pub mod chat;
pub mod contacts;
pub mod control;
pub mod order;
mod own;
pub mod profile;
pub mod read_marks;

use crate::entry::Header;
use crate::guard::OpView;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, Incarnation, Kind, LogId};
use crate::known::Known;
use crate::period::period_of;
use chat::plain::{Plain, Said};

/// Who writes the change that a rule judges, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// The entry's device.
    pub device: DeviceId,
    /// The entry's incarnation.
    pub incarnation: Incarnation,
    /// The entry's stamp.
    pub hlc: Hlc,
    /// The entry's payload version.
    pub version: u16,
}

/// A kind's `may`: judges the changes of one document in the order in which they are applied. A verdict depends on
/// the change, its entry and its author's own earlier changes alone.
///
/// A change is judged by what its entry's payload version allows ([`Writing::version`]), so that a version that allows
/// more or less never changes the verdict on what was written under an earlier one. There is one version today.
///
/// Each change is [`Rule::begin`], [`Rule::op`] for each operation in order, [`Rule::end`]. What a rule remembers
/// (how full a block is) it takes over only in `end`, so a change that is refused on the way leaves no trace.
pub trait Rule: std::fmt::Debug + Send {
    /// Whether changes may depend on their author's previous one only.
    fn single_writer(&self) -> bool {
        true
    }

    /// A new change comes.
    fn begin(&mut self, by: &Writing);

    /// One operation.
    ///
    /// # Errors
    /// Why it is not allowed.
    fn op(&mut self, op: &OpView) -> Result<(), &'static str>;

    /// The change is complete and the guard had nothing against it.
    ///
    /// # Errors
    /// Why the whole is not allowed.
    fn end(&mut self) -> Result<(), &'static str>;

    /// The message of a change that guard and rule would let through for certain, which is then taken over as by
    /// [`Rule::end`]. `last` is the hash of the author's last change, the only one that this one may depend on.
    /// `None` says nothing about the change: it is judged.
    fn plain(&mut self, _header: &Header, _last: &[u8; 32], _raw: &[u8]) -> Option<(Plain, [u8; 32])> {
        None
    }

    /// The blocks of records that a log has.
    fn records(&self, _log: &LogId) -> RecordBlock {
        RecordBlock::default()
    }

    /// Makes the next change of a log, a plain message with this stamp, and takes it over as by [`Rule::end`]: guard and
    /// rule would let it through for certain. `None`: it must be made and judged the long way.
    fn make(&mut self, _log: &LogId, _seq: u64, _hlc: Hlc, _last: &[u8; 32], _said: &Said<'_>) -> Option<Made> {
        None
    }
}

/// The blocks of records of one log ([`chat::Record`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordBlock {
    /// How many there are.
    pub(crate) blocks: u32,
    /// Records in the last.
    pub(crate) in_last: u32,
    /// Counter of the operation that made it.
    pub(crate) made: u64,
}

/// A change that needs no judge.
#[derive(Debug)]
pub struct Made {
    /// Its bytes.
    pub(crate) raw: Vec<u8>,
    /// Its hash.
    pub(crate) hash: [u8; 32],
    /// How many operations it has.
    pub(crate) ops: u32,
    /// Its Automerge actor.
    pub(crate) actor: [u8; 32],
}

/// The rule of a document, or `None` for a kind that is not known or that holds no Automerge document.
#[must_use]
pub fn rule_of(id: &DocumentId, known: &Known) -> Option<Box<dyn Rule>> {
    known.version(id.kind())?;
    match id.kind() {
        Kind::Chat => Some(Box::new(chat::rule::ChatRule::new(period_of(id)?))),
        Kind::Control => Some(Box::new(control::rule::ControlRule::default())),
        Kind::Profile => Some(Box::new(own::OwnRule::new(own::Schema::Profile(*id)))),
        Kind::Contacts => Some(Box::new(own::OwnRule::new(own::Schema::Contacts))),
        Kind::ReadMarks => Some(Box::new(own::OwnRule::new(own::Schema::ReadMarks))),
        Kind::Unknown(_) => None,
    }
}
