"""Reads Swift: refuses what does not parse, and prints what is declared as public, file by file.

Written for `tests/mobile/swift.rs`: `surface.py PARSED... -- LISTED...`.
"""

import sys
from pathlib import Path

import tree_sitter_swift
from tree_sitter import Language, Parser

PARSER = Parser(Language(tree_sitter_swift.language()))
# What ends the head of a declaration and begins what it holds.
BODIES = {"class_body", "enum_class_body", "protocol_body", "function_body", "computed_property"}
DECLARATIONS = {
    "class_declaration",
    "protocol_declaration",
    "function_declaration",
    "protocol_function_declaration",
    "property_declaration",
    "init_declaration",
    "typealias_declaration",
    "enum_entry",
}


def faults(node):
    """Where the text is no Swift."""
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from faults(child)


def head(node, text):
    """A declaration without its body, on one line."""
    ends = [child.start_byte for child in node.children if child.type in BODIES]
    body = text[node.start_byte : min(ends, default=node.end_byte)].decode()
    return " ".join(body.split())


def declared(node, text, depth=0, is_public_enum=False):
    """The public declarations below a node, indented by what holds them. Cases are as public as their enum."""
    for child in node.children:
        if child.type not in DECLARATIONS:
            yield from declared(child, text, depth, is_public_enum)
            continue
        line = head(child, text)
        words = line.split("(")[0].split()
        is_extension = words[0] == "extension"
        is_public = "public" in words or (is_public_enum and child.type == "enum_entry")
        if is_public or is_extension:
            below = list(declared(child, text, depth + 1, "enum" in words))
            if is_public or below:
                yield "  " * depth + line
                yield from below


def main(arguments):
    at = arguments.index("--")
    parsed, listed = arguments[:at], arguments[at + 1 :]
    is_good = True
    surface = []
    for name in parsed + listed:
        text = Path(name).read_bytes()
        root = PARSER.parse(text).root_node
        for fault in faults(root):
            is_good = False
            print(f"{name}:{fault.start_point[0] + 1}: this is no Swift", file=sys.stderr)
        if name in listed:
            public = list(declared(root, text))
            if public:
                surface.append("\n".join([f"// {Path(name).name}", *public]))
    print("\n\n".join(surface))
    return 0 if is_good else 1


sys.exit(main(sys.argv[1:]))
