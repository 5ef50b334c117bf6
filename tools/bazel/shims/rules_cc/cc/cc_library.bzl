"""Bazel 4's own rule under the name that newer versions use."""

cc_library = native.cc_library
