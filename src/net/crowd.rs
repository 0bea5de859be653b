//! How many connections are open at one door: all together, and those from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// From everywhere.
    pub all: usize,
    /// From one address. It is the whole address that counts, for IPv6 too: the pods of a node share all but its end.
    pub each: usize,
}

/// Who is at a door. What is common to the connections of one address is a `T`. Clones are the same crowd.
#[derive(Debug)]
pub struct Crowd<T = ()> {
    places: Places,
    taken: Arc<Mutex<Taken<T>>>,
}

#[derive(Debug)]
struct Taken<T> {
    all: usize,
    by: HashMap<IpAddr, (usize, T)>,
}

/// A connection's place at a door, which is free again once this is dropped.
#[derive(Debug)]
pub struct Place<T = ()> {
    address: IpAddr,
    /// What the connections of its address have in common.
    pub common: T,
    taken: Arc<Mutex<Taken<T>>>,
}

impl<T: Clone> Crowd<T> {
    /// Nobody.
    pub fn new(places: Places) -> Self {
        Self { places, taken: Arc::new(Mutex::new(Taken { all: 0, by: HashMap::new() })) }
    }

    /// A place for a connection from that address, if there is one left. The first of an address brings what they have in
    /// common.
    pub fn enter(&self, address: IpAddr, common: impl FnOnce() -> T) -> Option<Place<T>> {
        // A door for both families sees an address of IPv4 in a longer form.
        let address = address.to_canonical();
        let mut taken = lock(&self.taken);
        let of_address = taken.by.get(&address).map_or(0, |(count, _)| *count);
        if taken.all >= self.places.all || of_address >= self.places.each {
            return None;
        }
        taken.all += 1;
        let (count, common) = taken.by.entry(address).or_insert_with(|| (0, common()));
        *count += 1;
        let common = common.clone();
        drop(taken);
        Some(Place { address, common, taken: Arc::clone(&self.taken) })
    }
}

impl<T> Clone for Crowd<T> {
    fn clone(&self) -> Self {
        Self { places: self.places, taken: Arc::clone(&self.taken) }
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        let last = taken.by.get_mut(&self.address).is_none_or(|(count, _)| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        if last {
            taken.by.remove(&self.address);
        }
    }
}

fn lock<T>(taken: &Mutex<Taken<T>>) -> MutexGuard<'_, Taken<T>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Crowd, address: &str) -> Option<Place> {
        crowd.enter(address.parse().unwrap(), || ())
    }

    #[test]
    fn one_address_does_not_take_the_places_of_all() {
        let crowd = Crowd::new(Places { all: 3, each: 2 });
        let first = enter(&crowd, "10.0.0.1").unwrap();
        let _second = enter(&crowd, "::ffff:10.0.0.1").unwrap();
        assert!(enter(&crowd, "10.0.0.1").is_none(), "it is the same address");
        let _other = enter(&crowd, "10.0.0.2").unwrap();
        assert!(enter(&crowd, "10.0.0.3").is_none(), "the door is full");
        drop(first);
        assert!(enter(&crowd, "10.0.0.3").is_some());
        assert!(enter(&crowd, "fd00::1").is_some());
        assert_eq!(crowd.taken.lock().unwrap().by.len(), 2, "who is gone is forgotten");
    }

    #[test]
    fn connections_of_one_address_have_something_in_common() {
        let crowd = Crowd::new(Places { all: 9, each: 9 });
        let enter = |address: [u8; 4], common| crowd.enter(address.into(), || Arc::new(common)).unwrap();
        let (first, other) = (enter([10, 0, 0, 1], 1), enter([10, 0, 0, 2], 2));
        let second = enter([10, 0, 0, 1], 3);
        assert_eq!((*first.common, *other.common, *second.common), (1, 2, 1));
        drop((first, second));
        assert_eq!(*enter([10, 0, 0, 1], 4).common, 4);
    }
}
