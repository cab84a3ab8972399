"""Names under which nodes were published: the nodes are those of the package rtml."""
