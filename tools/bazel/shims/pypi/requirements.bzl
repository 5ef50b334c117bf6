"""Python packages of the active environment: nothing is fetched, whatever `python3` finds is used."""

def requirement(name):
    return "@pypi//:" + name
