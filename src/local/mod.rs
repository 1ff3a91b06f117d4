//! The local socket: how commands (and later other programs of the same person) reach the node that runs on a data
//! folder. Owner only; one JSON object a line.
//!
//! `place` says where the socket is, `protocol` what is spoken, `resolve` what the name of a conversation means,
//! `server` answers for a [`cairn_actors::handle::Handle`], `client` asks. Nothing here listens on a network.

pub mod client;
#[cfg(test)]
pub mod fake;
pub mod lines;
pub mod place;
pub mod protocol;
pub mod resolve;
pub mod server;

#[cfg(test)]
mod tests;
