//! `xtask-ffi LIBRARY CRATE FOLDER`: writes `FOLDER/{kotlin,swift,python}/`, the code that speaks with the library, and
//! `FOLDER/surface.txt`, everything that an application of any language can call. Refuses names that would collide.
//!
//! | file | holds |
//! |---|---|
//! | here | the order |
//! | `surface` | the text |
//! | `names` | the names that a language has taken |
#![forbid(unsafe_code)]

mod names;
mod surface;

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate_with_bindgen_paths};
use uniffi_bindgen::{BindgenLoader, BindgenPaths, BindgenPathsLayer, GlobalConfig};

/// The crate whose library it is, as symbols call it.
const CRATE: &str = "cloudsignal_ffi";

/// Where the crate with its `uniffi.toml` is.
struct Root(Utf8PathBuf);

impl BindgenPathsLayer for Root {
    fn get_crate_root(&self, crate_name: &str) -> Option<Utf8PathBuf> {
        (crate_name == CRATE).then(|| self.0.clone())
    }
}

fn main() -> Result<()> {
    let arguments: Vec<Utf8PathBuf> = std::env::args().skip(1).map(Utf8PathBuf::from).collect();
    let [library, root, folder] = arguments.as_slice() else {
        bail!("usage: xtask-ffi LIBRARY CRATE FOLDER");
    };
    let loader = BindgenLoader::new(BindgenPaths::default(), GlobalConfig::default());
    let metadata = loader.load_metadata(library)?;
    let items = &metadata
        .get(CRATE)
        .context("the library says nothing about its calls")?
        .items;
    let taken = names::taken(items);
    ensure!(taken.is_empty(), "names that collide:\n{}", taken.join("\n"));
    for (language, name) in [
        (TargetLanguage::Kotlin, "kotlin"),
        (TargetLanguage::Swift, "swift"),
        (TargetLanguage::Python, "python"),
    ] {
        generate(language, library, root, &folder.join(name))?;
    }
    fs::write(folder.join("surface.txt"), surface::of(items)).context("cannot write the surface")
}

fn generate(language: TargetLanguage, library: &Utf8Path, root: &Utf8Path, folder: &Utf8Path) -> Result<()> {
    let mut paths = BindgenPaths::default();
    paths.add_layer(Root(root.to_owned()));
    let options = GenerateOptions {
        languages: vec![language],
        source: library.to_owned(),
        out_dir: folder.to_owned(),
        ..GenerateOptions::default()
    };
    generate_with_bindgen_paths(options, paths).with_context(|| format!("cannot make {folder}"))
}
