//! The merges of a BPE vocabulary as strings of two halves with a space between.

use super::files::Files;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::model::StringArray;
use serde_json::Value;

/// The merges of `tokenizer.json`, or else of `merges.txt`.
///
/// # Errors
/// `malformed` for merges of neither of the two known forms.
pub(super) fn load(folder: &Folder, files: &Files) -> Result<Option<StringArray>> {
    let listed = files.model().and_then(|model| model.get("merges"));
    if let Some(merges) = listed.and_then(Value::as_array).filter(|m| !m.is_empty()) {
        return from_json(merges)
            .map(Some)
            .ok_or_else(|| bad_merges().in_file(folder.path().join("tokenizer.json")));
    }
    Ok(folder.text("merges.txt")?.map(|text| from_text(&text)))
}

fn bad_merges() -> Error {
    Error::malformed("the merges are neither strings nor pairs of strings").in_key("model.merges")
}

/// Either all merges are strings, or (since tokens may hold spaces) all are pairs.
fn from_json(merges: &[Value]) -> Option<StringArray> {
    let as_strings = merges[0].is_string();
    merges
        .iter()
        .map(|merge| match merge {
            Value::String(merge) if as_strings => Some(merge.clone()),
            Value::Array(pair) if !as_strings => from_pair(pair),
            _ => None,
        })
        .collect()
}

/// Joins the halves; spaces inside them become what byte-level BPE shows spaces as.
fn from_pair(pair: &[Value]) -> Option<String> {
    let [left, right] = pair else { return None };
    let half = |half: &Value| Some(half.as_str()?.replace(' ', "\u{120}"));
    Some(format!("{} {}", half(left)?, half(right)?))
}

/// The lines of a `merges.txt` that have two words; the first line may be a comment.
fn from_text(text: &str) -> StringArray {
    let first = text.lines().next().unwrap_or_default();
    let skip = usize::from(first.trim_start_matches(is_python_space).starts_with('#'));
    text.lines()
        .skip(skip)
        .filter_map(|line| {
            let mut words = line.split(is_python_space).filter(|word| !word.is_empty());
            match (words.next(), words.next(), words.next()) {
                (Some(left), Some(right), None) => Some(format!("{left} {right}")),
                _ => None,
            }
        })
        .collect()
}

/// Unicode white space and, as in Python, the four ASCII separators.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(merges: Value) -> Option<Vec<String>> {
        let merges = from_json(merges.as_array()?)?;
        Some(merges.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_forms_are_known() {
        assert_eq!(parse(json!(["a b", "ab c"])).unwrap(), ["a b", "ab c"]);
        assert_eq!(
            parse(json!([["a", "b"], ["a ", "c"]])).unwrap(),
            ["a b", "aĠ c"]
        );
        for bad in [
            json!([1]),
            json!([["a"]]),
            json!(["a b", ["a", "b"]]),
            json!([["a", 1]]),
        ] {
            assert!(parse(bad.clone()).is_none(), "{bad}");
        }
    }

    #[test]
    fn text_lines_have_two_words() {
        let lines = |text| {
            from_text(text)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines("#version: 0.2\na b\n\n# c\nd e f\n g\th \n"),
            ["a b", "# c", "g h"]
        );
        assert_eq!(lines("a b\n#x y\n"), ["a b", "#x y"]);
    }
}
