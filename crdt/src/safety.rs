//! Safety numbers: what two people compare to know that nobody stands between their devices. As 60 digits, as 12 words,
//! and as the text of a QR code.
//!
//! **Source.** The construction is that of Signal's numeric fingerprints (libsignal, `rust/protocol/src/fingerprint.rs`):
//! each side has a *fingerprint*, SHA-512 iterated over a version and its key; the digits are 30 of the one and 30 of the
//! other, the lower fingerprint first, five digits from five bytes. The words are BIP 39's English ones, made from 128 bits
//! of a hash of the same two fingerprints, with BIP 39's checksum as the last four bits.
//!
//! **What an attacker has to do.** Who stands in the middle shows each side a key of his own.
//! - *Digits*: for each side he needs a key whose 30 digits are those of the key that he stands in for: a second preimage
//!   among 10^30 = 2^99.7, each try 2^16 hashes: 2^115 SHA-512 a side. Halves that belong to one key each leave him no
//!   collision to look for.
//! - *Words*: they belong to both keys together, and both of his he may choose, so a collision is enough: two sets of 2^64
//!   keys, each key 2^16 hashes: 2^81 SHA-512. Less than the digits, and more than anybody has done; they are for
//!   the phone, where a voice vouches too.
//! - *QR code*: it holds the two keys themselves.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha512};

use crate::ids::{DeviceId, PrincipalId, domain_hash};

/// The version of the construction; it goes into every hash.
const VERSION: u16 = 1;
/// Hashes of a fingerprint: some 15 ms of an honest machine, and 16 bits of work more for every try of another.
const ROUNDS: u32 = 1 << 16;
/// Groups of five digits that one side gives.
const GROUPS: usize = 6;
/// Words in all.
const WORDS: usize = 12;
/// BIP 39's English list (`assets/words`): 2,048 words, a line each.
const LIST: &str = include_str!("../../assets/words/english.txt");
/// How the text of a QR code begins.
const PREFIX: &str = "CAIRN:ID:";
/// The version of that text.
const CODE_VERSION: &str = "1";
/// Longest text that is looked at as a code, in bytes: what one says has 115.
pub const CODE_MAX: usize = 256;

/// What one side gives to a safety number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fingerprint([u8; 64]);

impl Fingerprint {
    fn of(principal: &PrincipalId) -> Self {
        let mut first = Sha512::new();
        first.update(b"cairn 2026 safety number\0");
        first.update(VERSION.to_be_bytes());
        first.update(principal.0);
        let mut hash: [u8; 64] = first.finalize().into();
        for _ in 1..ROUNDS {
            let mut next = Sha512::new();
            next.update(hash);
            next.update(principal.0);
            hash = next.finalize().into();
        }
        Self(hash)
    }

    fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.chunks_exact(5).take(GROUPS).map(|five| {
            let number = five.iter().fold(0u64, |n, b| (n << 8) | u64::from(*b));
            u32::try_from(number % 100_000).unwrap_or(0)
        })
    }
}

/// The safety number of two principals; the same from either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    groups: Vec<u32>,
    words: Vec<&'static str>,
}

impl SafetyNumber {
    /// Computes it: 2^17 hashes, some 30 ms.
    #[must_use]
    pub fn of(a: &PrincipalId, b: &PrincipalId) -> Self {
        let (a, b) = (Fingerprint::of(a), Fingerprint::of(b));
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self { groups: low.groups().chain(high.groups()).collect(), words: words(&low, &high) }
    }

    /// Twelve groups of five digits.
    #[must_use]
    pub fn digits(&self) -> Vec<String> {
        self.groups.iter().map(|g| format!("{g:05}")).collect()
    }

    /// Twelve words.
    #[must_use]
    pub fn words(&self) -> &[&'static str] {
        &self.words
    }
}

/// 128 bits of a hash and four of their checksum, eleven bits a word (BIP 39, "Generating the mnemonic").
fn words(low: &Fingerprint, high: &Fingerprint) -> Vec<&'static str> {
    let mut both = Sha512::new();
    both.update(b"cairn 2026 safety words\0");
    both.update(low.0);
    both.update(high.0);
    let hash: [u8; 64] = both.finalize().into();
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash[..16]);
    let check: [u8; 32] = Sha256::digest(bits).into();
    let list: Vec<&'static str> = LIST.lines().collect();
    let number = u128::from_be_bytes(bits);
    // Eleven bits a word from the top; the last word holds the seven that are left and the checksum.
    let place = |i: usize| match 117usize.checked_sub(i * 11) {
        Some(shift) => (number >> shift) & 0x7ff,
        None => ((number & 0x7f) << 4) | u128::from(check[0] >> 4),
    };
    (0..WORDS).filter_map(|i| list.get(usize::try_from(place(i)).ok()?).copied()).collect()
}

/// What is kept of a comparison that was made: a label of the two keys, so that a record never vouches for others.
#[must_use]
pub fn record(a: &PrincipalId, b: &PrincipalId) -> String {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    crate::ids::base32(&domain_hash("cairn 2026 verified", &[&low.0, &high.0]))
}

/// What a QR code says: who shows it, and whom to. Its text is
/// `CAIRN:ID:1:` *device* `:` *device*, in capitals, so that a QR code needs only its small alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The device that shows the code.
    pub shown_by: DeviceId,
    /// The device that it has the other person's name for.
    pub shown_to: DeviceId,
}

/// Text that is no code of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Far too long.
    #[error("a code has at most {CODE_MAX} bytes, this has {0}")]
    TooLong(usize),
    /// Something else.
    #[error("this is no code of Cairn")]
    Foreign,
    /// One of ours that is not for this.
    #[error("this code of Cairn is for something else")]
    Other,
    /// One of a Cairn to come.
    #[error("this code needs a newer Cairn than this one")]
    Newer,
    /// It begins as ours do and goes on otherwise.
    #[error("this code is damaged")]
    Damaged,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = format!("{}:{}", self.shown_by, self.shown_to).to_uppercase();
        write!(f, "{PREFIX}{CODE_VERSION}:{ids}")
    }
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > CODE_MAX {
            return Err(CodeError::TooLong(text.len()));
        }
        let text = text.trim();
        let (prefix, rest) = text.split_at_checked(PREFIX.len()).ok_or(CodeError::Foreign)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(CodeError::Foreign);
        }
        let mut parts = rest.split(':');
        match parts.next() {
            Some(CODE_VERSION) => {}
            Some(v) if v.parse::<u32>().is_ok_and(|v| v.to_string() != CODE_VERSION && v > 0) => {
                return Err(CodeError::Newer);
            }
            _ => return Err(CodeError::Damaged),
        }
        let mut device = || parts.next().and_then(|p| p.parse::<DeviceId>().ok()).ok_or(CodeError::Damaged);
        let code = Self { shown_by: device()?, shown_to: device()? };
        if parts.next().is_some() { Err(CodeError::Damaged) } else { Ok(code) }
    }
}

/// Why a code proves nothing good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It is our own.
    Own,
    /// Another device shows it than the one that was meant.
    Another,
    /// The device that shows it has another device than ours for us.
    NotMe,
}

impl Code {
    /// What the code that `me` shows to `other` says.
    #[must_use]
    pub fn new(me: DeviceId, other: DeviceId) -> Self {
        Self { shown_by: me, shown_to: other }
    }

    /// Whether it proves that the device which shows it is the one that we have, and has us. `meant`: whose it should be;
    /// `None`: whoever's it is.
    ///
    /// # Errors
    /// [`Mismatch`], the first of them in their order.
    pub fn judge(&self, me: &DeviceId, meant: Option<&DeviceId>) -> Result<DeviceId, Mismatch> {
        if self.shown_by == *me {
            Err(Mismatch::Own)
        } else if meant.is_some_and(|d| *d != self.shown_by) {
            Err(Mismatch::Another)
        } else if self.shown_to != *me {
            Err(Mismatch::NotMe)
        } else {
            Ok(self.shown_by)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a key, by their place.
    type Bytes = fn(u8) -> u8;

    /// Computed by another program, with another implementation of SHA-512: two keys, 60 digits, 12 words.
    const VECTORS: [(Bytes, Bytes, &str, &str); 3] = [
        (
            |_| 1,
            |_| 2,
            "15575 08868 95540 07831 88120 53718 70803 96960 51285 14284 45229 67718",
            "knock hand profit nuclear elephant element parade subway erupt bargain umbrella over",
        ),
        (
            |i| i,
            |i| 255 - i,
            "62553 65219 95033 21349 54415 80365 64550 39755 67482 45811 18618 53771",
            "divorce vicious expect gap craft marine believe entire logic electric lawn gun",
        ),
        (
            |_| 0,
            |_| 255,
            "22449 24288 57860 40656 41564 21061 80443 73280 25043 44807 13943 64700",
            "artefact strong have hockey wild tumble cross shuffle miracle flower chicken enter",
        ),
    ];

    fn key(byte: Bytes) -> PrincipalId {
        PrincipalId(std::array::from_fn(|i| byte(u8::try_from(i).unwrap())))
    }

    #[test]
    fn numbers_are_as_frozen_and_the_same_from_either_side() {
        for (a, b, digits, words) in VECTORS {
            let number = SafetyNumber::of(&key(a), &key(b));
            assert_eq!(number.digits().join(" "), digits);
            assert_eq!(number.words().join(" "), words);
            assert_eq!(SafetyNumber::of(&key(b), &key(a)), number);
        }
    }

    #[test]
    fn each_half_belongs_to_one_key() {
        let [a, b, c] = [1, 2, 3].map(|n| PrincipalId([n; 32]));
        let half = |n: &SafetyNumber| -> std::collections::BTreeSet<String> {
            n.digits().chunks(GROUPS).map(|h| h.join(" ")).collect()
        };
        let (ab, ac) = (SafetyNumber::of(&a, &b), SafetyNumber::of(&a, &c));
        assert_eq!(half(&ab).intersection(&half(&ac)).count(), 1);
        assert_ne!(ab.words(), ac.words());
    }

    #[test]
    fn the_list_is_that_of_bip_39() {
        let list: Vec<_> = LIST.lines().collect();
        assert_eq!((list.len(), list[0], list[2047]), (2048, "abandon", "zoo"));
        assert!(list.windows(2).all(|w| w[0] < w[1]));
        let hash = Sha256::digest(LIST.as_bytes());
        assert_eq!(hash[..4], [0x2f, 0x5e, 0xed, 0x53]);
    }

    #[test]
    fn a_record_is_of_two_keys() {
        let [a, b, c] = [1, 2, 3].map(|n| PrincipalId([n; 32]));
        assert_eq!(record(&a, &b), record(&b, &a));
        assert_ne!(record(&a, &b), record(&a, &c));
        assert_eq!(record(&a, &b).len(), 52);
    }

    #[test]
    fn a_code_has_one_text_and_is_read_strictly() {
        let code = Code::new(DeviceId([1; 32]), DeviceId([2; 32]));
        let text = code.to_string();
        assert_eq!(
            text,
            "CAIRN:ID:1:040G2081040G2081040G2081040G2081040G2081040G2081040G:\
             081040G2081040G2081040G2081040G2081040G2081040G20810"
        );
        for same in [text.clone(), text.to_lowercase(), format!(" {text}\n")] {
            assert_eq!(same.parse(), Ok(code), "{same}");
        }
        let id = DeviceId([1; 32]).to_string();
        let damaged = [
            text[..text.len() - 1].to_owned(),
            format!("{text}:"),
            format!("{text}0"),
            format!("CAIRN:ID:1:{id}"),
            format!("CAIRN:ID:1:{id}::{id}"),
            format!("CAIRN:ID:1 :{id}:{id}"),
            format!("CAIRN:ID:01x:{id}:{id}"),
            format!("CAIRN:ID:0:{id}:{id}"),
            "CAIRN:ID:".to_owned(),
            text.replace('0', "O"),
            text.replace(':', "："),
        ];
        for bad in &damaged[..10] {
            assert_eq!(bad.parse::<Code>(), Err(CodeError::Damaged), "{bad}");
        }
        assert_eq!(damaged[10].parse::<Code>(), Err(CodeError::Foreign));
        assert_eq!("CAIRN:ID:2:whatever".parse::<Code>(), Err(CodeError::Newer));
        for foreign in ["", "CAIRN", "https://example.org", "WIFI:S:cairn;;", "é".repeat(8).as_str()] {
            assert_eq!(foreign.parse::<Code>(), Err(CodeError::Foreign), "{foreign}");
        }
        assert_eq!("x".repeat(300).parse::<Code>(), Err(CodeError::TooLong(300)));
    }

    #[test]
    fn a_code_is_judged_by_who_shows_it_and_whom_to() {
        let [me, ana, other] = [1, 2, 3].map(|n| DeviceId([n; 32]));
        assert_eq!(Code::new(ana, me).judge(&me, Some(&ana)), Ok(ana));
        assert_eq!(Code::new(ana, me).judge(&me, None), Ok(ana));
        assert_eq!(Code::new(me, ana).judge(&me, Some(&ana)), Err(Mismatch::Own));
        assert_eq!(Code::new(other, me).judge(&me, Some(&ana)), Err(Mismatch::Another));
        assert_eq!(Code::new(ana, other).judge(&me, Some(&ana)), Err(Mismatch::NotMe));
        assert_eq!(Code::new(ana, other).judge(&me, None), Err(Mismatch::NotMe));
    }
}
