// Opens a model, quantizes its first matrix, and writes that to a GGUF file of its own.
//
//   c++ -std=c++17 example.cpp $(pkg-config --cflags --libs quantlib_ffi)
#include <iostream>
#include <quantlib.hpp>

int main(int argc, char **argv) try {
    if (argc != 3) {
        std::cerr << "usage: example MODEL OUT.gguf\n";
        return 2;
    }
    const ql::Model model(argv[1]);
    for (std::size_t i = 0; i < model.tensor_count(); i++) {
        const ql_tensor_info info = model.tensor(i);
        if (info.n_dims != 2) continue;
        const auto type = ql::dtype("q8_0");
        const auto values = ql::dequantize(info.dtype, model.read(i));
        const auto blocks = ql::quantize(type, values, info.shape[1]);
        ql::GgufWriter writer(argv[2]);
        writer.set("general.architecture", "llama");
        writer.add_tensor(info.name, type, {info.shape[0], info.shape[1]}, blocks.data(), blocks.size());
        writer.finish();
        std::cout << info.name << ": " << info.nbytes << " bytes of " << ql_dtype_name(info.dtype)
                  << " became " << blocks.size() << " of " << ql_dtype_name(type) << '\n';
        return 0;
    }
    return 1;
} catch (const ql::Error &error) {
    std::cerr << "quantlib: " << error.what() << '\n';
    return 1;
}
