//! Every way to spoil a seed: a little, one way after the other, and more and more at random.

use fastrand::Rng;

/// Bytes that mean something in what is parsed, or nothing anywhere.
const ODD: &[u8] = b"\"{}[],:0-.e \\\n\0\xff";

/// Ways to spoil a place.
const WAYS: usize = 3 + 2 * ODD.len();

/// How `seed` looks with one damage each: it ends early, or a byte is replaced, missing, doubled or
/// has an odd one in front. Those of a long seed are `most` of every kind, spread evenly.
pub fn damaged(seed: &[u8], most: usize) -> impl Iterator<Item = Vec<u8>> {
    let count = most.min(seed.len() * WAYS);
    (0..count).map(move |number| {
        let mut damaged = seed.to_vec();
        damage(&mut damaged, number * seed.len() / count, number % WAYS);
        damaged
    })
}

/// One of `seeds` with up to eight damages, and often the rest of another one in place of its own.
pub fn mutated(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let any = |random: &mut Rng| seeds[random.usize(..seeds.len())].clone();
    let mut mutated = any(random);
    if random.u8(..3) == 0 {
        let other = any(random);
        mutated.truncate(random.usize(..=mutated.len()));
        mutated.extend_from_slice(&other[random.usize(..=other.len())..]);
    }
    for _ in 0..random.u8(1..=8) {
        if !mutated.is_empty() {
            let place = random.usize(..mutated.len());
            // What ends early teaches little about the rest.
            let way = if random.u8(..8) == 0 { 0 } else { random.usize(1..WAYS) };
            damage(&mut mutated, place, way);
        }
    }
    mutated
}

/// Spoils one place in one way.
fn damage(bytes: &mut Vec<u8>, place: usize, way: usize) {
    match way {
        0 => bytes.truncate(place),
        1 => _ = bytes.remove(place),
        2 => bytes.insert(place, bytes[place]),
        way if way < 3 + ODD.len() => bytes[place] = ODD[way - 3],
        way => bytes.insert(place, ODD[way - 3 - ODD.len()]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn damage_is_of_every_kind_and_bounded() {
        let all: HashSet<_> = damaged(b"ab", 1000).collect();
        for expected in ["", "a", "b", "aab", "abb", "\"b", "a:", "{ab", "a\0b"] {
            assert!(all.contains(expected.as_bytes()), "{expected:?}");
        }
        assert!(!all.contains("ab".as_bytes()));
        let lengths: HashSet<_> = damaged(&[7; 1000], 50).map(|it| it.len()).collect();
        assert!(lengths.contains(&999) && lengths.contains(&1001) && lengths.len() > 3);
        assert_eq!(damaged(&[7; 1000], 50).count(), 50);
        assert_eq!(damaged(b"", 10).count(), 0);
    }

    #[test]
    fn the_same_seed_of_chance_mutates_the_same_way() {
        let seeds = [b"one seed of some length".to_vec(), b"another".to_vec(), Vec::new()];
        let some = |seed| {
            let mut random = Rng::with_seed(seed);
            (0..200).map(|_| mutated(&seeds, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
        let different: HashSet<_> = some(1).into_iter().collect();
        assert!(different.len() > 100, "{}", different.len());
    }
}
