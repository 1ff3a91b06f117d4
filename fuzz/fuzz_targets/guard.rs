//! Hostile changes: what the guard lets pass must not panic in Automerge, must save and load, and must leave honest
//! editors able to go on.
#![no_main]

use std::sync::LazyLock;

use cairn_fuzz::world::{self, Choices, Tape, World, mutate};
use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A document of three editors, for bytes that are taken as a whole change.
static BASE: LazyLock<World> = LazyLock::new(|| {
    let mut c = ChaCha8Rng::seed_from_u64(1);
    let mut world = World::new(3);
    for step in 0..15 {
        let who = step % 3;
        world.edit(who, &mut c);
        world.deliver(who, world.log.len());
    }
    world
});

fuzz_target!(init: cairn_fuzz::quiet_panics(), |data: &[u8]| {
    cairn_fuzz::run(|| {
        let Some((&mode, rest)) = data.split_first() else { return };
        match mode % 4 {
            0 => bytes(rest),
            1 => bytes(&mutate::chunk(1, rest)),
            2 => related(rest),
            _ => drop(world::hostile(&mut Tape(rest), 10, 4)),
        }
    });
});

fn bytes(raw: &[u8]) {
    let peer = &BASE.peers[0];
    if let Ok(checked) = world::check(&peer.guard, raw) {
        world::survive(peer, &checked, &mut Tape(raw));
    }
}

/// Relatives of one honest change to the fixed document.
fn related(data: &[u8]) {
    let mut c = Tape(data);
    let who = c.below(3);
    let peer = &BASE.peers[who];
    let mut draft = peer.doc.clone();
    if !world::edit::commit(&mut draft, who, &mut c) {
        return;
    }
    let Some(change) = draft.get_last_local_change() else { return };
    for _ in 0..3 {
        if c.spent() {
            break;
        }
        let Some(raw) = mutate::mutant(&change, &BASE.log, &mut c) else { continue };
        if let Ok(checked) = world::check(&peer.guard, &raw) {
            world::survive(peer, &checked, &mut c);
        }
    }
}
