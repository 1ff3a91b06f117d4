//! A switch with hosts on it, made of namespaces inside the sandbox: a bridge in the sandbox's own network namespace, a
//! namespace with one veth end (`eth0`) for each host. Cables can be pulled, interfaces downed, sides parted, kinds of
//! traffic swallowed and frames lost.
//!
//! Host `i` (from 0) is 10.47.`i / 250`.`i % 250 + 1`/16 and fe80::`i + 1`; its port on the switch is `p<i>`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::rules::{Rules, Traffic};

/// What a LAN is made of.
#[derive(Debug, Clone, Copy)]
pub struct LanOptions {
    /// How many hosts.
    pub hosts: usize,
    /// Whether hosts have IPv4 addresses.
    pub v4: bool,
    /// Whether hosts have IPv6 addresses (link-local).
    pub v6: bool,
    /// Whether hosts have a default route (to a router that is not there).
    pub default_route: bool,
    /// Data folders on the machine's disk instead of in memory.
    pub on_disk: bool,
}

impl Default for LanOptions {
    fn default() -> Self {
        Self { hosts: 2, v4: true, v6: true, default_route: true, on_disk: false }
    }
}

/// On a LAN of more hosts than this they are told each other's hardware addresses. All namespaces of a machine share the
/// kernel's one table of neighbours, which takes 1,024 learned ones (`gc_thresh3`): beyond it a host does not reach
/// another, as no real one would fail to. Those told don't count.
const LEARN_NEIGHBOURS: usize = 30;

/// The hardware address of a host, locally administered.
fn hardware(host: usize) -> String {
    format!("02:00:00:00:{:02x}:{:02x}", host >> 8 & 0xff, host & 0xff)
}

/// A running LAN. It vanishes with the sandbox.
#[derive(Debug)]
pub struct Lan {
    options: LanOptions,
    rules: Rules,
    folder: PathBuf,
    disk: Option<tempfile::TempDir>,
}

impl Lan {
    /// So many ordinary hosts.
    #[must_use]
    pub fn of(hosts: usize) -> Self {
        Self::new(LanOptions { hosts, ..LanOptions::default() })
    }

    /// Builds the LAN. Only inside a sandbox, which holds at most one.
    ///
    /// # Panics
    /// Outside a sandbox, and where the kernel refuses.
    #[must_use]
    pub fn new(options: LanOptions) -> Self {
        assert!(crate::sandbox::inside(), "a LAN is built inside a sandbox only");
        std::fs::create_dir_all("/run/netns").expect("the sandbox has a /run of its own");
        let folder = PathBuf::from("/run/lan");
        std::fs::create_dir_all(&folder).expect("the sandbox has a /run of its own");
        let disk = options.on_disk.then(|| tempfile::tempdir().expect("there is room for a folder"));

        let mut batch = String::from(
            "link set lo up\nlink add br0 type bridge mcast_snooping 0 forward_delay 0\nlink set br0 up\n",
        );
        for i in 0..options.hosts {
            let _ = writeln!(batch, "netns add h{i}");
            let _ = writeln!(batch, "link add p{i} type veth peer name eth0 address {} netns h{i}", hardware(i));
            let _ = writeln!(batch, "link set p{i} addrgenmode none");
            let _ = writeln!(batch, "link set p{i} master br0 up");
        }
        feed(Command::new("ip").args(["-batch", "-"]), &batch);
        let lan = Self { options, rules: Rules::default(), folder, disk };
        for i in 0..options.hosts {
            lan.ip(i, "link set lo up\nlink set eth0 addrgenmode none\n");
            lan.link_up(i);
        }
        lan.apply();
        lan
    }

    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.options.hosts
    }

    /// The IPv4 address of a host.
    #[must_use]
    pub fn v4(&self, host: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 47, (host / 250) as u8, (host % 250 + 1) as u8))
    }

    /// The link-local address of a host.
    #[must_use]
    pub fn v6(&self, host: usize) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host as u16 + 1))
    }

    /// The folder of the LAN's logs, in the sandbox's memory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A data folder by name, made on first use by whoever runs on it.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.disk.as_ref().map_or(self.folder.as_path(), |d| d.path()).join(name)
    }

    /// A command that will run on a host.
    #[must_use]
    pub fn on(&self, host: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        assert!(host < self.options.hosts, "there is no host {host}");
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/h{host}")).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Bytes of frames that a host has sent and taken so far, as its port of the switch counts them.
    ///
    /// # Panics
    /// Where the kernel does not tell.
    #[must_use]
    pub fn bytes(&self, host: usize) -> (u64, u64) {
        // Of this namespace, unlike what is under /sys. After the name: eight numbers of what it took, bytes first, then
        // likewise of what it sent. What a port takes its host has sent.
        let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        let row = table.lines().find_map(|l| l.trim_start().strip_prefix(&format!("p{host}:")));
        let numbers: Vec<u64> = row.unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
        let (sent, taken) = numbers.first().zip(numbers.get(8)).expect("the kernel counts what a port passes");
        (*sent, *taken)
    }

    /// Swallows a kind of traffic.
    pub fn block(&mut self, kind: Traffic) {
        self.rules.blocked.insert(kind);
        self.apply();
    }

    /// Lets a kind of traffic through again.
    pub fn unblock(&mut self, kind: Traffic) {
        self.rules.blocked.remove(&kind);
        self.apply();
    }

    /// Parts the hosts into sides that don't reach each other, without any of them losing its link.
    pub fn part(&mut self, sides: &[&[usize]]) {
        self.rules.groups = sides.iter().map(|s| s.iter().map(|h| format!("p{h}")).collect()).collect();
        self.apply();
    }

    /// Joins the sides again.
    pub fn heal(&mut self) {
        self.rules.groups.clear();
        self.apply();
    }

    /// Loses frames with a chance in percent.
    pub fn lose(&mut self, percent: u32) {
        self.rules.loss = percent;
        self.apply();
    }

    /// Pulls a host's cable: its interface stays up, without a carrier.
    pub fn unplug(&self, host: usize) {
        feed(Command::new("ip").args(["-batch", "-"]), &format!("link set p{host} down\n"));
    }

    /// Puts a host's cable back.
    pub fn plug(&self, host: usize) {
        feed(Command::new("ip").args(["-batch", "-"]), &format!("link set p{host} up\n"));
    }

    /// Downs a host's interface: its routes and IPv6 addresses go.
    pub fn link_down(&self, host: usize) {
        self.ip(host, "link set eth0 down\naddr flush dev eth0\n");
    }

    /// Ups a host's interface, with its addresses and routes.
    pub fn link_up(&self, host: usize) {
        let mut batch = String::from("link set eth0 up\n");
        if self.options.v4 {
            let _ = writeln!(batch, "addr add {}/16 brd + dev eth0", self.v4(host));
            if self.options.default_route {
                batch.push_str("route add default via 10.47.255.254\n");
            }
        }
        if self.options.v6 {
            let _ = writeln!(batch, "addr add {}/64 dev eth0 nodad", self.v6(host));
        }
        for other in (0..self.options.hosts).filter(|o| self.options.hosts > LEARN_NEIGHBOURS && *o != host) {
            let (v4, v6) = (self.options.v4.then(|| self.v4(other)), self.options.v6.then(|| self.v6(other)));
            for address in v4.into_iter().chain(v6) {
                let _ = writeln!(batch, "neigh add {address} lladdr {} dev eth0 nud permanent", hardware(other));
            }
        }
        self.ip(host, &batch);
    }

    fn ip(&self, host: usize, batch: &str) {
        feed(Command::new("ip").args(["-netns", &format!("h{host}"), "-batch", "-"]), batch);
    }

    fn apply(&self) {
        feed(Command::new("nft").args(["-f", "-"]), &self.rules.nft());
    }

    /// Shows the ends of all logs: what a failing scenario leaves behind.
    fn show_logs(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut logs: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
        logs.sort();
        for path in logs {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default();
            eprintln!("--- {} ({} lines)", path.display(), lines.len());
            for line in tail {
                eprintln!("{}", line.chars().take(400).collect::<String>());
            }
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

/// Runs a command on some input and expects it to succeed.
fn feed(command: &mut Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the LAN's tools are installed");
    child.stdin.take().expect("it was piped").write_all(input.as_bytes()).expect("it reads its input");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{command:?} refused:\n{input}");
}
