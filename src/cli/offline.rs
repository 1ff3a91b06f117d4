//! The store of a data folder on which no node runs, opened for one command: who I am, whom I know, what was said;
//! what is said now waits in the outbox until the next node signs it.

use std::fmt;
use std::path::{Path, PathBuf};

use cairn_actors::api::{
    ApiError, Briefing, Conversation, ConversationKind, Custody, Group, GroupCommand, GroupInvitation, GroupLine,
    Message, Network, Page, PageAt, Peer, Receipt, Retention, Safety, Said, Status, Version,
};
use cairn_actors::data::settings_path;
use cairn_actors::offline::Offline as Store;
use cairn_actors::settings::{Settings, SettingsError};
use cairn_crdt::ids::{DeviceId, DocumentId, MessageId, NetworkId, SpaceId};
use cairn_crdt::vault::DataKey;

use super::backend::{Backend, no_node};
use super::config::settings_error;
use super::start::start_error;
use crate::local::resolve::{ConvRef, Resolved, resolve};

/// The Everyone room of a device that is in no network yet: the outbox keeps what is said there for the first.
const NO_ROOM: SpaceId = SpaceId([0; 32]);

/// The store of a data folder.
pub struct Offline {
    store: Store,
    data: PathBuf,
}

impl fmt::Debug for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offline").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Offline {
    /// Opens the store; a fresh folder gets its key here.
    ///
    /// # Errors
    /// `in_use` where another process has it open, else what is wrong with it.
    pub fn open(data: &Path) -> Result<Self, ApiError> {
        Self::open_with(data, None)
    }

    /// The same with the key of a folder that has a passphrase.
    ///
    /// # Errors
    /// As [`Self::open`]; `locked` where it has one and there is no key.
    pub fn open_with(data: &Path, key: Option<DataKey>) -> Result<Self, ApiError> {
        let store = Store::open(data, key).map_err(|e| start_error(&e))?;
        Ok(Self { store, data: data.to_owned() })
    }

    fn needs_node<T>(&self) -> Result<T, ApiError> {
        Err(no_node(&self.data))
    }
}

impl Backend for Offline {
    fn running(&self) -> bool {
        false
    }
    async fn status(&mut self) -> Result<Status, ApiError> {
        Ok(self.store.status())
    }
    async fn set_name(&mut self, name: &str) -> Result<Status, ApiError> {
        let path = settings_path(&self.data);
        let mut settings = Settings::load(&path).map_err(|e| settings_error(&e))?;
        let bad_name = |e: &SettingsError| ApiError { code: "bad_name".into(), ..settings_error(e) };
        if name.trim().is_empty() {
            return Err(ApiError::new("bad_name", "a name has 1 to 64 bytes"));
        }
        settings.set("name", name).map_err(|e| bad_name(&e))?;
        settings.named = true;
        settings.save(&path).map_err(|e| settings_error(&e))?;
        let status = self.store.status();
        Ok(Status { name: settings.name.unwrap_or_else(|| status.name.clone()), named: true, ..status })
    }
    async fn peers(&mut self) -> Result<Vec<Peer>, ApiError> {
        Ok(self.store.peers())
    }
    async fn conversations(&mut self) -> Result<Vec<Conversation>, ApiError> {
        self.store.conversations()
    }
    async fn resolve(&mut self, name: &ConvRef) -> Result<Resolved, ApiError> {
        let conversations: Vec<Resolved> = self.store.places()?.into_iter().map(Resolved::from).collect();
        if *name == ConvRef::Everyone && !conversations.iter().any(|c| c.kind == ConversationKind::Everyone) {
            let title = "Everyone".to_owned();
            return Ok(Resolved { id: NO_ROOM, kind: ConversationKind::Everyone, title, peer: None });
        }
        resolve(name, &conversations, &self.store.peers())
    }
    async fn say(
        &mut self,
        conversation: SpaceId,
        body: &str,
        id: Option<MessageId>,
        reply_to: Option<MessageId>,
    ) -> Result<Said, ApiError> {
        self.store.say((conversation != NO_ROOM).then_some(conversation), body, id, reply_to)
    }
    async fn edit(&mut self, _conversation: SpaceId, _id: MessageId, _body: &str) -> Result<Message, ApiError> {
        self.needs_node()
    }
    async fn delete(&mut self, _conversation: SpaceId, _id: MessageId) -> Result<Message, ApiError> {
        self.needs_node()
    }
    async fn react(&mut self, _: SpaceId, _: MessageId, _: &str, _: bool) -> Result<Message, ApiError> {
        self.needs_node()
    }
    async fn set_pinned(&mut self, _conversation: SpaceId, _pinned: bool) -> Result<Conversation, ApiError> {
        self.needs_node()
    }
    async fn set_muted(&mut self, _conversation: SpaceId, _until: Option<u64>) -> Result<Conversation, ApiError> {
        self.needs_node()
    }
    async fn versions(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Version>, ApiError> {
        self.store.versions(conversation, &id)
    }
    async fn page(&mut self, conversation: SpaceId, at: PageAt, limit: usize) -> Result<Page, ApiError> {
        self.store.page(conversation, at, limit)
    }
    async fn receipts(&mut self, conversation: SpaceId, id: MessageId) -> Result<Vec<Receipt>, ApiError> {
        self.store.receipts(conversation, &id)
    }
    async fn custody(&mut self, conversation: SpaceId, document: Option<DocumentId>) -> Result<Custody, ApiError> {
        self.store.custody(conversation, document)
    }
    async fn retention(&mut self, conversation: SpaceId) -> Result<Retention, ApiError> {
        self.store.retention(conversation)
    }
    async fn set_retention(&mut self, _conversation: SpaceId, _keep: Option<u64>) -> Result<Retention, ApiError> {
        self.needs_node()
    }
    async fn forget(&mut self, _conversation: SpaceId, _before: Option<u64>) -> Result<Retention, ApiError> {
        self.needs_node()
    }
    async fn group(&mut self, _command: GroupCommand) -> Result<Group, ApiError> {
        self.needs_node()
    }
    async fn groups(&mut self) -> Result<Vec<Group>, ApiError> {
        self.store.groups()
    }
    async fn invitations(&mut self) -> Result<Vec<GroupInvitation>, ApiError> {
        self.store.invitations()
    }
    async fn group_log(&mut self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        self.store.group_log(group)
    }
    async fn networks(&mut self) -> Result<Vec<Network>, ApiError> {
        Ok(self.store.networks())
    }
    async fn briefings(&mut self) -> Result<Vec<Briefing>, ApiError> {
        self.store.briefings()
    }
    async fn join_network(&mut self, _id: NetworkId) -> Result<Network, ApiError> {
        self.needs_node()
    }
    async fn keep_apart(&mut self, _id: NetworkId) -> Result<Network, ApiError> {
        self.needs_node()
    }
    async fn name_network(&mut self, _id: NetworkId, _name: &str) -> Result<Network, ApiError> {
        self.needs_node()
    }
    async fn safety(&mut self, device: DeviceId) -> Result<Safety, ApiError> {
        self.store.safety(device)
    }
    async fn set_verified(&mut self, _device: DeviceId, _verified: bool) -> Result<Peer, ApiError> {
        self.needs_node()
    }
    async fn scan(&mut self, _code: &str, _meant: Option<DeviceId>) -> Result<Peer, ApiError> {
        self.needs_node()
    }
    async fn settings_changed(&mut self) -> Result<(), ApiError> {
        // The next node reads them.
        Ok(())
    }
    async fn kill(&mut self, _actor: &str) -> Result<(), ApiError> {
        self.needs_node()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Captured;
    use crate::cli::text::Out;
    use crate::cli::{say, status};

    #[tokio::test]
    async fn a_fresh_folder_has_an_identity_and_takes_what_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Offline::open(dir.path()).unwrap();
        let captured = Captured::default();
        let mut out = Out::to(captured.clone(), true);
        status::whoami(&mut store, &mut out, Some("Post 3")).await.unwrap();
        status::status(&mut store, &mut out).await.unwrap();
        for token in ["a", "a", "b"] {
            say::say(&mut store, &mut out, &ConvRef::Everyone, say::As { id: Some(token), reply: None }, "hi")
                .await
                .unwrap();
        }
        let text = captured.text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("\"name\":\"Post 3\""), "{text}");
        assert!(lines[1].contains("\"incarnation\":null,\"port\":null,\"peers_online\":0"), "{text}");
        // There is no room yet, and none is made up.
        assert!(lines[2].contains("\"conversation\":null,\"state\":\"queued\""), "{text}");
        assert_eq!(lines[2], lines[3]);
        assert_ne!(lines[2], lines[4]);
        assert_eq!(store.set_name(&"x".repeat(65)).await.unwrap_err().code, "bad_name");
        assert_eq!(store.kill("storage").await.unwrap_err().code, "no_node");
        assert_eq!(Offline::open(dir.path()).unwrap_err().code, "in_use");
        drop(store);
        let mut store = Offline::open(dir.path()).unwrap();
        assert_eq!(store.status().await.unwrap().name, "Post 3");
    }
}
