//! What a model's name says about it: `Org/Base-7B-Instruct-v0.3` taken apart as gguf-py does.

/// The parts of a model's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelId {
    /// The whole name without the organization.
    pub(super) full_name: String,
    pub(super) organization: Option<String>,
    pub(super) basename: Option<String>,
    pub(super) finetune: Option<String>,
    pub(super) version: Option<String>,
    pub(super) size_label: Option<String>,
}

/// One part between hyphens, and what it may be.
struct Part {
    text: String,
    basename: bool,
    size: bool,
    finetune: bool,
    version: bool,
    quantization: bool,
    /// What kind of file it is, which is known.
    kind: bool,
}

impl Part {
    fn unknown(&self) -> bool {
        !(self.basename
            || self.size
            || self.finetune
            || self.version
            || self.quantization
            || self.kind)
    }
}

/// Takes a name apart. `parameters` is the model's number of elements, 0 if unknown, negative for an
/// adapter, which may change only a part of the model: it tells a size from a context length.
pub(super) fn parse(id: &str, parameters: i64) -> ModelId {
    if id.contains(' ') {
        return ModelId {
            full_name: id.to_owned(),
            ..ModelId::default()
        };
    }
    let (organization, full_name) = match id.split_once('/') {
        Some((organization, name)) => (Some(organization), name),
        None => (None, id),
    };
    let organization = organization.filter(|name| !name.starts_with('.'));
    let named = full_name.split('-').filter(|part| !part.is_empty());
    let mut parts: Vec<Part> = named
        .enumerate()
        .map(|(i, text)| annotate(text, i == 0, parameters))
        .collect();
    prefer_numbers(&mut parts);
    find_basename(&mut parts);
    let join = |chosen: &dyn Fn(&Part) -> bool| {
        let texts = parts.iter().filter(|part| chosen(part));
        joined(texts.map(|part| part.text.as_str()))
    };
    let size_label = {
        let mut seen = Vec::new();
        for part in parts.iter().filter(|part| part.size) {
            if !seen.contains(&part.text.as_str()) {
                seen.push(&part.text);
            }
        }
        joined(seen)
    };
    let finetune = join(&|part| part.finetune);
    let version = join(&|part| part.version && !part.basename);
    let telling = size_label.is_some() || finetune.is_some() || version.is_some();
    ModelId {
        full_name: full_name.to_owned(),
        organization: organization.map(str::to_owned),
        basename: join(&|part| part.basename).filter(|_| telling),
        finetune,
        version,
        size_label,
    }
}

fn joined<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let texts: Vec<_> = texts.into_iter().collect();
    (!texts.is_empty()).then(|| texts.join("-"))
}

/// Says what a part may be by its own looks.
fn annotate(text: &str, first: bool, parameters: i64) -> Part {
    let lower = text.to_ascii_lowercase();
    let mut part = Part {
        text: text.to_owned(),
        basename: false,
        size: false,
        finetune: false,
        version: false,
        quantization: false,
        kind: false,
    };
    if is_version(&lower) {
        part.version = true;
    } else if is_quantization(&lower) {
        part.quantization = true;
        part.text = text.to_uppercase();
    } else if !first && is_size(&lower) {
        let size = normal_size(text);
        match counts_something_else(&size, parameters) {
            true => {
                part.finetune = true;
                part.text = lower_last(&size);
            }
            false => {
                part.size = true;
                part.text = size;
            }
        }
    } else if !first && parameters < 0 && lower == "lora" {
        part.kind = true;
    } else if !first && matches!(&*lower, "chat" | "instruct" | "vision" | "lora") {
        part.finetune = true;
    }
    part
}

/// Sizes in words do not count beside sizes in numbers.
fn prefer_numbers(parts: &mut [Part]) {
    let digit = |part: &Part| part.text.chars().any(char::is_numeric);
    if parts.iter().any(|part| part.size && digit(part)) {
        for part in parts {
            part.size &= !part.text.chars().all(char::is_alphabetic);
        }
    }
}

/// The basename is what stands in front, without the version that ends it; what is still unknown
/// behind it is a finetune.
fn find_basename(parts: &mut [Part]) {
    let mut at_start = true;
    for part in parts.iter_mut() {
        let alphabetic = part.text.starts_with(char::is_alphabetic);
        if at_start && ((part.unknown() && alphabetic) || part.version) {
            part.basename = true;
        } else {
            at_start = false;
            part.finetune |= part.unknown();
        }
    }
    for part in parts.iter_mut().rev() {
        if !(part.basename && part.version) {
            break;
        }
        part.basename = false;
    }
}

/// Splits off what `accept` takes from the front.
fn take(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accept(c)).unwrap_or(text.len()))
}

fn digits(text: &str) -> Option<&str> {
    let (number, rest) = take(text, |c| c.is_ascii_digit());
    (!number.is_empty()).then_some(rest)
}

/// `v1`, `iter3`, `2.5`: numbers with dots, perhaps after `v` or `iter`.
fn is_version(lower: &str) -> bool {
    let number = lower.strip_prefix("iter").or(lower.strip_prefix('v'));
    number
        .unwrap_or(lower)
        .split('.')
        .all(|part| digits(part) == Some(""))
}

/// `q4_k`, `iq2_x`, `fp16`, `bf16`, `f32`.
fn is_quantization(lower: &str) -> bool {
    let float = lower.strip_prefix('b').unwrap_or(lower);
    let float = float
        .strip_prefix('f')
        .map(|f| f.strip_prefix('p').unwrap_or(f));
    if matches!(float, Some("16" | "32")) {
        return true;
    }
    let block = lower.strip_prefix('i').unwrap_or(lower).strip_prefix('q');
    let mut rest = match block.map(str::chars) {
        Some(chars) => chars,
        None => return false,
    };
    if !rest.next().is_some_and(|c| c.is_ascii_digit()) {
        return false;
    }
    while let Some(c) = rest.next() {
        let word = rest.next().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if c != '_' || !word {
            return false;
        }
    }
    true
}

/// `7b`, `8x7B`, `A3B`, `1_5b`, `7b1`, `small`, `xxl`.
fn is_size(lower: &str) -> bool {
    if matches!(lower, "small" | "mini" | "medium" | "large" | "xl" | "xxl") {
        return true;
    }
    let experts = digits(lower).and_then(|rest| rest.strip_prefix('x'));
    let active = lower.strip_prefix('a');
    [Some(lower), experts, active]
        .into_iter()
        .flatten()
        .any(|number| {
            let Some(rest) = digits(number) else {
                return false;
            };
            let fraction = rest.strip_prefix(['.', '_']).and_then(digits);
            let mut unit = fraction.unwrap_or(rest).chars();
            matches!(unit.next(), Some('k' | 'm' | 'b' | 't'))
                && unit.next().is_none_or(|c| c.is_ascii_digit())
                && unit.next().is_none()
        })
}

/// A size with a dot and a capital unit behind: `7b1` becomes `7.1B`.
fn normal_size(text: &str) -> String {
    let mut size: Vec<char> = text.replace('_', ".").chars().collect();
    if let [front @ .., unit, decimal] = &size[..]
        && decimal.is_ascii_digit()
    {
        let mut moved = front.to_vec();
        moved.extend(['.', *decimal, *unit]);
        size = moved;
    }
    if let [.., digit, unit] = &mut size[..]
        && digit.is_ascii_digit()
    {
        unit.make_ascii_uppercase();
    }
    size.into_iter().collect()
}

fn lower_last(size: &str) -> String {
    let mut chars: Vec<char> = size.chars().collect();
    if let Some(last) = chars.last_mut() {
        last.make_ascii_lowercase();
    }
    chars.into_iter().collect()
}

/// Whether a size is far from the model's: then it is a context length or the like.
fn counts_something_else(size: &str, parameters: i64) -> bool {
    let Some(unit) = size.chars().last() else {
        return false;
    };
    let number = size[..size.len() - unit.len_utf8()].parse::<f64>();
    let (Ok(number), true) = (number, parameters != 0) else {
        return false;
    };
    let power = match unit {
        'K' => 1,
        'M' => 2,
        'B' => 3,
        'T' => 4,
        _ => 0,
    };
    let claimed = number * 1000f64.powi(power);
    let count = u128::from(parameters.unsigned_abs());
    match parameters > 0 {
        true => (claimed - count as f64).abs() > (count * 7 / 8) as f64,
        false => claimed < (count / 8) as f64,
    }
}

/// A name as a title: words in lower case get capitals, versions and acronyms stay.
pub(super) fn title(name: &str) -> String {
    let spaced = name.replace('-', " ");
    let words = spaced.split_whitespace().map(|word| {
        let lower = word.chars().any(cased) && !word.chars().any(char::is_uppercase);
        let version = word.starts_with(|c: char| c.is_ascii_digit())
            || word.strip_prefix('v').is_some_and(is_version);
        match lower && !version {
            true => capitalize(word),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Capitals wherever a run of cased letters begins, as Python's `str.title`.
fn capitalize(word: &str) -> String {
    let mut inside = false;
    let mut title = String::with_capacity(word.len());
    for c in word.chars() {
        match inside {
            true => title.push(c),
            false => title.extend(c.to_uppercase()),
        }
        inside = cased(c);
    }
    title
}

fn cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, parameters, then basename, finetune, version, size label.
    type Case = (&'static str, i64, [Option<&'static str>; 4]);

    #[test]
    fn names_are_taken_apart() {
        let b = 1_000_000_000;
        let cases: &[Case] = &[
            (
                "Mistral-7B-Instruct-v0.3",
                7 * b,
                [Some("Mistral"), Some("Instruct"), Some("v0.3"), Some("7B")],
            ),
            (
                "Mixtral-8x7B-v0.1",
                46 * b,
                [Some("Mixtral"), None, Some("v0.1"), Some("8x7B")],
            ),
            (
                "bloom-7b1-petals",
                7 * b,
                [Some("bloom"), Some("petals"), None, Some("7.1B")],
            ),
            (
                "Phi-3-mini-4k-instruct",
                4 * b,
                [Some("Phi-3"), Some("4k-instruct"), None, Some("mini")],
            ),
            (
                "tiny-llama-2m",
                1_700_000,
                [Some("tiny-llama"), None, None, Some("2M")],
            ),
            ("model-Q4_K-fp16", 0, [None, None, None, None]),
            (
                "all-MiniLM-L6-v2",
                0,
                [Some("all-MiniLM-L6"), None, Some("v2"), None],
            ),
            ("plain", 0, [None, None, None, None]),
            ("a normal sentence", 0, [None, None, None, None]),
            ("7B-chat", 7 * b, [None, Some("7B-chat"), None, None]),
            (
                "Base-7B-4k-LoRA",
                -2 * b,
                [Some("Base"), Some("4k"), None, Some("7B")],
            ),
        ];
        for (name, parameters, expected) in cases {
            let id = parse(name, *parameters);
            let parts = [&id.basename, &id.finetune, &id.version, &id.size_label];
            assert_eq!(parts.map(|part| part.as_deref()), *expected, "{name}");
        }
    }

    #[test]
    fn organizations_are_not_folders() {
        assert_eq!(parse("org/a", 0).organization.as_deref(), Some("org"));
        assert_eq!(parse("./a", 0).organization, None);
        assert_eq!(parse("a/b/c", 0).full_name, "b/c");
    }

    #[test]
    fn titles_keep_versions_and_acronyms() {
        for (name, expected) in [
            ("tiny-llama-2m", "Tiny Llama 2m"),
            ("qwen2.5-coder-v1.0", "Qwen2.5 Coder v1.0"),
            ("all-MiniLM-L6-v2", "All MiniLM L6 v2"),
            ("v2x-a1b", "V2X A1B"),
        ] {
            assert_eq!(title(name), expected);
        }
    }
}
