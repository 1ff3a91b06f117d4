//! Names that people take for one another: the same but for case, blanks, invisible characters, width, punctuation, or
//! letters that look alike in another script.
//!
//! **Source.** The skeleton of Unicode Technical Standard 39, section 4 (`unicode-security`, its table of confusables). By
//! itself it keeps case apart and knows nothing of case folding, so a name has two keys: its *shape*, the skeleton of what
//! is written ("Ian" and "lan", Latin "Ana" and Cyrillic "Аnа"), and its *sound*, the skeleton of it in small letters
//! ("ANA" and "ana", "Bob" and "b0b"). Two names are alike where one of the two is the same. Accents are kept: "Hà" and "Ha"
//! are two names.

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// The keys of a name, for an index of names that are alike: two names are alike if one of their keys is the same. No shape
/// equals a sound. For a name of 64 bytes they have some thousand bytes at most.
#[must_use]
pub fn keys(name: &str) -> [String; 2] {
    // Full-width and the like as the ordinary letters; what skeletons map to letters is mapped before it is dropped.
    let plain: String = name.nfkc().collect();
    let shape: String = skeleton(&plain).collect();
    let small: String = skeleton(&plain.to_lowercase()).collect();
    [format!("={}", bare(&shape)), format!("~{}", bare(&small.to_lowercase()))]
}

/// Whether two names may be taken for one another.
#[must_use]
pub fn alike(a: &str, b: &str) -> bool {
    keys(a).iter().zip(&keys(b)).any(|(a, b)| a == b)
}

/// What is left without blanks and punctuation; of a name that is nothing else, without blanks.
fn bare(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !is_blank(*c) && !is_punctuation(*c)).collect();
    if kept.is_empty() { text.chars().filter(|c| !is_blank(*c)).collect() } else { kept }
}

fn is_blank(c: char) -> bool {
    // The filler letters of Hangul, the blank of Braille and what has no glyph of its own look like blanks.
    c.is_whitespace() || c.is_control() || matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}')
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{a1}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{303f}')
            && !c.is_alphanumeric()
        || matches!(c, '\u{30fb}' | '\u{ff65}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_one_another_is_alike() {
        for (a, b) in [
            ("Ana", "ana"),
            ("Ana", "ANA"),
            ("Ana", " Ana "),
            ("Ana", "A n a"),
            ("Ana", "Ana."),
            ("Ana", "Ana\u{200b}"),
            ("Ana", "A\u{ad}na"),
            ("Ana", "An\u{2060}a"),
            ("Ana", "\u{202a}Ana\u{202c}"),
            ("Ana", "Ana\u{fe0f}"),
            ("Ana", "Ana\u{3164}"),
            ("Ana", "Ａｎａ"),
            ("Ana", "𝐀𝓷𝖺"),
            ("Ana", "А\u{6e}а"),
            ("Ana", "ａНа".replace('Н', "n").as_str()),
            ("paypal", "раураӏ"),
            ("Maya Okafor", "Maya_Okafor"),
            ("Post 3", "post-3"),
            ("Ian", "lan"),
            ("Ian", "1an"),
            ("Bob", "b0b"),
            ("Tom", "Torn"),
            ("Müller", "Mu\u{308}ller"),
            ("张伟", "张 伟"),
            ("ｶﾞｰﾄﾞ", "ガード"),
            ("straße", "STRASSE".to_lowercase().replace("ss", "ß").as_str()),
        ] {
            assert!(alike(a, b) && alike(b, a), "{a:?} {b:?}: {:?} {:?}", keys(a), keys(b));
        }
    }

    #[test]
    fn what_differs_stays_apart() {
        for (a, b) in [
            ("Ana", "Anna"),
            ("Lan", "Ian"),
            ("Hà", "Ha"),
            ("José", "Jose"),
            ("Post 3", "Post 4"),
            ("Post 1", "Post 11"),
            ("张伟", "张玮"),
            ("दीप", "दप"),
            ("🚒", "🚑"),
            ("Ana 🚒", "Ana"),
            ("...", "---"),
        ] {
            assert!(!alike(a, b), "{a:?} {b:?}: {:?} {:?}", keys(a), keys(b));
        }
    }

    #[test]
    fn keys_never_meet_and_stay_short() {
        assert!(alike("", "\u{200b}"));
        let [shape, sound] = keys("ana");
        assert_ne!(shape, sound);
        // The longest expansion of a character, as often as it fits a name.
        let long = "\u{fdfa}".repeat(21);
        assert!(keys(&long).iter().all(|k| k.len() < 2_000), "{:?}", keys(&long).map(|k| k.len()));
    }
}
