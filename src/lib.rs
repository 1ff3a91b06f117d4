//! Cairn: what the binary is made of.

pub mod ui;
