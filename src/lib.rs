//! Cairn: what the binary is made of.
