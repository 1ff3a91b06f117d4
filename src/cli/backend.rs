//! What verbs ask: the node that runs on the data folder, over the local socket, or the folder's store where none
//! runs.

use std::path::Path;
use std::time::Duration;

use cairn_actors::api::{
    ApiError, Briefing, Conversation, Custody, Group, GroupCommand, GroupInvitation, GroupLine, Message, Network, Page,
    PageAt, Peer, Receipt, Retention, Safety, Said, Status, Version,
};
use cairn_actors::limits::LOCAL_OPEN_TIMEOUT;
use cairn_crdt::ids::{DeviceId, DocumentId, MessageId, NetworkId, SpaceId};
use cairn_crdt::vault::DataKey;

use super::offline::Offline;
use super::unlock;
use crate::local::client::Client;
use crate::local::resolve::{ConvRef, Resolved};

/// The questions and commands of verbs. See the methods of [`cairn_actors::handle::Handle`] for what each does and
/// how it fails; without a running node, what needs one fails with `no_node`.
#[allow(async_fn_in_trait)]
pub trait Backend {
    /// Whether a node runs.
    fn running(&self) -> bool;
    /// Who am I, where, with whom.
    async fn status(&mut self) -> Result<Status, ApiError>;
    /// Sets the display name.
    async fn set_name(&mut self, name: &str) -> Result<Status, ApiError>;
    /// Every device known.
    async fn peers(&mut self) -> Result<Vec<Peer>, ApiError>;
    /// Every conversation, the primary Everyone room first.
    async fn conversations(&mut self) -> Result<Vec<Conversation>, ApiError>;
    /// What the name of a conversation means.
    async fn resolve(&mut self, name: &ConvRef) -> Result<Resolved, ApiError>;
    /// Says something, perhaps as an answer; without a node, into the outbox.
    async fn say(
        &mut self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError>;
    /// Changes what a message of one's own says.
    async fn edit(&mut self, conversation: SpaceId, id: MessageId, body: &str) -> Result<Message, ApiError>;
    /// Deletes a message of one's own.
    async fn delete(&mut self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError>;
    /// Reacts to a message, or takes that back.
    async fn react(&mut self, conversation: SpaceId, id: MessageId, emoji: &str, on: bool)
    -> Result<Message, ApiError>;
    /// Pins a conversation, or takes that back.
    async fn set_pinned(&mut self, conversation: SpaceId, pinned: bool) -> Result<Conversation, ApiError>;
    /// Mutes a conversation until a time, or no longer.
    async fn set_muted(&mut self, conversation: SpaceId, until: Option<u64>) -> Result<Conversation, ApiError>;
    /// All that a message said, oldest first.
    async fn versions(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Version>, ApiError>;
    /// Part of a history; perhaps less than asked for, never none of some.
    async fn page(&mut self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError>;
    /// What became of a message.
    async fn receipts(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Receipt>, ApiError>;
    /// Who holds a conversation, or one document of it.
    async fn custody(&mut self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError>;
    /// How long messages of a conversation are kept.
    async fn retention(&mut self, conversation: SpaceId) -> Result<Retention, ApiError>;
    /// Sets it, in seconds.
    async fn set_retention(&mut self, conversation: SpaceId, keep: Option<u64>) -> Result<Retention, ApiError>;
    /// Deletes the copy here.
    async fn forget(&mut self, conversation: SpaceId, before: Option<u64>) -> Result<Retention, ApiError>;
    /// Does something with a group.
    async fn group(&mut self, command: GroupCommand) -> Result<Group, ApiError>;
    /// Every group.
    async fn groups(&mut self) -> Result<Vec<Group>, ApiError>;
    /// Invitations that wait for an answer.
    async fn invitations(&mut self) -> Result<Vec<GroupInvitation>, ApiError>;
    /// What was done to who belongs to a group.
    async fn group_log(&mut self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError>;
    /// Every network known.
    async fn networks(&mut self) -> Result<Vec<Network>, ApiError>;
    /// The last briefings, oldest first.
    async fn briefings(&mut self) -> Result<Vec<Briefing>, ApiError>;
    /// Joins a network.
    async fn join_network(&mut self, id: NetworkId) -> Result<Network, ApiError>;
    /// Keeps apart from a network.
    async fn keep_apart(&mut self, id: NetworkId) -> Result<Network, ApiError>;
    /// Names a network.
    async fn name_network(&mut self, id: NetworkId, name: &str) -> Result<Network, ApiError>;
    /// The safety number with a device.
    async fn safety(&mut self, device: DeviceId) -> Result<Safety, ApiError>;
    /// The person has compared safety numbers, or takes that back.
    async fn set_verified(&mut self, device: DeviceId, verified: bool) -> Result<Peer, ApiError>;
    /// Takes the code that another device shows.
    async fn scan(&mut self, code: &str, meant: Option<DeviceId>) -> Result<Peer, ApiError>;
    /// The settings file was changed.
    async fn settings_changed(&mut self) -> Result<(), ApiError>;
    /// Kills an actor.
    async fn kill(&mut self, actor: &str) -> Result<(), ApiError>;
}

impl Backend for Client {
    fn running(&self) -> bool {
        true
    }
    async fn status(&mut self) -> Result<Status, ApiError> {
        Self::status(self).await
    }
    async fn set_name(&mut self, name: &str) -> Result<Status, ApiError> {
        Self::set_name(self, name).await
    }
    async fn peers(&mut self) -> Result<Vec<Peer>, ApiError> {
        Self::peers(self).await
    }
    async fn conversations(&mut self) -> Result<Vec<Conversation>, ApiError> {
        Self::conversations(self).await
    }
    async fn resolve(&mut self, name: &ConvRef) -> Result<Resolved, ApiError> {
        Self::resolve(self, name).await
    }
    async fn say(
        &mut self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError> {
        Self::answer(self, conversation, body, id, reply_to).await
    }
    async fn edit(&mut self, conversation: SpaceId, id: MessageId, body: &str) -> Result<Message, ApiError> {
        Self::edit(self, conversation, id, body).await
    }
    async fn delete(&mut self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        Self::delete(self, conversation, id).await
    }
    async fn react(
        &mut self,
        conversation: SpaceId,
        id: MessageId,
        emoji: &str,
        on: bool,
    ) -> Result<Message, ApiError> {
        Self::react(self, conversation, id, emoji, on).await
    }
    async fn set_pinned(&mut self, conversation: SpaceId, pinned: bool) -> Result<Conversation, ApiError> {
        Self::set_pinned(self, conversation, pinned).await
    }
    async fn set_muted(&mut self, conversation: SpaceId, until: Option<u64>) -> Result<Conversation, ApiError> {
        Self::set_muted(self, conversation, until).await
    }
    async fn versions(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Version>, ApiError> {
        Self::versions(self, conversation, id).await
    }
    async fn page(&mut self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError> {
        Self::page(self, conversation, at, limit).await
    }
    async fn receipts(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Receipt>, ApiError> {
        Self::receipts(self, conversation, id).await
    }
    async fn custody(&mut self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        Self::custody(self, conversation, document).await
    }
    async fn retention(&mut self, conversation: SpaceId) -> Result<Retention, ApiError> {
        Self::retention(self, conversation).await
    }
    async fn set_retention(&mut self, conversation: SpaceId, keep: Option<u64>) -> Result<Retention, ApiError> {
        Self::set_retention(self, conversation, keep).await
    }
    async fn forget(&mut self, conversation: SpaceId, before: Option<u64>) -> Result<Retention, ApiError> {
        Self::forget(self, conversation, before).await
    }
    async fn group(&mut self, command: GroupCommand) -> Result<Group, ApiError> {
        Self::group(self, command).await
    }
    async fn groups(&mut self) -> Result<Vec<Group>, ApiError> {
        Self::groups(self).await
    }
    async fn invitations(&mut self) -> Result<Vec<GroupInvitation>, ApiError> {
        Self::invitations(self).await
    }
    async fn group_log(&mut self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        Self::group_log(self, group).await
    }
    async fn networks(&mut self) -> Result<Vec<Network>, ApiError> {
        Self::networks(self).await
    }
    async fn briefings(&mut self) -> Result<Vec<Briefing>, ApiError> {
        Self::briefings(self).await
    }
    async fn join_network(&mut self, id: NetworkId) -> Result<Network, ApiError> {
        Self::join_network(self, id).await
    }
    async fn keep_apart(&mut self, id: NetworkId) -> Result<Network, ApiError> {
        Self::keep_apart(self, id).await
    }
    async fn name_network(&mut self, id: NetworkId, name: &str) -> Result<Network, ApiError> {
        Self::name_network(self, id, name).await
    }
    async fn safety(&mut self, device: DeviceId) -> Result<Safety, ApiError> {
        Self::safety(self, device).await
    }
    async fn set_verified(&mut self, device: DeviceId, verified: bool) -> Result<Peer, ApiError> {
        Self::set_verified(self, device, verified).await
    }
    async fn scan(&mut self, code: &str, meant: Option<DeviceId>) -> Result<Peer, ApiError> {
        Self::scan(self, code, meant).await
    }
    async fn settings_changed(&mut self) -> Result<(), ApiError> {
        Self::settings_changed(self).await
    }
    async fn kill(&mut self, actor: &str) -> Result<(), ApiError> {
        Self::kill(self, actor).await
    }
}

/// What was found on a data folder.
#[derive(Debug)]
pub enum Opened {
    /// A running node.
    Node(Client),
    /// No node: the store, for this one command.
    Offline(Box<Offline>),
}

/// How often a folder that is in use is tried again: no event tells when another process lets go of it.
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// Does something with a data folder; while another command has it, or its node is just starting (`in_use`), again
/// for up to [`LOCAL_OPEN_TIMEOUT`].
///
/// # Errors
/// `in_use` where the folder stays busy, what `attempt` answers otherwise.
pub async fn retry_in_use<T>(mut attempt: impl AsyncFnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let deadline = tokio::time::Instant::now() + LOCAL_OPEN_TIMEOUT;
    loop {
        match attempt().await {
            Err(e) if e.code == "in_use" && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(TRY_AGAIN).await
            }
            result => return result,
        }
    }
}

/// Asks the node on `data`, or opens its store where none runs.
///
/// # Errors
/// `in_use` where the folder stays busy, what connecting or opening answers otherwise.
pub async fn open(data: &Path) -> Result<Opened, ApiError> {
    open_with(data, None).await
}

/// The same with the key of the folder, if it is at hand.
///
/// # Errors
/// As [`open`].
pub async fn open_with(data: &Path, mut key: Option<DataKey>) -> Result<Opened, ApiError> {
    retry_in_use(async || match Client::connect(data).await? {
        Some(client) => Ok(Opened::Node(client)),
        None => {
            // Asked for once, and only where there is something to open with it.
            if key.is_none() {
                key = unlock::key(data)?;
            }
            Offline::open_with(data, key.clone()).map(|store| Opened::Offline(Box::new(store)))
        }
    })
    .await
}

/// The node on `data`.
///
/// # Errors
/// `no_node` where none runs.
pub async fn node(data: &Path) -> Result<Client, ApiError> {
    Client::connect(data).await?.ok_or_else(|| no_node(data))
}

/// No node runs.
#[must_use]
pub fn no_node(data: &Path) -> ApiError {
    ApiError::new("no_node", format!("no node runs on {}: start one with `cairn node`", data.display()))
}

/// A node runs already.
#[must_use]
pub fn already(data: &Path) -> ApiError {
    ApiError::new("in_use", format!("Cairn already runs on {}", data.display()))
}
