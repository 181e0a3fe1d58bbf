"""Dependencies point one way. This test reads every import, also those inside functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.fakes import ROOT

PACKAGE = ROOT / "webapp"

LAYERS: list[set[str]] = [
    {"domain", "errors", "wire", "ids", "text", "deadlines", "pace", "compression", "languages"},
    {
        "settings",
        "logs",
        "assets",
        "inset_styles",
        "folders",
        "branding",
        "images",
        "markdown",
        "replies",
        "thoughts",
        "stores",
        "brokers",
        "providers",
        "rendering",
        "migrations",
    },
    {
        "setups",
        "assistants",
        "attachments",
        "running",
        "turns",
        "lists",
        "titles",
        "exports",
        "imports",
        "embeds",
        "quotas",
        "visitors",
        "webhooks",
        "snippets",
    },
    {"feeds"},
    {"security", "negotiation", "pages", "insets", "services", "prompts", "visits", "transports", "routes"},
    {
        "model_choice",
        "mounting",
        "hosting",
        "app",
        "server",
        "terminal",
        "embed_commands",
        "key_commands",
        "asking",
        "ask_command",
        "cli",
        "testing",
        "__main__",
        "__init__",
    },
]
"""A part may import from the layers above it in this list, from itself, and within a layer what `BESIDE` names."""

BESIDE: dict[str, set[str]] = {
    "errors": {"languages", "wire"},
    "assets": {"branding", "inset_styles"},
    "rendering": {"branding", "markdown", "stores"},
    "replies": {"markdown"},
    "thoughts": {"markdown"},
    "migrations": {"stores"},
    "pages": {"security", "visits"},
    "insets": {"pages"},
    "turns": {"attachments", "running"},
    "titles": {"lists"},
    "exports": {"attachments"},
    "imports": {"attachments", "exports", "lists", "setups"},
    "assistants": {"setups"},
    "prompts": {"pages"},
    "services": {"pages", "visits"},
    "embeds": {"setups"},
    "quotas": {"embeds"},
    "visitors": {"embeds"},
    "webhooks": {"embeds"},
    "transports": {"insets", "pages", "prompts", "services"},
    "routes": {"insets", "negotiation", "pages", "prompts", "security", "services", "transports", "visits"},
    "app": {"model_choice", "mounting"},
    "embed_commands": {"terminal"},
    "key_commands": {"terminal"},
    "ask_command": {"asking"},
    "cli": {"app", "ask_command", "embed_commands", "key_commands", "model_choice", "server", "terminal"},
    "testing": {"app", "server"},
    "__main__": {"ask_command", "cli", "embed_commands", "key_commands"},
    "__init__": {"app", "hosting"},
}

KNOW_STARLETTE = {
    "compression",
    "security",
    "negotiation",
    "services",
    "transports",
    "routes",
    "mounting",
    "app",
    "server",
    "cli",
    "testing",
}
CONCRETE = {
    "SqlStore",
    "SqlCatalog",
    "SqlWorkshop",
    "SqlImports",
    "SqlShares",
    "SqlVisitors",
    "SqlOutbox",
    "SqlKeys",
    "MemoryBroker",
    "EndpointProvider",
    "LocalProvider",
    "FunctionProvider",
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The module, or package, directly below `webapp` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layer_of(part: str) -> int:
    found = [number for number, parts in enumerate(LAYERS) if part in parts]
    assert found, f"{part} is in no layer: say in LAYERS where it belongs"
    return found[0]


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports; `from a import b` counts as `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_parts(path: Path) -> set[str]:
    """The parts of Rill that a file imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("webapp.")}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_the_layers_below_it(path: Path) -> None:
    part = part_of(path)
    allowed = {part} | BESIDE.get(part, set()) | {p for parts in LAYERS[: layer_of(part)] for p in parts}

    assert own_parts(path) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_edge_knows_the_web(path: Path) -> None:
    web = {name for name in imports(path) if name.split(".")[0] in {"starlette", "uvicorn", "sse_starlette"}}

    assert not web or part_of(path) in KNOW_STARLETTE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_app_names_concrete_classes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    named = {name.rpartition(".")[2] for name in imports(path)} & CONCRETE - defined
    # A provider may be made of another one of its own package.
    inside = {name for name in named if part_of(path) == "providers" and name.endswith("Provider")}

    assert not named - inside or part_of(path) in {"app", "model_choice", "cli", "embed_commands", "key_commands"}


def test_the_layers_name_only_what_exists() -> None:
    parts = {part_of(path) for path in MODULES}

    assert {part for layer in LAYERS for part in layer} == parts
    assert sum(len(layer) for layer in LAYERS) == len(parts)


def test_what_stands_beside_something_does_not_go_round_in_circles() -> None:
    for part, beside in BESIDE.items():
        for other in beside:
            assert layer_of(other) == layer_of(part)
            assert part not in BESIDE.get(other, set())
