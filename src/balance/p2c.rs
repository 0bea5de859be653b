//! The power of two choices: of two endpoints picked by chance, the one with fewer calls in flight.
//!
//! It spreads load nearly as well as looking at every endpoint, and many sidecars that do it do not all run to the same
//! idle one.

use rand::{Rng, RngExt};

/// How many positions are drawn in the hope of two that can be used, before all are looked at.
const DRAWS: usize = 8;

/// One of the first `count` positions that are `usable`, none if no one is. As long as most are, it takes no longer among
/// many than among few. `load` is asked about two of them at most.
pub(super) fn choose(
    count: usize,
    usable: impl Fn(usize) -> bool,
    load: impl Fn(usize) -> usize,
    chance: &mut impl Rng,
) -> Option<usize> {
    let lighter = |one, other| if load(other) < load(one) { other } else { one };
    if count > DRAWS {
        let mut drawn = None;
        for _ in 0..DRAWS {
            let position = chance.random_range(0..count);
            match drawn {
                _ if drawn == Some(position) || !usable(position) => {}
                Some(one) => return Some(lighter(one, position)),
                None => drawn = Some(position),
            }
        }
    }
    let of_use = || (0..count).filter(|position| usable(*position));
    let count = of_use().count();
    if count < 2 {
        return of_use().next();
    }
    let one = chance.random_range(0..count);
    let other = chance.random_range(0..count - 1);
    let other = if other < one { other } else { other + 1 };
    Some(lighter(of_use().nth(one)?, of_use().nth(other)?))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    fn choose(count: usize, load: impl Fn(usize) -> usize, chance: &mut SmallRng) -> Option<usize> {
        super::choose(count, |_| true, load, chance)
    }

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
    fn only_what_can_be_used_is_chosen_and_evenly() {
        let mut chance = SmallRng::seed_from_u64(5);
        // Few and many, mostly of use and mostly not.
        for (count, usable) in [(6, vec![1, 4]), (100, vec![7]), (100, (0..95).collect())] {
            let mut hits = vec![0_usize; count];
            for _ in 0..200 * usable.len() {
                let is_usable = |position: usize| usable.contains(&position);
                hits[super::choose(count, is_usable, |_| 0, &mut chance).unwrap()] += 1;
            }
            for (position, hits) in hits.into_iter().enumerate() {
                let expected = if usable.contains(&position) { 120..=280 } else { 0..=0 };
                assert!(expected.contains(&hits), "{position} of {count}: {hits}");
            }
        }
        assert_eq!(super::choose(1_000, |_| false, |_| 0, &mut chance), None);
    }

    #[test]
    fn among_many_only_a_few_are_looked_at() {
        let mut chance = SmallRng::seed_from_u64(6);
        let looked_at = Cell::new(0);
        for _ in 0..1_000 {
            looked_at.set(0);
            let usable = |position: usize| {
                looked_at.set(looked_at.get() + 1);
                !position.is_multiple_of(4)
            };
            super::choose(100_000, usable, |_| 0, &mut chance).unwrap();
            // Once in a long while all the draws are in vain.
            assert!(looked_at.get() <= DRAWS || looked_at.get() > 100_000, "{looked_at:?}");
        }
        assert!(looked_at.get() <= DRAWS);
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
