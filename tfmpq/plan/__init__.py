"""Which layer gets which bits, form and points."""
