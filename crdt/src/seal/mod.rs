//! Sealing: what makes the payloads of a space readable to its members alone. Pure cryptography: who may have which key
//! is decided elsewhere, random bytes and the time are arguments, and everything that opens something says why it did not.
//!
//! | what | how |
//! |---|---|
//! | epoch | 32 random bytes, the *secret*; its id is a BLAKE3 commitment to space and secret ([`Epoch`]) |
//! | prekey | X25519, a new one each week, signed with the device key ([`Prekey`], [`PrekeyRing`]) |
//! | share | the secret, sealed to one prekey of one device: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 ([`Share`]) |
//! | content | XChaCha20-Poly1305, the entry's header as associated data ([`Epoch::seal`]) |
//!
//! **Who sealed it.** HPKE in base mode says nothing about its sender. Shares travel in signed entries of the control log,
//! and content in signed entries of the log that it belongs to; both signatures cover the sealed bytes.
//!
//! **What a key that does not fit means.** XChaCha20-Poly1305 does not commit to its key: bytes can be made that open
//! under two keys. So the id that an entry names commits to the secret, and a share that holds anything else is as good as
//! none: a missing key, for which the entry waits. Whoever has a secret with that id has the only one, so content that it
//! does not open is void for everybody who can tell.
//!
//! **The nonce** is a keyed hash of the header and the content, under a key of its own, and travels with the payload (a
//! synthetic nonce, as in SIV; Rogaway and Shrimpton, 2006). No random number is asked for, because a node can be copied: a virtual machine that goes on twice from one snapshot has the same generator in the same
//! state twice, and writes two entries at the same place of the same log. With a nonce made of randomness or of the place
//! these two would share key and nonce, which tells a reader of both the sum of the texts, and lets him forge. So made, two
//! entries share a nonce only if header and content are the same, and then they are the same entry.
//!
//! Secrets, keys and what is derived from them are wiped from memory when they are dropped.

mod content;
mod epoch;
mod keys;
mod prekey;
mod share;
mod suite;
#[cfg(test)]
mod tests;

pub use content::{MAX_CONTENT, OVERHEAD, OpenError, SealError};
pub use epoch::{Epoch, EpochSecret};
pub use keys::{Closed, Keys};
pub use prekey::{Prekey, PrekeyRing, RingError};
pub use share::{Share, ShareError};
