//! A real `cairn node --json` on a host, and the verbs against it, through the command line alone.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::events::{EventLog, Seen};
use crate::lan::Lan;

/// Longest wait for what takes milliseconds when all is well.
pub const SOON: Duration = Duration::from_secs(20);

/// Where a node runs and what verbs act on: a host, a name and a data folder. Exists without a running process.
#[derive(Debug, Clone)]
pub struct Place {
    /// The host.
    pub host: usize,
    /// The node's display name; names its log files too.
    pub name: String,
    /// Its data folder.
    pub data: PathBuf,
    /// Further arguments of `cairn node`.
    pub args: Vec<String>,
}

/// What a verb answered.
#[derive(Debug)]
pub struct Answer {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// The lines on standard output.
    pub lines: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// The first line, for verbs that print one.
    #[must_use]
    pub fn first(&self) -> &Value {
        self.lines.first().unwrap_or(&Value::Null)
    }

    /// The one line of an error on standard error, `{error, message}`.
    ///
    /// # Panics
    /// When it failed in another way than the contract says.
    pub fn error(&self) -> Value {
        assert_eq!(self.code, 1, "failed with exit code 1: {self:?}");
        let json: Option<Value> = self.stderr.lines().rev().find_map(|l| serde_json::from_str(l).ok());
        let json = json.unwrap_or_else(|| panic!("an error is a line of JSON: {self:?}"));
        assert!(json["error"].is_string(), "an error has a code: {json}");
        assert!(json["message"].as_str().is_some_and(|m| !m.is_empty() && !m.contains('\n')), "one sentence: {json}");
        json
    }
}

/// A line of `log`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The message.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// What it says.
    pub body: String,
}

impl Place {
    /// A place on a host, with a fresh data folder of the same name.
    #[must_use]
    pub fn new(lan: &Lan, host: usize, name: &str) -> Self {
        Self { host, name: name.to_owned(), data: lan.data(name), args: Vec::new() }
    }

    /// The same with further arguments of `cairn node`.
    #[must_use]
    pub fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|a| (*a).to_owned()));
        self
    }

    /// A command on this place: `cairn --data DATA --json ARGS`.
    #[must_use]
    pub fn command(&self, lan: &Lan, args: &[&str]) -> Command {
        let mut command = lan.on(self.host, crate::binary::cairn());
        command.arg("--data").arg(&self.data).arg("--json").args(args);
        command.env("HOME", lan.folder()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Runs a verb to its end.
    ///
    /// # Panics
    /// When a line of its output is not JSON.
    pub fn verb(&self, lan: &Lan, args: &[&str]) -> Answer {
        self.verb_with(lan, args, "")
    }

    /// Runs a verb on some input to its end.
    ///
    /// # Panics
    /// When a line of its output is not JSON.
    pub fn verb_with(&self, lan: &Lan, args: &[&str], input: &str) -> Answer {
        let mut command = self.command(lan, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        // A verb that reads no input may be gone before it is written.
        let _ = child.stdin.take().expect("it was piped").write_all(input.as_bytes());
        let out = child.wait_with_output().expect("the verb ends");
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        let text = String::from_utf8_lossy(&out.stdout);
        let parse = |l: &str| serde_json::from_str(l).unwrap_or_else(|_| panic!("{args:?} printed no JSON: {l}"));
        Answer { code: out.status.code().unwrap_or(-1), lines: text.lines().map(parse).collect(), stderr }
    }

    /// Runs a verb that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn must(&self, lan: &Lan, args: &[&str]) -> Answer {
        let answer = self.verb(lan, args);
        assert_eq!(answer.code, 0, "{}: {args:?} failed: {}", self.name, answer.stderr);
        answer
    }

    /// Says something; the id of the message.
    ///
    /// # Panics
    /// When that fails.
    pub fn say(&self, lan: &Lan, conversation: &str, text: &str) -> String {
        let answer = self.must(lan, &["say", conversation, text]);
        answer.first()["id"].as_str().unwrap_or_else(|| panic!("say answers an id: {answer:?}")).to_owned()
    }

    /// The history of a conversation, oldest first; empty where there is none yet.
    pub fn log(&self, lan: &Lan, conversation: &str) -> Vec<Line> {
        let text = |v: &Value, field: &str| v[field].as_str().unwrap_or_default().to_owned();
        let answer = self.verb(lan, &["log", conversation, "--limit", "1000000"]);
        let line = |v: &Value| Line { id: text(v, "id"), author: text(v, "author"), body: text(v, "body") };
        answer.lines.iter().map(line).collect()
    }

    /// Starts the node and returns at once.
    ///
    /// # Panics
    /// When the process can't be started.
    #[must_use]
    pub fn start(&self, lan: &Lan) -> Node {
        let log = |kind: &str| lan.folder().join(format!("{}.{kind}", self.name));
        let stderr = std::fs::File::options().create(true).append(true).open(log("stderr"));
        let mut args = vec!["node", "--name", &self.name];
        args.extend(self.args.iter().map(String::as_str));
        let mut command = self.command(lan, &args);
        command.stdout(Stdio::piped()).stderr(stderr.expect("the sandbox has room for a log"));
        let started = Instant::now();
        let mut child = command.spawn().expect("the binary starts");
        let output = child.stdout.take().expect("it was piped");
        Node { place: self.clone(), child, started, events: EventLog::read(output, &log("events")), id: String::new() }
    }

    /// Starts the node and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn up(&self, lan: &Lan) -> Node {
        let mut node = self.start(lan);
        node.ready();
        node
    }
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub place: Place,
    /// When its process was started.
    pub started: Instant,
    /// What it says.
    pub events: Arc<EventLog>,
    /// Its device id, once ready.
    pub id: String,
    child: Child,
}

impl Node {
    /// Waits for the event `ready`, which comes first, and takes the id from it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn ready(&mut self) -> Seen {
        let first = self.events.wait(0, Instant::now() + SOON, |_| true);
        let first = first.unwrap_or_else(|| panic!("{} says nothing", self.place.name));
        assert!(first.is("ready"), "{}: the first event is ready: {:?}", self.place.name, first.json);
        self.id = first.text("id").to_owned();
        assert!(!self.id.is_empty(), "ready carries the id: {:?}", first.json);
        first
    }

    /// The QUIC port, from the event `ready`.
    #[must_use]
    pub fn port(&self) -> u16 {
        let ready = self.events.since(0).into_iter().find(|e| e.is("ready"));
        ready.and_then(|e| e.json["port"].as_u64()).and_then(|p| u16::try_from(p).ok()).unwrap_or_default()
    }

    /// Waits until all of these are here at once; since when the last of them has been.
    ///
    /// # Panics
    /// When that does not come about within `limit`.
    pub fn wait_here(&self, ids: &[&str], limit: Duration) -> Instant {
        let deadline = Instant::now() + limit;
        loop {
            let mark = self.events.mark();
            let here = self.events.here();
            let since: Option<Vec<Instant>> = ids.iter().map(|id| here.get(*id).copied()).collect();
            if let Some(since) = since {
                return since.into_iter().max().unwrap_or(self.started);
            }
            let news = self.events.wait(mark, deadline, |e| e.is("peer"));
            let missing = ids.iter().filter(|id| !here.contains_key(**id)).count();
            assert!(news.is_some(), "{}: {missing} of {} peers missing after {limit:?}", self.place.name, ids.len());
        }
    }

    /// Waits until a peer is shown offline, from a mark on; when.
    ///
    /// # Panics
    /// When it is not within `limit`.
    pub fn wait_gone(&self, mark: usize, id: &str, limit: Duration) -> Instant {
        let gone = |e: &Seen| e.is("peer") && e.text("id") == id && e.text("state") == "offline";
        let seen = self.events.wait(mark, Instant::now() + limit, gone);
        seen.unwrap_or_else(|| panic!("{}: the peer is not shown offline within {limit:?}", self.place.name)).at
    }

    /// Reads a conversation at each event until `enough` accepts it.
    ///
    /// # Panics
    /// When it does not within `limit`; `what` says what was awaited.
    pub fn wait_log(
        &self,
        lan: &Lan,
        conversation: &str,
        limit: Duration,
        what: &str,
        enough: impl Fn(&[Line]) -> bool,
    ) -> Vec<Line> {
        let deadline = Instant::now() + limit;
        loop {
            let mark = self.events.mark();
            let lines = self.place.log(lan, conversation);
            if enough(&lines) {
                return lines;
            }
            let (name, n, last) = (&self.place.name, lines.len(), lines.last());
            assert!(Instant::now() < deadline, "{name}: no {what} within {limit:?}: {n} lines, the last {last:?}");
            self.events.wait_news(mark, Duration::from_millis(200));
        }
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When it can't be ended.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Panics
    /// When it does not end within [`SOON`].
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait_exit()
    }

    /// Sends SIGTERM and returns at once.
    ///
    /// # Panics
    /// When the signal can't be sent.
    pub fn ask_to_stop(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "{} takes signals", self.place.name);
    }

    /// Waits until its output and then itself ended.
    ///
    /// # Panics
    /// When it does not within [`SOON`].
    pub fn wait_exit(&mut self) -> ExitStatus {
        let ended = self.events.wait_end(Instant::now() + SOON);
        assert!(ended, "{} does not end", self.place.name);
        self.child.wait().expect("it ends")
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    }

    /// Processor time used so far, in ticks of a hundredth of a second.
    ///
    /// # Panics
    /// Where the process is gone.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // After the name, which is in brackets and may hold anything: state is the first field, then the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// What it printed on standard error, of all its starts.
    #[must_use]
    pub fn stderr(&self, lan: &Lan) -> String {
        std::fs::read_to_string(lan.folder().join(format!("{}.stderr", self.place.name))).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a node on each of the places at once and waits until all are ready.
///
/// # Panics
/// When one does not get ready.
#[must_use]
pub fn up_all(lan: &Lan, places: &[Place]) -> Vec<Node> {
    let mut nodes: Vec<Node> = places.iter().map(|p| p.start(lan)).collect();
    nodes.iter_mut().for_each(|n| {
        n.ready();
    });
    nodes
}

/// Waits until everybody sees everybody; since when.
///
/// # Panics
/// When that does not come about within `limit`.
pub fn wait_mesh(nodes: &[&Node], limit: Duration) -> Instant {
    let deadline = Instant::now() + limit;
    let waits = nodes.iter().map(|n| {
        let others: Vec<&str> = nodes.iter().filter(|o| o.id != n.id).map(|o| o.id.as_str()).collect();
        n.wait_here(&others, deadline.saturating_duration_since(Instant::now()))
    });
    waits.max().expect("a mesh has nodes")
}
