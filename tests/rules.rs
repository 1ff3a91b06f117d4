//! What the switch of a virtual LAN lets through, as one nftables ruleset that is swapped whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A kind of traffic that a switch or access point may swallow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// IPv4 to the broadcast address (ARP still passes, or there would be no IPv4 at all).
    Broadcast,
    /// IPv4 multicast.
    MulticastV4,
    /// All of IPv6, neighbour discovery included.
    V6,
}

/// The state of the switch.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Swallowed kinds.
    pub blocked: BTreeSet<Traffic>,
    /// Groups of ports that don't reach each other; empty: all do.
    pub groups: Vec<Vec<String>>,
    /// Chance in percent that a frame is lost.
    pub loss: u32,
}

impl Rules {
    /// The whole ruleset as `nft -f` takes it.
    #[must_use]
    pub fn nft(&self) -> String {
        let mut out = String::from(
            "table bridge lan {}\ndelete table bridge lan\ntable bridge lan {\n chain forward {\n  type filter hook \
             forward priority 0; policy accept;\n",
        );
        for (i, from) in self.groups.iter().enumerate() {
            for to in self.groups.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, to)| to) {
                let _ = writeln!(out, "  iifname {{ {} }} oifname {{ {} }} drop", quoted(from), quoted(to));
            }
        }
        for kind in &self.blocked {
            out.push_str(match kind {
                Traffic::Broadcast => "  ether type ip ether daddr ff:ff:ff:ff:ff:ff drop\n",
                Traffic::MulticastV4 => "  ether type ip ip daddr 224.0.0.0/4 drop\n",
                Traffic::V6 => "  ether type ip6 drop\n",
            });
        }
        if self.loss > 0 {
            let _ = writeln!(out, "  numgen random mod 100 < {} drop", self.loss);
        }
        out.push_str(" }\n}\n");
        out
    }
}

fn quoted(ports: &[String]) -> String {
    ports.iter().map(|p| format!("\"{p}\"")).collect::<Vec<_>>().join(", ")
}
