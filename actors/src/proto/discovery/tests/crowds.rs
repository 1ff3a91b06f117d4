//! Who is dialled first, and how many at once.

use super::*;
use crate::limits::{DIAL_PLACE, DIALS_AT_ONCE, HANDSHAKE_TIMEOUT};

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
