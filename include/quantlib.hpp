// quantlib for C++17: RAII over quantlib.h. Header-only; link quantlib_ffi.
//
//   auto type = ql::dtype("q4_k");
//   std::vector<std::uint8_t> blocks = ql::quantize(type, weights, cols);
//   ql::quantize_model("model.gguf", "small.gguf", "q4_k_m");
//
// Errors are thrown as ql::Error, which carries the status of the C call.

#ifndef QUANTLIB_HPP
#define QUANTLIB_HPP

#include "quantlib.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql {

/// A failed call: `what()` says what is wrong and what to do, `status()` whose fault it is.
class Error : public std::runtime_error {
  public:
    Error(ql_status status, const char *message) : std::runtime_error(message), status_(status) {}
    ql_status status() const noexcept { return status_; }

  private:
    ql_status status_;
};

/// Throws unless `status` is QL_OK.
inline void check(ql_status status) {
    if (status != QL_OK) throw Error(status, ql_last_error_message());
}

/// The tensor type of this name, in either case.
inline ql_dtype dtype(const std::string &name) {
    ql_dtype found;
    check(ql_dtype_from_name(name.c_str(), &found));
    return found;
}

/// Encodes whole rows of `cols` floats. `importance` is empty or has one weight for each column.
inline std::vector<std::uint8_t> quantize(ql_dtype type, const std::vector<float> &rows,
                                          std::size_t cols,
                                          const std::vector<float> &importance = {},
                                          const ql_options *options = nullptr) {
    if (cols == 0 || rows.size() % cols != 0)
        throw Error(QL_ERROR_MISUSE, "the elements are no whole number of rows");
    if (!importance.empty() && importance.size() != cols)
        throw Error(QL_ERROR_MISUSE, "importance needs one weight for each column");
    const std::size_t count = rows.size() / cols;
    std::vector<std::uint8_t> blocks(count * ql_row_size(type, cols));
    check(ql_quantize(type, rows.data(), count, cols, importance.empty() ? nullptr : importance.data(),
                      blocks.data(), blocks.size(), options));
    return blocks;
}

/// Decodes whole blocks.
inline std::vector<float> dequantize(ql_dtype type, const std::vector<std::uint8_t> &blocks,
                                     const ql_options *options = nullptr) {
    const std::size_t block_len = ql_block_len(type);
    const std::size_t block_size = ql_row_size(type, block_len);
    if (block_size == 0) throw Error(QL_ERROR_MISUSE, "there is no such tensor type");
    std::vector<float> values(blocks.size() / block_size * block_len);
    check(ql_dequantize(type, blocks.data(), blocks.size(), values.data(), values.size(), options));
    return values;
}

/// An opened model; tensor bytes are read on demand.
class Model {
  public:
    explicit Model(const std::string &path) {
        ql_model *model = nullptr;
        check(ql_model_open(path.c_str(), &model));
        model_.reset(model);
    }

    std::size_t tensor_count() const { return ql_model_tensor_count(model_.get()); }

    /// Valid as long as this model.
    ql_tensor_info tensor(std::size_t index) const {
        ql_tensor_info info;
        check(ql_model_tensor_info(model_.get(), index, &info));
        return info;
    }

    std::size_t find(const std::string &name) const {
        std::size_t index;
        check(ql_model_find_tensor(model_.get(), name.c_str(), &index));
        return index;
    }

    std::vector<std::uint8_t> read(std::size_t index) const {
        std::vector<std::uint8_t> bytes(tensor(index).nbytes);
        check(ql_model_read(model_.get(), index, 0, bytes.data(), bytes.size()));
        return bytes;
    }

    /// Valid as long as this model.
    ql_value metadata(const std::string &key) const {
        ql_value value;
        check(ql_model_metadata(model_.get(), key.c_str(), &value));
        return value;
    }

    /// The value of a key that holds a string.
    std::string_view string(const std::string &key) const {
        const ql_value value = metadata(key);
        if (value.type != QL_VALUE_STRING) throw Error(QL_ERROR_MISUSE, "the value is no string");
        return {static_cast<const char *>(value.data), value.count};
    }

    const ql_model *handle() const noexcept { return model_.get(); }

  private:
    struct Close {
        void operator()(ql_model *model) const noexcept { ql_model_close(model); }
    };
    std::unique_ptr<ql_model, Close> model_;
};

/// A GGUF file that is being written. It appears, whole, when `finish` returns; without that, nothing
/// appears.
class GgufWriter {
  public:
    explicit GgufWriter(const std::string &path) {
        ql_gguf_writer *writer = nullptr;
        check(ql_gguf_writer_create(path.c_str(), &writer));
        writer_.reset(writer);
    }

    void set(const std::string &key, const std::string &value) {
        check(ql_gguf_writer_set_string(writer_.get(), key.c_str(), value.c_str()));
    }
    void set(const std::string &key, const char *value) { set(key, std::string(value)); }
    void set(const std::string &key, std::uint32_t value) {
        check(ql_gguf_writer_set_u32(writer_.get(), key.c_str(), value));
    }
    void set(const std::string &key, float value) {
        check(ql_gguf_writer_set_f32(writer_.get(), key.c_str(), value));
    }
    void set(const std::string &key, bool value) {
        check(ql_gguf_writer_set_bool(writer_.get(), key.c_str(), value));
    }
    void set(const std::string &key, const ql_value &value) {
        check(ql_gguf_writer_set(writer_.get(), key.c_str(), &value));
    }

    /// `shape` is row-major.
    void add_tensor(const std::string &name, ql_dtype type, const std::vector<std::uint64_t> &shape,
                    const void *data, std::size_t size) {
        check(ql_gguf_writer_add_tensor(writer_.get(), name.c_str(), type, shape.data(),
                                        static_cast<std::uint32_t>(shape.size()), data, size));
    }

    /// Completes the file; the writer is of no use afterwards.
    void finish() { check(ql_gguf_writer_finish(writer_.release())); }

  private:
    struct Close {
        void operator()(ql_gguf_writer *writer) const noexcept { ql_gguf_writer_close(writer); }
    };
    std::unique_ptr<ql_gguf_writer, Close> writer_;
};

/// Quantizes a GGUF file or a Hugging Face folder into a GGUF file.
inline void quantize_model(const std::string &src, const std::string &out, const std::string &recipe,
                           const ql_options *options = nullptr) {
    check(ql_quantize_model(src.c_str(), out.c_str(), recipe.c_str(), options));
}

/// Converts a Hugging Face folder into a GGUF file of an output type such as "f16".
inline void convert_model(const std::string &src, const std::string &out, const std::string &outtype,
                          const ql_options *options = nullptr) {
    check(ql_convert_model(src.c_str(), out.c_str(), outtype.c_str(), options));
}

} // namespace ql

#endif // QUANTLIB_HPP
