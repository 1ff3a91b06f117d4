//! What follows from the epochs that are known: which to use, whether a new one is due, who lacks a share, and why an epoch
//! is not used, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entitled, Epochs, Sealing, Shown};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, EpochId, PrincipalId};
use crate::kinds::control::{MAX_SHARES, Operation, SLACK_MS};
use crate::period::DAY_MS;
use crate::seal::{Epoch, EpochSecret, Share};

/// How old an epoch is when the first writer makes a new one, in milliseconds.
pub const DAILY_MS: u64 = DAY_MS;
/// The shortest range of the wait before an epoch is made that somebody else may make too, in milliseconds.
const SPREAD_MS: u64 = 250;
/// How much longer the range is for each member: about the time in which an epoch reaches another device on a LAN.
const SPREAD_EACH_MS: u64 = 10;
/// The longest range.
const SPREAD_MAX_MS: u64 = 3000;

/// Why an epoch is not used by a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// Its secret is not here.
    Missing,
    /// No operation that made it counts.
    Void,
    /// Somebody sealed it to a device that did not belong here by what he had seen.
    Stranger {
        /// Who.
        by: PrincipalId,
        /// To whom.
        to: DeviceId,
    },
    /// Somebody whom it was sealed to is entitled no more.
    Gone(DeviceId),
}

/// Why a new epoch is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// None can be used: nothing can be written before there is one.
    None,
    /// The one to use was made for other members than those of now.
    Members,
    /// The one to use is a day old, or from a clock that is ahead: for who is about to write.
    Day,
}

/// Which epoch a writer uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The epoch, if there is one to use.
    pub epoch: Option<EpochId>,
    /// Whether a new one should be made, and why.
    pub due: Option<Due>,
}

/// A new epoch. The secret is to be held and stored before the operations are published.
#[derive(Debug)]
pub struct Made {
    /// The epoch.
    pub epoch: Epoch,
    /// [`Operation::Epoch`]s, at least one.
    pub operations: Vec<Operation>,
    /// Who is entitled but published no prekey that anything can be sealed to: they get theirs when they do.
    pub without: Vec<PrincipalId>,
}

/// An epoch that is held here, and devices that are entitled to it and for which no share of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Which.
    pub epoch: EpochId,
    /// For whom.
    pub devices: Vec<DeviceId>,
}

/// Nobody has published a prekey that anything can be sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody here has published a key that anything can be sealed to")]
pub struct NoPrekeys;

/// How long to wait before an epoch is made that others may make too, in milliseconds: by chance, so that mostly one of them
/// is first and the others see it. `random` is any number.
#[must_use]
pub fn delay_ms(random: u64, members: usize) -> u64 {
    let range = SPREAD_EACH_MS.saturating_mul(members as u64).saturating_add(SPREAD_MS).min(SPREAD_MAX_MS);
    random.checked_rem(range).unwrap_or(0)
}

/// An epoch that may be used: (made for those of now, not ahead, made, id), in the order in which they are preferred.
type Rank = (bool, bool, Hlc, EpochId);

impl Epochs {
    /// Which epoch a writer uses at the time `now` (milliseconds since 1970), and whether a new one is due.
    #[must_use]
    pub fn choose(&self, now: u64, entitled: &impl Entitled) -> Choice {
        let members = entitled.now();
        let rank = |(id, shown): (&EpochId, &Shown)| -> Option<Rank> {
            self.verdict(id, &members, entitled).ok()?;
            let first = shown.sealings.iter().find(|s| entitled.counts(&s.id))?;
            Some((*first.members == members, first.at.ms() <= now.saturating_add(SLACK_MS), first.at, *id))
        };
        let Some((current, right, made, epoch)) = self.shown.iter().filter_map(rank).max() else {
            return Choice { epoch: None, due: Some(Due::None) };
        };
        let due = if !current {
            Some(Due::Members)
        } else if !right || made.ms().saturating_add(DAILY_MS) <= now {
            Some(Due::Day)
        } else {
            None
        };
        Choice { epoch: Some(epoch), due }
    }

    /// Whether a writer may use an epoch.
    ///
    /// # Errors
    /// Why not.
    pub fn usable(&self, epoch: &EpochId, entitled: &impl Entitled) -> Result<(), Unused> {
        self.verdict(epoch, &entitled.now(), entitled)
    }

    fn verdict(
        &self,
        epoch: &EpochId,
        members: &BTreeSet<PrincipalId>,
        entitled: &impl Entitled,
    ) -> Result<(), Unused> {
        let Some(shown) = self.shown.get(epoch) else { return Err(Unused::Void) };
        let mut counts = false;
        for sealing in shown.sealings.iter().filter(|s| entitled.counts(&s.id)) {
            // The epoch of who seals to strangers from the start is no epoch, however often he did so before.
            let first = !std::mem::replace(&mut counts, true);
            match sealing.stranger {
                Some(to) if first || self.blamed.get(&sealing.by) == Some(&sealing.id) => {
                    return Err(Unused::Stranger { by: sealing.by, to });
                }
                _ => {}
            }
            let known = |device: &&DeviceId| sealing.members.contains(&device.principal());
            let gone = sealing.to.iter().filter(known).find(|device| !members.contains(&device.principal()));
            if let Some(device) = gone {
                return Err(Unused::Gone(*device));
            }
        }
        if !counts {
            return Err(Unused::Void);
        }
        if self.key(epoch).is_some() { Ok(()) } else { Err(Unused::Missing) }
    }

    /// Makes an epoch for all who are entitled now. `secret` and `random` are 32 random bytes each.
    ///
    /// # Errors
    /// [`NoPrekeys`]; publish one's own first.
    pub fn make(&self, secret: EpochSecret, random: &[u8; 32], entitled: &impl Entitled) -> Result<Made, NoPrekeys> {
        let epoch = Epoch::new(self.space, secret);
        let devices = entitled.now().into_iter().map(|p| p.founder());
        let (shares, without) = self.shares(&epoch, devices, random);
        let operations = operations(epoch.id(), shares);
        let without = without.iter().map(DeviceId::principal).collect();
        if operations.is_empty() { Err(NoPrekeys) } else { Ok(Made { epoch, operations, without }) }
    }

    /// Shares for devices, and those for which none could be made.
    fn shares(
        &self,
        epoch: &Epoch,
        devices: impl IntoIterator<Item = DeviceId>,
        random: &[u8; 32],
    ) -> (BTreeMap<DeviceId, Share>, Vec<DeviceId>) {
        let (mut shares, mut without) = (BTreeMap::new(), Vec::new());
        for device in devices {
            match self.prekey(&device).and_then(|to| Share::seal(epoch, to, random).ok()) {
                Some(share) => drop(shares.insert(device, share)),
                None => without.push(device),
            }
        }
        (shares, without)
    }

    /// Who is entitled to an epoch that is held here and has published a prekey, but has no share of it by any operation that
    /// counts. Whoever came in after an epoch was made is entitled to it only where the group gives its `history`. Nothing is
    /// sealed again of an epoch whose makers sealed to strangers.
    #[must_use]
    pub fn lacking(&self, history: bool, entitled: &impl Entitled) -> Vec<Lacking> {
        let members = entitled.now();
        let mut lacking = Vec::new();
        for (id, shown) in self.shown.iter().filter(|(id, _)| self.key(id).is_some()) {
            let counting: Vec<&Sealing> = shown.sealings.iter().filter(|s| entitled.counts(&s.id)).collect();
            let Some(first) = counting.first().filter(|s| s.stranger.is_none()) else { continue };
            let devices = members.iter().filter(|p| history || first.members.contains(p)).map(PrincipalId::founder);
            let without = |d: &DeviceId| self.prekey(d).is_some() && !counting.iter().any(|s| s.to.contains(d));
            let devices: Vec<DeviceId> = devices.filter(without).collect();
            if !devices.is_empty() {
                lacking.push(Lacking { epoch: *id, devices });
            }
        }
        lacking
    }

    /// Epochs that are held here and that the control log does not show: made by an operation that went with a branch that
    /// does not count, or never got there. They are due to all who are entitled now.
    #[must_use]
    pub fn unshown(&self, entitled: &impl Entitled) -> Vec<Lacking> {
        let counts =
            |id: &EpochId| self.shown.get(id).is_some_and(|s| s.sealings.iter().any(|s| entitled.counts(&s.id)));
        let devices: Vec<DeviceId> = entitled.now().iter().map(PrincipalId::founder).collect();
        let lost = self.held.epochs().filter(|id| !counts(id));
        lost.map(|epoch| Lacking { epoch, devices: devices.clone() }).collect()
    }

    /// Which of these epochs, of which a device says that it lacks them, can be sealed to it again, whatever shares it has
    /// had: it may have lost the prekeys that these were sealed to.
    #[must_use]
    pub fn asked(&self, device: &DeviceId, epochs: &[EpochId], entitled: &impl Entitled) -> Vec<Lacking> {
        if self.prekey(device).is_none() || !entitled.now().contains(&device.principal()) {
            return Vec::new();
        }
        let here = epochs.iter().filter(|id| self.key(id).is_some());
        here.map(|epoch| Lacking { epoch: *epoch, devices: vec![*device] }).collect()
    }

    /// Whether somebody belonged to the space by what the maker of an epoch had seen.
    #[must_use]
    pub fn made_for(&self, epoch: &EpochId, who: &PrincipalId, entitled: &impl Entitled) -> bool {
        let sealings = self.shown.get(epoch).map(|s| s.sealings.as_slice()).unwrap_or_default();
        sealings.iter().find(|s| entitled.counts(&s.id)).is_some_and(|first| first.members.contains(who))
    }

    /// Seals an epoch that is held here again, to devices that membership entitles: those of [`Epochs::lacking`], or one that
    /// lost its keys and asks. Devices that are not entitled now are passed over.
    #[must_use]
    pub fn seal_again(&self, to: &Lacking, random: &[u8; 32], entitled: &impl Entitled) -> Vec<Operation> {
        let Some(epoch) = self.key(&to.epoch) else { return Vec::new() };
        let members = entitled.now();
        let devices = to.devices.iter().filter(|d| members.contains(&d.principal())).copied();
        operations(epoch.id(), self.shares(epoch, devices, random).0)
    }

    /// A sentence on why an epoch is not used; `None` where it is. `name` says what people are called.
    #[must_use]
    pub fn explain(
        &self,
        epoch: &EpochId,
        entitled: &impl Entitled,
        name: &dyn Fn(&PrincipalId) -> String,
    ) -> Option<String> {
        let maker = self.shown.get(epoch).and_then(|s| s.sealings.first()).map(|s| name(&s.by));
        let key = maker.map_or_else(|| "A key".to_owned(), |maker| format!("A key that {maker} made"));
        Some(match self.usable(epoch, entitled).err()? {
            Unused::Missing => format!("{key} has not come to this device yet."),
            Unused::Void => format!("{key} is not used: whoever made it was not entitled to."),
            Unused::Stranger { by, to } => {
                let (by, to) = (name(&by), name(&to.principal()));
                format!("{key} is not used: {by} gave it to {to}, who did not belong here.")
            }
            Unused::Gone(device) => {
                format!(
                    "{key} is not used any more: {} has it and does not belong here now.",
                    name(&device.principal())
                )
            }
        })
    }
}

/// The operations that publish shares.
fn operations(epoch: EpochId, shares: BTreeMap<DeviceId, Share>) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut rest = shares.into_iter().peekable();
    while rest.peek().is_some() {
        let shares = rest.by_ref().take(MAX_SHARES).collect();
        operations.push(Operation::Epoch { epoch, shares });
    }
    operations
}
