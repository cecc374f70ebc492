"""Tensors of other libraries, through the DLPack protocol."""

import ctypes
import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

import quantlib as ql


class Wrapped:
    """A tensor that is no NumPy array: it hands out NumPy's capsules, and counts."""

    def __init__(self, array, versions=True):
        self.array, self.versions, self.exports = array, versions, 0

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **kwargs):
        if kwargs and not self.versions:
            raise TypeError("an exporter from before version 1.0")
        self.exports += 1
        return self.array.__dlpack__(**kwargs)


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class Bare:
    """A tensor made of nothing but the structures of dlpack.h, with any type and strides."""

    def __init__(self, array, code, device=1, strides=None, offset=0):
        self.array, self.deleted = array, 0
        self.shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        self.strides = (ctypes.c_int64 * array.ndim)(*strides) if strides else None
        self.deleter = DELETER(self.delete)
        tensor = Tensor(
            data=array.ctypes.data - offset,
            device_type=device,
            ndim=array.ndim,
            code=code,
            bits=array.itemsize * 8,
            lanes=1,
            shape=self.shape,
            strides=self.strides,
            byte_offset=offset,
        )
        self.managed = Managed(tensor=tensor, deleter=self.deleter)

    def delete(self, _):
        self.deleted += 1

    def __dlpack_device__(self):
        return (self.managed.tensor.device_type, 0)

    def __dlpack__(self):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)


def rows(tensor):
    return tensor.data.tobytes()


@pytest.mark.parametrize("versions", [True, False])
@pytest.mark.parametrize("element", [np.float32, np.float16, np.float64])
def test_capsules_of_both_versions(weights, versions, element):
    x = weights.astype(element)
    for array in (x, x[::2, ::-1], x.T.copy().T):
        tensor = Wrapped(array, versions)
        assert rows(ql.quantize(tensor, "q4_k")) == rows(ql.quantize(array, "q4_k"))
        assert tensor.exports == 1


def test_bfloat16_is_borrowed_and_given_back(weights):
    x = weights.astype(ml_dtypes.bfloat16)
    tensor = Bare(x, code=4)
    assert rows(ql.quantize(tensor, "q4_k")) == rows(ql.quantize(x, "q4_k"))
    gc.collect()
    assert tensor.deleted == 1


def test_strides_and_offsets_are_in_their_own_units(weights):
    square = np.ascontiguousarray(weights[:, :6])
    wide = np.tile(weights, (1, 1))
    assert rows(ql.quantize(Bare(square, 2, strides=(1, 6), offset=16), "f16")) == rows(
        ql.quantize(square.T, "f16")
    )
    assert rows(ql.quantize(Bare(wide, 2, strides=(512, 1)), "q6_k")) == rows(ql.quantize(wide, "q6_k"))


def test_what_cannot_be_taken_is_given_back_and_named(weights):
    on_a_gpu = Bare(weights, code=2, device=2)
    with pytest.raises(ql.MisuseError, match="CPU"):
        ql.quantize(on_a_gpu, "q4_k")
    integers = Bare(weights.view(np.int32), code=0)
    with pytest.raises(TypeError, match="float32"):
        ql.quantize(integers, "q4_k")
    gc.collect()
    assert integers.deleted == 1


def test_empty_tensor():
    assert ql.quantize(Bare(np.zeros((0, 256), np.float32), code=2), "q4_k").shape == (0, 256)


def test_no_reference_is_kept(weights):
    class Owner(np.ndarray):
        pass

    owner = weights.view(Owner)
    alive = weakref.ref(owner)
    tensor = Wrapped(owner)
    ql.quantize(tensor, "q8_0")
    del tensor, owner
    gc.collect()
    assert alive() is None


def test_torch(weights):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(weights)
    for element in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        y = x.to(element)
        expected = ql.quantize(y.float().numpy(), "q4_k")
        assert rows(ql.quantize(y, "q4_k")) == rows(expected)
        assert rows(ql.quantize(torch.nn.Parameter(y), "q4_k")) == rows(expected)
        transposed = y.T.contiguous().T
        assert rows(ql.quantize(transposed, "q4_k")) == rows(expected)
    with pytest.raises(TypeError):
        ql.quantize(x.to(torch.int32), "q4_k")
    q = ql.quantize(x, "q4_k", importance=torch.ones(512))
    assert np.array_equal(ql.dequantize(torch.from_numpy(q.data), "q4_k"), q.dequantize())
