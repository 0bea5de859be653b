//! Balance: which endpoint of an agent gets the next call.
//!
//! One [`Balancer`] for each agent: an address that is no good for one agent may be the right one for another.

mod eject;
mod p2c;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{SeedableRng, rngs::SmallRng};
use tokio::time::Instant;

use crate::discovery::Endpoints;
use eject::Ejections;

/// Spreads the calls for one agent over its endpoints.
#[derive(Debug)]
pub struct Balancer {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: SmallRng,
    in_flight: HashMap<SocketAddr, Arc<AtomicUsize>>,
    ejections: Ejections,
}

/// An endpoint for one call.
#[derive(Debug)]
pub struct Picked {
    /// Where to go.
    pub address: SocketAddr,
    /// Counts the call. Keep it as long as the call, with its stream, lasts.
    pub guard: InFlight,
}

/// One call in flight; dropping it ends the count.
#[derive(Debug)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
}

impl InFlight {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balancer {
    /// A balancer that knows nobody yet. `seed` decides all its choices.
    pub fn new(seed: u64) -> Self {
        let chance = SmallRng::seed_from_u64(seed);
        Self {
            state: Mutex::new(State { chance, in_flight: HashMap::new(), ejections: Ejections::default() }),
        }
    }

    /// An endpoint for the next call, none of the `exclude`d (those that this call has tried already). Of two picked by
    /// chance it is the one with fewer calls in flight. Endpoints that are set aside are left out, unless all are: then it
    /// is the one whose last failure is the longest ago. None if there is nobody left to try.
    pub fn pick(&self, endpoints: &Endpoints, exclude: &[SocketAddr], now: Instant) -> Option<Picked> {
        let mut state = self.lock();
        state.forget_the_gone(&endpoints.addresses);
        let State { chance, in_flight, ejections } = &mut *state;
        let addresses = &endpoints.addresses;
        let open = |address: &SocketAddr| !exclude.contains(address);
        let usable = |index: usize| {
            addresses.get(index).is_some_and(|address| open(address) && !ejections.holds(*address, now))
        };
        let load = |index: usize| {
            let count = addresses.get(index).and_then(|address| in_flight.get(address));
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        };
        let address = match p2c::choose(addresses.len(), usable, load, chance) {
            Some(index) => addresses.get(index).copied()?,
            None => addresses.iter().copied().filter(open).min_by_key(|address| ejections.last(*address))?,
        };
        let guard = InFlight::begin(in_flight.entry(address).or_default());
        Some(Picked { address, guard })
    }

    /// Sets `address` aside: it could not be connected to, or somebody else answered there. For one second at first, twice
    /// as long each time after that, half a minute at most. Whether it had worked until then.
    pub fn eject(&self, address: SocketAddr, now: Instant) -> bool {
        self.lock().ejections.eject(address, now)
    }

    /// Says that `address` works: what was held against it is forgotten.
    pub fn restore(&self, address: SocketAddr) {
        self.lock().ejections.restore(address);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops what is remembered about addresses that are endpoints no more, once that is most of what is remembered.
    fn forget_the_gone(&mut self, addresses: &[SocketAddr]) {
        let worth = 2 * addresses.len() + 16;
        // The addresses are sorted: see Endpoints.
        let known = |address: &SocketAddr| addresses.binary_search(address).is_ok();
        if self.in_flight.len() > worth {
            self.in_flight.retain(|address, count| known(address) || count.load(Ordering::Relaxed) > 0);
        }
        if self.ejections.len() > worth {
            self.ejections.retain(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 2643).into()
    }

    fn endpoints(last: impl IntoIterator<Item = u8>) -> Endpoints {
        Endpoints::fixed(&last.into_iter().map(address).collect::<Vec<_>>())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_in_flight_weigh_until_their_guard_is_dropped() {
        let balancer = Balancer::new(1);
        let two = endpoints([1, 2]);
        let first = balancer.pick(&two, &[], Instant::now()).unwrap();
        let second = balancer.pick(&two, &[], Instant::now()).unwrap();
        assert_ne!(first.address, second.address);
        let third = balancer.pick(&two, &[], Instant::now()).unwrap();
        let idler = if third.address == first.address { &second } else { &first }.address;
        assert_eq!(balancer.pick(&two, &[], Instant::now()).unwrap().address, idler);

        let freed = first.address;
        drop((first, third));
        let busy = second.address;
        for _ in 0..20 {
            let next = balancer.pick(&two, &[], Instant::now()).unwrap().address;
            assert!(next == freed && next != busy);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_run_of_held_calls_is_spread_evenly() {
        let balancer = Balancer::new(2);
        let ten = endpoints(1..=10);
        let held: Vec<_> = (0..1_000).map(|_| balancer.pick(&ten, &[], Instant::now()).unwrap()).collect();
        for last in 1..=10 {
            let count = held.iter().filter(|picked| picked.address == address(last)).count();
            assert!((90..=110).contains(&count), "{last}: {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_excluded_are_never_picked() {
        let balancer = Balancer::new(3);
        let two = endpoints([1, 2]);
        for _ in 0..20 {
            assert_eq!(balancer.pick(&two, &[address(1)], Instant::now()).unwrap().address, address(2));
        }
        assert!(balancer.pick(&two, &[address(1), address(2)], Instant::now()).is_none());
        assert!(balancer.pick(&endpoints([]), &[], Instant::now()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_ejected_are_left_out_until_their_time_is_over() {
        let balancer = Balancer::new(4);
        let two = endpoints([1, 2]);
        let now = Instant::now();
        balancer.eject(address(1), now);
        for _ in 0..20 {
            assert_eq!(balancer.pick(&two, &[], now).unwrap().address, address(2));
        }
        let later: Vec<_> =
            (0..20).map(|_| balancer.pick(&two, &[], now + SECOND).unwrap().address).collect();
        assert!(later.contains(&address(1)), "{later:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_works_is_back_at_once() {
        let balancer = Balancer::new(5);
        let now = Instant::now();
        balancer.eject(address(1), now);
        balancer.restore(address(1));
        assert_eq!(balancer.pick(&endpoints([1, 2]), &[address(2)], now).unwrap().address, address(1));
        let picked: Vec<_> =
            (0..20).map(|_| balancer.pick(&endpoints([1, 2]), &[], now).unwrap().address).collect();
        assert!(picked.contains(&address(1)), "{picked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_ejected_the_one_that_failed_longest_ago_is_tried() {
        let balancer = Balancer::new(6);
        let three = endpoints([1, 2, 3]);
        let now = Instant::now();
        for last in [2, 3, 1] {
            balancer.eject(address(last), now + Duration::from_millis(last.into()));
        }
        let now = now + Duration::from_millis(10);
        assert_eq!(balancer.pick(&three, &[], now).unwrap().address, address(1));
        balancer.eject(address(1), now);
        assert_eq!(
            balancer.pick(&three, &[], now).unwrap().address,
            address(2),
            "failing counts while set aside too"
        );
        assert_eq!(balancer.pick(&three, &[address(2)], now).unwrap().address, address(3));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_are_gone_do_not_pile_up() {
        let balancer = Balancer::new(7);
        let now = Instant::now();
        let kept = balancer.pick(&endpoints([1]), &[], now).unwrap();
        for last in 2..=255 {
            balancer.eject(address(last), now);
            balancer.pick(&endpoints([last]), &[], now).unwrap();
        }
        let state = balancer.lock();
        assert!(state.in_flight.len() <= 20 && state.ejections.len() <= 20);
        assert!(state.in_flight.contains_key(&kept.address), "a call in flight is never forgotten");
    }
}
