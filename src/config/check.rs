//! Raw → checked: the grips with which each section reads its keys. Every key is looked at before a section gives up,
//! so that all mistakes are found in one go.

use std::collections::BTreeMap;

use super::{
    field::{Field, Located, OneOrMany, Pair, Pairs, Place, Texts},
    problem::{Problems, Refused, quote},
    words::LABEL_RULE,
};
use crate::a2a::{Home, Name, NameError};

/// What the sections need to know beside their own keys.
pub(super) struct Check<'a> {
    /// Where problems are written down.
    problems: &'a Problems,
    /// What completes short names.
    pub(super) home: Home,
    /// The meshes that names may be of; `None` if that is not known.
    meshes: Option<Vec<String>>,
}

impl<'a> Check<'a> {
    /// Names can be of any mesh until `knows` says more.
    pub(super) fn new(problems: &'a Problems, home: Home) -> Self {
        Self { problems, home, meshes: None }
    }

    /// From here on names must be of one of these meshes.
    pub(super) fn knows(&mut self, meshes: Vec<String>) {
        self.meshes = Some(meshes);
    }

    /// Writes down what is wrong at a place.
    pub(super) fn refuse(&self, place: &Place, what: &str) -> Refused {
        self.problems.add(place.at, format!("{}{what}", place.path));
        Refused
    }

    /// A key that may be left out.
    pub(super) fn optional<T>(
        &self,
        field: Field<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Refused> {
        field.optional()?.map(|text| self.read(&text, read)).transpose()
    }

    /// A key with a default.
    pub(super) fn or<T>(
        &self,
        default: T,
        field: Field<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Refused> {
        Ok(self.optional(field, read)?.unwrap_or(default))
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &self,
        owner: &Place,
        key: &str,
        field: Field<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Refused> {
        self.present(owner, key, field).and_then(|text| self.read(&text, read))
    }

    /// Whatever stands at a key that must be there.
    pub(super) fn present<T>(
        &self,
        owner: &Place,
        key: &str,
        field: Field<T>,
    ) -> Result<Located<T>, Refused> {
        field.optional()?.ok_or_else(|| self.refuse(&owner.below(key), " is missing"))
    }

    /// A list that may be left out.
    pub(super) fn list<T>(
        &self,
        field: Field<Texts>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Refused> {
        field.optional()?.map(|items| self.items(items.value.0, read)).transpose()
    }

    /// A list that, if it is there, must not be empty; `otherwise` is what to do instead.
    pub(super) fn filled<T>(
        &self,
        field: Field<Texts>,
        otherwise: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Refused> {
        match field.optional()? {
            Some(items) if items.value.0.is_empty() => {
                Err(self.refuse(&items.place, &format!(": an empty list; {otherwise}")))
            }
            Some(items) => self.items(items.value.0, read).map(Some),
            None => Ok(None),
        }
    }

    /// A list of at least one, or its only item. Empty only if the key is not there.
    pub(super) fn one_or_many<T>(
        &self,
        field: Field<OneOrMany>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<Located<T>>, Refused> {
        let Some(items) = field.optional()? else { return Ok(Vec::new()) };
        if items.value.0.is_empty() {
            return Err(self.refuse(&items.place, ": an empty list; leave the key out for its default"));
        }
        let each = items.value.0.into_iter().map(|item| {
            let text = item.optional()?.ok_or(Refused)?;
            let value = self.read(&text, &read)?;
            Ok(Located { place: text.place, value })
        });
        all(each)
    }

    /// A map by agent name.
    pub(super) fn by_name<T, U>(
        &self,
        field: Field<Pairs<T>>,
        read: impl Fn(Located<T>) -> Result<U, Refused>,
    ) -> Result<BTreeMap<Name, U>, Refused> {
        let Some(pairs) = field.optional()? else { return Ok(BTreeMap::new()) };
        let Sifted { good, mut outcome } = sift(pairs.value.0.into_iter().map(|Pair { key, value }| {
            let value = value.optional().and_then(|value| read(value.ok_or(Refused)?));
            let key = key.optional()?.ok_or(Refused)?;
            let name = self.read(&key, |text| self.name(text))?;
            Ok((Located { place: key.place, value: name }, value?))
        }));
        let mut map = BTreeMap::new();
        for (name, value) in good {
            if map.contains_key(&name.value) {
                outcome = Err(self.refuse(&name.place, ": this agent is there already"));
            }
            map.insert(name.value, value);
        }
        outcome.map(|()| map)
    }

    /// Reads the items of a list.
    fn items<T>(
        &self,
        items: Vec<Field<String>>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Refused> {
        all(items.into_iter().map(|item| self.read(&item.optional()?.ok_or(Refused)?, &read)))
    }

    /// Reads a list that is a value of a map.
    pub(super) fn some<T>(
        &self,
        items: Located<Texts>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Refused> {
        match items.value.0.is_empty() {
            true => Err(self.refuse(&items.place, ": an empty list; name at least one")),
            false => self.items(items.value.0, read),
        }
    }

    /// Reads a text.
    pub(super) fn read<T>(
        &self,
        text: &Located<String>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Refused> {
        read(&text.value)
            .map_err(|wrong| self.refuse(&text.place, &format!(": {} {wrong}", quote(&text.value))))
    }

    /// An agent's name, of a mesh that is known.
    fn name(&self, text: &str) -> Result<Name, String> {
        let name = Name::parse(text, &self.home).map_err(|error| match error {
            NameError::Label(_, label) => {
                format!("is no agent name: {label:?} is no DNS label ({LABEL_RULE})")
            }
            NameError::Shape(_) => {
                "is no agent name: write agent, agent.namespace or agent.namespace.mesh".to_owned()
            }
        })?;
        match &self.meshes {
            Some(meshes) if !meshes.iter().any(|mesh| mesh == name.mesh()) => Err(format!(
                "is of an unknown mesh: {:?} is neither mesh.name nor one of meshes",
                name.mesh()
            )),
            _ => Ok(name),
        }
    }
}

impl<T> Field<T> {
    /// What stands at the key, if the key is there.
    pub(super) fn optional(self) -> Result<Option<Located<T>>, Refused> {
        match self {
            Self::Absent => Ok(None),
            Self::Given(located) => Ok(Some(located)),
            Self::Refused => Err(Refused),
        }
    }

    /// Where the value stands, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Given(located) => Some(located.place.clone()),
            Self::Absent | Self::Refused => None,
        }
    }

    /// What stands at the key, or what it says when it is left out.
    pub(super) fn or_default(self) -> Result<T, Refused>
    where
        T: Default,
    {
        Ok(self.optional()?.map(|located| located.value).unwrap_or_default())
    }
}

impl Place {
    /// The place of a key that is not there: its owner's.
    fn below(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { at: self.at, path }
    }
}

/// All of them, each looked at even if one before it was refused.
pub(super) fn all<T>(each: impl Iterator<Item = Result<T, Refused>>) -> Result<Vec<T>, Refused> {
    let Sifted { good, outcome } = sift(each);
    outcome.map(|()| good)
}

/// What is left of many once they have been looked at.
pub(super) struct Sifted<T> {
    /// Those that are good, for further questions to them.
    pub(super) good: Vec<T>,
    /// Whether all were.
    pub(super) outcome: Result<(), Refused>,
}

/// Looks at all of them.
pub(super) fn sift<T>(each: impl Iterator<Item = Result<T, Refused>>) -> Sifted<T> {
    let mut good = Vec::new();
    let mut outcome = Ok(());
    for one in each {
        match one {
            Ok(one) => good.push(one),
            Err(refused) => outcome = Err(refused),
        }
    }
    Sifted { good, outcome }
}
