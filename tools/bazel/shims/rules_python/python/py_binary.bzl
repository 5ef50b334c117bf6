"""Bazel 4's own rule under the name that newer versions use."""

py_binary = native.py_binary
