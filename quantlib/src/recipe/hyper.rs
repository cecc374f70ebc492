//! The hyper-parameters that mixtures depend on, read as llama.cpp reads them for any architecture.

use crate::error::{Error, Result};
use crate::model::{Array, Metadata, Value};
use crate::recipe::options::{KvOverride, OverrideValue};

/// Architectures that llama.cpp v0.5.0 quantizes.
const KNOWN: &str = "\
    clip llama llama4 deci falcon grok gpt2 gptj gptneox mpt baichuan starcoder refact bert \
    modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert bloom \
    stablelm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3next qwen3vl qwen3vlmoe qwen35 \
    qwen35moe qwen4exp phi2 phi3 phimoe plamo plamo2 plamo3 codeshell orion internlm2 minicpm \
    minicpm3 gemma gemma2 gemma3 gemma3n gemma4 gemma4-assistant gemma-embedding starcoder2 mamba \
    mamba2 maple jamba falcon-h1 xverse command-r cohere2 cohere2moe dbrx olmo olmo2 olmoe \
    muse-glimmer openelm arctic deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 chatglm glm4 \
    glm4moe glm-dsa bitnet t5 t5encoder jais jais2 nemotron nemotron_h nemotron_h_moe exaone \
    exaone4 exaone-moe rwkv6 rwkv6qwen2 rwkv7 arwkv7 granite granitemoe granitehybrid \
    graniteswitch granite_swa chameleon wavtokenizer-dec plm bailingmoe bailingmoe2 bailingmoe3 \
    dots1 dots3note arcee afmoe laguna ernie4_5 ernie4_5-moe hunyuan-moe hunyuan-dense hunyuan_vl \
    hy_v3 hy_v4 smollm3 gpt-oss lfm2 lfm2moe dream smallthinker llada llada-moe seed_oss grovemoe \
    apertus minimax-01 hrm_text minimax-m2 minimax-m3 cogvlm rnd1 pangu-embedded mistral3 eagle3 \
    dflash mistral4 paddleocr mimo2 step35 spark2_5 llama-embed maincoder kimi-linear kimi-k3 \
    talkie mellum nanbeige qwen3tts pockettts";

/// Most layers that llama.cpp accepts.
const MOST_LAYERS: u32 = 512;

/// What the mixtures ask about a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hyper {
    /// Layers, counted as llama.cpp counts them when it spreads types over feed-forward tensors.
    pub(super) layers: u32,
    /// Experts of each layer; 0 or 1 means there are none.
    pub(super) experts: u32,
    /// Query heads for each key head in the first layer; 0 without heads.
    pub(super) gqa: u32,
    /// Whether this is one of the 70B models whose value heads are shared by 8 query heads.
    pub(super) is_70b: bool,
}

/// Metadata with the overrides laid over it.
pub(super) struct Keys<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) overrides: &'a [KvOverride],
}

impl Keys<'_> {
    fn overridden(&self, key: &str) -> Option<&OverrideValue> {
        let first = self.overrides.iter().find(|o| o.key == key)?;
        Some(&first.value)
    }

    /// `general.architecture`; empty if the file does not say.
    pub(super) fn architecture(&self) -> &str {
        match self.overridden("general.architecture") {
            Some(OverrideValue::Str(name)) => name,
            _ => self
                .metadata
                .get("general.architecture")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        }
    }

    /// An unsigned number; an override of another type is passed by, as llama.cpp does.
    pub(super) fn number(&self, key: &str) -> Result<Option<u32>> {
        if let Some(OverrideValue::Int(value)) = self.overridden(key) {
            return Ok(Some(*value as u32));
        }
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        match value.as_u64().map(u32::try_from) {
            Some(Ok(number)) => Ok(Some(number)),
            _ => Err(Error::malformed("is not a 32-bit unsigned number").in_key(key)),
        }
    }

    /// The first layer's entry of a key that has one number for all layers, or one for each.
    fn first_layer(&self, key: &str, layers: u32) -> Result<Option<u32>> {
        let (first, len) = match self.metadata.get(key) {
            None => return Ok(None),
            Some(Value::Array(array)) => (first_number(array), array.len()),
            Some(_) => return self.number(key),
        };
        if len != layers as usize {
            return Err(Error::malformed(format!(
                "has {len} numbers, but the model has {layers} layers"
            ))
            .in_key(key));
        }
        match first {
            Some(number) => Ok(Some(number)),
            None => Err(Error::malformed("is not an array of 32-bit numbers").in_key(key)),
        }
    }

    /// Reads what mixtures need.
    ///
    /// # Errors
    /// `unsupported` for an architecture that llama.cpp does not know, `malformed` for keys that
    /// contradict each other.
    pub(super) fn hyper(&self) -> Result<Hyper> {
        let arch = self.architecture();
        if !KNOWN.split(' ').any(|known| known == arch) {
            return Err(Error::unsupported(format!(
                "llama.cpp {} knows no architecture '{arch}', so there is no mixture of types for it; ask for one type with --pure",
                crate::LLAMA_CPP_VERSION
            ))
            .in_key("general.architecture"));
        }
        // Vision and audio encoders: llama.cpp reads no hyper-parameters of theirs.
        if arch == "clip" {
            return Ok(Hyper::default());
        }
        let named = |suffix: &str| format!("{arch}.{suffix}");
        let blocks = named("block_count");
        let layers = self
            .number(&blocks)?
            .ok_or_else(|| Error::malformed("is missing").in_key(&blocks))?;
        let extra = self.number(&named("nextn_predict_layers"))?.unwrap_or(0);
        if layers == 0 || layers > MOST_LAYERS || extra > layers {
            return Err(Error::malformed(format!(
                "{layers} layers, {extra} of them for prediction, cannot be: there are 1 to {MOST_LAYERS}"
            ))
            .in_key(&blocks));
        }
        let mut experts = self.number(&named("expert_count"))?.unwrap_or(0);
        if matches!(arch, "hunyuan_vl" | "hunyuan-dense") && experts <= 1 {
            experts = 0;
        }
        let heads = self
            .first_layer(&named("attention.head_count"), layers)?
            .unwrap_or(0);
        let key_heads = self
            .first_layer(&named("attention.head_count_kv"), layers)?
            .unwrap_or(heads);
        let main = layers - extra;
        Ok(Hyper {
            layers: match arch {
                // One layer more, for the router.
                "graniteswitch" => main + 1,
                "nanbeige" => self.looped(&named("num_loops"), layers, main)?,
                _ => layers,
            },
            experts,
            gqa: heads.checked_div(key_heads).unwrap_or(0),
            is_70b: match arch {
                "llama" | "llama-embed" => experts != 8 && main == 80 && heads != key_heads,
                "qwen2" | "deci" | "olmo" => main == 80,
                "jais2" => main == 68,
                _ => false,
            },
        })
    }

    /// The number of layers of a model that runs through its layers several times.
    fn looped(&self, key: &str, layers: u32, main: u32) -> Result<u32> {
        match self.number(key)?.unwrap_or(1) {
            1 => Ok(layers),
            loops => loops
                .checked_mul(main)
                .filter(|&all| loops > 0 && all <= MOST_LAYERS)
                .ok_or_else(|| {
                    Error::malformed(format!(
                        "{loops} times {main} layers cannot be: there are 1 to {MOST_LAYERS}"
                    ))
                    .in_key(key)
                }),
        }
    }
}

fn first_number(array: &Array) -> Option<u32> {
    match array {
        Array::U32(v) => v.first().copied(),
        Array::I32(v) => v.first().map(|&n| n as u32),
        Array::Bool(v) => v.first().map(|&b| b.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, Value)], overrides: &[&str]) -> Result<Hyper> {
        let metadata = pairs
            .iter()
            .map(|(k, v)| ((*k).into(), v.clone()))
            .collect();
        let overrides: Vec<_> = overrides.iter().map(|o| o.parse().unwrap()).collect();
        Keys {
            metadata: &metadata,
            overrides: &overrides,
        }
        .hyper()
    }

    fn llama(layers: u32, heads: u32, key_heads: u32) -> Vec<(&'static str, Value)> {
        vec![
            ("general.architecture", "llama".into()),
            ("llama.block_count", layers.into()),
            ("llama.attention.head_count", heads.into()),
            ("llama.attention.head_count_kv", key_heads.into()),
        ]
    }

    #[test]
    fn seventy_billion_is_80_layers_with_shared_heads() {
        let is_70b = |pairs: &[_], overrides: &[_]| read(pairs, overrides).unwrap().is_70b;
        assert!(is_70b(&llama(80, 64, 8), &[]));
        assert!(!is_70b(&llama(80, 64, 64), &[]));
        assert!(!is_70b(&llama(79, 64, 8), &[]));
        assert!(is_70b(&llama(79, 64, 8), &["llama.block_count=int:80"]));
        assert!(!is_70b(&llama(80, 64, 8), &["llama.expert_count=int:8"]));
    }

    #[test]
    fn heads_may_differ_by_layer() {
        let mut pairs = llama(2, 8, 8);
        pairs[3].1 = Value::Array(Array::I32(vec![2, 4]));
        assert_eq!(read(&pairs, &[]).unwrap().gqa, 4);
        pairs[3].1 = Value::Array(Array::I32(vec![0, 4]));
        assert_eq!(read(&pairs, &[]).unwrap().gqa, 0);
        pairs[3].1 = Value::Array(Array::I32(vec![2]));
        let error = read(&pairs, &[]).unwrap_err();
        assert_eq!(error.key(), Some("llama.attention.head_count_kv"));
    }

    #[test]
    fn contradictions_are_errors() {
        for layers in [0, 513] {
            assert!(read(&llama(layers, 8, 8), &[]).is_err());
        }
        assert!(read(&llama(4, 8, 8), &["llama.nextn_predict_layers=int:5"]).is_err());
        let unknown = read(&[("general.architecture", "warp".into())], &[]).unwrap_err();
        assert!(unknown.to_string().contains("'warp'"), "{unknown}");
        assert!(read(&[], &[]).is_err());
        let looped = [
            ("general.architecture", "nanbeige".into()),
            ("nanbeige.block_count", 4u32.into()),
            ("nanbeige.num_loops", 3u32.into()),
        ];
        assert_eq!(read(&looped, &[]).unwrap().layers, 12);
        assert!(read(&looped, &["nanbeige.num_loops=int:1000000000"]).is_err());
    }
}
