//! YAML as JSON, for who puts configurations together: every scalar stays the text that it was, and variables stay
//! unexpanded, so that the outcome means exactly what the YAML did.

use serde_json::{Map, Value};

use super::{
    problem::{Problems, Refused, quote},
    tree::{Kind, Node},
};

/// A node and all below it.
pub(super) fn json(node: Node, problems: &Problems) -> Result<Value, Refused> {
    match node.kind {
        Kind::List(items) => {
            let items: Vec<_> = items.into_iter().map(|item| json(item, problems)).collect();
            items.into_iter().collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::Map(entries) => {
            let mut map = Ok(Map::new());
            for (key, value) in entries {
                let value = json(value, problems);
                let Kind::Text(name) = key.kind else {
                    problems.add(key.at, "a key should be a word");
                    map = Err(Refused);
                    continue;
                };
                map = map.and_then(|mut map| {
                    if map.contains_key(&name) {
                        problems
                            .add(key.at, format!("{} is written twice; keep one of the two", quote(&name)));
                        return Err(Refused);
                    }
                    map.insert(name, value?);
                    Ok(map)
                });
            }
            map.map(Value::Object)
        }
        Kind::Null => Ok(Value::Null),
        // What is wrong with it is already written down.
        Kind::Refused => Err(Refused),
        Kind::Text(text) => Ok(Value::String(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::to_json;

    fn outcome(text: &str) -> Result<serde_json::Value, String> {
        to_json("part", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn scalars_stay_the_text_that_they_were() {
        let text = "{a: 1.10, b: on, c: 007, d: null, e: 'null', f: [1, '${X}'], g: {}}";
        let value =
            json!({"a": "1.10", "b": "on", "c": "007", "d": null, "e": "null", "f": ["1", "${X}"], "g": {}});
        assert_eq!(outcome(text), Ok(value));
        assert_eq!(outcome("# nothing\n"), Ok(serde_json::Value::Null));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, wrong) in [
            ("a: 1\na: 2", "part:2:1: \"a\" is written twice; keep one of the two"),
            ("? [a]\n: 1", "part:1:3: a key should be a word"),
            ("a: !!int 1", "part:1:10: tags (!name) are not read here; leave the tag out"),
        ] {
            assert_eq!(outcome(text), Err(wrong.to_owned()), "{text}");
        }
    }
}
