"""Samples in shards: files of many records each, read one record at a time, in the formats that other tools write."""
