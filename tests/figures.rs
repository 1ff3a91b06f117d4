//! Figures that scenarios measure, on their way from a sandbox to the table.
//!
//! A sandboxed process prints each as one line on its standard output; whoever started it collects them.

use std::fmt::Write as _;
use std::time::Duration;

/// The mark at the start of a line that carries a figure.
const MARK: &str = "figure\t";

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// How much, in `unit`.
    pub value: f64,
    /// ms, s, nodes...
    pub unit: String,
    /// The most it may be in a full run; `None`: for information.
    pub at_most: Option<f64>,
}

impl Figure {
    /// Whether it is within its target.
    #[must_use]
    pub fn met(&self) -> bool {
        self.at_most.is_none_or(|limit| self.value <= limit)
    }

    fn line(&self) -> String {
        let limit = self.at_most.map_or_else(String::new, |l| l.to_string());
        format!("{MARK}{}\t{}\t{}\t{limit}", self.what, self.value, self.unit)
    }

    /// Reads a line of a sandboxed process; `None` where it carries no figure.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix(MARK)?.split('\t');
        Some(Self {
            what: fields.next()?.to_owned(),
            value: fields.next()?.parse().ok()?,
            unit: fields.next()?.to_owned(),
            at_most: fields.next()?.parse().ok(),
        })
    }
}

/// Hands a figure out of the sandbox.
pub fn report(what: &str, value: f64, unit: &str, at_most: Option<f64>) {
    println!("{}", Figure { what: what.to_owned(), value, unit: unit.to_owned(), at_most }.line());
}

/// Hands a duration out of the sandbox, in milliseconds.
pub fn report_ms(what: &str, value: Duration, at_most: Option<Duration>) {
    report(what, millis(value), "ms", at_most.map(millis));
}

/// In milliseconds, to a microsecond.
#[must_use]
pub fn millis(d: Duration) -> f64 {
    (d.as_secs_f64() * 1e6).round() / 1e3
}

/// The middle of some durations (the upper one of two).
///
/// # Panics
/// When there are none.
#[must_use]
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    *values.get(values.len() / 2).expect("a median needs a value")
}

/// Lays figures out as a Markdown table; each row names the scenario that measured it.
#[must_use]
pub fn table(rows: &[(String, Figure)]) -> String {
    let mut out = String::from("| figure | value | target | | scenario |\n|---|---|---|---|---|\n");
    for (scenario, f) in rows {
        let target = f.at_most.map_or_else(String::new, |l| format!("<= {l} {}", f.unit));
        let verdict = if f.at_most.is_none() {
            ""
        } else if f.met() {
            "met"
        } else {
            "MISSED"
        };
        let _ = writeln!(out, "| {} | {} {} | {target} | {verdict} | {scenario} |", f.what, f.value, f.unit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_survives_its_line() {
        for at_most in [None, Some(30.0)] {
            let figure = Figure { what: "join".into(), value: 12.5, unit: "ms".into(), at_most };
            assert_eq!(Figure::parse(&figure.line()), Some(figure));
        }
        assert_eq!(Figure::parse("something else"), None);
    }

    #[test]
    fn a_missed_target_shows() {
        let figure = Figure { what: "join".into(), value: 31.0, unit: "ms".into(), at_most: Some(30.0) };
        assert!(table(&[("join".into(), figure)]).contains("MISSED"));
        assert_eq!(median([3, 1, 2].map(Duration::from_millis).to_vec()), Duration::from_millis(2));
    }
}
