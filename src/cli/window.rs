//! `cairn` without a verb: the window, with its node and the local socket in the same process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_actors::api::{Event, NodeOptions};
use cairn_actors::data::settings_path;
use cairn_actors::handle::{Handle, Request};
use cairn_actors::limits::EVENTS;
use cairn_actors::settings::{Settings, SettingsError};
use cairn_actors::vault;
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, mpsc};

use super::backend::already;
use super::error::Failure;
use super::start::RunningNode;
use super::{config, node};
use crate::local::client::Client;
use crate::local::server::Server;
use crate::lock::ScreenLock;
use crate::ui::model::Preferences;
use crate::ui::{self, UiError, UiSettings};

/// Questions of the window that wait until its node is started.
const WAITING: usize = 64;

/// Whether there is a screen to open a window on. Only Linux and its like can tell beforehand.
#[must_use]
pub fn has_display() -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY") || set("WAYLAND_SOCKET")
}

/// No screen.
#[must_use]
pub fn no_display() -> Failure {
    Failure::failed("no_display", "there is no display to open a window on: run `cairn node` to go without one")
}

/// Opens the window and returns when it is closed. Its node stops with it.
///
/// # Errors
/// `no_display`, `in_use`, and what the node and the window answer.
pub fn run(options: NodeOptions, runtime: &Runtime) -> Result<(), Failure> {
    let data = options.data.clone();
    if options.key.is_none() && vault::lock_of(&data).map_err(|e| config::data_error(&e))?.is_some() {
        return run_closed(options, runtime);
    }
    let lock = ScreenLock::open(&data, options.key.clone());
    let (node, server) = runtime.block_on(node::up(options, &lock))?;
    let settings = |p| UiSettings { lock: Some(lock), ..remember(p, data.clone()) };
    let result = preferences(&data).and_then(|p| show(node.handle.clone(), runtime, settings(p)));
    runtime.block_on(async {
        server.close().await;
        node.stop().await;
    });
    result
}

/// Opens the window on a folder with a passphrase: the lock screen asks for it, and only then a node is started.
fn run_closed(options: NodeOptions, runtime: &Runtime) -> Result<(), Failure> {
    let data = options.data.clone();
    if runtime.block_on(Client::connect(&data))?.is_some() {
        return Err(already(&data).into());
    }
    let lock = ScreenLock::waiting(&data);
    let (requests, inbox) = mpsc::channel(WAITING);
    let (events, _) = broadcast::channel(EVENTS);
    let handle = Handle::new(requests, events.clone());
    let running = Arc::<Mutex<Option<Running>>>::default();
    let (door, started, tokio) = (lock.clone(), running.clone(), runtime.handle().clone());
    // On a thread of its own, which ends with the window or the process.
    std::thread::spawn(move || tokio.block_on(open(options, door, inbox, events, started)));
    let settings = |p| UiSettings { lock: Some(lock), ..remember(p, data.clone()) };
    let result = preferences(&data).and_then(|p| show(handle, runtime, settings(p)));
    runtime.block_on(async {
        if let Some((node, server)) = running.lock().await.take() {
            server.close().await;
            node.stop().await;
        }
    });
    result
}

type Running = (RunningNode, Server);

/// Starts the node once the lock was opened, and passes on between it and the window, which was there before.
async fn open(
    options: NodeOptions,
    lock: ScreenLock,
    mut inbox: mpsc::Receiver<Request>,
    events: broadcast::Sender<Event>,
    running: Arc<Mutex<Option<Running>>>,
) {
    let mut states = lock.watch();
    let handle = loop {
        if states.wait_for(|state| !state.is_locked()).await.is_err() {
            return;
        }
        match node::up(NodeOptions { key: lock.key(), ..options.clone() }, &lock).await {
            Ok((node, server)) => {
                let handle = node.handle.clone();
                *running.lock().await = Some((node, server));
                break handle;
            }
            Err(e) => lock.failed(e.message),
        }
    };
    let mut happened = handle.subscribe();
    loop {
        // Where nobody listens there is nothing to tell.
        let event = tokio::select! {
            request = inbox.recv() => match request {
                Some(request) => {
                    handle.pass(request).await;
                    continue;
                }
                None => return,
            },
            event = happened.recv() => event,
        };
        match event {
            Ok(event) => drop(events.send(event)),
            Err(RecvError::Lagged(_)) => drop(events.send(Event::Lagged)),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Shows the window for a node, on the thread it is called from; returns when the window is closed.
///
/// # Errors
/// `no_display` where there is none, `window` where it can't be opened.
pub fn show(handle: Handle, runtime: &Runtime, settings: UiSettings) -> Result<(), Failure> {
    ui::run(handle, runtime.handle().clone(), settings).map_err(|e| match e {
        UiError::NoDisplay(reason) => {
            tracing::info!(%reason, "no display");
            no_display()
        }
        UiError::Window(_) => Failure::failed("window", e.to_string()),
    })
}

fn preferences(data: &Path) -> Result<Preferences, Failure> {
    Ok(preferences_of(&config::load(data)?))
}

/// What the settings say of the window.
fn preferences_of(settings: &Settings) -> Preferences {
    // From 0.5 to 3.0, as settings are checked.
    let scale = (settings.scale * 100.0).round() as u16;
    Preferences { theme: settings.theme, scale, details: settings.details, lock_after: settings.lock_after }
}

/// Keeps in the settings file what the window wants remembered.
fn remember(preferences: Preferences, data: PathBuf) -> UiSettings {
    let save = move |p: Preferences| {
        if let Err(error) = keep(&settings_path(&data), &p) {
            tracing::warn!(%error, "the look of the window could not be kept");
        }
    };
    UiSettings { preferences, save: Some(Arc::new(save)), title: None, lock: None }
}

fn keep(path: &Path, p: &Preferences) -> Result<(), SettingsError> {
    let mut settings = Settings::load(path)?;
    settings.theme = p.theme;
    settings.details = p.details;
    settings.lock_after = p.lock_after;
    settings.scale = f32::from(p.scale) / 100.0;
    settings.save(path)
}

#[cfg(test)]
mod tests {
    use cairn_actors::settings::ThemeChoice;

    use super::*;

    #[test]
    fn the_look_of_the_window_is_kept_beside_the_other_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = settings_path(dir.path());
        let mut settings = Settings::default();
        settings.set("name", "Post 3").unwrap();
        settings.save(&path).unwrap();
        for (theme, details) in ThemeChoice::ALL.into_iter().zip([true, false].into_iter().cycle()) {
            let p = Preferences { theme, scale: 125, details, lock_after: 5 };
            keep(&path, &p).unwrap();
            assert_eq!(preferences(dir.path()).unwrap(), p);
        }
        assert_eq!(Settings::load(&path).unwrap().name.as_deref(), Some("Post 3"));
    }
}
