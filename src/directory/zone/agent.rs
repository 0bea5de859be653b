//! One agent of the own mesh, as the zone tells of it.

use aws_lc_rs::digest::{SHA256, digest};
use hickory_server::proto::rr::{
    Name as Domain, RData,
    rdata::{
        SRV, SVCB, TXT,
        svcb::{Alpn, Mandatory, SvcParamKey, SvcParamValue, Unknown},
    },
};

use super::Settings;
use super::records::list;
use super::replicas::Replicas;
use super::table::{ALPN, BAP, KEY_BAP, KEY_CAP, KEY_CAP_SHA256, KEY_REALM, STRING_MAX};
use crate::directory::{Agent, Card};

/// What comes before an agent's name in the path of its card, and after it. The catalogue serves [`Card::text`] there,
/// byte for byte.
const CARD_PATH: [&str; 2] = ["/agents/", "/agent-card.json"];
/// What DNS-SD's text says of every agent.
const INSTANCE: [&str; 3] = ["txtvers=1", "proto=a2a", "path=/.well-known/agent-card.json"];

/// An agent of the own mesh.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) replicas: Replicas,
    card: Option<Digest>,
}

/// What DNS tells of a card.
#[derive(Debug)]
struct Digest {
    url: String,
    sha256: String,
    /// What it can do and its version, as strings of a TXT record.
    texts: Vec<String>,
}

impl Entry {
    /// An agent whose name in the zone is `domain`. `site` is the host of the catalogue: its namespace in the zone.
    pub(super) fn new(agent: &Agent, domain: Domain, site: &Domain) -> Self {
        let card = agent.card.as_ref().map(|card| Digest::of(card, agent.name.agent(), site));
        Self { replicas: Replicas::new(domain, &agent.endpoints), card }
    }

    /// Where and how it is called (RFC 9460, with the parameters of DNS-AID).
    pub(super) fn service(&self, settings: &Settings) -> RData {
        let key = SvcParamKey::Key;
        let text = |text: &str| SvcParamValue::Unknown(Unknown(text.as_bytes().to_vec()));
        let mandatory = Mandatory(vec![SvcParamKey::Alpn, SvcParamKey::Port]);
        // In the order of their numbers, as the wire wants them.
        let mut params = vec![
            (SvcParamKey::Mandatory, SvcParamValue::Mandatory(mandatory)),
            (SvcParamKey::Alpn, SvcParamValue::Alpn(Alpn(vec![ALPN.to_owned()]))),
            (SvcParamKey::Port, SvcParamValue::Port(self.replicas.port)),
        ];
        if let Some(card) = &self.card {
            params.push((key(KEY_CAP), text(&card.url)));
            params.push((key(KEY_CAP_SHA256), text(&card.sha256)));
        }
        params.push((key(KEY_BAP), text(BAP)));
        params.push((key(KEY_REALM), text(&settings.trust_domain)));
        // Its own name, spelt out: some readers take "." for no name at all.
        RData::SVCB(SVCB::new(1, self.replicas.domain.clone(), params))
    }

    /// What it can do, if its card is known and says something.
    pub(super) fn text(&self) -> Option<RData> {
        let texts = &self.card.as_ref()?.texts;
        (!texts.is_empty()).then(|| RData::TXT(TXT::new(texts.clone())))
    }

    /// Where DNS-AID finds it from the walkable branch.
    pub(super) fn alias(&self) -> RData {
        RData::SVCB(SVCB::new(0, self.replicas.domain.clone(), Vec::new()))
    }

    /// Where DNS-SD finds it.
    pub(super) fn instance(&self) -> RData {
        RData::SRV(SRV::new(0, 0, self.replicas.port, self.replicas.domain.clone()))
    }

    /// What DNS-SD tells of it.
    pub(super) fn instance_text() -> RData {
        RData::TXT(TXT::new(INSTANCE.map(str::to_owned).into()))
    }
}

impl Digest {
    fn of(card: &Card, agent: &str, site: &Domain) -> Self {
        let site = site.to_ascii();
        let [before, after] = CARD_PATH;
        let url = format!("https://{}{before}{agent}{after}", site.trim_end_matches('.'));
        let sha256 = base64_simd::URL_SAFE_NO_PAD.encode_to_string(digest(&SHA256, &card.text));
        let skills = card.skills.iter().map(|skill| skill.id.as_str()).filter(|id| is_plain(id));
        let version = Some(card.version.as_str()).filter(|version| is_plain(version));
        let texts =
            [list("capabilities=", skills, STRING_MAX), list("version=", version.into_iter(), STRING_MAX)];
        Self { url, sha256, texts: texts.into_iter().flatten().collect() }
    }
}

/// Whether a card's word can stand in a list of a TXT record: whoever wrote the card may have written anything.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",\\".contains(&byte))
}
