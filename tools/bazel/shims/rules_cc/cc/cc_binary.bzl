"""Bazel 4's own rule under the name that newer versions use."""

cc_binary = native.cc_binary
