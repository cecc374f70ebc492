//! Tensors of other libraries through the DLPack protocol, without a copy.
//!
//! The layouts are those of `dlpack.h`, versions before 1.0 and 1.x:
//! <https://dmlc.github.io/dlpack/latest/c_api.html>.

use crate::errors::misuse;
use numpy::PyUntypedArray;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCapsule, PyDict, PyTuple};
use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

const CPU: i32 = 1;
/// Memory of the CPU that a GPU can reach.
const CUDA_HOST: i32 = 3;
/// Type codes.
const INT: u8 = 0;
const UINT: u8 = 1;
const FLOAT: u8 = 2;
const BFLOAT: u8 = 4;
const BOOL: u8 = 6;
/// Versions of the same major number only add at the end.
const MAJOR: u32 = 1;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

/// What a capsule named `dltensor` points to.
#[repr(C)]
struct Legacy {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Legacy)>,
}

/// What a capsule named `dltensor_versioned` points to.
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: DlTensor,
}

#[derive(Clone, Copy)]
enum Managed {
    Legacy(NonNull<Legacy>),
    Versioned(NonNull<Versioned>),
}

/// Keeps a foreign tensor alive as the base of the NumPy array that shows its memory.
#[pyclass(frozen)]
struct Borrowed(Managed);

// SAFETY: the tensor is only read, and a deleter may be called from any thread by the protocol.
unsafe impl Send for Borrowed {}
// SAFETY: nothing is changed through a shared reference.
unsafe impl Sync for Borrowed {}

/// The memory of a tensor on the CPU as a NumPy array, and whether it is bfloat16, seen as uint16.
pub(crate) fn array<'py>(x: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyUntypedArray>, bool)> {
    let py = x.py();
    let (device, _): (i32, Bound<'_, PyAny>) = x
        .call_method0(intern!(py, "__dlpack_device__"))?
        .extract()?;
    check_device(device)?;
    let borrowed = Bound::new(py, Borrowed(take(&export(x)?)?))?;
    let bfloat16 = borrowed.get().tensor().code == BFLOAT;
    let array = py
        .import(intern!(py, "numpy"))?
        .call_method1(intern!(py, "asarray"), (borrowed,))?;
    Ok((array.cast_into()?, bfloat16))
}

fn check_device(device: i32) -> PyResult<()> {
    match device {
        CPU | CUDA_HOST => Ok(()),
        _ => Err(misuse(
            "the tensor is not in the memory of the CPU; move it there first, as with x.cpu()",
        )),
    }
}

/// Calls `__dlpack__`, asking for the current version where the exporter knows versions.
fn export<'py>(x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyCapsule>> {
    let py = x.py();
    // PyTorch exports only what no gradient flows through.
    let gradient = x
        .getattr_opt(intern!(py, "requires_grad"))?
        .is_some_and(|flag| flag.is_truthy().unwrap_or(false));
    let x = if gradient {
        x.call_method0(intern!(py, "detach"))?
    } else {
        x.clone()
    };
    let version = [("max_version", (MAJOR, 0))].into_py_dict(py)?;
    let capsule = match x.call_method(intern!(py, "__dlpack__"), (), Some(&version)) {
        Err(e) if e.is_instance_of::<PyTypeError>(py) => {
            x.call_method0(intern!(py, "__dlpack__"))?
        }
        result => result?,
    };
    Ok(capsule.cast_into()?)
}

/// Takes the tensor out of its capsule, which from then on does not own it.
fn take(capsule: &Bound<'_, PyCapsule>) -> PyResult<Managed> {
    let (managed, used): (_, &'static CStr) =
        match capsule.pointer_checked(Some(c"dltensor_versioned")) {
            Ok(pointer) => (
                Managed::Versioned(pointer.cast()),
                c"used_dltensor_versioned",
            ),
            Err(_) => (
                Managed::Legacy(capsule.pointer_checked(Some(c"dltensor"))?.cast()),
                c"used_dltensor",
            ),
        };
    if let Managed::Versioned(pointer) = managed {
        // SAFETY: the capsule's name says what it points to; the version comes first in every version.
        let major = unsafe { pointer.as_ref().major };
        if major != MAJOR {
            return Err(misuse(format!("DLPack version {major} is not known here")));
        }
    }
    // SAFETY: the capsule is alive, and its new name is static.
    match unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) } {
        0 => Ok(managed),
        _ => Err(PyErr::fetch(capsule.py())),
    }
}

impl Borrowed {
    fn tensor(&self) -> &DlTensor {
        // SAFETY: the tensor was taken out of its capsule and lives until its deleter is called,
        // which happens when `self` is dropped.
        unsafe {
            match &self.0 {
                Managed::Legacy(pointer) => &pointer.as_ref().tensor,
                Managed::Versioned(pointer) => &pointer.as_ref().tensor,
            }
        }
    }

    fn dimensions(&self, values: *const i64) -> Option<&[i64]> {
        let ndim = usize::try_from(self.tensor().ndim).ok()?;
        if values.is_null() {
            return None;
        }
        // SAFETY: `shape` and `strides` have `ndim` values each, or are null.
        Some(unsafe { std::slice::from_raw_parts(values, ndim) })
    }
}

#[pymethods]
impl Borrowed {
    /// NumPy's description of memory that somebody else owns.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensor = self.tensor();
        check_device(tensor.device_type)?;
        let itemsize = i64::from(tensor.bits / 8);
        let kind = match (tensor.code, tensor.bits, tensor.lanes) {
            (INT, 8 | 16 | 32 | 64, 1) => 'i',
            (UINT, 8 | 16 | 32 | 64, 1) | (BFLOAT, 16, 1) => 'u',
            (FLOAT, 16 | 32 | 64, 1) => 'f',
            (BOOL, 8, 1) => 'b',
            (code, bits, lanes) => {
                return Err(PyTypeError::new_err(format!(
                    "the tensor's elements are of no known type: DLPack's code {code} with {bits} \
                     bits and {lanes} lanes; convert it to float32 first"
                )));
            }
        };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", format!("<{kind}{itemsize}"))?;
        let shape = self.dimensions(tensor.shape).unwrap_or(&[]);
        interface.set_item("shape", PyTuple::new(py, shape)?)?;
        if let Some(strides) = self.dimensions(tensor.strides) {
            let strides = strides.iter().map(|s| s * itemsize).collect::<Vec<_>>();
            interface.set_item("strides", PyTuple::new(py, strides)?)?;
        }
        let address = tensor.data.wrapping_byte_add(tensor.byte_offset as usize) as usize;
        interface.set_item("data", (address, true))?;
        Ok(interface)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: `self` owns the tensor and gives it back once.
        unsafe {
            match self.0 {
                Managed::Legacy(pointer) => {
                    if let Some(deleter) = pointer.as_ref().deleter {
                        deleter(pointer.as_ptr());
                    }
                }
                Managed::Versioned(pointer) => {
                    if let Some(deleter) = pointer.as_ref().deleter {
                        deleter(pointer.as_ptr());
                    }
                }
            }
        }
    }
}
