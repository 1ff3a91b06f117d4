//! How the two ends of a link show each other that they hold the key of the network, before either says anything else.
//! The dialler speaks first: one proof for each key that it accepts, filled up with random bytes so that their number
//! says nothing. The acceptor answers with a proof for one of these keys that it accepts too, or not at all: whoever
//! only dials gets nothing to try guesses on. A proof is bound to this link, its two ends and who of them dialled
//! (`cairn_crdt::netkey`), so that nobody in the middle can pass it on.
//!
//! Frames: magic `CRNP`, version (1), then of the dialler [`SLOTS`] proofs, of the acceptor one, 32 bytes each.

use cairn_crdt::netkey::{Bond, KeyTag, MAX_OLD, NetworkKey, Role};

/// What a frame of proofs begins with; no control frame does.
pub const MAGIC: [u8; 4] = *b"CRNP";
const VERSION: u8 = 1;
/// Proofs of a dialler.
pub const SLOTS: usize = MAX_OLD + 1;
const HEAD: usize = 4 + 1;

/// Why a link is closed whose other end did not show that it holds the key.
pub const NO_KEY: &str = "this network has a key, and you did not show that you hold it";
/// Why a link is closed whose other end wanted to see a key.
pub const OPEN_HERE: &str = "this device has no network key";
/// Why a link is closed that was proved with a key which is accepted no longer: both ends link again.
pub const KEY_ENDED: &str = "the key that this link was proved with has ended";

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Something else.
    #[error("no proof of a network key")]
    NotAProof,
    /// Of another version.
    #[error("a proof of version {0}")]
    Version(u8),
    /// Of another length.
    #[error("a proof of {0} bytes")]
    Length(usize),
    /// For none of our keys.
    #[error("a proof of another network key")]
    OtherKey,
}

/// Whether a first frame wants to be a proof: the other end is of a network with a key.
#[must_use]
pub fn is_proof(frame: &[u8]) -> bool {
    frame.starts_with(&MAGIC)
}

/// The dialler's frame; `filler` are random bytes.
#[must_use]
pub fn knock(keys: &[NetworkKey], bond: &Bond, filler: &[[u8; 32]; SLOTS]) -> Vec<u8> {
    let proofs = keys.iter().take(SLOTS).map(|k| k.proof(Role::Dialler, bond));
    let all = proofs.chain(filler.iter().copied()).take(SLOTS);
    frame(all)
}

/// The acceptor's answer to a dialler's frame, and with which key the link is proved.
///
/// # Errors
/// [`ProofError`]: the link is closed.
pub fn answer(keys: &[NetworkKey], bond: &Bond, knock: &[u8]) -> Result<(KeyTag, Vec<u8>), ProofError> {
    let proofs = read::<SLOTS>(knock)?;
    let holds = |key: &&NetworkKey| proofs.iter().any(|p| key.proves(Role::Dialler, bond, p));
    let key = keys.iter().find(holds).ok_or(ProofError::OtherKey)?;
    Ok((key.tag(), frame([key.proof(Role::Acceptor, bond)].into_iter())))
}

/// Whether the acceptor's answer proves one of our keys, and which.
///
/// # Errors
/// [`ProofError`]: the link is closed.
pub fn check(keys: &[NetworkKey], bond: &Bond, answer: &[u8]) -> Result<KeyTag, ProofError> {
    let [proof] = read::<1>(answer)?;
    let key = keys.iter().find(|k| k.proves(Role::Acceptor, bond, &proof)).ok_or(ProofError::OtherKey)?;
    Ok(key.tag())
}

fn frame(proofs: impl Iterator<Item = [u8; 32]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + SLOTS * 32);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    proofs.for_each(|p| out.extend_from_slice(&p));
    out
}

fn read<const N: usize>(frame: &[u8]) -> Result<[[u8; 32]; N], ProofError> {
    let rest = frame.strip_prefix(&MAGIC).ok_or(ProofError::NotAProof)?;
    let (version, rest) = rest.split_first().ok_or(ProofError::Length(frame.len()))?;
    if *version != VERSION {
        return Err(ProofError::Version(*version));
    }
    let (proofs, left) = rest.as_chunks::<32>();
    let proofs = <[[u8; 32]; N]>::try_from(proofs).ok().filter(|_| left.is_empty());
    proofs.ok_or(ProofError::Length(frame.len()))
}

#[cfg(test)]
mod tests {
    use cairn_crdt::ids::DeviceId;

    use super::*;

    const FILLER: [[u8; 32]; SLOTS] = [[9; 32]; SLOTS];

    fn keys(numbers: &[u8]) -> Vec<NetworkKey> {
        numbers.iter().map(|n| NetworkKey::from_secret(&[*n; 32])).collect()
    }

    fn bond(link: u8) -> Bond {
        Bond { exporter: [link; 32], dialler: DeviceId([2; 32]), acceptor: DeviceId([3; 32]) }
    }

    /// What each end takes the link to be proved with.
    fn meet(dialler: &[u8], acceptor: &[u8]) -> Result<(KeyTag, KeyTag), ProofError> {
        let (dialler, acceptor, bond) = (keys(dialler), keys(acceptor), bond(1));
        let (theirs, frame) = answer(&acceptor, &bond, &knock(&dialler, &bond, &FILLER))?;
        Ok((check(&dialler, &bond, &frame)?, theirs))
    }

    #[test]
    fn who_shares_a_key_meets_and_nobody_else() {
        let tag = |n: u8| keys(&[n])[0].tag();
        assert_eq!(meet(&[1], &[1]), Ok((tag(1), tag(1))));
        // While a key is changed: new and old on one side, the old alone on the other, either way.
        assert_eq!(meet(&[2, 1], &[1]), Ok((tag(1), tag(1))));
        assert_eq!(meet(&[1], &[2, 1]), Ok((tag(1), tag(1))));
        assert_eq!(meet(&[2, 1], &[2, 1]), Ok((tag(2), tag(2))), "the newest of the acceptor counts");
        assert_eq!(meet(&[3, 2, 1], &[4, 3, 2]), Ok((tag(3), tag(3))));
        assert_eq!(meet(&[1], &[2]), Err(ProofError::OtherKey));
        assert_eq!(meet(&[1], &[]), Err(ProofError::OtherKey));
        assert_eq!(meet(&[], &[1]), Err(ProofError::OtherKey));
    }

    #[test]
    fn proofs_are_worth_nothing_on_another_link_or_turned_back() {
        let (ours, link) = (keys(&[1]), bond(1));
        let said = knock(&ours, &link, &FILLER);
        assert_eq!(answer(&ours, &bond(2), &said).unwrap_err(), ProofError::OtherKey, "passed on");
        let (_, answered) = answer(&ours, &link, &said).unwrap();
        assert_eq!(check(&ours, &bond(2), &answered), Err(ProofError::OtherKey), "passed on");
        let reflected = [&MAGIC[..], &[VERSION], &said[HEAD..HEAD + 32]].concat();
        assert_eq!(check(&ours, &link, &reflected), Err(ProofError::OtherKey), "its own words");
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let (ours, link) = (keys(&[3, 2, 1]), bond(1));
        let said = knock(&ours, &link, &FILLER);
        assert_eq!(said.len(), HEAD + SLOTS * 32);
        let one = knock(&keys(&[1]), &link, &FILLER);
        assert_eq!(one.len(), said.len(), "how many keys there are says nothing");
        let (_, answered) = answer(&ours, &link, &one).unwrap();
        for at in 0..HEAD + 32 {
            let (mut bad, mut worse) = (one.clone(), answered.clone());
            bad[at] ^= 1;
            worse[at] ^= 1;
            assert!(answer(&ours, &link, &bad).is_err() && check(&ours, &link, &worse).is_err(), "{at}");
        }
        for n in 0..said.len() {
            assert!(answer(&ours, &link, &said[..n]).is_err());
            assert!(n == answered.len() || check(&ours, &link, &said[..n]).is_err());
        }
        let long = vec![b'C'; 1 << 20];
        assert_eq!(answer(&ours, &link, &long).unwrap_err(), ProofError::NotAProof);
        assert!(is_proof(&said) && !is_proof(b"CRN"));
        assert_eq!(answer(&ours, &link, b"CRNP\x02").unwrap_err(), ProofError::Version(2));
    }
}
