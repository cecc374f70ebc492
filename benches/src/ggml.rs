//! ggml's own encoders, from its shared library.

use libloading::Library;
use quantlib::DType;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};

type QuantizeChunk =
    unsafe extern "C" fn(c_int, *const f32, *mut c_void, i64, i64, i64, *const f32) -> usize;

/// `libggml-base.so`, loaded.
pub(crate) struct Ggml {
    quantize_chunk: QuantizeChunk,
    _library: Library,
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
            _library: library,
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
}
