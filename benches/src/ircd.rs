//! ngircd on loopback with a channel of one sender and 50 receivers: a room without encryption, signatures or a store.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;

use crate::figures::{Table, p50_p99, percentile, show};
use crate::proc::cpu;
use crate::{Outcome, binary};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many listen.
pub const RECEIVERS: usize = 50;
const MESSAGES: usize = 500;

struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn join(port: u16, nick: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut client = Self { reader: BufReader::new(reader), writer };
        client.send(&format!("NICK {nick}\r\nUSER {nick} 0 * :{nick}\r\n")).await?;
        client.until(" 001 ").await?;
        client.send("JOIN #room\r\n").await?;
        client.until(" 366 ").await?;
        Ok(client)
    }

    async fn send(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.writer.write_all(text.as_bytes()).await?)
    }

    /// Reads up to the line that holds a text; answers pings on the way.
    async fn until(&mut self, text: &str) -> Result<(), Error> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).await? == 0 {
                return Err(format!("ngircd closed the connection before {text:?}").into());
            }
            if let Some(token) = line.strip_prefix("PING") {
                let pong = format!("PONG{token}");
                self.send(&pong).await?;
            }
            if line.contains(text) {
                return Ok(());
            }
        }
    }
}

/// Measures it, or says loudly that it is missing.
pub async fn bench(table: &mut Table) -> Outcome {
    let Some(program) = binary::find("ngircd") else {
        eprintln!("SKIPPED: ngircd is not installed (Debian: apt-get install ngircd)");
        table.row("ngircd, a room of 50", "skipped: ngircd is not installed", "");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = folder.path().join("ngircd.conf");
    let settings = format!(
        "[Global]\nName = bench.example.net\nInfo = bench\nListen = 127.0.0.1\nPorts = {port}\nServerUID = root\nServerGID = \
         root\n[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\nMaxJoins = 0\n[Options]\nDNS = \
         no\nIdent = no\nPAM = no\n"
    );
    std::fs::write(&config, settings)?;
    let mut command = Command::new(program);
    command.arg("--nodaemon").arg("--config").arg(&config);
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let pid = server.id().ok_or("ngircd ended at once")?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > deadline || server.try_wait()?.is_some() {
            return Err("ngircd does not listen".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut sender = Client::join(port, "sender").await?;
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..RECEIVERS {
        let mut client = Client::join(port, &format!("r{n}")).await?;
        let arrived = arrived.clone();
        tokio::spawn(
            async move { while client.until("PRIVMSG").await.is_ok() && arrived.send(Instant::now()).is_ok() {} },
        );
    }
    // Joins of those who came later are not what is measured.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut each, mut last) = (Vec::new(), Vec::new());
    let before = cpu(pid);
    for _ in 0..MESSAGES {
        let start = Instant::now();
        sender.send(&format!("PRIVMSG #room :{}\r\n", "x".repeat(100))).await?;
        for n in 1..=RECEIVERS {
            let at = arrivals.recv().await.ok_or("a receiver ended")?;
            each.push(at - start);
            if n == RECEIVERS {
                last.push(at - start);
            }
        }
    }
    let spent = cpu(pid).saturating_sub(before) / (MESSAGES * RECEIVERS) as u32;
    table.row("ngircd, a room of 50: a receiver, p50 / p99", p50_p99(&mut each), "");
    table.row("ngircd, a room of 50: the last receiver, p50", show(percentile(&mut last, 50)), "");
    table.row(
        "ngircd, a room of 50: processor time of the server a receiver",
        format!("{:.1} us", spent.as_nanos() as f64 / 1e3),
        "",
    );
    server.kill().await?;
    Ok(())
}
