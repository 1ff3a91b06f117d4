//! Cairn: what the binary is made of. `cli` is the command line, `local` the socket through which commands reach the
//! node that runs on the same data folder, `demo` a small mesh in one process.

pub mod cli;
pub mod demo;
pub mod local;
