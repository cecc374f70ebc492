//! ggml's own encoders and decoders, from its shared library.

use libloading::Library;
use quantlib::DType;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};

type DequantizeRow = unsafe extern "C" fn(*const c_void, *mut f32, i64);
type QuantizeRow = unsafe extern "C" fn(*const f32, *mut c_void, i64);
type QuantizeChunk =
    unsafe extern "C" fn(c_int, *const f32, *mut c_void, i64, i64, i64, *const f32) -> usize;

/// `libggml-base.so`, loaded.
pub(crate) struct Ggml {
    quantize_chunk: QuantizeChunk,
    library: Library,
}

impl Ggml {
    /// From `QUANTLIB_GGML_DIR`, or from where `scripts/get-ggml` puts it.
    pub(crate) fn load() -> Result<Self, String> {
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers/ggml");
        let folder = std::env::var_os("QUANTLIB_GGML_DIR").map_or(usual, PathBuf::from);
        let path = folder.join("libggml-base.so");
        let hint = |e| format!("{}: {e}; run scripts/get-ggml", path.display());
        // SAFETY: the library is ggml's, whose initializers only fill tables.
        let library = unsafe { Library::new(&path) }.map_err(hint)?;
        // SAFETY: the signature is that of ggml.h.
        let symbol = unsafe { library.get::<QuantizeChunk>(b"ggml_quantize_chunk\0") };
        Ok(Self {
            quantize_chunk: *symbol.map_err(hint)?,
            library,
        })
    }

    /// Encodes rows into `out`.
    pub(crate) fn quantize(
        &self,
        dtype: DType,
        x: &[f32],
        cols: usize,
        importance: Option<&[f32]>,
        out: &mut [u8],
    ) {
        if matches!(dtype, DType::Q8_1 | DType::Q8K) {
            return self.quantize_activations(dtype, x, out);
        }
        let rows = x.len() / cols;
        assert_eq!(out.len(), dtype.tensor_bytes(&[rows, cols]).unwrap());
        assert!(importance.is_none_or(|w| w.len() == cols));
        // SAFETY: `x` has rows * cols floats, `out` the bytes of as many rows, the weights are null
        // or have `cols` floats; the library is still loaded.
        let written = unsafe {
            (self.quantize_chunk)(
                dtype.ggml_id().unwrap() as c_int,
                x.as_ptr(),
                out.as_mut_ptr().cast(),
                0,
                rows as i64,
                cols as i64,
                importance.map_or(std::ptr::null(), <[f32]>::as_ptr),
            )
        };
        assert_eq!(written, out.len());
    }

    /// Encodes to one of the types that `ggml_quantize_chunk` does not know.
    fn quantize_activations(&self, dtype: DType, x: &[f32], out: &mut [u8]) {
        let name = format!("quantize_row_{}_ref\0", c_name(dtype));
        assert_eq!(out.len(), dtype.tensor_bytes(&[x.len()]).unwrap());
        // SAFETY: the signature is that of ggml-quants.h; `out` has the bytes of all of `x`.
        unsafe {
            let quantize = self.library.get::<QuantizeRow>(name.as_bytes()).unwrap();
            quantize(x.as_ptr(), out.as_mut_ptr().cast(), x.len() as i64);
        }
    }

    /// Whether ggml has a decoder for this type.
    pub(crate) fn can_decode(&self, dtype: DType) -> bool {
        dtype != DType::Q8_1
    }

    /// Decodes blocks into `out`.
    pub(crate) fn dequantize(&self, dtype: DType, data: &[u8], out: &mut [f32]) {
        let name = match dtype {
            DType::F16 => "ggml_fp16_to_fp32_row\0".to_owned(),
            DType::BF16 => "ggml_bf16_to_fp32_row\0".to_owned(),
            _ => format!("dequantize_row_{}\0", c_name(dtype)),
        };
        assert_eq!(data.len(), dtype.tensor_bytes(&[out.len()]).unwrap());
        // SAFETY: the signature is that of ggml-quants.h; `out` has room for every block of `data`.
        unsafe {
            let dequantize = self.library.get::<DequantizeRow>(name.as_bytes()).unwrap();
            dequantize(data.as_ptr().cast(), out.as_mut_ptr(), out.len() as i64);
        }
    }
}

/// The type's name inside ggml's function names.
fn c_name(dtype: DType) -> String {
    dtype.name().replace("_k", "_K")
}
