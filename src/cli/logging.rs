//! The log on stderr: warnings by default, more with -v, what `CAIRN_LOG` says where it is set.

use tracing_subscriber::EnvFilter;

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

/// Starts logging. A second start in one process changes nothing.
pub fn init(verbose: u8) {
    let said = std::env::var(VARIABLE).ok().filter(|v| !v.is_empty());
    let filter = match &said {
        Some(text) => EnvFilter::try_new(text).unwrap_or_else(|e| {
            note(&format!("cairn: {VARIABLE} is not a filter ({e}); logging warnings"));
            EnvFilter::new(directives(0))
        }),
        None => EnvFilter::new(directives(verbose)),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none())
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_filter() {
        for v in 0..5 {
            assert!(EnvFilter::try_new(directives(v)).is_ok());
        }
    }
}
