//! Figures of the QUIC link on loopback: handshake, echo, one way, bulk, and memory a connection.
//! `cargo run --release -p cairn-actors --example link_bench`

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_actors::link::quic::{QuicOptions, QuicTransport};
use cairn_actors::link::{Lane, Link, LinkError, Transport};
use cairn_crdt::identity::DeviceKey;

type Failure = Box<dyn std::error::Error>;

fn node(n: u8) -> Result<Arc<QuicTransport>, Failure> {
    let options = QuicOptions { port: Some(0), remembered: None, loopback_only: true };
    Ok(Arc::new(QuicTransport::bind(&DeviceKey::from_seed(&[n; 32]), &options)?))
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |p: usize| times.get(times.len().saturating_sub(1) * p / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

/// Echoes the control lane, swallows the sync lane.
async fn serve(link: Arc<dyn Link>) {
    let echo = async {
        while let Ok(frame) = link.recv(Lane::Control).await {
            if link.send(Lane::Control, frame).await.is_err() {
                break;
            }
        }
    };
    let swallow = async { while link.recv(Lane::Sync).await.is_ok() {} };
    tokio::join!(echo, swallow);
}

async fn echo(link: &Arc<dyn Link>, frame: &Bytes) -> Result<Duration, LinkError> {
    let start = Instant::now();
    link.send(Lane::Control, frame.clone()).await?;
    link.recv(Lane::Control).await?;
    Ok(start.elapsed())
}

fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4
}

async fn run(label: &str) -> Result<(), Failure> {
    let (a, b) = (node(1)?, node(2)?);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.port()));
    let server = tokio::spawn({
        let b = b.clone();
        async move {
            while let Some(link) = b.accept().await {
                tokio::spawn(serve(link));
            }
        }
    });
    let frame = Bytes::from(vec![7; 100]);

    let mut handshakes = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        let link = a.dial(to, None).await?;
        handshakes.push(start.elapsed());
        link.close("done");
    }
    println!("{label}: handshake {}", percentiles(handshakes));

    let link = a.dial(to, None).await?;
    for _ in 0..1_000 {
        echo(&link, &frame).await?;
    }
    let mut echoes = Vec::new();
    for _ in 0..20_000 {
        echoes.push(echo(&link, &frame).await?);
    }
    println!("{label}: echo of 100 B {}", percentiles(echoes));

    let (count, start) = (500_000u32, Instant::now());
    for _ in 0..count {
        link.send(Lane::Sync, frame.clone()).await?;
    }
    echo(&link, &frame).await?;
    println!("{label}: one way, 100 B: {:.0} frames/s", f64::from(count) / start.elapsed().as_secs_f64());

    let (big, start) = (Bytes::from(vec![1; 64 * 1024]), Instant::now());
    for _ in 0..8_000 {
        link.send(Lane::Sync, big.clone()).await?;
    }
    echo(&link, &frame).await?;
    println!("{label}: bulk, 64 KiB: {:.2} GB/s", 8_000.0 * 65_536.0 / start.elapsed().as_secs_f64() / 1e9);

    let before = resident_kib();
    let mut links = Vec::new();
    for _ in 0..200 {
        let link = a.dial(to, None).await?;
        echo(&link, &frame).await?;
        links.push(link);
    }
    println!("{label}: memory of one connection, both ends: {} KiB", (resident_kib() - before) / 200);
    drop(links);
    server.abort();
    Ok(())
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run("one thread"))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async { tokio::spawn(async { run("two threads").await.map_err(|e| e.to_string()) }).await })??;
    Ok(())
}
