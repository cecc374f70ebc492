//! The front matter of a model card: YAML between two `---` lines at the top of README.md.
//!
//! PyYAML reads it for the converter, by YAML 1.1: `yes`, `12:30` and `2024-01-01` are no texts.

use crate::error::{Error, Result};
use crate::format::hf::Folder;
use indexmap::IndexMap;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// A YAML value, as far as a model card needs it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Card),
    /// A boolean, number or date; whether Python takes it as true.
    Other(bool),
}

/// A mapping in file order.
pub(super) type Card = IndexMap<String, Node>;

impl Node {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether Python takes it as true.
    pub(super) fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Other(truthy) => *truthy,
        }
    }
}

/// The front matter of a folder's README.md; empty if there is none.
///
/// # Errors
/// `malformed` if it is no YAML.
pub(super) fn load(folder: &Folder) -> Result<Card> {
    let Some(readme) = folder.text(README)? else {
        return Ok(Card::new());
    };
    let Some(yaml) = front_matter(&readme) else {
        return Ok(Card::new());
    };
    match parse(&yaml).map_err(|e| e.in_file(folder.path().join(README)))? {
        Node::Map(card) => Ok(card),
        _ => Ok(Card::new()),
    }
}

pub(super) const README: &str = "README.md";

/// The YAML, with the converter's two repairs: `- no` is Norwegian, and a tab is two spaces.
fn front_matter(readme: &str) -> Option<String> {
    let mut lines = readme.split(is_line_end);
    if lines.next() != Some("---") {
        return None;
    }
    let lines: Vec<_> = lines.take_while(|line| *line != "---").collect();
    let yaml = lines.join("\n") + "\n";
    Some(yaml.replace("- no\n", "- \"no\"\n").replace('\t', "  "))
}

/// What Python's `splitlines` splits at.
fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

fn parse(yaml: &str) -> Result<Node> {
    let mut parser = Parser::new_from_str(yaml);
    loop {
        match next(&mut parser)? {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Ok(Node::Null),
            event => return node(event, &mut parser, MAX_DEPTH),
        }
    }
}

type Yaml<'y> = Parser<'y, saphyr_parser::StrInput<'y>>;

fn next<'y>(parser: &mut Yaml<'y>) -> Result<Event<'y>> {
    match parser.next_event() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(Error::malformed(format!(
            "the model card's front matter is not valid YAML: {error}"
        ))),
        None => Ok(Event::StreamEnd),
    }
}

/// The node that begins with `event`.
fn node<'y>(event: Event<'y>, parser: &mut Yaml<'y>, depth: usize) -> Result<Node> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| Error::limit("the model card's front matter is nested too deeply"))?;
    match event {
        Event::Scalar(text, style, _, tag) => match (style, &tag) {
            (ScalarStyle::Plain, None) => Ok(plain(&text)),
            (_, Some(tag)) if tag.suffix != "str" => Err(Error::unsupported(format!(
                "the model card's front matter has a value with the tag '{}'; write it without",
                tag.suffix
            ))),
            _ => Ok(Node::Text(text.into_owned())),
        },
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next(parser)? {
                    Event::SequenceEnd => return Ok(Node::List(list)),
                    event => list.push(node(event, parser, depth)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Card::new();
            loop {
                let key = match next(parser)? {
                    Event::MappingEnd => return Ok(Node::Map(map)),
                    event => node(event, parser, depth)?,
                };
                let event = next(parser)?;
                let value = node(event, parser, depth)?;
                // Keys that are no texts name nothing that a card is asked for.
                if let Node::Text(key) = key {
                    map.insert(key, value);
                }
            }
        }
        Event::Alias(_) => Err(Error::unsupported(
            "the model card's front matter refers to an anchor; write the value out",
        )),
        _ => Err(Error::malformed(
            "the model card's front matter ends in the middle of a value",
        )),
    }
}

/// An unquoted scalar by the rules of YAML 1.1, as PyYAML has them.
fn plain(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Node::Other(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Node::Other(false);
        }
        _ => {}
    }
    match is_int(text) || is_float(text) || is_date(text) {
        true => Node::Other(text.contains(|c: char| c.is_alphabetic() || ('1'..='9').contains(&c))),
        false => Node::Text(text.to_owned()),
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, accept: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(accept)
}

fn digit(c: char) -> bool {
    c.is_ascii_digit() || c == '_'
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Decimal, `0b`, `0x`, octal with a leading zero, or base 60 with colons.
fn is_int(text: &str) -> bool {
    let text = unsigned(text);
    if let Some(bits) = text.strip_prefix("0b") {
        return all(bits, |c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, |c| c.is_ascii_hexdigit() || c == '_');
    }
    match text.strip_prefix('0') {
        Some("") => true,
        Some(octal) => all(octal, |c| matches!(c, '0'..='7' | '_')),
        None => starts_with_digit(text) && is_base_60(text),
    }
}

/// Digits, then groups of up to 59 behind colons.
fn is_base_60(text: &str) -> bool {
    let mut groups = text.split(':');
    let first = groups.next().is_some_and(|group| all(group, digit));
    first
        && groups.all(|group| {
            let tens = group.len() == 1 || matches!(group.as_bytes(), [b'0'..=b'5', _]);
            tens && all(group, |c| c.is_ascii_digit())
        })
}

/// A number with a point; an exponent needs its sign.
fn is_float(text: &str) -> bool {
    let text = unsigned(text);
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = text.split_once('.') else {
        return false;
    };
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+'])
            .is_some_and(|e| all(e, |c| c.is_ascii_digit()))
    });
    let whole_fits = match whole {
        "" => starts_with_digit(fraction),
        _ => starts_with_digit(whole) && is_base_60(whole),
    };
    whole_fits && exponent_fits && fraction.chars().all(digit)
}

/// `2024-01-31`, or the same with a time behind.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let number = |text: &str| all(text, |c| c.is_ascii_digit());
    let day_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (day, time) = rest.split_at(day_end);
    let whole = time.is_empty() && month.len() == 2 && day.len() == 2;
    let timed = time.starts_with(['T', 't', ' ', '\t'])
        && time.matches(':').count() >= 2
        && (1..=2).contains(&month.len())
        && (1..=2).contains(&day.len());
    year.len() == 4 && [year, month, day].into_iter().all(number) && (whole || timed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn text(text: &str) -> Node {
        Node::Text(text.to_owned())
    }

    #[test]
    fn front_matter_ends_at_its_line() {
        let card = front_matter("---\na: 1\n---\nb: 2\n").unwrap();
        assert_eq!(card, "a: 1\n");
        assert_eq!(front_matter("# title\n---\n"), None);
        assert_eq!(front_matter(""), None);
        let repaired = front_matter("---\n- no\n- de\n\tx").unwrap();
        assert_eq!(repaired, "- \"no\"\n- de\n  x\n");
    }

    #[test]
    fn values_are_read() {
        let yaml = "license: apache-2.0\ntags:\n- a\n- 'b c'\nbase_model: [x/y]\nnothing:\nmap: {k: v}\nlicense: mit\n";
        let Node::Map(card) = parse(yaml).unwrap() else {
            panic!("not a mapping")
        };
        assert_eq!(card["license"], text("mit"));
        assert_eq!(card["tags"], Node::List(vec![text("a"), text("b c")]));
        assert_eq!(card["base_model"], Node::List(vec![text("x/y")]));
        assert_eq!(card["nothing"], Node::Null);
        assert_eq!(
            card["map"],
            Node::Map(Card::from([("k".into(), text("v"))]))
        );
    }

    #[test]
    fn plain_scalars_follow_yaml_1_1() {
        for other in [
            "yes",
            "Off",
            "1",
            "-0x1F",
            "0b1",
            "017",
            "1_000",
            "1.5",
            "1.",
            ".5",
            "1.0e+3",
            "12:30",
            "1:30.5",
            ".inf",
            "2024-01-31",
            "2024-1-3 1:02:03",
        ] {
            assert!(matches!(plain(other), Node::Other(_)), "{other}");
        }
        for word in [
            "no1",
            "7b",
            "1e3",
            "1.0e3",
            "1.2.3",
            "08",
            "v1.0",
            "y",
            "n",
            "12:99",
            "2024-1-3",
            "a-b-c",
            "cc-by-4.0",
            "1,5",
            "-",
            ".",
            "0b",
            "en",
        ] {
            assert_eq!(plain(word), text(word));
        }
        assert_eq!(
            (plain("0"), plain("10")),
            (Node::Other(false), Node::Other(true))
        );
    }

    #[test]
    fn what_is_no_card_is_refused() {
        for (yaml, kind) in [
            ("a: [", ErrorKind::Malformed),
            ("a: &x 1\nb: *x", ErrorKind::Unsupported),
            ("a: !!int '1'", ErrorKind::Unsupported),
            (&("[".repeat(100) + &"]".repeat(100)), ErrorKind::Limit),
        ] {
            assert_eq!(parse(yaml).unwrap_err().kind(), kind, "{yaml:.20}");
        }
    }
}
