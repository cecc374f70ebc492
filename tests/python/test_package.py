"""The package itself: documentation, stubs, types."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import quantlib as ql

MODULES = ["quantlib", *(f"quantlib.{m.name}" for m in pkgutil.iter_modules(ql.__path__))]
PUBLIC = {name: getattr(ql, name) for name in ql.__all__}


def test_all_is_sorted_and_complete():
    public = {name for name, value in vars(ql).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert set(ql.__all__) == public
    assert ql.__all__ == sorted(ql.__all__)


@pytest.mark.parametrize("name", ql.__all__)
def test_everything_public_is_documented(name):
    value = PUBLIC[name]
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        members = {k: v for k, v in vars(value).items() if k[0] != "_" and callable(v)}
        assert not [k for k, v in members.items() if not inspect.getdoc(v)]


def examples():
    finder = doctest.DocTestFinder()
    for module in MODULES:
        for example in finder.find(importlib.import_module(module)):
            if example.examples:
                yield example


@pytest.mark.parametrize("example", list(examples()), ids=lambda e: e.name)
def test_examples(example):
    example.globs = {"ql": ql}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example)
    assert runner.failures == 0


def run(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)


def test_stubs_match_the_package():
    result = run("mypy.stubtest", "quantlib")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("mypy"))


def test_types_are_sound(cache):
    result = run("mypy", "--strict", "--cache-dir", cache, "-p", "quantlib")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_caller_sees_the_types(tmp_path, cache):
    (tmp_path / "caller.py").write_text(
        "import numpy as np, quantlib as ql\n"
        "q = ql.quantize(np.ones((2, 32), np.float32), 'q8_0', threads=1)\n"
        "reveal_type(q.shape)\n"
        "reveal_type(q.dtype.bits_per_weight)\n"
        "ql.quantize(1)\n"
    )
    result = run("mypy", "--strict", "--cache-dir", cache, str(tmp_path / "caller.py"))
    assert 'Revealed type is "tuple[int, ...]"' in result.stdout.replace("builtins.", "")
    assert "float" in result.stdout
    assert 'Missing positional argument "dtype"' in result.stdout
