//! The client of the local socket: the methods of a node's handle, asked over the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use cairn_actors::api::{
    ApiError, BackedUp, Briefing, Checkup, Compacted, Conversation, Custody, Event, Group, GroupCommand,
    GroupInvitation, GroupLine, Member, Message, Network, OrderKey, Page, PageAt, Peer, Receipt, Restored, Retention,
    Safety, Said, Status, Version,
};
use cairn_actors::limits::{LOCAL_LINE_MAX, LOCAL_OPEN_TIMEOUT, LOCAL_REPLY_TIMEOUT};
use cairn_crdt::ids::{DeviceId, DocumentId, MessageId, NetworkId, SpaceId};
use cairn_crdt::vault::DataKey;
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::lines::{LineError, LineReader};
use super::place::{Place, places};
use super::protocol::{LocalReply, LocalRequest, Part, decode, encode};
use super::resolve::{ConvRef, Resolved};

/// A connection to the node that runs on a data folder.
#[derive(Debug)]
pub struct Client {
    lines: LineReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
}

fn gone() -> ApiError {
    ApiError::new("stopped", "the node closed the connection")
}

macro_rules! ask {
    ($self:ident, $request:expr, $reply:path) => {
        match $self.ask($request).await? {
            $reply(value) => Ok(value),
            _ => Err(ApiError::new("bad_reply", "the node gave an answer to another question")),
        }
    };
}

macro_rules! ask_unhurried {
    ($self:ident, $request:expr, $reply:path) => {
        match $self.ask_unhurried($request).await? {
            $reply(value) => Ok(value),
            _ => Err(ApiError::new("bad_reply", "the node gave an answer to another question")),
        }
    };
}

macro_rules! ask_list {
    ($self:ident, $request:expr, $reply:path) => {{
        let Part { mut items, mut more } = ask!($self, $request, $reply)?;
        while more {
            match $self.read().await? {
                $reply(part) => {
                    items.extend(part.items);
                    more = part.more;
                }
                LocalReply::Error(e) => return Err(e),
                _ => return Err(ApiError::new("bad_reply", "the node broke off its answer")),
            }
        }
        Ok(items)
    }};
}

impl Client {
    /// Connects to the node on `data`; `None` where none answers.
    ///
    /// # Errors
    /// `denied` where the socket is another user's, `local_socket` where it fails otherwise.
    pub async fn connect(data: &Path) -> Result<Option<Self>, ApiError> {
        // A folder that does not exist has no node.
        let Ok(places) = places(data, false) else { return Ok(None) };
        for place in places {
            match connect(&place).await {
                Ok(stream) => {
                    let (reader, writer) = tokio::io::split(stream);
                    return Ok(Some(Self { lines: LineReader::new(reader, LOCAL_LINE_MAX), writer }));
                }
                // Nobody there, or the socket of a node that died.
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    let message = format!("{} belongs to another user", place.path().display());
                    return Err(ApiError::new("denied", message));
                }
                Err(e) => {
                    let message = format!("{} can't be used: {e}", place.path().display());
                    return Err(ApiError::new("local_socket", message));
                }
            }
        }
        Ok(None)
    }

    /// One question, one answer. An answer that takes longer than [`LOCAL_REPLY_TIMEOUT`] is an error; the client is
    /// of no use afterwards.
    ///
    /// # Errors
    /// What the node answers, or `stopped`, `no_answer`, `bad_reply`.
    pub async fn ask(&mut self, request: LocalRequest) -> Result<LocalReply, ApiError> {
        let late = || ApiError::new("no_answer", "the node does not answer");
        tokio::time::timeout(LOCAL_REPLY_TIMEOUT, self.ask_unhurried(request)).await.map_err(|_| late())?
    }

    /// The same for what may take as long as it takes: reading or writing everything that the node keeps.
    ///
    /// # Errors
    /// What the node answers, or `stopped`, `bad_reply`.
    pub async fn ask_unhurried(&mut self, request: LocalRequest) -> Result<LocalReply, ApiError> {
        let line = encode(&request)?;
        // A node that refuses the connection closes it, but has said why before.
        let sent = self.writer.write_all(&line).await;
        match self.read_unhurried().await {
            Ok(LocalReply::Error(e)) => Err(e),
            Ok(reply) if sent.is_ok() => Ok(reply),
            Ok(_) => Err(gone()),
            Err(e) => Err(e),
        }
    }

    async fn read(&mut self) -> Result<LocalReply, ApiError> {
        let late = || ApiError::new("no_answer", "the node does not answer");
        tokio::time::timeout(LOCAL_REPLY_TIMEOUT, self.read_unhurried()).await.map_err(|_| late())?
    }

    async fn read_unhurried(&mut self) -> Result<LocalReply, ApiError> {
        match self.lines.next().await {
            Ok(Some(line)) => decode(line).map_err(|e| ApiError { code: "bad_reply".into(), ..e }),
            Ok(None) | Err(LineError::Io(_)) => Err(gone()),
            Err(e @ LineError::TooLong(_)) => Err(ApiError::new("bad_reply", e.to_string())),
        }
    }

    /// Locks what is shown on this folder.
    ///
    /// # Errors
    /// `no_passphrase`, and as [`Client::ask`].
    pub async fn lock(&mut self) -> Result<(), ApiError> {
        self.ask(LocalRequest::Lock).await.map(drop)
    }

    /// Unlocks it with the key of the folder.
    ///
    /// # Errors
    /// `wrong_passphrase`, and as [`Client::ask`].
    pub async fn unlock(&mut self, key: &DataKey) -> Result<(), ApiError> {
        let challenge: [u8; 16] = ask!(self, LocalRequest::Challenge, LocalReply::Challenge)?;
        self.ask(LocalRequest::Unlock { proof: *key.proof(&challenge).as_bytes() }).await.map(drop)
    }

    /// Turns this connection into a stream of events from now on.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn subscribe(mut self) -> Result<Events, ApiError> {
        self.ask(LocalRequest::Subscribe).await?;
        Ok(Events { client: self })
    }

    /// See [`cairn_actors::handle::Handle::status`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn status(&mut self) -> Result<Status, ApiError> {
        ask!(self, LocalRequest::Status, LocalReply::Status).map(|s| *s)
    }

    /// See [`cairn_actors::handle::Handle::set_name`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_name(&mut self, name: &str) -> Result<Status, ApiError> {
        ask!(self, LocalRequest::SetName { name: name.to_owned() }, LocalReply::Status).map(|s| *s)
    }

    /// See [`cairn_actors::handle::Handle::peers`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn peers(&mut self) -> Result<Vec<Peer>, ApiError> {
        ask_list!(self, LocalRequest::Peers, LocalReply::Peers)
    }

    /// See [`cairn_actors::handle::Handle::conversations`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn conversations(&mut self) -> Result<Vec<Conversation>, ApiError> {
        ask_list!(self, LocalRequest::Conversations, LocalReply::Conversations)
    }

    /// What the name of a conversation means.
    ///
    /// # Errors
    /// `no_such_conversation`, `ambiguous`, and as [`Client::ask`].
    pub async fn resolve(&mut self, name: &ConvRef) -> Result<Resolved, ApiError> {
        ask!(self, LocalRequest::Resolve { name: name.clone() }, LocalReply::Resolved)
    }

    /// See [`cairn_actors::handle::Handle::say`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn say(&mut self, conversation: SpaceId, body: &str, id: Option<MessageId>) -> Result<Said, ApiError> {
        self.answer(conversation, body, id, None).await
    }

    /// See [`cairn_actors::handle::Handle::answer`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn answer(
        &mut self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError> {
        ask!(self, LocalRequest::Say { conversation, body: body.to_owned(), id, reply_to }, LocalReply::Said)
    }

    /// See [`cairn_actors::handle::Handle::edit`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn edit(&mut self, conversation: SpaceId, id: MessageId, body: &str) -> Result<Message, ApiError> {
        ask!(self, LocalRequest::Edit { conversation, id, body: body.to_owned() }, LocalReply::Message).map(|m| *m)
    }

    /// See [`cairn_actors::handle::Handle::delete`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn delete(&mut self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        ask!(self, LocalRequest::Delete { conversation, id }, LocalReply::Message).map(|m| *m)
    }

    /// See [`cairn_actors::handle::Handle::react`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn react(
        &mut self,
        conversation: SpaceId,
        id: MessageId,
        emoji: &str,
        on: bool,
    ) -> Result<Message, ApiError> {
        let request = LocalRequest::React { conversation, id, emoji: emoji.to_owned(), on };
        ask!(self, request, LocalReply::Message).map(|m| *m)
    }

    /// See [`cairn_actors::handle::Handle::typing`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn typing(&mut self, conversation: SpaceId, on: bool) -> Result<(), ApiError> {
        self.ask(LocalRequest::Typing { conversation, on }).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::set_pinned`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_pinned(&mut self, conversation: SpaceId, pinned: bool) -> Result<Conversation, ApiError> {
        ask!(self, LocalRequest::SetPinned { conversation, pinned }, LocalReply::Conversation).map(|c| *c)
    }

    /// See [`cairn_actors::handle::Handle::set_muted`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_muted(&mut self, conversation: SpaceId, until: Option<u64>) -> Result<Conversation, ApiError> {
        ask!(self, LocalRequest::SetMuted { conversation, until }, LocalReply::Conversation).map(|c| *c)
    }

    /// See [`cairn_actors::handle::Handle::versions`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn versions(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Version>, ApiError> {
        ask_list!(self, LocalRequest::Versions { conversation, id }, LocalReply::Versions)
    }

    /// See [`cairn_actors::handle::Handle::page`]; may answer fewer messages than asked for, never none of some.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn page(&mut self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError> {
        ask!(self, LocalRequest::Page { conversation, at: at.into(), limit }, LocalReply::Page)
    }

    /// See [`cairn_actors::handle::Handle::message`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn message(&mut self, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        ask!(self, LocalRequest::Message { conversation, id }, LocalReply::Message).map(|m| *m)
    }

    /// See [`cairn_actors::handle::Handle::receipts`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn receipts(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Receipt>, ApiError> {
        ask_list!(self, LocalRequest::Receipts { conversation, id }, LocalReply::Receipts)
    }

    /// See [`cairn_actors::handle::Handle::members`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn members(&mut self, conversation: SpaceId) -> Result<Vec<Member>, ApiError> {
        ask_list!(self, LocalRequest::Members { conversation }, LocalReply::Members)
    }

    /// See [`cairn_actors::handle::Handle::custody`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn custody(&mut self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        ask!(self, LocalRequest::Custody { conversation, document }, LocalReply::Custody).map(|c| *c)
    }

    /// See [`cairn_actors::handle::Handle::mark_read`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn mark_read(&mut self, conversation: SpaceId, key: OrderKey) -> Result<(), ApiError> {
        self.ask(LocalRequest::MarkRead { conversation, key }).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::retention`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn retention(&mut self, conversation: SpaceId) -> Result<Retention, ApiError> {
        ask!(self, LocalRequest::Retention { conversation }, LocalReply::Retention).map(|r| *r)
    }

    /// See [`cairn_actors::handle::Handle::set_retention`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_retention(&mut self, conversation: SpaceId, keep: Option<u64>) -> Result<Retention, ApiError> {
        ask!(self, LocalRequest::SetRetention { conversation, keep }, LocalReply::Retention).map(|r| *r)
    }

    /// See [`cairn_actors::handle::Handle::forget`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn forget(&mut self, conversation: SpaceId, before: Option<u64>) -> Result<Retention, ApiError> {
        ask!(self, LocalRequest::Forget { conversation, before }, LocalReply::Retention).map(|r| *r)
    }

    /// See [`cairn_actors::handle::Handle::group`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn group(&mut self, command: GroupCommand) -> Result<Group, ApiError> {
        ask!(self, LocalRequest::Group { command }, LocalReply::Group).map(|group| *group)
    }

    /// See [`cairn_actors::handle::Handle::groups`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn groups(&mut self) -> Result<Vec<Group>, ApiError> {
        ask_list!(self, LocalRequest::Groups, LocalReply::Groups)
    }

    /// See [`cairn_actors::handle::Handle::invitations`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn invitations(&mut self) -> Result<Vec<GroupInvitation>, ApiError> {
        ask_list!(self, LocalRequest::Invitations, LocalReply::Invitations)
    }

    /// See [`cairn_actors::handle::Handle::group_log`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn group_log(&mut self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        ask_list!(self, LocalRequest::GroupLog { group }, LocalReply::GroupLog)
    }

    /// See [`cairn_actors::handle::Handle::networks`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn networks(&mut self) -> Result<Vec<Network>, ApiError> {
        ask_list!(self, LocalRequest::Networks, LocalReply::Networks)
    }

    /// See [`cairn_actors::handle::Handle::briefings`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn briefings(&mut self) -> Result<Vec<Briefing>, ApiError> {
        ask_list!(self, LocalRequest::Briefings, LocalReply::Briefings)
    }

    /// See [`cairn_actors::handle::Handle::briefing_seen`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn briefing_seen(&mut self, id: u64) -> Result<(), ApiError> {
        self.ask(LocalRequest::BriefingSeen { id }).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::join_network`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn join_network(&mut self, id: NetworkId) -> Result<Network, ApiError> {
        ask!(self, LocalRequest::JoinNetwork { id }, LocalReply::Network)
    }

    /// See [`cairn_actors::handle::Handle::keep_apart`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn keep_apart(&mut self, id: NetworkId) -> Result<Network, ApiError> {
        ask!(self, LocalRequest::KeepApart { id }, LocalReply::Network)
    }

    /// See [`cairn_actors::handle::Handle::name_network`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn name_network(&mut self, id: NetworkId, name: &str) -> Result<Network, ApiError> {
        ask!(self, LocalRequest::NameNetwork { id, name: name.to_owned() }, LocalReply::Network)
    }

    /// See [`cairn_actors::handle::Handle::set_petname`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_petname(&mut self, device: DeviceId, name: Option<&str>) -> Result<Peer, ApiError> {
        let name = name.map(str::to_owned);
        ask!(self, LocalRequest::SetPetname { device, name }, LocalReply::Peer).map(|p| *p)
    }

    /// See [`cairn_actors::handle::Handle::safety`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn safety(&mut self, device: DeviceId) -> Result<Safety, ApiError> {
        ask!(self, LocalRequest::Safety { device }, LocalReply::Safety).map(|s| *s)
    }

    /// See [`cairn_actors::handle::Handle::set_verified`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_verified(&mut self, device: DeviceId, verified: bool) -> Result<Peer, ApiError> {
        ask!(self, LocalRequest::SetVerified { device, verified }, LocalReply::Peer).map(|p| *p)
    }

    /// See [`cairn_actors::handle::Handle::scan`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn scan(&mut self, code: &str, meant: Option<DeviceId>) -> Result<Peer, ApiError> {
        ask!(self, LocalRequest::Scan { code: code.to_owned(), meant }, LocalReply::Peer).map(|p| *p)
    }

    /// See [`cairn_actors::handle::Handle::set_away`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn set_away(&mut self, away: bool) -> Result<(), ApiError> {
        self.ask(LocalRequest::SetAway { away }).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::settings_changed`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn settings_changed(&mut self) -> Result<(), ApiError> {
        self.ask(LocalRequest::SettingsChanged).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::kill`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn kill(&mut self, actor: &str) -> Result<(), ApiError> {
        self.ask(LocalRequest::Kill { actor: actor.to_owned() }).await.map(drop)
    }

    /// See [`cairn_actors::handle::Handle::check`].
    ///
    /// # Errors
    /// As [`Client::ask_unhurried`].
    pub async fn check(&mut self, all: bool) -> Result<Checkup, ApiError> {
        ask_unhurried!(self, LocalRequest::Check { all }, LocalReply::Checkup).map(|c| *c)
    }

    /// See [`cairn_actors::handle::Handle::repair`].
    ///
    /// # Errors
    /// As [`Client::ask_unhurried`].
    pub async fn repair(&mut self, all: bool) -> Result<Checkup, ApiError> {
        ask_unhurried!(self, LocalRequest::Repair { all }, LocalReply::Checkup).map(|c| *c)
    }

    /// See [`cairn_actors::handle::Handle::compact`].
    ///
    /// # Errors
    /// As [`Client::ask_unhurried`].
    pub async fn compact(&mut self) -> Result<Compacted, ApiError> {
        ask_unhurried!(self, LocalRequest::Compact, LocalReply::Compacted)
    }

    /// See [`cairn_actors::handle::Handle::back_up`].
    ///
    /// # Errors
    /// As [`Client::ask_unhurried`].
    pub async fn back_up(&mut self, file: &Path) -> Result<BackedUp, ApiError> {
        ask_unhurried!(self, LocalRequest::BackUp { file: file.to_owned() }, LocalReply::BackedUp)
    }

    /// See [`cairn_actors::handle::Handle::restore`].
    ///
    /// # Errors
    /// As [`Client::ask_unhurried`].
    pub async fn restore(&mut self, file: &Path, replace: bool) -> Result<Restored, ApiError> {
        ask_unhurried!(self, LocalRequest::Restore { file: file.to_owned(), replace }, LocalReply::Restored)
    }

    /// See [`cairn_actors::handle::Handle::stop`].
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn stop(&mut self) -> Result<(), ApiError> {
        match self.ask(LocalRequest::Stop).await {
            // The node may be gone before its answer is.
            Err(e) if e.code != "stopped" => Err(e),
            _ => Ok(()),
        }
    }
}

/// Connects to a place. While more programs knock at once than the system lets wait, again.
async fn connect(place: &Place) -> io::Result<Stream> {
    let deadline = tokio::time::Instant::now() + LOCAL_OPEN_TIMEOUT;
    loop {
        match Stream::connect(place.name()?).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            result => return result,
        }
    }
}

/// Events of the node.
#[derive(Debug)]
pub struct Events {
    client: Client,
}

impl Events {
    /// The next event; waits as long as it takes.
    ///
    /// # Errors
    /// `stopped` where the node went, `bad_reply` where it broke the protocol.
    pub async fn next(&mut self) -> Result<Event, ApiError> {
        match self.client.read_unhurried().await? {
            LocalReply::Event(event) => Ok(*event),
            LocalReply::Error(e) => Err(e),
            _ => Err(ApiError::new("bad_reply", "the node answered where an event was due")),
        }
    }
}
