"""Pages to look at: one file of HTML each, made of charts, tables and text, that needs nothing else."""
