//! Reading and writing a data folder without a node: what one-shot commands do when none runs. Messages said here go
//! into the outbox and are signed by the next node; nothing else is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cairn_crdt::ids::{DeviceId, DocumentId, Incarnation, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::PageAt as At;
use cairn_crdt::network::{Networks, Standing};
use cairn_crdt::vault::DataKey;

use crate::api::{
    ApiError, Conversation, ConversationKind, Custody, DeliveryState, Group, GroupInvitation, GroupLine, Message,
    Network, NetworkState, Page, PageAt, Peer, Receipt, Safety, Said, Status, Version,
};
use crate::documents::about::versions;
use crate::documents::{
    briefings, check_body, groups, load_networks, no_conversation, no_message, no_peer, show, spaces_of,
};
use crate::env::Env;
use crate::liking;
use crate::limits::PAGE_MAX;
use crate::link::{BoxFuture, Link, LinkError, Transport};
use crate::node::StartError;
use crate::outbox_table::{Intent, To};
use crate::own::Own;
use crate::people::People;
use crate::space::{GroupRow, Space, SpaceKind};
use crate::store::{Store, Table};
use crate::wiring::{Me, Wiring};

/// A data folder that is open for one command.
pub struct Offline {
    wiring: Wiring,
    networks: Networks,
    own: Own,
    /// What groups are called.
    groups: BTreeMap<SpaceId, String>,
}

/// A conversation by name: what a message may be addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its space.
    pub id: SpaceId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called.
    pub title: String,
    /// The other device of a direct one.
    pub peer: Option<DeviceId>,
}

/// A transport that goes nowhere.
struct Nowhere;

impl Transport for Nowhere {
    fn port(&self) -> u16 {
        0
    }
    fn dial(&self, _: SocketAddr, _: Option<DeviceId>) -> BoxFuture<'_, Result<Arc<dyn Link>, LinkError>> {
        Box::pin(async { Err(LinkError::Io("no node runs".into())) })
    }
    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async { None })
    }
    fn network_changed(&self) {}
    fn shutdown(&self, _: &str) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn failed(e: &crate::store::StoreError) -> ApiError {
    ApiError::new("store_failed", e.to_string())
}

impl Offline {
    /// Opens a data folder, with its key where it has a passphrase; a fresh one gets the device's key here.
    ///
    /// # Errors
    /// [`StartError`]: it is in use, damaged or not readable.
    pub fn open(data: &Path, key: Option<DataKey>) -> Result<Self, StartError> {
        let opened = crate::start::open_data(data, key)?;
        let env = Env::system().map_err(StartError::System)?;
        let me = opened.key.id();
        let store: Arc<dyn Store> = opened.store;
        let networks = load_networks(store.as_ref())?;
        let own = Own::load(&me, Incarnation([0; 16]), store.as_ref())?;
        let people = People::load(me, store.as_ref())?;
        own.tell(&me, &people);
        let about = Me {
            name: opened.name,
            named: opened.settings.named,
            interfaces: Vec::new(),
            discovery: false,
            data: data.to_path_buf(),
        };
        let told = opened.settings.read_receipts;
        let mut wiring = Wiring::new(env, opened.key, Incarnation([0; 16]), store, Arc::new(Nowhere), people, about);
        wiring.read_receipts = told.into();
        wiring.seal = opened.folder.seal().clone();
        wiring.set_keys(opened.keys);
        let _ = wiring.prekeys.load(&wiring)?;
        *wiring.keep.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Box::new(opened.folder));
        let groups = GroupRow::all(wiring.store.as_ref())?.into_iter().map(|row| (row.origin.space(), row.name));
        let groups = groups.collect();
        Ok(Self { wiring, networks, own, groups })
    }

    /// Who am I. Port and incarnation are those of no node: zero.
    #[must_use]
    pub fn status(&self) -> Status {
        self.wiring.status()
    }

    /// Every device known; none is here.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.wiring.people.peers()
    }

    /// What two people compare.
    ///
    /// # Errors
    /// `no_such_peer`.
    pub fn safety(&self, device: DeviceId) -> Result<Safety, ApiError> {
        let peer = self.wiring.people.peer(&device).ok_or_else(no_peer)?;
        Ok(Safety::between(&self.wiring.me, peer))
    }

    fn kinds(&self) -> Result<Vec<(SpaceId, SpaceKind)>, ApiError> {
        let all = spaces_of(self.wiring.store.as_ref(), &self.networks).map_err(|e| failed(&e))?;
        let joined = |n: &NetworkId| self.networks.get(n).is_some_and(|k| k.standing == Standing::Joined);
        Ok(all.into_iter().filter(|(_, k)| !matches!(k, SpaceKind::Commons(n) if !joined(n))).collect())
    }

    fn kind(&self, id: SpaceId) -> Result<SpaceKind, ApiError> {
        let me = self.wiring.me.principal();
        let direct = || {
            let mut known = self.wiring.people.known().into_iter();
            known.find(|d| SpaceId::direct(&me, &d.principal()) == id).map(SpaceKind::Direct)
        };
        let kind = self.kinds()?.into_iter().find(|(s, _)| *s == id).map(|(_, k)| k).or_else(direct);
        kind.ok_or_else(no_conversation)
    }

    fn space(&self, id: SpaceId) -> Result<Space, ApiError> {
        Space::load(id, self.kind(id)?, &self.wiring).map_err(|e| failed(&e))
    }

    fn network_name(&self, kind: SpaceKind) -> &str {
        match kind {
            SpaceKind::Commons(n) => self.networks.get(&n).map_or("", |k| k.name.as_str()),
            SpaceKind::Group(origin) => self.groups.get(&origin.space()).map_or("", String::as_str),
            SpaceKind::Direct(_) => "",
        }
    }

    /// What there is to talk in, in the order of [`Self::conversations`], without reading a message: saying something
    /// takes as long in a room of a hundred thousand as in an empty one.
    ///
    /// # Errors
    /// `store_failed`.
    pub fn places(&self) -> Result<Vec<Place>, ApiError> {
        let kinds = self.kinds()?.into_iter();
        let mut all: Vec<_> = kinds
            .map(|(id, kind)| {
                let (kind, title, peer, network) = show::titled(kind, self.network_name(kind), &self.wiring);
                (network, Place { id, kind, title, peer })
            })
            .collect();
        let primary = self.networks.primary();
        all.sort_by_key(|(network, p)| (p.kind != ConversationKind::Everyone, *network != primary, p.id));
        Ok(all.into_iter().map(|(_, p)| p).collect())
    }

    /// Every conversation.
    ///
    /// # Errors
    /// `store_failed`.
    pub fn conversations(&self) -> Result<Vec<Conversation>, ApiError> {
        let mut all = Vec::new();
        for (id, kind) in self.kinds()? {
            let sp = Space::load(id, kind, &self.wiring).map_err(|e| failed(&e))?;
            let liking = liking::of(self.wiring.store.as_ref(), &id).map_err(|e| failed(&e))?;
            all.push(show::conversation(&sp, self.own.mark(&id), self.network_name(kind), &liking, &self.wiring));
        }
        let primary = self.networks.primary();
        let pinned = |c: &Conversation| c.pinned.unwrap_or(u64::MAX);
        all.sort_by_key(|c| (pinned(c), c.kind != ConversationKind::Everyone, c.network != primary, c.id));
        Ok(all)
    }

    /// Part of a history.
    ///
    /// # Errors
    /// `no_such_conversation`, `store_failed`.
    pub fn page(&self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError> {
        let mut sp = self.space(conversation)?;
        let n = limit.clamp(1, PAGE_MAX);
        let at = At::from(at);
        sp.ensure(&at, n, &self.wiring).map_err(|e| failed(&e))?;
        Ok(show::page(&sp, &at, n, &self.wiring))
    }

    fn find<T>(
        &self,
        conversation: SpaceId,
        id: &MessageId,
        show: impl Fn(&Space, &cairn_crdt::kinds::chat::MessageView<'_>) -> T,
    ) -> Result<T, ApiError> {
        let mut sp = self.space(conversation)?;
        let mut at = At::Newest;
        loop {
            sp.ensure(&at, PAGE_MAX, &self.wiring).map_err(|e| failed(&e))?;
            if let Some(view) = sp.chat.find(id).first() {
                return Ok(show(&sp, view));
            }
            let page = sp.chat.page(&at, PAGE_MAX);
            match page.messages.first() {
                Some(first) if page.older => at = At::Before(first.key),
                _ => return Err(no_message()),
            }
        }
    }

    /// One message.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `store_failed`.
    pub fn message(&self, conversation: SpaceId, id: &MessageId) -> Result<Message, ApiError> {
        self.find(conversation, id, |sp, m| show::message(sp, m, &sp.members(&self.wiring).0, &self.wiring))
    }

    /// All that a message said, oldest first.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `store_failed`.
    pub fn versions(&self, conversation: SpaceId, id: &MessageId) -> Result<Vec<Version>, ApiError> {
        self.find(conversation, id, |_, m| versions(m))
    }

    /// What became of a message.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `store_failed`.
    pub fn receipts(&self, conversation: SpaceId, id: &MessageId) -> Result<Vec<Receipt>, ApiError> {
        self.find(conversation, id, |sp, m| show::receipts(sp, m, &self.wiring))
    }

    /// How long messages of a conversation are kept.
    ///
    /// # Errors
    /// `no_such_conversation`, `store_failed`.
    pub fn retention(&self, conversation: SpaceId) -> Result<crate::api::Retention, ApiError> {
        Ok(crate::documents::retention::shown(&self.space(conversation)?, &self.wiring))
    }

    /// Every group, by name.
    ///
    /// # Errors
    /// `store_failed`.
    pub fn groups(&self) -> Result<Vec<Group>, ApiError> {
        let groups = self.kinds()?.into_iter().filter(|(_, kind)| matches!(kind, SpaceKind::Group(_)));
        let mut all = Vec::new();
        for (id, kind) in groups {
            all.push(groups::shown(&Space::load(id, kind, &self.wiring).map_err(|e| failed(&e))?, &self.wiring));
        }
        all.sort_by_cached_key(|group| (group.name.to_lowercase(), group.id));
        Ok(all)
    }

    /// Invitations that wait for an answer, the oldest first.
    ///
    /// # Errors
    /// `store_failed`.
    pub fn invitations(&self) -> Result<Vec<GroupInvitation>, ApiError> {
        let mut spaces = Vec::new();
        for (id, kind) in self.kinds()?.into_iter().filter(|(_, kind)| !matches!(kind, SpaceKind::Commons(_))) {
            spaces.push(Space::load(id, kind, &self.wiring).map_err(|e| failed(&e))?);
        }
        Ok(groups::invitations(|| spaces.iter(), &self.wiring))
    }

    /// What was done to who belongs to a group, oldest first.
    ///
    /// # Errors
    /// `no_such_conversation`, `store_failed`.
    pub fn group_log(&self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        groups::lines(&self.space(group)?, &self.wiring).map_err(|e| failed(&e))
    }

    /// The last briefings, oldest first.
    ///
    /// # Errors
    /// `store_failed`.
    pub fn briefings(&self) -> Result<Vec<crate::api::Briefing>, ApiError> {
        let all = briefings::kept(self.wiring.store.as_ref()).map_err(|e| failed(&e))?;
        let mut out = Vec::with_capacity(all.len());
        for reunion in briefings::last_told(all.iter()) {
            let (mut spaces, mut titles) = (BTreeMap::new(), BTreeMap::new());
            for id in briefings::spaces_of(reunion) {
                if let Ok(sp) = self.space(id) {
                    let name = match sp.kind {
                        SpaceKind::Commons(n) => self.networks.get(&n).map_or("", |k| k.name.as_str()),
                        SpaceKind::Direct(_) | SpaceKind::Group(_) => "",
                    };
                    let line = show::conversation(&sp, self.own.mark(&id), name, &Default::default(), &self.wiring);
                    titles.insert(id, (line.kind, line.title));
                    spaces.insert(id, sp);
                }
            }
            out.push(briefings::show(reunion, &self.wiring, &titles, usize::MAX, &mut spaces));
        }
        Ok(out)
    }

    /// Who holds a conversation, or one document of it, as far as the store knows.
    ///
    /// # Errors
    /// `no_such_conversation`, `store_failed`.
    pub fn custody(&self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        Ok(crate::custody::of(&self.space(conversation)?, document, &self.wiring))
    }

    /// Every network known.
    #[must_use]
    pub fn networks(&self) -> Vec<Network> {
        let shown = self.networks.iter().filter_map(|(id, k)| {
            let state = match k.standing {
                Standing::Joined => NetworkState::Joined,
                Standing::Asking => NetworkState::Asking,
                Standing::Apart => NetworkState::Apart,
                Standing::Folded(_) => return None,
            };
            let primary = self.networks.primary() == Some(id);
            let (name, conversation) = (k.name.clone(), SpaceId::commons(&id));
            Some(Network { id, name, state, primary, settled: k.settled, here: 0, conversation })
        });
        shown.collect()
    }

    /// Puts a message into the outbox, durably. `None` as conversation: the room of whichever network the next node is
    /// in.
    ///
    /// # Errors
    /// `empty`, `too_long`, `no_such_conversation`, `disk_full`, `store_failed`.
    pub fn say(
        &self,
        conversation: Option<SpaceId>,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError> {
        check_body(body)?;
        let now = self.wiring.env.now_ms();
        let id = id.unwrap_or_else(|| MessageId::new(now, self.wiring.env.random()));
        let primary = self.networks.primary().map(|n| SpaceId::commons(&n));
        let to = match conversation {
            None => To::Everyone,
            Some(c) if Some(c) == primary => To::Everyone,
            Some(c) => match self.kind(c)? {
                SpaceKind::Direct(peer) => To::Person(peer),
                SpaceKind::Commons(_) | SpaceKind::Group(_) => To::Space(c),
            },
        };
        let shown = conversation.or(primary);
        let known = match shown {
            // A device that was never in a network has said nothing in a room.
            None => false,
            Some(space) => {
                let key = [&space.0[..], &id.0].concat();
                self.wiring.store.get(Table::Said, &key).map_err(|e| failed(&e))?.is_some()
            }
        };
        let waiting = self.wiring.store.scan(Table::Outbox, &[]).map_err(|e| failed(&e))?;
        if !known && !waiting.iter().any(|(k, _)| k.ends_with(&id.0)) {
            let intent = Intent { id, to, body: body.to_owned(), at: now, reply_to };
            self.wiring.store.commit(&[intent.write()]).map_err(|e| crate::documents::store_error(&e))?;
        }
        Ok(Said { id, conversation: shown, state: DeliveryState::Queued, ambiguous: Vec::new() })
    }
}
