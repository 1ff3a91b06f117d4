//! Text of others on a terminal: harmless, aligned, coloured only where that helps.

use std::io::{self, IsTerminal, Write};

use unicode_width::UnicodeWidthStr;

use super::error::Failure;

/// Whether a character would steer the terminal or turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// One line without anything that steers the terminal: names and messages come from strangers.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if steers(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The lines of a text, each without anything that steers the terminal.
pub fn plain_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(plain)
}

/// `text` and blanks up to `width` columns; wide characters count as two.
#[must_use]
pub fn pad(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(blanks))
}

/// Rows in aligned columns, two blanks between, nothing after the last.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            match widths.get_mut(i) {
                Some(w) => *w = (*w).max(cell.width()),
                None => widths.push(cell.width()),
            }
        }
    }
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| pad(cell, *w)).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style(pub bool);

impl Style {
    /// Colours on a terminal that has them, unless `NO_COLOR` is set.
    #[must_use]
    pub fn detect() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let able = if cfg!(windows) {
            set("WT_SESSION") || set("TERM")
        } else {
            std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        };
        Self(io::stdout().is_terminal() && able && !set("NO_COLOR"))
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Of lesser weight.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Of greater weight.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Good.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Worth a look.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
}

/// Says something beside the result, on stderr. Where nobody reads that, nothing is lost.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where a command's result goes.
pub struct Out {
    /// Whether to print JSON.
    pub json: bool,
    /// Colours.
    pub style: Style,
    sink: Box<dyn Write + Send>,
}

impl Out {
    /// Onto stdout.
    #[must_use]
    pub fn stdout(json: bool) -> Self {
        Self { json, style: Style::detect(), sink: Box::new(io::stdout()) }
    }

    /// Into anything, without colours.
    pub fn to(sink: impl Write + Send + 'static, json: bool) -> Self {
        Self { json, style: Style(false), sink: Box::new(sink) }
    }

    /// One line.
    ///
    /// # Errors
    /// [`Failure::NoReader`] where nobody reads, `io` where writing fails.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.sink, "{line}")?;
        Ok(self.sink.flush()?)
    }

    /// Several lines.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn lines(&mut self, lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
        for line in lines {
            writeln!(self.sink, "{line}")?;
        }
        Ok(self.sink.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_stranger_steers_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}c\u{202e}d\r"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(plain("张伟 👩‍🚒 é"), "张伟 👩‍🚒 é");
        assert_eq!(plain_lines("a\nb\x07").collect::<Vec<_>>(), ["a", "b\u{fffd}"]);
    }

    #[test]
    fn columns_align_with_wide_characters() {
        let rows = [
            vec!["张伟".to_owned(), "x".to_owned()],
            vec!["Maya".to_owned(), "y".to_owned()],
            vec!["Li".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), ["张伟  x", "Maya  y", "Li"]);
    }

    #[test]
    fn colours_only_where_wanted() {
        assert_eq!(Style(false).green("x"), "x");
        assert_eq!(Style(true).green("x"), "\x1b[32mx\x1b[0m");
        assert_eq!(Style(true).dim(""), "");
    }
}
