//! The shape of the house: imports point down, every file says what it is for, and none grows too long.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms from the ground up. A room may use those before it; within a level, that is those to its left.
const ROOMS: [&str; 26] = [
    "proto",
    "a2a", // words
    "codec",
    "task",
    "drain",
    "telemetry",
    "identity",
    "tls",
    "net", // ground
    "discovery",
    "balance",
    "policy",
    "card",
    "binding", // abilities
    "outbound",
    "inbound",
    "gateway", // paths
    "admin",
    "directory",
    "kube", // programs
    "config",
    "app",
    "demo",
    "cli",
    "main",
    "bin", // composition
];

const LINES_MAX: usize = 500;

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn rust_sources(dir: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root).unwrap().to_owned(), text)
    };
    sources(&root.join(dir)).into_iter().filter(rust).map(read).collect()
}

/// The room that a file under `src/` belongs to.
fn room(path: &Path) -> String {
    let first = path.iter().nth(1).unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The rooms that a file names, in its imports and in its paths. What only tests use does not count.
fn used(text: &str) -> Vec<String> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        // `use crate::{a, b::c};` names one room for each item.
        let items = rest.strip_prefix('{').map_or_else(|| vec![rest], split_items);
        for item in items {
            let name =
                item.trim_start().split(|letter: char| !letter.is_alphanumeric() && letter != '_').next();
            used.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    used
}

/// The items of a list of imports, up to its closing brace.
fn split_items(list: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn imports_point_down() {
    let level = |name: &str| ROOMS.iter().position(|room| *room == name);
    let mut uphill = Vec::new();
    for (path, text) in rust_sources("src") {
        let room = room(&path);
        if room == "lib" || path.ends_with("tests.rs") {
            continue;
        }
        let own =
            level(&room).unwrap_or_else(|| panic!("{}: the room {room} is not on the list", path.display()));
        for used in used(&text) {
            match level(&used) {
                Some(other) if other <= own => {}
                Some(_) => uphill.push(format!("{}: {room} uses {used}, which is above it", path.display())),
                None => uphill.push(format!("{}: {used} is no room", path.display())),
            }
        }
    }
    assert!(uphill.is_empty(), "{}", uphill.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    let mut wrong = Vec::new();
    for (path, text) in ["src", "tests"].into_iter().flat_map(rust_sources) {
        if !text.starts_with("//!") {
            wrong.push(format!("{}: no //! line at its top", path.display()));
        }
        if text.lines().count() > LINES_MAX {
            wrong.push(format!("{}: more than {LINES_MAX} lines", path.display()));
        }
        if path.ends_with("mod.rs") {
            wrong.push(format!("{}: write foo.rs and foo/, not foo/mod.rs", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_finds_every_room() {
    let text =
        "use crate::a2a::Name;\nuse crate::{codec::{wire, text}, net};\nfn f() { crate::tls::peer() }\n";
    assert_eq!(used(text), ["a2a", "codec", "net", "tls"]);
}
