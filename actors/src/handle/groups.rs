//! Groups and invitations through the door.

use cairn_crdt::ids::SpaceId;

use super::{Handle, Request};
use crate::api::{ApiError, Group, GroupCommand, GroupInvitation, GroupLine};

impl Handle {
    /// Does something with a group. Answers what the group is then, once that is durable here.
    ///
    /// # Errors
    /// `no_such_group`, `no_such_invitation`, `no_such_peer`, `not_a_member`, `not_an_admin`, `already_a_member`,
    /// `last_admin`, `oneself`, `bad_name`, `too_many`, a store error, `stopped`.
    pub async fn group(&self, command: GroupCommand) -> Result<Group, ApiError> {
        self.ask(|r| Request::Group(command, r)).await
    }

    /// Every group that this device is in, comes into or was in, by name.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn groups(&self) -> Result<Vec<Group>, ApiError> {
        self.ask(Request::Groups).await
    }

    /// Invitations that wait for an answer, the oldest first.
    ///
    /// # Errors
    /// `stopped`.
    pub async fn invitations(&self) -> Result<Vec<GroupInvitation>, ApiError> {
        self.ask(Request::Invitations).await
    }

    /// What was done to who belongs to a group, and what became of it, oldest first; the last 500.
    ///
    /// # Errors
    /// `no_such_group`, `stopped`.
    pub async fn group_log(&self, group: SpaceId) -> Result<Vec<GroupLine>, ApiError> {
        self.ask(|r| Request::GroupLog(group, r)).await
    }
}
