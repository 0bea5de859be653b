//! Tables that say how an object of 0.3 and one of 1.0 stand for each other, and the two ways over them.
//!
//! What 0.3 says and 1.0 cannot is kept in the object's member [`KEPT`], which the codec carries in field 52604. It comes
//! out again where 0.3 is written, and nowhere else.

use super::super::tree::{Node, Object};
use super::super::{Error, KEPT, Result};
use super::time;

/// Where 0.3 is spoken: its two bindings spell the same things differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::codec) enum Spelling {
    /// JSON-RPC: the JSON Schema of 0.3.
    Rpc,
    /// HTTP+JSON: `ProtoJSON` of the old package `a2a.v1`.
    Rest,
}

/// An object in both dialects.
pub(super) struct Shape {
    /// What its member `kind` says in JSON-RPC, if it has one.
    pub(super) kind: Option<&'static str>,
    pub(super) members: &'static [Member],
    /// What the table cannot say.
    pub(super) odd: Option<&'static Odd>,
}

/// A member in both dialects.
pub(super) struct Member {
    pub(super) v0_3: &'static str,
    pub(super) v1_0: &'static str,
    pub(super) rule: Rule,
}

/// How the value of a member goes over.
pub(super) enum Rule {
    /// An object for each name.
    ByName(&'static Shape),
    /// A list of objects.
    Each(&'static Shape),
    /// A text that 0.3 never leaves empty: nothing, instead.
    Filled,
    /// An object.
    Object(&'static Shape),
    /// Only 0.3 has it.
    Only,
    /// A text that 0.3 must have, even empty.
    Required,
    /// As it is.
    Same,
    /// A moment.
    Time,
    /// One word of a few.
    Word(&'static Words),
}

/// The words of an enum.
pub(super) struct Words {
    /// What 0.3 says when 1.0 says nothing that it knows.
    pub(super) otherwise: &'static str,
    /// In JSON-RPC 0.3, in 1.0, and in HTTP+JSON 0.3.
    pub(super) words: &'static [(&'static str, &'static str, &'static str)],
}

/// What a table cannot say about an object.
pub(super) struct Odd {
    /// The names that it knows in 0.3, beside those of the table.
    pub(super) names: &'static [&'static str],
    /// Goes before the table: takes what it knows from 0.3, and puts it into 1.0.
    pub(super) up: for<'a> fn(&mut Up<'a>) -> Result<()>,
    /// Goes after the table, the other way.
    pub(super) down: for<'a> fn(&mut Down<'a>) -> Result<()>,
}

/// An object on its way from 0.3.
pub(super) struct Up<'a> {
    pub(super) v0_3: Object<'a>,
    pub(super) v1_0: Object<'a>,
    pub(super) kept: Object<'a>,
    pub(super) spelling: Spelling,
}

/// An object on its way to 0.3.
pub(super) struct Down<'a> {
    pub(super) v1_0: Object<'a>,
    pub(super) v0_3: Object<'a>,
    pub(super) kept: Object<'a>,
    pub(super) spelling: Spelling,
}

pub(super) const fn member(v0_3: &'static str, v1_0: &'static str, rule: Rule) -> Member {
    Member { v0_3, v1_0, rule }
}

/// A member of the same name.
pub(super) const fn same(name: &'static str, rule: Rule) -> Member {
    Member { v0_3: name, v1_0: name, rule }
}

/// Takes over the members of an object of 0.3 that 1.0 has one level further out; what is kept of it is kept under its name.
pub(super) fn take_over<'a>(name: &'static str, nested: Node<'a>, up: &mut Up<'a>) -> Result<()> {
    for (member, value) in nested.object()? {
        if member == KEPT {
            up.kept.push(name, value);
        } else {
            up.v1_0.push(member, value);
        }
    }
    Ok(())
}

impl Shape {
    /// An object of 0.3 as one of 1.0.
    pub(super) fn up<'a>(&self, value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
        let (v0_3, v1_0, kept) = (value.object()?, Object::default(), Object::default());
        let mut up = Up { v0_3, v1_0, kept, spelling };
        self.recognize(&mut up.v0_3)?;
        if self.kind.is_some() {
            up.v0_3.take("kind");
        }
        if let Some(odd) = self.odd {
            (odd.up)(&mut up)?;
        }
        for member in self.members {
            member.up(&mut up).map_err(|error| error.within(member.v0_3))?;
        }
        let Up { v0_3, mut v1_0, mut kept, .. } = up;
        for (name, value) in v0_3 {
            if self.names().any(|known| known == name) {
                return Err(Error::invalid("given beside another name of the same").within(&name));
            }
            kept.push(name, value);
        }
        if !kept.is_empty() {
            v1_0.push(KEPT, Node::Object(kept));
        }
        Ok(Node::Object(v1_0))
    }

    /// An object of 1.0 as one of 0.3.
    pub(super) fn down<'a>(&self, value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
        let mut v1_0 = value.object()?;
        let kept = v1_0.take(KEPT).map_or_else(|| Ok(Object::default()), Node::object)?;
        let mut down = Down { v1_0, v0_3: Object::default(), kept, spelling };
        if let (Some(kind), Spelling::Rpc) = (self.kind, spelling) {
            down.v0_3.push("kind", Node::string(kind));
        }
        for member in self.members {
            member.down(&mut down).map_err(|error| error.within(member.v1_0))?;
        }
        if let Some(odd) = self.odd {
            (odd.down)(&mut down)?;
        }
        let Down { mut v0_3, kept, .. } = down;
        for (name, value) in kept {
            if self.like(&name).is_some() {
                let what = "kept from 0.3, which has a member of its own of that name";
                return Err(Error::invalid(what).within(&name));
            }
            v0_3.push(name, value);
        }
        Ok(Node::Object(v0_3))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let odd = self.odd.map_or(&[][..], |odd| odd.names);
        self.members
            .iter()
            .map(|member| member.v0_3)
            .chain(odd.iter().copied())
            .chain(self.kind.map(|_| "kind"))
    }

    /// The known name that differs from another one in case and underscores alone. Letters beyond ASCII count as what they are
    /// in another case.
    fn like(&self, name: &str) -> Option<&'static str> {
        let letters = name.chars().filter(|letter| *letter != '_');
        let folded: String = letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        let plain = |known: &'static str| {
            known.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase())
        };
        self.names().find(|known| plain(known).eq(folded.bytes()))
    }

    /// Gives members in `snake_case`, which some SDKs accept, their names. What is only like a name is refused: nothing may
    /// be smuggled past who looks at the known members.
    fn recognize(&self, object: &mut Object<'_>) -> Result<()> {
        let strange = |name: &&str| !self.names().any(|known| known == *name);
        let strange: Vec<String> = object.names().filter(strange).map(str::to_owned).collect();
        for name in strange {
            let Some(known) = self.like(&name) else { continue };
            let alias = is_snake(&name, known) || is_snake(known, &name);
            if !alias || object.get(known).is_some() {
                let what = format!("unknown, and too like {known} to be kept");
                return Err(Error::invalid(what).within(&name));
            }
            object.rename(&name, known);
        }
        Ok(())
    }
}

impl Member {
    fn up(&self, up: &mut Up<'_>) -> Result<()> {
        let Some(value) = up.v0_3.take_some(self.v0_3) else { return Ok(()) };
        let spelling = up.spelling;
        let value = match self.rule {
            Rule::ByName(shape) => value.each_member(|value| shape.up(value, spelling))?,
            Rule::Each(shape) => value.each(|value| shape.up(value, spelling))?,
            Rule::Object(shape) => shape.up(value, spelling)?,
            Rule::Same | Rule::Required => value,
            Rule::Filled if !value.is_empty_string() => value,
            Rule::Filled | Rule::Only => {
                up.kept.push(self.v0_3, value);
                return Ok(());
            }
            Rule::Time => return time::up(self, value, up),
            Rule::Word(words) => match words.up(&value)? {
                Some(word) => word,
                None => {
                    up.kept.push(self.v0_3, value);
                    return Ok(());
                }
            },
        };
        up.v1_0.push(self.v1_0, value);
        Ok(())
    }

    fn down(&self, down: &mut Down<'_>) -> Result<()> {
        let value = down.v1_0.take_some(self.v1_0);
        let spelling = down.spelling;
        let value = match self.rule {
            Rule::ByName(shape) => {
                value.map(|value| value.each_member(|value| shape.down(value, spelling))).transpose()?
            }
            Rule::Each(shape) => {
                value.map(|value| value.each(|value| shape.down(value, spelling))).transpose()?
            }
            Rule::Object(shape) => value.map(|value| shape.down(value, spelling)).transpose()?,
            Rule::Same => value,
            Rule::Required => value.or_else(|| Some(Node::string(""))),
            Rule::Filled => match value {
                Some(value) if !value.is_empty_string() => Some(value),
                // It was empty where it came from, too.
                _ => down.kept.take(self.v0_3).filter(Node::is_empty_string),
            },
            Rule::Only => down.kept.take(self.v0_3),
            Rule::Time => time::down(value, down.kept.take(self.v0_3)),
            Rule::Word(words) => Some(words.down(value.as_ref(), down.kept.take(self.v0_3), spelling)),
        };
        if let Some(value) = value {
            down.v0_3.push(self.v0_3, value);
        }
        Ok(())
    }
}

impl Words {
    /// The word of 1.0 for one of 0.3, if it is known.
    fn up(&self, value: &Node<'_>) -> Result<Option<Node<'static>>> {
        let text = value.as_string().ok_or_else(|| value.other_type("a string"))?;
        let known =
            self.words.iter().find(|(rpc, new, rest)| [rpc, new, rest].iter().any(|word| **word == text));
        Ok(known.map(|(_, new, _)| Node::string(new)))
    }

    /// The word of 0.3: for that of 1.0, else the one that was kept, if it is none of ours.
    fn down<'a>(&self, value: Option<&Node<'a>>, kept: Option<Node<'a>>, spelling: Spelling) -> Node<'a> {
        let text = value.and_then(Node::as_string);
        let word = text.and_then(|text| self.words.iter().find(|(_, new, _)| *new == text));
        let kept = kept.filter(|kept| matches!(self.up(kept), Ok(None)));
        match (word, kept) {
            (None, Some(kept)) => kept,
            (word, _) => {
                let otherwise = || self.words.iter().find(|(rpc, ..)| *rpc == self.otherwise);
                let (rpc, _, rest) = word.or_else(otherwise).copied().unwrap_or_default();
                Node::string(if spelling == Spelling::Rpc { rpc } else { rest })
            }
        }
    }
}

/// Whether a name is a known one in `snake_case`.
fn is_snake(name: &str, known: &str) -> bool {
    let mut letters = name.chars();
    let same = known.chars().all(|letter| {
        if letter.is_ascii_uppercase() {
            letters.next() == Some('_') && letters.next() == Some(letter.to_ascii_lowercase())
        } else {
            letters.next() == Some(letter)
        }
    });
    same && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_other_spellings_are_told_apart() {
        static SHAPE: Shape = Shape {
            kind: Some("thing"),
            members: &[same("contextId", Rule::Same), same("taskId", Rule::Same)],
            odd: None,
        };
        assert!(is_snake("context_id", "contextId"));
        for other in ["contextId", "context_Id", "context__id", "context_id_", "_context_id"] {
            assert!(!is_snake(other, "contextId"), "{other}");
            assert_eq!(SHAPE.like(other), Some("contextId"), "{other}");
        }
        assert_eq!(
            ["taſkId", "KIND", "tasks"].map(|name| SHAPE.like(name)),
            [Some("taskId"), Some("kind"), None]
        );
    }
}
