//! The causal clocks of the index, against the plain definition: what dependencies reach.

use std::collections::BTreeSet;

use automerge::{ActorId, ChangeHash};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::index::{BadPast, Index, Rows};

#[derive(Clone)]
struct Made {
    author: u32,
    seq: u32,
    hash: ChangeHash,
    max_op: u64,
    /// Numbers of all changes that it reaches, itself included.
    reach: BTreeSet<usize>,
}

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}

#[test]
fn the_past_is_what_dependencies_reach() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut index = Index::default();
        let mut made: Vec<Made> = Vec::new();
        let (mut good, mut bad) = (0, 0);
        while made.len() < 80 {
            let n = below(&mut rng, 6);
            let actor = ActorId::from([n as u8; 32]);
            let author = index.author(&actor);
            let last = made.iter().rposition(|m| Some(m.author) == author);
            let mut deps = BTreeSet::new();
            for _ in 0..below(&mut rng, 4) {
                if !made.is_empty() {
                    deps.insert(below(&mut rng, made.len()));
                }
            }
            if let Some(last) = last
                && below(&mut rng, 2) == 0
            {
                deps.insert(last);
            }
            let reach: BTreeSet<usize> = deps.iter().flat_map(|&d| made[d].reach.iter().copied()).collect();
            let hashes: Vec<ChangeHash> = deps.iter().map(|&d| made[d].hash).collect();
            let found = index.past(author, &hashes);
            if last.is_some_and(|last| !reach.contains(&last)) {
                assert_eq!(found.err(), Some(BadPast::NotOwn));
                bad += 1;
                continue;
            }
            let past = found.unwrap();
            for (number, m) in made.iter().enumerate() {
                assert_eq!(past.holds(&index, m.author, m.seq), reach.contains(&number), "seed {seed}");
            }
            assert_eq!(past.max_op, reach.iter().map(|&r| made[r].max_op).max().unwrap_or(0));
            good += 1;
            let seq = index.last_seq(author) + 1;
            let start = past.max_op as u32 + 1;
            let hash = ChangeHash([made.len() as u8; 32]);
            index.accept(&Rows { seq, start, past, ..Rows::default() }, hash, &actor, &[]);
            let author = index.author(&actor).unwrap();
            let mut reach = reach;
            reach.insert(made.len());
            made.push(Made { author, seq, hash, max_op: u64::from(start) - 1, reach });
        }
        assert!(good >= 80 && bad > 0);
        assert_eq!(index.past(None, &[ChangeHash([255; 32])]).err(), Some(BadPast::Unknown));
    }
}
