//! `cairn` without a verb: the window, with its node and the local socket in the same process.

use cairn_actors::api::NodeOptions;
use cairn_actors::handle::Handle;
use tokio::runtime::Runtime;

use super::error::Failure;
use super::node;

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
    if !has_display() {
        return Err(no_display());
    }
    let (node, server) = runtime.block_on(node::up(options))?;
    let result = show(node.handle.clone(), runtime);
    runtime.block_on(async {
        server.close().await;
        node.stop().await;
    });
    result
}

/// Shows the window for a node, on the thread it is called from; returns when the window is closed.
///
/// # Errors
/// `no_display` where there is none, `window` where it can't be opened.
pub fn show(handle: Handle, runtime: &Runtime) -> Result<(), Failure> {
    let _ = (handle, runtime.handle());
    Err(Failure::failed("window", "this build has no window: run `cairn node`"))
}
