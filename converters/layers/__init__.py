"""The layers of a model: finding and naming them, what their weights look like, the order of channels."""
