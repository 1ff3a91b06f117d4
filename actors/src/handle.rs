//! The only door into a running node. Callers never see an actor, so a restart behind the door is invisible.
//!
//! A request waits in a bounded queue; when the node is gone every call answers `stopped`.

mod groups;

use std::path::{Path, PathBuf};

use cairn_crdt::ids::{DeviceId, DocumentId, MessageId, NetworkId, SpaceId};
use cairn_crdt::netkey::{Invite, NetworkKey, RingError};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::api::{
    ApiError, BackedUp, Briefing, Checkup, Compacted, Conversation, Custody, Event, Group, GroupCommand,
    GroupInvitation, GroupLine, KeyChange, Member, Message, Network, OrderKey, Page, PageAt, Peer, Receipt, Restored,
    Retention, Safety, Said, Status, Version,
};
use crate::documents::Amendment;
use crate::netkeys;

/// The answer to a request.
pub type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// A command or query; the variants' fields are those of the methods of [`Handle`].
#[derive(Debug)]
pub enum Request {
    /// See [`Handle::status`].
    Status(Reply<Status>),
    /// See [`Handle::set_name`].
    SetName(String, Reply<Status>),
    /// See [`Handle::peers`].
    Peers(Reply<Vec<Peer>>),
    /// See [`Handle::conversations`].
    Conversations(Reply<Vec<Conversation>>),
    /// See [`Handle::say`].
    Say {
        /// Where.
        conversation: SpaceId,
        /// What.
        body: String,
        /// The id to use.
        id: Option<MessageId>,
        /// The message that it answers.
        reply_to: Option<MessageId>,
        /// The answer.
        reply: Reply<Said>,
    },
    /// See [`Handle::page`].
    Page(SpaceId, PageAt, usize, Reply<Page>),
    /// See [`Handle::message`].
    Message(SpaceId, MessageId, Reply<Message>),
    /// See [`Handle::receipts`].
    Receipts(SpaceId, MessageId, Reply<Vec<Receipt>>),
    /// See [`Handle::custody`].
    Custody(SpaceId, Option<DocumentId>, Reply<Custody>),
    /// See [`Handle::edit`], [`Handle::delete`] and [`Handle::react`].
    Amend {
        /// Where.
        conversation: SpaceId,
        /// Which message.
        id: MessageId,
        /// What is said of it.
        what: Amendment,
        /// The answer.
        reply: Reply<Message>,
    },
    /// See [`Handle::versions`].
    Versions(SpaceId, MessageId, Reply<Vec<Version>>),
    /// See [`Handle::typing`].
    Typing(SpaceId, bool, Reply<()>),
    /// See [`Handle::set_pinned`].
    SetPinned(SpaceId, bool, Reply<Conversation>),
    /// See [`Handle::set_muted`].
    SetMuted(SpaceId, Option<u64>, Reply<Conversation>),
    /// See [`Handle::members`].
    Members(SpaceId, Reply<Vec<Member>>),
    /// See [`Handle::mark_read`].
    MarkRead(SpaceId, OrderKey, Reply<()>),
    /// See [`Handle::retention`].
    Retention(SpaceId, Reply<Retention>),
    /// See [`Handle::set_retention`].
    SetRetention(SpaceId, Option<u64>, Reply<Retention>),
    /// See [`Handle::forget`].
    Forget(SpaceId, Option<u64>, Reply<Retention>),
    /// See [`Handle::group`].
    Group(GroupCommand, Reply<Group>),
    /// See [`Handle::groups`].
    Groups(Reply<Vec<Group>>),
    /// See [`Handle::invitations`].
    Invitations(Reply<Vec<GroupInvitation>>),
    /// See [`Handle::group_log`].
    GroupLog(SpaceId, Reply<Vec<GroupLine>>),
    /// See [`Handle::networks`].
    Networks(Reply<Vec<Network>>),
    /// See [`Handle::join_network`].
    JoinNetwork(NetworkId, Reply<Network>),
    /// See [`Handle::keep_apart`].
    KeepApart(NetworkId, Reply<Network>),
    /// See [`Handle::name_network`].
    NameNetwork(NetworkId, String, Reply<Network>),
    /// See [`Handle::briefings`].
    Briefings(Reply<Vec<Briefing>>),
    /// See [`Handle::briefing_seen`].
    BriefingSeen(u64, Reply<()>),
    /// See [`Handle::set_petname`].
    SetPetname(DeviceId, Option<String>, Reply<Peer>),
    /// See [`Handle::safety`].
    Safety(DeviceId, Reply<Safety>),
    /// See [`Handle::set_verified`].
    SetVerified(DeviceId, bool, Reply<Peer>),
    /// See [`Handle::scan`].
    Scan {
        /// The text of the code.
        code: String,
        /// Whose it should be.
        meant: Option<DeviceId>,
        /// The answer.
        reply: Reply<Peer>,
    },
    /// See [`Handle::set_away`].
    SetAway(bool, Reply<()>),
    /// See [`Handle::set_read_receipts`].
    SetReadReceipts(bool, Reply<Status>),
    /// See [`Handle::settings_changed`].
    SettingsChanged(Reply<()>),
    /// See [`Handle::change_network_key`].
    ChangeKey(KeyChange, Reply<()>),
    /// See [`Handle::network_key`].
    Key(Reply<Option<(NetworkKey, NetworkId)>>),
    /// See [`Handle::kill`].
    Kill(String, Reply<()>),
    /// See the methods named in it.
    Care(Care),
    /// See [`Handle::stop`].
    Stop(Reply<()>),
}

/// Care for what the node keeps.
#[derive(Debug)]
pub enum Care {
    /// See [`Handle::check`].
    Check(bool, Reply<Checkup>),
    /// See [`Handle::repair`].
    Repair(Reply<Vec<String>>),
    /// See [`Handle::compact`].
    Compact(Reply<Compacted>),
    /// See [`Handle::back_up`].
    BackUp(PathBuf, Reply<BackedUp>),
    /// See [`Handle::restore`].
    Restore(PathBuf, bool, Reply<Restored>),
}

impl Care {
    /// Whether it ends the life of the node's actors and begins another.
    pub(crate) fn renews(&self) -> bool {
        !matches!(self, Self::Check(..) | Self::BackUp(..))
    }

    /// Answers with an error. Whoever asked may have gone.
    pub(crate) fn refuse(self, e: ApiError) {
        match self {
            Self::Check(_, reply) => drop(reply.send(Err(e))),
            Self::Repair(reply) => drop(reply.send(Err(e))),
            Self::Compact(reply) => drop(reply.send(Err(e))),
            Self::BackUp(_, reply) => drop(reply.send(Err(e))),
            Self::Restore(_, _, reply) => drop(reply.send(Err(e))),
        }
    }
}

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    events: broadcast::Sender<Event>,
}

impl Handle {
    /// A door onto a queue of requests and a channel of events.
    #[must_use]
    pub fn new(requests: mpsc::Sender<Request>, events: broadcast::Sender<Event>) -> Self {
        Self { requests, events }
    }

    /// Everything that happens from now on. A subscriber that falls more than [`crate::limits::EVENTS`] behind gets a
    /// lag error and asks for everything again.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Passes on what was asked at another door. Where the node has stopped, whoever asked hears that.
    pub async fn pass(&self, request: Request) {
        // The answer's way back goes with a request that is dropped.
        let _ = self.requests.send(request).await;
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, ApiError> {
        let stopped = || ApiError::new("stopped", "the node has stopped");
        let (tx, rx) = oneshot::channel();
        self.requests.send(make(tx)).await.map_err(|_| stopped())?;
        rx.await.map_err(|_| stopped())?
    }

    /// Who am I, where, with whom.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn status(&self) -> Result<Status, ApiError> {
        self.ask(Request::Status).await
    }

    /// Sets the display name: 1 to 64 bytes without control characters, trimmed.
    ///
    /// # Errors
    /// `bad_name`, `stopped`, a store error.
    pub async fn set_name(&self, name: &str) -> Result<Status, ApiError> {
        self.ask(|r| Request::SetName(name.to_owned(), r)).await
    }

    /// Every device known, those here first, then by name.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        self.ask(Request::Peers).await
    }

    /// Every conversation: Everyone rooms first (the primary one at the top), then by newest message.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn conversations(&self) -> Result<Vec<Conversation>, ApiError> {
        self.ask(Request::Conversations).await
    }

    /// Says something. Answers once it is durable here. With an `id` that was said before, answers what became of
    /// that message and says nothing.
    ///
    /// # Errors
    /// `no_such_conversation`, `empty`, `too_long`, `disk_full`, `stopped`.
    pub async fn say(&self, conversation: SpaceId, body: &str, id: Option<MessageId>) -> Result<Said, ApiError> {
        self.answer(conversation, body, id, None).await
    }

    /// The same as an answer to a message, whether that is here or not. Names behind an `@` mention people
    /// (`kinds::chat::mention`).
    ///
    /// # Errors
    /// As [`Self::say`].
    pub async fn answer(
        &self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError> {
        self.ask(|reply| Request::Say { conversation, body: body.to_owned(), id, reply_to, reply }).await
    }

    /// Changes what a message of one's own says; what it said stays readable until retention takes the message. Answers
    /// once that is durable here.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `not_yours`, `deleted`, `empty`, `too_long`, `not_written`, a store
    /// error, `stopped`.
    pub async fn edit(&self, conversation: SpaceId, id: MessageId, body: &str) -> Result<Message, ApiError> {
        let what = Amendment::Edit(body.to_owned());
        self.ask(|reply| Request::Amend { conversation, id, what, reply }).await
    }

    /// Deletes a message of one's own: everybody sees that there was one. What it said stays readable for who asks, until
    /// retention takes the message.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub async fn delete(&self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        self.ask(|reply| Request::Amend { conversation, id, what: Amendment::Delete, reply }).await
    }

    /// Reacts to a message with one emoji, or takes that back.
    ///
    /// # Errors
    /// `bad_reaction`, `too_many`, and as [`Self::edit`].
    pub async fn react(
        &self,
        conversation: SpaceId,
        id: MessageId,
        emoji: &str,
        on: bool,
    ) -> Result<Message, ApiError> {
        let what = Amendment::React(emoji.to_owned(), on);
        self.ask(|reply| Request::Amend { conversation, id, what, reply }).await
    }

    /// The person writes something in a conversation, or has stopped: those in it who are connected are told, unless
    /// nobody is to know what the person has read either. Call it at each key; it is told now and then.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn typing(&self, conversation: SpaceId, on: bool) -> Result<(), ApiError> {
        self.ask(|r| Request::Typing(conversation, on, r)).await
    }

    /// Pins a conversation to the top of the list, behind those pinned before it, or takes it from there.
    ///
    /// # Errors
    /// `no_such_conversation`, `too_many`, a store error, `stopped`.
    pub async fn set_pinned(&self, conversation: SpaceId, pinned: bool) -> Result<Conversation, ApiError> {
        self.ask(|r| Request::SetPinned(conversation, pinned, r)).await
    }

    /// Mutes a conversation until a time in milliseconds since 1970 ([`crate::liking::FOR_GOOD`]: for good), or no longer.
    /// What is said there is shown and counted as ever; it calls for no attention unless it mentions the person.
    ///
    /// # Errors
    /// `no_such_conversation`, a store error, `stopped`.
    pub async fn set_muted(&self, conversation: SpaceId, until: Option<u64>) -> Result<Conversation, ApiError> {
        self.ask(|r| Request::SetMuted(conversation, until, r)).await
    }

    /// All that a message said, oldest first; at most [`crate::limits::VERSIONS_SHOWN`] later versions.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, a store error, `stopped`.
    pub async fn versions(&self, conversation: SpaceId, id: MessageId) -> Result<Vec<Version>, ApiError> {
        self.ask(|r| Request::Versions(conversation, id, r)).await
    }

    /// Part of a history, at most [`crate::limits::PAGE_MAX`] messages, oldest first.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn page(&self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError> {
        self.ask(|r| Request::Page(conversation, at, limit, r)).await
    }

    /// One message.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `stopped`.
    pub async fn message(&self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        self.ask(|r| Request::Message(conversation, id, r)).await
    }

    /// What became of a message, a line a member.
    ///
    /// # Errors
    /// `no_such_conversation`, `no_such_message`, `stopped`.
    pub async fn receipts(&self, conversation: SpaceId, id: MessageId) -> Result<Vec<Receipt>, ApiError> {
        self.ask(|r| Request::Receipts(conversation, id, r)).await
    }

    /// Whom messages in a conversation are for, without oneself: those here first, then by name.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn members(&self, conversation: SpaceId) -> Result<Vec<Member>, ApiError> {
        self.ask(|r| Request::Members(conversation, r)).await
    }

    /// Who holds a conversation, or one document of it, up to where, and when each was last seen.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn custody(&self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        self.ask(|r| Request::Custody(conversation, document, r)).await
    }

    /// Everything up to `key` is read.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn mark_read(&self, conversation: SpaceId, key: OrderKey) -> Result<(), ApiError> {
        self.ask(|r| Request::MarkRead(conversation, key, r)).await
    }

    /// How long messages of a conversation are kept.
    ///
    /// # Errors
    /// `no_such_conversation`, `stopped`.
    pub async fn retention(&self, conversation: SpaceId) -> Result<Retention, ApiError> {
        self.ask(|r| Request::Retention(conversation, r)).await
    }

    /// Sets for how many seconds messages of a conversation are kept (a day to ten years, whole hours), or for ever. In
    /// a direct chat for both sides, in the room of a network for this device.
    ///
    /// # Errors
    /// `bad_duration`, `no_such_conversation`, `not_written`, a store error, `stopped`.
    pub async fn set_retention(&self, conversation: SpaceId, keep: Option<u64>) -> Result<Retention, ApiError> {
        self.ask(|r| Request::SetRetention(conversation, keep, r)).await
    }

    /// Deletes this device's copy of what was said before a time (milliseconds since 1970), or of all said so far. It is
    /// not fetched again; others keep theirs.
    ///
    /// # Errors
    /// `bad_time`, `too_many`, `no_such_conversation`, a store error, `stopped`.
    pub async fn forget(&self, conversation: SpaceId, before: Option<u64>) -> Result<Retention, ApiError> {
        self.ask(|r| Request::Forget(conversation, before, r)).await
    }

    /// Every network known.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn networks(&self) -> Result<Vec<Network>, ApiError> {
        self.ask(Request::Networks).await
    }

    /// Joins a network that was met.
    ///
    /// # Errors
    /// `no_such_network`, `stopped`.
    pub async fn join_network(&self, id: NetworkId) -> Result<Network, ApiError> {
        self.ask(|r| Request::JoinNetwork(id, r)).await
    }

    /// Keeps apart from a network that was met, without being asked again.
    ///
    /// # Errors
    /// `no_such_network`, `stopped`.
    pub async fn keep_apart(&self, id: NetworkId) -> Result<Network, ApiError> {
        self.ask(|r| Request::KeepApart(id, r)).await
    }

    /// Names a network for everybody in it.
    ///
    /// # Errors
    /// `no_such_network`, `bad_name`, `stopped`.
    pub async fn name_network(&self, id: NetworkId, name: &str) -> Result<Network, ApiError> {
        self.ask(|r| Request::NameNetwork(id, name.to_owned(), r)).await
    }

    /// The last briefings, at most [`crate::limits::BRIEFINGS_KEPT`], oldest first: what happened while sides were apart.
    ///
    /// # Errors
    /// `store_failed`, `stopped`.
    pub async fn briefings(&self) -> Result<Vec<Briefing>, ApiError> {
        self.ask(Request::Briefings).await
    }

    /// A person has closed a briefing.
    ///
    /// # Errors
    /// `no_such_briefing`, a store error, `stopped`.
    pub async fn briefing_seen(&self, id: u64) -> Result<(), ApiError> {
        self.ask(|r| Request::BriefingSeen(id, r)).await
    }

    /// Gives a device a name of one's own, or takes it back.
    ///
    /// # Errors
    /// `no_such_peer`, `bad_name`, `stopped`.
    pub async fn set_petname(&self, device: DeviceId, name: Option<&str>) -> Result<Peer, ApiError> {
        self.ask(|r| Request::SetPetname(device, name.map(str::to_owned), r)).await
    }

    /// The safety number with a device, to be compared with what it shows.
    ///
    /// # Errors
    /// `no_such_peer`, `stopped`.
    pub async fn safety(&self, device: DeviceId) -> Result<Safety, ApiError> {
        self.ask(|r| Request::Safety(device, r)).await
    }

    /// The person has compared safety numbers with a device and they are the same, or takes that back. Whoever is verified
    /// is warned of no more.
    ///
    /// # Errors
    /// `no_such_peer`, `not_written`, a store error, `stopped`.
    pub async fn set_verified(&self, device: DeviceId, verified: bool) -> Result<Peer, ApiError> {
        self.ask(|r| Request::SetVerified(device, verified, r)).await
    }

    /// Takes the text of a QR code that another device shows, `meant`'s or whoever's it is: where it names that device and
    /// this one, that device is verified. What does not match is also told as a notice.
    ///
    /// # Errors
    /// `bad_code`, `newer_code`, `own_code`, `other_device`, `not_you`, `no_such_peer`, and as [`Self::set_verified`].
    pub async fn scan(&self, code: &str, meant: Option<DeviceId>) -> Result<Peer, ApiError> {
        self.ask(|reply| Request::Scan { code: code.to_owned(), meant, reply }).await
    }

    /// Shows this device as away, or as here again.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn set_away(&self, away: bool) -> Result<(), ApiError> {
        self.ask(|r| Request::SetAway(away, r)).await
    }

    /// Whether others are told how far the person here has read; kept in the settings file. What was told before is not
    /// taken back.
    ///
    /// # Errors
    /// `bad_settings`, `settings_not_saved`, `stopped`.
    pub async fn set_read_receipts(&self, told: bool) -> Result<Status, ApiError> {
        self.ask(|r| Request::SetReadReceipts(told, r)).await
    }

    /// The settings file was changed: read it again.
    ///
    /// # Errors
    /// `bad_settings`, `stopped`.
    pub async fn settings_changed(&self) -> Result<(), ApiError> {
        self.ask(Request::SettingsChanged).await
    }

    /// Sets, changes or removes the key of the network; told by `status` events. In this process alone: the local socket has
    /// no such request, so that the key goes over none.
    ///
    /// # Errors
    /// `same_network_key`, `no_network_key`, `bad_network_key`, `stopped`.
    pub async fn change_network_key(&self, change: KeyChange) -> Result<(), ApiError> {
        self.ask(|r| Request::ChangeKey(change, r)).await
    }

    /// The key of the network for others to join with, likewise in this process alone.
    ///
    /// # Errors
    /// `no_network_key`, `stopped`.
    pub async fn network_key(&self) -> Result<Invite, ApiError> {
        let (key, first) = self.ask(Request::Key).await?.ok_or_else(|| netkeys::ring_error(RingError::NoKey))?;
        // Another than the key gives, where people talked before there was one.
        let primary = self.networks().await?.into_iter().find(|n| n.primary);
        let (network, name) = primary.map_or((first, String::new()), |n| (n.id, n.name));
        Ok(Invite { key, network, name })
    }

    /// Kills an actor by its name in `tree`, as if it had panicked: the hook of the supervision tests.
    ///
    /// # Errors
    /// `no_such_actor`, `stopped`.
    pub async fn kill(&self, actor: &str) -> Result<(), ApiError> {
        self.ask(|r| Request::Kill(actor.to_owned(), r)).await
    }

    /// Reads and checks everything that the node keeps; it goes on meanwhile. `all`: every signature, not only some.
    ///
    /// # Errors
    /// `busy`, `store_failed`, `stopped`.
    pub async fn check(&self, all: bool) -> Result<Checkup, ApiError> {
        self.ask(|r| Request::Care(Care::Check(all, r))).await
    }

    /// Checks everything, repairs what is damaged and checks again. The node's actors start anew for that.
    ///
    /// # Errors
    /// `busy`, `not_here`, `store_failed`, `stopped`.
    pub async fn repair(&self, all: bool) -> Result<Checkup, ApiError> {
        let repaired = self.ask(|r| Request::Care(Care::Repair(r))).await?;
        let mut checkup = self.check(all).await?;
        checkup.repaired(repaired);
        Ok(checkup)
    }

    /// Gives room that erased entries left back to the disk. The node's actors start anew for that.
    ///
    /// # Errors
    /// `busy`, `not_here`, `store_failed`, `stopped`.
    pub async fn compact(&self) -> Result<Compacted, ApiError> {
        self.ask(|r| Request::Care(Care::Compact(r))).await
    }

    /// Saves key, settings and everything in the store, as it is at one moment, to a new file; the node goes on
    /// meanwhile.
    ///
    /// # Errors
    /// `busy`, `file_exists`, `disk_full`, `backup_failed`, `stopped`.
    pub async fn back_up(&self, to: &Path) -> Result<BackedUp, ApiError> {
        self.ask(|r| Request::Care(Care::BackUp(to.to_owned(), r))).await
    }

    /// Exchanges what the node keeps for a backup; what was there is kept aside. The node's actors start anew, as the
    /// device that the backup is of. Without `replace` it is refused: a running node has something to lose.
    ///
    /// # Errors
    /// `busy`, `not_here`, `folder_in_use`, `not_a_backup`, `backup_newer`, `backup_incomplete`, `backup_damaged`,
    /// `disk_full`, `backup_failed`, `stopped`.
    pub async fn restore(&self, from: &Path, replace: bool) -> Result<Restored, ApiError> {
        self.ask(|r| Request::Care(Care::Restore(from.to_owned(), replace, r))).await
    }

    /// Says goodbye, commits what is under way, and stops the node.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn stop(&self) -> Result<(), ApiError> {
        self.ask(Request::Stop).await
    }
}
