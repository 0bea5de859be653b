//! Small things that records are made of.

use std::net::IpAddr;

use hickory_server::proto::rr::{Name as Domain, RData, RecordType};
use rand::{rngs::SmallRng, seq::SliceRandom as _};

use super::table::{ADDRESSES_MAX, RECORD};

/// An A or AAAA record's data.
pub(super) fn address(host: IpAddr) -> RData {
    match host {
        IpAddr::V4(host) => RData::A(host.into()),
        IpAddr::V6(host) => RData::AAAA(host.into()),
    }
}

/// Some of `hosts` of the family that `kind` names, in an order of chance.
pub(super) fn addresses(hosts: &[IpAddr], kind: RecordType, chance: &mut SmallRng) -> Vec<RData> {
    let of_kind = |host: &&IpAddr| match kind {
        RecordType::A => host.is_ipv4(),
        RecordType::AAAA => host.is_ipv6(),
        _ => false,
    };
    let mut hosts: Vec<_> = hosts.iter().filter(of_kind).copied().collect();
    let (chosen, _) = hosts.partial_shuffle(chance, ADDRESSES_MAX);
    chosen.iter().copied().map(address).collect()
}

/// `label` below `domain`, unless DNS cannot spell it.
pub(super) fn below(domain: &Domain, labels: &[&str]) -> Option<Domain> {
    let mut name = domain.clone();
    for label in labels {
        name = name.prepend_label(label.as_bytes()).ok()?;
    }
    Some(name)
}

/// What a name takes in a message at most.
pub(super) fn name_cost(name: &Domain) -> usize {
    name.iter().map(|label| label.len() + 1).sum::<usize>() + 1
}

/// What the address of a host takes in a message at most, the owner's name being so long.
pub(super) fn host_cost(owner: usize, host: IpAddr) -> usize {
    owner + RECORD + if host.is_ipv4() { 4 } else { 16 }
}

/// `head` and as many of the `entries` as fit into `most` bytes, whole, with commas between them. None without an entry.
pub(super) fn list<'a>(head: &str, entries: impl Iterator<Item = &'a str>, most: usize) -> Option<String> {
    let mut text = head.to_owned();
    for entry in entries {
        let comma = usize::from(text.len() > head.len());
        if text.len() + comma + entry.len() > most {
            break;
        }
        if comma == 1 {
            text.push(',');
        }
        text.push_str(entry);
    }
    (text.len() > head.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_list_holds_whole_entries_only() {
        let list = |most| list("x=", ["ab", "cd", "efg"].into_iter(), most);
        assert_eq!(list(3), None);
        assert_eq!(list(4).as_deref(), Some("x=ab"));
        assert_eq!(list(6).as_deref(), Some("x=ab"));
        assert_eq!(list(7).as_deref(), Some("x=ab,cd"));
        assert_eq!(list(11).as_deref(), Some("x=ab,cd,efg"));
    }

    #[test]
    fn no_more_than_sixteen_addresses_are_told_and_in_time_all_of_them() {
        let hosts: Vec<IpAddr> = (0..40).map(|last| [10, 0, 0, last].into()).collect();
        let mut chance = SmallRng::seed_from_u64(1);
        let answers: Vec<_> = (0..50).map(|_| addresses(&hosts, RecordType::A, &mut chance)).collect();
        assert!(answers.iter().all(|answer| answer.len() == ADDRESSES_MAX));
        assert_ne!(answers[0], answers[1]);
        let told: std::collections::HashSet<_> = answers.iter().flatten().collect();
        assert_eq!(told.len(), 40);
        assert!(addresses(&hosts, RecordType::AAAA, &mut chance).is_empty());
    }
}
