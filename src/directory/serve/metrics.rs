//! What the DNS server counts.

use hickory_server::proto::{op::ResponseCode, rr::RecordType};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::directory::zone::Reply;

/// Whoever asks chooses the type, so only those that the zone has are told apart.
const KINDS: [(RecordType, &str); 10] = [
    (RecordType::A, "A"),
    (RecordType::AAAA, "AAAA"),
    (RecordType::ANY, "ANY"),
    (RecordType::HTTPS, "HTTPS"),
    (RecordType::NS, "NS"),
    (RecordType::PTR, "PTR"),
    (RecordType::SOA, "SOA"),
    (RecordType::SRV, "SRV"),
    (RecordType::SVCB, "SVCB"),
    (RecordType::TXT, "TXT"),
];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Query {
    r#type: &'static str,
    code: &'static str,
}

/// The numbers of a server; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    queries: Family<Query, Counter>,
}

impl Metrics {
    /// Adds `dragoman_dns_queries_total{type,code}`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_dns_queries",
            "Questions to the directory's DNS, by record type and by how they were answered",
            self.queries.clone(),
        );
    }

    /// Counts one question. Without a reply it was none.
    pub(super) fn answered(&self, reply: Option<&Reply>) {
        let kind = reply.and_then(|reply| reply.kind);
        let known = |kind| KINDS.iter().find(|(known, _)| *known == kind).map_or("other", |(_, name)| name);
        let query = Query {
            r#type: kind.map_or("none", known),
            code: reply.map_or("DROPPED", |reply| code(reply.code)),
        };
        self.queries.get_or_create(&query).inc();
    }
}

fn code(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::BADVERS => "BADVERS",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NoError => "NOERROR",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::ServFail => "SERVFAIL",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_counted_by_type_and_outcome_and_nobody_invents_labels() {
        let metrics = Metrics::default();
        let reply = |kind, code| Reply { bytes: Vec::new(), kind, code };
        metrics.answered(Some(&reply(Some(RecordType::SRV), ResponseCode::NoError)));
        metrics.answered(Some(&reply(Some(RecordType::Unknown(4711)), ResponseCode::NXDomain)));
        metrics.answered(Some(&reply(Some(RecordType::MX), ResponseCode::NXDomain)));
        metrics.answered(Some(&reply(None, ResponseCode::FormErr)));
        metrics.answered(None);
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "dragoman_dns_queries_total{type=\"SRV\",code=\"NOERROR\"} 1",
            "dragoman_dns_queries_total{type=\"other\",code=\"NXDOMAIN\"} 2",
            "dragoman_dns_queries_total{type=\"none\",code=\"FORMERR\"} 1",
            "dragoman_dns_queries_total{type=\"none\",code=\"DROPPED\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
