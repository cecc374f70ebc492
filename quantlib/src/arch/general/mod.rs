//! The `general.*` keys: what the folder's name, model card and configuration say about a model,
//! by gguf-py's heuristics.

mod card;
mod model_id;
mod sampling;
mod size;

use super::keys::Keys;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use card::{Card, Node};
use indexmap::IndexMap;
use model_id::ModelId;
pub(super) use size::Parameters;
use std::path::{Component, Path};

/// Fields with the card's keys for them, in the order in which they are asked; the first that is
/// there counts.
const FROM_CARD: &[(&str, &str)] = &[
    ("name", "name"),
    ("author", "author"),
    ("version", "version"),
    ("organization", "organization"),
    ("description", "description"),
    ("finetune", "finetune"),
    ("basename", "basename"),
    ("size_label", "size_label"),
    ("source.url", "url"),
    ("source.doi", "doi"),
    ("source.uuid", "uuid"),
    ("source.repo_url", "repo_url"),
    ("name", "model_name"),
    ("author", "model_author"),
    ("version", "model_version"),
    ("organization", "model_organization"),
    ("description", "model_description"),
    ("finetune", "model_finetune"),
    ("basename", "model_basename"),
    ("size_label", "model_size_label"),
    ("source.url", "model_url"),
    ("source.doi", "model_doi"),
    ("source.uuid", "model_uuid"),
    ("source.repo_url", "model_repo_url"),
    ("author", "model_creator"),
    ("basename", "model_type"),
    ("license", "license"),
    ("license.name", "license_name"),
    ("license.link", "license_link"),
];

/// The fields in file order; each key is `general.` and the field.
const ORDER: &[&str] = &[
    "name",
    "author",
    "version",
    "organization",
    "finetune",
    "basename",
    "description",
    "size_label",
    "license",
    "license.name",
    "license.link",
    "source.url",
    "source.doi",
    "source.uuid",
    "source.repo_url",
];

/// What a card's entry on a base model or dataset may say, in file order.
const RELATED: &[&str] = &[
    "name",
    "author",
    "version",
    "organization",
    "description",
    "url",
    "doi",
    "uuid",
    "repo_url",
];

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Model,
    /// An adapter of low-rank updates.
    Lora,
}

/// Adds the keys from `general.type` to `general.languages`. `parameters` are those of the
/// output; `name` overrides what the folder says.
pub(super) fn write(
    keys: &mut Keys,
    folder: &Folder,
    kind: Kind,
    parameters: Parameters,
    name: Option<&str>,
) -> Result<()> {
    match kind {
        Kind::Model => keys.set("general.type", "model"),
        Kind::Lora => {
            keys.set("general.type", "adapter");
            keys.set("adapter.type", "lora");
        }
    }
    sampling::write(keys, folder)?;
    let card = card::load(folder)?;
    let config = folder.config().get("_name_or_path");
    let config = config.and_then(serde_json::Value::as_str);
    let fields = gather(&card, config, folder.path(), parameters, name);
    in_card(folder, write_fields(keys, &fields))?;
    let related = [
        (
            "base_model",
            ["base_model", "base_models", "base_model_sources"],
        ),
        ("dataset", ["datasets", "dataset", "dataset_sources"]),
    ];
    for (what, names) in related {
        in_card(
            folder,
            write_related(keys, what, &card, &names, parameters.signed()),
        )?;
    }
    let lists = [
        ("tags", ["tags", "pipeline_tag"]),
        ("languages", ["languages", "language"]),
    ];
    for (what, names) in lists {
        in_card(folder, write_list(keys, what, &card, &names))?;
    }
    Ok(())
}

fn in_card<T>(folder: &Folder, result: Result<T>) -> Result<T> {
    result.map_err(|e| e.in_file(folder.path().join(card::README)))
}

type Fields = IndexMap<&'static str, Node>;

/// Asks the card, then the name in config.json, then the folder's name.
fn gather(
    card: &Card,
    config: Option<&str>,
    path: &Path,
    parameters: Parameters,
    name: Option<&str>,
) -> Fields {
    let mut fields = Fields::new();
    let mut offer = |field: &'static str, node: Node| {
        if node != Node::Null {
            fields.entry(field).or_insert(node);
        }
    };
    for (field, key) in FROM_CARD {
        offer(field, card.get(*key).cloned().unwrap_or(Node::Null));
    }
    // Names with more slashes are paths on somebody's computer.
    let config = config.filter(|name| name.matches('/').count() <= 1);
    let folder_name = folder_name(path);
    for id in [config, Some(folder_name.as_str())].into_iter().flatten() {
        let id = model_id::parse(id, parameters.signed());
        offer("name", Node::Text(model_id::title(&id.full_name)));
        let organization = id.organization.as_deref().map(model_id::title);
        for (field, value) in [
            ("organization", organization),
            ("basename", id.basename),
            ("finetune", id.finetune),
            ("version", id.version),
            ("size_label", id.size_label),
        ] {
            offer(field, value.map_or(Node::Null, Node::Text));
        }
    }
    if parameters.signed() > 0 {
        offer("size_label", Node::Text(parameters.label()));
    }
    if let Some(name) = name {
        fields.insert("name", Node::Text(name.to_owned()));
    }
    fields
}

/// The last part of a path as it was given, empty for the current folder.
fn folder_name(path: &Path) -> String {
    match path.components().next_back() {
        Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
        Some(Component::ParentDir) => "..".to_owned(),
        _ => String::new(),
    }
}

fn write_fields(keys: &mut Keys, fields: &Fields) -> Result<()> {
    for field in ORDER {
        let Some(node) = fields.get(field) else {
            continue;
        };
        let key = format!("general.{field}");
        match (*field, node) {
            ("license", Node::List(list)) => {
                let licenses = texts(field, list)?;
                keys.set(key, licenses.join(","));
            }
            _ => set_text(keys, key, field, node)?,
        }
    }
    Ok(())
}

/// Sets a key to a text; what Python takes as false is left out.
fn set_text(keys: &mut Keys, key: String, field: &str, node: &Node) -> Result<()> {
    match node.as_text() {
        Some(text) => keys.set(key, text),
        None if node.truthy() => return Err(no_text(field)),
        None => {}
    }
    Ok(())
}

fn no_text(field: &str) -> Error {
    Error::malformed("must be a text; put it in quotes").in_key(field)
}

fn texts<'n>(field: &str, list: &'n [Node]) -> Result<Vec<&'n str>> {
    let texts: Option<Vec<_>> = list.iter().map(Node::as_text).collect();
    texts.ok_or_else(|| no_text(field))
}

/// The first of these that is in the card, one text as a list of one; `None` if none is there.
fn listed<'c>(card: &'c Card, names: &[&str]) -> Option<&'c [Node]> {
    let node = names.iter().find_map(|name| card.get(*name))?;
    Some(match node {
        Node::List(list) => list,
        Node::Text(_) => std::slice::from_ref(node),
        _ => &[],
    })
}

/// The keys of base models or datasets.
fn write_related(
    keys: &mut Keys,
    what: &str,
    card: &Card,
    names: &[&str],
    parameters: i64,
) -> Result<()> {
    let Some(list) = listed(card, names) else {
        return Ok(());
    };
    let count =
        u32::try_from(list.len()).map_err(|_| Error::limit("has too many entries").in_key(what))?;
    keys.set(format!("general.{what}.count"), count);
    for (i, node) in list.iter().enumerate() {
        let entry = match node {
            Node::Text(id) => related(id, parameters),
            Node::Map(entry) => entry.clone(),
            _ => Card::new(),
        };
        for field in RELATED {
            if let Some(node) = entry.get(*field) {
                set_text(keys, format!("general.{what}.{i}.{field}"), what, node)?;
            }
        }
    }
    Ok(())
}

/// What a link or a model's name says about a base model or dataset.
fn related(id: &str, parameters: i64) -> Card {
    let mut entry = Card::new();
    let mut set = |field: &str, value: String| {
        entry.insert(field.to_owned(), Node::Text(value));
    };
    let link = ["http://", "https://", "ssh://"]
        .iter()
        .any(|s| id.starts_with(s));
    let named = match link {
        true => hub_id(id),
        false => Some(id),
    };
    let named: Option<ModelId> = named.map(|id| model_id::parse(id, parameters));
    if let Some(model) = &named {
        set("name", model_id::title(&model.full_name));
        if let Some(organization) = &model.organization {
            set("organization", model_id::title(organization));
        }
        if let Some(version) = &model.version {
            set("version", version.clone());
        }
    }
    let organization = named.as_ref().and_then(|id| id.organization.as_ref());
    match (link, organization, &named) {
        (true, ..) => set("repo_url", id.to_owned()),
        (false, Some(organization), Some(model)) => set(
            "repo_url",
            format!("https://huggingface.co/{organization}/{}", model.full_name),
        ),
        _ => {}
    }
    entry
}

/// The `org/name` of a link to the hub.
fn hub_id(link: &str) -> Option<&str> {
    let path = ["https://huggingface.co/", "http://huggingface.co/"]
        .iter()
        .find_map(|hub| link.strip_prefix(hub))?;
    let (organization, name) = path.split_once('/')?;
    (!organization.is_empty() && !name.is_empty() && !name.contains('/')).then_some(path)
}

/// A list of texts from several keys of the card, one after the other.
fn write_list(keys: &mut Keys, what: &str, card: &Card, names: &[&str]) -> Result<()> {
    let mut all = Vec::new();
    for name in names {
        all.extend(texts(name, listed(card, &[name]).unwrap_or_default())?);
    }
    keys.set_texts(format!("general.{what}"), all);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(fields: &Fields, name: &str) -> Option<String> {
        fields.get(name)?.as_text().map(str::to_owned)
    }

    #[test]
    fn the_card_wins_over_names() {
        let text = |text: &str| Node::Text(text.to_owned());
        let card = Card::from([
            ("model_name".to_owned(), text("Card")),
            ("model_creator".to_owned(), text("Me")),
        ]);
        let path = Path::new("models/Base-7B-Chat-v2/");
        let fields = gather(
            &card,
            Some("org/Other-3B-x"),
            path,
            Parameters::default(),
            None,
        );
        assert_eq!(field(&fields, "name").unwrap(), "Card");
        assert_eq!(field(&fields, "author").unwrap(), "Me");
        assert_eq!(field(&fields, "organization").unwrap(), "Org");
        assert_eq!(field(&fields, "basename").unwrap(), "Other");
        assert_eq!(field(&fields, "size_label").unwrap(), "3B");
        assert_eq!(field(&fields, "version").unwrap(), "v2");
        let named = gather(
            &card,
            Some("a/b/c"),
            path,
            Parameters::default(),
            Some("Mine"),
        );
        assert_eq!(field(&named, "name").unwrap(), "Mine");
        assert_eq!(field(&named, "basename").unwrap(), "Base");
    }

    #[test]
    fn links_and_names_of_base_models() {
        let get = |id: &str, field: &str| {
            let entry = related(id, 0);
            entry.get(field).and_then(Node::as_text).map(str::to_owned)
        };
        let hub = "https://huggingface.co/org/Some-1B-v1";
        assert_eq!(get(hub, "name").unwrap(), "Some 1B v1");
        assert_eq!(get(hub, "repo_url").unwrap(), hub);
        assert_eq!(get("org/Some-1B-v1", "repo_url").unwrap(), hub);
        assert_eq!(get("org/Some-1B-v1", "version").unwrap(), "v1");
        assert_eq!(get("https://example.org/a", "name"), None);
        assert_eq!(get("alone", "repo_url"), None);
    }

    #[test]
    fn folder_names() {
        for (path, name) in [("a/b/", "b"), (".", ""), ("..", ".."), ("a/.", "a")] {
            assert_eq!(folder_name(Path::new(path)), name);
        }
    }
}
