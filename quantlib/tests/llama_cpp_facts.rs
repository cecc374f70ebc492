//! Our tables against those of llama.cpp, as scripts/follow-llama-cpp extracted them.

use quantlib::{DType, Recipe};
use std::collections::HashMap;
use std::path::Path;

/// The lines of a file of tests/data/llama-cpp/, taken apart.
fn facts(name: &str) -> Vec<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/llama-cpp");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect()
}

#[test]
fn types() {
    let facts = facts("types.txt");
    for line in &facts {
        let number = |i: usize| line[i].parse::<usize>().unwrap();
        let dtype = DType::from_id(number(0) as u32);
        let dtype = dtype.unwrap_or_else(|| panic!("{line:?} is no type of ours"));
        assert_eq!(dtype.name(), line[1]);
        assert_eq!(
            (dtype.block_len(), dtype.block_bytes()),
            (number(2), number(3))
        );
    }
    let ours = DType::ALL.iter().filter(|dtype| dtype.ggml_id().is_some());
    assert_eq!(ours.count(), facts.len());
}

#[test]
fn recipes() {
    let types = facts("file-types.txt");
    let numbers: HashMap<_, u32> = types
        .iter()
        .map(|line| (line[1].as_str(), line[0].parse().unwrap()))
        .collect();
    let facts = facts("recipes.txt");
    for line in facts.iter().filter(|line| line[0] != "copy") {
        let recipe: Recipe = line[0].parse().unwrap();
        assert_eq!(recipe.file_type(), numbers[line[1].as_str()], "{line:?}");
    }
    for recipe in Recipe::ALL {
        assert!(
            facts.iter().any(|line| line[0] == recipe.name()),
            "{recipe:?}"
        );
    }
}
