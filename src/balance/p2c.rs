//! The power of two choices: of two endpoints picked by chance, the one with fewer calls in flight.
//!
//! It spreads load nearly as well as looking at every endpoint, and many sidecars that do it do not all run to the same
//! idle one.

use rand::{Rng, RngExt};

/// One of the first `count` positions, none if `count` is 0. `load` is asked about two of them at most.
pub(super) fn choose(count: usize, load: impl Fn(usize) -> usize, chance: &mut impl Rng) -> Option<usize> {
    if count < 2 {
        return count.checked_sub(1);
    }
    let one = chance.random_range(0..count);
    let other = chance.random_range(0..count - 1);
    let other = if other < one { other } else { other + 1 };
    Some(if load(other) < load(one) { other } else { one })
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn none_of_none_and_the_only_one_of_one() {
        let mut chance = SmallRng::seed_from_u64(1);
        assert_eq!(choose(0, |_| 0, &mut chance), None);
        assert_eq!(choose(1, |_| 7, &mut chance), Some(0));
    }

    #[test]
    fn the_busier_of_two_is_never_chosen() {
        let mut chance = SmallRng::seed_from_u64(2);
        for _ in 0..100 {
            assert_eq!(choose(2, |index| [5, 4][index], &mut chance), Some(1));
        }
    }

    #[test]
    fn among_equals_everyone_gets_a_fair_share() {
        let mut chance = SmallRng::seed_from_u64(3);
        let mut hits = [0_u32; 5];
        for _ in 0..10_000 {
            hits[choose(5, |_| 0, &mut chance).unwrap()] += 1;
        }
        assert!(hits.iter().all(|hits| (1_800..2_200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn the_busiest_of_many_is_never_chosen_and_the_idlest_most_often() {
        let mut chance = SmallRng::seed_from_u64(4);
        let mut hits = [0_u32; 4];
        for _ in 0..4_000 {
            hits[choose(4, |index| index, &mut chance).unwrap()] += 1;
        }
        assert_eq!(hits[3], 0);
        assert!(hits[0] > hits[1] && hits[1] > hits[2], "{hits:?}");
    }
}
