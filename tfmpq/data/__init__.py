"""Representative data in every accepted form: reading, augmenting, holding out, labels."""
