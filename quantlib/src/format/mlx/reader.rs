//! Opens an MLX folder: each quantized layer is one tensor, decoded when it is read.

use super::blocks::{self, AsBlocks, Planes};
use super::global::Global;
use super::layers::Layers;
use super::{CONFIG, LayerQuantization, Mode, WEIGHT};
use crate::affine::{AffineLayout, AffinePlane, AffinePlanes, AffineSpec};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::safetensors;
use crate::io::Limits;
use crate::model::{Location, Model, Reader as ReadTensors, TensorInfo};
use crate::planar::dequantize_affine;
use crate::tensor::Encoding;
use std::collections::HashSet;
use std::path::Path;

/// Opens MLX folders.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reader;

/// Elements that are decoded at a time.
const CHUNK: usize = 1 << 15;

impl Reader {
    /// Whether a folder's config.json says that layers are quantized as MLX does it.
    pub(crate) fn is_at(folder: &Path) -> bool {
        Layers::is_at(&folder.join(CONFIG))
    }

    /// Opens a folder whose config.json has an entry `quantization`. A layer's `weight`, `scales` and
    /// `biases` are one tensor of f32, whose elements are code · scale + bias, each operation rounded;
    /// all other tensors are as they are stored. [`Model::encoding`] tells how a layer is stored.
    ///
    /// # Errors
    /// Those of [`safetensors::Reader::open`]; `malformed` if config.json or a layer's tensors
    /// contradict each other, `unsupported` for what MLX does not write itself.
    pub fn open(folder: impl AsRef<Path>) -> Result<Model> {
        Self::open_with(folder, &Limits::default())
    }

    /// [`open`](Self::open) with other limits.
    pub fn open_with(folder: impl AsRef<Path>, limits: &Limits) -> Result<Model> {
        Self::read(folder.as_ref(), limits, AsBlocks::Never)
    }

    /// [`open`](Self::open) with layers as ggml's blocks instead of f32: their codes and scales are
    /// repacked as they are read, which fails where one does not fit.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and `unsupported` for layers that no blocks can hold.
    pub fn open_blocks(folder: impl AsRef<Path>, layers: AsBlocks) -> Result<Model> {
        Self::read(folder.as_ref(), &Limits::default(), layers)
    }

    fn read(folder: &Path, limits: &Limits, blocks: AsBlocks) -> Result<Model> {
        let config = folder.join(CONFIG);
        let layers = Layers::read(&config).map_err(|e| e.in_file(&config))?;
        let stored = safetensors::Reader::open_with(folder, limits)?;
        let joined = Joined::new(stored, &layers, blocks).map_err(|e| e.in_file(folder))?;
        let metadata = joined.stored.metadata().clone();
        let infos = joined.tensors.iter().map(|tensor| tensor.info.clone());
        let infos = infos.collect();
        Model::new(folder, "mlx", infos, metadata, Box::new(joined))
    }
}

/// The stored tensors, and what they are joined to.
#[derive(Debug)]
struct Joined {
    stored: Model,
    tensors: Vec<Tensor>,
}

#[derive(Debug)]
struct Tensor {
    info: TensorInfo,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The stored tensor of this index.
    Stored(usize),
    Layer(Box<Layer>),
}

/// A quantized layer: how, and the indices of its planes.
#[derive(Debug)]
struct Layer {
    layout: AffineLayout,
    encoding: Encoding,
    planes: Planes,
    /// The blocks that it is read as, instead of being decoded.
    blocks: Option<DType>,
    /// Scales for whole matrices, and the index of their tensor.
    global: Option<(usize, Global)>,
}

impl Joined {
    fn new(stored: Model, layers: &Layers, blocks: AsBlocks) -> Result<Self> {
        let mut tensors = Vec::with_capacity(stored.tensors().len());
        let mut used = HashSet::new();
        for info in stored.tensors() {
            let Some(path) = info.name.strip_suffix(".scales") else {
                continue;
            };
            let Some(how) = layers.of(path) else {
                continue;
            };
            let layer = Layer::new(&stored, path, how, blocks).map_err(|e| e.in_tensor(path))?;
            used.extend([layer.planes.codes, layer.planes.scales]);
            used.extend(layer.planes.zeros);
            used.extend(layer.global.as_ref().map(|(index, _)| *index));
            let [rows, cols] = [&layer.layout.codes().shape, &layer.layout.scales().shape];
            let groups = cols.last().copied().unwrap_or(0);
            let mut shape = rows.clone();
            if let Some(last) = shape.last_mut() {
                *last = groups * how.group_size;
            }
            let info = TensorInfo {
                name: format!("{path}{WEIGHT}"),
                dtype: layer.blocks.unwrap_or(DType::F32),
                shape,
            };
            let source = Source::Layer(Box::new(layer));
            tensors.push(Tensor { info, source });
        }
        for (index, info) in stored.tensors().iter().enumerate() {
            if !used.contains(&index) {
                tensors.push(Tensor {
                    info: info.clone(),
                    source: Source::Stored(index),
                });
            }
        }
        tensors.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        Ok(Self { stored, tensors })
    }
}

impl Layer {
    /// Finds and checks the planes of a layer.
    fn new(
        stored: &Model,
        path: &str,
        how: LayerQuantization,
        as_blocks: AsBlocks,
    ) -> Result<Self> {
        let find = |end: &str| {
            let name = format!("{path}{end}");
            let index = stored.index_of(&name);
            index.ok_or_else(|| {
                Error::malformed(format!("has scales, but no tensor {name} beside them"))
            })
        };
        let (codes, scales) = (find(WEIGHT)?, find(".scales")?);
        let global = stored.index_of(&format!("{path}.global_scale"));
        let global = global.filter(|_| how.mode == Mode::Nvfp4);
        if global.is_some() && as_blocks == AsBlocks::Always {
            return Err(Error::unsupported(
                "has a scale for a whole matrix beside those of groups, which no blocks have; leave --exact out to decode it",
            ));
        }
        let shape = shape(&stored.tensors()[scales], how)?;
        let spec = spec(&stored.tensors()[scales], how)?;
        let layout = AffineLayout::new(&spec, &shape)?;
        let zeros = layout.zeros().map(|_| find(".biases")).transpose()?;
        let planes = [
            (codes, Some(layout.codes())),
            (scales, Some(layout.scales())),
            (zeros.unwrap_or(scales), layout.zeros()),
        ];
        for (index, plane) in planes {
            if let Some(plane) = plane {
                check_plane(&stored.tensors()[index], plane, how)?;
            }
        }
        let planes = Planes {
            codes,
            scales,
            zeros,
        };
        Ok(Self {
            encoding: Encoding::Affine(spec),
            blocks: blocks::block_type(stored, how, &layout, planes, as_blocks)?,
            global: global
                .map(|index| Global::read(stored, index, &layout).map(|scales| (index, scales)))
                .transpose()?,
            layout,
            planes,
        })
    }

    /// Decodes the elements that begin at `first`, as many as `out` has: whole units.
    fn decode(&self, stored: &Model, first: usize, len: usize) -> Result<Vec<f32>> {
        let group = match self.layout.spec().group {
            crate::affine::Group::Blocks(n) => n,
            _ => 1,
        };
        let groups = first / group..(first + len) / group;
        let place = self.layout.place(groups.clone())?;
        let read = |index: usize, range: std::ops::Range<usize>| {
            let mut bytes = vec![0; range.len()];
            stored.read_at(index, range.start as u64, &mut bytes)?;
            Ok::<_, Error>(bytes)
        };
        let codes = read(self.planes.codes, place.codes)?;
        let scales = read(self.planes.scales, place.scales)?;
        let zeros = self.planes.zeros.map(|index| read(index, place.zeros));
        let zeros = zeros.transpose()?.unwrap_or_default();
        let spec = self.layout.spec();
        let (scales, spec) = match &self.global {
            Some((_, global)) => global.apply(spec, groups, &scales),
            None => (scales, spec.clone()),
        };
        let planes = AffinePlanes {
            codes: &codes,
            scales: &scales,
            zeros: &zeros,
        };
        dequantize_affine(planes, &[len], &spec)
    }
}

/// The shape of a layer's weights, given its scales.
fn shape(scales: &TensorInfo, how: LayerQuantization) -> Result<Vec<usize>> {
    let mut shape = scales.shape.clone();
    let cols = shape
        .last_mut()
        .filter(|_| scales.shape.len() >= 2)
        .and_then(|groups| {
            *groups = groups.checked_mul(how.group_size)?;
            Some(())
        });
    cols.ok_or_else(|| {
        Error::malformed(format!(
            "its scales have the shape {:?}, which is no matrix of groups",
            scales.shape
        ))
    })?;
    Ok(shape)
}

/// How the planes are laid out, given the type of the scales.
fn spec(scales: &TensorInfo, how: LayerQuantization) -> Result<AffineSpec> {
    let dtype = match scales.dtype {
        float if float.is_plain_float() => float,
        _ => DType::F32,
    };
    how.spec(dtype)
}

/// Fails if a plane is not what config.json says.
fn check_plane(info: &TensorInfo, plane: &AffinePlane, how: LayerQuantization) -> Result<()> {
    let dtype = match plane.dtype {
        DType::F8E8M0 | DType::F8E4M3 => DType::U8,
        dtype => dtype,
    };
    if info.dtype == dtype && info.shape == plane.shape {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "{} is {} {:?}, but with {} bits in groups of {} ({}) it would be {dtype} {:?}; config.json's \"quantization\" and the tensors contradict each other",
        info.name,
        info.dtype,
        info.shape,
        how.bits,
        how.group_size,
        how.mode.name(),
        plane.shape
    )))
}

impl ReadTensors for Joined {
    fn read_at(&self, index: usize, offset: u64, buf: &mut [u8]) -> Result<()> {
        const SIZE: usize = size_of::<f32>();
        let layer = match &self.tensors[index].source {
            Source::Stored(index) => return self.stored.read_at(*index, offset, buf),
            Source::Layer(layer) => layer,
        };
        if let Some(dtype) = layer.blocks {
            let offset = offset as usize;
            return blocks::read(
                &self.stored,
                &layer.layout,
                layer.planes,
                dtype,
                offset,
                buf,
            );
        }
        // Whatever bytes are asked for lie in whole groups, a multiple of which begins whole words.
        let step = layer.layout.align() * 128;
        let (mut at, mut rest) = (offset as usize, buf);
        while !rest.is_empty() {
            let first = at / SIZE / step * step;
            let end = (at + rest.len()).div_ceil(SIZE).next_multiple_of(step);
            let end = end.min(layer.layout.elements());
            let len = (end - first).min(CHUNK.next_multiple_of(step));
            let values = layer.decode(&self.stored, first, len)?;
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let part = &bytes[at - first * SIZE..];
            let (now, later) = rest.split_at_mut(part.len().min(rest.len()));
            now.copy_from_slice(&part[..now.len()]);
            at += now.len();
            rest = later;
        }
        Ok(())
    }

    fn files(&self) -> Vec<&Path> {
        self.stored.files()
    }

    fn location(&self, index: usize) -> Option<Location> {
        match &self.tensors[index].source {
            Source::Stored(index) => self.stored.location(*index),
            Source::Layer(_) => None,
        }
    }

    fn encoding(&self, index: usize) -> Option<&Encoding> {
        match &self.tensors[index].source {
            Source::Stored(_) => None,
            Source::Layer(layer) => Some(&layer.encoding),
        }
    }
}
