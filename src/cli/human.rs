//! What people read on a terminal: aligned, short, calm. Everything that comes from others passes [`plain`].

use cairn_actors::api::{
    BackedUp, Badge, Compacted, Custody, DeliveryState, DocumentCustody, Event, Finding, Health, LinkState, Message,
    Network, NetworkState, Peer, PeerState, Receipt, Restored, Retention, Said, Status, Version,
};
use cairn_actors::care::checkup::size;
use cairn_actors::proto::clock as skew;
use jiff::tz::TimeZone;

use super::text::{Style, pad, plain, plain_lines, table};
use super::time::{ago, clock, day};
use crate::words::{catch_up, count};

mod about;
mod briefing;
mod group;
mod network_key;
mod verify;

pub use about::liking;
pub use briefing::briefing;
pub use group::{group, group_line, group_log, invitation};
pub use network_key::network_key;
pub use verify::{safety, verified};

/// People named in a sentence before "and n more".
const NAMED: usize = 3;

fn link(s: &Status) -> String {
    match s.link {
        LinkState::Online => format!("online with {}", count(u64::from(s.peers_online), "peer", "peers")),
        LinkState::Alone => "alone, looking for others".to_owned(),
        LinkState::NoNetwork => "no network".to_owned(),
    }
}

/// `status`.
#[must_use]
pub fn status(s: &Status, running: bool, style: Style) -> Vec<String> {
    let mut rows = vec![("name", format!("{} ({})", style.bold(&plain(&s.name)), s.code))];
    rows.push(("state", if running { link(s) } else { "not running".to_owned() }));
    if running {
        rows.push(("port", format!("{}/udp", s.port)));
        for i in &s.interfaces {
            let addresses: Vec<String> = i.addresses.iter().map(ToString::to_string).collect();
            rows.push(("interface", format!("{} {}", plain(&i.name), addresses.join(", "))));
        }
    }
    if running && let Some(words) = skew::own(s.clock_offset_ms) {
        rows.push(("clock", words));
    }
    rows.push(("data", plain(&s.data.to_string_lossy())));
    rows.push(("id", s.id.to_string()));
    rows.push(("version", plain(&s.version)));
    if let Some(key) = &s.network_key {
        rows.extend(network_key(Some(key)).into_iter().map(|line| ("key", line)));
    }
    for c in &s.catching_up {
        rows.push(("coming", format!("{}: {}", plain(&c.title), plain(&catch_up(c)))));
    }
    if let Some(c) = &s.compacted {
        rows.push(("store", format!("{}: {}", super::time::rfc3339(c.at), compacted(&c.room))));
    }
    if s.needs_newer > 0 {
        rows.push(("newer", style.yellow(&needs_newer(s.needs_newer, "entry", "entries"))));
    }
    for t in &s.troubles {
        rows.push(("trouble", style.yellow(&plain(t))));
    }
    rows.into_iter().map(|(key, value)| format!("{}  {value}", style.dim(&pad(key, 9)))).collect()
}

/// `whoami`.
#[must_use]
pub fn whoami(s: &Status, style: Style) -> Vec<String> {
    vec![format!("{} ({})", style.bold(&plain(&s.name)), s.code), style.dim(&s.id.to_string())]
}

/// `doctor`: what was looked at, and how it is.
pub fn findings(all: &[Finding], style: Style) -> impl Iterator<Item = String> + '_ {
    all.iter().map(move |f| {
        let state = match f.health {
            Health::Ok => style.green(&pad("ok", 7)),
            Health::Warning => style.yellow(&pad("look", 7)),
            Health::Damaged => style.bold(&pad("damaged", 7)),
        };
        format!("{state}  {}  {}", pad(&f.check, 10), plain(&f.message))
    })
}

/// `doctor --compact`.
#[must_use]
pub fn compacted(c: &Compacted) -> String {
    format!("the store went from {} to {}", size(c.before), size(c.after))
}

/// `backup`.
#[must_use]
pub fn backed_up(b: &BackedUp) -> Vec<String> {
    let what = count(b.entries, "entry", "entries");
    vec![
        format!(
            "saved {what} and the key of {} to {} ({})",
            b.id.code(),
            plain(&b.file.to_string_lossy()),
            size(b.bytes)
        ),
        "Whoever has this file can be this device: keep it where only you can read it.".to_owned(),
    ]
}

/// `restore`.
#[must_use]
pub fn restored(r: &Restored) -> Vec<String> {
    let what = count(r.entries, "entry", "entries");
    let mut lines = vec![format!("this is {} now, with {what} as of {}", r.id.code(), super::time::rfc3339(r.created))];
    lines.extend(r.kept.as_ref().map(|k| format!("what was here before is kept in {}", plain(&k.to_string_lossy()))));
    lines.push(
        "What was written after the backup comes back from other devices. If the old machine still runs, stop it."
            .into(),
    );
    lines
}

fn badge(b: Badge) -> &'static str {
    match b {
        Badge::Warning => "WARNING",
        Badge::Unknown => "unknown",
        Badge::Contact => "contact",
        Badge::Verified => "verified",
    }
}

fn rtt(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// `peers`.
#[must_use]
pub fn peers(peers: &[Peer], now: u64, style: Style) -> Vec<String> {
    if peers.is_empty() {
        return vec!["Nobody has been seen yet.".to_owned()];
    }
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|p| {
            let state = match (p.state, p.last_seen) {
                (PeerState::Online, _) => "online".to_owned(),
                (PeerState::Away, _) => "away".to_owned(),
                (PeerState::Offline, Some(at)) => format!("seen {}", ago(at, now)),
                (PeerState::Offline, None) => "offline".to_owned(),
            };
            vec![
                plain(&p.name),
                p.code.clone(),
                state,
                badge(p.badge).to_owned(),
                p.address.map(|a| a.to_string()).unwrap_or_default(),
                p.rtt_ms.filter(|_| p.state != PeerState::Offline).map(rtt).unwrap_or_default(),
                p.clock_offset_ms.and_then(skew::words).map(|w| format!("clock {w}")).unwrap_or_default(),
            ]
        })
        .collect();
    let lines = peers.iter().zip(table(&rows)).map(|(p, line)| match p.state {
        PeerState::Online => format!("{} {line}", style.green("●")),
        PeerState::Away => format!("{} {line}", style.yellow("◐")),
        PeerState::Offline => style.dim(&format!("○ {line}")),
    });
    let warnings = peers.iter().filter_map(|p| p.warning.as_ref()).map(|w| style.yellow(&plain(&w.sentence)));
    lines.chain(warnings).collect()
}

/// What stands behind the name of somebody else's message.
fn mark(m: &Message, style: Style) -> String {
    match m.badge {
        _ if m.mine => String::new(),
        Badge::Verified => style.green(" ✓"),
        Badge::Contact => String::new(),
        Badge::Unknown => style.dim(" ?"),
        Badge::Warning => style.yellow(" ⚠"),
    }
}

/// What became of a message at one, in a word.
#[must_use]
pub fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Queued => "queued",
        DeliveryState::Carried => "carried",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Read => "read",
    }
}

/// What became of a message, in words.
#[must_use]
pub fn delivery(m: &Message) -> String {
    match m.state {
        DeliveryState::Carried => format!("carried by {}", m.carried_by),
        DeliveryState::Delivered | DeliveryState::Read if m.members != 1 => {
            let read = if m.read_by > 0 { format!(", read by {}", m.read_by) } else { String::new() };
            format!("delivered to {} of {}{read}", m.delivered_to, m.members)
        }
        other => state(other).to_owned(),
    }
}

/// `say`.
#[must_use]
pub fn said(s: &Said, title: &str, style: Style) -> String {
    format!("{} in {}  {}", state(s.state), plain(title), style.dim(&s.id.to_string()))
}

/// That something needs a newer Cairn.
fn needs_newer(n: u64, one: &str, many: &str) -> String {
    format!("{} {} a newer Cairn", count(n, one, many), if n == 1 { "needs" } else { "need" })
}

/// That keys have not come.
fn needs_key(n: u64) -> String {
    let key = if n == 1 { "its key has" } else { "their key has" };
    format!("{} cannot be read yet: {key} not come", count(n, "message", "messages"))
}

/// Prints messages with a line where the day changes.
#[derive(Debug)]
pub struct LogLines {
    zone: TimeZone,
    style: Style,
    day: Option<String>,
}

impl LogLines {
    /// Lines in a time zone.
    #[must_use]
    pub fn new(zone: TimeZone, style: Style) -> Self {
        Self { zone, style, day: None }
    }

    /// The lines of one message: the day where it changes, then time, author and text; the text's further lines are
    /// indented below the first.
    pub fn message(&mut self, m: &Message) -> Vec<String> {
        let mut lines = Vec::new();
        let today = day(m.sent, &self.zone);
        if self.day.as_ref() != Some(&today) {
            lines.push(self.style.dim(&format!("— {today} —")));
            self.day = Some(today);
        }
        if m.is_placeholder() {
            let why = match m.needs_key {
                0 => needs_newer(m.needs_newer, "message", "messages"),
                n => needs_key(n),
            };
            lines.push(self.style.dim(&format!("— {why} —")));
            return lines;
        }
        let time = self.style.dim(&clock(m.sent, &self.zone));
        let name = plain(&m.author_name);
        if let Some(q) = &m.about.reply_to {
            lines.push(self.style.dim(&format!("       ↳ {}", about::quote(q))));
        }
        // A kind of message to come may bring words for those who do not know it.
        let body = match (m.about.deleted, m.needs_newer) {
            (true, _) => "(deleted)".to_owned(),
            (_, 0) => m.body.clone(),
            _ => format!("(needs a newer Cairn) {}", m.body),
        };
        let mut text = plain_lines(&body);
        let (name, mark) = (self.style.bold(&name), mark(m, self.style));
        let mut first = format!("{time}  {name}{mark}  {}", text.next().unwrap_or_default());
        let rest: Vec<String> = text.map(|l| format!("       {l}")).collect();
        let late = if m.late { self.style.yellow("  · late") } else { String::new() };
        let state = m.mine.then(|| self.style.dim(&format!("  · {}", delivery(m))));
        let edited = if m.about.edited.is_some() { self.style.dim("  · edited") } else { String::new() };
        let state = Some(format!("{edited}{}{late}", state.unwrap_or_default())).filter(|s| !s.is_empty());
        if rest.is_empty() {
            first.push_str(&state.unwrap_or_default());
            lines.push(first);
        } else {
            lines.push(first);
            lines.extend(rest);
            if let (Some(last), Some(state)) = (lines.last_mut(), state) {
                last.push_str(&state);
            }
        }
        lines.extend(about::reactions(&m.about).map(|r| format!("       {r}")));
        lines
    }

    /// What a message said before.
    pub fn versions<'a>(&'a self, all: &'a [Version]) -> impl Iterator<Item = String> + 'a {
        // The last is what it says now.
        all.iter().take(all.len().saturating_sub(1)).map(|v| self.style.dim(&about::version(v, &self.zone)))
    }
}

/// `receipts`.
#[must_use]
pub fn receipts(receipts: &[Receipt], now: u64) -> Vec<String> {
    if receipts.is_empty() {
        return vec!["Nobody else is there to receive it yet.".to_owned()];
    }
    let rows: Vec<Vec<String>> = receipts
        .iter()
        .map(|r| {
            let seen = r.last_seen.map(|at| format!("seen {}", ago(at, now))).unwrap_or_default();
            vec![plain(&r.name), state(r.state).to_owned(), seen]
        })
        .collect();
    table(&rows)
}

/// A point in time: the time of day, with the day where that is another than `near`'s.
fn when(ms: u64, near: u64, zone: &TimeZone) -> String {
    let time = clock(ms, zone);
    if day(ms, zone) == day(near, zone) { time } else { format!("{} {time}", day(ms, zone)) }
}

/// Who holds a conversation, in a sentence: "Everyone: 7 of 9 hold it; Medic-3 last seen 14:02".
#[must_use]
pub fn custody_line(c: &Custody, title: &str, zone: &TimeZone, now: u64) -> String {
    let mut line = format!("{}: {} of {} hold it", plain(title), c.holders, c.members);
    let lacking = c.devices.iter().filter(|h| h.member && !h.complete);
    for h in lacking.clone().take(NAMED) {
        let seen = h.last_seen.map_or("never seen".to_owned(), |at| format!("last seen {}", when(at, now, zone)));
        line.push_str(&format!("; {} {seen}", plain(&h.name)));
    }
    let more = lacking.count().saturating_sub(NAMED);
    if more > 0 {
        line.push_str(&format!("; {more} more lack some of it"));
    }
    line
}

/// `custody` of a conversation.
#[must_use]
pub fn custody(c: &Custody, title: &str, zone: &TimeZone, now: u64, style: Style) -> Vec<String> {
    let rows: Vec<Vec<String>> = c
        .devices
        .iter()
        .map(|h| {
            let holds = match (h.complete, h.up_to, h.holds) {
                (true, ..) => "all of it".to_owned(),
                (false, Some(at), _) => format!("all before {}", when(at, now, zone)),
                (false, None, 0) => "nothing known".to_owned(),
                (false, None, _) => "a part".to_owned(),
            };
            let ahead = if h.ahead > 0 { format!(", and {} more than is here", h.ahead) } else { String::new() };
            let seen = match (h.me, h.state, h.last_seen) {
                (true, ..) => "this device".to_owned(),
                (_, PeerState::Online | PeerState::Away, _) => "here".to_owned(),
                (.., Some(at)) => format!("last seen {}", when(at, now, zone)),
                (.., None) => "never seen".to_owned(),
            };
            let counts = if h.member { "" } else { "not counted" };
            vec![
                plain(&h.name),
                format!("{} of {}", h.holds, c.entries),
                format!("{holds}{ahead}"),
                seen,
                counts.into(),
            ]
        })
        .collect();
    let first = custody_line(c, title, zone, now);
    [style.bold(&first)].into_iter().chain(table(&rows)).collect()
}

/// `custody --documents`.
#[must_use]
pub fn custody_documents(c: &Custody, zone: &TimeZone) -> Vec<String> {
    let row = |d: &DocumentCustody| {
        let what = match d.from {
            Some(at) => format!("{} from {}", d.kind, day(at, zone)),
            None => d.kind.clone(),
        };
        let holders = format!("{} of {} hold it", d.holders, d.members);
        vec![what, count(d.entries, "entry", "entries"), holders, d.id.to_string()]
    };
    table(&c.documents.iter().map(row).collect::<Vec<_>>())
}

fn network_name(n: &Network) -> String {
    if n.name.is_empty() { format!("network {}", n.id.short()) } else { plain(&n.name) }
}

/// `network list`.
#[must_use]
pub fn networks(networks: &[Network], style: Style) -> Vec<String> {
    if networks.is_empty() {
        return vec!["No network has been met yet.".to_owned()];
    }
    let rows: Vec<Vec<String>> = networks
        .iter()
        .map(|n| {
            let state = match (n.state, n.primary) {
                (NetworkState::Joined, true) => "joined, primary",
                (NetworkState::Joined, false) => "joined",
                (NetworkState::Asking, _) => "asking",
                (NetworkState::Apart, _) => "kept apart",
            };
            vec![network_name(n), state.to_owned(), format!("{} here", n.here), n.id.to_string()]
        })
        .collect();
    let mut lines = table(&rows);
    if let Some(n) = networks.iter().find(|n| n.state == NetworkState::Asking) {
        lines.push(String::new());
        lines.push(style.yellow(&question(n)));
    }
    lines
}

fn question(n: &Network) -> String {
    format!("Join {0}? `cairn network join {1}`, or `cairn network apart {1}` to keep apart.", network_name(n), n.id)
}

/// The answer of `network join`, `apart` and `name`.
#[must_use]
pub fn network(n: &Network) -> String {
    match n.state {
        NetworkState::Joined => format!("In {}.", network_name(n)),
        NetworkState::Asking => question(n),
        NetworkState::Apart => format!("Apart from {}.", network_name(n)),
    }
}

/// `retention`.
#[must_use]
pub fn retention(r: &Retention, title: &str, style: Style) -> Vec<String> {
    let zone = TimeZone::system();
    let mut lines = vec![format!("{}  {}", style.bold(&plain(title)), plain(&r.sentence))];
    if let (Some(name), Some(at)) = (&r.set_by_name, r.set_at) {
        lines.push(style.dim(&format!("Set by {} on {}.", plain(name), day(at, &zone))));
    }
    if let Some(at) = r.gone_before {
        lines.push(format!("Gone here: what was said before {}.", day(at, &zone)));
    }
    if let Some(at) = r.erased_before {
        lines.push(format!("Removed from this device: what was said before {}.", day(at, &zone)));
    }
    match (r.keep, r.erases_at) {
        (Some(_), _) if !r.agreed => {
            let whose = if r.shared { "the other side's clock" } else { "the clocks of two others" };
            lines.push(style.yellow(&format!("Nothing goes for its age until {whose} agrees with ours.")));
        }
        (Some(_), Some(at)) => lines.push(format!("The next part is removed on {} at the earliest.", day(at, &zone))),
        _ => {}
    }
    lines
}

/// `forget`.
#[must_use]
pub fn forgotten(r: &Retention, title: &str) -> String {
    let title = plain(title);
    match r.erased_before {
        Some(at) => format!(
            "What was said in {title} before {} is gone from this device; others keep their copies.",
            day(at, &TimeZone::system())
        ),
        None => format!("There was nothing in {title} to delete."),
    }
}

/// What `node` says at its start.
#[must_use]
pub fn ready(s: &Status, style: Style) -> String {
    let text = format!("{} ({}) is up on port {}/udp, {}", plain(&s.name), s.code, s.port, link(s));
    format!("{text}  {}", style.dim(&plain(&s.data.to_string_lossy())))
}

/// What `node` says of an event, where people care.
#[must_use]
pub fn event(e: &Event) -> Option<String> {
    match e {
        Event::Peer(p) => {
            let state = match p.state {
                PeerState::Online => "is here",
                PeerState::Away => "is away",
                PeerState::Offline => "is gone",
            };
            Some(format!("{} ({}) {state}", plain(&p.name), p.code))
        }
        Event::Network(n) if n.state == NetworkState::Asking => Some(question(n)),
        Event::Briefing(b) if b.is_final => Some(briefing::sentence(b)),
        Event::Notice { message, .. } => Some(plain(message)),
        Event::Stopping => Some("Stopping.".to_owned()),
        _ => None,
    }
}
