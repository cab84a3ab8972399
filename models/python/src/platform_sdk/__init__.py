"""The one name of the Platform SDK that the published notebooks import, reading files."""
