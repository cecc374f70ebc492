//! The order of tensors: by name, with numbers as numbers.

/// What names are sorted by.
pub(super) fn key(name: &str) -> Vec<Part> {
    let part = |part: &str| match part.parse() {
        Ok(number) => Part::Number(number),
        Err(_) => Part::Word(part.to_owned()),
    };
    name.split('.').map(part).collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Number(u64),
    Word(String),
}
