//! Which kinds of documents, and which versions of their payloads, a build understands.
//!
//! Admission asks nothing of this: an entry of any kind and version is admitted, stored and passed on, so all digests
//! agree whatever the builds. Only the verdict does: what is not understood is [`crate::verdict::Outcome::Unsupported`]
//! until a build that knows more reads the same entries again.
//!
//! It is a value, not a constant, so that tests run builds that know fewer kinds beside builds that know more.

use std::collections::BTreeMap;

use crate::entry::{Header, PAYLOAD_VERSION};
use crate::ids::Kind;

/// What a build understands: for each kind the newest payload version. Older versions of a kind are understood for
/// ever, each by the rules that it was written under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known(BTreeMap<u16, u16>);

impl Default for Known {
    fn default() -> Self {
        Self::this_build()
    }
}

impl Known {
    /// What this build understands.
    #[must_use]
    pub fn this_build() -> Self {
        let kinds = [Kind::Control, Kind::Chat, Kind::Profile, Kind::Contacts, Kind::ReadMarks];
        Self(kinds.into_iter().map(|k| (k.code(), PAYLOAD_VERSION)).collect())
    }

    /// A build that does not know a kind.
    #[must_use]
    pub fn without(mut self, kind: Kind) -> Self {
        self.0.remove(&kind.code());
        self
    }

    /// A build that knows a kind up to a payload version.
    #[must_use]
    pub fn upto(mut self, kind: Kind, version: u16) -> Self {
        self.0.insert(kind.code(), version);
        self
    }

    /// The newest payload version of a kind that is understood, which is also the one that is written; `None` for a
    /// kind that is not known.
    #[must_use]
    pub fn version(&self, kind: Kind) -> Option<u16> {
        self.0.get(&kind.code()).copied()
    }

    /// Whether what an entry holds can be read, by its kind and payload version. Whether it can be opened is another
    /// question: [`crate::verdict::Judge::set_keys`].
    #[must_use]
    pub fn understands(&self, header: &Header) -> bool {
        let newest = self.version(header.log.document.kind());
        newest.is_some_and(|n| (1..=n).contains(&header.payload_version))
    }
}
