"""Nothing to fetch."""

def rules_shell_dependencies():
    pass

def rules_shell_toolchains():
    pass
