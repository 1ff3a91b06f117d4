//! The command line: a contract that scripts depend on. `args` says what may be said, one file a group of verbs does
//! it, `json` and `human` say what came of it; `backend` reaches the running node, or the store where none runs.

pub mod args;
pub mod backend;
pub mod briefing;
pub mod care;
pub mod config;
pub mod custody;
pub mod error;
pub mod group;
pub mod human;
pub mod json;
pub mod liking;
pub mod log;
pub mod logging;
pub mod network;
pub mod network_key;
pub mod node;
pub mod offline;
pub mod passphrase;
pub mod peers;
pub mod retention;
pub mod say;
pub mod secret;
pub mod start;
pub mod status;
pub mod text;
pub mod time;
pub mod unlock;
pub mod verify;
pub mod window;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cairn_actors::data::default_path;
use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use args::{Cli, DebugVerb, NetworkVerb, NodeArgs, ReactArgs, Verb};
use backend::{Backend, Opened};
use error::Failure;
use text::{Out, note};

/// Does what the arguments ask, and gives the exit status: 0 done, 1 failed, 2 wrong usage.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let json = args::wants_json(&args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e, json),
    };
    logging::init(cli.global.verbose);
    cairn_actors::panics::quiet();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Help and version are no errors; what is, is JSON where JSON was asked for.
fn not_parsed(error: &clap::Error, json: bool) -> ExitCode {
    if error.exit_code() != 0 && json {
        let failure = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Failure::Usage("something is missing after the verb: see --help".to_owned())
            }
            _ => error::usage(error),
        };
        return failure.report(true);
    }
    // Where nobody reads there is nothing to say.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(cli: Cli) -> Result<(), Failure> {
    let data = data_folder(cli.global.data)?;
    if let Some(file) = cli.global.passphrase_file.filter(|f| !f.as_os_str().is_empty()) {
        unlock::from_file(file);
    }
    let mut out = Out::stdout(cli.global.json);
    match cli.verb {
        None => {
            if !window::has_display() {
                return Err(window::no_display());
            }
            let mut options = start::options(&data, &NodeArgs::default())?;
            options.key = unlock::given(&data)?;
            window::run(options, &threads()?)
        }
        Some(Verb::Node(flags)) => {
            let mut options = start::options(&data, &flags)?;
            options.key = unlock::key(&data)?;
            let runtime = threads()?;
            let result = runtime.block_on(node::run(options, out));
            // What still runs has no business any more.
            runtime.shutdown_timeout(Duration::from_secs(1));
            result
        }
        Some(Verb::Demo { headless: true }) => threads()?.block_on(crate::demo::headless(&mut out)),
        Some(Verb::Demo { headless: false }) => crate::demo::window(&threads()?),
        Some(verb) => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(one_shot(&data, &mut out, verb))
        }
    }
}

/// The runtime of a node.
fn threads() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

fn data_folder(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = match given.filter(|p| !p.as_os_str().is_empty()) {
        Some(path) => path,
        None => default_path().map_err(|e| config::data_error(&e))?,
    };
    // The node may outlive this working directory.
    Ok(std::path::absolute(path)?)
}

/// A verb that asks once.
async fn one_shot(data: &Path, out: &mut Out, verb: Verb) -> Result<(), Failure> {
    let verb = match verb {
        Verb::Config(verb) => return config::config(data, out, &verb).await,
        Verb::Network(NetworkVerb::Key(verb)) => return network_key::network_key(data, out, &verb).await,
        Verb::Doctor { all, repair, compact } => {
            return care::doctor(data, out, care::Treatment { all, repair, compact }).await;
        }
        Verb::Backup { file } => return care::backup(data, out, &file).await,
        Verb::Restore { file, replace, backup_passphrase_file } => {
            return care::restore(data, out, &file, replace, backup_passphrase_file.as_deref()).await;
        }
        Verb::Passphrase(verb) => return passphrase::passphrase(data, out, &verb).await,
        Verb::Lock => return passphrase::lock(data, out).await,
        Verb::Unlock => return passphrase::unlock(data, out).await,
        Verb::Wipe { yes } => return passphrase::wipe(data, out, yes).await,
        Verb::Peers { wait: Some(n), timeout } => {
            return peers::wait(data, out, n, Duration::from_secs_f64(timeout)).await;
        }
        Verb::Log { conversation, limit, since, follow: true, history } => {
            return log::follow(data, out, &conversation, log::Range { limit, since, history }).await;
        }
        // Read before anything is opened: it may take as long as it likes.
        Verb::Say { id, reply, conversation, text } => Verb::Say { id, reply, conversation, text: given(text)? },
        Verb::Edit { which, text } => Verb::Edit { which, text: given(text)? },
        verb => verb,
    };
    match backend::open(data).await? {
        Opened::Node(mut node) => perform(&mut node, out, verb).await,
        Opened::Offline(mut store) => {
            if !matches!(verb, Verb::Say { .. }) {
                note(&format!("cairn: no node runs here: asking the store in {}", data.display()));
            }
            perform(store.as_mut(), out, verb).await
        }
    }
}

/// A text as it stands or, where that is `-`, from standard input.
fn given(text: String) -> Result<String, Failure> {
    let text = if text == "-" { say::read_text(std::io::stdin().lock())? } else { text };
    say::check(&text)?;
    Ok(text)
}

async fn perform(backend: &mut impl Backend, out: &mut Out, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Status => status::status(backend, out).await,
        Verb::Whoami { name } => status::whoami(backend, out, name.as_deref()).await,
        Verb::Peers { .. } => peers::peers(backend, out).await,
        Verb::Say { id, reply, conversation, text } => {
            let how = say::As { id: id.as_deref(), reply: reply.as_deref() };
            say::say(backend, out, &conversation, how, &text).await
        }
        Verb::Edit { which: w, text } => {
            say::amend(backend, out, &w.conversation, &w.message, say::Of::Edit(&text)).await
        }
        Verb::Delete(w) => say::amend(backend, out, &w.conversation, &w.message, say::Of::Delete).await,
        Verb::React(ReactArgs { which: w, emoji, remove }) => {
            say::amend(backend, out, &w.conversation, &w.message, say::Of::React(&emoji, !remove)).await
        }
        Verb::Pin(args) => liking::pin(backend, out, &args.conversation, !args.off).await,
        Verb::Mute(args) => liking::mute(backend, out, &args).await,
        Verb::Log { conversation, limit, since, history, .. } => {
            log::log(backend, out, &conversation, log::Range { limit, since, history }).await
        }
        Verb::Receipts { conversation, message } => log::receipts(backend, out, &conversation, &message).await,
        Verb::Custody { conversation, document, documents } => {
            custody::custody(backend, out, conversation.as_ref(), document, documents).await
        }
        Verb::Retention { conversation, keep } => retention::retention(backend, out, &conversation, keep).await,
        Verb::Forget { conversation, before } => retention::forget(backend, out, &conversation, before).await,
        Verb::Briefing { all } => briefing::briefing(backend, out, all).await,
        Verb::Verify(args) => verify::verify(backend, out, &args).await,
        Verb::Group(verb) => group::group(backend, out, &verb).await,
        Verb::Network(verb) => network::network(backend, out, &verb).await,
        Verb::Debug(DebugVerb::Kill { actor }) => Ok(backend.kill(&actor).await?),
        // Done before a backend is opened.
        Verb::Node(_)
        | Verb::Config(_)
        | Verb::Doctor { .. }
        | Verb::Backup { .. }
        | Verb::Restore { .. }
        | Verb::Passphrase(_)
        | Verb::Lock
        | Verb::Unlock
        | Verb::Wipe { .. }
        | Verb::Demo { .. } => Ok(()),
    }
}
