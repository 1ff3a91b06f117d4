//! The log on stderr: warnings by default, more with -v, what `CAIRN_LOG` says where it is set.

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::text::note;

/// The environment variable with a filter such as `cairn_actors=debug,warn`.
pub const VARIABLE: &str = "CAIRN_LOG";

/// What to log by the number of -v.
fn directives(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "warn,cairn=info,cairn_actors=info,cairn_crdt=info",
        2 => "info,cairn=debug,cairn_actors=debug,cairn_crdt=debug",
        _ => "debug,cairn=trace,cairn_actors=trace,cairn_crdt=trace",
    }
}

/// A filter of levels by module, such as `cairn_actors=debug, warn`.
fn filter(text: &str) -> Result<Targets, ParseError> {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",").parse()
}

/// Starts logging. A second start in one process changes nothing.
pub fn init(verbose: u8) {
    let said = std::env::var(VARIABLE).ok().filter(|v| !v.is_empty());
    let wanted = filter(said.as_deref().unwrap_or(directives(verbose))).unwrap_or_else(|e| {
        note(&format!("cairn: {VARIABLE} is not a filter ({e}); logging warnings"));
        Targets::new().with_default(tracing::Level::WARN)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none());
    let _ = tracing_subscriber::registry().with(lines).with(wanted).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    use tracing::Level;

    #[test]
    fn every_level_is_a_filter_and_says_more_than_the_one_before() {
        let shown = |v: u8| {
            let filter = filter(directives(v)).unwrap();
            let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
            ["cairn_actors::node", "quinn"]
                .map(|module| levels.iter().filter(|level| filter.would_enable(module, level)).count())
        };
        assert_eq!([0, 1, 2, 3, 4].map(shown), [[2, 2], [3, 2], [4, 3], [5, 4], [5, 4]]);
    }

    #[test]
    fn what_a_person_writes_is_read_with_spaces_and_without_and_nonsense_is_refused() {
        for text in ["cairn_actors=debug,warn", " cairn_actors=debug , warn ", "cairn_actors=DEBUG,warn"] {
            let filter = filter(text).unwrap();
            assert!(filter.would_enable("cairn_actors::node", &Level::DEBUG), "{text}");
            assert!(
                filter.would_enable("quinn", &Level::WARN) && !filter.would_enable("quinn", &Level::INFO),
                "{text}"
            );
        }
        assert!(filter("cairn_actors=loud").is_err());
    }
}
