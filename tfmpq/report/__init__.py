"""What a conversion did and what its file costs."""
