//! Who bears whose name. An index of names that people take for one another (`cairn_crdt::names`), by which two devices
//! of one name are told apart, and the record of devices that took the name of somebody known here.

use std::collections::{BTreeMap, BTreeSet};

use cairn_crdt::ids::DeviceId;
use cairn_crdt::names;

use super::Record;
use crate::store::{Store, StoreError, Table, Write};

/// Rows of [`Table::Meta`]: this and the device that took a name; the value is the device whose name it is.
const TAKEN: &[u8] = b"alike/";

/// The keys of a name.
type Keys = [String; 2];

/// The names of a device.
#[derive(Debug, Default)]
struct Borne {
    /// What it calls itself.
    claimed: Option<Keys>,
    /// What the person here calls it.
    given: Option<Keys>,
}

impl Borne {
    fn of(record: &Record) -> Self {
        let claimed = Some(record.name.as_str()).filter(|n| !n.is_empty()).map(names::keys);
        Self { claimed, given: record.petname.as_deref().map(names::keys) }
    }

    fn shown(&self) -> Option<&Keys> {
        self.given.as_ref().or(self.claimed.as_ref())
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.claimed.iter().chain(&self.given).flatten()
    }
}

fn alike(a: &Keys, b: &Keys) -> bool {
    a.iter().zip(b).any(|(a, b)| a == b)
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Names {
    borne: BTreeMap<DeviceId, Borne>,
    bearers: BTreeMap<String, BTreeSet<DeviceId>>,
    /// Our own name, and whether a person chose it.
    own: Option<(Keys, bool)>,
}

impl Names {
    /// A device bears other names now. Answers who else is to be shown in another way because of that: whoever bore one of
    /// them alone, or does now.
    pub(super) fn set(&mut self, device: DeviceId, record: &Record) -> BTreeSet<DeviceId> {
        let mut touched = self.remove(&device);
        let borne = Borne::of(record);
        for key in borne.all() {
            let bearers = self.bearers.entry(key.clone()).or_default();
            bearers.insert(device);
            if bearers.len() == 2 {
                touched.extend(bearers.iter());
            }
        }
        self.borne.insert(device, borne);
        touched.remove(&device);
        touched
    }

    /// A device is forgotten. Answers as [`Self::set`].
    pub(super) fn remove(&mut self, device: &DeviceId) -> BTreeSet<DeviceId> {
        let mut touched = BTreeSet::new();
        for key in self.borne.remove(device).unwrap_or_default().all() {
            let Some(bearers) = self.bearers.get_mut(key) else { continue };
            bearers.remove(device);
            match bearers.len() {
                0 => drop(self.bearers.remove(key)),
                1 => touched.extend(bearers.iter()),
                _ => {}
            }
        }
        touched
    }

    /// What we are called, and whether a person chose that. Answers whom that may concern.
    pub(super) fn set_own(&mut self, name: &str, chosen: bool) -> BTreeSet<DeviceId> {
        let keys = names::keys(name);
        let before = self.own.replace((keys.clone(), chosen)).map(|(keys, _)| keys);
        let concerned = before.iter().chain([&keys]).flatten().filter_map(|key| self.bearers.get(key));
        concerned.flatten().copied().collect()
    }

    /// Whether another device is shown under the name that this one is, or one like it, so that people need more than the
    /// name. A name that the person here gave stands by itself, unless it was given twice.
    pub(super) fn namesake(&self, device: &DeviceId) -> bool {
        let Some(borne) = self.borne.get(device) else { return false };
        let Some(keys) = borne.shown() else { return false };
        let given = borne.given.is_some();
        if !given && self.own.as_ref().is_some_and(|(own, _)| alike(own, keys)) {
            return true;
        }
        let others = keys.iter().filter_map(|key| self.bearers.get(key)).flatten().filter(|d| *d != device);
        others
            .filter_map(|d| self.borne.get(d))
            .any(|other| (!given || other.given.is_some()) && other.shown().is_some_and(|shown| alike(shown, keys)))
    }

    /// Whether a device calls itself what a person here chose to be called.
    pub(super) fn claims_ours(&self, device: &DeviceId) -> bool {
        let claimed = self.borne.get(device).and_then(|b| b.claimed.as_ref());
        let ours = self.own.as_ref().filter(|(_, chosen)| *chosen).map(|(keys, _)| keys);
        claimed.zip(ours).is_some_and(|(a, b)| alike(a, b))
    }

    /// The other devices that have a name, claimed or given, like the one that this one claims.
    pub(super) fn claimed_of(&self, device: &DeviceId) -> impl Iterator<Item = DeviceId> {
        let claimed = self.borne.get(device).and_then(|b| b.claimed.as_ref());
        let all = claimed.into_iter().flatten().filter_map(|key| self.bearers.get(key)).flatten();
        all.filter(move |d| *d != device).copied()
    }
}

/// Who took whose name.
#[derive(Debug, Default)]
pub(super) struct Taken {
    all: BTreeMap<DeviceId, DeviceId>,
    dirty: BTreeSet<DeviceId>,
}

impl Taken {
    /// Reads what is kept. Rows that cannot be read are dropped.
    pub(super) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let id = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(DeviceId);
        let rows = store.scan(Table::Meta, TAKEN)?.into_iter().take(super::MAX_PEOPLE);
        let all = rows.filter_map(|(key, value)| Some((id(key.get(TAKEN.len()..)?)?, id(&value)?))).collect();
        Ok(Self { all, dirty: BTreeSet::new() })
    }

    /// Whose name a device took.
    pub(super) fn from(&self, device: &DeviceId) -> Option<DeviceId> {
        self.all.get(device).copied()
    }

    /// It took this one's name, or nobody's any more; answers whether that is new.
    pub(super) fn set(&mut self, device: DeviceId, whose: Option<DeviceId>) -> bool {
        let before = match whose {
            Some(whose) => self.all.insert(device, whose),
            None => self.all.remove(&device),
        };
        if before != whose {
            self.dirty.insert(device);
        }
        before != whose
    }

    /// What changed since the last call, to be stored.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = Write> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty.map(|device| {
            let key = [TAKEN, &device.0].concat();
            match self.all.get(&device) {
                Some(whose) => Write::Put(Table::Meta, key, whose.0.to_vec()),
                None => Write::Delete(Table::Meta, key),
            }
        })
    }
}
