//! Single-line faults of the protocol that the simulator plants, to show that it would find them; and a memory of
//! verified signatures, without which simulation does little else. In the product both are nothing: `planted` is
//! `false` and `remembered` verifies.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A run's entries need not name their predecessors' hashes.
    SkipChain,
    /// Signatures are not verified.
    SkipSignature,
    /// Entries of other spaces are taken.
    AnySpace,
    /// Entries without their payload are taken.
    NoPayload,
    /// Entries after a gap are taken.
    AcceptGap,
    /// The first entry that a peer lacks is taken for one that it holds.
    FrontierOneTooFar,
    /// The last entry that a peer lacks is not served.
    ServeOneTooFew,
    /// A peer is told that entries are durable when they are merely admitted.
    AcknowledgeBeforeCommit,
    /// Digests and frontiers speak of admitted entries.
    DigestOfAdmitted,
    /// After a failed commit what was admitted is kept.
    KeepAfterFailedCommit,
    /// Live entries go to the first peer only.
    PushToFirstPeer,
    /// Live entries of others are not passed on.
    KeepToOneself,
    /// After a fetch others are not asked to compare.
    NoCompareAfterFetch,
    /// A peer that was behind is not asked to compare when it has caught up.
    NoCompareWhenDrained,
    /// A fetch that brings nothing is never given to another peer.
    WaitForEver,
    /// Of documents that differ only the first is fetched.
    FirstDocumentOnly,
    /// An entry that was pushed and did not follow its log is forgotten, and so is the gap.
    ForgetGap,
    /// Of a log that forked, the branch that came first is kept.
    KeepFirstBranch,
}

/// Every fault.
pub const FAULTS: [Fault; 18] = [
    Fault::SkipChain,
    Fault::SkipSignature,
    Fault::AnySpace,
    Fault::NoPayload,
    Fault::AcceptGap,
    Fault::FrontierOneTooFar,
    Fault::ServeOneTooFew,
    Fault::AcknowledgeBeforeCommit,
    Fault::DigestOfAdmitted,
    Fault::KeepAfterFailedCommit,
    Fault::PushToFirstPeer,
    Fault::KeepToOneself,
    Fault::NoCompareAfterFetch,
    Fault::NoCompareWhenDrained,
    Fault::WaitForEver,
    Fault::FirstDocumentOnly,
    Fault::ForgetGap,
    Fault::KeepFirstBranch,
];

#[cfg(any(test, feature = "planted"))]
mod on {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
        static VERIFIED: RefCell<BTreeMap<[u8; 32], bool>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Plants a fault in everything that this thread does from now on, or none.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    pub(crate) fn planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// Forgets what was verified.
    pub fn forget() {
        VERIFIED.with_borrow_mut(BTreeMap::clear);
    }

    pub(crate) fn remembered(what: [u8; 32], verify: impl FnOnce() -> bool) -> bool {
        if let Some(known) = VERIFIED.with_borrow(|v| v.get(&what).copied()) {
            return known;
        }
        let good = verify();
        VERIFIED.with_borrow_mut(|v| v.insert(what, good));
        good
    }
}

#[cfg(any(test, feature = "planted"))]
pub use on::{forget, plant};
#[cfg(any(test, feature = "planted"))]
pub(crate) use on::{planted, remembered};

/// Whether a fault is planted: never.
#[cfg(not(any(test, feature = "planted")))]
pub(crate) const fn planted(_: Fault) -> bool {
    false
}
