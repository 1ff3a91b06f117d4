//! Mentions: which of the names behind an `@` in a text mean somebody.
//!
//! Names are not unique and change, so whoever writes decides whom a name means, and the message holds the ids beside the
//! names as they stand in its text. A name that could mean several people, or nobody, is plain text.

use std::ops::Range;

use crate::ids::PrincipalId;

/// Most people mentioned in one message.
pub const MAX_MENTIONS: usize = 16;
/// Longest name in a mention, in bytes: a name with the short code that tells it from another.
pub const MAX_MENTION_NAME: usize = 96;
/// Places in a text that are looked at.
const PLACES: usize = 64;

/// Somebody whom a message mentions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Who.
    pub who: PrincipalId,
    /// As the text says it, without the `@`.
    pub name: Box<str>,
}

/// What was found in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Whom it mentions, by id, each once.
    pub mentions: Vec<Mention>,
    /// Names in it that could mean several people.
    pub ambiguous: Vec<String>,
}

/// Looks for names behind an `@`, whatever their case; the longest name counts. Somebody may have several names.
#[must_use]
pub fn find(body: &str, names: &[(PrincipalId, &str)]) -> Found {
    let mut out = Found::default();
    for rest in ats(body).take(PLACES) {
        let fits = names.iter().filter_map(|(who, name)| Some((prefix(rest, name)?, *who)));
        let fits: Vec<_> = fits.filter(|(len, _)| *len > 0 && *len <= MAX_MENTION_NAME).collect();
        let Some(longest) = fits.iter().map(|(len, _)| *len).max() else { continue };
        let name = rest.get(..longest).unwrap_or_default();
        let mut who: Vec<_> = fits.into_iter().filter(|(len, _)| *len == longest).map(|(_, who)| who).collect();
        who.sort_unstable();
        who.dedup();
        match who.as_slice() {
            [who] if out.mentions.iter().all(|m| m.who != *who) && out.mentions.len() < MAX_MENTIONS => {
                out.mentions.push(Mention { who: *who, name: name.into() });
            }
            [] | [_] => {}
            _ if out.ambiguous.iter().any(|n| n == name) => {}
            _ => out.ambiguous.push(name.to_owned()),
        }
    }
    out.mentions.sort_unstable();
    out
}

/// Where a text mentions whom: ranges of bytes with the `@`, ascending, and the place among `mentions`.
#[must_use]
pub fn places(body: &str, mentions: &[Mention]) -> Vec<(Range<usize>, usize)> {
    let mut out: Vec<(Range<usize>, usize)> = Vec::new();
    for rest in ats(body) {
        let fits = |m: &Mention| rest.strip_prefix(&*m.name).is_some_and(|next| ends(next.chars().next()));
        let longest = mentions.iter().enumerate().filter(|(_, m)| fits(m)).max_by_key(|(_, m)| m.name.len());
        if let Some((at, m)) = longest {
            let start = body.len().saturating_sub(rest.len());
            out.push((start.saturating_sub(1)..start.saturating_add(m.name.len()), at));
        }
    }
    out
}

/// Those that the text says indeed: a mention that nobody can see is none.
pub(crate) fn seen(body: &str, mut mentions: Vec<Mention>) -> Box<[Mention]> {
    if !mentions.is_empty() {
        let places = places(body, &mentions);
        let mut at = 0;
        mentions.retain(|_| {
            at += 1;
            places.iter().any(|(_, m)| m + 1 == at)
        });
        mentions.sort_unstable();
    }
    mentions.into_boxed_slice()
}

/// What follows each `@` that is not in the middle of a word, as in the address of a mail.
fn ats(body: &str) -> impl Iterator<Item = &str> {
    body.match_indices('@').filter_map(|(at, _)| {
        let before = body.get(..at)?.chars().next_back();
        if ends(before) { body.get(at.checked_add(1)?..) } else { None }
    })
}

/// How many bytes of a text are a name, whatever the case of both, if it begins with it and the name ends there.
fn prefix(text: &str, name: &str) -> Option<usize> {
    let mut rest = text.chars();
    for c in name.chars() {
        let other = rest.next()?;
        if c != other && !c.to_lowercase().eq(other.to_lowercase()) {
            return None;
        }
    }
    ends(rest.clone().next()).then_some(text.len().saturating_sub(rest.as_str().len()))
}

/// Whether a word ends before this character. Scripts that are written without blanks have no such places.
fn ends(c: Option<char>) -> bool {
    let joined = |c: char| {
        let unspaced = matches!(c, '\u{e00}'..='\u{eff}' | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
        c == '_' || (c.is_alphanumeric() && !unspaced)
    };
    !c.is_some_and(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: PrincipalId = PrincipalId([1; 32]);
    const ANNA: PrincipalId = PrincipalId([2; 32]);
    const SAM: PrincipalId = PrincipalId([3; 32]);
    const SAM2: PrincipalId = PrincipalId([4; 32]);
    const WEI: PrincipalId = PrincipalId([5; 32]);

    fn names() -> Vec<(PrincipalId, &'static str)> {
        vec![
            (ANN, "Ann"),
            (ANN, "The boss"),
            (ANNA, "Ann Lee"),
            (SAM, "Sam"),
            (SAM2, "Sam"),
            (SAM, "Sam · 1234-5678"),
            (WEI, "张伟"),
            (WEI, ""),
        ]
    }

    fn found(body: &str) -> Vec<(PrincipalId, String)> {
        find(body, &names()).mentions.into_iter().map(|m| (m.who, m.name.into())).collect()
    }

    #[test]
    fn the_longest_name_that_ends_there_counts() {
        assert_eq!(found("@Ann, look"), [(ANN, "Ann".to_owned())]);
        assert_eq!(found("(@ann lee)"), [(ANNA, "ann lee".to_owned())]);
        assert_eq!(found("ask @the BOSS and @Ann Lee"), [(ANN, "the BOSS".to_owned()), (ANNA, "Ann Lee".to_owned())]);
        assert_eq!(found("@Ann and @the boss"), [(ANN, "Ann".to_owned())], "each once");
        assert_eq!(found("请@张伟看一下"), [(WEI, "张伟".to_owned())], "no blanks are needed where none are written");
        for nobody in ["Ann", "@ Ann", "@Annabel", "mail x@Ann", "@", "@@", "@nobody", "@_Ann", "@Ann_b"] {
            assert_eq!(found(nobody), [], "{nobody}");
        }
    }

    #[test]
    fn an_ambiguous_name_is_plain_text_and_is_told() {
        let both = find("@Sam and @sam and @Sam · 1234-5678", &names());
        assert_eq!(both.mentions, [Mention { who: SAM, name: "Sam · 1234-5678".into() }]);
        assert_eq!(both.ambiguous, ["Sam", "sam"]);
    }

    #[test]
    fn there_are_not_too_many() {
        let names: Vec<_> = (0..100u8).map(|n| (PrincipalId([n; 32]), format!("n{n}"))).collect();
        let refs: Vec<_> = names.iter().map(|(who, name)| (*who, name.as_str())).collect();
        let body: String = names.iter().map(|(_, n)| format!("@{n} ")).collect();
        assert_eq!(find(&body, &refs).mentions.len(), MAX_MENTIONS);
        assert!(find(&"@".repeat(60_000), &refs).mentions.is_empty());
    }

    #[test]
    fn what_a_message_mentions_is_found_again_in_its_text() {
        let m = |who, name: &str| Mention { who, name: name.into() };
        let mentions = [m(ANN, "Ann"), m(ANNA, "Ann Lee"), m(SAM, "Sam")];
        let body = "@Ann Lee, é @Ann: @Annabel @Ann";
        let at: Vec<_> = places(body, &mentions).into_iter().map(|(r, n)| (&body[r], n)).collect();
        assert_eq!(at, [("@Ann Lee", 1), ("@Ann", 0), ("@Ann", 0)]);
        assert_eq!(*seen(body, mentions.to_vec()), mentions[..2], "Sam stands nowhere in it");
    }
}
