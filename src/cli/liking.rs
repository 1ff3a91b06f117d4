//! `pin` and `mute`: how a conversation is shown to the person on this device.

use std::time::Duration;

use cairn_actors::liking::FOR_GOOD;

use super::args::MuteArgs;
use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::time::now_ms;
use super::{human, json};
use crate::local::resolve::ConvRef;

/// Pins a conversation to the top of the list, or takes it from there.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, and what the backend answers.
pub async fn pin(backend: &mut impl Backend, out: &mut Out, what: &ConvRef, pinned: bool) -> Result<(), Failure> {
    let place = backend.resolve(what).await?;
    let line = backend.set_pinned(place.id, pinned).await?;
    out.line(&if out.json { json::conversation(&line) } else { human::liking(&line) })
}

/// Mutes a conversation, or no longer.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, and what the backend answers.
pub async fn mute(backend: &mut impl Backend, out: &mut Out, args: &MuteArgs) -> Result<(), Failure> {
    let place = backend.resolve(&args.conversation).await?;
    let line = backend.set_muted(place.id, until(args, now_ms())).await?;
    out.line(&if out.json { json::conversation(&line) } else { human::liking(&line) })
}

/// Until when, in milliseconds since 1970; `None`: no longer.
fn until(args: &MuteArgs, now: u64) -> Option<u64> {
    let later = |time: Duration| now.saturating_add(u64::try_from(time.as_millis()).unwrap_or(FOR_GOOD));
    match (args.off, args.time, args.until) {
        (true, ..) => None,
        (_, Some(time), _) => Some(later(time.0)),
        (_, _, Some(at)) => Some(at.ms(now)),
        _ => Some(FOR_GOOD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Verb};
    use clap::Parser;

    fn args(line: &str) -> MuteArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().verb {
            Some(Verb::Mute(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_ends_when_it_was_said_to() {
        assert_eq!(until(&args("cairn mute everyone"), 5), Some(FOR_GOOD));
        assert_eq!(until(&args("cairn mute everyone --for 8h"), 5), Some(8 * 3_600_000 + 5));
        assert_eq!(until(&args("cairn mute everyone --until 2026-11-20T08:00:00Z"), 5), Some(1_795_161_600_000));
        assert_eq!(until(&args("cairn mute everyone --off"), 5), None);
        for bad in ["mute", "mute everyone --for never", "mute everyone --for 1h --off", "mute everyone --until 5"] {
            assert!(Cli::try_parse_from(format!("cairn {bad}").split(' ')).is_err(), "{bad}");
        }
    }
}
