//! A metric type is declared in few places: docs/adding-a-metric-type.md lists them, and this test finds no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the type `quantity` is declared.
const PLACES: [&str; 7] = [
    "glean_core/src/metrics/mod.rs",
    "glean_core/src/metrics/quantity.rs",
    "glean_core/src/store/value.rs",
    "glean_py/metrics/__init__.py",
    "glean_py/metrics/labeled.py",
    "glean_py/metrics/quantity.py",
    "glean_py/serve/ping.json",
];
/// Where the word means something else: a type of extras of events, or a metric of Glean itself.
const OTHER_MEANINGS: [&str; 5] = [
    "glean_py/_builtins.py",
    "glean_py/_compile/module.py",
    "glean_py/_definitions.py",
    "glean_py/_generated.py",
    "glean_py/metrics.yaml",
];

#[test]
fn a_type_is_declared_in_at_most_eight_places() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources = ["glean_core/src", "glean_core/include", "glean_core/cdylib/src", "glean_py"];
    let mut found = BTreeSet::new();
    for path in sources.into_iter().flat_map(|folder| files(&root.join(folder))) {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned() + &name;
        if ["quantity", "QuantityMetricType", "Kind::Quantity"].iter().any(|word| text.contains(word)) {
            found.insert(name);
        }
    }
    let listed: BTreeSet<String> = PLACES.iter().chain(&OTHER_MEANINGS).map(ToString::to_string).collect();
    let new: Vec<&String> = found.difference(&listed).collect();
    let gone: Vec<&String> = listed.difference(&found).collect();
    assert!(new.is_empty(), "a further place has to know the type: let it follow from the declaration: {new:?}");
    assert!(gone.is_empty(), "these know the type no more, so the page and this test are out of date: {gone:?}");
    assert!(PLACES.len() <= 8);
    let page = fs::read_to_string(root.join("docs/adding-a-metric-type.md")).unwrap();
    for place in PLACES {
        assert!(page.contains(&format!("`{place}`")), "docs/adding-a-metric-type.md doesn't name {place}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = paths.filter(|path| path.file_name().is_some_and(|name| name != "__pycache__"));
    sources.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
