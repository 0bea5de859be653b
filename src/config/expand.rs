//! `${VAR}` inside a scalar. This happens after parsing, so that a value can never become YAML.

/// The environment, as whoever starts the program sees it.
pub(super) trait Variables {
    /// The value of a variable, if it is set.
    fn value(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn value(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Puts the environment's values in place: `${NAME}` is the variable's value, `$$` one dollar sign.
///
/// # Errors
/// All that is wrong with the text, each as a phrase: variables that are not set, and dollar signs that begin neither.
pub(super) fn expand(text: &str, env: &dyn Variables) -> Result<String, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            rest = after;
            if !is_variable(name) {
                wrong.push(format!("${{{name}}} names no variable; a name is letters, digits and _"));
            } else if let Some(value) = env.value(name) {
                out.push_str(&value);
            } else {
                wrong.push(format!("the variable {name} is not set"));
            }
        } else {
            wrong.push("a lone $; write ${NAME} for a variable, $$ for a dollar sign".to_owned());
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "NS" => Some("travel".to_owned()),
            "ODD" => Some("${NS}: [$".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn a_variable_is_replaced_once_and_its_value_is_not_read_again() {
        for (text, value) in [
            ("plain", "plain"),
            ("${NS}", "travel"),
            ("a.${NS}.b.${NS}", "a.travel.b.travel"),
            ("$$", "$"),
            ("$${NS}", "${NS}"),
            ("$$$$x$$", "$$x$"),
            ("<${EMPTY}>", "<>"),
            ("${ODD}", "${NS}: [$"),
        ] {
            assert_eq!(expand(text, &env), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_named() {
        let lone = "a lone $; write ${NAME} for a variable, $$ for a dollar sign";
        for (text, wrong) in [
            ("${A} ${NS} ${B}", vec!["the variable A is not set", "the variable B is not set"]),
            ("$NS", vec![lone]),
            ("$", vec![lone]),
            ("${NS", vec![lone]),
            ("${}", vec!["${} names no variable; a name is letters, digits and _"]),
            ("${NS:-x}", vec!["${NS:-x} names no variable; a name is letters, digits and _"]),
            ("${1}", vec!["${1} names no variable; a name is letters, digits and _"]),
        ] {
            assert_eq!(expand(text, &env).unwrap_err(), wrong, "{text}");
        }
    }
}
