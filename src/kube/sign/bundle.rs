//! The ConfigMap in which every trust domain's bundle is published.

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::ledger::{Ledger, ROOTS, SUFFIX};
use crate::identity::{Bundles, TrustDomain, pem};
use crate::kube::words::{MANAGED_BY, US};

/// The ConfigMap as it should be: `map` with the own roots as the ledger has them, and with `federated` in the place of whatever
/// it says about other trust domains; without, that stays. What others keep in it stays too.
pub(super) fn document(
    map: Option<&ConfigMap>,
    name: &str,
    domain: &TrustDomain,
    ledger: &Ledger,
    federated: Option<&Bundles>,
) -> Result<ConfigMap, serde_json::Error> {
    let mut map = map.cloned().unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    });
    let data = map.data.get_or_insert_default();
    if let Some(federated) = federated {
        data.retain(|key, _| !key.ends_with(SUFFIX));
        data.extend(federated.iter().map(|(domain, bundle)| (format!("{domain}{SUFFIX}"), bundle.to_pem())));
    }
    data.insert(format!("{domain}{SUFFIX}"), pem::write(ledger.roots()));
    map.metadata.labels.get_or_insert_default().insert(MANAGED_BY.to_owned(), US.to_owned());
    map.metadata.annotations.get_or_insert_default().insert(ROOTS.to_owned(), ledger.notes()?);
    Ok(map)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::identity::forge::{NOW, bundles, domain, root};
    use crate::kube::sign::ledger::Rules;

    #[test]
    fn other_trust_domains_come_and_go_and_what_is_not_ours_stays() {
        let rules = Rules { settle: Duration::ZERO, lifetime: Duration::from_hours(1) };
        let ledger = Ledger::default().advance(&[root("a.test").der().clone()], rules, NOW);
        let own = domain("a.test");
        let b = root("b.test");
        let mut map = document(None, "bundle", &own, &ledger, Some(&bundles(&[("b.test", &b)]))).unwrap();
        map.data.as_mut().unwrap().insert("note".to_owned(), "by hand".to_owned());
        let keys = |map: &ConfigMap| map.data.as_ref().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&map), ["a.test.trust-bundle.pem", "b.test.trust-bundle.pem", "note"]);
        assert_eq!(document(Some(&map), "bundle", &own, &ledger, None).unwrap(), map);
        let without = document(Some(&map), "bundle", &own, &ledger, Some(&BTreeMap::new())).unwrap();
        assert_eq!(keys(&without), ["a.test.trust-bundle.pem", "note"]);
    }
}
