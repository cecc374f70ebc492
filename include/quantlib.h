// quantlib: quantize neural networks and convert model files.
//
// Generated from quantlib-ffi/src by cbindgen; `make header` writes it. The rules of this interface
// (ownership, errors, threads) are in docs/c-api.md.

#ifndef QUANTLIB_H
#define QUANTLIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Most dimensions that `ql_tensor_info` holds.
#define QL_MAX_DIMS 8

// What a call returned. The numbers never change; new ones may be added.
typedef enum {
  // It worked.
  QL_OK = 0,
  // The operating system refused: a missing file, a full disk, a lost permission.
  QL_ERROR_IO = 1,
  // A file does not follow its format.
  QL_ERROR_MALFORMED = 2,
  // The caller passed something that cannot work.
  QL_ERROR_MISUSE = 3,
  // The input is fine, but nothing here can do this with it.
  QL_ERROR_UNSUPPORTED = 4,
  // A limit of memory or size would be exceeded.
  QL_ERROR_LIMIT = 5,
  // The progress callback asked to stop.
  QL_ERROR_CANCELLED = 6,
  // A bug in this library; the message says where.
  QL_ERROR_INTERNAL = 7,
} ql_status;

// The type of a metadata value; the numbers are GGUF's.
typedef enum {
  // `uint8_t`
  QL_VALUE_U8 = 0,
  // `int8_t`
  QL_VALUE_I8 = 1,
  // `uint16_t`
  QL_VALUE_U16 = 2,
  // `int16_t`
  QL_VALUE_I16 = 3,
  // `uint32_t`
  QL_VALUE_U32 = 4,
  // `int32_t`
  QL_VALUE_I32 = 5,
  // `float`
  QL_VALUE_F32 = 6,
  // One byte, 0 or 1.
  QL_VALUE_BOOL = 7,
  // Bytes, usually UTF-8, without a NUL at the end.
  QL_VALUE_STRING = 8,
  // Elements of one type.
  QL_VALUE_ARRAY = 9,
  // `uint64_t`
  QL_VALUE_U64 = 10,
  // `int64_t`
  QL_VALUE_I64 = 11,
  // `double`
  QL_VALUE_F64 = 12,
} ql_value_type;

// A GGUF file that is being written. It appears, whole, when it is finished.
typedef struct ql_gguf_writer ql_gguf_writer;

// An opened model. Threads may share one, as long as none closes it.
typedef struct ql_model ql_model;

// How a planar tensor is quantized and laid out.
typedef struct {
  // `sizeof(ql_affine_spec)`, or 0 for the first version of this struct.
  size_t struct_size;
  // "mlx", "mxfp4", "mxfp8", "nvfp4", "gpt-oss", "matmulnbits", "qdq", "openvino", "nf4", "fp4",
  // "fp8-e4m3", "fp8-e5m2", or "openvino-" with nf4, fp4, fp8, mxfp4 or mxfp8; null means "mlx".
  const char *layout;
  // The type of scales, such as "f16"; null means what the layout's own tool would write.
  const char *scale_type;
  // Bits of a code: 1 to 8, or 16; 0 means 4.
  uint32_t bits;
  // Which elements share a scale: 0 those of a group, 1 those with the same index along the axis,
  // 2 all.
  uint32_t grouping;
  // Elements of a group, neighbours along the axis; 0 means 32.
  size_t group_size;
  // The axis, from 0; negative counts from the last. Most layouts want -1.
  int64_t axis;
  // How much of the range of what shares a scale is kept: 0 all, 1 that of `millionths` of the
  // elements, 2 what has the least relative entropy, 3 what has the least squared error. 1 and 2 not
  // for groups.
  uint32_t clip;
  // The share of the elements if `clip` is 1; 1000000 is all.
  uint32_t millionths;
  // Ranges that are the same on both sides of zero, if not 0.
  uint8_t symmetric;
  // Must be 0.
  uint8_t reserved[3];
  // What the scales of "nvfp4" are relative to: the largest magnitude of the tensor; 0 means none.
  float global_scale;
} ql_affine_spec;

// The number of a tensor type: ggml's own numbers below 1000.
typedef uint32_t ql_dtype;

// Told how far a job is; a nonzero return value cancels it. `user` is `ql_options.user`. The call
// may come from another thread than the one that started the job, but never from two at a time.
typedef int (*ql_progress)(void *user, uint64_t done, uint64_t total);

// Options; all-zero means defaults, and so does a null pointer to them.
typedef struct {
  // `sizeof(ql_options)`, or 0 for the first version of this struct.
  size_t struct_size;
  // Number of threads; 0 means all.
  uint32_t threads;
  // NaN and infinite elements: 0 refuses them, 1 encodes them as zeros.
  uint32_t non_finite;
  // Most memory that a job's buffers may take, in bytes; 0 means 128 MiB.
  uint64_t memory_limit;
  // Called while a job runs; may be null.
  ql_progress progress;
  // Passed to `progress`.
  void *user;
  // One type for every tensor that is quantized at all, if not 0; of ONNX models no product keeps more
  // bits because it is sensitive.
  uint8_t pure;
  // Quantize tensors that are quantized already, if not 0.
  uint8_t allow_requantize;
  // Must be 0.
  uint8_t reserved[6];
  // For `ql_quantize_model`: the path of an importance matrix (UTF-8), a GGUF or .dat file; may be
  // null. Like the strings of that call, it is not kept.
  const char *imatrix;
  // For `ql_quantize_model` and `ql_convert_model`: lines of what else the command's options say, each
  // `name=value` or `name`, such as "group-size=32\nlayer-type=lm_head=mlx-8bit" (UTF-8); may be null.
  // MLX folders know `group-size`, `layer-type`, `as-is`, `exact` and `force`; ONNX models `block-size`,
  // `symmetric`, `layout`, `accuracy-level`, `exclude`, `exclude-op`, `ops`, `node`, `per-tensor`,
  // `reduce-range`, `keep-io`, `format`, `calibration` (a file of ranges) and `external-data`;
  // `ql_convert_model` also `to` (`gguf`, `mlx` or `hf`). Not kept either.
  const char *settings;
} ql_options;

// A stored tensor.
typedef struct {
  // NUL-terminated UTF-8; lives until the model is closed.
  const char *name;
  // How the elements are stored.
  ql_dtype dtype;
  // Number of dimensions.
  uint32_t n_dims;
  // Row-major: the last dimension is contiguous. Those from `n_dims` on are 0.
  uint64_t shape[QL_MAX_DIMS];
  // Length in bytes.
  uint64_t nbytes;
} ql_tensor_info;

// A borrowed metadata value; it lives until the model is closed.
typedef struct {
  // What it is: a `ql_value_type`.
  uint32_t type;
  // What an array's elements are; otherwise the same as `type`.
  uint32_t element_type;
  // Elements of an array, bytes of a string, otherwise 1.
  size_t count;
  // `count` elements of `element_type`; null for arrays of strings or arrays, whose elements
  // `ql_value_item` gives.
  const void *data;
  // Private.
  const void *array;
} ql_value;

// An encoded tensor in the caller's memory: one array of blocks, or planes.
typedef struct {
  // `sizeof(ql_encoded)`, or 0 for the first version of this struct.
  size_t struct_size;
  // What the planes are; null for blocks.
  const ql_affine_spec *spec;
  // The type of the blocks; of planes, that of the elements they were encoded from, which is the type
  // of their scales where `spec` leaves it open.
  ql_dtype type;
  // Must be 0.
  uint32_t reserved;
  // The row-major shape in elements.
  const size_t *shape;
  // Number of dimensions.
  size_t rank;
  // The blocks, or the codes.
  void *data;
  // Their length in bytes.
  size_t data_len;
  // The scales; null for blocks.
  void *scales;
  // Their length in bytes.
  size_t scales_len;
  // Zero points or biases; null if there are none.
  void *zeros;
  // Their length in bytes.
  size_t zeros_len;
} ql_encoded;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The lengths in bytes that the planes of a tensor of this shape (row-major) need. `src_type` is the
// type of the elements: f32, f16 or bf16. `zeros_len` is 0 if there are neither zero points nor biases.
//
// # Safety
// `spec` and its strings are valid, `shape` is valid for reads of `rank` numbers, the lengths for
// writes.
ql_status ql_affine_sizes(const ql_affine_spec *spec,
                          ql_dtype src_type,
                          const size_t *shape,
                          size_t rank,
                          size_t *codes_len,
                          size_t *scales_len,
                          size_t *zeros_len);

// Encodes a tensor to codes, scales, and zero points or biases, bit for bit as the layout's own tool.
// The lengths must be those of `ql_affine_sizes`.
//
// # Safety
// `spec` and its strings are valid; `shape` is valid for reads of `rank` numbers, `src` of as many
// elements of `src_type` as the shape has; the planes are valid for writes of their lengths, and nothing
// else touches them meanwhile; `options` is null or valid.
ql_status ql_quantize_affine(const ql_affine_spec *spec,
                             ql_dtype src_type,
                             const void *src,
                             const size_t *shape,
                             size_t rank,
                             void *codes,
                             size_t codes_len,
                             void *scales,
                             size_t scales_len,
                             void *zeros,
                             size_t zeros_len,
                             const ql_options *options);

// Decodes planes to floats. `spec` and `src_type` are those that they were encoded with.
//
// # Safety
// As for `ql_quantize_affine`, with the planes valid for reads, and `dst` for writes of `len` floats
// that nothing else touches meanwhile.
ql_status ql_dequantize_affine(const ql_affine_spec *spec,
                               ql_dtype src_type,
                               const void *codes,
                               size_t codes_len,
                               const void *scales,
                               size_t scales_len,
                               const void *zeros,
                               size_t zeros_len,
                               const size_t *shape,
                               size_t rank,
                               float *dst,
                               size_t len,
                               const ql_options *options);

// Encodes `rows` rows of `cols` floats, as ggml's reference quantizer does, bit for bit.
//
// `importance` is null or has one weight for each column. `dst_len` must be
// `rows * ql_row_size(dtype, cols)`.
//
// # Safety
// `src` is valid for reads of `rows * cols` floats, `importance` of `cols`, `dst` for writes of
// `dst_len` bytes that nothing else touches meanwhile; `options` is null or valid.
ql_status ql_quantize(ql_dtype dtype,
                      const float *src,
                      size_t rows,
                      size_t cols,
                      const float *importance,
                      void *dst,
                      size_t dst_len,
                      const ql_options *options);

// `ql_quantize` from another float type: `src_type` is f32, f16 or bf16.
//
// # Safety
// As for `ql_quantize`, with `rows * cols` elements of `src_type` at `src`.
ql_status ql_quantize_from(ql_dtype dtype,
                           ql_dtype src_type,
                           const void *src,
                           size_t rows,
                           size_t cols,
                           const float *importance,
                           void *dst,
                           size_t dst_len,
                           const ql_options *options);

// Decodes `src_len` bytes of blocks to `len` floats.
//
// # Safety
// `src` is valid for reads of `src_len` bytes, `dst` for writes of `len` floats that nothing else
// touches meanwhile; `options` is null or valid.
ql_status ql_dequantize(ql_dtype dtype,
                        const void *src,
                        size_t src_len,
                        float *dst,
                        size_t len,
                        const ql_options *options);

// Finds a tensor type by name, in either case: "q4_k", "Q8_0".
//
// # Safety
// `name` is a NUL-terminated string, `out` points to writable memory.
ql_status ql_dtype_from_name(const char *name, ql_dtype *out);

// The name of a tensor type, such as "q4_k"; null for an unknown number. Never freed.
const char *ql_dtype_name(ql_dtype dtype);

// Bytes of a row of `cols` elements; 0 for an unknown type or a row that is no whole number of
// blocks.
size_t ql_row_size(ql_dtype dtype, size_t cols);

// Elements of one block: a row is a whole number of blocks; 0 for an unknown type.
size_t ql_block_len(ql_dtype dtype);

// Quantizes a GGUF file or a Hugging Face folder into a GGUF file, with the bytes that
// llama-quantize writes. `recipe` is one of its names, in either case: "q4_k_m". With a name such as
// "mlx-4bit" a Hugging Face folder becomes a folder for MLX, with the tensors that mlx_lm.convert writes;
// with "int4", "int8", "dynamic-int8", "fp16" and so on an ONNX model another. `options->settings` has
// what else these may be told.
//
// The output appears whole or not at all; an existing file is replaced at the end, but no folder that
// is not empty.
//
// # Safety
// `src`, `out` and `recipe` are NUL-terminated strings (UTF-8); `options` is null or valid, and so
// are its strings.
ql_status ql_quantize_model(const char *src,
                            const char *out,
                            const char *recipe,
                            const ql_options *options);

// Converts a Hugging Face folder into a GGUF file, with the bytes that llama.cpp's
// convert_hf_to_gguf.py writes. `outtype` is one of its names: "f16", "bf16", "f32", "q8_0", "auto". With
// "to=mlx" or "to=hf" in `options->settings` it makes a folder, also of an MLX folder or a GGUF file; with
// "exact" codes and scales stay as they are.
//
// # Safety
// `src`, `out` and `outtype` are NUL-terminated strings (UTF-8); `options` is null or valid, and so are
// its strings.
ql_status ql_convert_model(const char *src,
                           const char *out,
                           const char *outtype,
                           const ql_options *options);

// Multiplies `rows` rows of `cols` elements of `dtype` with a vector: a float for each row.
//
// `weights_len` must be `rows * ql_row_size(dtype, cols)`; `x_type` is f32, f16 or bf16. Elements are
// decoded on the way, as `ql_dequantize` does; products and sums are single precision, in an order
// that is the same for every CPU and number of threads.
//
// # Safety
// `weights` is valid for reads of `weights_len` bytes, `x` of `cols` elements of `x_type`, `dst` for
// writes of `rows` floats that nothing else touches meanwhile; `options` is null or valid.
ql_status ql_matvec(ql_dtype dtype,
                    const void *weights,
                    size_t weights_len,
                    size_t rows,
                    size_t cols,
                    ql_dtype x_type,
                    const void *x,
                    float *dst,
                    const ql_options *options);

// `ql_matvec` with a vector that is encoded first, as ggml does: to 8-bit integers for quantized
// rows, to the rows' type for plain ones. The result equals ggml's up to the order in which the last
// sums are rounded. NaN and infinite elements of the vector are refused where the rows are quantized,
// unless the options say otherwise.
//
// # Safety
// As for `ql_matvec`.
ql_status ql_matvec_q8(ql_dtype dtype,
                       const void *weights,
                       size_t weights_len,
                       size_t rows,
                       size_t cols,
                       ql_dtype x_type,
                       const void *x,
                       float *dst,
                       const ql_options *options);

// Opens a GGUF or safetensors file, or a Hugging Face folder. Headers are read now, tensors later.
//
// # Safety
// `path` is a NUL-terminated string (UTF-8), `out` points to writable memory.
ql_status ql_model_open(const char *path, ql_model **out);

// Closes a model; null is allowed. Everything borrowed from it dies.
//
// # Safety
// `model` is null or from `ql_model_open`, and not closed yet.
void ql_model_close(ql_model *model);

// Number of tensors; 0 for null.
//
// # Safety
// `model` is null or open.
size_t ql_model_tensor_count(const ql_model *model);

// Name, type and shape of the tensor at `index`, in file order.
//
// # Safety
// `model` is open, `out` points to writable memory.
ql_status ql_model_tensor_info(const ql_model *model, size_t index, ql_tensor_info *out);

// The index of the tensor of this name.
//
// # Safety
// `model` is open, `name` is a NUL-terminated string, `index` points to writable memory.
ql_status ql_model_find_tensor(const ql_model *model, const char *name, size_t *index);

// Reads `len` bytes of the tensor at `index`, from byte `offset` of it on.
//
// # Safety
// `model` is open, `dst` is valid for writes of `len` bytes that nothing else touches meanwhile.
ql_status ql_model_read(const ql_model *model,
                        size_t index,
                        uint64_t offset,
                        void *dst,
                        size_t len);

// Number of metadata keys; 0 for null.
//
// # Safety
// `model` is null or open.
size_t ql_model_metadata_count(const ql_model *model);

// The metadata key at `index`, in file order; null if there is none. Lives until the model is
// closed.
//
// # Safety
// `model` is null or open.
const char *ql_model_metadata_key(const ql_model *model, size_t index);

// The metadata value of a key.
//
// # Safety
// `model` is open, `key` is a NUL-terminated string, `out` points to writable memory.
ql_status ql_model_metadata(const ql_model *model, const char *key, ql_value *out);

// What the last call of this thread complained about; "" if it did not. Valid until this thread's
// next call.
const char *ql_last_error_message(void);

// The version of this library, such as "0.1.0".
const char *ql_version(void);

// Repacks an encoded tensor so that it decodes to the same numbers in single precision: codes and scales
// are those of `from` as real numbers. `QL_ERROR_UNSUPPORTED` if `to` cannot hold them; the message names
// the first group that does not fit. `to` says what is to be made, and where; nothing is written unless
// all fits.
//
// The shapes are the same, but where one of the two has groups along the first of two axes (MatMul's
// weights in ONNX): then it is the transpose, (K, N) of (N, K).
//
// # Safety
// `from` and `to` are valid, as are their specs, strings and shapes; the planes of `from` are valid for
// reads of their lengths, those of `to` for writes, and nothing else touches these meanwhile; `options` is
// null or valid.
ql_status ql_transcode(const ql_encoded *from,
                       const ql_encoded *to,
                       const ql_options *options);

// One element of an array of strings or of arrays.
//
// # Safety
// `array` points to a value that this library gave and whose model is still open; `out` points to
// writable memory.
ql_status ql_value_item(const ql_value *array, size_t index, ql_value *out);

// Starts a GGUF file at `path`. An existing file is replaced when the new one is finished.
//
// # Safety
// `path` is a NUL-terminated string (UTF-8), `out` points to writable memory.
ql_status ql_gguf_writer_create(const char *path, ql_gguf_writer **out);

// Sets a key to a value: a scalar, a string, or an array of numbers or booleans (`type` is
// `QL_VALUE_ARRAY`, `element_type` says of what).
//
// # Safety
// `writer` is from `ql_gguf_writer_create` and not ended, `key` is a NUL-terminated string, `value`
// points to a value whose `data` has `count` elements.
ql_status ql_gguf_writer_set(ql_gguf_writer *writer, const char *key, const ql_value *value);

// Sets a key to a string.
//
// # Safety
// `writer` is not ended, `key` and `value` are NUL-terminated strings.
ql_status ql_gguf_writer_set_string(ql_gguf_writer *writer, const char *key, const char *value);

// Sets a key to a 32-bit number, the type of most of GGUF's hyper-parameters.
//
// # Safety
// `writer` is not ended, `key` is a NUL-terminated string.
ql_status ql_gguf_writer_set_u32(ql_gguf_writer *writer, const char *key, uint32_t value);

// Sets a key to a single-precision number.
//
// # Safety
// `writer` is not ended, `key` is a NUL-terminated string.
ql_status ql_gguf_writer_set_f32(ql_gguf_writer *writer, const char *key, float value);

// Sets a key to true (not 0) or false.
//
// # Safety
// `writer` is not ended, `key` is a NUL-terminated string.
ql_status ql_gguf_writer_set_bool(ql_gguf_writer *writer, const char *key, uint8_t value);

// Sets a key to an array of `count` strings.
//
// # Safety
// `writer` is not ended, `key` and the strings are NUL-terminated.
ql_status ql_gguf_writer_set_strings(ql_gguf_writer *writer,
                                     const char *key,
                                     const char *const *strings,
                                     size_t count);

// Begins a tensor of this row-major shape; `ql_gguf_writer_write` adds its bytes.
//
// # Safety
// `writer` is not ended, `name` is a NUL-terminated string, `shape` has `n_dims` elements.
ql_status ql_gguf_writer_start_tensor(ql_gguf_writer *writer,
                                      const char *name,
                                      ql_dtype dtype,
                                      const uint64_t *shape,
                                      uint32_t n_dims);

// Adds `len` bytes to the tensor that was begun last.
//
// # Safety
// `writer` is not ended, `data` is valid for reads of `len` bytes.
ql_status ql_gguf_writer_write(ql_gguf_writer *writer, const void *data, size_t len);

// Adds a whole tensor.
//
// # Safety
// As for `ql_gguf_writer_start_tensor` and `ql_gguf_writer_write`.
ql_status ql_gguf_writer_add_tensor(ql_gguf_writer *writer,
                                    const char *name,
                                    ql_dtype dtype,
                                    const uint64_t *shape,
                                    uint32_t n_dims,
                                    const void *data,
                                    size_t len);

// Completes the file and ends the writer, whatever is returned.
//
// # Safety
// `writer` is from `ql_gguf_writer_create` and not ended.
ql_status ql_gguf_writer_finish(ql_gguf_writer *writer);

// Ends the writer without a file; what was written is removed. Null is allowed.
//
// # Safety
// `writer` is null, or from `ql_gguf_writer_create` and not ended.
void ql_gguf_writer_close(ql_gguf_writer *writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUANTLIB_H */
