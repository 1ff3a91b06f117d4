//! A program of a few lines that runs on a host of the LAN: it hears and sends datagrams as beacons travel, and makes
//! noise. It proves the LAN itself without the product, and plays the hostile neighbour against it.
//!
//! `lan-report --udp hear` prints `ready`, then each datagram in hexadecimal; `send KIND COUNT TEXT` sends some;
//! `flood TARGET QUIC_PORT SECONDS [HEX...]` sends garbage, and the given datagrams whole, cut and spoilt, as fast as
//! it can.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::dice::Dice;

/// Where beacons go, as the product's documentation states it.
pub const BEACON_PORT: u16 = 27474;
/// IPv4 multicast group of beacons.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 47, 47);
/// IPv6 multicast group of beacons.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x4747);
/// The broadcast address of the virtual LAN.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 47, 255, 255);

/// Runs the program; `args` are those after `--udp`.
///
/// # Errors
/// What the system refused, or a wrong argument.
pub fn run(args: &[String]) -> std::io::Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["hear"] => hear(),
        ["send", kind, count, text] => send(kind, count.parse().unwrap_or(1), text.as_bytes()),
        ["flood", target, port, seconds, rest @ ..] => {
            let wrong = || std::io::Error::other("flood ADDRESS PORT SECONDS");
            let target: IpAddr = target.parse().map_err(|_| wrong())?;
            let port: u16 = port.parse().map_err(|_| wrong())?;
            let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
            flood(target, port, Duration::from_secs(seconds), rest)
        }
        _ => Err(std::io::Error::other("hear | send KIND COUNT TEXT | flood TARGET QUIC_PORT SECONDS HEX...")),
    }
}

/// The index of `eth0` in this network namespace.
fn eth0() -> std::io::Result<u32> {
    let text = std::fs::read_to_string("/proc/net/igmp")?;
    let line = text.lines().find(|l| l.split_whitespace().nth(1) == Some("eth0"));
    let index = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    index.ok_or_else(|| std::io::Error::other("no eth0 here"))
}

fn socket(v6: bool) -> std::io::Result<Socket> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Under load the listener may not run for a while: what the LAN passed must not be lost here.
    socket.set_recv_buffer_size(1 << 20)?;
    Ok(socket)
}

fn hear() -> std::io::Result<()> {
    let index = eth0()?;
    let v4 = socket(false)?;
    v4.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, BEACON_PORT)).into())?;
    v4.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
    let v6 = socket(true)?;
    v6.set_only_v6(true)?;
    v6.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, BEACON_PORT)).into())?;
    v6.join_multicast_v6(&GROUP_V6, index)?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    let print = |socket: UdpSocket| {
        let mut buffer = [0u8; 2048];
        while let Ok((n, _)) = socket.recv_from(&mut buffer) {
            let Some(bytes) = buffer.get(..n) else { break };
            if writeln!(std::io::stdout(), "{}", hex(bytes)).is_err() {
                break;
            }
        }
    };
    std::thread::scope(|s| {
        s.spawn(|| print(v4.into()));
        s.spawn(|| print(v6.into()));
    });
    Ok(())
}

/// Sends `count` datagrams of `kind`: `broadcast`, `multicast` or `v6`.
fn send(kind: &str, count: usize, text: &[u8]) -> std::io::Result<()> {
    let index = eth0()?;
    let socket = socket(kind == "v6")?;
    let to: SocketAddr = match kind {
        "broadcast" => {
            socket.set_broadcast(true)?;
            (BROADCAST, BEACON_PORT).into()
        }
        "multicast" => {
            // Without a default route nothing else says where multicast goes.
            #[cfg(target_os = "linux")]
            socket.bind_device(Some(b"eth0"))?;
            (GROUP_V4, BEACON_PORT).into()
        }
        "v6" => SocketAddrV6::new(GROUP_V6, BEACON_PORT, 0, index).into(),
        _ => return Err(std::io::Error::other("KIND is broadcast, multicast or v6")),
    };
    for _ in 0..count {
        socket.send_to(text, &to.into())?;
    }
    Ok(())
}

/// Garbage of every size, and known datagrams whole (replayed), cut, lengthened and with a bit flipped, to the beacon
/// port by unicast and broadcast and to a QUIC port.
fn flood(target: IpAddr, quic: u16, time: Duration, known: &[&str]) -> std::io::Result<()> {
    let known: Vec<Vec<u8>> = known.iter().filter_map(|h| unhex(h)).collect();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    let targets: [SocketAddr; 3] =
        [(target, BEACON_PORT).into(), (BROADCAST, BEACON_PORT).into(), (target, quic).into()];
    let (mut dice, until, mut sent) = (Dice::new(), Instant::now() + time, 0u64);
    while Instant::now() < until {
        let mut datagram = if known.is_empty() || dice.below(2) == 0 {
            let n = dice.below(1400);
            dice.bytes(n)
        } else {
            let pick = dice.below(known.len());
            known.get(pick).cloned().unwrap_or_default()
        };
        match dice.below(4) {
            0 => datagram.truncate(dice.below(datagram.len().max(1))),
            1 => datagram.extend(dice.bytes(300)),
            2 if !datagram.is_empty() => {
                let (at, bit) = (dice.below(datagram.len()), dice.below(8));
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            _ => {}
        }
        let to = dice.below(targets.len());
        // A full send buffer is no reason to stop.
        if targets.get(to).is_some_and(|t| socket.send_to(&datagram, t).is_ok()) {
            sent += 1;
        }
    }
    println!("{sent}");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes of hexadecimal text.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}
