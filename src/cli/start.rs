//! Starting the node: the one place where the app meets it.

use std::future::Future;
use std::path::Path;

use cairn_actors::api::{ApiError, NodeOptions};
use cairn_actors::handle::Handle;
use cairn_actors::node::StartError;
use cairn_actors::start::start;
use cairn_actors::store::StoreError;
use tokio::task::JoinHandle;

use super::args::NodeArgs;
use super::config;

/// How to start a node on a folder: what the flags say, else what the settings say.
///
/// # Errors
/// `bad_settings` where the settings file is not right.
pub fn options(data: &Path, flags: &NodeArgs) -> Result<NodeOptions, ApiError> {
    let settings = config::load(data)?;
    let or = |flag: &[String], setting: Vec<String>| if flag.is_empty() { setting } else { flag.to_vec() };
    Ok(NodeOptions {
        data: data.to_owned(),
        name: flags.name.clone(),
        port: flags.port.or(settings.port),
        interfaces: or(&flags.interfaces, settings.interfaces),
        peers: if flags.peers.is_empty() { settings.peers } else { flags.peers.clone() },
        no_discovery: flags.no_discovery || !settings.discovery,
        ..NodeOptions::default()
    })
}

/// A node that runs in this process.
pub struct RunningNode {
    /// The door into it.
    pub handle: Handle,
    stopped: JoinHandle<()>,
}

impl RunningNode {
    /// A node behind a door; `stopped` resolves when it has stopped, and is waited for on the runtime of the caller.
    pub fn new(handle: Handle, stopped: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { handle, stopped: tokio::spawn(stopped) }
    }

    /// Waits until it has stopped by itself or was told to.
    pub async fn wait(&mut self) {
        // However it ended, it has ended.
        if !self.stopped.is_finished() {
            let _ = (&mut self.stopped).await;
        }
    }

    /// Says goodbye, commits what is under way, and waits until it has stopped.
    pub async fn stop(mut self) {
        // One that has stopped already need not be told.
        if self.handle.stop().await.is_ok() {
            self.wait().await;
        }
    }
}

/// Starts a node.
///
/// # Errors
/// `in_use` where one runs on the folder already; `bad_settings`, `bad_name`, `store_damaged` and the like otherwise.
pub async fn start_node(options: NodeOptions) -> Result<RunningNode, ApiError> {
    let node = start(options).await.map_err(|e| start_error(&e))?;
    let handle = node.handle.clone();
    Ok(RunningNode::new(handle, async {
        if let Err(reason) = node.wait().await {
            tracing::error!(%reason, "the node stopped");
        }
    }))
}

/// Why a node or a store could not be opened, in the node's terms.
#[must_use]
pub fn start_error(error: &StartError) -> ApiError {
    let code = match error {
        StartError::Data(e) => return config::data_error(e),
        StartError::Settings(e) => return config::settings_error(e),
        StartError::NetworkKey(e) => return super::network_key::key_file_error(e),
        StartError::Store(StoreError::InUse) => "in_use",
        StartError::Store(StoreError::Full) => "disk_full",
        StartError::Store(StoreError::Corrupt { .. }) => "store_damaged",
        StartError::Store(StoreError::Newer { .. }) => "store_newer",
        StartError::Store(_) => "store_failed",
        StartError::Transport(_) => "no_port",
        StartError::BadName => "bad_name",
        StartError::System(_) => "system",
    };
    ApiError::new(code, error.to_string())
}
