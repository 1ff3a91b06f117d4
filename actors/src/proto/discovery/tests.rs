//! Discovery against made-up networks: no sockets, no clock.

use std::net::{IpAddr, Ipv4Addr};

use cairn_crdt::identity::DeviceKey;

use super::*;
use crate::proto::beacon::BeaconError;

mod crowds;
mod keys;

const S: Duration = Duration::from_secs(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn key(n: u32) -> DeviceKey {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    DeviceKey::from_seed(&seed)
}

fn at(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 27475))
}

fn config(n: u32) -> DiscoveryConfig {
    DiscoveryConfig {
        key: key(n),
        incarnation: Incarnation([n as u8; 16]),
        port: 27475,
        network: None,
        keys: vec![],
        configured: vec![],
        known: vec![],
        beacons: true,
        seed: [n as u8; 32],
    }
}

fn beacon(n: u32, incarnation: u8, counter: u64) -> Vec<u8> {
    Beacon {
        device: key(n).id(),
        incarnation: Incarnation([incarnation; 16]),
        counter,
        port: 27475,
        network: None,
        settled: false,
        goodbye: false,
    }
    .encode(&key(n))
}

/// Runs the machine until `end` and returns what it did, with times.
fn run(d: &mut Discovery, from: Duration, end: Duration) -> Vec<(Duration, Output)> {
    let mut done = Vec::new();
    let mut now = from;
    let mut idle = 0;
    loop {
        let mut out = Vec::new();
        d.tick(now, &mut out);
        idle = if out.is_empty() { idle + 1 } else { 0 };
        assert!(idle < 100, "wakes at {now:?} for nothing");
        done.extend(out.into_iter().map(|o| (now, o)));
        let next = d.next_wake(now);
        if next >= end {
            return done;
        }
        now = next.max(now + Duration::from_micros(10));
    }
}

fn hear(d: &mut Discovery, from: SocketAddr, bytes: &[u8], now: Duration) -> Vec<Output> {
    let mut out = Vec::new();
    d.heard(from, bytes, now, &mut out).unwrap();
    out
}

fn dials(done: &[(Duration, Output)]) -> Vec<(Duration, SocketAddr, Option<DeviceId>)> {
    let dial = |(t, o): &(Duration, Output)| match o {
        Output::Dial { addr, device } => Some((*t, *addr, *device)),
        _ => None,
    };
    done.iter().filter_map(dial).collect()
}

fn beacons(done: &[(Duration, Output)]) -> Vec<Duration> {
    done.iter().filter(|(_, o)| matches!(o, Output::SendBeacon(_))).map(|(t, _)| *t).collect()
}

#[test]
fn a_start_is_a_burst_and_then_a_slow_beat() {
    let mut d = Discovery::new(config(1), S);
    let sent = beacons(&run(&mut d, S, S * 200));
    assert_eq!(sent[..4], [S, S + ms(100), S + ms(500), S + ms(1500)]);
    for pair in sent[3..].windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= BEACON_INTERVAL.mul_f64(0.75) && gap <= BEACON_INTERVAL.mul_f64(1.25), "{gap:?}");
    }
    d.links_changed(S * 200);
    assert_eq!(beacons(&run(&mut d, S * 200, S * 203)).len(), 4);
    let mut quiet = Discovery::new(DiscoveryConfig { beacons: false, ..config(1) }, S);
    assert!(beacons(&run(&mut quiet, S, S * 100)).is_empty());
}

#[test]
fn a_newcomer_is_dialled_once_within_the_jitter() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S * 5);
    let now = S * 5;
    let out = hear(&mut d, SocketAddr::new(at(2).ip(), 5000), &beacon(2, 2, 1), now);
    let met = Met { device: key(2).id(), incarnation: Incarnation([2; 16]), network: None, addr: at(2) };
    assert_eq!(out, [Output::Met(met)]);
    // The rest of its burst comes by while the dial runs.
    assert!(hear(&mut d, at(2), &beacon(2, 2, 2), now + ms(1)).is_empty());
    let done = run(&mut d, now, now + ms(400));
    assert_eq!(dials(&done).len(), 1);
    let (t, addr, device) = dials(&done)[0];
    assert!(t <= now + DIAL_JITTER && addr == at(2) && device == Some(key(2).id()));
    d.dial_ended(addr, device, Ok(key(2).id()), now + ms(30));
    d.peer_up(key(2).id(), at(2), Some(Incarnation([2; 16])), now + ms(31));
    hear(&mut d, at(2), &beacon(2, 2, 3), now + ms(500));
    let done = run(&mut d, now + ms(400), now + S * 100);
    assert_eq!(dials(&done), []);
    assert!(!done.iter().any(|(_, o)| matches!(o, Output::Answer { .. })), "whoever is here needs no answer");
    // A new start of a device that seems to be here is dialled: the old link is a ghost.
    hear(&mut d, at(2), &beacon(2, 3, 1), now + S * 100);
    assert_eq!(dials(&run(&mut d, now + S * 100, now + S * 101)).len(), 1);
}

#[test]
fn who_is_alone_dials_at_once_and_many_spread_their_dials() {
    let waits = |here: u8| {
        let mut d = Discovery::new(config(1), Duration::ZERO);
        run(&mut d, Duration::ZERO, S + ms(900));
        for n in 0..here {
            d.peer_up(key(u32::from(100 + n)).id(), at(100 + n), None, Duration::ZERO);
        }
        let each = (2..60u8).map(|n| {
            let (id, now) = (u32::from(n), S * u32::from(n));
            hear(&mut d, at(n), &beacon(id, n, 1), now);
            let (t, addr, device) = dials(&run(&mut d, now, now + ms(50)))[0];
            d.dial_ended(addr, device, Ok(key(id).id()), t);
            t - now
        });
        each.collect::<Vec<_>>()
    };
    assert!(waits(0).iter().all(|w| *w == Duration::ZERO));
    let (nine, many) = (waits(9), waits(100));
    assert!(nine.iter().all(|w| *w <= DIAL_JITTER_EACH * 9) && nine.iter().any(|w| *w > DIAL_JITTER_EACH * 6));
    assert!(many.iter().all(|w| *w <= DIAL_JITTER) && many.iter().any(|w| *w > DIAL_JITTER / 2));
    // Whoever left is not counted any more.
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S + ms(900));
    d.peer_up(key(9).id(), at(9), None, Duration::ZERO);
    d.peer_up(key(9).id(), at(9), None, Duration::ZERO);
    d.peer_down(key(9).id(), false, S);
    d.peer_down(key(9).id(), false, S);
    hear(&mut d, at(2), &beacon(2, 2, 1), S * 2);
    assert_eq!(dials(&run(&mut d, S * 2, S * 3))[0].0, S * 2);
    // Who has just announced itself is dialled by the others, and gives them time.
    let waits = (2..60u8).map(|n| {
        let mut d = Discovery::new(DiscoveryConfig { seed: [n; 32], ..config(1) }, Duration::ZERO);
        hear(&mut d, at(2), &beacon(2, 2, 1), ms(10));
        dials(&run(&mut d, ms(10), ms(60)))[0].0 - ms(10)
    });
    let waits: Vec<_> = waits.collect();
    assert!(waits.iter().all(|w| *w <= DIAL_JITTER_NEW) && waits.iter().any(|w| *w > DIAL_JITTER_NEW / 2));
}

#[test]
fn whoever_can_not_be_dialled_is_answered_so_that_it_dials() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S * 2);
    let source = SocketAddr::new(at(2).ip(), 5000);
    hear(&mut d, source, &beacon(2, 2, 1), S * 2);
    let done = run(&mut d, S * 2, S * 4);
    let answers: Vec<_> = done
        .iter()
        .filter_map(|(t, o)| match o {
            Output::Answer { to, beacon } => Some((*t, *to, Beacon::decode(beacon).unwrap().device)),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [(S * 2 + ANSWER_AFTER, source, key(1).id())]);
}

#[test]
fn replays_older_counters_and_our_own_are_dropped_before_any_signature_check() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    let mut out = Vec::new();
    let b = beacon(2, 2, 10);
    assert_eq!(d.heard(at(2), &b, S, &mut out), Ok(()));
    for _ in 0..100_000 {
        assert_eq!(d.heard(at(2), &b, S, &mut out), Err(Dropped::Replay));
    }
    assert_eq!(d.heard(at(2), &beacon(2, 2, 9), S, &mut out), Err(Dropped::Replay));
    assert_eq!(d.heard(at(2), &beacon(1, 1, 9), S, &mut out), Err(Dropped::Own));
    assert_eq!(d.heard(at(2), &beacon(2, 2, 11), S, &mut out), Ok(()));
    // The same beacon by another way is another address of the device, three times at most.
    let ways = (10..100).filter(|n| d.heard(at(*n), &beacon(2, 2, 11), S, &mut out).is_ok()).count();
    assert_eq!(ways, 3);
}

#[test]
fn our_key_on_another_machine_is_told_once_and_not_for_an_echo() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(hear(&mut d, at(9), &beacon(1, 9, 5), S), []);
    }
    assert_eq!(hear(&mut d, at(9), &beacon(1, 9, 6), S * 2), [Output::IdentityElsewhere { addr: at(9) }]);
    assert_eq!(hear(&mut d, at(9), &beacon(1, 9, 7), S * 3), []);
    assert!(dials(&run(&mut d, S * 3, S * 4)).is_empty());
}

#[test]
fn a_copy_of_this_very_start_is_known_by_counters_that_were_not_reached_here() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    let mut out = Vec::new();
    assert_eq!(d.heard(at(9), &beacon(1, 1, 1), S, &mut out), Err(Dropped::Own), "an echo");
    assert_eq!(hear(&mut d, at(9), &beacon(1, 1, u64::MAX - 2), S), []);
    assert_eq!(hear(&mut d, at(9), &beacon(1, 1, u64::MAX - 1), S * 2), [Output::IdentityElsewhere { addr: at(9) }]);
}

#[test]
fn mis_signed_garbage_and_oversized_datagrams_change_nothing() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    let mut out = Vec::new();
    let mut forged = beacon(2, 2, 1);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(d.heard(at(2), &forged, S, &mut out), Err(Dropped::Bad(BeaconError::Signature)));
    assert!(matches!(d.heard(at(2), &[0; 301], S, &mut out), Err(Dropped::Bad(BeaconError::TooLong(301)))));
    assert!(matches!(d.heard(at(2), b"GET / HTTP/1.1", S, &mut out), Err(Dropped::Bad(_))));
    assert!(out.is_empty());
    assert_eq!(d.devices(), 0);
    assert_eq!(d.heard(at(2), &beacon(2, 2, 1), S, &mut out), Ok(()), "the forgery did not use up its counter");
}

#[test]
fn a_flood_from_one_address_does_not_drown_another() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    let mut out = Vec::new();
    let taken = (0..1000).filter(|n| d.heard(at(66), &beacon(1000 + n, 1, 1), S, &mut out).is_ok()).count();
    assert_eq!(taken, BEACON_BURST_PER_ADDRESS as usize);
    assert_eq!(d.heard(at(2), &beacon(2, 2, 1), S, &mut out), Ok(()));
    // From ever new addresses: the sum is bounded.
    let any = |n: u32| SocketAddr::from((Ipv4Addr::from(0x0a01_0000 + n), 27475));
    let taken = (0..2000).filter(|n| d.heard(any(*n), &beacon(5000 + n, 1, 1), S * 2, &mut out).is_ok()).count();
    assert_eq!(taken, BEACON_VERIFICATIONS as usize);
}

#[test]
fn no_more_ids_are_kept_than_allowed_and_who_is_here_stays() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    d.peer_up(DeviceId([7; 32]), at(7), None, S);
    d.peer_up(DeviceId([8; 32]), at(8), None, S);
    d.peer_down(DeviceId([8; 32]), true, S);
    for n in 0..(DISCOVERY_IDS as u32 + 500) {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let now = S + Duration::from_micros(u64::from(n));
        d.peer_up(DeviceId(id), at(9), None, now);
        d.peer_down(DeviceId(id), false, now);
    }
    assert_eq!(d.devices(), DISCOVERY_IDS);
    assert_eq!(d.here().collect::<Vec<_>>(), [&DeviceId([7; 32])]);
    assert!(dials(&run(&mut d, S, S * 3)).iter().any(|(_, a, _)| *a == at(8)));
}

#[test]
fn a_missing_co_member_is_searched_for_every_few_seconds_for_an_hour() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    d.peer_up(key(2).id(), at(2), None, S);
    run(&mut d, Duration::ZERO, S * 30);
    d.peer_down(key(2).id(), true, S * 30);
    let (mut now, mut sent, mut dialled) = (S * 30, Vec::new(), Vec::new());
    // Each dial times out after five seconds, as in a partition.
    let mut running: Vec<(Duration, SocketAddr, Option<DeviceId>)> = Vec::new();
    while now < S * 120 {
        let done = run(&mut d, now, now + ms(100));
        sent.extend(beacons(&done));
        running.extend(dials(&done));
        dialled.extend(dials(&done));
        now += ms(100);
        let (ended, rest) = running.into_iter().partition(|(t, ..)| now - *t >= S * 5);
        running = rest;
        let ended: Vec<_> = ended;
        for (_, addr, device) in ended {
            d.dial_ended(addr, device, Err(DialFault::Failed), now);
        }
    }
    for pair in sent.windows(2) {
        assert!(pair[1] - pair[0] <= MISSING_INTERVAL + ms(10), "{pair:?}");
    }
    for pair in dialled.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= S * 5 && gap <= S * 5 + ms(200), "one dial follows the other, never two at a time: {gap:?}");
    }
    // Heard again: dialled at once, although an earlier dial still runs, unless that is so young that it is as good.
    let last = dialled.last().unwrap().0;
    run(&mut d, now, last + ms(501));
    now = now.max(last + ms(501));
    hear(&mut d, at(2), &beacon(2, 2, 1), now);
    assert_eq!(dials(&run(&mut d, now, now + ms(30))).len(), 1);
    // After the hour the beat is slow again.
    let late = S * 30 + MISSING_FOR + S * 40;
    run(&mut d, now, late);
    let sent = beacons(&run(&mut d, late, late + S * 60));
    assert!(sent.len() <= 6, "{sent:?}");
}

#[test]
fn failed_dials_back_off_and_try_other_addresses() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    hear(&mut d, at(2), &beacon(2, 2, 1), S);
    hear(&mut d, at(3), &beacon(2, 2, 1), S);
    let (mut now, mut seen) = (S, Vec::new());
    while now < S * 60 {
        for (t, addr, device) in dials(&run(&mut d, now, now + ms(50))) {
            seen.push((t, addr));
            d.dial_ended(addr, device, Err(DialFault::Failed), t);
        }
        now += ms(50);
    }
    assert_eq!(seen.len(), TRIES_PER_BEACON as usize);
    assert!(seen.iter().any(|(_, a)| *a == at(2)) && seen.iter().any(|(_, a)| *a == at(3)));
    let gaps: Vec<_> = seen.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(gaps.windows(2).all(|w| w[1] > w[0]), "{gaps:?}");
    // Its next beacon does not undo the wait that is left, a new start of it does.
    hear(&mut d, at(2), &beacon(2, 2, 2), now);
    hear(&mut d, at(2), &beacon(2, 9, 1), now + S * 20);
    assert_eq!(dials(&run(&mut d, now + S * 20, now + S * 21)).len(), 1);
}

#[test]
fn a_device_that_is_not_wanted_is_left_alone_for_a_while() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    hear(&mut d, at(2), &beacon(2, 2, 1), S);
    let (_, addr, device) = dials(&run(&mut d, S, S * 2))[0];
    d.dial_ended(addr, device, Err(DialFault::Unwanted), S * 2);
    hear(&mut d, at(2), &beacon(2, 2, 2), S * 3);
    assert_eq!(dials(&run(&mut d, S * 3, S * 61)), []);
    assert_eq!(dials(&run(&mut d, S * 61, S * 64)).len(), 1);
}

#[test]
fn configured_peers_are_dialled_at_once_and_for_ever() {
    let mut d = Discovery::new(DiscoveryConfig { configured: vec![at(5), at(6)], beacons: false, ..config(1) }, S);
    let mut now = S;
    let mut seen = Vec::new();
    while now < S * 300 {
        for (t, addr, device) in dials(&run(&mut d, now, now + ms(50))) {
            assert_eq!(device, None);
            seen.push((t, addr));
            let fault = if addr == at(6) { DialFault::Oneself } else { DialFault::Failed };
            d.dial_ended(addr, device, Err(fault), t);
        }
        now += ms(50);
    }
    assert_eq!(seen.iter().filter(|(_, a)| *a == at(6)).count(), 1, "that is ourselves");
    let times: Vec<_> = seen.iter().filter(|(_, a)| *a == at(5)).map(|(t, _)| *t).collect();
    assert_eq!(times[0], S);
    assert!(times.windows(2).all(|w| w[1] - w[0] <= ms(12_600)), "{times:?}");
    assert!(times.len() > 25);
    // A link without a session is not enough.
    d.dial_ended(at(5), None, Ok(key(5).id()), now);
    assert_eq!(dials(&run(&mut d, now, now + S * 11)).len(), 1);
    now += S * 11;
    // Found, lost, and dialled again.
    d.dial_ended(at(5), None, Ok(key(5).id()), now);
    d.peer_up(key(5).id(), at(5), None, now);
    assert_eq!(dials(&run(&mut d, now, now + S * 60)), []);
    d.peer_down(key(5).id(), false, now + S * 60);
    assert!(!dials(&run(&mut d, now + S * 60, now + S * 61)).is_empty());
}

#[test]
fn a_goodbye_asks_and_never_disconnects() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    let goodbye = |counter| {
        let mut b = Beacon::decode(&beacon(2, 2, counter)).unwrap();
        b.goodbye = true;
        b.encode(&key(2))
    };
    assert_eq!(hear(&mut d, at(2), &goodbye(1), S), [], "it is not here: nothing to ask, nothing to dial");
    assert_eq!(dials(&run(&mut d, S, S * 2)), []);
    d.peer_up(key(2).id(), at(2), None, S * 2);
    assert_eq!(hear(&mut d, at(2), &goodbye(2), S * 2), [Output::Goodbye(key(2).id())]);
    assert_eq!(d.here().count(), 1);
}

#[test]
fn co_members_of_earlier_runs_are_dialled_at_the_start() {
    let known = vec![
        Known { device: key(2).id(), addr: at(2), seen_ago: S * 60 },
        Known { device: key(3).id(), addr: at(3), seen_ago: S * 86_400 },
        Known { device: key(1).id(), addr: at(1), seen_ago: S },
    ];
    let mut d = Discovery::new(DiscoveryConfig { known, ..config(1) }, S);
    let done = run(&mut d, S, S + ms(90));
    let mut who: Vec<_> = dials(&done).iter().map(|(_, a, _)| *a).collect();
    who.sort();
    assert_eq!(who, [at(2), at(3)]);
}

#[test]
fn the_counter_grows_over_a_restart_of_the_machine() {
    let last = |done: Vec<(Duration, Output)>| {
        let counter = |(_, o): &(Duration, Output)| match o {
            Output::SendBeacon(b) => Some(Beacon::decode(b).unwrap().counter),
            _ => None,
        };
        done.iter().filter_map(counter).collect::<Vec<_>>()
    };
    let mut d = Discovery::new(config(1), S);
    let first = last(run(&mut d, S, S * 3));
    let mut d = Discovery::new(config(1), S * 3);
    let second = last(run(&mut d, S * 3, S * 6));
    assert!(first.windows(2).all(|w| w[0] < w[1]));
    assert!(second[0] > *first.last().unwrap());
}

#[test]
fn a_change_of_network_is_announced_soon_and_met_once() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S * 5);
    d.set_network(Some((NetworkId([4; 16]), false)), S * 5);
    let done = run(&mut d, S * 5, S * 6);
    let Output::SendBeacon(b) = &done[0].1 else { panic!("{done:?}") };
    assert_eq!(Beacon::decode(b).unwrap().network, Some(NetworkId([4; 16])));
    let mut other = Discovery::new(config(2), Duration::ZERO);
    assert_eq!(hear(&mut other, at(1), b, S).len(), 1);
    let met = |counter, settled| {
        let mut b = Beacon::decode(b).unwrap();
        (b.counter, b.settled) = (counter, settled);
        b.encode(&key(1))
    };
    assert_eq!(hear(&mut other, at(1), &met(1 << 40, false), S).len(), 0);
    assert_eq!(hear(&mut other, at(1), &met(1 << 41, true), S).len(), 1);
}
