//! What the raw structs are made of: values that know where they stand, and that may be missing or refused.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::problem::Mark;

/// A place in the file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where it is.
    pub(super) at: Mark,
    /// What it is called, such as `policy.allow[0].from`.
    pub(super) path: String,
}

/// A value of the file.
#[derive(Debug)]
pub(super) struct Located<T> {
    /// Where it stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: T,
}

/// What stands at a key, or at a place in a list.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// A value.
    Given(Located<T>),
    /// Something that is no `T`; the problem is already written down.
    Refused,
}

/// A list that may be written as its only item.
#[derive(Debug)]
pub(super) struct OneOrMany(pub(super) Vec<Field<String>>);

/// A map whose keys are data. In the order of the file.
#[derive(Debug)]
pub(super) struct Pairs<T>(pub(super) Vec<Pair<T>>);

/// An entry of such a map.
#[derive(Debug)]
pub(super) struct Pair<T> {
    /// The key.
    pub(super) key: Field<String>,
    /// Its value.
    pub(super) value: Field<T>,
}

/// A list of single values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(super) struct Texts(pub(super) Vec<Field<String>>);

/// The name by which a [`OneOrMany`] tells the decoder what it is.
pub(super) const ONE_OR_MANY: &str = "config::OneOrMany";

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As an option, because that is what serde takes a missing key for.
        deserializer.deserialize_option(FieldVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the config decoder")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    /// Line, column, path and value, the last one only if it could be had.
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let cut = || A::Error::custom("a place without a value");
        let line = parts.next_element()?.ok_or_else(cut)?;
        let column = parts.next_element()?.ok_or_else(cut)?;
        let path = parts.next_element()?.ok_or_else(cut)?;
        Ok(match parts.next_element()? {
            Some(value) => Field::Given(Located { place: Place { at: Mark { line, column }, path }, value }),
            None => Field::Refused,
        })
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or its only item")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_newtype_struct(ONE_OR_MANY, Items)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((key, value)) = entries.next_entry()? {
                    all.push(Pair { key, value });
                }
                Ok(Pairs(all))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<String>();
        json_schema!({ "anyOf": [item, { "type": "array", "items": item }] })
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Pairs_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
