//! ggml's products of encoded rows with encoded vectors, from the shared libraries of `ggml-cpu`: one
//! for each generation of CPUs. Also included by the benches.

use libloading::Library;
use quantlib_codecs::DType;
use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};

/// `ggml_type_traits_cpu` of ggml-cpu.h.
#[repr(C)]
struct Traits {
    from_float: Option<unsafe extern "C" fn(*const f32, *mut c_void, i64)>,
    vec_dot: Option<VecDot>,
    vec_dot_type: c_int,
    _nrows: i64,
}

type VecDot = unsafe extern "C" fn(
    n: c_int,
    out: *mut f32,
    out_stride: usize,
    row: *const c_void,
    row_stride: usize,
    vector: *const c_void,
    vector_stride: usize,
    rows: c_int,
);

/// One of the libraries.
pub(crate) struct GgmlCpu {
    /// `"x64"`, `"haswell"` and so on.
    pub(crate) name: &'static str,
    library: Library,
}

impl GgmlCpu {
    /// Those that this CPU can run, the one that llama.cpp prefers last; none without the libraries
    /// that `scripts/get-ggml` fetches (or `QUANTLIB_GGML_DIR` has).
    pub(crate) fn all() -> Vec<Self> {
        let names = ["x64", "sse42", "haswell", "skylakex", "icelake"];
        names.into_iter().filter_map(Self::load).collect()
    }

    fn load(name: &'static str) -> Option<Self> {
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.peers/ggml");
        let folder = std::env::var_os("QUANTLIB_GGML_DIR").map_or(usual, PathBuf::from);
        let path = folder.join(format!("libggml-cpu-{name}.so"));
        if !path.exists() {
            return None;
        }
        // SAFETY: the library is ggml's, whose initializers only fill tables.
        let library = unsafe { Library::new(&path) };
        let library = library.unwrap_or_else(|e| panic!("cannot load {}: {e}", path.display()));
        // SAFETY: the signatures are those of ggml-backend-impl.h and ggml-cpu.h.
        unsafe {
            let score = library.get::<unsafe extern "C" fn() -> c_int>(b"ggml_backend_score\0");
            // 0 says that the CPU cannot run it; the baseline has no score.
            if score.is_ok_and(|score| score() == 0) {
                return None;
            }
            let init = library.get::<unsafe extern "C" fn()>(b"ggml_cpu_init\0");
            init.unwrap()();
        }
        Some(Self { name, library })
    }

    fn traits(&self, dtype: DType) -> &Traits {
        // SAFETY: the signature is that of ggml-cpu.h; the result points into a table of the library.
        unsafe {
            let get = self
                .library
                .get::<unsafe extern "C" fn(c_int) -> *const Traits>(b"ggml_get_type_traits_cpu\0");
            &*get.unwrap()(dtype.ggml_id().unwrap() as c_int)
        }
    }

    /// The type of the vectors that rows of `dtype` are multiplied with, if there is such a product.
    pub(crate) fn vector_type(&self, dtype: DType) -> Option<DType> {
        let traits = self.traits(dtype);
        traits
            .vec_dot
            .and_then(|_| DType::from_id(traits.vec_dot_type as u32))
    }

    /// Encodes a vector.
    pub(crate) fn encode(&self, dtype: DType, x: &[f32], out: &mut [u8]) {
        let from_float = self.traits(dtype).from_float.unwrap();
        assert_eq!(out.len(), dtype.row_bytes(x.len()).unwrap());
        // SAFETY: `out` has the bytes of all of `x`.
        unsafe { from_float(x.as_ptr(), out.as_mut_ptr().cast(), x.len() as i64) }
    }

    /// Rows of `dtype` times a vector that is encoded already.
    pub(crate) fn matvec(&self, dtype: DType, rows: &[u8], vector: &[u8], out: &mut [f32]) {
        let traits = self.traits(dtype);
        let vec_dot = traits.vec_dot.unwrap();
        let row_bytes = rows.len() / out.len();
        let cols = row_bytes / dtype.block_bytes() * dtype.block_len();
        let vector_type = DType::from_id(traits.vec_dot_type as u32).unwrap();
        assert_eq!(vector.len(), vector_type.row_bytes(cols).unwrap());
        for (row, out) in rows.chunks_exact(row_bytes).zip(out) {
            // SAFETY: the row has `cols` elements, and so has the vector, of the type that the row's
            // type is multiplied with.
            unsafe {
                let (row, vector) = (row.as_ptr().cast(), vector.as_ptr().cast());
                vec_dot(cols as c_int, out, 0, row, 0, vector, 0, 1);
            }
        }
    }
}
