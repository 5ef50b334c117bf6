"""Bazel 4's own rule under the name that newer versions use."""

sh_test = native.sh_test
