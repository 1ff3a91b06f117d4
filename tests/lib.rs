//! The proving ground: a virtual LAN of network namespaces, real `cairn` processes on its hosts, and the scenarios
//! that hold the promises of the product on it.
//!
//! A scenario runs in a **sandbox** of its own: user, network, mount and process namespaces that need no rights on the
//! machine and vanish with everything in them when it ends. `cargo test` runs each at a tenth of its scale; `cargo run
//! --release -p cairn-tests --bin lan-report` runs all in full and prints their figures. Where the kernel refuses the
//! namespaces, tests say so loudly and pass.
//!
//! Nothing here knows the inside of the product: it speaks to the binary through its command line, as scripts do.
//!
//! - `sandbox`: from a test to a process inside fresh namespaces and back.
//! - `lan`: the switch, the hosts, and what can befall them.
//! - `node`, `events`: a running `cairn node`, its events, and the verbs against it.
//! - `udp`: a program of a few lines that proves the LAN itself, and makes noise.
//! - `scenario`: the behaviours, one a file.
// Scenarios are tests: a failed expectation ends the sandboxed process, and that is how a scenario fails.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod binary;
pub mod dice;
pub mod events;
pub mod figures;
pub mod lan;
pub mod node;
pub mod rules;
pub mod sandbox;
pub mod scenario;
pub mod udp;
