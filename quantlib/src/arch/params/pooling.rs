//! The keys of encoders: pooling, labels.

use super::Writer;
use crate::error::{Error, Result};
use crate::format::hf::Object;
use crate::model::Array;
use serde_json::Value as Json;

impl Writer<'_> {
    /// The pooling that sentence-transformers' modules.json leads to.
    pub(super) fn pooling(&mut self) -> Result<()> {
        let modules = self.folder.json("modules.json")?;
        let modules = modules.as_ref().and_then(Json::as_array);
        let module = modules.into_iter().flatten().find(|module| {
            let kind = module.get("type").and_then(Json::as_str);
            kind.is_some_and(|kind| kind.ends_with("Pooling"))
        });
        if let Some(module) = module {
            let path = module.get("path").and_then(Json::as_str).ok_or_else(|| {
                Error::malformed("the pooling module has no path")
                    .in_file(self.folder.path().join("modules.json"))
            })?;
            let file = format!("{path}/config.json");
            let config = self.folder.object(&file)?.ok_or_else(|| {
                Error::malformed(format!("the pooling module needs {file}"))
                    .in_file(self.folder.path())
            })?;
            let pooling =
                pooling_type(&config).map_err(|e| e.in_file(self.folder.path().join(&file)))?;
            self.set("pooling_type", pooling);
        }
        self.copy(
            "classifier.pooling_type",
            &["classifier_pooling"],
            |value| match value.as_str() {
                Some("mean") => Ok(MEAN.into()),
                Some("cls") => Ok(FIRST.into()),
                _ => Err(Error::unsupported(
                    "only pooling by mean or by the first token (cls) can be converted",
                )),
            },
        )
    }

    /// The labels of a classifier, unless they are the two that transformers makes up.
    pub(super) fn labels(&mut self) -> Result<()> {
        if let Some(labels) = self.hparams.labels()? {
            let labels = labels.into_iter().collect();
            self.set("classifier.output_labels", Array::String(labels));
        }
        Ok(())
    }
}

// llama.cpp's numbers of poolings.
const MEAN: u32 = 1;
const FIRST: u32 = 2;
const LAST: u32 = 3;

/// llama.cpp's number of the pooling that a sentence-transformers module describes.
fn pooling_type(config: &Object) -> Result<u32> {
    let flags = [
        ("pooling_mode_mean_tokens", MEAN),
        ("pooling_mode_cls_token", FIRST),
        ("pooling_mode_lasttoken", LAST),
    ];
    let set = |key: &str| config.get(key) == Some(&Json::Bool(true));
    if let Some((_, number)) = flags.into_iter().find(|(key, _)| set(key)) {
        return Ok(number);
    }
    match config.get("pooling_mode").and_then(Json::as_str) {
        Some("mean") => Ok(MEAN),
        Some("cls") => Ok(FIRST),
        Some("lasttoken") => Ok(LAST),
        _ => Err(Error::unsupported(
            "only pooling by mean, by the first (cls) or by the last token can be converted",
        )),
    }
}
