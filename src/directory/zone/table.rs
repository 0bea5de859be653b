//! Every label, key number, time and size of the zone, in one place: the drafts behind some of them are still moving.

/// `_a2a._tcp`: the service that sidecars ask for, and the type that DNS-SD browses.
pub(super) const SERVICE: &str = "_a2a";
/// The types that DNS-SD (RFC 6763) finds agents by: that of the projects out there, and that of
/// draft-jakab-dawn-agent-discovery-mdns.
pub(super) const TYPES: [&str; 2] = [SERVICE, "_agent"];
pub(super) const TCP: &str = "_tcp";
pub(super) const UDP: &str = "_udp";
/// `_services._dns-sd._udp` lists types, `b._dns-sd._udp` and `lb._dns-sd._udp` list domains (RFC 6763 §9 and §11).
pub(super) const DNS_SD: &str = "_dns-sd";
pub(super) const SERVICES: &str = "_services";
pub(super) const DOMAINS: [&str; 2] = ["b", "lb"];
/// The branch of a namespace that DNS-AID (draft-mozleywilliams-dnsop-dnsaid-02) can walk.
pub(super) const AGENTS: &str = "_agents";
/// The agents of a namespace as a text, and the first of the pointers.
pub(super) const INDEX: &str = "_index";
/// Where DNS-AID and ARD look for the catalogue.
pub(super) const POINTERS: [&str; 5] = [INDEX, "_catalog", "_entries", "_search", "_a2a"];
/// The name below the zone whose text says how the zone is laid out, as `dns-version` does for a cluster.
pub(super) const VERSION_LABEL: &str = "a2a-version";
/// The layout: the second number grows with what is added, the first with what is taken away.
pub(super) const VERSION: &str = "1.0";

/// Parameters of SVCB records, private to DNS-AID until they are registered.
pub(super) const KEY_CAP: u16 = 65400;
pub(super) const KEY_CAP_SHA256: u16 = 65401;
pub(super) const KEY_BAP: u16 = 65402;
pub(super) const KEY_REALM: u16 = 65404;
/// What every agent of the mesh speaks at its sidecar's door, whatever it speaks itself.
pub(super) const BAP: &str = "a2a=1.0";
pub(super) const ALPN: &str = "h2";
/// The port of an agent that has no replica to say another.
pub(super) const MESH_PORT: u16 = 2643;
/// The port of the catalogue.
pub(super) const CATALOG_PORT: u16 = 443;

/// How long addresses of agents may be kept, in seconds, and that there is none.
pub(super) const TTL_SHORT: u32 = 5;
/// How long everything else may be kept, in seconds.
pub(super) const TTL_LONG: u32 = 30;

/// The most addresses of one kind in an answer.
pub(super) const ADDRESSES_MAX: usize = 16;
/// The most pointers in an answer.
pub(super) const POINTERS_MAX: usize = 700;
/// The longest string of a TXT record.
pub(super) const STRING_MAX: usize = 255;
/// What records may take of a message over TCP, with no name compressed: the header, the longest question and the OPT
/// record take the rest of 64 KiB.
pub(super) const ROOM: usize = 65_000;
/// What goes before a domain in the owner of a list, or before it in what the list points to: `lb._dns-sd._udp.` has as
/// many bytes, and no type has more.
pub(super) const LONGEST_TYPE: usize = 16;
/// What a record takes beside its owner and its data.
pub(super) const RECORD: usize = 10;

/// What is answered over UDP at most: it passes every network in one piece.
pub(super) const UDP_MAX: u16 = 1232;
/// What is answered over UDP to those who do not say what they take.
pub(super) const UDP_PLAIN: u16 = 512;
