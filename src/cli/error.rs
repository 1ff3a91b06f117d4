//! How a command fails: wrong usage (exit 2), one clear sentence (exit 1), or a reader that went away (exit 0).

use std::io;
use std::process::ExitCode;

use cairn_actors::api::ApiError;
use serde::Serialize;

use super::text::{note, plain};

/// Why a command ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The arguments make no sense.
    Usage(String),
    /// It could not be done.
    Failed(ApiError),
    /// Nobody reads the output any more (`cairn log … | head`).
    NoReader,
}

impl From<ApiError> for Failure {
    fn from(e: ApiError) -> Self {
        Self::Failed(e)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::failed("io", format!("the output can't be written: {e}")),
        }
    }
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    candidates: &'a [String],
}

impl Failure {
    /// A failure of a code and a sentence.
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::Failed(ApiError::new(code, message))
    }

    /// What to print on stderr, without the line end; nothing where nobody reads.
    #[must_use]
    pub fn line(&self, json: bool) -> Option<String> {
        let (error, message, candidates): (&str, &str, &[String]) = match self {
            Self::Usage(message) => ("usage", message, &[]),
            Self::Failed(e) => (&e.code, &e.message, &e.candidates),
            Self::NoReader => return None,
        };
        if json {
            return serde_json::to_string(&ErrorLine { error, message, candidates }).ok();
        }
        let mut line = format!("cairn: {}", plain(message));
        for c in candidates {
            line.push_str("\n  ");
            line.push_str(&plain(c));
        }
        Some(line)
    }

    /// The exit status.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::NoReader => 0,
        }
    }

    /// Prints what there is to print, and gives the exit status.
    #[must_use]
    pub fn report(&self, json: bool) -> ExitCode {
        if let Some(line) = self.line(json) {
            note(&line);
        }
        ExitCode::from(self.code())
    }
}

/// What the argument parser says, as a failure: its first paragraph without the leading `error: `.
#[must_use]
pub fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    Failure::Usage(first.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_json_line_with_fixed_fields() {
        let e = Failure::failed("stopped", "the node \"x\" has\nstopped");
        assert_eq!(e.line(true).unwrap(), r#"{"error":"stopped","message":"the node \"x\" has\nstopped"}"#);
        let e = Failure::Failed(ApiError {
            candidates: vec!["id:a".into(), "id:b".into()],
            ..ApiError::new("ambiguous", "two")
        });
        assert_eq!(e.line(true).unwrap(), r#"{"error":"ambiguous","message":"two","candidates":["id:a","id:b"]}"#);
        assert_eq!(e.line(false).unwrap(), "cairn: two\n  id:a\n  id:b");
        assert_eq!((e.code(), Failure::Usage(String::new()).code(), Failure::NoReader.code()), (1, 2, 0));
    }

    #[test]
    fn a_usage_error_is_one_sentence() {
        use clap::Parser;
        let e = super::super::args::Cli::try_parse_from(["cairn", "say", "nobody", "hi"]).unwrap_err();
        let Failure::Usage(text) = usage(&e) else { panic!("not usage") };
        assert!(text.starts_with("invalid value 'nobody'"), "{text}");
        assert!(!text.contains('\n') && !text.contains("Usage:"), "{text}");
    }
}
