//! Cairn: what the binary is made of. `ui` is the window, `cli` the command line, `local` the socket through which
//! commands reach the node that runs on the same data folder, `qr` makes and reads QR codes, `netkey` a network's key of
//! what a person gives, `demo` is a small mesh in
//! one process, `words` what terminal and window say alike.

pub mod cli;
pub mod demo;
pub mod local;
pub mod lock;
pub mod netkey;
pub mod qr;
pub mod ui;
pub mod words;
