//! `xtask-wasm MODULE FOLDER`: writes `FOLDER/glue_bg.wasm`, which a browser takes, and the types of its exports.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

/// What the JavaScript is called, which the package does not need: all that it would bind are numbers.
const NAME: &str = "glue";

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = arguments.as_slice() else {
        bail!("usage: xtask-wasm MODULE FOLDER");
    };
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name(NAME)
        .generate(folder)
        .with_context(|| format!("cannot make JavaScript for {}", module.display()))
}
