//! An adapter as a GGUF file of its own, the one that convert_lora_to_gguf.py writes.

use super::pair::{Factor, Pair, pair};
use crate::arch::convert::{ConvertOptions, QUANTIZATION_VERSION, is_unigram};
use crate::arch::families;
use crate::arch::family::Family;
use crate::arch::general::{self, Kind, Parameters};
use crate::arch::hparams::Hparams;
use crate::arch::keys::Keys;
use crate::arch::tensors::Mapper;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::hf::Folder;
use crate::format::lora::Adapter;
use crate::model::{Array, Edit, Expr, OutputTensor, Plan, TensorInfo};
use crate::tensor::Encoding;
use std::collections::HashMap;

/// Plans the GGUF file that convert_lora_to_gguf.py writes for an adapter of the model in the folder
/// `base`, of which only the configuration is looked at. Carry it out on
/// [`Adapter::model`](crate::format::lora::Adapter::model).
///
/// # Errors
/// `unsupported` for an architecture that cannot be converted and for tensors that a GGUF adapter
/// cannot have, `malformed` for those that do not fit the architecture; each names the file and
/// the key or the tensor.
pub fn convert_adapter_plan(
    adapter: &Adapter,
    base: &Folder,
    options: &ConvertOptions,
) -> Result<Plan> {
    let config = || base.path().join("config.json");
    let class = base.architecture()?;
    let family = Family::of(class, families::ALL).map_err(|e| e.in_file(config()))?;
    let mut hparams = Hparams::load(base)?;
    let family = family.variant(&hparams);
    let unigram = is_unigram(base, family)?;
    hparams
        .meet(family.demands)
        .and_then(|()| hparams.adjust(family.adjust, unigram))
        .map_err(|e| e.in_file(config()))?;
    let sources = Sources::new(adapter).map_err(|e| e.in_file(adapter.model().path()))?;
    let described: Vec<_> = sources.described.iter().collect();
    let file_type = options.outtype.decide(&described);
    if matches!(file_type.dtype, DType::Tq1_0 | DType::Tq2_0) {
        return Err(Error::misuse(format!(
            "adapters cannot be {}; choose f32, f16, bf16 or q8_0",
            file_type.dtype
        )));
    }
    let mut mapper = Mapper::new(family, class, &hparams, file_type, &described, None)
        .map_err(|e| e.in_file(config()))?;
    let mut notes = Vec::new();
    let mut writer = Tensors {
        wanted: file_type.dtype,
        sources: &sources,
        notes: &mut notes,
        tensors: Vec::new(),
    };
    let fit = |e: Error| e.in_file(adapter.model().path());
    for output in mapper.map().map_err(fit)? {
        writer.add(output, adapter).map_err(fit)?;
    }
    let tensors = writer.tensors;
    if !adapter.config().is_plainly_scaled() {
        notes.push(
            "llama.cpp scales every update by lora_alpha / r, but adapter_config.json says otherwise (use_rslora or alpha_pattern)"
                .to_owned(),
        );
    }

    let mut keys = Keys::default();
    keys.set("general.architecture", family.gguf);
    let parameters = Parameters::of(&tensors)?;
    let name = options.name.as_deref();
    general::write(&mut keys, adapter.folder(), Kind::Lora, parameters, name)?;
    keys.set("adapter.lora.alpha", adapter.config().alpha() as f32);
    keys.set(
        "adapter.alora.invocation_tokens",
        Array::U32(adapter.config().invocation_tokens.clone()),
    );
    keys.set("general.quantization_version", QUANTIZATION_VERSION);
    let own = adapter.model().metadata().keys().cloned();
    let mut edits: Vec<_> = own.map(|key| Edit::Remove { key }).collect();
    edits.extend(keys.into_edits());
    Ok(Plan {
        tensors,
        edits,
        notes,
        ..Plan::default()
    })
}

/// More elements than a matrix has: a terabyte of half floats.
const MAX_ELEMENTS: usize = 1 << 39;

/// The adapter as the converter sees it: matrices, of which it happens to have factors.
struct Sources<'a> {
    /// Whole tensors, then the matrices, named and shaped as in the base model.
    described: Vec<TensorInfo>,
    pairs: HashMap<&'a str, Pair>,
    /// The names of the adapter's whole tensors.
    wholes: HashMap<&'a str, &'a str>,
}

impl<'a> Sources<'a> {
    fn new(adapter: &'a Adapter) -> Result<Self> {
        let mut described = Vec::new();
        let mut wholes = HashMap::new();
        for (name, tensor) in adapter.wholes() {
            if tensor.name.contains(".base_layer.weight") {
                continue;
            }
            // Norms are the only tensors that mergekit-extract-lora saves whole.
            if !(tensor.name.contains("_layernorm") || tensor.name.contains(".norm")) {
                return Err(Error::unsupported(
                    "is no low-rank update, and a GGUF adapter can have nothing else; merge the adapter into the model instead",
                )
                .in_tensor(&tensor.name));
            }
            wholes.insert(name, tensor.name.as_str());
            described.push(TensorInfo {
                name: name.to_owned(),
                ..tensor.clone()
            });
        }
        let mut updates = HashMap::new();
        for (module, update) in adapter.updates() {
            let same = update.a.dtype == update.b.dtype;
            let (rows, cols) = (update.b.shape[0], update.a.shape[1]);
            if rows.checked_mul(cols).is_none_or(|n| n > MAX_ELEMENTS) {
                return Err(Error::limit(format!(
                    "changes a matrix of {rows} x {cols} elements, more than any model has"
                ))
                .in_tensor(&update.b.name));
            }
            described.push(TensorInfo {
                name: format!("{module}.weight"),
                dtype: if same { update.a.dtype } else { DType::F32 },
                shape: vec![rows, cols],
            });
            updates.insert(
                module,
                Pair {
                    a: Factor::input(update.a),
                    b: Factor::input(update.b),
                },
            );
        }
        Ok(Self {
            described,
            pairs: updates,
            wholes,
        })
    }
}

/// The output tensors under construction.
struct Tensors<'s, 'a> {
    wanted: DType,
    sources: &'s Sources<'a>,
    notes: &'s mut Vec<String>,
    tensors: Vec<OutputTensor>,
}

impl Tensors<'_, '_> {
    /// Adds what the adapter has for a tensor of the base model.
    fn add(&mut self, output: OutputTensor, adapter: &Adapter) -> Result<()> {
        let inputs = output.source.inputs();
        // Values that are calculated from hyper-parameters belong to the base model.
        let Some(first) = inputs.first() else {
            return Ok(());
        };
        if self.sources.wholes.contains_key(first) {
            let whole = |name: &str| Expr::input(*self.sources.wholes.get(name).unwrap_or(&name));
            let source = output.source.substitute(&whole);
            self.tensors.push(OutputTensor { source, ..output });
            return Ok(());
        }
        let pairs = inputs.iter().filter_map(|name| {
            let module = name.strip_suffix(".weight")?;
            Some((*name, self.sources.pairs.get(module)?.clone()))
        });
        let pairs: HashMap<_, _> = pairs.collect();
        let Pair { mut a, b } = pair(&output.source, &pairs).map_err(|e| e.in_tensor(*first))?;
        // llama.cpp looks the rows of this one up.
        if output.name.contains("token_embd.weight") {
            a = a.transposed();
        }
        self.push(format!("{}.lora_a", output.name), a, adapter)?;
        self.push(format!("{}.lora_b", output.name), b, adapter)
    }

    fn push(&mut self, name: String, factor: Factor, adapter: &Adapter) -> Result<()> {
        let source = factor.expr;
        let shape = source
            .infer(&|name| adapter.model().tensor(name))
            .map_err(|e| e.in_tensor(&name))?
            .shape;
        let cols = shape.last().copied().unwrap_or(1);
        let mut dtype = self.wanted;
        if !cols.is_multiple_of(dtype.block_len()) {
            self.notes.push(format!(
                "{name}: f16 instead of {dtype}, which needs rows of a multiple of {} elements, not {cols}",
                dtype.block_len()
            ));
            dtype = DType::F16;
        }
        self.tensors.push(OutputTensor {
            name,
            shape,
            encoding: Encoding::Block(dtype),
            source,
            importance: None,
        });
        Ok(())
    }
}
