//! YAML text → a tree in which every key and value knows where it stands.
//!
//! Scalars stay as they are written: whether `2643` is a port or a name is for the reader of that key to say.

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, options};

use super::problem::{Mark, Problems, Refused};

/// A place in the document and what stands there.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: Mark,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a node can be.
#[derive(Debug)]
pub(super) enum Kind {
    /// Several nodes in a row.
    List(Vec<Node>),
    /// Keys with their values, duplicates included.
    Map(Vec<(Node, Node)>),
    /// Nothing, `~` or `null`.
    Null,
    /// Not to be used: what is wrong with it is already written down.
    Refused,
    /// A scalar.
    Text(String),
}

/// How deep a document may be nested: the config itself needs six levels.
const DEPTH: usize = 16;

/// Reads one YAML document. An empty one is `Ok(None)`.
pub(super) fn parse(text: &str, problems: &Problems) -> Result<Option<Node>, Refused> {
    let limits = options! { emit_comments: false, flow_nesting_limit: DEPTH, block_nesting_limit: DEPTH };
    let mut reader = Reader { parser: Parser::new_from_str_with_options(text, limits), text, problems };
    reader.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, Refused> {
        let mut document = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => {
                    return Ok(document.filter(|node: &Node| !matches!(node.kind, Kind::Null)));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if document.is_some() => {
                    self.problems.add(at, "a second YAML document begins here; a config file holds one");
                    return Err(Refused);
                }
                event => document = Some(self.node(event, at)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Mark), Refused> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, mark(&span.start))),
            Some(Err(error)) => {
                self.problems.add(mark(error.marker()), self.explain(&error));
                Err(Refused)
            }
            None => Ok((Event::StreamEnd, Mark::START)),
        }
    }

    /// The parser's own words, and advice where they are hard to make sense of.
    fn explain(&self, error: &ScanError) -> String {
        let line = self.text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        let advice = if indent.contains('\t') {
            "; indent with spaces, not with tabs"
        } else if line.contains("${") {
            "; inside { } and [ ] a value with ${...} needs quotes"
        } else {
            ""
        };
        format!("not YAML: {}{advice}", error.info())
    }

    fn node(&mut self, event: Event<'a>, at: Mark) -> Result<Node, Refused> {
        let (anchor, tagged, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, tag.is_some(), scalar(&text, style)),
            Event::SequenceStart(_, anchor, tag) => (anchor, tag.is_some(), self.list()?),
            Event::MappingStart(_, anchor, tag) => (anchor, tag.is_some(), self.map()?),
            Event::Alias(_) => {
                self.problems.add(at, "aliases (*name) are not read here; write the value out");
                (0, false, Kind::Refused)
            }
            _ => {
                self.problems.add(at, "not YAML: a value was expected");
                return Err(Refused);
            }
        };
        if anchor != 0 {
            self.problems
                .add(at, "anchors (&name) are not read here; write the value out where it is needed");
        }
        if tagged {
            self.problems.add(at, "tags (!name) are not read here; leave the tag out");
        }
        Ok(Node { at, kind })
    }

    fn list(&mut self) -> Result<Kind, Refused> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, at) => items.push(self.node(event, at)?),
            }
        }
    }

    fn map(&mut self) -> Result<Kind, Refused> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, _) => return Ok(Kind::Map(entries)),
                (event, at) => {
                    let key = self.node(event, at)?;
                    let (event, at) = self.next()?;
                    entries.push((key, self.node(event, at)?));
                }
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" if style == ScalarStyle::Plain => Kind::Null,
        text => Kind::Text(text.to_owned()),
    }
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, each node with its position.
    fn show(node: &Node) -> String {
        let Mark { line, column } = node.at;
        let inside = match &node.kind {
            Kind::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}={}", show(key), show(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
            Kind::Null => "null".to_owned(),
            Kind::Refused => "!".to_owned(),
            Kind::Text(text) => text.clone(),
        };
        format!("{inside}@{line}:{column}")
    }

    fn outcome(text: &str) -> (String, Vec<String>) {
        let problems = Problems::default();
        let shown = match parse(text, &problems) {
            Ok(Some(node)) => show(&node),
            Ok(None) => "empty".to_owned(),
            Err(Refused) => "refused".to_owned(),
        };
        (shown, problems.into_sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_node_knows_its_place_and_keeps_its_spelling() {
        let text = "---\n# ü\na: {b: [1.0, \"null\"], 'ü': 007}\nc:\nd: |\n  two\n  lines\n";
        let tree = "{a@3:1={b@3:5=[1.0@3:9 null@3:14]@3:8 ü@3:23=007@3:28}@3:4 c@4:1=null@4:2 d@5:1=two\nlines\n@6:3}@3:1";
        assert_eq!(outcome(text), (tree.to_owned(), vec![]));
    }

    #[test]
    fn an_empty_document_is_told_apart_from_a_wrong_one() {
        for text in ["", "\n\n", "# nothing\n", "---\n", "---\n~\n...\n", "null"] {
            assert_eq!(outcome(text), ("empty".to_owned(), vec![]), "{text:?}");
        }
        assert_eq!(outcome("---\n---\n").0, "refused");
        assert_eq!(outcome("''").0, "@1:1");
    }

    #[test]
    fn what_is_no_plain_tree_is_refused_where_it_stands() {
        for (text, problem) in [
            (
                "a: &x 1\nb: 2",
                "1:7: anchors (&name) are not read here; write the value out where it is needed",
            ),
            ("a: !!int 1", "1:10: tags (!name) are not read here; leave the tag out"),
            ("a: 1\n---\nb: 1", "3:1: a second YAML document begins here; a config file holds one"),
        ] {
            assert_eq!(outcome(text).1, [problem], "{text}");
        }
        assert_eq!(outcome("a: &x 1\nb: *x").1.len(), 2);
    }

    #[test]
    fn many_comments_are_no_problem_but_deep_nesting_is() {
        let comments = format!("a:\n{}  b: 1\n", "  # why\n".repeat(2_000));
        assert_eq!(outcome(&comments).1, Vec::<String>::new());
        for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            assert_eq!(outcome(&deep).1.len(), 1);
        }
    }
}
