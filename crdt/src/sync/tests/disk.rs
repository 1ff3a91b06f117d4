//! Disks that are slow: nobody else pays for them.

use super::*;

#[test]
fn a_peer_that_brought_everything_is_not_blamed_for_a_slow_disk_here() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let peer = DeviceId([1; 32]);
    s.opened(peer);
    let mut w = Writer::new(1);
    let (first, second) = (w.log.document, DocumentId::chat(2, 0));
    s.received(peer, offer([first].into_iter()));
    assert_eq!(asked(&mut s, peer).0, [first]);
    let entries = vec![w.write("all that there is")];
    s.received(peer, Frame::Entries { live: false, entries: entries.clone() });
    s.received(peer, Frame::Served(first));
    // Far longer than what a peer that brings nothing is given.
    for _ in 0..4 * super::super::fetch::PATIENCE {
        s.tick();
    }
    s.committed(Some(peer), false, &entries);
    let _ = s.take();
    s.received(peer, offer([second].into_iter()));
    assert_eq!(asked(&mut s, peer).0, [second], "it is asked at once");
}
