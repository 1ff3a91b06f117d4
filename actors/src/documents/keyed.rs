//! What a network key means for the networks that this device is in: the first one gives the id of the network.

use cairn_crdt::network::Change;

use super::DocumentsState;
use crate::store::{Table, Write};

/// The network of the key that was taken in last.
const ROW: &[u8] = b"keyed";

impl DocumentsState {
    /// Takes in the network's key, once: whoever is in a network that nobody has talked in goes over to that of the key. A
    /// changed key keeps the network.
    pub(super) fn keyed(&mut self) {
        let seen = match self.wiring.store.get(Table::Meta, ROW) {
            Ok(seen) => seen,
            Err(e) => return self.wiring.trouble("store_read", Some(e.to_string())),
        };
        let Some(id) = self.wiring.keys().network() else {
            if seen.is_some() {
                self.commit_small(vec![Write::Delete(Table::Meta, ROW.to_vec())]);
            }
            return;
        };
        if seen.as_deref() == Some(&id.0[..]) {
            return;
        }
        if let Some(Change::Folded { from, into }) = self.networks.keyed(id) {
            self.networks_changed();
            self.tell_network(&into);
            self.issue_again(from, into);
        }
        // Last: after a crash before it the same is done again, which changes nothing.
        self.commit_small(vec![Write::Put(Table::Meta, ROW.to_vec(), id.0.to_vec())]);
    }
}
