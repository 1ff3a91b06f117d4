//! The prekeys of this device: read from the store, made anew each week, and never handed out before they are stored. And
//! the rows in which secrets are kept.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_crdt::ids::{DeviceId, EpochId, SpaceId};
use cairn_crdt::seal::{EpochSecret, Prekey, PrekeyRing};

use crate::store::{Store, StoreError, Table, Write};
use crate::wiring::Wiring;

/// The prekeys of this device.
#[derive(Debug)]
pub struct Prekeys {
    ring: Mutex<PrekeyRing>,
    /// The number of the last one that the store has.
    stored: AtomicU32,
}

impl Prekeys {
    /// None yet.
    #[must_use]
    pub fn new(device: DeviceId) -> Self {
        Self { ring: Mutex::new(PrekeyRing::new(device)), stored: AtomicU32::new(0) }
    }

    /// The ring, while nobody else has it.
    pub fn ring(&self) -> MutexGuard<'_, PrekeyRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last one, and whether the store has it.
    #[must_use]
    pub fn last(&self) -> Option<(Prekey, bool)> {
        let last = self.ring().last().map(|(prekey, _)| *prekey)?;
        Some((last, last.number <= self.stored.load(Ordering::Relaxed)))
    }

    /// The store has those up to a number.
    pub fn stored(&self, number: u32) {
        self.stored.fetch_max(number, Ordering::Relaxed);
    }

    /// What keeps the ring, private halves among it.
    #[must_use]
    pub fn write(&self) -> Write {
        let ring = self.ring();
        Write::Put(Table::Prekeys, ring.device().0.to_vec(), ring.encode().to_vec())
    }

    /// Reads what is stored. What cannot be read is left aside under another key; new ones are made then, of numbers
    /// past those that others know.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn load(&self, wiring: &Wiring) -> Result<Option<Write>, StoreError> {
        let me = wiring.me;
        let Some(row) = wiring.store.get(Table::Prekeys, &me.0)? else { return Ok(None) };
        match PrekeyRing::decode(me, &row) {
            Ok(ring) => {
                self.stored(ring.last().map_or(0, |(prekey, _)| prekey.number));
                *self.ring() = ring;
                Ok(None)
            }
            Err(e) => {
                let sentence = format!("Keys of this device cannot be read ({e}); others seal to new ones.");
                wiring.trouble("prekeys", Some(sentence));
                Ok(Some(Write::Put(Table::Prekeys, [&me.0[..], b"damaged"].concat(), row)))
            }
        }
    }

    /// Makes a new one where it is time; answers whether there is one that the store does not have.
    pub fn renew(&self, wiring: &Wiring) -> bool {
        let (now, random) = (wiring.mesh_ms(), wiring.env.random());
        let mut ring = self.ring();
        if ring.is_due(now) {
            let prekey = ring.make(&wiring.key, now, &random);
            // It is published as soon as it is stored.
            ring.published(prekey.number, now);
        }
        drop(ring);
        self.last().is_some_and(|(_, stored)| !stored)
    }
}

/// The key of [`Table::Keys`] for an epoch.
fn row(space: &SpaceId, epoch: &EpochId) -> Vec<u8> {
    [&space.0[..], &epoch.0].concat()
}

/// What keeps a secret.
#[must_use]
pub fn keep(space: &SpaceId, secret: &EpochSecret) -> Write {
    Write::Put(Table::Keys, row(space, &secret.id(space)), secret.expose().to_vec())
}

/// What lets go of one for good.
#[must_use]
pub fn drop_secret(space: &SpaceId, epoch: &EpochId) -> Write {
    Write::Put(Table::Keys, row(space, epoch), Vec::new())
}

/// The secrets of a space, and the epochs whose secrets were let go.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub fn of(space: &SpaceId, store: &dyn Store) -> Result<(Vec<EpochSecret>, Vec<EpochId>), StoreError> {
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (key, value) in store.scan(Table::Keys, &space.0)? {
        let Some(epoch) = key.get(32..).and_then(|e| <[u8; 32]>::try_from(e).ok()).map(EpochId) else { continue };
        match <[u8; 32]>::try_from(value.as_slice()) {
            // Another secret than the row's key says is a damaged row: the key comes again from others.
            Ok(secret) => kept.extend(Some(EpochSecret::new(secret)).filter(|s| s.id(space) == epoch)),
            Err(_) => dropped.extend(value.is_empty().then_some(epoch)),
        }
    }
    Ok((kept, dropped))
}
