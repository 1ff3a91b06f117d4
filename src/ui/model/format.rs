//! Words and times as people read them. Everything takes the time and the time zone as arguments.

use cairn_actors::api::{Badge, DeliveryState, LinkState, Message, Peer, PeerState, Status};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::ThemeChoice;
pub use crate::words::{count, thousands};

/// When and where "now" is, for views.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Milliseconds since 1970.
    pub now: u64,
    /// The local time zone.
    pub zone: TimeZone,
}

impl Clock {
    /// A time in the local zone; times that no calendar has become 1970.
    #[must_use]
    pub fn local(&self, ms: u64) -> Zoned {
        let stamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        stamp.to_zoned(self.zone.clone())
    }

    fn days_ago(&self, ms: u64) -> i64 {
        let (today, then) = (self.local(self.now).date(), self.local(ms).date());
        then.until(today).map_or(i64::MAX, |span| i64::from(span.get_days()))
    }

    /// "14:06".
    #[must_use]
    pub fn time(&self, ms: u64) -> String {
        self.local(ms).strftime("%H:%M").to_string()
    }

    /// The time today, the weekday this week, else the date: what stands at the right of a list row.
    #[must_use]
    pub fn short(&self, ms: u64) -> String {
        let t = self.local(ms);
        match self.days_ago(ms) {
            0 => t.strftime("%H:%M").to_string(),
            1..=6 => t.strftime("%a").to_string(),
            _ if t.year() == self.local(self.now).year() => t.strftime("%-d %b").to_string(),
            _ => t.strftime("%-d %b %Y").to_string(),
        }
    }

    /// The line between two days: "Friday, 20 November".
    #[must_use]
    pub fn day(&self, ms: u64) -> String {
        let t = self.local(ms);
        match self.days_ago(ms) {
            0 => t.strftime("Today, %-d %B").to_string(),
            1 => t.strftime("Yesterday, %-d %B").to_string(),
            _ if t.year() == self.local(self.now).year() => t.strftime("%A, %-d %B").to_string(),
            _ => t.strftime("%A, %-d %B %Y").to_string(),
        }
    }

    /// Day and time, for tooltips and details.
    #[must_use]
    pub fn full(&self, ms: u64) -> String {
        if self.days_ago(ms) == 0 { self.time(ms) } else { format!("{} {}", self.short(ms), self.time(ms)) }
    }

    /// Whether two times are on different local days.
    #[must_use]
    pub fn other_day(&self, a: u64, b: u64) -> bool {
        self.local(a).date() != self.local(b).date()
    }
}

/// What happened to one of our messages, at the right edge of its row.
#[must_use]
pub fn delivery(m: &Message) -> String {
    match m.state {
        DeliveryState::Queued => "queued".into(),
        DeliveryState::Carried => format!("carried by {}", m.carried_by),
        DeliveryState::Read if m.members <= 1 => "read".into(),
        DeliveryState::Delivered if m.members <= 1 => "delivered".into(),
        DeliveryState::Delivered => format!("{} of {}", m.delivered_to, m.members),
        DeliveryState::Read => format!("read {} of {}", m.read_by, m.members),
    }
}

/// The same in a sentence, for the details and for screen readers.
#[must_use]
pub fn delivery_sentence(m: &Message) -> String {
    match m.state {
        DeliveryState::Queued if m.is_final.is_some() => {
            "Saved here; goes when you two are connected. Nobody carries direct messages yet".into()
        }
        DeliveryState::Queued if m.members == 0 => "Saved here; nobody else is in this room yet".into(),
        DeliveryState::Queued => "Saved here; goes out when somebody is in reach".into(),
        DeliveryState::Carried => {
            format!("Carried by {}, who will pass it on", count(u64::from(m.carried_by), "other", "others"))
        }
        DeliveryState::Delivered if m.members > 1 => format!("Delivered to {} of {}", m.delivered_to, m.members),
        DeliveryState::Read if m.members > 1 => {
            format!("Delivered to {} of {}, read by {}", m.delivered_to, m.members, m.read_by)
        }
        DeliveryState::Delivered => "Delivered".into(),
        DeliveryState::Read => "Read".into(),
    }
}

/// What our clock is corrected by, where that can be noticed and is no trouble yet: "Mesh time +2.1 s".
#[must_use]
pub fn mesh_time(offset_ms: i64) -> Option<String> {
    let by = offset_ms.unsigned_abs();
    let sign = if offset_ms < 0 { '−' } else { '+' };
    (1_000..=120_000).contains(&by).then(|| format!("Mesh time {sign}{}.{} s", by / 1_000, by % 1_000 / 100))
}

/// Whether somebody is here.
#[must_use]
pub fn presence(state: PeerState) -> &'static str {
    match state {
        PeerState::Online => "here",
        PeerState::Away => "away",
        PeerState::Offline => "not here",
    }
}

/// Whether somebody is here, and when they were heard.
#[must_use]
pub fn presence_line(peer: &Peer, clock: &Clock) -> String {
    match (peer.state, peer.last_seen) {
        (PeerState::Online, _) => "Here now".into(),
        (PeerState::Away, _) => "Away".into(),
        (PeerState::Offline, Some(at)) => format!("Last heard {}", clock.full(at)),
        (PeerState::Offline, None) => "Not heard yet".into(),
    }
}

/// What a badge is called.
#[must_use]
pub fn badge(badge: Badge) -> &'static str {
    match badge {
        Badge::Warning => "warning",
        Badge::Unknown => "unknown",
        Badge::Contact => "contact",
        Badge::Verified => "verified",
    }
}

/// What a choice of colours is called.
#[must_use]
pub fn theme_name(choice: ThemeChoice) -> &'static str {
    match choice {
        ThemeChoice::System => "Like the system",
        ThemeChoice::Light => "Light",
        ThemeChoice::Dark => "Dark",
        ThemeChoice::Sunlight => "Sunlight",
        ThemeChoice::Night => "Night",
    }
}

/// What a badge means.
#[must_use]
pub fn badge_sentence(badge: Badge) -> &'static str {
    match badge {
        Badge::Warning => "Uses the name of somebody you know, or yours, but is another device.",
        Badge::Unknown => "New here. Names are not unique: compare safety numbers.",
        Badge::Contact => "Seen before with the same key.",
        Badge::Verified => "You compared safety numbers, or read its code.",
    }
}

/// Milliseconds of a round trip, with as many digits as mean something.
#[must_use]
pub fn round_trip(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// The left of the status line.
#[must_use]
pub fn link(status: Option<&Status>) -> String {
    match status {
        None => "Starting".into(),
        Some(s) => match s.link {
            LinkState::Online => match s.peers_online {
                1 => "Online · 1 other here".into(),
                n => format!("Online · {n} others here"),
            },
            LinkState::Alone => "Alone, looking for others".into(),
            LinkState::NoNetwork => "No network: plug in a cable or join a Wi-Fi".into(),
        },
    }
}

/// Up to two letters for a picture: initials of the first and last word, or one ideograph.
#[must_use]
pub fn initials(name: &str) -> String {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let first = words.first().and_then(|w| w.chars().next());
    let last = if words.len() > 1 { words.last().and_then(|w| w.chars().next()) } else { None };
    match (first, last) {
        (Some(a), _) if is_wide(a) => a.to_string(),
        (Some(a), Some(b)) if !is_wide(b) => a.to_uppercase().chain(b.to_uppercase()).collect(),
        (Some(a), None) => {
            let second = words.first().and_then(|w| w.chars().nth(1)).filter(|c| !is_wide(*c));
            a.to_uppercase().chain(second.into_iter().flat_map(char::to_uppercase)).collect()
        }
        (Some(a), _) => a.to_uppercase().collect(),
        (None, _) => name.chars().next().map(String::from).unwrap_or_default(),
    }
}

fn is_wide(c: char) -> bool {
    ('\u{2e80}'..='\u{ffdc}').contains(&c) || c >= '\u{20000}'
}

fn its_key(n: u64) -> &'static str {
    if n == 1 { "its key has not come" } else { "their key has not come" }
}

/// What stands in the place of messages that cannot be read: they need a newer Cairn, or their keys have not come.
#[must_use]
pub fn unreadable(m: &Message) -> String {
    match (m.is_placeholder(), m.body.is_empty()) {
        (true, _) if m.needs_key > 0 => {
            format!("{} cannot be read yet: {}", count(m.needs_key, "message", "messages"), its_key(m.needs_key))
        }
        (true, _) if m.needs_newer == 1 => "1 message needs a newer Cairn".into(),
        (true, _) => format!("{} messages need a newer Cairn", thousands(m.needs_newer)),
        (false, true) => "This message needs a newer Cairn".into(),
        // A kind of message to come may bring words for those who do not know it.
        (false, false) => format!("This message needs a newer Cairn: {}", m.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sample;

    #[test]
    fn days_and_times_are_local() {
        // 2026-11-20 12:00 UTC is 13:00 in a zone one hour east.
        let clock = Clock { now: sample::NOON, zone: TimeZone::fixed(jiff::tz::offset(1)) };
        let hour = 3_600_000;
        assert_eq!(clock.time(sample::NOON), "13:00");
        assert_eq!(clock.day(sample::NOON), "Today, 20 November");
        assert_eq!(clock.day(sample::NOON - 24 * hour), "Yesterday, 19 November");
        assert_eq!(clock.day(sample::NOON - 72 * hour), "Tuesday, 17 November");
        assert_eq!(clock.day(sample::NOON - 400 * 24 * hour), "Thursday, 16 October 2025");
        assert_eq!(clock.short(sample::NOON - hour), "12:00");
        assert_eq!(clock.short(sample::NOON - 30 * hour), "Thu");
        assert_eq!(clock.short(sample::NOON - 400 * 24 * hour), "16 Oct 2025");
        // 23:30 UTC is already the next day there.
        assert!(clock.other_day(sample::NOON + 10 * hour, sample::NOON + 11 * hour + 1_800_000));
        assert_eq!(clock.full(sample::NOON - hour), "12:00");
        assert_eq!(clock.full(sample::NOON - 30 * hour), "Thu 07:00");
        assert_eq!(clock.time(u64::MAX), "01:00", "a stamp that no calendar has");
    }

    #[test]
    fn initials_of_all_kinds_of_names() {
        let cases = [
            ("Maya Okafor", "MO"),
            ("张伟", "张"),
            ("desk-17", "D1"),
            ("linh", "LI"),
            ("J. Pelletier", "JP"),
            ("", ""),
            ("🙂", "🙂"),
            ("Jean-Luc de la Tour", "JT"),
        ];
        for (name, want) in cases {
            assert_eq!(initials(name), want, "{name}");
        }
    }

    #[test]
    fn delivery_tells_the_truth() {
        let mut m = sample::message(1);
        (m.members, m.delivered_to, m.state) = (5, 3, DeliveryState::Delivered);
        assert_eq!(delivery(&m), "3 of 5");
        assert_eq!(delivery_sentence(&m), "Delivered to 3 of 5");
        (m.members, m.delivered_to, m.state) = (1, 1, DeliveryState::Read);
        assert_eq!(delivery(&m), "read");
        (m.members, m.delivered_to, m.read_by) = (9, 7, 3);
        assert_eq!(delivery(&m), "read 3 of 9");
        assert_eq!(delivery_sentence(&m), "Delivered to 7 of 9, read by 3");
        (m.state, m.delivered_to, m.carried_by) = (DeliveryState::Carried, 0, 1);
        assert_eq!(
            (delivery(&m).as_str(), delivery_sentence(&m).as_str()),
            ("carried by 1", "Carried by 1 other, who will pass it on")
        );
        m.state = DeliveryState::Queued;
        assert_eq!(delivery(&m), "queued");
        assert_eq!(unreadable(&sample::placeholder(1, 0)), "1 message needs a newer Cairn");
        assert_eq!(unreadable(&sample::placeholder(3, 0)), "3 messages need a newer Cairn");
        let mut locked = sample::placeholder(0, 0);
        locked.needs_key = 1;
        assert_eq!(unreadable(&locked), "1 message cannot be read yet: its key has not come");
        locked.needs_key = 1_200;
        assert_eq!(unreadable(&locked), "1,200 messages cannot be read yet: their key has not come");
        m.is_final = Some(false);
        assert!(delivery_sentence(&m).ends_with("Nobody carries direct messages yet"));
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "message", "messages"), "1 message");
        assert_eq!((mesh_time(2_140).as_deref(), mesh_time(-999)), (Some("Mesh time +2.1 s"), None));
    }
}
