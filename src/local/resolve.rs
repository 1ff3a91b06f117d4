//! What the name of a conversation means: `everyone`, `@name` or `person:NAME`, `#group` or `group:NAME`, `id:ID`.
//! Ids resolve first, then petnames, then names that only one bears, then short codes; what could be two things is an
//! error that names them.

use std::fmt;
use std::str::FromStr;

use cairn_actors::api::{ApiError, Conversation, ConversationKind, Network, Peer};
use cairn_actors::offline::Place;
use cairn_crdt::ids::{DeviceId, SpaceId};
use serde::{Deserialize, Serialize};

/// Longest name of a conversation in bytes: far more than any name or id has.
pub const REF_MAX: usize = 256;

/// The name of a conversation as given by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConvRef {
    /// The Everyone room of the primary network.
    Everyone,
    /// The direct conversation with somebody.
    Person(String),
    /// A group.
    Group(String),
    /// A conversation's or a device's id.
    Id(String),
}

/// Text that names no conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `everyone`, `@name` or `person:NAME`, `#group` or `group:NAME`, or `id:ID`")]
pub struct BadRef;

impl FromStr for ConvRef {
    type Err = BadRef;

    fn from_str(text: &str) -> Result<Self, BadRef> {
        if text.len() > REF_MAX {
            return Err(BadRef);
        }
        if text.eq_ignore_ascii_case("everyone") {
            return Ok(Self::Everyone);
        }
        let after = |prefixes: &[&str]| prefixes.iter().find_map(|p| text.strip_prefix(p)).map(|n| n.trim().to_owned());
        let found = if let Some(name) = after(&["@", "person:"]) {
            Self::Person(name)
        } else if let Some(name) = after(&["#", "group:"]) {
            Self::Group(name)
        } else {
            Self::Id(after(&["id:"]).ok_or(BadRef)?)
        };
        match &found {
            Self::Person(n) | Self::Group(n) | Self::Id(n) if n.is_empty() => Err(BadRef),
            _ => Ok(found),
        }
    }
}

impl fmt::Display for ConvRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Person(n) => write!(f, "person:{n}"),
            Self::Group(n) => write!(f, "group:{n}"),
            Self::Id(n) => write!(f, "id:{n}"),
        }
    }
}

impl TryFrom<String> for ConvRef {
    type Error = BadRef;
    fn try_from(text: String) -> Result<Self, BadRef> {
        text.parse()
    }
}

impl From<ConvRef> for String {
    fn from(r: ConvRef) -> Self {
        r.to_string()
    }
}

/// A conversation that a name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Its space.
    pub id: SpaceId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called.
    pub title: String,
    /// The other device of a direct conversation.
    pub peer: Option<DeviceId>,
}

impl From<&Conversation> for Resolved {
    fn from(c: &Conversation) -> Self {
        Self { id: c.id, kind: c.kind, title: c.title.clone(), peer: c.peer }
    }
}

impl From<Place> for Resolved {
    fn from(p: Place) -> Self {
        Self { id: p.id, kind: p.kind, title: p.title, peer: p.peer }
    }
}

/// The Everyone room of a network.
impl From<&Network> for Resolved {
    fn from(n: &Network) -> Self {
        let title = if n.name.is_empty() { "Everyone".to_owned() } else { format!("Everyone · {}", n.name) };
        Self { id: n.conversation, kind: ConversationKind::Everyone, title, peer: None }
    }
}

impl From<&Peer> for Resolved {
    fn from(p: &Peer) -> Self {
        Self { id: p.conversation, kind: ConversationKind::Direct, title: p.label(), peer: Some(p.id) }
    }
}

/// What a name means among the conversations and peers known; `conversations` has the primary Everyone room first.
///
/// # Errors
/// `no_such_conversation`, or `ambiguous` with candidates that can be given as names in turn.
pub fn resolve(what: &ConvRef, conversations: &[Resolved], peers: &[Peer]) -> Result<Resolved, ApiError> {
    match what {
        ConvRef::Everyone => conversations
            .iter()
            .find(|c| c.kind == ConversationKind::Everyone)
            .cloned()
            .ok_or_else(|| none("this device is in no network yet, so there is no Everyone room".to_owned())),
        ConvRef::Id(id) => by_id(id, conversations, peers)
            .ok_or_else(|| none(format!("no conversation or device with the id {id:?} is known here"))),
        ConvRef::Person(name) => person(name, peers),
        ConvRef::Group(name) => group(name, conversations),
    }
}

fn none(message: String) -> ApiError {
    ApiError::new("no_such_conversation", message)
}

fn by_id(text: &str, conversations: &[Resolved], peers: &[Peer]) -> Option<Resolved> {
    if let Some(c) = text.parse::<SpaceId>().ok().and_then(|id| conversations.iter().find(|c| c.id == id)) {
        return Some(c.clone());
    }
    let device = text.parse::<DeviceId>().ok()?;
    // A direct conversation without a message may be in no list yet.
    let peer = peers.iter().find(|p| p.id == device || p.conversation.0 == device.0);
    peer.map(Resolved::from)
}

fn person(name: &str, peers: &[Peer]) -> Result<Resolved, ApiError> {
    if let Some(p) = name.parse::<DeviceId>().ok().and_then(|id| peers.iter().find(|p| p.id == id)) {
        return Ok(Resolved::from(p));
    }
    let wanted = fold(name);
    let is = |name: &Option<String>| name.as_deref().is_some_and(|n| fold(n) == wanted);
    // What the person here calls somebody goes before what anybody calls himself.
    let rounds: [&dyn Fn(&Peer) -> bool; 3] = [&|p| is(&p.petname), &|p| is(&p.own_name), &|p| fold(&p.code) == wanted];
    for fits in rounds {
        let found: Vec<&Peer> = peers.iter().filter(|p| fits(p)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Resolved::from(*one)),
            many => {
                let listed = many.iter().map(|p| format!("{} ({})", p.name, p.code)).collect();
                return Err(ambiguous(name, listed, many.iter().map(|p| format!("id:{}", p.id)).collect()));
            }
        }
    }
    Err(none(format!("nobody called {name:?} is known here")))
}

fn group(name: &str, conversations: &[Resolved]) -> Result<Resolved, ApiError> {
    let groups = || conversations.iter().filter(|c| c.kind == ConversationKind::Group);
    if let Some(c) = name.parse::<SpaceId>().ok().and_then(|id| groups().find(|c| c.id == id)) {
        return Ok(c.clone());
    }
    let wanted = fold(name);
    let found: Vec<&Resolved> = groups().filter(|c| fold(&c.title) == wanted).collect();
    match found.as_slice() {
        [] => Err(none(format!("no group called {name:?} is known here"))),
        [one] => Ok((*one).clone()),
        many => {
            let listed = many.iter().map(|c| format!("{} ({})", c.title, c.id.short())).collect();
            Err(ambiguous(name, listed, many.iter().map(|c| format!("id:{}", c.id)).collect()))
        }
    }
}

/// How many candidates an error names.
const CANDIDATES: usize = 20;

fn ambiguous(name: &str, listed: Vec<String>, candidates: Vec<String>) -> ApiError {
    let count = candidates.len();
    let mut shown: Vec<String> = listed.into_iter().take(CANDIDATES).collect();
    if count > CANDIDATES {
        shown.push("…".to_owned());
    }
    let message = format!("{name:?} could be {count}: {}; name one by its id", shown.join(", "));
    ApiError { candidates: candidates.into_iter().take(CANDIDATES).collect(), ..ApiError::new("ambiguous", message) }
}

/// Names compare without case and outer blanks.
fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use cairn_actors::api::{Badge, PeerState};

    use super::*;

    fn peer(n: u8, name: &str) -> Peer {
        let id = DeviceId([n; 32]);
        Peer {
            id,
            name: name.to_owned(),
            petname: None,
            own_name: Some(name.to_owned()),
            code: id.code(),
            state: PeerState::Online,
            address: None,
            rtt_ms: None,
            badge: Badge::Contact,
            namesake: false,
            warning: None,
            last_seen: None,
            clock_offset_ms: None,
            conversation: SpaceId::direct(&DeviceId([99; 32]).principal(), &id.principal()),
        }
    }

    fn conversation(n: u8, kind: ConversationKind, title: &str) -> Resolved {
        Resolved { id: SpaceId([n; 32]), kind, title: title.to_owned(), peer: None }
    }

    fn find(text: &str) -> Result<Resolved, ApiError> {
        let conversations = [
            conversation(40, ConversationKind::Everyone, "Everyone"),
            conversation(41, ConversationKind::Everyone, "Everyone"),
            conversation(42, ConversationKind::Group, "Night shift"),
            conversation(43, ConversationKind::Group, "Water"),
            conversation(44, ConversationKind::Group, "water"),
        ];
        let mut peers = vec![peer(1, "Maya Okafor"), peer(2, "张伟"), peer(3, "Sam"), peer(4, "sam"), peer(5, "Li")];
        // Somebody who calls himself by another's id does not get that one's mail.
        peers.push(peer(6, &DeviceId([1; 32]).to_string()));
        resolve(&text.parse().unwrap(), &conversations, &peers)
    }

    #[test]
    fn forms_that_name_a_conversation_and_forms_that_do_not() {
        for bad in ["", "maya", "@", "person: ", "group:", "id:", "someone:x", &format!("@{}", "x".repeat(300))] {
            assert_eq!(bad.parse::<ConvRef>(), Err(BadRef), "{bad}");
        }
        for good in ["everyone", "Everyone", "@maya", "person:Maya Okafor", "#water", "group:a:b", "id:xyz"] {
            let r: ConvRef = good.parse().unwrap();
            assert_eq!(r.to_string().parse::<ConvRef>().unwrap(), r);
        }
    }

    #[test]
    fn everyone_is_the_primary_room() {
        assert_eq!(find("everyone").unwrap().id, SpaceId([40; 32]));
        assert_eq!(resolve(&ConvRef::Everyone, &[], &[]).unwrap_err().code, "no_such_conversation");
    }

    #[test]
    fn names_match_without_case_and_ids_come_first() {
        assert_eq!(find("@maya okafor").unwrap().peer, Some(DeviceId([1; 32])));
        assert_eq!(find("person:张伟").unwrap().peer, Some(DeviceId([2; 32])));
        assert_eq!(find("#NIGHT SHIFT").unwrap().id, SpaceId([42; 32]));
        let id = DeviceId([1; 32]);
        for text in [format!("id:{id}"), format!("@{id}"), format!("id:{}", id.to_string().to_uppercase())] {
            assert_eq!(find(&text).unwrap().title, "Maya Okafor", "{text}");
        }
        assert_eq!(find(&format!("id:{}", SpaceId([43; 32]))).unwrap().title, "Water");
        assert_eq!(find(&format!("id:{}", peer(2, "").conversation)).unwrap().title, "张伟");
        assert_eq!(find(&format!("@{}", DeviceId([4; 32]).code())).unwrap().peer, Some(DeviceId([4; 32])));
    }

    #[test]
    fn a_petname_goes_before_names_that_others_give_themselves() {
        let mut petnamed = peer(1, "Boss");
        (petnamed.petname, petnamed.own_name) = (Some("Boss".to_owned()), Some("Maya Okafor".to_owned()));
        // Two strangers call themselves what only the person here may call somebody.
        let mut peers = vec![peer(2, "boss"), petnamed, peer(3, "Boss")];
        let find = |text: &str, peers: &[Peer]| resolve(&text.parse().unwrap(), &[], peers);
        assert_eq!(find("@boss", &peers).unwrap().peer, Some(DeviceId([1; 32])));
        // Its own name still finds it, unless another bears it too.
        assert_eq!(find("@maya okafor", &peers).unwrap().title, "Boss");
        peers.push(peer(4, "Maya Okafor"));
        assert_eq!(find("@maya okafor", &peers).unwrap_err().code, "ambiguous");
        // One petname for two is ambiguous too, whatever others call themselves.
        peers[0].petname = Some("BOSS".to_owned());
        let e = find("@boss", &peers).unwrap_err();
        assert_eq!((e.code.as_str(), e.candidates.len()), ("ambiguous", 2));
        // Who has said no name is found by the code.
        let mut silent = peer(5, &DeviceId([5; 32]).code());
        silent.own_name = None;
        peers.push(silent);
        assert_eq!(find(&format!("@{}", DeviceId([5; 32]).code()), &peers).unwrap().peer, Some(DeviceId([5; 32])));
    }

    #[test]
    fn what_could_be_two_is_refused_with_candidates_that_work() {
        let e = find("@SAM").unwrap_err();
        assert_eq!(e.code, "ambiguous");
        assert_eq!(e.candidates.len(), 2);
        for c in &e.candidates {
            assert_eq!(find(c).unwrap().title.to_lowercase(), "sam");
        }
        let e = find("#water").unwrap_err();
        assert_eq!((e.code.as_str(), e.candidates.len()), ("ambiguous", 2));
        assert!(e.candidates.iter().all(|c| find(c).is_ok()));
    }

    #[test]
    fn the_unknown_is_named_in_the_error() {
        for text in ["@nobody", "#nothing", "id:xyz", &format!("id:{}", SpaceId([77; 32]))] {
            let e = find(text).unwrap_err();
            assert_eq!(e.code, "no_such_conversation");
            assert!(e.candidates.is_empty());
        }
    }
}
