"""A gate for releases: whether a file keeps its limits beside another one, with what can be told from the samples."""
