//! The orders against a plain list that is gone through for every question, and what a question costs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// How long dials to a machine and of a teller count, as in `order`.
const LOAD_FOR: Duration = Duration::from_secs(30);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn device(n: u32) -> DeviceId {
    let mut id = [7; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    DeviceId(id)
}

fn at(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n), 27475))
}

/// The same rules without any order.
struct Plain {
    bucket: Bucket,
    dials: BTreeMap<Target, Dial>,
    load: BTreeMap<IpAddr, u32>,
    told: BTreeMap<DeviceId, u32>,
    load_from: Duration,
}

impl Plain {
    fn want(&mut self, target: Target, addr: SocketAddr, urgency: Urgency, due: Duration, now: Duration, anew: bool) {
        if !self.dials.contains_key(&target) && !self.has_room(addr.ip(), urgency, now) {
            return;
        }
        let fresh = Dial { addr, urgency, due: None, running: None, failures: 0, not_before: Duration::ZERO };
        let dial = self.dials.entry(target).or_insert(fresh);
        if anew {
            (dial.failures, dial.not_before) = (0, Duration::ZERO);
        }
        if dial.running.is_some_and(|since| now - since < STALE) {
            return;
        }
        let due = due.max(dial.not_before);
        dial.due = Some(dial.due.map_or(due, |d| d.min(due)));
        dial.addr = addr;
        if urgency.rank() < dial.urgency.rank() {
            dial.urgency = urgency;
        }
    }

    fn has_room(&mut self, ip: IpAddr, urgency: Urgency, now: Duration) -> bool {
        if urgency.rank() < Urgency::Other.rank() {
            return true;
        }
        if self.dials.len() >= DIALS_WAITING {
            self.dials.retain(|_, d| d.due.is_some() || d.running.is_some_and(|t| now - t < LOST));
        }
        let wanted = || self.dials.values().filter(|d| d.due.is_some());
        if let Urgency::Told(_) = urgency
            && (wanted().filter(|d| d.is_told()).count() >= DIALS_TOLD
                || wanted().filter(|d| d.urgency == urgency).count() >= DIALS_TOLD_PER_PEER)
        {
            return false;
        }
        let same = wanted().filter(|d| d.urgency.rank() >= Urgency::Other.rank() && d.addr.ip() == ip).count();
        self.dials.len() < DIALS_WAITING && same < DIALS_WAITING_PER_ADDRESS
    }

    fn next(&mut self, now: Duration) -> Option<(Target, SocketAddr)> {
        if now - self.load_from >= LOAD_FOR {
            (self.load, self.told, self.load_from) = (BTreeMap::new(), BTreeMap::new(), now);
        }
        let lately = |d: &Dial| {
            let told = match d.urgency {
                Urgency::Told(by) => self.told.get(&by).copied().unwrap_or(0),
                _ => 0,
            };
            (self.load.get(&d.addr.ip()).copied().unwrap_or(0), told)
        };
        let (any, told_too) = (self.places_at(false, now) <= now, self.places_at(true, now) <= now);
        let may = |d: &Dial| d.due.is_some_and(|t| t <= now) && if d.is_told() { told_too } else { any };
        let due = self.dials.iter().filter(|(_, d)| may(d));
        let first = due.min_by_key(|(_, d)| (d.urgency.rank(), lately(d), d.due)).map(|(t, _)| *t)?;
        if !self.bucket.take(now) {
            return None;
        }
        let dial = self.dials.get_mut(&first)?;
        (dial.due, dial.running) = (None, Some(now));
        *self.load.entry(dial.addr.ip()).or_default() += 1;
        if let Urgency::Told(by) = dial.urgency {
            *self.told.entry(by).or_default() += 1;
        }
        Some((first, dial.addr))
    }

    fn places_at(&self, told: bool, now: Duration) -> Duration {
        let most = if told { DIALS_MAX / 2 } else { DIALS_MAX };
        let free = |places: usize, held: Duration| {
            let began = self.dials.values().filter_map(|d| d.running);
            let mut ends: Vec<_> = began.map(|t| t + held).filter(|end| *end > now).collect();
            ends.sort_unstable();
            ends.len().checked_sub(places).and_then(|over| ends.get(over).copied())
        };
        [free(DIALS_AT_ONCE, DIAL_PLACE), free(most, LOST)].into_iter().flatten().fold(now, Duration::max)
    }

    fn next_wake(&self, now: Duration) -> Option<Duration> {
        let first = [false, true].into_iter().filter_map(|told| {
            let due = self.dials.values().filter(|d| d.is_told() == told).filter_map(|d| d.due).min()?;
            Some(due.max(self.places_at(told, now)))
        });
        Some(first.min()?.max(self.bucket.ready_at(now)))
    }

    fn change(&mut self, target: Target, change: impl FnOnce(&mut Dial)) {
        if let Some(dial) = self.dials.get_mut(&target) {
            change(dial);
        }
    }
}

/// One seed: some thousand random steps over a crowd of so many, told of by so many, on so many machines.
fn held_against_each_other(seed: u64, crowd: u32, tellers: u32, machines: u32) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut now = Duration::ZERO;
    let mut dials = Dials::new(now);
    let mut plain = Plain {
        bucket: Bucket::new(DIALS_PER_SECOND, DIAL_BURST, now),
        dials: BTreeMap::new(),
        load: BTreeMap::new(),
        told: BTreeMap::new(),
        load_from: now,
    };
    let (mut begun, mut most) = (0, 0);
    for _ in 0..2_500 {
        let n = rng.random_range(0..crowd);
        let target = if n % 16 == 0 { Target::Address(at(n)) } else { Target::Device(device(n)) };
        let later = now + ms(rng.random_range(0..3_000));
        match rng.random_range(0..20) {
            0..12 => {
                let urgency = match rng.random_range(0..10) {
                    0 => Urgency::Member,
                    1 => Urgency::Configured,
                    2..6 => Urgency::Other,
                    _ => Urgency::Told(device(1_000_000 + rng.random_range(0..tellers))),
                };
                let (addr, anew) = (at(rng.random_range(0..machines)), rng.random());
                dials.want(target, addr, urgency, later, now, anew);
                plain.want(target, addr, urgency, later, now, anew);
            }
            12 => {
                dials.hold(target, later);
                plain.change(target, |d| {
                    (d.not_before, d.due) = (d.not_before.max(later), d.due.map(|due| due.max(later)));
                });
            }
            13 => {
                dials.again(target, later);
                plain.change(target, |d| (d.running, d.due) = (None, Some(later.max(d.not_before))));
            }
            14 => {
                dials.failed(target);
                plain.change(target, |d| d.running = None);
            }
            15 => {
                dials.settle(target, now);
                match plain.dials.get_mut(&target) {
                    Some(d) if d.not_before > now => (d.due, d.running) = (None, None),
                    _ => drop(plain.dials.remove(&target)),
                }
            }
            16 if rng.random_range(0..40) == 0 => now += ms(rng.random_range(0..40_000)),
            _ => now += ms(rng.random_range(0..300)),
        }
        while let Some(next) = dials.next(now) {
            assert_eq!(Some(next), plain.next(now), "seed {seed}: the same one begins");
            begun += 1;
        }
        assert_eq!(plain.next(now), None, "seed {seed}: no other begins");
        assert_eq!(dials.next_wake(now), plain.next_wake(now), "seed {seed}: and the next at the same time");
        assert_eq!(dials.len(), plain.dials.len(), "seed {seed}");
        assert_eq!(dials.is_busy(target, now), {
            let running = |d: &Dial| d.running.is_some_and(|since| now - since < LOST);
            plain.dials.get(&target).is_some_and(|d| d.due.is_some() || running(d))
        });
        most = most.max(dials.len());
    }
    assert!(begun > 100, "seed {seed}: {begun}");
    most
}

#[test]
fn ordered_dials_are_begun_as_a_plain_list_would_have_them_begun() {
    // Twelve with `CAIRN_FULL=1`, as `.ci/run` does; else each crowd once and the largest smaller, since the plain list is
    // slow.
    let full = std::env::var("CAIRN_FULL").is_ok_and(|v| v == "1");
    let mut most = 0;
    for seed in 0..if full { 12 } else { 3 } {
        let crowd = [20, 300, if full { 5_000 } else { 2_500 }][seed as usize % 3];
        let few = held_against_each_other(seed, crowd, 3, 10);
        most = most.max(few).max(held_against_each_other(seed + 100, crowd, 300, 3_000));
    }
    assert!(most >= DIALS_WAITING, "the line was full too");
}

/// With so many waiting, each on a machine of its own: the most dials that one step of each sort looked at.
fn looked(waiting: u32) -> usize {
    let mut now = Duration::from_secs(1);
    let mut dials = Dials::new(now);
    for n in 0..waiting {
        let urgency = if n % 2 == 0 { Urgency::Other } else { Urgency::Told(device(1_000_000 + n % 64)) };
        dials.want(Target::Device(device(n)), at(n), urgency, now, now, false);
    }
    // What is due is sorted in once.
    while dials.next(now).is_some() {}
    let mut most = 0;
    for n in 0..40 {
        now += ms(150);
        let steps: [&dyn Fn(&mut Dials); 7] = [
            &|d| _ = d.next(now),
            &|d| _ = d.next_wake(now),
            &|d| _ = d.want(Target::Device(device(n * 2)), at(n * 2), Urgency::Member, now, now, false),
            &|d| _ = d.want(Target::Device(device(n + 9_000)), at(n + 9_000), Urgency::Other, now, now, true),
            &|d| _ = d.want(Target::Device(device(n + 9_500)), at(n), Urgency::Told(device(n)), now, now, true),
            &|d| _ = d.failed(Target::Device(device(n))),
            &|d| d.settle(Target::Device(device(n + 9_000)), now),
        ];
        for step in steps {
            dials.order.looked.set(0);
            step(&mut dials);
            most = most.max(dials.order.looked.get());
        }
    }
    assert!(dials.len() >= waiting as usize - 200, "they wait all the while");
    most
}

#[test]
fn a_step_looks_at_no_more_dials_the_more_there_are() {
    let (some, many) = (looked(300), looked(900));
    // Of those under way, of whom there are at most so many, the last few; and a turn that was noted too low.
    assert!(many <= some + 8 && many <= 3 * DIALS_MAX, "{some} with 300 waiting, {many} with 900");
}
