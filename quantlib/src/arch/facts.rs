//! The descriptions against llama.cpp's own tables, as scripts/follow-llama-cpp extracted them.

use super::families;
use std::collections::{HashMap, HashSet};
use std::path::Path;

fn facts(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/llama-cpp");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn classes_have_the_converters_architecture() {
    let facts = facts("classes.txt");
    let theirs: HashSet<_> = facts.lines().filter_map(|l| l.split_once(' ')).collect();
    for family in families::ALL {
        for class in family.classes {
            assert!(
                theirs.contains(&(class, family.gguf)),
                "{class} {}",
                family.gguf
            );
        }
    }
}

#[test]
fn tensors_are_those_of_the_architecture() {
    let facts = facts("architectures.txt");
    let theirs: HashMap<_, HashSet<_>> = facts
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(arch, names)| (arch, names.split(' ').collect()))
        .collect();
    for family in families::ALL {
        for tensor in family.tensors.iter().copied().flatten() {
            let name = tensor.output.replace("{}", "{bid}");
            assert!(
                theirs[family.gguf].contains(&*name),
                "{} {name}",
                family.gguf
            );
        }
    }
}
