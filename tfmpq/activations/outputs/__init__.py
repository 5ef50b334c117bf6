"""Outputs whose channels one int8 scale cannot hold."""
