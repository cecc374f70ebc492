//! Whole jobs in one call: from a path and a wish to a file.

use crate::error::{Error, Result};
use crate::format;
use crate::job::{Job, JobOptions, Report};
use crate::model::{ImportanceSource, Metadata, Model, Plan};
use crate::recipe::{self, Header, QuantizeOptions, Recipe};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

#[cfg(feature = "hf")]
use crate::arch::{
    ConvertOptions, Lora, OutType, as_blocks, attach_loras, convert_adapter_plan, convert_plan,
};
#[cfg(feature = "hf")]
use crate::format::{gguf::Dialect, hf::Folder, lora::Adapter};

/// How to quantize a model: a recipe and wishes beyond it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Quantization {
    /// What most tensors become.
    pub recipe: Recipe,
    /// Exceptions from the recipe.
    pub options: QuantizeOptions,
    /// How a Hugging Face folder is read; its output type is not used, for the one that loses
    /// nothing is taken.
    #[cfg(feature = "hf")]
    pub convert: ConvertOptions,
}

impl Quantization {
    /// The recipe with no exceptions.
    pub fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            options: QuantizeOptions::default(),
            #[cfg(feature = "hf")]
            convert: ConvertOptions::default(),
        }
    }
}

/// Quantizes a GGUF file or a Hugging Face folder into a GGUF file: the one that llama-quantize
/// writes, for a folder from what convert_hf_to_gguf.py writes with an output type that loses
/// nothing, but without the file between.
///
/// ```no_run
/// use quantlib::job::{JobOptions, Quantization, quantize_model};
/// use quantlib::recipe::Recipe;
/// let wish = Quantization::new(Recipe::Q4KM);
/// let report = quantize_model("my-model", "my-model-q4_k_m.gguf", &wish, JobOptions::default())?;
/// println!("{:.2} bits per weight", report.bits_per_weight);
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the model, of [`recipe::plan`], and of [`Job::run`].
pub fn quantize_model(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &Quantization,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    check_target(out)?;
    let origin = Origin::open(src, false)?;
    #[cfg(feature = "hf")]
    let origin = origin.with_loras(&wish.convert.loras)?;
    let wish = with_importance(wish, options.importance)?;
    let plan = origin.quantize_plan(&wish).map_err(|e| e.in_file(src))?;
    let mut report = origin.job(&plan)?.run(out, options)?;
    origin.complete(&mut report, wish.recipe.name());
    Ok(report)
}

/// Converts a Hugging Face folder into a GGUF file, the one that convert_hf_to_gguf.py writes; or a
/// PEFT adapter's folder, into the one that convert_lora_to_gguf.py writes.
///
/// # Errors
/// Those of opening the folder, of [`convert_plan`] or [`convert_adapter_plan`], and of
/// [`Job::run`]; `unsupported` for other sources.
#[cfg(feature = "hf")]
pub fn convert_model(
    src: impl AsRef<Path>,
    out: impl AsRef<Path>,
    wish: &ConvertOptions,
    options: JobOptions<'_>,
) -> Result<Report> {
    let (src, out) = (src.as_ref(), out.as_ref());
    check_target(out)?;
    if Adapter::is_at(src) {
        return convert_adapter(src, out, wish, options);
    }
    let origin = Origin::open(src, wish.exact)?.with_loras(&wish.loras)?;
    let Some(folder) = &origin.folder else {
        return Err(Error::unsupported(format!(
            "only Hugging Face folders can be converted, and this is {}; use quantize with f16, bf16 or f32 for another type",
            origin.model.format()
        ))
        .in_file(src));
    };
    let mut plan = convert_plan(folder, &origin.model, wish).map_err(|e| e.in_file(src))?;
    if wish.exact {
        recipe::name_file_type(&mut plan);
    }
    let job = origin.job(&plan)?.dialect(Dialect::GgufPy);
    let mut report = job.run(out, options)?;
    origin.complete(&mut report, wish.outtype.name());
    Ok(report)
}

/// The wish that knows of the weights which the job will have. All that may be used are looked at:
/// llama-quantize refuses a matrix with one wrong number, wherever it is.
fn with_importance<'w>(
    wish: &'w Quantization,
    source: Option<&dyn ImportanceSource>,
) -> Result<Cow<'w, Quantization>> {
    let mut wish = Cow::Borrowed(wish);
    let Some(source) = source else {
        return Ok(wish);
    };
    if wish.options.importance.is_none() {
        wish.to_mut().options.importance = Some(source.summary());
    }
    if let Some(used) = wish.options.used_importance()? {
        used.entries
            .keys()
            .try_for_each(|name| source.weights(name).map(drop))?;
    }
    Ok(wish)
}

#[cfg(feature = "hf")]
fn convert_adapter(
    src: &Path,
    out: &Path,
    wish: &ConvertOptions,
    options: JobOptions<'_>,
) -> Result<Report> {
    if !wish.loras.is_empty() {
        return Err(Error::misuse("adapters cannot be merged into an adapter").in_file(src));
    }
    let adapter = Adapter::open(src)?;
    let named = adapter.config().base_model.as_ref().map(PathBuf::from);
    let base = wish.base.clone().or(named).ok_or_else(|| {
        Error::misuse("says no base model; name its folder with --base")
            .in_file(adapter.config_path())
    })?;
    if wish.base.is_none() && !base.is_dir() {
        return Err(Error::misuse(format!(
            "the base model '{}' is no folder here; name its folder with --base",
            base.display()
        ))
        .in_file(adapter.config_path()));
    }
    let plan = convert_adapter_plan(&adapter, &Folder::open(base)?, wish)?;
    let mut report = Job::new(adapter.model(), &plan)?
        .document(&Metadata::new())
        .dialect(Dialect::GgufPy)
        .inputs(files_in(src)?)
        .run(out, options)?;
    report.input_format = "peft".to_owned();
    report.recipe = Some(wish.outtype.name().to_owned());
    Ok(report)
}

/// An opened source.
struct Origin {
    model: Model,
    /// The document that plans edit: that of a GGUF file, and nothing for a folder.
    document: Metadata,
    files: Vec<PathBuf>,
    #[cfg(feature = "hf")]
    folder: Option<Folder>,
}

impl Origin {
    /// `exact` reads the layers of MLX folders as blocks.
    fn open(src: &Path, exact: bool) -> Result<Self> {
        #[cfg(feature = "hf")]
        if Adapter::is_at(src) && !src.join("config.json").exists() {
            return Err(Error::unsupported(
                "is a LoRA adapter; convert it, or merge it into its base model with --lora",
            )
            .in_file(src));
        }
        let model = open_exactly(src, exact)?;
        let is_folder = src.is_dir();
        if !is_folder && model.format() != "gguf" {
            return Err(Error::unsupported(
                "has tensors, but not what else a model needs; name the folder that it lies in",
            )
            .in_file(src));
        }
        Ok(Self {
            document: if is_folder {
                Metadata::new()
            } else {
                model.metadata().clone()
            },
            files: if is_folder {
                files_in(src)?
            } else {
                Vec::new()
            },
            #[cfg(feature = "hf")]
            folder: is_folder.then(|| Folder::open(src)).transpose()?,
            model,
        })
    }

    /// The source with adapters to merge.
    #[cfg(feature = "hf")]
    fn with_loras(mut self, loras: &[Lora]) -> Result<Self> {
        if let (false, None) = (loras.is_empty(), &self.folder) {
            return Err(Error::unsupported(
                "adapters can be merged only into a Hugging Face folder; name the folder that this was made from",
            )
            .in_file(self.model.path()));
        }
        for lora in loras {
            self.files.extend(files_in(lora.path())?);
        }
        self.model = attach_loras(self.model, loras)?;
        Ok(self)
    }

    #[cfg(feature = "hf")]
    fn quantize_plan(&self, wish: &Quantization) -> Result<Plan> {
        let Some(folder) = &self.folder else {
            return recipe::plan(&Header::from(&self.model), wish.recipe, &wish.options);
        };
        let convert = ConvertOptions {
            outtype: OutType::Lossless,
            ..wish.convert.clone()
        };
        let convert = convert_plan(folder, &self.model, &convert)?;
        recipe::plan_after(&convert, &self.document, wish.recipe, &wish.options)
    }

    #[cfg(not(feature = "hf"))]
    fn quantize_plan(&self, wish: &Quantization) -> Result<Plan> {
        if self.model.format() != "gguf" {
            return Err(Error::unsupported(
                "Hugging Face folders need the feature `hf`, which this build lacks",
            ));
        }
        recipe::plan(&Header::from(&self.model), wish.recipe, &wish.options)
    }

    fn job<'a>(&'a self, plan: &'a Plan) -> Result<Job<'a>> {
        let job = Job::new(&self.model, plan)?;
        Ok(job
            .document(&self.document)
            .inputs(self.files.iter().cloned()))
    }

    fn complete(&self, report: &mut Report, recipe: &str) {
        report.recipe = Some(recipe.to_owned());
        if !matches!(self.model.format(), "gguf" | "mlx") {
            report.input_format = "huggingface".to_owned();
        }
    }
}

/// Opens a model to be converted. The layers of an MLX folder are blocks where they can stay what they are,
/// and all of them if they must.
#[cfg(feature = "hf")]
pub(super) fn open_exactly(src: &Path, exact: bool) -> Result<Model> {
    use format::mlx::Reader;
    match src.is_dir() && Reader::is_at(src) {
        true => Reader::open_blocks(src, as_blocks(&Folder::open(src)?, exact)),
        false => format::open(src),
    }
}

#[cfg(not(feature = "hf"))]
fn open_exactly(src: &Path, _: bool) -> Result<Model> {
    format::open(src)
}

pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    list().map_err(|e| Error::io("cannot list the folder", e).in_file(folder))
}

/// The output's ending names a format; other endings than those of formats that cannot be written
/// mean GGUF.
fn check_target(out: &Path) -> Result<()> {
    let ending = out.extension().unwrap_or_default().to_string_lossy();
    match ending.to_ascii_lowercase().as_str() {
        "onnx" | "xml" | "safetensors" | "npz" | "bin" | "pt" | "pth" => Err(Error::unsupported(
            format!(".{ending} files cannot be written; give the output the ending .gguf"),
        )
        .in_file(out)),
        _ => Ok(()),
    }
}
