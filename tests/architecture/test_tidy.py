"""The house style, as far as a machine can tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.sources import HOME, PACKAGES, dotted, functions, python_files, text_of, tracked, tree_of

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ENVIRONMENT = {
    "recon_stream/settings.py": "the one place that reads it",
    "recon_stream/process/commands.py": "sets the index of the process before the settings are read",
    "recon_stream/process/parent.py": "hands it on to its children",
    "recon_stream/verify/doctor_settings.py": "tells where each value is from",
    "recon_stream/verify/demo.py": "hands it on to its children",
    "recon_stream/verify/preparing.py": "hands it on to its children",
}
CODE = (*PACKAGES, "benchmarks", "tests")
# put together here, so that this file does not find itself
MACHINE = re.compile(
    "|".join(["/" + "work/", "/" + "root/", "/home/" + r"\w", "--index" + "-url", "--trusted" + "-host"])
)
LATER = re.compile("|".join(["TO" + "DO", "FIX" + "ME"]))


def places(nodes: Iterator[tuple[str, ast.AST]]) -> list[str]:
    """file:line of each."""
    return [f"{path}:{getattr(node, 'lineno', 1)}" for path, node in nodes]


def test_a_module_is_read_in_one_go() -> None:
    """At most 400 lines."""
    assert [path for path in python_files(*CODE) if len(text_of(path).splitlines()) > MODULE_LINES_MAX] == []


def test_a_function_fits_on_a_screen() -> None:
    """At most 70 lines, its docstring among them."""
    long = (
        (path, function)
        for path in python_files(*CODE)
        for function in functions(tree_of(path))
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    )
    assert places(long) == []


def test_money_meets_no_float() -> None:
    """No float literal, no float() and no true division in the domain, none of the first two in storage."""
    found = []
    for path in python_files("recon_stream"):
        in_domain = path.startswith("recon_stream/domain/")
        if not in_domain and not path.startswith("recon_stream/storage/"):
            continue
        for node in ast.walk(tree_of(path)):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            name = isinstance(node, ast.Name) and node.id == "float"
            division = in_domain and isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
            if literal or name or division:
                found.append(f"{path}:{node.lineno}")
    assert found == []


def test_the_domain_reads_no_clock_and_rolls_no_dice() -> None:
    """Time comes in as an argument, so that the same facts give the same bytes for ever."""
    forbidden = {
        "time",
        "random",
        "os",
        "secrets",
        "uuid",
        "asyncio",
        "logging",
        "socket",
        "pathlib",
        "io",
        "threading",
    }
    clocks = {"now", "utcnow", "today"}
    found = []
    for path in python_files("recon_stream"):
        if not path.startswith("recon_stream/domain/"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                names = set()
            is_clock = isinstance(node, ast.Attribute) and node.attr in clocks
            if names & forbidden or is_clock:
                found.append(f"{path}:{getattr(node, 'lineno', 1)}")
    assert found == []


def test_only_the_settings_read_the_environment() -> None:
    """And the few places that hand it on to child processes."""
    readers = {
        path
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if dotted(node) in ("os.environ", "os.getenv")
        or (isinstance(node, ast.alias) and node.name in ("environ", "getenv"))
    }
    assert readers - ENVIRONMENT.keys() == set()


def test_nothing_is_printed() -> None:
    """Commands speak by click and rich, everything else by its log."""
    printed = (
        (path, node)
        for path in python_files(*PACKAGES)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and dotted(node.func) in ("print", "pprint")
    )
    assert places(printed) == []


def test_nothing_is_put_off_in_comments() -> None:
    """What is not done is an issue, not a comment."""
    texts = [
        path
        for path in tracked()
        if path.endswith((".py", ".sql", ".lua", ".toml", ".cfg", ".md", ".yml", ".sh", "Makefile"))
    ]
    assert [path for path in texts if LATER.search(text_of(path))] == []


def test_everything_public_says_what_it_is() -> None:
    """Modules, classes, functions and methods whose names have no underscore have a docstring."""
    silent = []
    for path in python_files(*PACKAGES):
        tree = tree_of(path)
        if not ast.get_docstring(tree) and text_of(path).strip():
            silent.append(path)
        silent += [f"{path}:{node.lineno} {node.name}" for node in public(tree) if not ast.get_docstring(node)]
    assert silent == []


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """What others may use; a setter and an overload say nothing that their first half has not said."""
    for one in node.body:
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or one.name.startswith("_"):
            continue
        if any(dotted(d).endswith((".setter", "overload", "override")) for d in getattr(one, "decorator_list", [])):
            continue
        if ast.unparse(one.body[0]) == "...":
            continue  # does nothing on purpose
        yield one
        if isinstance(one, ast.ClassDef):
            yield from public(one)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """Paths of one machine and places from which one machine installs are of no use to anybody else."""
    assert [f"{path}: {found[0]}" for path in tracked() if (found := MACHINE.search(text_of(path)))] == []


def test_every_test_asserts_something() -> None:
    """Itself, by pytest.raises, or by a helper of the tests that does; and each says in a docstring what is guaranteed."""
    helpers = {f.name for path in python_files("tests") for f in functions(tree_of(path)) if asserts(f, set())}
    empty, silent = [], []
    for path in python_files("tests"):
        if not path.rsplit("/", 1)[1].startswith("test_"):
            continue
        for function in functions(tree_of(path)):
            if function.name.startswith("test_"):
                empty += [] if asserts(function, helpers) else [f"{path}:{function.lineno} {function.name}"]
                silent += [] if ast.get_docstring(function) else [f"{path}:{function.lineno} {function.name}"]
    assert empty == []
    assert silent == []


def asserts(function: ast.AST, helpers: set[str]) -> bool:
    """Whether it has an assertion or a bound on its time, or calls something that has one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
            if name in helpers or name in ("raises", "fail", "timeout"):
                return True
    return False


def test_the_documents_name_targets_that_exist() -> None:
    """Every `make something` of the documents is a target."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    for path in tracked():
        if path.endswith(".md"):
            named = set(re.findall(r"(?:`|^    |^\$ )make ([a-z][a-z-]*)", text_of(path), re.MULTILINE))
            assert named <= targets, path


def test_links_of_the_documents_lead_somewhere() -> None:
    """Files that the documents point to are there."""
    dead = []
    for path in tracked():
        if path.endswith(".md"):
            folder = (HOME / path).parent
            links = re.findall(r"(?:\]\(|src=\"|srcset=\")(?!https?:|#|mailto:)([^)\s#\"]+)", text_of(path))
            dead += [f"{path}: {link}" for link in links if not (folder / link).exists()]
    assert dead == []
