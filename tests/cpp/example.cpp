// Opens a model, prints its tensors, and quantizes the first matrix.
//
//   c++ -std=c++17 example.cpp $(pkg-config --cflags --libs quantlib_ffi)
#include <iostream>
#include <quantlib.hpp>

int main(int argc, char **argv) try {
    if (argc != 2) {
        std::cerr << "usage: example MODEL\n";
        return 2;
    }
    const ql::Model model(argv[1]);
    for (std::size_t i = 0; i < model.tensor_count(); i++) {
        const ql_tensor_info info = model.tensor(i);
        std::cout << info.name << ' ' << ql_dtype_name(info.dtype) << ' ' << info.nbytes << '\n';
        if (info.n_dims != 2) continue;
        const auto values = ql::dequantize(info.dtype, model.read(i));
        const auto blocks = ql::quantize(ql::dtype("q8_0"), values, info.shape[1]);
        std::cout << values.size() << " values in " << blocks.size() << " bytes of q8_0\n";
        return 0;
    }
    return 1;
} catch (const ql::Error &error) {
    std::cerr << "quantlib: " << error.what() << '\n';
    return 1;
}
