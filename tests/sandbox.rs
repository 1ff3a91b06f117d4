//! From a test to a scenario in a sandbox and back.
//!
//! A sandbox is a process inside user, network, mount and process namespaces of its own, made by `unshare`: no rights on
//! the machine are needed, and nothing outside can be touched. It runs `lan-report --scenario NAME`. When that process
//! ends, in whatever way, the kernel ends everything that it started; when its parent goes, its standard input ends and
//! it goes too.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::figures::Figure;

/// Set for the processes inside.
const INSIDE: &str = "CAIRN_SANDBOX";

/// How a scenario ended.
#[derive(Debug)]
pub enum Outcome {
    /// It held; what it measured.
    Passed(Vec<Figure>),
    /// It did not; what it printed.
    Failed(String),
    /// This machine can't run it, and why.
    Skipped(String),
}

/// Whether this process is inside a sandbox.
#[must_use]
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.env(INSIDE, "1").env_remove("CAIRN_DATA");
    command
}

/// Tries once whether this machine can do what a LAN needs: namespaces, a bridge, a veth pair, its filter.
fn refusal() -> Option<&'static String> {
    const PROBE: &str = "set -e; mount -t tmpfs tmpfs /run; mkdir /run/netns; ip netns add probe; ip link add br0 type \
                         bridge; ip link add p0 type veth peer name eth0 netns probe; ip link set p0 master br0; nft \
                         'table bridge lan { chain forward { type filter hook forward priority 0; ether type ip6 drop; \
                         numgen random mod 100 < 20 drop; }; }'; nsenter --net=/run/netns/probe true";
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    REFUSAL
        .get_or_init(|| match unshare().args(["sh", "-c", PROBE]).stdin(Stdio::null()).output() {
            Ok(out) if out.status.success() => None,
            Ok(out) => Some(String::from_utf8_lossy(&out.stderr).trim().replace('\n', "; ")),
            Err(e) => Some(format!("unshare: {e}")),
        })
        .as_ref()
}

/// Runs a scenario in a sandbox of its own with the given `lan-report` executable, for at most `limit`.
#[must_use]
pub fn run(report: &Path, scenario: &str, full: bool, limit: Duration) -> Outcome {
    if let Some(why) = refusal() {
        return Outcome::Skipped(why.clone());
    }
    let mut command = unshare();
    command.arg(report).args(["--scenario", scenario]).env("CAIRN_BIN", crate::binary::cairn());
    // A failed expectation names its line; the logs that follow say more than a backtrace.
    command.env("RUST_BACKTRACE", "0").env("CAIRN_FULL", if full { "1" } else { "0" });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Outcome::Failed(format!("the sandbox does not start: {e}")),
    };
    let (tx, rx) = mpsc::channel();
    let pump = |from: Option<Box<dyn Read + Send>>, stdout: bool| {
        let tx = tx.clone();
        thread::spawn(move || {
            for line in from.into_iter().flat_map(|f| BufReader::new(f).lines()).map_while(Result::ok) {
                let _ = tx.send((stdout, line));
            }
        });
    };
    pump(child.stdout.take().map(|o| Box::new(o) as Box<dyn Read + Send>), true);
    pump(child.stderr.take().map(|o| Box::new(o) as Box<dyn Read + Send>), false);
    drop(tx);

    let deadline = std::time::Instant::now() + limit;
    let (mut figures, mut printed, mut late) = (Vec::new(), String::new(), false);
    loop {
        match rx.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok((true, line)) => match Figure::parse(&line) {
                Some(figure) => figures.push(figure),
                None => printed.push_str(&(line + "\n")),
            },
            Ok((false, line)) => printed.push_str(&(line + "\n")),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                late = true;
                let _ = child.kill();
                break;
            }
        }
    }
    let status = child.wait();
    match status {
        _ if late => Outcome::Failed(format!("{printed}it took longer than {limit:?}")),
        Ok(status) if status.success() => Outcome::Passed(figures),
        Ok(status) => Outcome::Failed(format!("{printed}it ended with {status}")),
        Err(e) => Outcome::Failed(format!("{printed}{e}")),
    }
}

/// Makes the inside of a sandbox ready: a `/run` of its own, and an end when the parent's end of the pipe is closed.
///
/// # Panics
/// Outside a sandbox.
pub fn enter() {
    assert!(inside(), "only lan-report in a sandbox runs scenarios");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]).status();
    assert!(mounted.is_ok_and(|s| s.success()), "the sandbox can't have a /run of its own");
    thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(99);
    });
}
