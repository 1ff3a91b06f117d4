//! What one device may send: bytes, entries and control frames a second. Whoever sends more is read later, never
//! refused, so that no rate makes two replicas disagree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_crdt::ids::DeviceId;
use cairn_crdt::ledger::note::Note;
use cairn_crdt::sync::frame::Frame;

use crate::limits::{
    COMPARE_COST, CONTROL_FRAME_BYTES, CONTROL_FRAMES, RATES_KEPT, SYNC_BYTES, SYNC_ENTRIES, SYNC_NEW_LOG, SYNC_TRACE,
    TYPING_HEARD,
};
use crate::proto::bucket::Bucket;

#[derive(Debug)]
struct Buckets {
    bytes: Bucket,
    entries: Bucket,
    control: Bucket,
    typing: Bucket,
}

/// The rates of one device. Clones are the same rates.
#[derive(Debug, Clone)]
pub struct Rates(Arc<Mutex<Buckets>>);

impl Rates {
    /// Full buckets.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        let bucket = |(per_second, burst)| Bucket::new(per_second, burst, now);
        let (bytes, entries, control) = (bucket(SYNC_BYTES), bucket(SYNC_ENTRIES), bucket(CONTROL_FRAMES));
        Self(Arc::new(Mutex::new(Buckets { bytes, entries, control, typing: bucket(TYPING_HEARD) })))
    }

    /// A frame of replication of so many bytes was read: how long to wait before it is taken.
    #[must_use]
    pub fn sync(&self, bytes: usize, frame: &Frame, now: Duration) -> Duration {
        let cost = match frame {
            Frame::Entries { entries, .. } => {
                let first = entries.iter().filter(|e| e.header().seq == 1).count();
                entries.len().saturating_add(first.saturating_mul(SYNC_NEW_LOG as usize))
            }
            // Two signatures, and a decision to store.
            Frame::Fork(_) | Frame::Lost(_) | Frame::Note(Note::Contradiction(_)) => SYNC_NEW_LOG as usize,
            // A read of the store.
            Frame::Trace { .. } => SYNC_TRACE as usize,
            // All documents are looked through for each.
            Frame::Digest(_)
            | Frame::Docs { .. }
            | Frame::Ranges { .. }
            | Frame::Listed { .. }
            | Frame::HeldBack(_) => COMPARE_COST,
            // A signature each.
            Frame::Note(Note::Told(told)) => told.len().max(1),
            // A signature, and perhaps a share each.
            Frame::Keys { lacked, .. } => lacked.len().saturating_add(1),
            _ => 1,
        };
        let mut b = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        b.bytes.spend(bytes as f64, now).max(b.entries.spend(cost as f64, now))
    }

    /// Whether a frame that says who writes is heard, or was sent too often.
    #[must_use]
    pub fn typing(&self, now: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).typing.take(now)
    }

    /// A control frame of so many bytes was read: how long to wait before it is taken. A long one counts as several.
    #[must_use]
    pub fn control(&self, bytes: usize, now: Duration) -> Duration {
        let cost = bytes.div_ceil(CONTROL_FRAME_BYTES).max(1);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).control.spend(cost as f64, now)
    }
}

/// The rates of the devices that have or lately had a session.
#[derive(Debug, Default)]
pub struct AllRates(BTreeMap<DeviceId, (Rates, Duration)>);

impl AllRates {
    /// The rates of a device that begins a session now.
    pub fn of(&mut self, device: DeviceId, now: Duration) -> Rates {
        if self.0.len() >= RATES_KEPT && !self.0.contains_key(&device) {
            // Those in use stay; of the rest the one that came longest ago goes.
            let idle = self.0.iter().filter(|(_, (r, _))| Arc::strong_count(&r.0) == 1);
            if let Some(oldest) = idle.min_by_key(|(_, (_, at))| *at).map(|(id, _)| *id) {
                self.0.remove(&oldest);
            }
        }
        let (rates, at) = self.0.entry(device).or_insert_with(|| (Rates::new(now), now));
        *at = now;
        rates.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_delay_and_a_new_session_is_no_new_allowance() {
        let mut all = AllRates::default();
        let (device, now) = (DeviceId([1; 32]), Duration::from_secs(5));
        let (_, burst) = CONTROL_FRAMES;
        let first = all.of(device, now);
        assert!((0..burst).all(|_| first.control(9, now) == Duration::ZERO));
        assert!(all.of(device, now).control(9, now) > Duration::ZERO);
        assert!((0..TYPING_HEARD.1).all(|_| first.typing(now)) && !all.of(device, now).typing(now));
        assert!(first.typing(now + Duration::from_secs(1)));
        let served = Frame::Served(cairn_crdt::ids::DocumentId::chat(1, 0));
        assert_eq!(first.sync(SYNC_BYTES.1 as usize, &served, now), Duration::ZERO);
        assert_eq!(first.sync(SYNC_BYTES.0 as usize, &served, now), Duration::from_secs(1));
    }

    #[test]
    fn rates_of_many_devices_are_bounded() {
        let mut all = AllRates::default();
        for n in 0..u32::try_from(RATES_KEPT).unwrap() + 500 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let _ = all.of(DeviceId(id), Duration::from_millis(n.into()));
        }
        assert_eq!(all.0.len(), RATES_KEPT);
    }
}
