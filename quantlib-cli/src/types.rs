//! `quantlib types`

use crate::args::Types;
use crate::output::{self, Table};
use quantlib::recipe::Recipe;
use quantlib::{DType, Error, GGML_VERSION, Isa, LLAMA_CPP_VERSION};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    schema: u32,
    quantlib_version: &'static str,
    llama_cpp_version: &'static str,
    ggml_version: &'static str,
    /// The instruction set that encoders and decoders use here.
    isa: &'static str,
    types: Vec<Type>,
    recipes: Vec<Row>,
}

#[derive(Serialize)]
struct Type {
    name: &'static str,
    ggml_id: Option<u32>,
    bits_per_weight: f64,
    block_elements: usize,
    block_bytes: usize,
    precision: &'static str,
    encode: bool,
    decode: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: Vec<&'static str>,
    file_type: u32,
    base_type: DType,
}

pub(crate) fn run(args: &Types) -> Result<(), Error> {
    let document = Document {
        schema: output::SCHEMA,
        quantlib_version: env!("CARGO_PKG_VERSION"),
        llama_cpp_version: LLAMA_CPP_VERSION,
        ggml_version: GGML_VERSION,
        isa: Isa::preferred()?.name(),
        types: DType::ALL.iter().map(|&dtype| Type::new(dtype)).collect(),
        recipes: Recipe::ALL.iter().map(|&recipe| Row::new(recipe)).collect(),
    };
    if args.json {
        return output::json(&document);
    }
    output::text(&show(&document))
}

impl Type {
    fn new(dtype: DType) -> Self {
        let codec = quantlib::has_codec(dtype);
        Self {
            name: dtype.name(),
            ggml_id: dtype.ggml_id(),
            bits_per_weight: dtype.bits_per_weight(),
            block_elements: dtype.block_len(),
            block_bytes: dtype.block_bytes(),
            precision: dtype.precision().name(),
            encode: codec,
            decode: codec,
        }
    }
}

impl Row {
    fn new(recipe: Recipe) -> Self {
        Self {
            name: recipe.name(),
            aliases: recipe.aliases().collect(),
            file_type: recipe.file_type(),
            base_type: recipe.dtype(),
        }
    }
}

fn show(document: &Document) -> String {
    let mut types = Table::new(&[
        "name",
        ">ggml id",
        ">bits/weight",
        ">block",
        ">bytes",
        "precision",
        "encode",
        "decode",
    ]);
    let yes = |yes| if yes { "yes" } else { "-" }.to_owned();
    for dtype in &document.types {
        types.row([
            dtype.name.to_owned(),
            dtype.ggml_id.map_or("-".to_owned(), |id| id.to_string()),
            format!("{:.4}", dtype.bits_per_weight),
            dtype.block_elements.to_string(),
            dtype.block_bytes.to_string(),
            dtype.precision.to_owned(),
            yes(dtype.encode),
            yes(dtype.decode),
        ]);
    }
    let mut recipes = Table::new(&["name", "most tensors", "also called"]);
    for recipe in &document.recipes {
        recipes.row([
            recipe.name.to_owned(),
            recipe.base_type.to_string(),
            recipe.aliases.join(", "),
        ]);
    }
    format!(
        "Tensor types, with the bytes of ggml {} (llama.cpp {}):\n\n{}\nRecipes for `quantlib quantize -t`:\n\n{}",
        document.ggml_version,
        document.llama_cpp_version,
        types.render("  "),
        recipes.render("  "),
    )
}
