"""Import of many groups through the API, and the file formats. No command-line code."""
