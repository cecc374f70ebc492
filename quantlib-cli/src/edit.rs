//! `quantlib edit`

use crate::args::Edit;
use crate::report;
use quantlib::format::ChatTemplate;
use quantlib::job::edit_model;
use quantlib::rewrite::{Change, Token};
use quantlib::{Error, ErrorKind, NonFinite};
use std::path::Path;

pub(crate) fn run(args: &Edit) -> Result<(), Error> {
    let changes = changes(args)?;
    report::run(&args.job, NonFinite::Refuse, None, |options| {
        edit_model(&args.src, &args.job.output, &changes, options)
    })
}

fn changes(args: &Edit) -> Result<Vec<Change>, Error> {
    let mut changes: Vec<_> = args.remove.iter().map(Change::remove).collect();
    changes.extend(args.rename.iter().cloned());
    changes.extend(chat_template(args)?.map(Change::ChatTemplate));
    let set = |key: &str, value: &Option<String>| value.clone().map(|v| Change::set(key, v));
    changes.extend(set("general.name", &args.general_name));
    changes.extend(set("general.description", &args.general_description));
    changes.extend(set("tokenizer.ggml.pre", &args.pre_tokenizer));
    for pair in args.special_token.chunks_exact(2) {
        changes.push(special_token(&pair[0], Token::Text(pair[1].clone())));
    }
    for pair in args.special_token_by_id.chunks_exact(2) {
        let id = pair[1].parse().map_err(|_| {
            let message = format!("'{}' is no token number", pair[1]);
            Error::new(ErrorKind::Misuse, message)
        })?;
        changes.push(special_token(&pair[0], Token::Id(id)));
    }
    changes.extend(args.set.iter().cloned());
    if changes.is_empty() {
        let message = "nothing is to be changed; `quantlib edit --help` lists what can be";
        return Err(Error::new(ErrorKind::Misuse, message));
    }
    Ok(changes)
}

fn special_token(name: &str, token: Token) -> Change {
    Change::SpecialToken {
        name: name.to_owned(),
        token,
    }
}

fn chat_template(args: &Edit) -> Result<Option<ChatTemplate>, Error> {
    if let Some(text) = &args.chat_template {
        return ChatTemplate::from_text(text).map(Some);
    }
    if let Some(path) = &args.chat_template_config {
        return ChatTemplate::from_config(&read(path)?).map(Some);
    }
    let file = args.chat_template_file.as_deref().map(read).transpose()?;
    Ok(file.map(ChatTemplate::One))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| {
        let message = format!("{}: cannot read: {e}", path.display());
        Error::new(ErrorKind::Io, message)
    })
}
