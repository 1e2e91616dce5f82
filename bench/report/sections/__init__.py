"""One module a question; each has section(results, plots), which gives a text.Section."""
