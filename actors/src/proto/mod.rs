//! The pure halves of the node's protocols: no sockets, no clock, no randomness of their own. Time comes in as the
//! time since the node started, chance as a generator, and what to do comes out as plain values.

pub mod agreed;
pub mod beacon;
pub mod briefing;
pub mod bucket;
pub mod clock;
pub mod discovery;
#[cfg(test)]
mod frozen;
pub mod lag;
pub mod presence;
pub mod proof;
pub mod session;
