//! Opened models: tensors and metadata of any file that the core reads.

use crate::dtype::ql_dtype;
use crate::memory::{give, output, store, text};
use crate::status::{guard, misuse, ql_status};
use crate::value::{borrow, ql_value};
use quantlib::Error;
use quantlib::model::Model;
use std::ffi::{CString, c_char, c_void};
use std::ptr;

/// An opened model. Threads may share one, as long as none closes it.
pub struct ql_model {
    model: Model,
    tensor_names: Vec<CString>,
    keys: Vec<CString>,
}

/// Most dimensions that `ql_tensor_info` holds.
pub const QL_MAX_DIMS: usize = 8;

/// A stored tensor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ql_tensor_info {
    /// NUL-terminated UTF-8; lives until the model is closed.
    pub name: *const c_char,
    /// How the elements are stored.
    pub dtype: ql_dtype,
    /// Number of dimensions.
    pub n_dims: u32,
    /// Row-major: the last dimension is contiguous. Those from `n_dims` on are 0.
    pub shape: [u64; QL_MAX_DIMS],
    /// Length in bytes.
    pub nbytes: u64,
}

/// Opens a GGUF or safetensors file, or a Hugging Face folder. Headers are read now, tensors later.
///
/// # Safety
/// `path` is a NUL-terminated string (UTF-8), `out` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_open(path: *const c_char, out: *mut *mut ql_model) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises a NUL-terminated string.
        let model = quantlib::open(unsafe { text(path, "path") }?)?;
        let tensor_names = names(model.tensors().iter().map(|info| info.name.as_str()))?;
        let keys = names(model.metadata().keys().map(String::as_str))?;
        let handle = ql_model {
            model,
            tensor_names,
            keys,
        };
        // SAFETY: the caller promises writable memory.
        unsafe { give(out, handle) }
    })
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<CString>, Error> {
    names
        .map(|name| CString::new(name).map_err(|_| misuse("a name holds a NUL")))
        .collect()
}

/// Closes a model; null is allowed. Everything borrowed from it dies.
///
/// # Safety
/// `model` is null or from `ql_model_open`, and not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_close(model: *mut ql_model) {
    if !model.is_null() {
        // SAFETY: from `Box::into_raw` in `ql_model_open`, and closed only once.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// Number of tensors; 0 for null.
///
/// # Safety
/// `model` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_tensor_count(model: *const ql_model) -> usize {
    // SAFETY: null, or open by the caller's promise.
    unsafe { model.as_ref() }.map_or(0, |m| m.model.tensors().len())
}

/// Name, type and shape of the tensor at `index`, in file order.
///
/// # Safety
/// `model` is open, `out` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_tensor_info(
    model: *const ql_model,
    index: usize,
    out: *mut ql_tensor_info,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises an open model.
        let model = unsafe { opened(model) }?;
        let info = model.model.tensors().get(index).ok_or_else(no_tensor)?;
        if info.shape.len() > QL_MAX_DIMS {
            return Err(misuse("the tensor has more than QL_MAX_DIMS dimensions"));
        }
        let mut shape = [0; QL_MAX_DIMS];
        for (to, from) in shape.iter_mut().zip(&info.shape) {
            *to = *from as u64;
        }
        let info = ql_tensor_info {
            name: model.tensor_names[index].as_ptr(),
            dtype: info.dtype.id(),
            n_dims: info.shape.len() as u32,
            shape,
            nbytes: info.nbytes() as u64,
        };
        // SAFETY: the caller promises writable memory.
        unsafe { store(out, info) }
    })
}

/// The index of the tensor of this name.
///
/// # Safety
/// `model` is open, `name` is a NUL-terminated string, `index` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_find_tensor(
    model: *const ql_model,
    name: *const c_char,
    index: *mut usize,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises an open model.
        let model = unsafe { opened(model) }?;
        // SAFETY: the caller promises a NUL-terminated string.
        let name = unsafe { text(name, "name") }?;
        let found = model.model.index_of(name);
        let found = found.ok_or_else(|| misuse(&format!("there is no tensor '{name}'")))?;
        // SAFETY: the caller promises writable memory.
        unsafe { store(index, found) }
    })
}

/// Reads `len` bytes of the tensor at `index`, from byte `offset` of it on.
///
/// # Safety
/// `model` is open, `dst` is valid for writes of `len` bytes that nothing else touches meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_read(
    model: *const ql_model,
    index: usize,
    offset: u64,
    dst: *mut c_void,
    len: usize,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises an open model.
        let model = unsafe { opened(model) }?;
        if index >= model.model.tensors().len() {
            return Err(no_tensor());
        }
        // SAFETY: the caller promises `len` writable bytes.
        let dst = unsafe { output(dst.cast::<u8>(), len, "dst") }?;
        model.model.read_at(index, offset, dst)
    })
}

/// Number of metadata keys; 0 for null.
///
/// # Safety
/// `model` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_metadata_count(model: *const ql_model) -> usize {
    // SAFETY: null, or open by the caller's promise.
    unsafe { model.as_ref() }.map_or(0, |m| m.keys.len())
}

/// The metadata key at `index`, in file order; null if there is none. Lives until the model is
/// closed.
///
/// # Safety
/// `model` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_metadata_key(
    model: *const ql_model,
    index: usize,
) -> *const c_char {
    // SAFETY: null, or open by the caller's promise.
    let key = unsafe { model.as_ref() }.and_then(|m| m.keys.get(index));
    key.map_or(ptr::null(), |key| key.as_ptr())
}

/// The metadata value of a key.
///
/// # Safety
/// `model` is open, `key` is a NUL-terminated string, `out` points to writable memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ql_model_metadata(
    model: *const ql_model,
    key: *const c_char,
    out: *mut ql_value,
) -> ql_status {
    guard(|| {
        // SAFETY: the caller promises an open model.
        let model = unsafe { opened(model) }?;
        // SAFETY: the caller promises a NUL-terminated string.
        let key = unsafe { text(key, "key") }?;
        let value = model.model.metadata().get(key);
        let value = value.ok_or_else(|| misuse(&format!("there is no key '{key}'")))?;
        // SAFETY: the caller promises writable memory.
        unsafe { store(out, borrow(value)) }
    })
}

/// # Safety
/// `model` is null or open while `'a` lasts.
unsafe fn opened<'a>(model: *const ql_model) -> Result<&'a ql_model, Error> {
    // SAFETY: null, or open by the caller's promise.
    unsafe { model.as_ref() }.ok_or_else(|| misuse("model is a null pointer"))
}

fn no_tensor() -> Error {
    misuse("index is not below ql_model_tensor_count")
}
