//! JSON as a borrowed tree that is looked into one level at a time: what nobody asks about stays the text that it was.

use std::borrow::Cow;
use std::collections::HashSet;

use super::text::{Scanner, write_string};
use super::{Error, Result};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    /// As it stands in the text, and not looked into.
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Object<'a>),
}

/// The members of an object, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Node<'a> {
    pub(super) const NULL: Self = Self::Text(Cow::Borrowed("null"));
    /// An object without members.
    pub(super) const EMPTY: Self = Self::Object(Object(Vec::new()));
    pub(super) const TRUE: Self = Self::Text(Cow::Borrowed("true"));
    pub(super) const FALSE: Self = Self::Text(Cow::Borrowed("false"));

    /// A value that stands in a text, without space around it.
    pub(super) fn of(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A string that may need escapes.
    pub(super) fn string(text: &str) -> Self {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_string(&mut json, text);
        // What is written from a string is one.
        String::from_utf8(json).map_or(Self::NULL, |json| Self::Text(Cow::Owned(json)))
    }

    pub(super) fn bool(value: bool) -> Self {
        if value { Self::TRUE } else { Self::FALSE }
    }

    /// The members of an object.
    pub(super) fn object(self) -> Result<Object<'a>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Text(Cow::Borrowed(text)) => Object::read(&mut Scanner::new(text)),
            other => Err(other.other_type("an object")),
        }
    }

    /// The elements of a list.
    pub(super) fn list(self) -> Result<Vec<Self>> {
        match self {
            Self::List(list) => Ok(list),
            Self::Text(Cow::Borrowed(text)) => {
                let mut scan = Scanner::new(text);
                let (mut list, mut more) = (Vec::new(), scan.begin_list()?);
                while more {
                    list.push(Self::of(scan.skip()?));
                    more = scan.more(b']')?;
                }
                Ok(list)
            }
            other => Err(other.other_type("a list")),
        }
    }

    /// What a string says; `None` if the value is no string.
    pub(super) fn as_string(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) if text.starts_with('"') => Scanner::new(text).string().ok(),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Self::NULL
    }

    pub(super) fn is_true(&self) -> bool {
        *self == Self::TRUE
    }

    pub(super) fn is_object(&self) -> bool {
        match self {
            Self::Object(_) => true,
            Self::Text(text) => text.starts_with('{'),
            Self::List(_) => false,
        }
    }

    pub(super) fn is_list(&self) -> bool {
        match self {
            Self::List(_) => true,
            Self::Text(text) => text.starts_with('['),
            Self::Object(_) => false,
        }
    }

    /// Whether it is a list without elements.
    pub(super) fn is_empty_list(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Text(Cow::Borrowed(text)) => {
                Scanner::new(text).begin_list().is_ok_and(|has_elements| !has_elements)
            }
            Self::Text(Cow::Owned(_)) | Self::Object(_) => false,
        }
    }

    /// Whether it is the empty string.
    pub(super) fn is_empty_string(&self) -> bool {
        matches!(self, Self::Text(text) if text == "\"\"")
    }

    /// The error of a value that has another type than it should.
    pub(super) fn other_type(&self, expected: &str) -> Error {
        match self {
            Self::Text(text) => Scanner::new(text).other_type(expected),
            Self::List(_) => Error::invalid(format!("expected {expected}, found a list")),
            Self::Object(_) => Error::invalid(format!("expected {expected}, found an object")),
        }
    }

    /// Applies a change to each element of a list.
    pub(super) fn each(self, mut change: impl FnMut(Self) -> Result<Self>) -> Result<Self> {
        let elements = self.list()?.into_iter().enumerate();
        let changed = elements.map(|(index, element)| change(element).map_err(|error| error.at(index)));
        changed.collect::<Result<_>>().map(Self::List)
    }

    /// Applies a change to the value of each member.
    pub(super) fn each_member(self, mut change: impl FnMut(Self) -> Result<Self>) -> Result<Self> {
        let members = self.object()?.0.into_iter();
        let changed = members.map(|(name, value)| match change(value) {
            Ok(value) => Ok((name, value)),
            Err(error) => Err(error.within(&name)),
        });
        changed.collect::<Result<_>>().map(|members| Self::Object(Object(members)))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::List(list) => {
                out.push(b'[');
                for (index, element) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(Object(members)) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// So many members most objects have at the most.
const FEW: usize = 16;

impl<'a> Object<'a> {
    /// Reads an object where the scanner stands.
    pub(super) fn read(scan: &mut Scanner<'a>) -> Result<Self> {
        let mut object = Self(Vec::new());
        let mut names = HashSet::new();
        let mut more = scan.begin_object()?;
        while more {
            let name = scan.key()?;
            // A few names are compared faster than hashed.
            let twice = match object.0.len() {
                ..FEW => object.get(&name).is_some(),
                FEW => {
                    names.extend(object.0.iter().map(|(name, _)| name.clone()));
                    !names.insert(name.clone())
                }
                _ => !names.insert(name.clone()),
            };
            if twice {
                return Err(Error::invalid("given twice").within(&name));
            }
            object.push(name, Node::of(scan.skip()?));
            more = scan.more(b'}')?;
        }
        Ok(object)
    }

    /// Takes a member out, if it is there.
    pub(super) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    /// Takes a member out, if it is there and not null.
    pub(super) fn take_some(&mut self, name: &str) -> Option<Node<'a>> {
        self.take(name).filter(|value| !value.is_null())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Adds a member that is not there yet.
    pub(super) fn push(&mut self, name: impl Into<Cow<'a, str>>, value: Node<'a>) {
        self.0.push((name.into(), value));
    }

    /// Gives a member another name, if it is there and the other one is not.
    pub(super) fn rename(&mut self, name: &str, other: &'static str) {
        if self.get(other).is_none()
            && let Some(value) = self.take(name)
        {
            self.push(other, value);
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (Cow<'a, str>, Node<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_twice_is_found_among_few_and_many() {
        for count in [1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
            let members: Vec<String> = (0..count).map(|index| format!("\"m{index}\":{index}")).collect();
            let text = format!("{{{}}}", members.join(","));
            assert_eq!(Object::read(&mut Scanner::new(&text)).unwrap().names().count(), count);
            for again in [0, count - 1] {
                let text = format!("{{{},\"m{again}\":0}}", members.join(","));
                let error = Object::read(&mut Scanner::new(&text)).unwrap_err();
                assert_eq!(error.to_string(), format!("m{again}: given twice"));
            }
        }
    }
}
