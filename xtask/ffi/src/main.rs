//! What reads the library's own description of its calls. The words are those of uniffi's own program, so that maturin can
//! use it where it looks for that one.
//!
//! - `uniffi-bindgen generate --language LANGUAGE --out-dir FOLDER --config CRATE/uniffi.toml LIBRARY` writes the code that
//!   speaks with the library.
//! - `uniffi-bindgen surface LIBRARY` prints everything that an application of any language can call, and refuses names that
//!   would collide.
//!
//! | file | holds |
//! |---|---|
//! | here | the commands |
//! | `surface` | the text |
//! | `names` | the names that a language has taken |
#![forbid(unsafe_code)]

mod names;
mod surface;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use camino::Utf8PathBuf;
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", rest @ ..] => generate(rest),
        ["surface", library] => surface(library),
        _ => bail!("usage: uniffi-bindgen generate … | surface LIBRARY"),
    }
}

fn surface(library: &str) -> Result<()> {
    let loader = BindgenLoader::new(BindgenPaths::default(), GlobalConfig::default());
    let metadata = loader.load_metadata(library.into())?;
    let group = metadata
        .get(CRATE)
        .context("the library says nothing about its calls")?;
    let taken = names::taken(&group.items);
    ensure!(taken.is_empty(), "names that collide:\n{}", taken.join("\n"));
    let text = surface::of(&group.items);
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("nobody reads the surface")
}

fn generate(words: &[&str]) -> Result<()> {
    let mut options = GenerateOptions::default();
    let mut paths = BindgenPaths::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word {
            "--language" => options.languages.push(language(value()?)?),
            "--out-dir" => options.out_dir = value()?.into(),
            "--config" => {
                let config = Utf8PathBuf::from(value()?);
                let root = config.parent().context("the configuration lies in the crate")?;
                paths.add_layer(Root(root.to_owned()));
            }
            "--library" | "--no-format" => {} // The only library, and never formatted.
            library => options.source = library.into(),
        }
    }
    generate_with_bindgen_paths(options, paths)
}

fn language(name: &str) -> Result<TargetLanguage> {
    Ok(match name {
        "kotlin" => TargetLanguage::Kotlin,
        "swift" => TargetLanguage::Swift,
        "python" => TargetLanguage::Python,
        _ => bail!("nobody here speaks {name}"),
    })
}
