//! The layers of the core: a module uses only modules that stand below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src/`, from the top down.
const ORDER: [&str; 22] = [
    "ffi",
    "process",
    "handles",
    "engine",
    "machine",
    "ping",
    "metrics",
    "events",
    "upload",
    "store",
    "journal",
    "disk",
    "experiments",
    "error_recording",
    "common_metric_data",
    "histogram",
    "error",
    "logging",
    "do_not_track",
    "time",
    "text",
    "sort",
];

#[test]
fn arrows_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let module = file.split(['/', '.']).next().unwrap();
        if module == "lib" {
            continue;
        }
        let Some(height) = height(module) else {
            panic!("src/{file}: put the module `{module}` into its place in ORDER, which is in {}", file!());
        };
        found.insert(module.to_owned());
        for used in used(&file, &fs::read_to_string(&path).unwrap(), &lib) {
            if used != module && self::height(&used).is_none_or(|below| below < height) {
                wrong.push(format!("src/{file} uses `{used}`, which is above `{module}` and must not be known there"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nThe order from the top down: {}", wrong.join("\n"), ORDER.join(", "));
    assert_eq!(found.len(), ORDER.len(), "ORDER has a module that is gone");
}

fn height(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Returns the modules that a source names, by paths from the root of the crate.
fn used(file: &str, source: &str, lib: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut code = format!("\n{}", code.join("\n"));
    // One step up from these is the root, two steps from the others; what is indented belongs to the tests of a file.
    let is_below_root = !file.contains('/') || file.ends_with("/mod.rs");
    code = code.replace(if is_below_root { "\nuse super::" } else { "\nuse super::super::" }, "\nuse crate::");
    let mut used = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.starts_with(char::is_lowercase) {
            used.insert(name);
        } else if name != "VERSION" {
            used.insert(home(&name, lib).unwrap_or_else(|| panic!("src/{file}: write `crate::{name}…` in full")));
        }
    }
    used
}

/// Returns the module of a name that `lib.rs` exports again.
fn home(name: &str, lib: &str) -> Option<String> {
    let exports = lib.lines().filter_map(|line| line.strip_prefix("pub use "));
    let mut homes = exports.filter(|export| export.split(|c: char| !c.is_alphanumeric()).any(|word| word == name));
    Some(homes.next()?.split("::").next()?.to_owned())
}
