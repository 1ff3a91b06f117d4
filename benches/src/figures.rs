//! Percentiles, and the table at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// Rows of figure, value, target.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(String, String, String)>,
}

impl Table {
    /// Adds a row and shows it at once.
    pub fn row(&mut self, figure: &str, value: impl Into<String>, target: impl Into<String>) {
        let row = (figure.to_owned(), value.into(), target.into());
        eprintln!("  {}: {}", row.0, row.1);
        self.rows.push(row);
    }

    /// All rows as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from("| figure | value | target |\n|---|---|---|\n");
        for (figure, value, target) in &self.rows {
            let _ = writeln!(out, "| {figure} | {value} | {target} |");
        }
        out
    }
}

/// The value below which `percent` of all lie; zero where there are none. Sorts.
#[must_use]
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// In microseconds below 10 ms, else in milliseconds.
#[must_use]
pub fn show(d: Duration) -> String {
    if d < Duration::from_millis(10) { format!("{} us", d.as_micros()) } else { format!("{} ms", d.as_millis()) }
}

/// Both, as one cell.
#[must_use]
pub fn p50_p99(values: &mut [Duration]) -> String {
    format!("{} / {}", show(percentile(values, 50)), show(percentile(values, 99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let mut values: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile(&mut values, 50), Duration::from_micros(51));
        assert_eq!(percentile(&mut values, 99), Duration::from_micros(100));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
