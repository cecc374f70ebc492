//! `quantlib edit`

use super::Job;
use clap::Args;
use quantlib::rewrite::{Change, parse_value};
use std::path::PathBuf;

/// Copy a GGUF file with other metadata
///
/// The output is the file that gguf-py's gguf_new_metadata.py writes with the options of the same
/// names, byte for byte. Keys that are set keep their places, new ones go last. Changes are made in
/// this order: keys removed, keys renamed, chat template, name, description, pre-tokenizer, special
/// tokens, --set. There is no editing in place: a value of another length moves all tensors, and a
/// crash would leave half a file.
#[derive(Args)]
pub(crate) struct Edit {
    /// A GGUF file; a split one must be merged first
    pub(crate) src: PathBuf,

    #[command(flatten)]
    pub(crate) job: Job,

    /// Set a key, such as general.license=str:mit; types are u8, i8, u16, i16, u32, i32, u64, i64, f32,
    /// f64, bool, str, and arrays in JSON: 'general.tags=[str]:["a", "b"]'; may be given more than once
    #[arg(long, value_name = "KEY=TYPE:VALUE", value_parser = change)]
    pub(crate) set: Vec<Change>,

    /// Remove a key; may be given more than once
    #[arg(long, value_name = "KEY", visible_alias = "remove-metadata")]
    pub(crate) remove: Vec<String>,

    /// Give a key another name; may be given more than once
    #[arg(long, value_name = "OLD=NEW", value_parser = rename)]
    pub(crate) rename: Vec<Change>,

    /// The model's name (general.name)
    #[arg(long, value_name = "NAME")]
    pub(crate) general_name: Option<String>,

    /// What the model is (general.description)
    #[arg(long, value_name = "TEXT")]
    pub(crate) general_description: Option<String>,

    /// The chat template, or a JSON list of named ones; all old ones are removed
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["chat_template_config", "chat_template_file"])]
    pub(crate) chat_template: Option<String>,

    /// A tokenizer_config.json with the chat template
    #[arg(long, value_name = "FILE", conflicts_with = "chat_template_file")]
    pub(crate) chat_template_config: Option<PathBuf>,

    /// A file that is the chat template
    #[arg(long, value_name = "FILE")]
    pub(crate) chat_template_file: Option<PathBuf>,

    /// The tokenizer's kind (tokenizer.ggml.pre)
    #[arg(long, value_name = "NAME")]
    pub(crate) pre_tokenizer: Option<String>,

    /// A special token by its text, such as eos '</s>'; may be given more than once
    #[arg(long, num_args = 2, value_names = ["NAME", "TOKEN"])]
    pub(crate) special_token: Vec<String>,

    /// A special token by its number, such as eos 2; may be given more than once
    #[arg(long, num_args = 2, value_names = ["NAME", "ID"])]
    pub(crate) special_token_by_id: Vec<String>,
}

fn change(text: &str) -> Result<Change, String> {
    let wrong = || format!("'{text}' sets nothing; write KEY=TYPE:VALUE");
    let (key, typed) = text.split_once('=').ok_or_else(wrong)?;
    let (kind, value) = typed.split_once(':').ok_or_else(wrong)?;
    let value = parse_value(kind, value).map_err(|e| e.to_string())?;
    Ok(Change::set(key, value))
}

fn rename(text: &str) -> Result<Change, String> {
    let (from, to) = text
        .split_once('=')
        .filter(|(from, to)| !from.is_empty() && !to.is_empty())
        .ok_or_else(|| format!("'{text}' renames nothing; write OLD=NEW"))?;
    Ok(Change::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
    })
}
