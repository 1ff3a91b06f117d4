//! The order of messages: the same on every device that holds the same entries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hlc::{Hlc, MAX_AHEAD_MS};
use crate::ids::{DeviceId, MessageId};

/// The place of a message in its conversation: stamp, then device, then id.
///
/// As text `stamp.device.id`, the stamp as 16 hexadecimal digits; texts sort as keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// max(HLC, stamp of `after` plus one).
    pub stamp: Hlc,
    /// The author.
    pub device: DeviceId,
    /// The message.
    pub id: MessageId,
}

impl OrderKey {
    /// Before every message.
    pub const MIN: Self = Self { stamp: Hlc(0), device: DeviceId([0; 32]), id: MessageId([0; 16]) };
    /// After every message.
    pub const MAX: Self = Self { stamp: Hlc(u64::MAX), device: DeviceId([0xff; 32]), id: MessageId([0xff; 16]) };

    /// The greatest key of an earlier stamp.
    #[must_use]
    pub fn earlier(&self) -> Self {
        match self.stamp.0.checked_sub(1) {
            Some(stamp) => Self { stamp: Hlc(stamp), ..Self::MAX },
            None => Self::MIN,
        }
    }

    /// The key of a message written at `hlc` after `after` by `device`. A foreign `after` that is more than 2 minutes
    /// ahead of the message's own stamp is not honoured, so nobody can push a reply into the far future.
    #[must_use]
    pub fn of(hlc: Hlc, after: Option<Hlc>, device: DeviceId, id: MessageId) -> Self {
        let stamp = match after {
            Some(a) if honoured(a, hlc) => hlc.max(a.next()),
            _ => hlc,
        };
        Self { stamp, device, id }
    }

    /// The greatest key below this one; the least key stays itself.
    #[must_use]
    pub fn before(self) -> Self {
        if let Some(id) = u128::from_be_bytes(self.id.0).checked_sub(1) {
            return Self { id: MessageId(id.to_be_bytes()), ..self };
        }
        let mut device = self.device.0;
        for byte in device.iter_mut().rev() {
            let (less, borrowed) = byte.overflowing_sub(1);
            *byte = less;
            if !borrowed {
                return Self { device: DeviceId(device), id: Self::MAX.id, ..self };
            }
        }
        self.stamp.0.checked_sub(1).map_or(Self::MIN, |stamp| Self { stamp: Hlc(stamp), ..Self::MAX })
    }
}

impl Default for OrderKey {
    fn default() -> Self {
        Self::MIN
    }
}

/// Whether `after` may push a message that was written at `hlc`.
fn honoured(after: Hlc, hlc: Hlc) -> bool {
    after.ms() <= hlc.ms().saturating_add(MAX_AHEAD_MS)
}

/// The greatest stamp that a message written at `hlc` can have.
#[must_use]
pub fn latest_stamp(hlc: Hlc) -> Hlc {
    Hlc::from_ms(hlc.ms().saturating_add(MAX_AHEAD_MS).saturating_add(1)).next().max(hlc)
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}.{}", self.stamp.0, self.device, self.id)
    }
}

/// Text that is not an order key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a message: expected stamp.device.id")]
pub struct ParseOrderKeyError;

impl FromStr for OrderKey {
    type Err = ParseOrderKeyError;
    fn from_str(text: &str) -> Result<Self, ParseOrderKeyError> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(ParseOrderKeyError);
        let stamp = next()?;
        if stamp.len() != 16 || !stamp.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseOrderKeyError);
        }
        let stamp = Hlc(u64::from_str_radix(stamp, 16).map_err(|_| ParseOrderKeyError)?);
        let device = next()?.parse().map_err(|_| ParseOrderKeyError)?;
        let id = next()?.parse().map_err(|_| ParseOrderKeyError)?;
        if parts.next().is_some() { Err(ParseOrderKeyError) } else { Ok(Self { stamp, device, id }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_sorts_as_the_key_does_and_comes_back() {
        let key = |s: u64, d: u8, m: u8| OrderKey { stamp: Hlc(s), device: DeviceId([d; 32]), id: MessageId([m; 16]) };
        let keys = [key(0, 0, 0), key(9, 200, 1), key(10, 1, 1), key(10, 1, 2), key(10, 2, 0), OrderKey::MAX];
        for pair in keys.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string());
        }
        for k in keys {
            assert_eq!(k.to_string().parse::<OrderKey>(), Ok(k));
        }
        for bad in ["", "1", "+000000000000001.x.y", "000000000000000A"] {
            assert!(bad.parse::<OrderKey>().is_err());
        }
        assert!(format!("{}.x", keys[0]).parse::<OrderKey>().is_err());
    }

    #[test]
    fn the_key_before_is_the_next_lower_one() {
        let key = |s: u64, d: u8, m: u8| OrderKey { stamp: Hlc(s), device: DeviceId([d; 32]), id: MessageId([m; 16]) };
        for k in [key(9, 2, 1), key(9, 2, 0), key(9, 0, 0), key(0, 0, 1), OrderKey::MAX] {
            let b = k.before();
            assert!(b < k, "{k}");
            // Nothing lies between: one more in the last place that counts is the key again.
            let next = (u128::from_be_bytes(b.id.0).checked_add(1))
                .map(|id| OrderKey { id: MessageId(id.to_be_bytes()), ..b });
            assert!(next.is_none_or(|n| n == k) && (next.is_some() || k.id == OrderKey::MIN.id), "{k}");
        }
        let mut low = key(9, 0, 0);
        low.device.0[31] = 1;
        assert_eq!(low.before().device, DeviceId([0; 32]));
        assert_eq!(key(9, 0, 0).before().stamp, Hlc(8));
        assert_eq!(OrderKey::MIN.before(), OrderKey::MIN);
    }

    #[test]
    fn after_pushes_by_two_minutes_at_most() {
        let (d, m, hlc) = (DeviceId([1; 32]), MessageId([2; 16]), Hlc::from_ms(1_000_000));
        assert_eq!(OrderKey::of(hlc, None, d, m).stamp, hlc);
        assert_eq!(OrderKey::of(hlc, Some(Hlc::from_ms(999_999)), d, m).stamp, hlc);
        let near = Hlc(Hlc::from_ms(1_120_000).0 + 0xffff);
        assert_eq!(OrderKey::of(hlc, Some(near), d, m).stamp, near.next());
        assert!(OrderKey::of(hlc, Some(near), d, m).stamp <= latest_stamp(hlc));
        assert_eq!(OrderKey::of(hlc, Some(Hlc::from_ms(1_120_001)), d, m).stamp, hlc);
        assert_eq!(OrderKey::of(hlc, Some(Hlc(u64::MAX)), d, m).stamp, hlc);
    }
}
