"""Names under which the SDK was published: they work on a running rtml."""
