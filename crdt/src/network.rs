//! Which networks a device is in, and what meeting another network means.
//!
//! A network is settled once a device in it holds another's Everyone message. Unsettled networks fold without asking:
//! into a settled one, else into the lowest id. Two settled networks never fold: the person is asked once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hlc::Hlc;
use crate::ids::NetworkId;

/// Networks remembered; beyond it those that the person has not joined make room for joined ones.
pub const MAX_NETWORKS: usize = 64;
/// Networks that the person is asked about at once; others are asked about once some of these are answered.
pub const MAX_ASKING: usize = 8;

/// Where a device stands with a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// In it.
    Joined,
    /// Met, both settled: the person has not answered yet.
    Asking,
    /// Met, and to be kept apart.
    Apart,
    /// Was ours, unsettled, and folded into another; own messages go over under their old ids.
    Folded(NetworkId),
}

/// What a device knows of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where it stands.
    pub standing: Standing,
    /// Whether a device in it holds another's Everyone message.
    pub settled: bool,
    /// Its name; empty where nobody gave one.
    pub name: String,
    /// When it was named: the greatest stamp wins.
    pub named: Hlc,
}

/// What a peer says of a network that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The network.
    pub id: NetworkId,
    /// Whether it is settled.
    pub settled: bool,
    /// Its name.
    pub name: String,
    /// When it was named.
    pub named: Hlc,
}

/// What changed by meeting a peer; each has already been noted in [`Networks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Our network folded into another: issue our own messages again there.
    Folded {
        /// The one left.
        from: NetworkId,
        /// The one joined.
        into: NetworkId,
    },
    /// We joined a network.
    Joined(NetworkId),
    /// The person must be asked about a network.
    Ask(NetworkId),
    /// A network of ours became settled or was named.
    Updated(NetworkId),
}

/// The networks of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    known: BTreeMap<NetworkId, Known>,
    primary: Option<NetworkId>,
}

impl Networks {
    /// The network that `everyone` means, if there is one yet.
    #[must_use]
    pub fn primary(&self) -> Option<NetworkId> {
        self.primary
    }

    /// What is known of a network.
    #[must_use]
    pub fn get(&self, id: &NetworkId) -> Option<&Known> {
        self.known.get(id)
    }

    /// All networks known, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (NetworkId, &Known)> {
        self.known.iter().map(|(id, k)| (*id, k))
    }

    /// The networks joined, the primary first.
    #[must_use]
    pub fn joined(&self) -> Vec<NetworkId> {
        let mut v: Vec<_> =
            self.known.iter().filter(|(_, k)| k.standing == Standing::Joined).map(|(id, _)| *id).collect();
        v.sort_by_key(|id| (Some(*id) != self.primary, *id));
        v
    }

    /// What to tell peers: every network joined, the primary first.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        self.joined()
            .into_iter()
            .filter_map(|id| {
                let k = self.known.get(&id)?;
                Some(Claim { id, settled: k.settled, name: k.name.clone(), named: k.named })
            })
            .collect()
    }

    /// A fresh device heard a network, or minted one after a second of silence: it is in it now.
    pub fn join_first(&mut self, id: NetworkId) -> Option<Change> {
        if self.primary.is_some() {
            return None;
        }
        self.put(id, Standing::Joined, false);
        self.primary = Some(id);
        Some(Change::Joined(id))
    }

    /// The person said yes to a network that was met. `false` if it is unknown.
    pub fn join(&mut self, id: &NetworkId) -> bool {
        match self.known.get_mut(id) {
            Some(k) if !matches!(k.standing, Standing::Folded(_)) => {
                k.standing = Standing::Joined;
                self.primary.get_or_insert(*id);
                true
            }
            _ => false,
        }
    }

    /// The person wants to keep apart from a network that was met. `false` if it is unknown or was joined.
    pub fn keep_apart(&mut self, id: &NetworkId) -> bool {
        match self.known.get_mut(id) {
            Some(k) if matches!(k.standing, Standing::Asking | Standing::Apart) => {
                k.standing = Standing::Apart;
                true
            }
            _ => false,
        }
    }

    /// We hold another's Everyone message of this network. `true` if that is new.
    pub fn settle(&mut self, id: &NetworkId) -> bool {
        self.known.get_mut(id).is_some_and(|k| !std::mem::replace(&mut k.settled, true))
    }

    /// Names a network joined. `false` if it is not.
    pub fn name(&mut self, id: &NetworkId, name: &str, at: Hlc) -> bool {
        match self.known.get_mut(id) {
            Some(k) if k.standing == Standing::Joined => {
                k.name = name.to_owned();
                k.named = at;
                true
            }
            _ => false,
        }
    }

    /// A folded network's messages have all gone over.
    pub fn forget(&mut self, id: &NetworkId) {
        if self.known.get(id).is_some_and(|k| matches!(k.standing, Standing::Folded(_))) {
            self.known.remove(id);
        }
    }

    /// A peer told which networks it is in, its primary first. Asked about is only a peer's primary: whoever carries
    /// a laptop home from a conference does not make the office join it.
    pub fn met(&mut self, claims: &[Claim]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut strangers = true;
        for c in claims {
            if let Some(k) = self.known.get_mut(&c.id) {
                let ours = k.standing == Standing::Joined;
                strangers &= !ours;
                let settled = c.settled && !k.settled;
                k.settled |= c.settled;
                let named = c.named > k.named;
                if named {
                    k.name.clone_from(&c.name);
                    k.named = c.named;
                }
                if settled || named {
                    changes.push(Change::Updated(c.id));
                }
            }
        }
        let Some(theirs) = claims.first() else { return changes };
        let Some(mine) = self.primary else {
            changes.extend(self.join_first(theirs.id));
            self.note(theirs);
            return changes;
        };
        let my_settled = self.known.get(&mine).is_some_and(|k| k.settled);
        if my_settled {
            if theirs.settled && !self.known.contains_key(&theirs.id) && self.may_ask() {
                self.put(theirs.id, Standing::Asking, true);
                self.note(theirs);
                changes.push(Change::Ask(theirs.id));
            }
        } else if strangers && (theirs.settled || theirs.id < mine) {
            changes.push(self.fold(mine, theirs.id, theirs.settled));
            self.note(theirs);
        }
        changes
    }

    /// A network key was set where there was none. Whoever is in an unsettled network goes over to the one that the key
    /// gives: so all who begin with one key are in one network, wherever they are. A settled network stays what it is, and
    /// a device in none yet first listens.
    pub fn keyed(&mut self, id: NetworkId) -> Option<Change> {
        let mine = self.primary.filter(|mine| *mine != id)?;
        let settled = self.known.get(&mine).is_some_and(|k| k.settled);
        (!settled).then(|| self.fold(mine, id, false))
    }

    /// Our network becomes another.
    fn fold(&mut self, from: NetworkId, into: NetworkId, settled: bool) -> Change {
        if let Some(k) = self.known.get_mut(&from) {
            k.standing = Standing::Folded(into);
        }
        for k in self.known.values_mut() {
            if k.standing == Standing::Folded(from) {
                k.standing = Standing::Folded(into);
            }
        }
        self.put(into, Standing::Joined, settled);
        self.primary = Some(into);
        Change::Folded { from, into }
    }

    fn note(&mut self, c: &Claim) {
        if let Some(k) = self.known.get_mut(&c.id) {
            k.settled |= c.settled;
            if c.named > k.named {
                k.name.clone_from(&c.name);
                k.named = c.named;
            }
        }
    }

    /// A stranger who names new networks all the time neither fills this table nor floods the person with questions.
    fn may_ask(&self) -> bool {
        let asking = self.known.values().filter(|k| k.standing == Standing::Asking).count();
        let spare = self.known.values().any(|k| matches!(k.standing, Standing::Asking | Standing::Apart));
        asking < MAX_ASKING && (self.known.len() < MAX_NETWORKS || spare)
    }

    fn put(&mut self, id: NetworkId, standing: Standing, settled: bool) {
        if self.known.len() >= MAX_NETWORKS && !self.known.contains_key(&id) {
            let of = |s| self.known.iter().find(|(_, k)| k.standing == s).map(|(id, _)| *id);
            if let Some(spare) = of(Standing::Asking).or_else(|| of(Standing::Apart)) {
                self.known.remove(&spare);
            }
        }
        let k = self.known.entry(id).or_insert(Known { standing, settled, name: String::new(), named: Hlc::default() });
        k.standing = standing;
        k.settled |= settled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(n: u8) -> NetworkId {
        NetworkId([n; 16])
    }

    fn fresh(n: u8) -> Networks {
        let mut w = Networks::default();
        w.join_first(net(n));
        w
    }

    #[test]
    fn a_fresh_device_joins_what_it_meets() {
        let mut a = Networks::default();
        assert_eq!(a.met(&fresh(3).claims()), vec![Change::Joined(net(3))]);
        assert_eq!(a.primary(), Some(net(3)));
    }

    #[test]
    fn unsettled_networks_fold_into_the_lowest_whatever_the_order() {
        let mut all: Vec<_> = [5, 2, 9, 4].map(fresh).into();
        for _ in 0..4 {
            for i in 0..4 {
                for j in 0..4 {
                    let claims = all[j].claims();
                    all[i].met(&claims);
                }
            }
        }
        assert!(all.iter().all(|n| n.primary() == Some(net(2)) && n.joined() == vec![net(2)]));
    }

    #[test]
    fn unsettled_folds_into_settled_even_if_that_is_higher() {
        let (mut a, mut b) = (fresh(1), fresh(9));
        assert!(b.settle(&net(9)) && !b.settle(&net(9)));
        assert_eq!(b.met(&a.claims()), vec![]);
        assert_eq!(a.met(&b.claims()), vec![Change::Folded { from: net(1), into: net(9) }]);
        assert_eq!(a.joined(), vec![net(9)]);
        assert_eq!(a.get(&net(1)).unwrap().standing, Standing::Folded(net(9)));
        a.forget(&net(1));
        assert!(a.get(&net(1)).is_none());
    }

    #[test]
    fn a_first_key_takes_an_unsettled_network_along_and_no_settled_one() {
        let mut none = Networks::default();
        assert_eq!((none.keyed(net(7)), none.primary()), (None, None), "it listens first");
        let mut a = fresh(1);
        assert_eq!(a.keyed(net(7)), Some(Change::Folded { from: net(1), into: net(7) }));
        assert_eq!((a.primary(), a.joined(), a.keyed(net(7))), (Some(net(7)), vec![net(7)], None));
        let mut settled = fresh(2);
        settled.settle(&net(2));
        assert_eq!((settled.keyed(net(7)), settled.joined()), (None, vec![net(2)]));
    }

    #[test]
    fn two_settled_networks_ask_once_and_hand_over_nothing() {
        let (mut a, mut b) = (fresh(1), fresh(2));
        a.settle(&net(1));
        b.settle(&net(2));
        assert_eq!(a.met(&b.claims()), vec![Change::Ask(net(2))]);
        assert_eq!(a.met(&b.claims()), vec![]);
        assert_eq!(a.joined(), vec![net(1)]);
        assert!(a.keep_apart(&net(2)));
        assert_eq!(a.met(&b.claims()), vec![]);
        assert!(a.join(&net(2)));
        assert_eq!(a.joined(), vec![net(1), net(2)]);
        assert!(!a.keep_apart(&net(2)));
        // The other side sees a shared network by now, and is asked all the same: a's home is another.
        assert_eq!(b.met(&a.claims()), vec![Change::Ask(net(1))]);
        assert_eq!(b.met(&a.claims()), vec![]);
        assert!(!b.join(&net(7)));
    }

    #[test]
    fn a_flood_of_networks_is_asked_about_a_few_at_a_time_and_bounded() {
        let mut a = fresh(0);
        a.settle(&net(0));
        let mut asked = 0;
        for n in 1..=2_000u16 {
            let mut id = [0xff; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            let claim = Claim { id: NetworkId(id), settled: true, name: String::new(), named: Hlc::default() };
            for change in a.met(std::slice::from_ref(&claim)) {
                assert_eq!(change, Change::Ask(claim.id));
                asked += 1;
                if n > 100 {
                    assert!(a.keep_apart(&claim.id));
                }
            }
            assert!(a.known.len() <= MAX_NETWORKS);
            if n == 100 {
                assert_eq!(asked, MAX_ASKING, "of a hundred");
                let first: Vec<_> = a.known.keys().copied().filter(|id| *id != net(0)).collect();
                assert!(first.iter().all(|id| a.keep_apart(id)));
            }
        }
        assert!(asked > 1_000, "whoever answers is asked again");
        assert_eq!((a.primary(), a.joined()), (Some(net(0)), vec![net(0)]));
    }

    #[test]
    fn a_name_travels_and_the_latest_wins() {
        let (mut a, mut b) = (fresh(1), fresh(1));
        assert!(a.name(&net(1), "North Ridge", Hlc(5)));
        assert_eq!(b.met(&a.claims()), vec![Change::Updated(net(1))]);
        assert_eq!(b.get(&net(1)).unwrap().name, "North Ridge");
        b.name(&net(1), "South", Hlc(4));
        assert_eq!(b.met(&a.claims()), vec![Change::Updated(net(1))]);
        assert_eq!(b.get(&net(1)).unwrap().name, "North Ridge");
    }
}
