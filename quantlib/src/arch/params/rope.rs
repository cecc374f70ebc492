//! The `rope.*` keys.

use super::{Writer, int};
use crate::arch::hparams::{float, missing, uint};
use crate::error::{Error, Result};
use crate::format::hf::Object;
use crate::model::Array;
use serde_json::Value as Json;

impl Writer<'_> {
    pub(super) fn rope(&mut self) -> Result<()> {
        let rope = self.hparams.rope()?;
        let all = self.hparams.all_rope();
        let kind = text(rope, "rope_type")?.unwrap_or_default();
        match kind {
            "linear" => self.scaled("linear", rope, &[])?,
            "yarn" => self.scaled("yarn", rope, YARN)?,
            "su" | "longrope" => self.set("rope.scaling.type", "longrope"),
            _ => {}
        }
        if let Some(sections) = all.get("mrope_section") {
            let sections = four(sections).map_err(|e| e.in_key("mrope_section"))?;
            self.set("rope.dimension_sections", Array::I32(sections));
        }
        self.rope_float("rope.freq_base", rope, &["rope_theta"])?;
        if let Some(Json::Object(local)) = all.get("sliding_attention") {
            self.rope_float("rope.freq_base_swa", local, &["rope_theta"])?;
        }
        Ok(())
    }

    /// The base frequency of layers that look at everything, which must be somewhere.
    pub(super) fn rope_base(&mut self, default: Option<f32>) -> Result<()> {
        let rope = self.hparams.rope()?;
        match (rope.get("rope_theta"), default) {
            (Some(_), _) => self.rope_float("rope.freq_base", rope, &["rope_theta"]),
            (None, Some(default)) => {
                self.set("rope.freq_base", default);
                Ok(())
            }
            (None, None) => Err(missing(&["rope_theta"])),
        }
    }

    /// The keys of a scaling, unless its factor is missing.
    fn scaled(&mut self, kind: &str, rope: &Object, own: &[RopeKey]) -> Result<()> {
        if rope.get("factor").is_none_or(Json::is_null) {
            return Ok(());
        }
        self.set("rope.scaling.type", kind);
        self.rope_float("rope.scaling.factor", rope, &["factor"])?;
        if kind == "yarn" {
            let name = "original_max_position_embeddings";
            let context = rope.get(name).unwrap_or(&Json::Null);
            let context = uint(context).map_err(|e| e.in_key(name))?;
            self.set("rope.scaling.original_context_length", context);
        }
        for (key, names) in own {
            self.rope_float(key, rope, names)?;
        }
        Ok(())
    }

    /// A float among the rope parameters, from the first of `names` that is there.
    fn rope_float(&mut self, key: &str, rope: &Object, names: &[&str]) -> Result<()> {
        let found = names
            .iter()
            .find_map(|name| Some((*name, rope.get(*name)?)));
        if let Some((name, value)) = found.filter(|(_, value)| !value.is_null()) {
            let value = float(value).map_err(|e| e.in_key(name))?;
            self.set(key, value);
        }
        Ok(())
    }
}

/// A key, and the spellings of its rope parameter.
type RopeKey = (&'static str, &'static [&'static str]);

const YARN: &[RopeKey] = &[
    ("rope.scaling.yarn_ext_factor", &["extrapolation_factor"]),
    (
        "rope.scaling.yarn_attn_factor",
        &["attention_factor", "attn_factor"],
    ),
    ("rope.scaling.yarn_beta_fast", &["beta_fast"]),
    ("rope.scaling.yarn_beta_slow", &["beta_slow"]),
];

fn text<'r>(rope: &'r Object, key: &'static str) -> Result<Option<&'r str>> {
    match rope.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::malformed("must be a text").in_key(key)),
    }
}

/// The sections of a multi-dimensional rope: the first four, absent ones zero.
fn four(sections: &Json) -> Result<Vec<i32>> {
    let list = sections
        .as_array()
        .ok_or_else(|| Error::malformed("must be a list"))?;
    let mut list: Vec<i32> = list.iter().take(4).map(int).collect::<Result<_>>()?;
    list.resize(4, 0);
    Ok(list)
}
