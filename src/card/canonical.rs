//! The canonical text of a card, over which it is signed: RFC 8785 of what is left after the signatures, and whatever
//! the signer counts as unset, are taken out.
//!
//! Numbers are doubles in RFC 8785. One that says more than a double can hold (`9007199254740993`) would be covered only
//! nearly, and its last digits could change unseen: a card with such a number has no canonical text, its signatures are
//! refused.

use std::borrow::Cow;

use crate::codec::schema::{AGENT_CARD, Field, Kind, Message, Shape};
use crate::codec::{self, text::Scanner};

/// How deep lists and objects may nest; the official SDKs stop there too.
const DEPTH_MAX: usize = 128;
/// Scalars of the card's messages that tell unset from default; all others that are not required have no presence.
const WITH_PRESENCE: [&str; 5] =
    ["documentationUrl", "extendedAgentCard", "iconUrl", "pushNotifications", "streaming"];
/// The member that is never part of what is signed.
const SIGNATURES: &str = "signatures";

/// What a signer takes for the card.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// What the schema knows, without anything empty at any depth: so do the official SDKs.
    Cleaned,
    /// All that was sent.
    Plain,
    /// What the schema knows, required fields always, other defaults only where the schema tells them from unset:
    /// so says the specification (§8.4.1).
    Specified,
}

impl Form {
    /// Every form, the one that covers most first.
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Specified, Self::Cleaned];
}

/// Why a text has no canonical form.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotCanonical {
    /// A number that says more than a double can hold.
    #[error("no double is the number {0}")]
    Inexact(String),
    /// No JSON.
    #[error(transparent)]
    Json(#[from] codec::Error),
    /// No object.
    #[error("not a JSON object")]
    NoObject,
    /// Lists and objects inside each other without end.
    #[error("nested deeper than {DEPTH_MAX} lists and objects")]
    TooDeep,
    /// Readers differ on which one counts.
    #[error("the member {0:?} is given twice")]
    Twice(String),
}

/// A JSON value; members of objects are in canonical order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree<'a> {
    Bool(bool),
    List(Vec<Self>),
    Null,
    /// In canonical spelling.
    Number(String),
    Object(Vec<Member<'a>>),
    Text(Cow<'a, str>),
}

/// A member of an object.
type Member<'a> = (Cow<'a, str>, Tree<'a>);

impl<'a> Tree<'a> {
    /// Reads a card.
    pub(super) fn of_card(json: &'a str) -> Result<Self, NotCanonical> {
        let mut scan = Scanner::new(json);
        let tree = Self::read(&mut scan, 1)?;
        scan.end()?;
        if matches!(tree, Self::Object(_)) { Ok(tree) } else { Err(NotCanonical::NoObject) }
    }

    fn read(scan: &mut Scanner<'a>, depth: usize) -> Result<Self, NotCanonical> {
        if depth > DEPTH_MAX {
            return Err(NotCanonical::TooDeep);
        }
        Ok(match scan.peek() {
            Some(b'{') => {
                let mut members = Vec::new();
                let mut more = scan.begin_object()?;
                while more {
                    members.push((scan.key()?, Self::read(scan, depth + 1)?));
                    more = scan.more(b'}')?;
                }
                Self::object(members)?
            }
            Some(b'[') => {
                let mut elements = Vec::new();
                let mut more = scan.begin_list()?;
                while more {
                    elements.push(Self::read(scan, depth + 1)?);
                    more = scan.more(b']')?;
                }
                Self::List(elements)
            }
            Some(b'"') => Self::Text(scan.string()?),
            Some(b't' | b'f') => Self::Bool(scan.bool()?),
            _ if scan.take_literal("null") => Self::Null,
            _ => Self::Number(number(scan.number()?)?),
        })
    }

    /// Members sort by UTF-16 code units (RFC 8785 §3.2.3).
    fn object(mut members: Vec<Member<'a>>) -> Result<Self, NotCanonical> {
        members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
        let twice = members.iter().zip(members.iter().skip(1)).find(|(one, other)| one.0 == other.0);
        match twice {
            Some((member, _)) => Err(NotCanonical::Twice(member.0.clone().into_owned())),
            None => Ok(Self::Object(members)),
        }
    }

    /// The value of a member, if this is an object that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::List(elements) => elements.is_empty(),
            Self::Null => true,
            Self::Object(members) => members.is_empty(),
            Self::Text(text) => text.is_empty(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    /// What is left without anything empty, inside out.
    fn cleaned(self) -> Self {
        let full = |tree: &Self| !tree.is_empty();
        match self {
            Self::List(elements) => {
                Self::List(elements.into_iter().map(Self::cleaned).filter(full).collect())
            }
            Self::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, value.cleaned()));
                Self::Object(members.filter(|(_, value)| full(value)).collect())
            }
            scalar => scalar,
        }
    }

    /// What the schema knows of a message, by its names in the schema.
    fn known(&self, message: &'static Message, form: Form) -> Result<Self, NotCanonical> {
        let Self::Object(members) = self else { return Ok(self.clone()) };
        let mut known: Vec<Member<'a>> = Vec::with_capacity(members.len());
        for (name, value) in members {
            let field = message.by_name(name).and_then(|index| message.fields.get(index));
            let Some(field) = field.filter(|_| *value != Self::Null) else { continue };
            let value = value.shaped(field, form)?;
            if field.required || !value.is_default(field) {
                known.push((Cow::Borrowed(field.json), value));
            }
        }
        for (index, field) in message.fields.iter().enumerate() {
            let always = form == Form::Specified && message.always_written & (1 << index) != 0;
            if always && !known.iter().any(|(name, _)| name == field.json) {
                known.push((Cow::Borrowed(field.json), Self::default_of(field)));
            }
        }
        Self::object(known)
    }

    /// The value of a field, with its messages as the schema knows them.
    fn shaped(&self, field: &'static Field, form: Form) -> Result<Self, NotCanonical> {
        let Kind::Message(message) = field.kind else { return Ok(self.clone()) };
        match (field.shape, self) {
            (Shape::Many, Self::List(elements)) => elements
                .iter()
                .map(|each| each.known(message, form))
                .collect::<Result<_, _>>()
                .map(Self::List),
            (Shape::Map, Self::Object(members)) => {
                let known = |(name, value): &Member<'a>| Ok((name.clone(), value.known(message, form)?));
                members.iter().map(known).collect::<Result<_, _>>().map(Self::Object)
            }
            (Shape::One, _) => self.known(message, form),
            _ => Ok(self.clone()),
        }
    }

    /// Whether a field that has this value is as good as unset.
    fn is_default(&self, field: &Field) -> bool {
        match field.shape {
            Shape::Many | Shape::Map => self.is_empty(),
            Shape::One => {
                let scalar = matches!(field.kind, Kind::Bool | Kind::String);
                let default = *self == Self::Bool(false) || self.text() == Some("");
                scalar && default && !WITH_PRESENCE.contains(&field.json)
            }
        }
    }

    fn default_of(field: &Field) -> Self {
        match (field.shape, field.kind) {
            (Shape::Many, _) => Self::List(Vec::new()),
            (Shape::Map, _) => Self::Object(Vec::new()),
            (Shape::One, Kind::Bool) => Self::Bool(false),
            (Shape::One, _) => Self::Text(Cow::Borrowed("")),
        }
    }

    /// The canonical text of a card in one of its forms.
    pub(super) fn canonical(&self, form: Form) -> Result<String, NotCanonical> {
        let mut tree = match form {
            Form::Plain => self.clone(),
            Form::Cleaned | Form::Specified => self.known(&AGENT_CARD, form)?,
        };
        if let Self::Object(members) = &mut tree {
            members.retain(|(name, _)| name != SIGNATURES);
        }
        if form == Form::Cleaned {
            tree = tree.cleaned();
        }
        let mut out = String::new();
        tree.write(&mut out);
        Ok(out)
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::List(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Null => out.push_str("null"),
            Self::Number(number) => out.push_str(number),
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            Self::Text(text) => write_text(text, out),
        }
    }
}

/// Writes a string as ECMAScript's `JSON.stringify` does.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// Spells a number as ECMAScript's `Number::toString` does.
fn number(text: &str) -> Result<String, NotCanonical> {
    let inexact = || NotCanonical::Inexact(text.chars().take(40).collect());
    let double: f64 = text.parse().map_err(|_| inexact())?;
    let mut buffer = ryu_js::Buffer::new();
    let spelled = buffer.format(double);
    if double.is_finite() && means(text, double, spelled) { Ok(spelled.to_owned()) } else { Err(inexact()) }
}

/// Whether a number says no more than its double can hold: it is what is `spelled`, or exactly the double, or a fraction
/// with no more digits than writers of doubles make.
fn means(text: &str, double: f64, spelled: &str) -> bool {
    const DIGITS_MAX: usize = 17;
    let Some(said) = decimal(text) else { return false };
    if decimal(spelled).as_ref() == Some(&said) {
        return true;
    }
    let whole = !text.contains(['.', 'e', 'E']);
    if whole { format!("{double:.0}") == text } else { said.digits.len() <= DIGITS_MAX && double != 0.0 }
}

/// What a decimal number says, however it is spelled: `0.digits × 10^point`, without zeros at either end.
#[derive(Debug, PartialEq)]
struct Decimal {
    digits: String,
    point: i64,
}

fn decimal(text: &str) -> Option<Decimal> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Decimal { digits: String::new(), point: 0 });
    }
    let zeros = i64::try_from(all.len() - digits.len()).ok()?;
    let point = i64::try_from(whole.len()).ok()? - zeros;
    let point = point.checked_add(exponent.parse().ok()?)?;
    Some(Decimal { digits: digits.trim_end_matches('0').to_owned(), point })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &str = include_str!("../../tests/golden/cards/sdk-hybrid.json");
    const SDK: &str = include_str!("../../tests/golden/cards/sdk-es256.json");
    const SDK_TEXT: &str = include_str!("../../tests/golden/cards/sdk-canonical.txt");
    const SPEC: &str = include_str!("../../tests/golden/cards/spec-eddsa.json");
    const SPEC_TEXT: &str = include_str!("../../tests/golden/cards/spec-canonical.txt");

    #[test]
    fn numbers_are_spelled_as_ecmascript_spells_them() {
        // The samples of RFC 8785, appendix B, and the borders of each notation.
        for (text, spelled) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e999999999999999999999", "0"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("-10", "-10"),
            ("5e-324", "5e-324"),
            ("-5e-324", "-5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740992", "9007199254740992"),
            ("-9007199254740992", "-9007199254740992"),
            ("295147905179352830000", "295147905179352830000"),
            ("9.999999999999997e22", "9.999999999999997e+22"),
            ("1e23", "1e+23"),
            ("1.0000000000000001e23", "1.0000000000000001e+23"),
            ("999999999999999700000", "999999999999999700000"),
            ("999999999999999900000", "999999999999999900000"),
            ("1000000000000000000000", "1e+21"),
            ("100000000000000000000", "100000000000000000000"),
            ("9.999999999999997e-7", "9.999999999999997e-7"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("333333333.3333332", "333333333.3333332"),
            ("333333333.33333325", "333333333.33333325"),
            ("-0.0000033333333333333333", "-0.0000033333333333333333"),
            // Halfway between two shortest spellings: the even one.
            ("1424953923781206.2", "1424953923781206.2"),
            ("0.10000000000000001", "0.1"),
            ("36028797018963968", "36028797018963970"),
            ("0.1", "0.1"),
            ("1E+2", "100"),
        ] {
            assert_eq!(number(text).as_deref(), Ok(spelled), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_no_double_has_no_canonical_spelling() {
        for text in ["9007199254740993", "1e309", "1e-400", "0.100000000000000001", "36028797018963969"] {
            assert_eq!(number(text), Err(NotCanonical::Inexact(text.into())), "{text}");
        }
        let error = Tree::of_card(r#"{"a":{"n":123456789012345678901}}"#).unwrap_err();
        assert_eq!(error.to_string(), "no double is the number 123456789012345678901");
    }

    #[test]
    fn members_sort_by_their_utf16_units_and_come_once() {
        let json = r#"{"\ufb33":1,"\ud83d\ude00":2,"\u20ac":3,"b":4,"":5,"B":6}"#;
        let canonical = Tree::of_card(json).unwrap().canonical(Form::Plain).unwrap();
        assert_eq!(canonical, "{\"\":5,\"B\":6,\"b\":4,\"€\":3,\"😀\":2,\"\u{fb33}\":1}");
        let twice = Tree::of_card(r#"{"a":1,"\u0061":2}"#);
        assert_eq!(twice, Err(NotCanonical::Twice("a".into())));
        let spelled_twice = Tree::of_card(r#"{"iconUrl":"a","icon_url":"b"}"#).unwrap();
        assert_eq!(spelled_twice.canonical(Form::Specified), Err(NotCanonical::Twice("iconUrl".into())));
    }

    #[test]
    fn the_canonical_texts_are_those_of_the_sdk_and_of_the_specification() {
        let sdk = Tree::of_card(SDK).unwrap();
        assert_eq!(sdk.canonical(Form::Cleaned).unwrap(), SDK_TEXT.trim_end_matches('\n'));
        let spec = Tree::of_card(SPEC).unwrap();
        assert_eq!(spec.canonical(Form::Specified).unwrap(), SPEC_TEXT.trim_end_matches('\n'));
        let hybrid = Tree::of_card(HYBRID).unwrap();
        assert!(!hybrid.canonical(Form::Cleaned).unwrap().contains("preferredTransport"));
        assert!(hybrid.canonical(Form::Plain).unwrap().contains("preferredTransport"));
    }

    #[test]
    fn required_fields_are_there_even_when_unset_and_other_defaults_are_not() {
        let json =
            r#"{"name":"A","capabilities":{"streaming":false,"extensions":[]},"skills":[],"icon_url":""}"#;
        let canonical = Tree::of_card(json).unwrap().canonical(Form::Specified).unwrap();
        assert_eq!(
            canonical,
            r#"{"capabilities":{"streaming":false},"defaultInputModes":[],"defaultOutputModes":[],"description":"","iconUrl":"","name":"A","skills":[],"supportedInterfaces":[],"version":""}"#
        );
    }

    #[test]
    fn the_scalars_with_presence_are_those_of_the_schema() {
        let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/a2a.binpb"));
        let pool = prost_reflect::DescriptorPool::decode(&bytes[..]).unwrap();
        let mut open = vec![pool.get_message_by_name("lf.a2a.v1.AgentCard").unwrap()];
        let (mut seen, mut found) = (std::collections::HashSet::new(), std::collections::BTreeSet::new());
        while let Some(message) = open.pop().filter(|message| seen.insert(message.full_name().to_owned())) {
            for field in message.fields() {
                match field.kind() {
                    prost_reflect::Kind::Message(inner) => open.insert(0, inner),
                    _ if field.supports_presence() => drop(found.insert(field.json_name().to_owned())),
                    kind => {
                        let text_or_bool =
                            matches!(kind, prost_reflect::Kind::String | prost_reflect::Kind::Bool);
                        // The scalars of `google.protobuf` values never come by here: they are inside a Struct.
                        assert!(text_or_bool || field.full_name().starts_with("google."), "{field:?}");
                    }
                }
            }
        }
        found.retain(|name| !name.ends_with("Value"));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), WITH_PRESENCE);
    }

    proptest! {
        #[test]
        fn every_double_reads_back_from_its_spelling(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let spelled = number(&format!("{double:e}")).unwrap();
            prop_assert_eq!(spelled.parse::<f64>().unwrap(), double);
            prop_assert_eq!(number(&spelled).unwrap(), spelled);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9eE+.a-z \\\\-]{0,40}") {
            if let Ok(tree) = Tree::of_card(&text) {
                for form in Form::ALL {
                    drop(tree.canonical(form));
                }
            }
        }
    }
}
