//! Words that the terminal and the window share.

use cairn_actors::api::CatchUp;

/// Names in a list before the rest of them is only counted.
const NAMES: usize = 4;

/// "1 message", "3,000 messages".
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {many}", thousands(n)) }
}

/// Names as a list: "Maya, 张伟 and 3 others".
#[must_use]
pub fn names(all: &[impl AsRef<str>]) -> String {
    let join = |names: &[_]| names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    match all {
        [] => "nobody".to_owned(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] if all.len() <= NAMES => format!("{} and {}", join(first), last.as_ref()),
        _ => {
            let (shown, rest) = all.split_at(NAMES - 1);
            format!("{} and {}", join(shown), count(rest.len() as u64, "other", "others"))
        }
    }
}

/// How far catching up is: "12,400 of 100,000 from Maya".
#[must_use]
pub fn catch_up(c: &CatchUp) -> String {
    let names: Vec<&str> = c.from.iter().map(|b| b.name.as_str()).collect();
    let (came, all) = (thousands(c.came), thousands(c.came.saturating_add(c.left)));
    if names.is_empty() { format!("{came} of {all}") } else { format!("{came} of {all} from {}", self::names(&names)) }
}

/// 100000 as "100,000".
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + 4);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// How long a time of so many milliseconds is, in two units at most.
#[must_use]
pub fn lasted(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0 => format!("{} s", ms / 1_000),
        1..60 => format!("{minutes} min"),
        60..1_440 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} {} h", count(minutes / 1_440, "day", "days"), minutes / 60 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_up_to_four_and_then_counted() {
        let all = ["A", "B", "C", "D", "E"];
        let said: Vec<String> = (0..=5).map(|n| names(&all[..n])).collect();
        assert_eq!(said, ["nobody", "A", "A and B", "A, B and C", "A, B, C and D", "A, B, C and 2 others"]);
    }

    #[test]
    fn a_time_has_two_units_at_most() {
        let said = [0, 59_999, 60_000, 3_599_999, 3_600_000, 86_400_000, 180_000_000].map(lasted);
        assert_eq!(said, ["0 s", "59 s", "1 min", "59 min", "1 h 0 min", "1 day 0 h", "2 days 2 h"]);
    }
}
