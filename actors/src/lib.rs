//! The running Cairn node: ractor actors under one supervision tree, tokio, quinn, redb.
//!
//! `tree` shows the supervision tree, `limits` every bound, `api` the commands, queries and events as plain data, and
//! `handle` is the only door for the app. The pure halves of discovery, session and presence are in `proto`; what is
//! replicated and how is in `cairn-crdt`. Nothing here knows of windows or of the command line.

pub mod api;
pub mod care;
mod custody;
pub mod data;
pub mod discovery;
pub mod documents;
pub mod endpoint;
pub mod env;
pub mod freeze;
pub mod gate;
pub mod handle;
mod keys;
pub mod liking;
pub mod limits;
pub mod link;
pub mod lives;
pub mod net;
pub mod netkeys;
pub mod node;
pub mod offline;
pub mod outbox;
pub mod outbox_table;
pub mod own;
pub mod panics;
pub mod pen;
pub mod people;
pub mod presence;
pub mod proto;
pub mod quota;
pub mod rates;
pub mod retention;
pub mod secrets;
pub mod session;
pub mod sessions;
pub mod settings;
pub mod space;
pub mod start;
pub mod storage;
pub mod store;
pub mod tree;
mod truth;
pub mod vault;
pub mod wiring;
