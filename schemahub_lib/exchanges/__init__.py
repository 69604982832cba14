"""The exchanges SchemaHub knows. A new one is a file beside this one and a line in `EXCHANGES`."""
