//! Starting the node: the one place where the app meets it.

use std::future::Future;
use std::pin::Pin;

use cairn_actors::api::{ApiError, NodeOptions};
use cairn_actors::handle::Handle;

/// A node that runs in this process.
pub struct RunningNode {
    /// The door into it.
    pub handle: Handle,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl RunningNode {
    /// A node behind a door; `stopped` resolves when it has stopped.
    pub fn new(handle: Handle, stopped: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { handle, stopped: Box::pin(stopped) }
    }

    /// Waits until it has stopped by itself or was told to.
    pub async fn wait(&mut self) {
        (&mut self.stopped).await;
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
/// `in_use` where one runs on the folder already; what the node answers otherwise.
pub async fn start_node(options: NodeOptions) -> Result<RunningNode, ApiError> {
    let message = format!("this build has no node to run on {}", options.data.display());
    Err(ApiError::new("no_node", message))
}
