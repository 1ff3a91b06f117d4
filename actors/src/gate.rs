//! Before a link becomes a session: both ends show that they hold the key of the network, where there is one. Nothing
//! else is said before, and who cannot show it is left with a reason.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_crdt::ids::DeviceId;
use cairn_crdt::netkey::{Bond, KeyTag, NetworkKey};

use crate::limits::{GATE_ADDRESS, GATE_MAX, HANDSHAKE_TIMEOUT};
use crate::link::{Lane, Link, LinkError};
use crate::proto::bucket::network_of;
use crate::proto::proof::{self, KEY_ENDED, NO_KEY, OPEN_HERE, SLOTS};

/// Lets a link through whose other end holds one of the keys: says which. Without keys every link passes.
///
/// # Errors
/// [`LinkError::NoKey`] where it does not, else why the link ended. The link is closed.
pub async fn pass(
    link: &dyn Link,
    me: DeviceId,
    keys: &[NetworkKey],
    filler: &[[u8; 32]; SLOTS],
) -> Result<Option<KeyTag>, LinkError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let proved = tokio::time::timeout(HANDSHAKE_TIMEOUT, prove(link, me, keys, filler)).await;
    let why = match proved {
        Ok(Ok(tag)) => return Ok(Some(tag)),
        Ok(Err(LinkError::Closed(why))) if why == NO_KEY || why == OPEN_HERE => LinkError::NoKey,
        Ok(Err(why)) => why,
        Err(_) => LinkError::NoKey,
    };
    link.close(NO_KEY);
    Err(why)
}

async fn prove(
    link: &dyn Link,
    me: DeviceId,
    keys: &[NetworkKey],
    filler: &[[u8; 32]; SLOTS],
) -> Result<KeyTag, LinkError> {
    let exporter = link.exporter();
    if link.dialled() {
        let bond = Bond { exporter, dialler: me, acceptor: link.peer() };
        link.send(Lane::Control, proof::knock(keys, &bond, filler).into()).await?;
        let answer = link.recv(Lane::Control).await?;
        proof::check(keys, &bond, &answer).map_err(|_| LinkError::NoKey)
    } else {
        let bond = Bond { exporter, dialler: link.peer(), acceptor: me };
        let knock = link.recv(Lane::Control).await?;
        let (tag, answer) = proof::answer(keys, &bond, &knock).map_err(|_| LinkError::NoKey)?;
        link.send(Lane::Control, answer.into()).await?;
        Ok(tag)
    }
}

/// Whether a link was closed because its ends don't hold the same key.
#[must_use]
pub fn is_refusal(why: &str) -> bool {
    why == NO_KEY || why == OPEN_HERE
}

/// Whether a link was closed so that both ends prove a newer key on another one.
#[must_use]
pub fn is_renewal(why: &str) -> bool {
    why == KEY_ENDED
}

/// The places of links that others made and that are at the gate: bounded, in all and for one address.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub struct Place(Places, IpAddr);

impl Places {
    /// A place for a link from there, if there is one.
    #[must_use]
    pub fn take(&self, from: SocketAddr) -> Option<Place> {
        let from = network_of(from.ip());
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&from).copied().unwrap_or(0);
        if own >= GATE_ADDRESS || taken.values().sum::<usize>() >= GATE_MAX {
            return None;
        }
        taken.insert(from, own.saturating_add(1));
        drop(taken);
        Some(Place(self.clone(), from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.1) {
            Some(n) if *n > 1 => *n = n.saturating_sub(1),
            _ => drop(taken.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_crdt::identity::DeviceKey;

    use super::*;
    use crate::link::Transport;
    use crate::link::memory::Switch;

    const FILLER: [[u8; 32]; SLOTS] = [[7; 32]; SLOTS];

    fn keys(numbers: &[u8]) -> Vec<NetworkKey> {
        numbers.iter().map(|n| NetworkKey::from_secret(&[*n; 32])).collect()
    }

    /// What each end makes of a link: the dialler's first.
    async fn meet(a: &[u8], b: &[u8]) -> [Result<Option<KeyTag>, LinkError>; 2] {
        let lan = Switch::new(1);
        let [one, two] = [1, 2].map(|n| DeviceKey::from_seed(&[n; 32]).id());
        let (x, y) = (lan.attach(one), lan.attach(two));
        let (here, there) = tokio::join!(x.transport.dial(y.addr, Some(two)), y.transport.accept());
        let (here, there) = (here.unwrap(), there.unwrap());
        let (mine, theirs) = (keys(a), keys(b));
        let (p, q) = tokio::join!(pass(&*here, one, &mine, &FILLER), pass(&*there, two, &theirs, &FILLER));
        // Whoever was let in alone reads next what the other did.
        let follow = async |passed: Result<Option<KeyTag>, LinkError>, link: &dyn Link| match passed {
            Ok(Some(tag)) => match link.recv(Lane::Control).await {
                Err(LinkError::Closed(why)) if is_refusal(&why) => Err(LinkError::NoKey),
                _ => Ok(Some(tag)),
            },
            other => other,
        };
        if p.is_ok() && q.is_ok() { [p, q] } else { [follow(p, &*here).await, follow(q, &*there).await] }
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_the_key_passes_and_who_does_not_is_refused_on_both_ends() {
        let tag = |n: u8| Ok(Some(keys(&[n])[0].tag()));
        assert_eq!(meet(&[], &[]).await, [Ok(None), Ok(None)]);
        assert_eq!(meet(&[1], &[1]).await, [tag(1), tag(1)]);
        assert_eq!(meet(&[2, 1], &[1]).await, [tag(1), tag(1)]);
        assert_eq!(meet(&[1], &[2]).await, [Err(LinkError::NoKey), Err(LinkError::NoKey)]);
        let start = tokio::time::Instant::now();
        assert_eq!(meet(&[], &[1]).await, [Ok(None), Err(LinkError::NoKey)], "who says nothing");
        assert_eq!(start.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_else_is_said_first_ends_the_link_at_once_and_is_not_answered() {
        let [one, two] = [1, 2].map(|n| DeviceKey::from_seed(&[n; 32]).id());
        let elsewhere = Bond { exporter: [3; 32], dialler: one, acceptor: two };
        let recorded = proof::knock(&keys(&[1]), &elsewhere, &FILLER);
        let hello = crate::proto::session::Control::Goodbye.encode();
        for said in [Vec::new(), hello, recorded.clone(), recorded[..40].to_vec(), vec![b'C'; 100_000]] {
            let lan = Switch::new(1);
            let (x, y) = (lan.attach(one), lan.attach(two));
            let (here, there) = tokio::join!(x.transport.dial(y.addr, Some(two)), y.transport.accept());
            let (here, there) = (here.unwrap(), there.unwrap());
            let start = tokio::time::Instant::now();
            here.send(Lane::Control, said.into()).await.unwrap();
            assert_eq!(pass(&*there, two, &keys(&[1]), &FILLER).await, Err(LinkError::NoKey));
            assert_eq!(here.recv(Lane::Control).await, Err(LinkError::Closed(NO_KEY.into())), "nothing but a reason");
            assert!(start.elapsed() < HANDSHAKE_TIMEOUT / 10);
        }
    }

    #[test]
    fn one_address_takes_no_more_than_its_places() {
        let places = Places::default();
        let at = |n: u8| SocketAddr::from(([10, 0, 0, n], 1));
        let mut held: Vec<_> = (0..GATE_ADDRESS).map(|_| places.take(at(1)).unwrap()).collect();
        assert!(places.take(at(1)).is_none());
        let other = places.take(at(2)).unwrap();
        held.pop();
        assert!(places.take(at(1)).is_some());
        drop((held, other));
        assert!(places.0.lock().unwrap().is_empty());
    }
}
