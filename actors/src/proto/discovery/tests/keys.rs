//! Beacons of a network with a key.

use super::*;
use crate::limits::BEACON_MAX;

fn network_key(n: u8) -> NetworkKey {
    NetworkKey::from_secret(&[n; 32])
}

fn keyed(n: u32, keys: &[u8]) -> Discovery {
    Discovery::new(DiscoveryConfig { keys: keys.iter().map(|k| network_key(*k)).collect(), ..config(n) }, S)
}

fn sealed(n: u32, counter: u64, with: u8) -> Vec<u8> {
    Beacon::decode(&beacon(n, n as u8, counter)).unwrap().encode_sealed(&key(n), &network_key(with))
}

fn sent(done: &[(Duration, Output)]) -> Vec<&Vec<u8>> {
    done.iter().filter_map(|(_, o)| if let Output::SendBeacon(b) = o { Some(b) } else { None }).collect()
}

#[test]
fn with_a_key_only_sealed_beacons_go_out_and_only_those_count() {
    let mut d = keyed(1, &[1]);
    let done = run(&mut d, S, S * 3);
    assert_eq!(sent(&done).len(), 4);
    for b in sent(&done) {
        assert!(b.len() <= BEACON_MAX && Beacon::decode(b) == Err(BeaconError::Sealed));
        assert!(Beacon::parse(b, &[network_key(1)]).is_ok());
    }
    let mut out = Vec::new();
    assert_eq!(d.heard(at(2), &beacon(2, 2, 1), S, &mut out), Err(Dropped::Bad(BeaconError::Open)));
    assert_eq!(d.heard(at(2), &sealed(2, 1, 9), S, &mut out), Err(Dropped::Bad(BeaconError::Sealed)));
    assert_eq!((out.len(), d.devices()), (0, 0), "who lacks the key is nobody");
    assert_eq!(hear(&mut d, at(2), &sealed(2, 1, 1), S * 3).len(), 1, "met");
    assert_eq!(dials(&run(&mut d, S * 3, S * 4)).len(), 1);
    let again = d.heard(at(2), &sealed(2, 1, 1), S * 4, &mut out);
    assert_eq!(again, Err(Dropped::Replay), "heard before");
    assert!(
        d.heard(at(66), &sealed(2, 1, 1), S * 4, &mut out).is_ok() && out.is_empty(),
        "at most another address of it"
    );
}

#[test]
fn a_flood_of_beacons_that_do_not_open_takes_no_place_of_those_that_do() {
    let mut d = keyed(1, &[1, 2, 3]);
    let mut out = Vec::new();
    for n in 0..1_500u32 {
        let flood = sealed(7, u64::from(n), 9);
        assert_eq!(d.heard(at(7), &flood, S * 2, &mut out), Err(Dropped::Bad(BeaconError::Sealed)));
    }
    assert_eq!(hear(&mut d, at(7), &sealed(8, 1, 3), S * 2).len(), 1, "from the same address too");
    assert_eq!(d.devices(), 1);
}

#[test]
fn while_a_key_is_changed_each_beacon_goes_out_for_both_and_counts_once() {
    let (mut new, mut old, mut both) = (keyed(2, &[2]), keyed(3, &[1]), keyed(4, &[2, 1]));
    let mut changing = keyed(1, &[2, 1]);
    let done = run(&mut changing, S, S + ms(1));
    assert_eq!(sent(&done).len(), 2);
    for (d, takes) in [(&mut new, 1), (&mut old, 1), (&mut both, 1)] {
        let mut out = Vec::new();
        let heard = sent(&done).iter().filter(|b| d.heard(at(1), b, S * 2, &mut out).is_ok()).count();
        assert_eq!(heard, takes);
    }
}

#[test]
fn who_was_refused_is_dialled_again_once_it_seals_with_our_key() {
    let mut d = keyed(1, &[1]);
    run(&mut d, S, S * 2);
    d.peer_up(key(2).id(), at(2), Some(Incarnation([2; 16])), S * 2);
    d.peer_down(key(2).id(), true, S * 3);
    let (t, addr, device) = dials(&run(&mut d, S * 3, S * 4))[0];
    d.dial_ended(addr, device, Err(DialFault::Unwanted), t);
    assert_eq!(dials(&run(&mut d, S * 4, S * 300)), [], "it is not searched for");
    hear(&mut d, at(2), &sealed(2, 2, 1), S * 300);
    let (_, addr, device) = dials(&run(&mut d, S * 300, S * 301))[0];
    d.dial_ended(addr, device, Err(DialFault::Unwanted), S * 301);
    hear(&mut d, at(2), &sealed(2, 3, 1), S * 302);
    assert_eq!(dials(&run(&mut d, S * 302, S * 303)).len(), 1, "it has the key by now");
}

#[test]
fn other_keys_are_announced_and_everybody_is_tried_again() {
    let mut d = Discovery::new(config(1), S);
    run(&mut d, S, S * 4);
    for n in 2..5u8 {
        hear(&mut d, at(n), &beacon(n.into(), n, 1), S * 4);
    }
    for (t, addr, device) in dials(&run(&mut d, S * 4, S * 5)) {
        d.dial_ended(addr, device, Err(DialFault::Unwanted), t);
    }
    assert_eq!(dials(&run(&mut d, S * 5, S * 20)), []);
    d.set_keys(vec![network_key(1)], S * 20);
    let done = run(&mut d, S * 20, S * 22);
    assert_eq!((dials(&done).len(), sent(&done).len()), (3, 4));
    d.set_keys(vec![network_key(1)], S * 22);
    assert_eq!(sent(&run(&mut d, S * 22, S * 24)).len(), 0, "the same change nothing");
}

#[test]
fn a_configured_peer_that_lacks_the_key_is_tried_again_by_and_by() {
    let mut d = Discovery::new(DiscoveryConfig { configured: vec![at(5)], keys: vec![network_key(1)], ..config(1) }, S);
    let mut tries = Vec::new();
    let mut now = S;
    while now < S * 400 {
        for (t, addr, device) in dials(&run(&mut d, now, now + S)) {
            tries.push(t);
            d.dial_ended(addr, device, Err(DialFault::Unwanted), t);
        }
        now += S;
    }
    assert!((6..=8).contains(&tries.len()), "{tries:?}");
}
