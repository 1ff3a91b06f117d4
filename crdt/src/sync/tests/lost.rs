//! Frames that never come.

use super::*;

#[test]
fn who_waits_for_an_answer_that_was_lost_asks_again_after_the_next_round_of_digests() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let peer = DeviceId([1; 32]);
    s.opened(peer);
    let asks = |s: &mut SpaceSync| {
        let _ = s.take();
        s.received(peer, Frame::Digest([9; 32]));
        s.take().iter().any(|o| matches!(o, Output::Send(_, Frame::Docs { ask: true, .. })))
    };
    assert!(asks(&mut s));
    assert!(!asks(&mut s), "the answer is on its way");
    s.compare_all();
    assert!(asks(&mut s), "it was not");
}
