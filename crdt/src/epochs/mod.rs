//! Which key a writer may use, when a new one is due, and for whom a key lacks a share: decisions over the operations about
//! keys of one space's control log. Pure: entitlement, time and randomness are arguments.
//!
//! - **All epochs are kept**, also concurrent ones: what is sealed with any of them stays readable to whoever holds it.
//!   A share is opened whoever sealed it, since the id commits to the secret.
//! - **A writer uses** an epoch only if he holds it and if all for whom it was sealed, by operations that count, are entitled
//!   now, by the control heads that he has seen ([`Unused`] says why not). So what is written by whoever has received a
//!   removal is not readable to the removed. Of several he takes one that was made for just those who are entitled now, of
//!   these the latest.
//! - **A new one is due** ([`Due`]) where there is none to use, where the one to use was made for other members than those of
//!   now, and for the first writer when it is a day old. Whoever changed the members makes it at once; everybody else waits
//!   for [`delay_ms`] first and looks again, since somebody else may have made one.
//! - **Whoever holds an epoch seals it again** to whoever is entitled to it and lacks a share ([`Epochs::lacking`]): one whose
//!   prekey was not known when it was made; whoever lost his keys and asks ([`Epochs::asked`]); and, where the group gives
//!   newcomers its history, whoever came in later. A key that the log shows no more, since the branch that did does not
//!   count, is published again ([`Epochs::unshown`]).
//!
//! **Who seals to strangers.** An operation that seals to somebody who did not belong here by what its author had seen was
//! written by a dishonest node. Its epoch is used no more. But only the first such operation of each principal that this
//! node sees does that: else one member could make all others seal new epochs without end. He could as well hand on the key
//! in secret.
//!
//! What an epoch was made for, and when, is what the first operation says that came in here and counts; those that seal it
//! again cannot come before it, since they name its id. Where that differs between nodes, they choose other epochs among
//! those that may be used, which does no harm.

mod choose;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::hlc::Hlc;
use crate::ids::{DeviceId, EntryHash, EpochId, PrincipalId, SpaceId};
use crate::kinds::control::{KeyOperation, Operation};
use crate::membership::{Membership, Verdict};
use crate::seal::{Epoch, EpochSecret, Keys, Prekey, PrekeyRing, Share};

pub use choose::{Choice, DAILY_MS, Due, Lacking, Made, NoPrekeys, Unused, delay_ms};

/// Operations that wait for the operations that their authors had seen, at most; the oldest goes first.
const MAX_WAITING: usize = 1024;
/// Shares of one epoch for this device that are tried at most.
const MAX_TRIED: u32 = 64;

/// Who is entitled to the keys of a space.
pub trait Entitled {
    /// Who is now, by all that is known here.
    fn now(&self) -> BTreeSet<PrincipalId>;

    /// Who was, by what an operation follows; `None` while not all of that is here.
    fn then(&self, parents: &[EntryHash]) -> Option<BTreeSet<PrincipalId>>;

    /// Whether an operation counts. It may cease to, and begin to again, as others come in.
    fn counts(&self, operation: &EntryHash) -> bool;
}

/// A space whose members never change: a direct space or one's own.
#[derive(Debug, Clone)]
pub struct Fixed(pub BTreeSet<PrincipalId>);

impl Entitled for Fixed {
    fn now(&self) -> BTreeSet<PrincipalId> {
        self.0.clone()
    }

    fn then(&self, _: &[EntryHash]) -> Option<BTreeSet<PrincipalId>> {
        Some(self.0.clone())
    }

    fn counts(&self, _: &EntryHash) -> bool {
        true
    }
}

/// A group at this moment: what became of its operations, decided once for all that is asked.
#[derive(Debug)]
pub struct Group<'a> {
    membership: &'a Membership,
    verdicts: BTreeMap<EntryHash, Verdict>,
}

impl<'a> Group<'a> {
    /// The group of a membership.
    #[must_use]
    pub fn new(membership: &'a Membership) -> Self {
        Self { membership, verdicts: membership.verdicts() }
    }
}

impl Entitled for Group<'_> {
    fn now(&self) -> BTreeSet<PrincipalId> {
        self.membership.members().into_keys().collect()
    }

    fn then(&self, parents: &[EntryHash]) -> Option<BTreeSet<PrincipalId>> {
        Some(self.membership.members_at(parents).ok()?.into_keys().collect())
    }

    fn counts(&self, operation: &EntryHash) -> bool {
        self.verdicts.get(operation) == Some(&Verdict::Counts)
    }
}

/// An operation that seals an epoch to devices.
#[derive(Debug)]
struct Sealing {
    id: EntryHash,
    by: PrincipalId,
    at: Hlc,
    to: BTreeSet<DeviceId>,
    /// Who was entitled by what it follows.
    members: Arc<BTreeSet<PrincipalId>>,
    /// Somebody among `to` who was not.
    stranger: Option<DeviceId>,
}

/// An epoch as the control log shows it.
#[derive(Debug, Default)]
struct Shown {
    /// In the order in which they came in; each once.
    sealings: Vec<Sealing>,
    /// Shares for this device that were not tried yet.
    shares: Vec<Share>,
    tried: u32,
}

/// The epochs of a space: what the control log says of them, and the secrets that this device holds.
#[derive(Debug)]
pub struct Epochs {
    space: SpaceId,
    device: DeviceId,
    prekeys: BTreeMap<DeviceId, Prekey>,
    shown: BTreeMap<EpochId, Shown>,
    held: Keys,
    /// Epochs that nothing here needs any more: their shares are not opened again.
    dropped: BTreeSet<EpochId>,
    /// The first operation of each principal that seals to strangers.
    blamed: BTreeMap<PrincipalId, EntryHash>,
    waiting: Vec<KeyOperation>,
    /// The last set of members met; most operations share one.
    members: Arc<BTreeSet<PrincipalId>>,
}

impl Epochs {
    /// The epochs of a space in which nothing was said of any, on a device.
    #[must_use]
    pub fn new(space: SpaceId, device: DeviceId) -> Self {
        Self {
            space,
            device,
            prekeys: BTreeMap::new(),
            shown: BTreeMap::new(),
            held: Keys::default(),
            dropped: BTreeSet::new(),
            blamed: BTreeMap::new(),
            waiting: Vec::new(),
            members: Arc::default(),
        }
    }

    /// The same keys and prekeys, and nothing of what the control log said: it is read anew.
    #[must_use]
    pub fn without_log(&self) -> Self {
        Self {
            prekeys: self.prekeys.clone(),
            held: self.held.clone(),
            dropped: self.dropped.clone(),
            ..Self::new(self.space, self.device)
        }
    }

    /// Takes in operations that passed the rule of the control log. Those that come before what their authors had seen
    /// wait, and are looked at again with the next ones.
    pub fn extend(&mut self, operations: impl IntoIterator<Item = KeyOperation>, entitled: &impl Entitled) {
        let mut all = std::mem::take(&mut self.waiting);
        all.extend(operations);
        for operation in all {
            match operation.operation {
                Operation::Prekey(prekey) => self.publish(&prekey),
                Operation::Epoch { epoch, ref shares } => match entitled.then(&operation.parents) {
                    Some(members) => self.sealed(epoch, shares, &operation, members),
                    None => self.waiting.push(operation),
                },
                _ => {}
            }
        }
        let excess = self.waiting.len().saturating_sub(MAX_WAITING);
        self.waiting.drain(..excess);
    }

    /// Takes note of a device's prekey, from wherever it is known. One that is not signed, or not the last, is passed over.
    pub fn publish(&mut self, prekey: &Prekey) {
        let later = self.prekeys.get(&prekey.device).is_none_or(|known| known.rank() < prekey.rank());
        if later && prekey.verify() {
            self.prekeys.insert(prekey.device, *prekey);
        }
    }

    /// Takes note of the prekey that a device itself says to have now: it counts whatever others know of later ones, since
    /// a device that was set back to a backup has lost these. `false`: it is not signed.
    pub fn told(&mut self, prekey: &Prekey) -> bool {
        let known = self.prekeys.get(&prekey.device) == Some(prekey);
        if known || prekey.verify() {
            self.prekeys.insert(prekey.device, *prekey);
            return true;
        }
        false
    }

    /// The last prekey known of a device.
    #[must_use]
    pub fn prekey(&self, device: &DeviceId) -> Option<&Prekey> {
        self.prekeys.get(device)
    }

    fn sealed(
        &mut self,
        epoch: EpochId,
        shares: &BTreeMap<DeviceId, Share>,
        operation: &KeyOperation,
        members: BTreeSet<PrincipalId>,
    ) {
        if *self.members != members {
            self.members = Arc::new(members);
        }
        let members = Arc::clone(&self.members);
        let shown = self.shown.entry(epoch).or_default();
        if shown.sealings.iter().any(|s| s.id == operation.id) {
            return;
        }
        if let Some(share) = shares.get(&self.device)
            && shown.tried < MAX_TRIED
        {
            shown.tried = shown.tried.saturating_add(1);
            shown.shares.push(*share);
        }
        let (by, to) = (operation.by.principal(), shares.keys().copied().collect::<BTreeSet<_>>());
        let stranger = to.iter().find(|device| !members.contains(&device.principal())).copied();
        if stranger.is_some() && members.contains(&by) {
            self.blamed.entry(by).or_insert(operation.id);
        }
        shown.sealings.push(Sealing { id: operation.id, by, at: operation.at, to, members, stranger });
    }

    /// Opens the shares for this device that came in since. Returns the epochs whose secrets are new, for the store.
    pub fn open(&mut self, ring: &PrekeyRing) -> Vec<EpochId> {
        let mut opened = Vec::new();
        for (id, shown) in &mut self.shown {
            for share in std::mem::take(&mut shown.shares) {
                if self.held.get(id).is_none()
                    && !self.dropped.contains(id)
                    && let Ok(epoch) = share.open(&self.space, id, ring)
                {
                    self.held.insert(epoch);
                    opened.push(*id);
                }
            }
        }
        opened
    }

    /// Takes a secret that was made here or that was stored.
    pub fn hold(&mut self, secret: EpochSecret) -> EpochId {
        let epoch = Epoch::new(self.space, secret);
        let id = epoch.id();
        self.held.insert(epoch);
        id
    }

    /// Lets go of a secret for good, when all that is sealed with it was erased.
    pub fn forget(&mut self, epoch: &EpochId) {
        self.held.remove(epoch);
        self.dropped.insert(*epoch);
    }

    /// The epochs that are held here, each with the first and the last stamp of what published it.
    pub fn made(&self) -> impl Iterator<Item = (EpochId, Hlc, Hlc)> {
        self.held.epochs().filter_map(|id| {
            let stamps = || self.shown.get(&id).into_iter().flat_map(|s| s.sealings.iter().map(|s| s.at));
            Some((id, stamps().min()?, stamps().max()?))
        })
    }

    /// The keys that are held here.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.held
    }

    /// The key of an epoch, to open what is sealed with it; `None`: it is missing, and what is sealed with it waits.
    #[must_use]
    pub fn key(&self, epoch: &EpochId) -> Option<&Epoch> {
        self.held.get(epoch)
    }
}
