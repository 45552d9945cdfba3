//! Names that the generated code would have twice, or that a language keeps for itself. Each was found by a compiler that
//! refused the code, or would be.

use std::collections::BTreeSet;

use uniffi_meta::{EnumMetadata, EnumShape, FieldMetadata, Metadata};

/// What an object has in Kotlin (from `AutoCloseable`, from the generator, from every object of Java), in Swift, or in
/// Python, whatever it is.
const METHODS: &[&str] = &[
    "clone",
    "close",
    "destroy",
    "equals",
    "finalize",
    "get_class",
    "hash_code",
    "notify",
    "notify_all",
    "to_string",
    "use",
    "wait", // Kotlin
    "deinit",
    "description",
    "hash",
    "hash_value",
    "init",
    "self", // Swift
];

/// What the generator defines for itself, or a language gives to all.
const TYPES: &[&str] = &[
    "Any",
    "Array",
    "Boolean",
    "Byte",
    "ByteArray",
    "Double",
    "Exception",
    "Float",
    "Int",
    "List",
    "Long",
    "Map",
    "Pair",
    "Result",
    "Set",
    "Short",
    "String",
    "Throwable",
    "Unit", // Kotlin
    "Actor",
    "Bool",
    "Character",
    "Data",
    "Date",
    "Decimal",
    "Dictionary",
    "Error",
    "Never",
    "Optional",
    "Protocol",
    "Sequence",
    "Task",
    "Type",
    "URL",
    "Void", // Swift
    "False",
    "None",
    "True", // Python
];

/// What an exception has in Kotlin or Java, Swift, or Python.
const ERROR_FIELDS: &[&str] = &[
    "args",
    "cause",
    "code",
    "description",
    "localized_description",
    "message",
    "stack_trace",
];

/// What every value has.
const FIELDS: &[&str] = &[
    "class",
    "copy",
    "description",
    "hash_code",
    "hash_value",
    "self",
    "to_string",
    "type",
];

/// Everything that collides, as lines.
pub(crate) fn taken(items: &BTreeSet<Metadata>) -> Vec<String> {
    let names: BTreeSet<&str> = items.iter().filter_map(type_name).collect();
    let mut found = Vec::new();
    let mut refuse = |what: String, why: &str| found.push(format!("  {what}: {why}"));
    for name in &names {
        if TYPES.contains(name) {
            refuse((*name).to_owned(), "is a type of a language");
        }
    }
    for item in items {
        match item {
            Metadata::Method(it) if METHODS.contains(&it.name.as_str()) => {
                refuse(format!("{}.{}", it.self_name, it.name), "every object has one");
            }
            Metadata::TraitMethod(it) if METHODS.contains(&it.name.as_str()) => {
                refuse(format!("{}.{}", it.trait_name, it.name), "every object has one");
            }
            Metadata::Record(it) => {
                for field in fields(&it.fields, FIELDS) {
                    refuse(format!("{}.{field}", it.name), "every value has one");
                }
            }
            Metadata::Enum(it) => variants(it, &names, &mut refuse),
            _ => {}
        }
    }
    found
}

fn variants(it: &EnumMetadata, names: &BTreeSet<&str>, refuse: &mut impl FnMut(String, &str)) {
    let is_error = matches!(it.shape, EnumShape::Error { .. });
    for variant in &it.variants {
        let path = format!("{}.{}", it.name, variant.name);
        // Kotlin looks for a type inside of the enum first, and finds the variant.
        if !variant.fields.is_empty() && names.contains(variant.name.as_str()) {
            refuse(path.clone(), "hides the type of that name");
        }
        let taken = if is_error { ERROR_FIELDS } else { FIELDS };
        for field in fields(&variant.fields, taken) {
            refuse(format!("{path}.{field}"), "every one of them has one");
        }
    }
}

fn fields<'a>(fields: &'a [FieldMetadata], taken: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let names = fields.iter().map(|field| field.name.as_str());
    names.filter(|name| taken.contains(name))
}

fn type_name(item: &Metadata) -> Option<&str> {
    match item {
        Metadata::Object(it) => Some(&it.name),
        Metadata::Record(it) => Some(&it.name),
        Metadata::Enum(it) => Some(&it.name),
        Metadata::CallbackInterface(it) => Some(&it.name),
        Metadata::CustomType(it) => Some(&it.name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use uniffi_meta::{MethodMetadata, RecordMetadata, Type, VariantMetadata};

    use super::*;

    fn field(name: &str) -> FieldMetadata {
        FieldMetadata {
            name: name.into(),
            orig_name: None,
            ty: Type::String,
            default: None,
            docstring: None,
        }
    }

    fn an_enum(shape: EnumShape, variant: &str, fields: &[&str]) -> Metadata {
        Metadata::Enum(EnumMetadata {
            module_path: "a".into(),
            name: "Kind".into(),
            orig_name: None,
            shape,
            remote: false,
            variants: vec![VariantMetadata {
                name: variant.into(),
                orig_name: None,
                discr: None,
                fields: fields.iter().map(|name| field(name)).collect(),
                docstring: None,
            }],
            discr_type: None,
            non_exhaustive: false,
            docstring: None,
        })
    }

    fn record(name: &str, fields: &[&str]) -> Metadata {
        Metadata::Record(RecordMetadata {
            module_path: "a".into(),
            name: name.into(),
            orig_name: None,
            remote: false,
            fields: fields.iter().map(|name| field(name)).collect(),
            docstring: None,
        })
    }

    fn method(name: &str) -> Metadata {
        Metadata::Method(MethodMetadata {
            module_path: "a".into(),
            self_name: "Thing".into(),
            name: name.into(),
            orig_name: None,
            is_async: false,
            inputs: Vec::new(),
            return_type: None,
            throws: None,
            takes_self_by_arc: false,
            checksum: None,
            docstring: None,
        })
    }

    #[test]
    fn each_kind_of_collision_is_found() {
        let flat = EnumShape::Error { flat: false };
        let cases = [
            (vec![method("close")], "Thing.close"),
            (vec![record("Result", &[])], "Result"),
            (vec![record("Thing", &["description"])], "Thing.description"),
            (vec![an_enum(flat, "Bad", &["message"])], "Kind.Bad.message"),
            (
                vec![
                    record("Message", &[]),
                    an_enum(EnumShape::Enum, "Message", &["it"]),
                ],
                "Kind.Message",
            ),
        ];
        for (items, what) in cases {
            let found = taken(&items.into_iter().collect());
            assert_eq!(found.len(), 1, "{what}: {found:?}");
            assert!(found[0].contains(what), "{what}: {found:?}");
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        let items = [
            method("finish"),
            record("Message", &["id", "topic"]),
            an_enum(EnumShape::Enum, "MessageArrived", &["message"]),
        ];
        assert_eq!(taken(&items.into()), Vec::<String>::new());
    }
}
