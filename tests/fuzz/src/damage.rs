//! Every way to spoil a seed a little.

/// Bytes that mean something in what is parsed, or nothing anywhere.
const ODD: &[u8] = b"\"{}[],:0-.e \\\n\0\xff";

/// How `seed` looks with one damage each: it ends early, or a byte is replaced, missing, doubled or
/// has an odd one in front. Those of a long seed are `most` of every kind, spread evenly.
pub fn damaged(seed: &[u8], most: usize) -> impl Iterator<Item = Vec<u8>> {
    let ways = 3 + 2 * ODD.len();
    let count = most.min(seed.len() * ways);
    (0..count).map(move |number| {
        let (place, way) = (number * seed.len() / count, number % ways);
        let mut damaged = seed.to_vec();
        match way {
            0 => damaged.truncate(place),
            1 => _ = damaged.remove(place),
            2 => damaged.insert(place, seed[place]),
            way if way < 3 + ODD.len() => damaged[place] = ODD[way - 3],
            way => damaged.insert(place, ODD[way - 3 - ODD.len()]),
        }
        damaged
    })
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
}
