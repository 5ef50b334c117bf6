"""Where the rules come from in WORKSPACE mode.

Bazel 4.2 (Debian's bazel-bootstrap, whose version is the empty string) carries the rules itself and works offline: small
local repositories forward to them. Newer versions fetch the released rules.
"""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")

_SHIMS = "tools/bazel/shims/"
_FORWARDED = ["rules_python", "rules_cc", "rules_shell"]
_ASKED_FOR_BY_BAZEL_4 = ["rules_java", "remote_coverage_tools"]  # by its own tools; empty ones do

def repositories():
    """Declares the rules and the Python packages."""
    native.local_repository(name = "pypi", path = _SHIMS + "pypi")
    if not native.bazel_version:
        for name in _FORWARDED + _ASKED_FOR_BY_BAZEL_4:
            native.local_repository(name = name, path = _SHIMS + name)
        return
    http_archive(
        name = "rules_python",
        sha256 = "9c6e26911a79fbf510a8f06d8eedb40f412023cf7fa6d1461def27116bff022c",
        strip_prefix = "rules_python-1.1.0",
        url = "https://github.com/bazelbuild/rules_python/releases/download/1.1.0/rules_python-1.1.0.tar.gz",
    )
    http_archive(
        name = "rules_cc",
        sha256 = "abc605dd850f813bb37004b77db20106a19311a96b2da1c92b789da529d28fe1",
        strip_prefix = "rules_cc-0.0.17",
        url = "https://github.com/bazelbuild/rules_cc/releases/download/0.0.17/rules_cc-0.0.17.tar.gz",
    )
    http_archive(
        name = "rules_shell",
        sha256 = "d8cd4a3a91fc1dc68d4c7d6b655f09def109f7186437e3f50a9b60ab436a0c53",
        strip_prefix = "rules_shell-0.3.0",
        url = "https://github.com/bazelbuild/rules_shell/releases/download/v0.3.0/rules_shell-v0.3.0.tar.gz",
    )
