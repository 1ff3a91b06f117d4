//! Discovery against made-up networks: no sockets, no clock.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::limits::{DIAL_PLACE, DIALS_AT_ONCE, HANDSHAKE_TIMEOUT};

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
fn dials_are_bounded_and_a_crowd_at_one_address_waits_behind_others() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    let mut out = Vec::new();
    let mut now = S;
    // A minute of made-up devices from one address, as fast as its rate lets them in.
    for n in 0..600u32 {
        now += ms(100);
        let _ = d.heard(at(66), &beacon(1000 + n, 1, 1), now, &mut out);
        d.tick(now, &mut out);
    }
    let crowd = out.iter().filter(|o| matches!(o, Output::Dial { .. })).count();
    assert!(crowd as u64 <= 64 + 10 * 60, "{crowd}");
    // 64 new devices at once, each at an address of its own, and one more in the crowd.
    d.heard(at(2), &beacon(2, 2, 1), now, &mut out).unwrap();
    let done = run(&mut d, now, now + ms(1500));
    let place = dials(&done).iter().position(|(_, a, _)| *a == at(2));
    assert!(place.is_some_and(|p| p < 30), "{place:?} of {}", dials(&done).len());
}

#[test]
fn a_lan_that_starts_at_once_is_dialled_at_once() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    for n in 2..32 {
        hear(&mut d, at(n), &beacon(u32::from(n), 2, 1), ms(1));
    }
    // Each handshake takes 5 ms.
    let (mut dialled, mut now) = (Vec::new(), ms(1));
    while now < ms(60) {
        let done = dials(&run(&mut d, now, now + ms(5)));
        now += ms(5);
        for (_, addr, device) in &done {
            d.dial_ended(*addr, *device, Ok(device.unwrap()), now);
            d.peer_up(device.unwrap(), *addr, None, now);
        }
        dialled.extend(done);
    }
    assert_eq!(dialled.len(), 30);
}

/// Forty devices are heard, none answers, and the node is as late as that: how many are dialled in a while.
fn begun(lag: Duration, slow: Option<Duration>, within: Duration) -> usize {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S * 5);
    let mut now = S * 5;
    for n in 100..120u8 {
        let Some(takes) = slow else { break };
        hear(&mut d, at(n), &beacon(u32::from(n), 2, 1), now);
        let (t, addr, device) = dials(&run(&mut d, now, now + ms(50)))[0];
        now = t + takes;
        d.dial_ended(addr, device, Ok(device.unwrap()), now);
    }
    now += S * 10;
    d.set_lag(lag);
    for n in 2..42 {
        hear(&mut d, at(n), &beacon(u32::from(n), 2, 1), now);
    }
    dials(&run(&mut d, now + DIAL_JITTER, now + DIAL_JITTER + within)).len()
}

#[test]
fn a_few_dials_are_begun_at_once_and_more_as_time_shows_that_they_can_be() {
    assert_eq!(begun(Duration::ZERO, None, ms(50)), DIALS_AT_ONCE);
    // Those that are switched off hold nobody up.
    assert_eq!(begun(Duration::ZERO, None, ms(450)), DIALS_AT_ONCE * 5);
    // This machine is late.
    assert_eq!(begun(ms(500), None, ms(2_000)), DIALS_AT_ONCE);
    assert_eq!(begun(ms(500), None, ms(2_300)), DIALS_AT_ONCE * 2);
    // The others are.
    assert_eq!(begun(Duration::ZERO, Some(S), ms(2_000)), DIALS_AT_ONCE);
    // Whoever lets its handshakes take ever so long slows dials down no further.
    assert_eq!(begun(Duration::ZERO, Some(S * 5), ms(2_500)), DIALS_AT_ONCE * 2);
}

#[test]
fn a_dial_gives_way_to_a_link_that_came_first_and_is_made_if_no_session_comes_of_it() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S * 5);
    hear(&mut d, at(2), &beacon(2, 2, 1), S * 5);
    let (t, addr, device) = dials(&run(&mut d, S * 5, S * 6))[0];
    d.dial_ended(addr, device, Err(DialFault::CameFirst), t + ms(5));
    let (again, ..) = dials(&run(&mut d, t + ms(5), S * 7))[0];
    assert!(again >= t + BACKOFF.0 / 2 && again <= t + BACKOFF.0 * 2, "{:?}", again - t);
    d.dial_ended(addr, device, Err(DialFault::CameFirst), again + ms(5));
    d.peer_up(key(2).id(), at(2), None, again + ms(20));
    assert_eq!(dials(&run(&mut d, again + ms(20), S * 100)), []);
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

#[test]
fn peer_exchange_dials_what_is_not_here() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    d.peer_up(key(2).id(), at(2), None, S);
    let teller = key(2).id();
    d.learned(teller, teller, at(2), S);
    d.learned(teller, key(1).id(), at(1), S);
    d.learned(teller, key(3).id(), at(3), S);
    let done = run(&mut d, S, S * 2);
    assert_eq!(dials(&done).iter().map(|(_, a, _)| *a).collect::<Vec<_>>(), [at(3)]);
    for n in 0..5000u32 {
        d.learned(teller, key(n + 10).id(), far(n), S * 2);
    }
    let done = run(&mut d, S * 2, S * 12);
    assert!(dials(&done).len() <= 64 + 101, "{}", dials(&done).len());
}

type Begun = (Duration, SocketAddr, Option<DeviceId>);

/// Runs the machine; no dial is answered, and each fails after its time. Says which were begun.
fn unanswered(d: &mut Discovery, failing: &mut Vec<Begun>, mut now: Duration, end: Duration) -> Vec<Begun> {
    let mut all = Vec::new();
    while now < end {
        let next = (now + ms(10)).min(end);
        let begun = dials(&run(d, now, next));
        failing.extend(begun.iter().copied());
        all.extend(begun);
        now = next;
        let (over, left): (Vec<_>, Vec<_>) = failing.drain(..).partition(|(t, ..)| *t + HANDSHAKE_TIMEOUT <= now);
        *failing = left;
        for (_, addr, device) in over {
            d.dial_ended(addr, device, Err(DialFault::Failed), now);
        }
    }
    all
}

/// Addresses of machines that nobody has heard, each its own.
fn far(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(n + 0x0a02_0000)), 1)
}

#[test]
fn whoever_tells_of_a_crowd_holds_up_neither_who_is_heard_nor_what_others_tell() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    let (liar, honest) = (key(66).id(), key(2).id());
    // Made up by the thousand, so often that all that may wait does, and the rate is used up.
    let mut now = S;
    let lie = |d: &mut Discovery, now: Duration, round: u32| {
        for n in 0..2_000u32 {
            d.learned(liar, key(10_000 + n + round * 2_000).id(), far(n + round * 2_000), now);
        }
    };
    let mut failing = Vec::new();
    for round in 0..10 {
        lie(&mut d, now, round);
        now += S;
        unanswered(&mut d, &mut failing, now - S, now);
    }
    lie(&mut d, now, 10);
    // Now an honest peer tells of twenty, and one more is heard.
    for n in 3..23 {
        d.learned(honest, key(n).id(), at(n as u8), now);
    }
    hear(&mut d, at(99), &beacon(99, 2, 1), now);
    let done = unanswered(&mut d, &mut failing, now, now + S * 5);
    assert!(done.len() < 60, "the rate holds: {}", done.len());
    let place = done.iter().find(|(_, a, _)| *a == at(99)).map(|(t, ..)| *t - now);
    assert!(place.is_some_and(|wait| wait <= DIAL_JITTER + DIAL_PLACE), "who is heard goes first: {place:?}");
    let told: Vec<_> = done.iter().filter(|(_, a, _)| (3..23).any(|n| *a == at(n))).collect();
    assert_eq!(told.len(), 20, "all that the honest one told of, in spite of the crowd: {done:?}");
    // Liars together leave room for those who are heard.
    for liar in 200..240u32 {
        for n in 0..200u32 {
            d.learned(key(liar).id(), key(100_000 + liar * 1_000 + n).id(), far(100_000 + liar * 1_000 + n), now);
        }
    }
    for n in 0..200u32 {
        let heard = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a03_0000 + n)), 27475);
        hear(&mut d, heard, &beacon(50_000 + n, 2, 1), now + S * 5);
    }
    let done = unanswered(&mut d, &mut failing, now + S * 5, now + S * 32);
    let heard = |a: &SocketAddr| matches!(a.ip(), IpAddr::V4(v4) if v4.octets()[1] == 3);
    let reached: BTreeSet<_> = done.iter().map(|(_, a, _)| *a).filter(heard).collect();
    assert_eq!(reached.len(), 200, "{}", done.len());
}

#[test]
fn a_dial_that_fails_after_its_device_came_another_way_is_not_repeated() {
    let mut d = Discovery::new(config(1), Duration::ZERO);
    run(&mut d, Duration::ZERO, S);
    hear(&mut d, at(2), &beacon(2, 2, 1), S);
    let (t, addr, device) = dials(&run(&mut d, S, S * 2))[0];
    d.peer_up(key(2).id(), at(2), None, t);
    d.dial_ended(addr, device, Err(DialFault::Failed), S * 6);
    assert_eq!(dials(&run(&mut d, S * 6, S * 60)), []);
}
