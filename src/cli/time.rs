//! Times: milliseconds since 1970 to RFC 3339 and to what people read, and back.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Now, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A stamp may claim any year; what lies past the last year that can be written is shown as the last.
fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// RFC 3339, UTC, with milliseconds.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    format!("{:.3}", timestamp(ms))
}

/// The day as people read it, like `Friday 20 November 2026`.
#[must_use]
pub fn day(ms: u64, zone: &TimeZone) -> String {
    timestamp(ms).to_zoned(zone.clone()).strftime("%A %-d %B %Y").to_string()
}

/// The time of day, like `14:03`.
#[must_use]
pub fn clock(ms: u64, zone: &TimeZone) -> String {
    timestamp(ms).to_zoned(zone.clone()).strftime("%H:%M").to_string()
}

/// How long ago, in one unit.
#[must_use]
pub fn ago(then: u64, now: u64) -> String {
    let seconds = now.saturating_sub(then) / 1000;
    match seconds {
        0..10 => "just now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A point in time given as RFC 3339 or as a duration back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Milliseconds since 1970.
    At(u64),
    /// Back from now.
    Ago(Duration),
}

impl Since {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(self, now: u64) -> u64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(d) => now.saturating_sub(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// Text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time like 2026-11-20 or 2026-11-20T08:00:00Z, or a duration like 10m, 2h, 1d")]
pub struct BadTime;

impl FromStr for Since {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        if let Ok(t) = text.parse::<Timestamp>() {
            return Ok(Self::At(u64::try_from(t.as_millisecond()).unwrap_or(0)));
        }
        // A date alone: where its day begins in UTC.
        if text.len() == 10
            && let Ok(t) = format!("{text}T00:00:00Z").parse::<Timestamp>()
        {
            return Ok(Self::At(u64::try_from(t.as_millisecond()).unwrap_or(0)));
        }
        let (mut total, mut number) = (0u64, None::<u64>);
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                let n = number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(digit)));
                number = Some(n.ok_or(BadTime)?);
            } else {
                let unit: u64 = match c {
                    's' => 1,
                    'm' => 60,
                    'h' => 3600,
                    'd' => 86_400,
                    'w' => 604_800,
                    _ => return Err(BadTime),
                };
                let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or(BadTime)?;
                total = total.checked_add(part).ok_or(BadTime)?;
            }
        }
        if number.is_some() || text.is_empty() { Err(BadTime) } else { Ok(Self::Ago(Duration::from_secs(total))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_print_as_rfc_3339_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_161_600_007), "2026-11-20T08:00:00.007Z");
        // A stamp from the year 10889 and worse.
        assert!(rfc3339((1 << 48) - 1).starts_with("9999-12-3"));
        assert!(rfc3339(u64::MAX).starts_with("9999-12-3"));
    }

    #[test]
    fn people_read_days_and_hours_of_their_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(day(1_795_161_600_000, &zone), "Friday 20 November 2026");
        assert_eq!(clock(1_795_161_600_000, &zone), "09:00");
        assert!(!day(u64::MAX, &zone).is_empty());
    }

    #[test]
    fn distances_have_one_unit() {
        let now = 1_000_000_000;
        for (seconds, text) in [
            (3, "just now"),
            (59, "59 s ago"),
            (125, "2 min ago"),
            (7_300, "2 h ago"),
            (90_000, "yesterday"),
            (300_000, "3 days ago"),
        ] {
            assert_eq!(ago(now - seconds * 1000, now), text);
        }
        assert_eq!(ago(now + 60_000, now), "just now");
    }

    #[test]
    fn since_takes_times_and_durations() {
        let ago = |s| Ok(Since::Ago(Duration::from_secs(s)));
        assert_eq!("10m".parse(), ago(600));
        assert_eq!("1h30m".parse(), ago(5400));
        assert_eq!("1d".parse(), ago(86_400));
        assert_eq!("2026-11-20T09:00:00+01:00".parse(), Ok(Since::At(1_795_161_600_000)));
        assert_eq!("1969-01-01T00:00:00Z".parse(), Ok(Since::At(0)));
        for bad in
            ["", "10", "m", "10x", "-3h", "99999999999999999999d", "1234567890123456789w", "2026-13-01T00:00:00Z"]
        {
            assert_eq!(bad.parse::<Since>(), Err(BadTime), "{bad}");
        }
        assert_eq!(Since::Ago(Duration::from_secs(u64::MAX)).ms(5), 0);
    }
}
