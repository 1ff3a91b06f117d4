//! The store of a data folder on which no node runs, opened for one command: who I am, whom I know, what was said;
//! what is said now waits in the outbox until the next node signs it.

use std::path::Path;

use cairn_actors::api::{ApiError, Conversation, Network, Page, PageAt, Peer, Receipt, Said, Status};
use cairn_crdt::ids::{MessageId, NetworkId, SpaceId};

use super::backend::{Backend, no_node};
use crate::local::resolve::{ConvRef, Resolved, resolve};

/// The store of a data folder.
#[derive(Debug)]
pub struct Offline {
    error: ApiError,
}

impl Offline {
    /// Opens the store.
    ///
    /// # Errors
    /// `in_use` where another process has it open, `no_node` where there is none.
    pub async fn open(data: &Path) -> Result<Self, ApiError> {
        Err(no_node(data))
    }

    fn needs_node<T>(&self) -> Result<T, ApiError> {
        Err(self.error.clone())
    }
}

impl Backend for Offline {
    fn running(&self) -> bool {
        false
    }
    async fn status(&mut self) -> Result<Status, ApiError> {
        self.needs_node()
    }
    async fn set_name(&mut self, _name: &str) -> Result<Status, ApiError> {
        self.needs_node()
    }
    async fn peers(&mut self) -> Result<Vec<Peer>, ApiError> {
        self.needs_node()
    }
    async fn conversations(&mut self) -> Result<Vec<Conversation>, ApiError> {
        self.needs_node()
    }
    async fn resolve(&mut self, name: &ConvRef) -> Result<Resolved, ApiError> {
        resolve(name, &self.conversations().await?, &self.peers().await?)
    }
    async fn say(&mut self, _conversation: SpaceId, _body: &str, _id: Option<MessageId>) -> Result<Said, ApiError> {
        self.needs_node()
    }
    async fn page(&mut self, _conversation: SpaceId, _at: PageAt, _limit: usize) -> Result<Page, ApiError> {
        self.needs_node()
    }
    async fn receipts(&mut self, _conversation: SpaceId, _id: MessageId) -> Result<Vec<Receipt>, ApiError> {
        self.needs_node()
    }
    async fn networks(&mut self) -> Result<Vec<Network>, ApiError> {
        self.needs_node()
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
    async fn settings_changed(&mut self) -> Result<(), ApiError> {
        Ok(())
    }
    async fn kill(&mut self, _actor: &str) -> Result<(), ApiError> {
        self.needs_node()
    }
}
