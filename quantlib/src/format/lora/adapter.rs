//! An opened adapter: which modules it changes, and by which of its tensors.

use super::config::AdapterConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::format::hf::Folder;
use crate::format::safetensors;
use crate::model::{Model, TensorInfo};
use indexmap::IndexMap;
use std::path::Path;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts in front of the base model's names.
const PREFIX: &str = "base_model.model.";

/// Ends of the names of low-rank factors.
const FACTORS: &[(&str, Side, Placement)] = &[
    (".lora_A.weight", Side::A, Placement::Linear),
    (".lora_B.weight", Side::B, Placement::Linear),
    (".lora_embedding_A", Side::A, Placement::Embedding),
    (".lora_embedding_B", Side::B, Placement::Embedding),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// What kind of matrix a low-rank update is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A linear layer's: B·A has its shape, or the transposed one.
    Linear,
    /// An embedding's, of one row a token: B·A has the transposed shape.
    Embedding,
}

/// A low-rank update of one module's weight: tensors of the adapter.
#[derive(Clone, Debug)]
pub struct LowRank<'a> {
    /// `[rank, inputs]`.
    pub a: &'a TensorInfo,
    /// `[outputs, rank]`.
    pub b: &'a TensorInfo,
    /// What it is for.
    pub placement: Placement,
}

/// A PEFT adapter folder.
///
/// ```no_run
/// let adapter = quantlib::format::lora::Adapter::open("my-lora")?;
/// for (module, update) in adapter.updates() {
///     println!("{module}: rank {}", update.a.shape[0]);
/// }
/// # Ok::<(), quantlib::Error>(())
/// ```
#[derive(Debug)]
pub struct Adapter {
    folder: Folder,
    config: AdapterConfig,
    model: Model,
    /// Module to its factors, indices of tensors, in the order of the file.
    updates: IndexMap<String, Factors>,
    /// Tensors of the base model that the adapter has as a whole, and their indices.
    wholes: Vec<(String, usize)>,
}

#[derive(Debug)]
struct Factors {
    placement: Placement,
    a: usize,
    b: usize,
}

impl Adapter {
    /// Whether a folder is one of an adapter.
    pub fn is_at(path: impl AsRef<Path>) -> bool {
        path.as_ref().join(CONFIG).is_file()
    }

    /// Opens a folder: parses `adapter_config.json` and the header of `adapter_model.safetensors`.
    ///
    /// # Errors
    /// `io` if a file is missing, `malformed` if one is not what its name says or a factor has no
    /// partner or not its shape, `unsupported` for adapters that are no LoRA; each names the file
    /// and the key or the tensor.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::without_config(&path)?;
        let path = folder.path().to_path_buf();
        let object = folder.object(CONFIG)?;
        let object = object.ok_or_else(|| missing(&path, CONFIG))?;
        let config = AdapterConfig::new(object).map_err(|e| e.in_file(path.join(CONFIG)))?;
        let weights = path.join(WEIGHTS);
        if !weights.is_file() {
            return Err(missing(&path, WEIGHTS));
        }
        let model = safetensors::Reader::open(&weights)?;
        let sorted = Sorted::new(model.tensors(), &in_file_order(&model));
        let Sorted { updates, wholes } = sorted.map_err(|e| e.in_file(&weights))?;
        Ok(Self {
            folder,
            config,
            model,
            updates,
            wholes,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What `adapter_config.json` says.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// `adapter_config.json`.
    pub fn config_path(&self) -> std::path::PathBuf {
        self.folder.path().join(CONFIG)
    }

    /// `adapter_model.safetensors`, opened.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The opened `adapter_model.safetensors` alone.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The modules with a low-rank update, named as in the base model, in the order of the file.
    pub fn updates(&self) -> impl Iterator<Item = (&str, LowRank<'_>)> {
        let tensors = self.model.tensors();
        self.updates.iter().map(|(module, factors)| {
            let update = LowRank {
                a: &tensors[factors.a],
                b: &tensors[factors.b],
                placement: factors.placement,
            };
            (module.as_str(), update)
        })
    }

    /// Tensors that the adapter has as a whole, beside their names in the base model.
    pub fn wholes(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        let tensors = self.model.tensors();
        let wholes = self.wholes.iter();
        wholes.map(|(name, index)| (name.as_str(), &tensors[*index]))
    }
}

fn missing(folder: &Path, name: &str) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("there is no {name}; a PEFT adapter folder needs one"),
    )
    .in_file(folder)
}

/// The indices of a file's tensors as their bytes follow each other.
fn in_file_order(model: &Model) -> Vec<usize> {
    let mut order: Vec<_> = (0..model.tensors().len()).collect();
    order.sort_by_key(|index| model.location(*index).map(|at| at.offset));
    order
}

/// The tensors of an adapter, sorted by what they are.
struct Sorted {
    updates: IndexMap<String, Factors>,
    wholes: Vec<(String, usize)>,
}

impl Sorted {
    fn new(tensors: &[TensorInfo], order: &[usize]) -> Result<Self> {
        let mut halves: IndexMap<String, (Placement, [Option<usize>; 2])> = IndexMap::new();
        let mut wholes = Vec::new();
        for &index in order {
            let tensor = &tensors[index];
            let name = tensor.name.strip_prefix(PREFIX).unwrap_or(&tensor.name);
            let factor = FACTORS.iter().find_map(|(end, side, placement)| {
                Some((name.strip_suffix(end)?, *side, *placement))
            });
            let Some((module, side, placement)) = factor else {
                wholes.push((whole(name).map_err(|e| e.in_tensor(&tensor.name))?, index));
                continue;
            };
            let (kind, sides) = halves
                .entry(module.to_owned())
                .or_insert((placement, [None; 2]));
            if *kind != placement {
                return Err(
                    Error::malformed("its module has factors of two kinds").in_tensor(&tensor.name)
                );
            }
            sides[usize::from(side == Side::B)] = Some(index);
        }
        let mut updates = IndexMap::with_capacity(halves.len());
        for (module, (placement, sides)) in halves {
            let (a, b) = match sides {
                [Some(a), Some(b)] => (a, b),
                [Some(one), None] | [None, Some(one)] => {
                    return Err(Error::malformed(
                        "is half of an update: of lora_A and lora_B, one is missing",
                    )
                    .in_tensor(&tensors[one].name));
                }
                [None, None] => continue,
            };
            check(&tensors[a], &tensors[b])?;
            updates.insert(module, Factors { placement, a, b });
        }
        Ok(Self { updates, wholes })
    }
}

/// The base model's name of a tensor that is no factor.
fn whole(name: &str) -> Result<String> {
    let unknown = [
        "lora_",
        "hada_",
        "ia3_",
        "lokr_",
        "oft_",
        "boft_",
        "vera_",
        "trainable_tokens_",
    ];
    if unknown.iter().any(|part| name.contains(part)) {
        return Err(Error::unsupported(
            "is part of no plain LoRA; merge the adapter with PEFT's merge_and_unload",
        ));
    }
    Ok(name
        .replace(".base_layer.", ".")
        .replace(".modules_to_save.", "."))
}

fn check(a: &TensorInfo, b: &TensorInfo) -> Result<()> {
    for tensor in [a, b] {
        if !tensor.dtype.is_plain_float() {
            return Err(Error::unsupported(format!(
                "is stored as {}; only f32, f16 and bf16 factors can be read",
                tensor.dtype
            ))
            .in_tensor(&tensor.name));
        }
    }
    match (&a.shape[..], &b.shape[..]) {
        (&[rank, cols], &[rows, inner]) if rank == inner && rank > 0 && cols > 0 && rows > 0 => {
            Ok(())
        }
        (&[_, _], &[_, _]) => Err(Error::malformed(format!(
            "its shape {:?} does not fit that of lora_A, {:?}",
            b.shape, a.shape
        ))
        .in_tensor(&b.name)),
        _ => Err(Error::unsupported(format!(
            "only products of two matrices can be read, and these factors have the shapes {:?} and {:?}",
            a.shape, b.shape
        ))
        .in_tensor(&a.name)),
    }
}
