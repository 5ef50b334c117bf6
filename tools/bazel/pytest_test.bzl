"""A test file of pytest as a Bazel test."""

load("@pypi//:requirements.bzl", "requirement")
load("@rules_python//python:py_test.bzl", "py_test")

def pytest_test(name, src, data = [], deps = [], **kwargs):
    """Runs one file with pytest.

    Args:
        name: of the test.
        src: the file.
        data: files that the test reads.
        deps: libraries beside pytest and hypothesis.
        **kwargs: size, tags, ...
    """
    py_test(
        name = name,
        srcs = [src, "//tools/bazel:run_pytest.py"],
        main = "//tools/bazel:run_pytest.py",
        args = ["$(location %s)" % src],
        data = data + ["//:pyproject.toml"],
        deps = deps + [requirement("hypothesis"), requirement("pytest")],
        **kwargs
    )
