//! The floors of docs/DESIGN.md: no module imports from a floor above its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the crates that the floors are in, the lower crate first.
fn crates() -> [PathBuf; 2] {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    ["quantlib-codecs", "quantlib"].map(|name| workspace.join(name).join("src"))
}

/// Adds the modules with the floor that the headings in lib.rs put them on.
fn add_floors(src: &Path, floors: &mut BTreeMap<String, u32>) {
    let mut floor = None;
    for line in fs::read_to_string(src.join("lib.rs")).unwrap().lines() {
        if let Some(number) = line.strip_prefix("// Floor ") {
            floor = Some(number.parse().unwrap());
        } else if let Some((_, module)) = line.split_once("mod ")
            && let Some(module) = module.strip_suffix(';')
        {
            floors.insert(
                module.to_owned(),
                floor.expect("a floor before the first module"),
            );
        }
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn leading_name(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// The modules named by `crate::NAME` or inside `use crate::{…}`, comments left out.
fn imports(code: &str) -> Vec<String> {
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => names.push(leading_name(after).to_owned()),
            Some(group) => names.extend(group_names(group)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The outermost names of `a::{b, c}, d}`.
fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    for item in group.split_inclusive([',', '{', '}']) {
        if depth == 0 {
            names.push(leading_name(item.trim()).to_owned());
        }
        match item.chars().last() {
            Some('{') => depth += 1,
            Some('}') if depth == 0 => break,
            Some('}') => depth -= 1,
            _ => {}
        }
    }
    names
}

#[test]
fn no_module_imports_from_a_floor_above_its_own() {
    let mut floors = BTreeMap::new();
    let mut wrong = Vec::new();
    for src in crates() {
        add_floors(&src, &mut floors);
        check(&src, &floors, &mut wrong);
    }
    assert!(
        floors.len() > 16,
        "the headings of lib.rs were not understood: {floors:?}"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Adds what is wrong with the imports of one crate.
fn check(src: &Path, floors: &BTreeMap<String, u32>, wrong: &mut Vec<String>) {
    let mut files = Vec::new();
    sources(src, &mut files);
    for path in files {
        let name = path.strip_prefix(src).unwrap();
        let module = name
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let Some(&own) = floors.get(module.trim_end_matches(".rs")) else {
            assert_eq!(module, "lib.rs", "a module that lib.rs puts on no floor");
            continue;
        };
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let name = name.display();
            if import.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                continue; // a constant of the crate root
            }
            match floors.get(&import) {
                None => wrong.push(format!("{name}: crate::{import} names no module")),
                Some(floor) if *floor > own => {
                    wrong.push(format!(
                        "{name}: floor {own} imports {import} of floor {floor}"
                    ));
                }
                Some(_) => {}
            }
        }
    }
}

#[test]
fn imports_are_read_from_every_spelling() {
    let code = "use crate::model::{Plan, Reader};
        use crate::{error::{Error, Result}, io};
        // crate::job
        let x = crate::recipe::f();";
    assert_eq!(imports(code), ["model", "error", "io", "recipe"]);
}
