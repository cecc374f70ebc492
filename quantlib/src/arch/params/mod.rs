//! Hyper-parameters as GGUF keys, in the converter's order.

mod experts;
mod pooling;
mod rope;
mod windows;

use super::family::{Family, Param};
use super::hparams::{Hparams, float, missing, uint};
use super::keys::Keys;
use super::long_rope::LongRope;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::model::{Array, Value};
use serde_json::Value as Json;

/// The keys that almost all architectures share, each with every spelling of its hyper-parameter.
pub(super) const SHARED_KEYS: &[Param] = &[
    Param::Uint("block_count", BLOCKS),
    Param::Uint(
        "context_length",
        &[
            "max_position_embeddings",
            "n_ctx",
            "n_positions",
            "max_length",
            "max_sequence_length",
            "model_max_length",
        ],
    ),
    Param::Uint("embedding_length", &["hidden_size", "n_embd", "dim"]),
    Param::Uints(
        "feed_forward_length",
        &[
            "prefix_dense_intermediate_size",
            "dense_intermediate_size",
            "intermediate_size",
            "n_inner",
            "hidden_dim",
        ],
    ),
    Param::Uints(
        "attention.head_count",
        &["num_attention_heads", "n_head", "n_heads"],
    ),
    Param::Uints(
        "attention.head_count_kv",
        &["num_key_value_heads", "n_kv_heads"],
    ),
    Param::NotCausal,
    Param::Rope,
    Param::Float(
        "attention.layer_norm_rms_epsilon",
        &["rms_norm_eps", "norm_eps"],
    ),
    Param::Float(
        "attention.layer_norm_epsilon",
        &["layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"],
    ),
    Param::Uint("expert_count", EXPERTS),
    Param::Uints(
        "expert_used_count",
        &[
            "num_experts_per_tok",
            "num_experts_per_token",
            "top_k_experts",
        ],
    ),
    Param::Uint("expert_group_count", &["n_group"]),
    Param::Uint("expert_group_used_count", &["topk_group"]),
    Param::Gating,
    Param::HeadLengths,
    Param::FileType,
];

/// Spellings of the number of blocks.
pub(super) const BLOCKS: &[&str] = &["n_layers", "num_hidden_layers", "n_layer", "num_layers"];

/// Spellings of the number of experts.
pub(super) const EXPERTS: &[&str] = &["num_local_experts", "num_experts", "n_routed_experts"];

/// Adds the keys that `params` describe for a family.
pub(super) fn write(
    keys: &mut Keys,
    family: &Family,
    params: &[&[Param]],
    folder: &Folder,
    hparams: &Hparams,
    file_type: u32,
) -> Result<()> {
    let hparams = hparams.clone().without(family.ignored).with(family.stated);
    let mut writer = Writer {
        keys,
        arch: family.gguf,
        folder,
        hparams: &hparams,
        file_type,
    };
    for param in params.iter().copied().flatten() {
        writer
            .param(param)
            .map_err(|e| e.in_file(folder.path().join("config.json")))?;
    }
    Ok(())
}

struct Writer<'w> {
    keys: &'w mut Keys,
    arch: &'static str,
    folder: &'w Folder,
    hparams: &'w Hparams,
    file_type: u32,
}

impl Writer<'_> {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.keys.set(format!("{}.{key}", self.arch), value);
    }

    /// [`set`](Self::set) as the end of a [`param`](Self::param).
    fn put(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        self.set(key, value);
        Ok(())
    }

    fn param(&mut self, param: &Param) -> Result<()> {
        match *param {
            Param::Uint(key, names) => self.copy(key, names, |v| Ok(uint(v)?.into())),
            Param::Uints(key, names) => self.copy(key, names, uints),
            Param::Float(key, names) => self.copy(key, names, |v| Ok(float(v)?.into())),
            Param::Needed(params) => params.iter().try_for_each(|param| {
                self.check(param)?;
                self.param(param)
            }),
            Param::UintOr(key, default, names) => {
                self.put(key, default)?;
                self.param(&Param::Uint(key, names))
            }
            Param::FloatOr(key, default, names) => {
                self.put(key, default)?;
                self.param(&Param::Float(key, names))
            }
            Param::Positive(key, names) => match self.hparams.uint(names)? {
                None | Some(0) => Ok(()),
                Some(number) => self.put(key, number),
            },
            Param::Factor(key, names) => match self.hparams.find(names) {
                Some((_, value)) if value.as_f64() == Some(0.0) => Ok(()),
                _ => self.param(&Param::Float(key, names)),
            },
            Param::FlagOr(key, default, name) => {
                let given = self.hparams.find(&[name]);
                let flag = given.map_or(Ok(default), |(_, value)| {
                    let flag = value.as_bool();
                    flag.ok_or_else(|| Error::malformed("must be true or false").in_key(name))
                })?;
                self.put(key, flag)
            }
            Param::Times(key, factor, names) => self.copy(key, names, |value| {
                let product = uint(value)?.checked_mul(factor);
                Ok(product
                    .ok_or_else(|| Error::malformed("is too large"))?
                    .into())
            }),
            Param::Flag(key, value) => self.put(key, value),
            Param::Number(key, value) => self.put(key, value),
            Param::Real(key, value) => self.put(key, value),
            Param::Text(key, value) => self.put(key, value),
            Param::NotCausal => {
                if let Some((_, Json::Bool(false))) = self.hparams.find(&["is_causal"]) {
                    self.set("attention.causal", false);
                }
                Ok(())
            }
            Param::Rope => self.rope(),
            Param::RopeDimensions => self.put("rope.dimension_count", self.hparams.head_dim()?),
            Param::PartlyTurned(turned) => {
                self.put("rope.dimension_count", self.hparams.turned(turned)?)
            }
            Param::RopeBase(default) => self.rope_base(default),
            Param::TrainedContext => {
                let context = self.hparams.trained_context()?;
                self.put("rope.scaling.original_context_length", context)
            }
            Param::LongRopeAttention => match LongRope::load(self.hparams)? {
                Some(rope) => self.put("rope.scaling.attn_factor", rope.attention),
                None => Ok(()),
            },
            Param::Window => self.window(),
            Param::Windows(period) => self.windows(period),
            Param::Refuse(name, why) => match self.hparams.find(&[name]) {
                None => Ok(()),
                Some(_) => Err(Error::unsupported(why).in_key(name)),
            },
            Param::HeadLengths => {
                for key in ["attention.key_length", "attention.value_length"] {
                    self.copy(key, &["head_dim"], |v| Ok(uint(v)?.into()))?;
                }
                Ok(())
            }
            Param::FileType => {
                self.keys.set("general.file_type", self.file_type);
                Ok(())
            }
            Param::Sum(key, terms) => self.sum(key, terms),
            Param::IfTrue(key, name) => match self.hparams.is_true(name) {
                true => self.put(key, true),
                false => Ok(()),
            },
            Param::LeadingDense => self.leading_dense(),
            Param::Gating => self.gating(),
            Param::YarnLogMultiplier => self.yarn_log_multiplier(),
            Param::Pooling => self.pooling(),
            Param::Labels => self.labels(),
        }
    }

    /// Checks that there is a value to copy.
    fn check(&self, param: &Param) -> Result<()> {
        match *param {
            Param::Uint(_, names) | Param::Uints(_, names) | Param::Float(_, names)
                if self.hparams.find(names).is_none() =>
            {
                Err(missing(names))
            }
            _ => Ok(()),
        }
    }

    fn copy(
        &mut self,
        key: &str,
        names: &[&'static str],
        convert: impl Fn(&Json) -> Result<Value>,
    ) -> Result<()> {
        if let Some((name, value)) = self.hparams.find(names) {
            let value = convert(value).map_err(|e| e.in_key(name))?;
            self.set(key, value);
        }
        Ok(())
    }
}

/// One number, or an array of as many as there are blocks.
fn uints(value: &Json) -> Result<Value> {
    match value.as_array() {
        None => Ok(uint(value)?.into()),
        Some(list) => {
            let list: Result<Vec<_>> = list.iter().map(int).collect();
            Ok(Array::I32(list?).into())
        }
    }
}

fn int(value: &Json) -> Result<i32> {
    let number = value.as_i64().and_then(|n| n.try_into().ok());
    number
        .ok_or_else(|| Error::malformed(format!("must be a whole number of 32 bits, not {value}")))
}
