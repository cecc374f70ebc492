//! One tensor out of a model.

use crate::block;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format;
use crate::io::OutputSet;
use crate::job::JobOptions;
use crate::model::TensorInfo;
use crate::simd::Isa;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Elements that are read and written at a time: a multiple of every block's length.
const PIECE: usize = 1 << 18;

/// What becomes of an extracted tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractAs {
    /// A NumPy file: f32 for floats and quantized types, integers as they are.
    #[default]
    Npy,
    /// The bytes as they are stored, and nothing else.
    Raw,
}

/// Writes one tensor of a GGUF or safetensors model into a file, piece by piece.
///
/// ```no_run
/// use quantlib::job::{ExtractAs, JobOptions, extract_tensor};
/// let (out, options) = ("embeddings.npy", JobOptions::default());
/// extract_tensor("model.gguf", "token_embd.weight", out, ExtractAs::Npy, options)?;
/// # Ok::<(), quantlib::Error>(())
/// ```
///
/// # Errors
/// Those of opening the model; `misuse` if there is no such tensor, or the output is the input;
/// `unsupported` for types that NumPy lacks and that have no decoder; `io`; `cancelled`.
pub fn extract_tensor(
    src: impl AsRef<Path>,
    name: &str,
    out: impl AsRef<Path>,
    form: ExtractAs,
    mut options: JobOptions<'_>,
) -> Result<TensorInfo> {
    let model = format::open(src.as_ref())?;
    let Some(index) = model.index_of(name) else {
        return Err(Error::misuse("there is no tensor of this name")
            .in_file(src.as_ref())
            .in_tensor(name));
    };
    let info = &model.tensors()[index];
    let form = Form::new(info, form).map_err(|e| e.in_tensor(name).in_file(src.as_ref()))?;
    if options.dry_run {
        return Ok(info.clone());
    }
    let inputs: Vec<PathBuf> = model.files().into_iter().map(Path::to_path_buf).collect();
    let set = OutputSet::file(out.as_ref(), &inputs)?;
    set.write_at(0, 0, &form.head)?;
    let (mut stored, mut made, mut at) = (Vec::new(), Vec::new(), form.head.len() as u64);
    let elements = info.elements();
    for start in (0..elements).step_by(PIECE) {
        if options
            .cancel
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
        {
            return Err(Error::cancelled());
        }
        let len = (elements - start).min(PIECE);
        let bytes = |elements: usize| elements / info.dtype.block_len() * info.dtype.block_bytes();
        stored.resize(bytes(len), 0);
        model.read_at(index, bytes(start) as u64, &mut stored)?;
        let piece = form.make(&stored, len, &mut made);
        set.write_at(0, at, piece)?;
        at += piece.len() as u64;
        let (done, total) = (bytes(start + len) as u64, info.nbytes() as u64);
        let progress = options.progress.as_mut();
        if progress.is_some_and(|tell| tell(done, total, name).is_break()) {
            return Err(Error::cancelled());
        }
    }
    set.commit()?;
    Ok(info.clone())
}

/// What the file begins with, and how elements become bytes.
struct Form {
    head: Vec<u8>,
    decoder: Option<(&'static block::Codec, Isa)>,
}

impl Form {
    fn new(info: &TensorInfo, form: ExtractAs) -> Result<Self> {
        if form == ExtractAs::Raw {
            return Ok(Self {
                head: Vec::new(),
                decoder: None,
            });
        }
        let (descr, decoder) = match numpy_type(info.dtype) {
            Some(descr) => (descr, None),
            None => ("<f4", Some((block::codec(info.dtype)?, Isa::preferred()?))),
        };
        Ok(Self {
            head: npy_head(descr, &info.shape),
            decoder,
        })
    }

    fn make<'b>(&self, stored: &'b [u8], len: usize, made: &'b mut Vec<u8>) -> &'b [u8] {
        let Some((decoder, isa)) = self.decoder else {
            return stored;
        };
        let mut values = vec![0.0; len];
        decoder.decode(isa, stored, &mut values);
        made.clear();
        made.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        made
    }
}

/// What NumPy calls a type whose elements are stored as it has them.
fn numpy_type(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "<f8",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
        _ => return None,
    })
}

/// The head of a file of NumPy's format 1.0.
fn npy_head(descr: &str, shape: &[usize]) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    let dims: Vec<_> = shape.iter().map(usize::to_string).collect();
    let comma = if dims.len() == 1 { "," } else { "" };
    let dims = dims.join(", ");
    let dict =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}{comma}), }}");
    let before = b"\x93NUMPY\x01\x00".len() + size_of::<u16>();
    let len = (before + dict.len() + 1).next_multiple_of(ALIGNMENT) - before;
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend((len as u16).to_le_bytes());
    head.extend(dict.bytes());
    head.resize(before + len - 1, b' ');
    head.push(b'\n');
    head
}
