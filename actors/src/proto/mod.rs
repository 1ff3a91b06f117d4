//! The pure halves of discovery, session and presence.

pub mod presence;
pub mod session;
