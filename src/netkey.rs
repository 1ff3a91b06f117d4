//! A network's key of what a person gives, in the window as on the command line.

use cairn_actors::api::ApiError;
use cairn_actors::env::Env;
use cairn_crdt::ids::NetworkId;
use cairn_crdt::netkey::{Invite, NetworkKey, PassphraseError};
use zeroize::Zeroizing;

use crate::qr::Qr;

/// A passphrase, or a key as text. Takes tenths of a second and 64 MiB.
///
/// # Errors
/// `bad_passphrase`, `bad_network_key`, `system` where there is no memory for it.
pub fn of_text(text: &str) -> Result<(NetworkKey, NetworkId), ApiError> {
    if Invite::is_meant(text) {
        let invite: Invite = text.parse().map_err(|e| ApiError::new("bad_network_key", format!("{e}")))?;
        return Ok(of_invite(invite));
    }
    let key = NetworkKey::from_passphrase(text).map_err(|e| {
        let code = if e == PassphraseError::Memory { "system" } else { "bad_passphrase" };
        ApiError::new(code, e.to_string())
    })?;
    Ok((key.clone(), key.network()))
}

/// The key that somebody shows.
#[must_use]
pub fn of_invite(invite: Invite) -> (NetworkKey, NetworkId) {
    (invite.key, invite.network)
}

/// A key that nobody can guess.
///
/// # Errors
/// `system` where the system has no randomness to give.
pub fn random() -> Result<(NetworkKey, NetworkId), ApiError> {
    let env = Env::system().map_err(|e| ApiError::new("system", e))?;
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(env.random());
    let key = NetworkKey::from_secret(&secret);
    Ok((key.clone(), key.network()))
}

/// A key's text as a QR code: in capitals, of the alphanumeric kind, whose codes are smaller.
///
/// # Errors
/// Never for the text of a key.
pub fn code(text: &str) -> Result<Qr, crate::qr::QrError> {
    Qr::of(&Zeroizing::new(text.to_uppercase()))
}
