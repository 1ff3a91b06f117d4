//! Which interfaces carry beacons: all that are up, without loopback and point-to-point ones (tunnels), or the ones
//! that were named. Loopback alone when asked for, or when there is nothing else.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::IfAddr;

use crate::api::InterfaceInfo;

/// An IPv4 address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V4 {
    /// The address.
    pub ip: Ipv4Addr,
    /// The mask of its subnet.
    pub mask: Ipv4Addr,
    /// The broadcast address of its subnet, if it has one.
    pub broadcast: Option<Ipv4Addr>,
}

/// An interface that carries beacons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// As the system calls it.
    pub name: String,
    /// Its number, which IPv6 scopes and group memberships go by.
    pub index: u32,
    /// Whether it is loopback.
    pub loopback: bool,
    /// Its IPv4 addresses.
    pub v4: Vec<V4>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
}

impl Interface {
    /// As the node's status shows it.
    #[must_use]
    pub fn info(&self) -> InterfaceInfo {
        let v4 = self.v4.iter().map(|a| IpAddr::V4(a.ip));
        let addresses = v4.chain(self.v6.iter().map(|a| IpAddr::V6(*a))).collect();
        InterfaceInfo { name: self.name.clone(), addresses }
    }

    /// Whether an IPv4 address is in one of its subnets.
    #[must_use]
    pub fn holds(&self, ip: Ipv4Addr) -> bool {
        self.v4.iter().any(|a| u32::from(a.ip) & u32::from(a.mask) == u32::from(ip) & u32::from(a.mask))
    }
}

/// Which interfaces are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Only these; empty: all but tunnels.
    pub names: Vec<String>,
    /// Only loopback.
    pub loopback_only: bool,
}

/// Lists the wanted interfaces, by index.
///
/// # Errors
/// If the system does not tell.
pub fn list(wanted: &Wanted) -> io::Result<Vec<Interface>> {
    Ok(choose(&if_addrs::get_if_addrs()?, wanted))
}

/// Picks from everything that the system has.
fn choose(all: &[if_addrs::Interface], wanted: &Wanted) -> Vec<Interface> {
    let named = |i: &if_addrs::Interface| wanted.names.is_empty() || wanted.names.contains(&i.name);
    // Without a carrier an interface keeps its addresses but is not running.
    let up = if_addrs::Interface::is_oper_up;
    let real = |i: &if_addrs::Interface| !i.is_loopback() && (!i.is_p2p() || !wanted.names.is_empty());
    let lo = |i: &if_addrs::Interface| i.is_loopback();
    if wanted.loopback_only {
        return gather(all.iter().filter(|i| lo(i)));
    }
    let chosen = gather(all.iter().filter(|i| real(i) && named(i) && up(i)));
    if !chosen.is_empty() {
        return chosen;
    }
    gather(all.iter().filter(|i| lo(i) && named(i)))
}

fn gather<'a>(entries: impl Iterator<Item = &'a if_addrs::Interface>) -> Vec<Interface> {
    let mut found: BTreeMap<(u32, String), Interface> = BTreeMap::new();
    for entry in entries {
        let index = entry.index.unwrap_or(0);
        let key = (index, entry.name.clone());
        let new = || Interface { name: entry.name.clone(), index, loopback: entry.is_loopback(), ..Default::default() };
        let interface = found.entry(key).or_insert_with(new);
        match &entry.addr {
            IfAddr::V4(a) => interface.v4.push(V4 { ip: a.ip, mask: a.netmask, broadcast: broadcast_of(a) }),
            IfAddr::V6(a) => interface.v6.push(a.ip),
        }
    }
    found.into_values().collect()
}

/// The subnet's broadcast address, worked out where the system does not name it (loopback). None for a subnet of one
/// or two addresses.
fn broadcast_of(addr: &if_addrs::Ifv4Addr) -> Option<Ipv4Addr> {
    let (ip, mask) = (u32::from(addr.ip), u32::from(addr.netmask));
    let hosts = !mask;
    (hosts > 1 && mask != 0).then(|| addr.broadcast.filter(|b| *b != addr.ip).unwrap_or(Ipv4Addr::from(ip | hosts)))
}

#[cfg(test)]
mod tests {
    use if_addrs::IfOperStatus;

    use super::*;

    fn entry(name: &str, index: u32, ip: [u8; 4], prefix: u32, p2p: bool, up: bool) -> if_addrs::Interface {
        let netmask = Ipv4Addr::from(u32::MAX.checked_shl(32 - prefix).unwrap_or(0));
        let addr = if_addrs::Ifv4Addr { ip: ip.into(), netmask, prefixlen: prefix as u8, broadcast: None };
        if_addrs::Interface {
            name: name.into(),
            addr: IfAddr::V4(addr),
            index: Some(index),
            oper_status: if up { IfOperStatus::Up } else { IfOperStatus::Down },
            is_p2p: p2p,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    fn names(all: &[if_addrs::Interface], wanted: &Wanted) -> Vec<String> {
        choose(all, wanted).into_iter().map(|i| i.name).collect()
    }

    #[test]
    fn tunnels_and_loopback_are_left_out_unless_named_or_alone() {
        let lo = entry("lo", 1, [127, 0, 0, 1], 8, false, true);
        let eth = entry("eth0", 2, [10, 1, 2, 3], 24, false, true);
        let down = entry("eth1", 3, [10, 1, 3, 3], 24, false, false);
        let tun = entry("tun0", 4, [10, 9, 0, 2], 32, true, true);
        let all = [lo.clone(), eth.clone(), down, tun];
        assert_eq!(names(&all, &Wanted::default()), ["eth0"]);
        assert_eq!(names(&all, &Wanted { names: vec!["tun0".into()], loopback_only: false }), ["tun0"]);
        assert_eq!(names(&all, &Wanted { names: vec![], loopback_only: true }), ["lo"]);
        assert_eq!(names(&[lo], &Wanted::default()), ["lo"]);
        assert!(names(&[], &Wanted::default()).is_empty());
        let eth = &choose(&[eth], &Wanted::default())[0];
        assert_eq!(eth.v4[0].broadcast, Some([10, 1, 2, 255].into()));
        assert!(eth.holds([10, 1, 2, 77].into()) && !eth.holds([10, 1, 3, 77].into()));
    }
}
