//! The two implementations behind one trait: ours, and ggml's own library where it is found.

use libloading::Library;
use quantlib_codecs::{CodecOptions, DType, Isa};
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) trait Engine {
    fn encode(&self, dtype: DType, x: &[f32], cols: usize, importance: Option<&[f32]>) -> Vec<u8>;
    fn decode(&self, dtype: DType, data: &[u8]) -> Vec<f32>;
}

/// This crate, through its public functions, with one instruction set.
pub(crate) struct Ours(pub(crate) Isa);

impl Engine for Ours {
    fn encode(&self, dtype: DType, x: &[f32], cols: usize, importance: Option<&[f32]>) -> Vec<u8> {
        let mut out = vec![0xA5; x.len() / dtype.block_len() * dtype.block_bytes()];
        let options = self.options();
        quantlib_codecs::quantize_into(x.into(), cols, dtype, importance, &options, &mut out)
            .unwrap();
        out
    }

    fn decode(&self, dtype: DType, data: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; data.len() / dtype.block_bytes() * dtype.block_len()];
        quantlib_codecs::dequantize_into(data, dtype, &self.options(), &mut out).unwrap();
        out
    }
}

impl Ours {
    fn options(&self) -> CodecOptions {
        let mut options = CodecOptions::default();
        options.threads = 1;
        options.isa = Some(self.0);
        options
    }
}

/// ggml's `libggml-base.so`.
pub(crate) struct Ggml(Library);

type QuantizeChunk =
    unsafe extern "C" fn(c_int, *const f32, *mut c_void, i64, i64, i64, *const f32) -> usize;
type RequiresImatrix = unsafe extern "C" fn(c_int) -> bool;
type QuantizeRow = unsafe extern "C" fn(*const f32, *mut c_void, i64);
type DequantizeRow = unsafe extern "C" fn(*const c_void, *mut f32, i64);

impl Ggml {
    /// The contract's library in `QUANTLIB_GGML_DIR` or where `scripts/get-ggml` puts it, or `None`.
    /// Says on standard error, once, which it is.
    pub(crate) fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Ggml>> = OnceLock::new();
        FOUND.get_or_init(Self::load_and_say).as_ref()
    }

    fn load_and_say() -> Option<Self> {
        let named = std::env::var_os("QUANTLIB_GGML_DIR").map(PathBuf::from);
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers/ggml");
        let path = named.as_ref().unwrap_or(&usual).join("libggml-base.so");
        let found = (named.is_some() || path.exists()).then(|| {
            // SAFETY: the library is ggml's, whose initializers only fill tables.
            let library = unsafe { Library::new(&path) };
            Self(library.unwrap_or_else(|e| panic!("cannot load {}: {e}", path.display())))
        });
        let how = match found {
            Some(_) => format!("live against {}, and golden hashes", path.display()),
            None => "golden hashes only; `scripts/get-ggml` fetches ggml itself".to_owned(),
        };
        // Not eprintln!, which the test runner swallows.
        writeln!(std::io::stderr(), "ggml codecs: {how}").ok();
        found
    }

    /// Whether ggml encodes to this type with importance only.
    pub(crate) fn needs_importance(&self, dtype: DType) -> bool {
        // SAFETY: the signature is that of ggml.h; the function only compares its argument.
        unsafe {
            let requires = self
                .0
                .get::<RequiresImatrix>(b"ggml_quantize_requires_imatrix\0")
                .unwrap();
            requires(dtype.ggml_id().unwrap() as c_int)
        }
    }

    /// Encodes to one of the types for activations, which `ggml_quantize_chunk` does not know.
    fn encode_activations(&self, dtype: DType, x: &[f32], out: &mut [u8]) {
        let symbol = format!("quantize_row_{}_ref\0", ggml_name(dtype));
        // SAFETY: the signature is that of ggml-quants.h; `out` has the bytes of all of `x`.
        unsafe {
            let quantize = self.0.get::<QuantizeRow>(symbol.as_bytes()).unwrap();
            quantize(x.as_ptr(), out.as_mut_ptr().cast(), x.len() as i64);
        }
    }
}

impl Engine for Ggml {
    fn encode(&self, dtype: DType, x: &[f32], cols: usize, importance: Option<&[f32]>) -> Vec<u8> {
        let mut out = vec![0; dtype.tensor_bytes(&[x.len() / cols, cols]).unwrap()];
        if matches!(dtype, DType::Q8_1 | DType::Q8K) {
            self.encode_activations(dtype, x, &mut out);
            return out;
        }
        let weights = importance.map_or(std::ptr::null(), |w| {
            assert_eq!(w.len(), cols);
            w.as_ptr()
        });
        // SAFETY: the signature is that of ggml.h; `x` has rows * cols floats, `out` the bytes of as
        // many rows, `weights` is null or has `cols` floats.
        let written = unsafe {
            let quantize = self
                .0
                .get::<QuantizeChunk>(b"ggml_quantize_chunk\0")
                .unwrap();
            quantize(
                dtype.ggml_id().unwrap() as c_int,
                x.as_ptr(),
                out.as_mut_ptr().cast(),
                0,
                (x.len() / cols) as i64,
                cols as i64,
                weights,
            )
        };
        assert_eq!(written, out.len());
        out
    }

    fn decode(&self, dtype: DType, data: &[u8]) -> Vec<f32> {
        let symbol = match dtype {
            DType::F32 => {
                return data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b))
                    .collect();
            }
            DType::F16 | DType::BF16 => format!("ggml_{}_to_fp32_row\0", ggml_float_name(dtype)),
            _ => format!("dequantize_row_{}\0", ggml_name(dtype)),
        };
        let mut out = vec![0.0; data.len() / dtype.block_bytes() * dtype.block_len()];
        // SAFETY: the signature is that of ggml-quants.h; `out` has room for every block of `data`.
        unsafe {
            let dequantize = self.0.get::<DequantizeRow>(symbol.as_bytes()).unwrap();
            dequantize(data.as_ptr().cast(), out.as_mut_ptr(), out.len() as i64);
        }
        out
    }
}

/// The type's name inside ggml's function names.
fn ggml_name(dtype: DType) -> String {
    dtype.name().replace("_k", "_K")
}

fn ggml_float_name(dtype: DType) -> &'static str {
    if dtype == DType::F16 { "fp16" } else { "bf16" }
}
