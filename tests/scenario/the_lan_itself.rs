//! The virtual LAN passes, blocks, parts and loses as told; held with a program of a few lines, without the product.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::Scale;
use crate::lan::Lan;
use crate::rules::Traffic;

/// Long enough for a datagram on a veth pair, also on a busy machine.
const HEARD: Duration = Duration::from_secs(5);
/// Long enough to believe that nothing comes. The rules apply in the kernel: a frame that passes is there at once.
const SILENCE: Duration = Duration::from_millis(300);

struct Ear {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Ear {
    fn on(lan: &Lan, host: usize) -> Self {
        let mut command = lan.on(host, program());
        let mut child = command.args(["--udp", "hear"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let out: ChildStdout = child.stdout.take().expect("it was piped");
        let (tx, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|l| {
                let _ = tx.send(l);
            });
        });
        let ear = Self { child, lines };
        assert_eq!(ear.lines.recv_timeout(HEARD).ok().as_deref(), Some("ready"));
        ear
    }

    /// Whether the next thing heard is `text`, waiting `limit` for it.
    fn hears(&self, text: &str, limit: Duration) -> bool {
        match self.lines.recv_timeout(limit) {
            Ok(line) => {
                let heard = crate::udp::unhex(&line).unwrap_or_default();
                assert_eq!(String::from_utf8_lossy(&heard), text, "only what was just sent is heard");
                true
            }
            Err(_) => false,
        }
    }

    /// How many are heard until there is silence.
    fn count(&self) -> usize {
        std::iter::from_fn(|| self.lines.recv_timeout(SILENCE).ok()).count()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

fn send(lan: &Lan, host: usize, kind: &str, count: usize, text: &str) {
    let status = lan.on(host, program()).args(["--udp", "send", kind, &count.to_string(), text]).status();
    assert!(status.is_ok_and(|s| s.success()), "host {host} sends by {kind}");
}

/// Runs it.
pub fn run(_: &Scale) {
    let mut lan = Lan::of(3);
    let (near, far) = (Ear::on(&lan, 1), Ear::on(&lan, 2));
    let kinds = [("broadcast", Traffic::Broadcast), ("multicast", Traffic::MulticastV4), ("v6", Traffic::V6)];
    for (kind, traffic) in kinds {
        send(&lan, 0, kind, 1, "open");
        assert!(near.hears("open", HEARD) && far.hears("open", HEARD), "{kind} passes");
        lan.block(traffic);
        send(&lan, 0, kind, 1, "blocked");
        assert!(!near.hears("blocked", SILENCE), "blocked {kind} does not pass");
        for (other, _) in kinds.iter().filter(|(other, _)| *other != kind) {
            send(&lan, 0, other, 1, "other");
            assert!(near.hears("other", HEARD) && far.hears("other", HEARD), "{other} passes while {kind} is blocked");
        }
        lan.unblock(traffic);
    }

    lan.part(&[&[0, 1], &[2]]);
    send(&lan, 0, "broadcast", 1, "side");
    assert!(near.hears("side", HEARD) && !far.hears("side", SILENCE), "a partition parts the sides");
    lan.heal();
    send(&lan, 0, "broadcast", 1, "healed");
    assert!(near.hears("healed", HEARD) && far.hears("healed", HEARD), "a healed partition passes");

    lan.lose(20);
    send(&lan, 0, "broadcast", 1000, "lossy");
    let heard = near.count();
    assert!((700..900).contains(&heard), "a fifth is lost: {heard} of 1000 heard");
    assert!(far.count() > 0, "the far host hears some too");
    lan.lose(0);

    lan.unplug(1);
    send(&lan, 0, "broadcast", 1, "unplugged");
    assert!(far.hears("unplugged", HEARD) && !near.hears("unplugged", SILENCE), "a pulled cable is pulled");
    lan.plug(1);
    send(&lan, 0, "broadcast", 1, "plugged");
    assert!(near.hears("plugged", HEARD) && far.hears("plugged", HEARD), "a cable put back works");
    lan.link_down(0);
    lan.link_up(0);
    send(&lan, 0, "v6", 1, "up");
    assert!(near.hears("up", HEARD) && far.hears("up", HEARD), "an interface comes back with its addresses");
}
