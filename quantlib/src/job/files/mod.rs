//! The files of a job: what is in them besides tensors, and every tensor's place.

mod mlx;

pub(super) use mlx::MlxFiles;

use crate::error::{Error, Result};
use crate::format::Layout;
use crate::format::gguf::{self, split};
use crate::format::onnx;
use crate::io::OutputSet;
use crate::job::report::FileReport;
use crate::model::{Metadata, OutputTensor, Plan, TensorInfo};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What every GGUF file looks like.
pub(super) struct GgufFiles {
    layouts: Vec<Layout>,
    /// Whether the output is a split model, be it of one part.
    is_split: bool,
}

/// What the files of an output look like, whatever its format.
pub(super) enum Files<'a> {
    Gguf(GgufFiles),
    Onnx(OnnxFiles<'a>),
    Mlx(MlxFiles<'a>),
}

impl Files<'_> {
    /// Where the files go, given the path that was asked for; that one, or the first part, first.
    pub(super) fn paths(&self, out: &Path) -> Vec<PathBuf> {
        match self {
            Self::Gguf(files) => files.paths(out),
            Self::Onnx(files) => files.paths(out),
            Self::Mlx(files) => files.paths(out),
        }
    }

    /// The files under temporary names, with everything in them that is no tensor of the plan.
    pub(super) fn create(
        &self,
        paths: &[PathBuf],
        inputs: &[PathBuf],
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<OutputSet> {
        match self {
            Self::Gguf(files) => files.create(paths, inputs),
            Self::Onnx(files) => files.create(paths, inputs, proceed),
            Self::Mlx(files) => files.create(inputs, proceed),
        }
    }

    /// For every tensor of the plan, where its planes go.
    pub(super) fn places(&self) -> Vec<Vec<Place>> {
        match self {
            Self::Gguf(files) => files.places(),
            Self::Onnx(files) => files.places(),
            Self::Mlx(files) => files.places(),
        }
    }

    pub(super) fn reports(&self) -> Result<Vec<FileReport>> {
        match self {
            Self::Gguf(files) => Ok(files.reports()),
            Self::Onnx(files) => Ok(files.reports()),
            Self::Mlx(files) => files.reports(),
        }
    }
}

/// An ONNX model whose planned tensors are bytes to come: the slots of a tensor's planes follow
/// each other in the order of the plan.
pub(super) struct OnnxFiles<'a> {
    document: &'a onnx::Document,
    layout: onnx::Layout,
    /// The number of planes of each tensor.
    planes: Vec<usize>,
    /// A file that appears with the model, and what is in it.
    beside: Option<(&'a Path, &'a [u8])>,
}

impl<'a> OnnxFiles<'a> {
    /// Lays out the files; the name of `out` is what the model calls its data by.
    pub(super) fn new(
        plan: &Plan,
        document: &'a onnx::Document,
        options: &onnx::SaveOptions,
        beside: Option<(&'a Path, &'a [u8])>,
        out: &Path,
    ) -> Result<Self> {
        let mut layout = document.layout(out, options)?;
        layout.beside = beside.iter().count();
        let planes = plan.tensors.iter().map(|tensor| {
            let planes = tensor.encoding.planes(&tensor.shape);
            planes
                .map(|planes| planes.len())
                .map_err(|e| e.in_tensor(&tensor.name))
        });
        Ok(Self {
            document,
            layout,
            planes: planes.collect::<Result<_>>()?,
            beside,
        })
    }

    fn paths(&self, out: &Path) -> Vec<PathBuf> {
        let mut paths = vec![out.to_path_buf()];
        paths.extend(self.layout.data_len.map(|_| onnx::data_path(out)));
        paths.extend(self.beside.map(|(path, _)| path.to_path_buf()));
        paths
    }

    fn create(
        &self,
        paths: &[PathBuf],
        inputs: &[PathBuf],
        proceed: &dyn Fn() -> Result<()>,
    ) -> Result<OutputSet> {
        let out = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        let beside = self.beside.map(|(path, _)| path);
        let set = self
            .document
            .create(&self.layout, out, inputs, beside.as_slice())?;
        if let Some((_, bytes)) = self.beside {
            set.write_at(self.layout.model_index() - 1, 0, bytes)?;
        }
        self.document
            .write(&self.layout, &set, &mut |_| proceed())?;
        Ok(set)
    }

    fn places(&self) -> Vec<Vec<Place>> {
        let slots = self.layout.slots();
        let mut next = 0;
        let places = self.planes.iter().map(|&count| {
            let own = next..next + count;
            next += count;
            let places = own.filter_map(|slot| slots.get(&slot));
            let places = places.map(|&(file, offset)| Place { file, offset });
            places.collect()
        });
        places.collect()
    }

    fn reports(&self) -> Vec<FileReport> {
        let report = |bytes, tensors| FileReport {
            path: None,
            tensors,
            bytes,
        };
        let tensors = self.planes.len();
        let mut reports = match self.layout.data_len {
            None => vec![report(self.layout.model_len, tensors)],
            Some(len) => {
                let inside = |slot: &(usize, u64)| slot.0 == self.layout.model_index();
                let inside = self
                    .layout
                    .slots()
                    .values()
                    .filter(|slot| inside(slot))
                    .count();
                let inside = inside.min(tensors);
                vec![
                    report(self.layout.model_len, inside),
                    report(len, tensors - inside),
                ]
            }
        };
        let beside = self.beside.map(|(_, bytes)| report(bytes.len() as u64, 0));
        reports.extend(beside);
        reports
    }
}

/// Where the first byte of a tensor goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The file's index in the output set.
    pub(super) file: usize,
    pub(super) offset: u64,
}

impl GgufFiles {
    /// Lays out the files of a plan.
    ///
    /// # Errors
    /// Those of [`gguf::layout`]; `misuse` if the parts have not as many tensors as the plan.
    pub(super) fn new(plan: &Plan, document: &Metadata, dialect: gguf::Dialect) -> Result<Self> {
        let mut infos = infos(plan)?;
        let is_split = !plan.parts.is_empty();
        let counted = plan.parts.iter().map(|part| part.tensors);
        let counted = counted.fold(0, usize::saturating_add);
        if is_split && counted != infos.len() {
            return Err(Error::misuse(format!(
                "the plan has {} tensors, but its parts have {counted}",
                infos.len()
            )));
        }
        let mut layouts = Vec::new();
        for (i, document) in plan.documents(document.clone()).iter().enumerate() {
            let count = plan.parts.get(i).map_or(infos.len(), |part| part.tensors);
            let rest = infos.split_off(count);
            layouts.push(gguf::layout(&infos, document, dialect)?);
            infos = rest;
        }
        Ok(Self { layouts, is_split })
    }

    /// Where the files go, given the path that was asked for.
    pub(super) fn paths(&self, out: &Path) -> Vec<PathBuf> {
        let count = self.layouts.len();
        if !self.is_split {
            return vec![out.to_path_buf()];
        }
        (0..count)
            .map(|number| split::part_path(out, number, count))
            .collect()
    }

    /// The files under temporary names, with their headers written.
    pub(super) fn create(&self, paths: &[PathBuf], inputs: &[PathBuf]) -> Result<OutputSet> {
        // The first part is the one by which people know the model, so it appears last.
        let mut order: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        order.rotate_left(1);
        let set = OutputSet::files(&order, inputs)?;
        for (i, layout) in self.layouts.iter().enumerate() {
            let file = self.index_in_set(i);
            set.reserve(file, layout.file_len)?;
            set.write_at(file, 0, &layout.head)?;
        }
        Ok(set)
    }

    fn index_in_set(&self, number: usize) -> usize {
        number.checked_sub(1).unwrap_or(self.layouts.len() - 1)
    }

    /// For every tensor of the plan, where its one plane goes.
    pub(super) fn places(&self) -> Vec<Vec<Place>> {
        let place = |(i, layout): (usize, &Layout)| {
            let file = self.index_in_set(i);
            let offsets = layout.offsets.clone().into_iter();
            offsets.map(move |offset| vec![Place { file, offset }])
        };
        self.layouts.iter().enumerate().flat_map(place).collect()
    }

    pub(super) fn reports(&self) -> Vec<FileReport> {
        let report = |layout: &Layout| FileReport {
            path: None,
            tensors: layout.offsets.len(),
            bytes: layout.file_len,
        };
        self.layouts.iter().map(report).collect()
    }
}

/// The header entries of a plan's tensors, whose names must differ in all files together.
fn infos(plan: &Plan) -> Result<Vec<TensorInfo>> {
    let mut names = HashSet::with_capacity(plan.tensors.len());
    if let Some(twice) = plan.tensors.iter().find(|t| !names.insert(&t.name)) {
        return Err(Error::misuse("there are two tensors of this name").in_tensor(&twice.name));
    }
    plan.tensors.iter().map(OutputTensor::info).collect()
}
