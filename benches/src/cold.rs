//! Cold start of the binary: to `ready`, to its first peer, and to a visible window.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

use crate::figures::{Table, percentile, show};
use crate::nodes::{Error, start};
use crate::{Outcome, binary};

const ROUNDS: usize = 5;
const SOON: Duration = Duration::from_secs(60);

/// A running `cairn node --json`.
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    started: Instant,
    events: Mutex<mpsc::UnboundedReceiver<(String, Instant)>>,
}

impl Process {
    /// Starts one on a folder, without discovery.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn node(program: &Path, data: &Path, args: &[&str]) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg("--data").arg(data).args(["--json", "node", "--no-discovery"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let (tx, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let at = Instant::now();
                let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                let event = json.get("event").and_then(|e| e.as_str()).unwrap_or_default().to_owned();
                if tx.send((event, at)).is_err() {
                    break;
                }
            }
        });
        let pid = child.id().ok_or("it ended at once")?;
        Ok(Self { child: Mutex::new(child), pid, started, events: Mutex::new(events) })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How long after its start an event came; events before it are passed over.
    ///
    /// # Errors
    /// Where it does not come.
    pub async fn wait_event(&self, event: &str) -> Result<Duration, Error> {
        let mut events = self.events.lock().await;
        let wait = async {
            while let Some((name, at)) = events.recv().await {
                if name == event {
                    return Ok(at - self.started);
                }
            }
            Err(Error::from(format!("the node ended before {event}")))
        };
        tokio::time::timeout(SOON, wait).await?
    }

    /// Kills it.
    ///
    /// # Errors
    /// Where the system refuses.
    pub async fn end(&self) -> Outcome {
        Ok(self.child.lock().await.kill().await?)
    }
}

/// Measures it.
pub async fn bench(table: &mut Table) -> Outcome {
    let program = binary::cairn()?;
    let other = start("other", Vec::new(), None).await?;
    let address = other.address.to_string();
    let (mut ready, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let process = Process::node(&program, folder.path(), &["--peer", &address])?;
        ready.push(process.wait_event("ready").await?);
        peer.push(process.wait_event("peer").await?);
        process.end().await?;
    }
    other.handle.stop().await?;
    table.row("cold start to ready, headless, median", show(percentile(&mut ready, 50)), "");
    table.row("cold start to the first (configured) peer, median", show(percentile(&mut peer, 50)), "");
    window(table, &program).await
}

/// To a visible window on a screen without a monitor.
async fn window(table: &mut Table, program: &Path) -> Outcome {
    let (Some(xvfb), Some(xdotool)) = (binary::find("Xvfb"), binary::find("xdotool")) else {
        eprintln!("SKIPPED: Xvfb and xdotool are not installed");
        table.row("cold start to window", "skipped: Xvfb or xdotool is not installed", "");
        return Ok(());
    };
    let mut command = Command::new(xvfb);
    command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
    let mut screen = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(screen.stdout.take().ok_or("no output")?).lines();
    let number = lines.next_line().await?.ok_or("Xvfb does not start")?;
    let display = format!(":{}", number.trim());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.arg("--data").arg(folder.path()).env("DISPLAY", &display).env_remove("WAYLAND_DISPLAY");
        let begun = Instant::now();
        let mut app = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let mut search = Command::new(&xdotool);
        search.args(["search", "--sync", "--onlyvisible", "--name", "Cairn"]).env("DISPLAY", &display);
        let found = search.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).status();
        let found = tokio::time::timeout(SOON, found).await??;
        if !found.success() {
            return Err("no window appears".into());
        }
        times.push(begun.elapsed());
        app.kill().await?;
    }
    screen.kill().await?;
    table.row("cold start to a visible window (Xvfb), median", show(percentile(&mut times, 50)), "");
    Ok(())
}
