//! Everything that can be called, as a text of one line per thing, in a fixed order: a change of it shows in a diff.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use uniffi_meta::{
    DefaultValueMetadata, EnumMetadata, EnumShape, FieldMetadata, FnParamMetadata, LiteralMetadata, Metadata,
    Type,
};

const HEAD: &str = "\
# Everything that Kotlin, Swift and Python can call, in the words of the library; each language spells them in its way.
# Made by `cargo xtask ffi --bless` from the library itself. A line that goes or changes breaks applications.
";

/// The text.
pub(crate) fn of(items: &BTreeSet<Metadata>) -> String {
    let mut parts = BTreeMap::new();
    for item in items {
        let (title, lines) = match item {
            Metadata::Object(object) => (format!("object {}", object.name), methods(items, &object.name)),
            Metadata::CallbackInterface(it) => (format!("interface {}", it.name), methods(items, &it.name)),
            Metadata::Record(record) => (
                format!("record {}", record.name),
                record.fields.iter().map(field).collect(),
            ),
            Metadata::Enum(it) => (format!("{} {}", kind(it), it.name), variants(it)),
            Metadata::Func(it) => (
                format!(
                    "function {}",
                    call(&it.name, &it.inputs, &it.return_type, &it.throws)
                ),
                Vec::new(),
            ),
            // Told with what they belong to, or nothing that can be called.
            Metadata::Constructor(_)
            | Metadata::Method(_)
            | Metadata::TraitMethod(_)
            | Metadata::Namespace(_)
            | Metadata::UdlFile(_) => continue,
            Metadata::CustomType(_) | Metadata::UniffiTrait(_) | Metadata::ObjectTraitImpl(_) => {
                (format!("{item:?}"), Vec::new())
            }
        };
        parts.insert(title, lines);
    }
    let mut text = String::from(HEAD);
    for (title, lines) in parts {
        let _infallible = writeln!(text, "\n{title}");
        for line in lines {
            let _infallible = writeln!(text, "  {line}");
        }
    }
    text
}

fn kind(it: &EnumMetadata) -> &'static str {
    match it.shape {
        EnumShape::Enum => "enum",
        EnumShape::Error { .. } => "error",
    }
}

fn methods(items: &BTreeSet<Metadata>, owner: &str) -> Vec<String> {
    let line = |item: &Metadata| match item {
        Metadata::Constructor(it) if it.self_name == owner => {
            Some(call(&format!("new {}", it.name), &it.inputs, &None, &it.throws))
        }
        Metadata::Method(it) if it.self_name == owner => {
            Some(call(&it.name, &it.inputs, &it.return_type, &it.throws))
        }
        Metadata::TraitMethod(it) if it.trait_name == owner => {
            Some(call(&it.name, &it.inputs, &it.return_type, &it.throws))
        }
        _ => None,
    };
    let mut lines: Vec<_> = items.iter().filter_map(line).collect();
    lines.sort();
    lines
}

fn call(name: &str, inputs: &[FnParamMetadata], returns: &Option<Type>, throws: &Option<Type>) -> String {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|input| format!("{}: {}{}", input.name, shape(&input.ty), default(&input.default)))
        .collect();
    let mut text = format!("{name}({})", inputs.join(", "));
    if let Some(returns) = returns {
        text += &format!(" -> {}", shape(returns));
    }
    if let Some(throws) = throws {
        text += &format!(" throws {}", shape(throws));
    }
    text
}

fn field(field: &FieldMetadata) -> String {
    format!("{}: {}{}", field.name, shape(&field.ty), default(&field.default))
}

fn variants(it: &EnumMetadata) -> Vec<String> {
    let line = |variant: &uniffi_meta::VariantMetadata| {
        let fields: Vec<_> = variant.fields.iter().map(field).collect();
        match fields.is_empty() {
            true => variant.name.clone(),
            false => format!("{}({})", variant.name, fields.join(", ")),
        }
    };
    it.variants.iter().map(line).collect()
}

fn default(default: &Option<DefaultValueMetadata>) -> String {
    match default {
        None => String::new(),
        Some(DefaultValueMetadata::Default) => " = default".to_owned(),
        Some(DefaultValueMetadata::Literal(literal)) => match literal {
            LiteralMetadata::Boolean(value) => format!(" = {value}"),
            LiteralMetadata::UInt(value, ..) => format!(" = {value}"),
            LiteralMetadata::Int(value, ..) => format!(" = {value}"),
            LiteralMetadata::None => " = none".to_owned(),
            LiteralMetadata::EmptySequence => " = []".to_owned(),
            other => format!(" = {other:?}"),
        },
    }
}

/// A type, as short as it can be said.
fn shape(of: &Type) -> String {
    match of {
        Type::UInt8 => "u8".into(),
        Type::Int8 => "i8".into(),
        Type::UInt16 => "u16".into(),
        Type::Int16 => "i16".into(),
        Type::UInt32 => "u32".into(),
        Type::Int32 => "i32".into(),
        Type::UInt64 => "u64".into(),
        Type::Int64 => "i64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Boolean => "bool".into(),
        Type::String => "string".into(),
        Type::Bytes => "bytes".into(),
        Type::Timestamp => "timestamp".into(),
        Type::Duration => "duration".into(),
        Type::Object { name, .. }
        | Type::Record { name, .. }
        | Type::Enum { name, .. }
        | Type::CallbackInterface { name, .. }
        | Type::Custom { name, .. } => name.clone(),
        Type::Box { inner_type } => shape(inner_type),
        Type::Optional { inner_type } => format!("{}?", shape(inner_type)),
        Type::Sequence { inner_type } => format!("[{}]", shape(inner_type)),
        Type::Set { inner_type } => format!("{{{}}}", shape(inner_type)),
        Type::Map { key_type, value_type } => format!("{{{}: {}}}", shape(key_type), shape(value_type)),
    }
}
