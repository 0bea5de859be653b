//! Where the three listeners stand, and that no two of them want the same address.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::{
    address,
    check::Check,
    field::{Field, Located, OneOrMany, Place},
    problem::Refused,
};

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listen {
    /// Every address, at least one, each once. Port 0 lets the system choose.
    pub addresses: Vec<SocketAddr>,
    /// Whether nobody wrote them. Then a host without IPv6 is no error: `[::]` becomes `0.0.0.0`, and `[::1]` is left out.
    pub by_default: bool,
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.addresses.serialize(serializer)
    }
}

/// The addresses that somebody wants, in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    address: SocketAddr,
    key: &'static str,
    /// `None` if it is a default.
    place: Option<Place>,
}

impl Claim {
    /// Whether both cannot be had. One listener may have `0.0.0.0` beside `[::]`.
    fn clashes(&self, other: &Self) -> bool {
        let any = self.address.ip().is_unspecified() || other.address.ip().is_unspecified();
        self.address.port() != 0
            && self.address.port() == other.address.port()
            && (self.address.ip() == other.address.ip() || (any && self.key != other.key))
    }
}

impl Claims {
    /// Reads a `listen`, and claims its addresses.
    pub(super) fn listen(
        &mut self,
        check: &Check<'_>,
        key: &'static str,
        field: Field<OneOrMany>,
        default: &[SocketAddr],
    ) -> Result<Listen, Refused> {
        let given = check.one_or_many(field, address::listen)?;
        let by_default = given.is_empty();
        let mut claims: Vec<Claim> = given
            .into_iter()
            .map(|Located { place, value }| Claim { address: value, key, place: Some(place) })
            .collect();
        if by_default {
            claims.extend(default.iter().map(|address| Claim { address: *address, key, place: None }));
        }
        let addresses = claims.iter().map(|claim| claim.address).collect();
        self.0.extend(claims);
        Ok(Listen { addresses, by_default })
    }

    /// Claims an address that was written down at a place.
    pub(super) fn add(&mut self, address: SocketAddr, key: &'static str, place: &Place) {
        self.0.push(Claim { address, key, place: Some(place.clone()) });
    }

    /// Writes down each address that somebody else has.
    pub(super) fn settle(self, check: &Check<'_>) -> Result<(), Refused> {
        let mut claims = self.0;
        // Defaults first, then in the order of the file, so that a problem always has a place.
        claims.sort_by_key(|claim| claim.place.as_ref().map(|place| place.at));
        let mut outcome = Ok(());
        let mut blamed = None;
        for (index, claim) in claims.iter().enumerate() {
            let holder = claims.iter().take(index).find(|holder| claim.clashes(holder));
            let (Some(place), Some(holder)) = (&claim.place, holder) else { continue };
            if blamed == Some(place.at) {
                continue;
            }
            blamed = Some(place.at);
            let holder = holder.place.as_ref().map_or(holder.key, |place| &place.path);
            outcome = Err(check.refuse(place, &format!(": {} is taken by {holder}", claim.address)));
        }
        outcome
    }
}
