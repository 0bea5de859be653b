//! What a pod says about the sidecar's container: its image, and what it may use.

use serde_json::{Map, Value};

use super::ask::Wishes;
use super::decision::Refusal;

/// The annotations, and where they go.
const AMOUNTS: [(&str, &str, &str); 4] = [
    ("cpu-request", "requests", "cpu"),
    ("memory-request", "requests", "memory"),
    ("cpu-limit", "limits", "cpu"),
    ("memory-limit", "limits", "memory"),
];

/// What may stand behind the number of a quantity.
const SUFFIXES: [&str; 15] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi"];

/// Puts the wishes of a pod into the container.
pub(super) fn apply(
    mut container: Map<String, Value>,
    wishes: &Wishes<'_>,
) -> Result<Map<String, Value>, Refusal> {
    if let Some(image) = wishes.get("image") {
        if image.is_empty() || image.contains(char::is_whitespace) {
            return Err(Refusal::annotation("image", &format!("{image:?} is no image")));
        }
        container.insert("image".to_owned(), image.into());
    }
    for (wish, kind, resource) in AMOUNTS {
        let Some(amount) = wishes.get(wish) else { continue };
        if !is_quantity(amount) {
            let what = format!("{amount:?} is no quantity: write such as 100m for cpu, 64Mi for memory");
            return Err(Refusal::annotation(wish, &what));
        }
        let resources = container.entry("resources").or_insert_with(|| Map::new().into());
        if resources.get(kind).is_none()
            && let Some(resources) = resources.as_object_mut()
        {
            resources.insert(kind.to_owned(), Map::new().into());
        }
        if let Some(kind) = resources.get_mut(kind).and_then(Value::as_object_mut) {
            kind.insert(resource.to_owned(), amount.into());
        }
    }
    Ok(container)
}

/// Whether Kubernetes can read it: a number with digits, perhaps a point, and a unit.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let (number, _) = text.split_at(text.len() - unit.len());
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let points = number.len() - digits;
    digits > 0 && points <= 1 && SUFFIXES.contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_and_a_unit() {
        for text in ["1", "0.5", "100m", "64Mi", "1Gi", ".5", "2."] {
            assert!(is_quantity(text), "{text}");
        }
        for text in ["", "m", "-1", "64 Mi", "64MB", "1.2.3", "a lot", "1mi"] {
            assert!(!is_quantity(text), "{text}");
        }
    }
}
