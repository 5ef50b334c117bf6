"""What `tfmpq.prepare` found, on disk: a second budget of a network takes seconds, in another process too."""
