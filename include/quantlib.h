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
  // Most memory that a job's buffers may take, in bytes; 0 means 512 MiB.
  uint64_t memory_limit;
  // Called while a job runs; may be null.
  ql_progress progress;
  // Passed to `progress`.
  void *user;
  // One type for every tensor that is quantized at all, if not 0.
  uint8_t pure;
  // Quantize tensors that are quantized already, if not 0.
  uint8_t allow_requantize;
  // Must be 0.
  uint8_t reserved[6];
} ql_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

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

// What the last call of this thread complained about; "" if it did not. Valid until this thread's
// next call.
const char *ql_last_error_message(void);

// The version of this library, such as "0.1.0".
const char *ql_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* QUANTLIB_H */
