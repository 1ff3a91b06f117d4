//! What two nodes say to each other on the control lane, in postcard, and how their messages are checked.

use std::net::{IpAddr, SocketAddr};

use cairn_crdt::ids::{DeviceId, Incarnation, SpaceId, domain_hash};
use cairn_crdt::network::Claim;
use serde::{Deserialize, Serialize};

use crate::limits::{NAME_MAX, SESSIONS_MAX};
use crate::proto::proof::is_proof;

/// Version of the session protocol, within ALPN `cairn/1`.
pub const VERSION: u16 = 1;
/// Most networks a peer may claim.
pub const MAX_CLAIMS: usize = 64;

/// The first frame of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's protocol version.
    pub version: u16,
    /// This start of the sender.
    pub incarnation: Incarnation,
    /// The sender's number of this link: a later one has a higher.
    pub link: u64,
    /// Its display name.
    pub name: String,
    /// The networks it is in, the primary first.
    pub claims: Vec<Claim>,
    /// The port on which it takes connections.
    pub port: u16,
}

/// A device that a peer has a session with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Who.
    pub device: DeviceId,
    /// Where it is reached, if that says something to others.
    pub address: Option<SocketAddr>,
}

impl Neighbour {
    /// A neighbour at the address of its session. Loopback and link-local addresses say nothing to others.
    #[must_use]
    pub fn new(device: DeviceId, address: SocketAddr) -> Self {
        let tells = match address.ip() {
            IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
            IpAddr::V6(ip) => {
                !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local())
            }
        };
        Self { device, address: tells.then_some(address) }
    }
}

/// A frame of the control lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// First, once.
    Hello(Hello),
    /// "I am here."
    Heartbeat {
        /// The person is away.
        away: bool,
        /// The sender's raw clock in milliseconds since 1970.
        clock: u64,
        /// The number of this heartbeat; all peers get the same.
        beat: u32,
        /// The number of the receiver's last heartbeat, and how many milliseconds ago it came.
        echo: Option<(u32, u32)>,
    },
    /// The name changed.
    Name(String),
    /// The networks changed.
    Claims(Vec<Claim>),
    /// Sessions that the sender gained and lost.
    Neighbours {
        /// Gained, with where each is reached.
        up: Vec<Neighbour>,
        /// Lost.
        down: Vec<DeviceId>,
    },
    /// "How long ago did you hear this device?"
    Probe(DeviceId),
    /// "So many milliseconds ago."
    Heard {
        /// The device asked about.
        device: DeviceId,
        /// Its age, `None` if it is not here.
        ago_ms: Option<u32>,
    },
    /// Sent before a clean close.
    Goodbye,
}

/// Why a control frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not a frame.
    #[error("a control frame that cannot be read")]
    Unreadable,
    /// A bound was exceeded.
    #[error("a control frame with too much in it")]
    TooMuch,
    /// A name that no person could have typed.
    #[error("a name that is not a name")]
    BadName,
    /// A proof of a network key where there is none to prove.
    #[error("the peer wants to see a network key")]
    WantsKey,
    /// Another protocol.
    #[error("the peer speaks version {0}, this Cairn speaks {VERSION}")]
    Version(u16),
}

impl Control {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads and checks a frame.
    ///
    /// # Errors
    /// [`ControlError`] says what was wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        if is_proof(bytes) {
            return Err(ControlError::WantsKey);
        }
        let (frame, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| ControlError::Unreadable)?;
        if !rest.is_empty() {
            return Err(ControlError::Unreadable);
        }
        match &frame {
            Self::Hello(h) => {
                if h.version != VERSION {
                    return Err(ControlError::Version(h.version));
                }
                check_name(&h.name)?;
                check_claims(&h.claims)?;
            }
            Self::Name(n) => check_name(n)?,
            Self::Claims(c) => check_claims(c)?,
            Self::Neighbours { up, down } if up.len().max(down.len()) > SESSIONS_MAX => {
                return Err(ControlError::TooMuch);
            }
            _ => {}
        }
        Ok(frame)
    }
}

fn check_name(name: &str) -> Result<(), ControlError> {
    if clean_name(name).as_deref() == Some(name) { Ok(()) } else { Err(ControlError::BadName) }
}

fn check_claims(claims: &[Claim]) -> Result<(), ControlError> {
    if claims.len() > MAX_CLAIMS {
        return Err(ControlError::TooMuch);
    }
    claims.iter().filter(|c| !c.name.is_empty()).try_for_each(|c| check_name(&c.name))
}

/// A display name as it may be stored and sent: trimmed, inner white space folded, 1 to [`NAME_MAX`] bytes, without
/// control, format (bidirectional overrides, zero-width) or private characters. `None` if nothing is left.
#[must_use]
pub fn clean_name(raw: &str) -> Option<String> {
    let mut out = String::new();
    for word in raw.split_whitespace() {
        let before = out.len();
        out.extend(word.chars().filter(|c| !c.is_control() && !hidden(*c)));
        // A word of which nothing is left leaves no second space.
        if before > 0 && out.len() > before {
            out.insert(before, ' ');
        }
    }
    let mut end = out.len().min(NAME_MAX);
    while !out.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    out.truncate(end);
    let out = out.trim().to_owned();
    (!out.is_empty()).then_some(out)
}

/// Characters that change how others are shown without being seen: bidirectional controls, zero-width spaces and
/// joiners outside emoji sequences, tags, private use (Unicode 16, general categories Cf and Co).
fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// The tag of a space on one session: only who knows the space and holds the session's secret recognises it.
#[must_use]
pub fn space_tag(exporter: &[u8; 32], space: &SpaceId) -> [u8; 8] {
    let h = domain_hash("cairn 2026 space tag", &[exporter, &space.0]);
    let mut tag = [0; 8];
    tag.copy_from_slice(&h[..8]);
    tag
}

/// One of several links between the same two starts of the same two devices, as the ends of it rank it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRank {
    /// Our number of it.
    pub ours: u64,
    /// The peer's.
    pub theirs: u64,
    /// Whether we dialled it.
    pub dialled: bool,
}

impl LinkRank {
    /// Whether this one stays, and `other` goes. Both ends see the same numbers and so decide alike, in whatever order
    /// they hear of the links: the one stays that is later at both ends, as after a cut that only one end has noticed.
    /// Of two that crossed the one with the higher sum stays, then the one that the lower key dialled, then the one
    /// that its dialler made later.
    #[must_use]
    pub fn beats(self, other: Self, me: &DeviceId, peer: &DeviceId) -> bool {
        let key = |l: Self| {
            let sum = u128::from(l.ours) + u128::from(l.theirs);
            (sum, l.dialled == (me < peer), if l.dialled { l.ours } else { l.theirs })
        };
        key(self) > key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean_name("  Maya \t Okafor\n").as_deref(), Some("Maya Okafor"));
        assert_eq!(clean_name("张伟").as_deref(), Some("张伟"));
        assert_eq!(clean_name("a\u{202e}b\u{200b}").as_deref(), Some("ab"));
        assert_eq!(clean_name(" \u{200b} \n"), None);
        assert_eq!(clean_name("7 \u{200b} R \0").as_deref(), Some("7 R"), "a clean name stays as it is");
        let long = clean_name(&"é".repeat(100)).unwrap();
        assert!(long.len() <= NAME_MAX && long.chars().all(|c| c == 'é'));
    }

    #[test]
    fn frames_round_trip_and_bad_ones_are_refused() {
        let hello = Control::Hello(Hello {
            version: VERSION,
            incarnation: Incarnation([1; 16]),
            link: 7,
            name: "Maya".into(),
            claims: vec![],
            port: 27475,
        });
        let bytes = hello.encode();
        assert_eq!(Control::decode(&bytes), Ok(hello));
        assert_eq!(Control::decode(&bytes[..bytes.len() - 1]), Err(ControlError::Unreadable));
        assert_eq!(Control::decode(&[bytes.as_slice(), &[0]].concat()), Err(ControlError::Unreadable));
        assert_eq!(Control::decode(&Control::Name("a\nb".into()).encode()), Err(ControlError::BadName));
        let crowd = Control::Neighbours { up: vec![], down: vec![DeviceId([0; 32]); SESSIONS_MAX + 1] };
        assert_eq!(Control::decode(&crowd.encode()), Err(ControlError::TooMuch));
    }

    #[test]
    fn both_ends_keep_the_same_of_two_links() {
        let (a, b) = (DeviceId([1; 32]), DeviceId([2; 32]));
        let links = || {
            (0..2).flat_map(|dialled| {
                (0..4).flat_map(move |ours| (0..4).map(move |theirs| LinkRank { ours, theirs, dialled: dialled == 1 }))
            })
        };
        let turned = |l: LinkRank| LinkRank { ours: l.theirs, theirs: l.ours, dialled: !l.dialled };
        let mut pairs = 0;
        for (x, y) in links().flat_map(|x| links().map(move |y| (x, y))) {
            // A number is given once.
            if x.ours == y.ours || x.theirs == y.theirs {
                continue;
            }
            pairs += 1;
            let stays = x.beats(y, &a, &b);
            assert_ne!(stays, y.beats(x, &a, &b), "one of them stays: {x:?} {y:?}");
            assert_eq!(stays, turned(x).beats(turned(y), &b, &a), "the other end decides alike: {x:?} {y:?}");
            if x.ours > y.ours && x.theirs > y.theirs {
                assert!(stays, "what is later at both ends stays, whoever dialled it: {x:?} {y:?}");
            }
        }
        assert_eq!(pairs, 4 * (4 * 3) * (4 * 3));
        let (far, near) = (LinkRank { ours: u64::MAX, theirs: u64::MAX, dialled: true }, links().next().unwrap());
        assert!(far.beats(near, &a, &b), "whatever numbers a peer gives");
    }
}
