//! Reading a secret: from a file, from standard input, or asked for at a terminal, which does not show it.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use cairn_actors::api::ApiError;
use zeroize::Zeroizing;

use super::text::note;

/// Most bytes of a secret that are read.
const MOST: usize = 4096;

/// A secret as text. At a terminal `what` is asked for twice.
///
/// # Errors
/// `io` where it can't be read, `too_long`, `not_utf8`, `empty`, `not_the_same` where it was typed otherwise the second
/// time.
pub fn read(file: Option<&Path>, what: &str) -> Result<Zeroizing<String>, ApiError> {
    match file {
        Some(path) => {
            let unreadable = |e: io::Error| ApiError::new("io", format!("{} can't be read: {e}", path.display()));
            let file = File::open(path).map_err(unreadable)?;
            whole(file, &path.display().to_string())
        }
        None if io::stdin().is_terminal() => typed_twice(what),
        None => whole(io::stdin().lock(), "standard input"),
    }
}

fn whole(input: impl Read, from: &str) -> Result<Zeroizing<String>, ApiError> {
    // As much as it may become, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 1));
    let failed = |e: io::Error| ApiError::new("io", format!("{from} can't be read: {e}"));
    input.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MOST {
        return Err(ApiError::new("too_long", format!("{from} holds more than {MOST} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| ApiError::new("not_utf8", format!("{from} is not text")))?;
    if text.trim().is_empty() {
        return Err(ApiError::new("empty", format!("{from} is empty")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// A secret that is known already, asked for once at the terminal.
///
/// # Errors
/// `io` where the terminal can't be read, `empty`.
pub fn once(what: &str) -> Result<Zeroizing<String>, ApiError> {
    let _hidden = Hidden::begin();
    ask(&format!("{what} (it is not shown):"))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, ApiError> {
    note(prompt);
    // One line: the rest of the terminal's input is not ours.
    let mut line = Zeroizing::new(String::with_capacity(MOST + 1));
    let failed = |e: io::Error| ApiError::new("io", format!("the terminal can't be read: {e}"));
    io::stdin().lock().take(MOST as u64).read_line(&mut line).map_err(failed)?;
    if line.trim().is_empty() { Err(ApiError::new("empty", "nothing was typed")) } else { Ok(line) }
}

fn typed_twice(what: &str) -> Result<Zeroizing<String>, ApiError> {
    let hidden = Hidden::begin();
    let first = ask(&format!("{what} (it is not shown):"))?;
    let second = ask("Once more:")?;
    drop(hidden);
    if first.split_whitespace().ne(second.split_whitespace()) {
        return Err(ApiError::new("not_the_same", "it was not typed the same twice: nothing was changed"));
    }
    Ok(first)
}

/// Until it is dropped the terminal does not show what is typed.
struct Hidden {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Hidden {
    #[cfg(unix)]
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(mut hidden) = before.clone() {
            hidden.local_modes.remove(LocalModes::ECHO);
            hidden.local_modes.insert(LocalModes::ECHONL);
            if tcsetattr(&stdin, OptionalActions::Flush, &hidden).is_ok() {
                return Self { before };
            }
        }
        note("cairn: this terminal shows what is typed");
        Self { before: None }
    }

    #[cfg(not(unix))]
    fn begin() -> Self {
        note("cairn: this terminal shows what is typed; --file reads it from a file");
        Self {}
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that went away shows nothing any more.
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_whole_and_within_bounds() {
        assert_eq!(whole(&b"four words and more\n"[..], "x").unwrap().as_str(), "four words and more\n");
        assert_eq!(whole(&vec![b'x'; MOST][..], "x").unwrap().len(), MOST);
        let code = |bytes: &[u8]| whole(bytes, "x").unwrap_err().code;
        assert_eq!(code(&vec![b'x'; MOST + 1]), "too_long");
        assert_eq!(code(b"ab\xff"), "not_utf8");
        assert_eq!(code(b" \r\n"), "empty");
        assert_eq!(whole(io::repeat(b'x'), "x").unwrap_err().code, "too_long");
        assert_eq!(read(Some(Path::new("/nowhere/at/all")), "x").unwrap_err().code, "io");
    }
}
