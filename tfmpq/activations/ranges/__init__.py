"""What int8 scales cover: by the data, by what is worth it, by rules."""
