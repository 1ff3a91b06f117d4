//! Whole nodes in one process: on a simulated LAN with a paused clock, and on real sockets and a real store.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod at_rest;
mod briefing;
mod care;
mod catch_up;
mod chaos;
mod clocks;
mod custody;
mod failing;
mod forks;
mod frozen;
mod groups;
mod hostile;
mod lan;
mod mesh;
mod network_key;
mod newer;
mod peers;
mod quota;
mod reading;
mod real;
mod restart;
mod retention;
mod said_of;
mod sealed;
mod trust;
mod truth;
mod world;
